/** Typed tools: functions whose arguments and results are Schemas, as `mcp-pool types` prints them. */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Schema } from "effect"
import { McpProxy } from "../src/index.ts"

const getWeather = McpProxy.tool("everything__get-structured-content", {
  arguments: Schema.Struct({ location: Schema.Literals(["New York", "Chicago", "Los Angeles"]) }),
  result: Schema.Struct({ temperature: Schema.Finite, conditions: Schema.String, humidity: Schema.Finite })
})

const getSum = McpProxy.tool("everything__get-sum", {
  arguments: Schema.Struct({ a: Schema.Finite, b: Schema.Finite }),
  result: Schema.String
})

const program = Effect.gen(function* () {
  const { conditions, temperature } = yield* getWeather({ location: "Chicago" })
  yield* Console.log(`${temperature} degrees, ${conditions}`)
  yield* Console.log(yield* getSum({ a: 2, b: 3 }))
  // Not sent at all.
  yield* getSum({ a: 2, b: NaN }).pipe(Effect.catchTag("InvalidArguments", (error) => Console.log(error.message)))
})

program.pipe(
  Effect.provide(
    McpProxy.layer({
      servers: { everything: { command: "npx", args: ["-y", "@modelcontextprotocol/server-everything"] } }
    })
  ),
  NodeRuntime.runMain
)
