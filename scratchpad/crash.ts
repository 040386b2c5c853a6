/** A crash and its recovery: what the process held fails with a type, and what comes after it is answered by the next. */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Stream } from "effect"
import { McpPool, McpProxy } from "../src/index.ts"

const program = Effect.gen(function* () {
  const pool = yield* McpPool.McpPool
  const proxy = yield* McpProxy.McpProxy
  yield* pool.awaitSettled
  yield* pool.changes.pipe(
    Stream.runForEach(({ cause, from, to }) => Console.log(`${from} -> ${to}${cause === null ? "" : ` (${cause})`}`)),
    Effect.forkScoped({ startImmediately: true })
  )

  // Killed as soon as it shows that it has begun.
  yield* proxy.streamTool("trigger-long-running-operation", { duration: 5, steps: 10 }).pipe(
    Stream.runForEach(() => kill),
    Effect.catchTag("OutcomeUnknown", (error) => Console.log(error.message))
  )

  const { content } = yield* proxy.executeTool("echo", { message: "I am another one" })
  yield* Console.log(content)
  const [server] = yield* pool.status
  yield* Console.log(`restarts: ${server?.restarts}, last failure: ${server?.lastFailure?.message}`)
}).pipe(Effect.scoped)

const kill = Effect.gen(function* () {
  const pool = yield* McpPool.McpPool
  for (const { pid } of yield* pool.status) if (pid !== null) process.kill(pid, "SIGKILL")
})

const Pool = McpPool.layer({
  servers: { everything: { command: "npx", args: ["-y", "@modelcontextprotocol/server-everything"] } }
})

program.pipe(Effect.provide(McpProxy.layerPool().pipe(Layer.provideMerge(Pool))), NodeRuntime.runMain)
