/** The README's example: two servers in code, each at a Unix socket, supervised until Ctrl-C. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer, Stream } from "effect"
import { McpPool, UnixListener } from "../src/index.ts"

const program = Effect.gen(function* () {
  const pool = yield* McpPool.McpPool
  yield* pool.awaitSettled
  yield* Console.log(yield* pool.socketPaths)
  yield* Stream.runForEach(pool.changes, ({ server, to }) => Console.log(`${server} is ${to}`))
})

const servers = {
  everything: { command: "npx", args: ["-y", "@modelcontextprotocol/server-everything"] },
  memory: { command: "npx", args: ["-y", "@modelcontextprotocol/server-memory"], pool: { restart: "always" } }
} as const

program.pipe(
  Effect.provide(
    UnixListener.layer({ runtimeDir: "/tmp/my-pool" }).pipe(Layer.provideMerge(McpPool.layer({ servers })))
  ),
  NodeRuntime.runMain
)
