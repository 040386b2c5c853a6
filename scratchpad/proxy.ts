/** The README's first example of the library: the tools of a server, one of them executed, nothing left behind. */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Effect, Layer } from "effect"
import { McpProxy } from "../src/index.ts"

const program = Effect.gen(function* () {
  const proxy = yield* McpProxy.McpProxy
  const tools = yield* proxy.listTools
  yield* Console.log(tools.map((tool) => tool.name))
  return yield* proxy.executeTool("echo", { message: "hi" }, { timeout: "5 seconds" })
}).pipe(Effect.catchTag("ToolTimeout", (error) => Console.error(error.message)))

program.pipe(
  Effect.provide(
    McpProxy.layer({
      servers: { everything: { command: "npx", args: ["-y", "@modelcontextprotocol/server-everything"] } }
    }).pipe(Layer.provide(NodeServices.layer))
  ),
  NodeRuntime.runMain
)
