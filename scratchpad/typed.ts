/**
 * Tools as typed functions: definitions as `mcp-pool types` prints them, at module level; arguments and results have
 * types, and what goes wrong has one too.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Schema } from "effect"
import { McpProxy } from "../src/index.ts"

const everything = {
  /** Returns structured content along with an output schema for client data validation */
  getStructuredContent: McpProxy.tool("everything__get-structured-content", {
    arguments: Schema.Struct({
      location: Schema.Literals(["New York", "Chicago", "Los Angeles"]).annotateKey({ description: "Choose city" })
    }),
    result: Schema.Struct({
      temperature: Schema.Finite.annotateKey({ description: "Temperature in celsius" }),
      conditions: Schema.String.annotateKey({ description: "Weather conditions description" }),
      humidity: Schema.Finite.annotateKey({ description: "Humidity percentage" })
    })
  }),

  /** Its result is text, which a Schema may decode as well. */
  echo: McpProxy.tool("everything__echo", {
    arguments: Schema.Struct({ message: Schema.String }),
    result: Schema.String
  })
}

const program = Effect.gen(function* () {
  const { conditions, temperature } = yield* everything.getStructuredContent({ location: "Chicago" })
  yield* Console.log(yield* everything.echo({ message: `${conditions}, ${temperature} °C` }))
}).pipe(Effect.catchTag(["ToolFailed", "InvalidResult"], (error) => Console.error(error.message)))

program.pipe(
  Effect.provide(
    McpProxy.layer({
      servers: { everything: { command: "npx", args: ["-y", "@modelcontextprotocol/server-everything"] } }
    })
  ),
  NodeRuntime.runMain
)
