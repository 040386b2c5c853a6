/** Progress: a call as a stream of how far it has come, and then its result. */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Stream } from "effect"
import { McpProxy } from "../src/index.ts"

const program = Effect.gen(function* () {
  const proxy = yield* McpProxy.McpProxy
  yield* proxy
    .streamTool("trigger-long-running-operation", { duration: 1, steps: 4 })
    .pipe(
      Stream.runForEach((event) =>
        event._tag === "Progress"
          ? Console.log(`${event.progress.progress} of ${event.progress.total}`)
          : Console.log(event.result.content)
      )
    )
})

program.pipe(
  Effect.provide(
    McpProxy.layer({
      servers: { everything: { command: "npx", args: ["-y", "@modelcontextprotocol/server-everything"] } }
    })
  ),
  NodeRuntime.runMain
)
