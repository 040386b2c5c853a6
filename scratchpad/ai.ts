/**
 * A model that uses the pool's tools in a loop. The model is scripted: put a provider's layer in the place of `Scripted`, and
 * the rest stays. It calls a tool wrongly first, reads why that failed, and mends its call.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Stream } from "effect"
import { Chat, LanguageModel, type Prompt, type Response } from "effect/ai"
import { toolkit } from "../src/ai/index.ts"
import { McpProxy } from "../src/index.ts"

const program = Effect.gen(function* () {
  const chat = yield* Chat.empty
  const tools = toolkit({ include: ["everything__*"], exclude: ["*__get-env"] })
  let prompt: Prompt.RawInput = "What is 2 + 3?"
  for (;;) {
    const response = yield* chat.generateText({ prompt, toolkit: tools })
    for (const { isFailure, result } of response.toolResults)
      yield* Console.log(isFailure ? "failed:" : "result:", result)
    if (response.toolCalls.length === 0) return yield* Console.log(response.text)
    // The results are in the chat's history.
    prompt = []
  }
})

const adding = (id: string, params: object): Array<Response.PartEncoded> => [
  { type: "tool-call", id, name: "everything__get-sum", params }
]

/** What the model reads of the last tool that it called. */
const lastResult = (prompt: Prompt.Prompt) => prompt.content.findLast(({ role }) => role === "tool")?.content[0]

const Scripted = Layer.effect(
  LanguageModel.LanguageModel,
  LanguageModel.make({
    generateText: ({ prompt }) =>
      Effect.sync(() => {
        const last = lastResult(prompt)
        if (typeof last !== "object" || last.type !== "tool-result") return adding("call-1", { a: 2, b: "three" })
        if (last.isFailure) return adding("call-2", { a: 2, b: 3 })
        const texts = (last.modelOutput ?? []).flatMap((part) => (part.type === "text" ? [part.text] : []))
        return [{ type: "text" as const, text: `The tool says: ${texts.join("\n")}` }]
      }),
    streamText: () => Stream.die("this model does not stream")
  })
)

const Proxy = McpProxy.layer({
  servers: { everything: { command: "npx", args: ["-y", "@modelcontextprotocol/server-everything"] } }
})

program.pipe(Effect.provide([Scripted, Proxy]), NodeRuntime.runMain)
