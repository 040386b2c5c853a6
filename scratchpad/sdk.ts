/** An SDK client on a pooled server in the same process: two of them, one server process. */
import { NodeRuntime } from "@effect/platform-node"
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { Console, Effect } from "effect"
import { McpPool } from "../src/index.ts"

const connect = Effect.fn("connect")(function* (name: string) {
  const pool = yield* McpPool.McpPool
  const transport = yield* pool.transport("everything")
  return yield* Effect.acquireRelease(
    Effect.promise(async () => {
      const client = new Client({ name, version: "1.0.0" })
      await client.connect(transport)
      return client
    }),
    (client) => Effect.promise(() => client.close())
  )
})

const program = Effect.gen(function* () {
  const clients = yield* Effect.all([connect("first"), connect("second")], { concurrency: 2 })
  for (const client of clients) {
    const { content } = yield* Effect.promise(() => client.callTool({ name: "echo", arguments: { message: "hi" } }))
    yield* Console.log(content)
  }
  const pool = yield* McpPool.McpPool
  const [server] = yield* pool.status
  yield* Console.log(`${server?.sessions} sessions, ${server?.processes.length} process`)
}).pipe(Effect.scoped)

program.pipe(
  Effect.provide(
    McpPool.layer({
      servers: { everything: { command: "npx", args: ["-y", "@modelcontextprotocol/server-everything"] } }
    })
  ),
  NodeRuntime.runMain
)
