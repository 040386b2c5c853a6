/** Clients of SDK 2 in the modern era, on servers of both: what they see is the same. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Queue } from "effect"
import { watched } from "../../fixtures/conformance/content.ts"
import * as EraClient from "../../support/EraClient.ts"
import * as TestPool from "../../support/TestPool.ts"

const roots = [{ uri: "file:///test/root" }]

const pool = TestPool.make(({ marker }) => ({
  legacy: EraClient.fixture("legacy", marker, { roots }),
  modern: EraClient.fixture("modern", marker)
}))

const connect = Effect.fnUntraced(function* (
  server: "legacy" | "modern",
  mode: "auto" | "modern" | "legacy" = "modern",
  options?: Parameters<typeof EraClient.connect2>[2]
) {
  const made = yield* pool
  return yield* EraClient.connect2(yield* made.pool.transport(server), mode, options)
})

const servers = ["legacy", "modern"] as const

describe.each(servers)("a modern client on a %s server", (server) => {
  it.live("learns what the server is, and what it lists", () =>
    Effect.gen(function* () {
      const client = yield* connect(server)
      assert.deepInclude(client.getServerVersion(), { name: `conformance-${server}` })
      const tools = yield* Effect.promise(() => client.listTools())
      assert.include(
        tools.tools.map(({ name }) => name),
        "test_sampling"
      )
      assert.containsAllKeys(tools, ["ttlMs", "cacheScope"])
      yield* Effect.promise(() => client.listPrompts())
      yield* Effect.promise(() => client.listResources())
      yield* Effect.promise(() => client.listResourceTemplates())
      const { contents } = yield* Effect.promise(() => client.readResource({ uri: watched }))
      assert.lengthOf(contents, 1)
      const ref = { type: "ref/prompt" as const, name: "test_prompt_with_arguments" }
      const { completion } = yield* Effect.promise(() =>
        client.complete({ ref, argument: { name: "arg1", value: "par" } })
      )
      assert.deepStrictEqual(completion.values, ["paris", "park", "party"])
      assert.deepInclude(yield* EraClient.failureOf(() => client.readResource({ uri: "test://none" })), {
        code: -32602
      })
    })
  )

  it.live("is asked by results, and its retries resume the call", () =>
    Effect.gen(function* () {
      const client = yield* connect(server)
      for (const [name, [args, text]] of Object.entries(EraClient.asked)) {
        const result = yield* Effect.promise(() => client.callTool({ name, arguments: args }))
        assert.strictEqual(EraClient.textOf(result), text)
      }
      const { messages } = yield* Effect.promise(() => client.getPrompt({ name: "test_input_required_result_prompt" }))
      assert.deepInclude(messages[0]?.content, { text: "The context is a context" })
    })
  )

  it.live("is asked for each of its calls apart, however many are under way", () =>
    Effect.gen(function* () {
      const client = yield* connect(server)
      const call = (message: string) =>
        Effect.promise(() => client.callTool({ name: "test_elicitation", arguments: { message } }))
      // The first time nobody knows that it asks; the second time each has the server for itself.
      for (const _ of ["first", "second"]) {
        const results = yield* Effect.forEach(["a", "b", "c", "d"], call, { concurrency: 4 })
        for (const result of results) assert.include(EraClient.textOf(result), "action=accept")
      }
    })
  )

  it.live("is refused what it has not declared", () =>
    Effect.gen(function* () {
      const client = yield* connect(server, "modern", { capabilities: { sampling: {} } })
      const name = "test_input_required_result_elicitation"
      const { code, data } = yield* EraClient.failureOf(() => client.callTool({ name }))
      assert.strictEqual(code, -32021)
      assert.containsAllKeys((data as { readonly requiredCapabilities: object }).requiredCapabilities, ["elicitation"])
    })
  )

  it.live("is told of progress, and of logs where its request asks for them", () =>
    Effect.gen(function* () {
      const client = yield* connect(server)
      assert.deepStrictEqual(yield* EraClient.toldBy(client, "test_tool_with_progress"), [0, 50, 100, "the answer"])
      assert.deepStrictEqual(yield* EraClient.toldBy(client, "test_logging_tool"), ["the answer"])
      const meta = { "io.modelcontextprotocol/logLevel": "debug" }
      assert.lengthOf(yield* EraClient.toldBy(client, "test_logging_tool", meta), 2)
      assert.deepStrictEqual(yield* EraClient.toldBy(client, "test_logging_tool"), ["the answer"])
    })
  )

  it.live("hears what it listens to, until it does not", () =>
    Effect.gen(function* () {
      const client = yield* connect(server)
      const changes = yield* Queue.unbounded<string>()
      for (const method of [
        "notifications/tools/list_changed",
        "notifications/prompts/list_changed",
        "notifications/resources/updated"
      ] as const) {
        client.setNotificationHandler(method, () => void Queue.offerUnsafe(changes, method))
      }
      const call = (name: string) => Effect.promise(() => client.callTool({ name }))
      const listening = yield* Effect.promise(() =>
        client.listen({ toolsListChanged: true, resourceSubscriptions: [watched] })
      )
      yield* call("test_trigger_prompt_change")
      yield* call("test_trigger_resource_change")
      assert.strictEqual(yield* Queue.take(changes), "notifications/resources/updated")
      yield* call("test_trigger_tool_change")
      assert.strictEqual(yield* Queue.take(changes), "notifications/tools/list_changed")
      yield* Effect.promise(() => listening.close())
      yield* Effect.promise(() => client.listen({ promptsListChanged: true }))
      yield* call("test_trigger_tool_change")
      yield* call("test_trigger_prompt_change")
      assert.strictEqual(yield* Queue.take(changes), "notifications/prompts/list_changed")
    })
  )

  it.live("refuses a state that is not its own, and one that has served", () =>
    Effect.gen(function* () {
      const client = yield* connect(server, "modern", { inputRequired: { autoFulfill: false } })
      const call = (params: object) =>
        client.callTool({ name: "test_input_required_result_tampered_state", ...params }, { allowInputRequired: true })
      const first = (yield* Effect.promise(() => call({}))) as object as {
        readonly requestState: string
        readonly inputRequests: { readonly [key: string]: object }
      }
      const [key = ""] = Object.keys(first.inputRequests)
      const inputResponses = { [key]: { action: "accept", content: { ok: true } } }
      const again = (yield* Effect.promise(() =>
        call({ inputResponses: {}, requestState: first.requestState })
      )) as object as typeof first
      assert.containsAllKeys(again.inputRequests, [key])
      const tampered = `${again.requestState.slice(0, -2)}AA`
      assert.deepInclude(yield* EraClient.failureOf(() => call({ inputResponses, requestState: tampered })), {
        code: -32602
      })
      const last = yield* Effect.promise(() => call({ inputResponses, requestState: again.requestState }))
      assert.include(EraClient.textOf(last), "The state is as it was")
    })
  )
})

describe("clients of SDK 2 in other modes", () => {
  it.live.each(servers)("find out by themselves what suits, with a %s server", (server) =>
    Effect.gen(function* () {
      for (const mode of ["auto", "legacy"] as const) {
        const client = yield* connect(server, mode)
        assert.strictEqual(client.getProtocolEra(), mode === "auto" ? "modern" : "legacy")
        const result = yield* Effect.promise(() =>
          client.callTool({ name: "test_elicitation", arguments: { message: "" } })
        )
        assert.include(EraClient.textOf(result), "action=accept")
      }
    })
  )
})
