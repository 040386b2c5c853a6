/** The README's example: a server in code, at a Unix socket, supervised until Ctrl-C. */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Stream } from "effect"
import { McpPool, UnixListener } from "../src/index.ts"

const Report = Layer.effectDiscard(
  Effect.gen(function* () {
    const pool = yield* McpPool.McpPool
    yield* pool.awaitSettled
    yield* Console.log(yield* pool.socketPaths)
    yield* Stream.runForEach(pool.changes, ({ server, to }) => Console.log(`${server} is ${to}`))
  })
)

Report.pipe(
  Layer.provide(UnixListener.layer({ runtimeDir: "/tmp/my-pool" })),
  Layer.provide(
    McpPool.layer({ servers: { memory: { command: "npx", args: ["-y", "@modelcontextprotocol/server-memory"] } } })
  ),
  Layer.launch,
  NodeRuntime.runMain
)
