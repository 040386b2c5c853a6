/** Clients of the legacy era on a server that speaks 2026-07-28 alone. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Queue } from "effect"
import { watched } from "../../fixtures/conformance/content.ts"
import * as EraClient from "../../support/EraClient.ts"
import * as TestPool from "../../support/TestPool.ts"

const modern = TestPool.make(({ marker }) => ({ modern: EraClient.fixture("modern", marker) }))

const legacyClient = Effect.fnUntraced(function* (capabilities?: Parameters<typeof EraClient.connect1>[1]) {
  const { pool } = yield* modern
  return yield* EraClient.connect1(yield* pool.transport("modern"), capabilities)
})

describe("a client of SDK 1 on a server of 2026-07-28", () => {
  it.live("is greeted as its own era has it", () =>
    Effect.gen(function* () {
      const client = yield* legacyClient()
      assert.deepInclude(client.getServerVersion(), { name: "conformance-modern" })
      assert.strictEqual(client.getInstructions(), "The conformance fixture, of 2026-07-28")
      const { tools } = yield* Effect.promise(() => client.listTools())
      assert.include(
        tools.map(({ name }) => name),
        "test_sampling"
      )
      yield* Effect.promise(() => client.ping())
      const ref = { type: "ref/prompt" as const, name: "test_prompt_with_arguments" }
      const { completion } = yield* Effect.promise(() =>
        client.complete({ ref, argument: { name: "arg1", value: "par" } })
      )
      assert.deepStrictEqual(completion.values, ["paris", "park", "party"])
    })
  )

  it.live("is asked within its call, round by round, and sees one call", () =>
    Effect.gen(function* () {
      const client = yield* legacyClient()
      for (const [name, [args, text]] of Object.entries(EraClient.asked)) {
        const result = yield* Effect.promise(() => client.callTool({ name, arguments: args }))
        assert.strictEqual(EraClient.textOf(result), text)
      }
      const { messages } = yield* Effect.promise(() => client.getPrompt({ name: "test_input_required_result_prompt" }))
      assert.deepInclude(messages[0]?.content, { text: "The context is a context" })
    })
  )

  it.live("is not asked for what it has not declared", () =>
    Effect.gen(function* () {
      const client = yield* legacyClient({ sampling: {} })
      const name = "test_input_required_result_elicitation"
      assert.deepInclude(yield* EraClient.failureOf(() => client.callTool({ name })), { code: -32021 })
      const modest = yield* Effect.promise(() => client.callTool({ name: "test_input_required_result_capabilities" }))
      assert.strictEqual(EraClient.textOf(modest), "Asked greeting")
    })
  )

  it.live("is asked nothing once it has said its last, and gets the answer that comes without", () =>
    Effect.gen(function* () {
      const client = yield* (yield* modern).open("modern", { elicitation: {} })
      const name = "test_input_required_result_elicitation"
      yield* client.send({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name } })
      yield* client.notification("elicitation/create")
      yield* client.halfClose
      assert.strictEqual((yield* client.answer(1)).error?.code, 31007)
      yield* client.closed
    })
  )

  it.live("is told of progress, and of logs from its level on", () =>
    Effect.gen(function* () {
      const client = yield* legacyClient()
      assert.deepStrictEqual(yield* EraClient.toldBy(client, "test_tool_with_progress"), [0, 50, 100, "the answer"])
      assert.deepStrictEqual(yield* EraClient.toldBy(client, "test_logging_tool"), ["the answer"])
      yield* Effect.promise(() => client.setLoggingLevel("debug"))
      assert.lengthOf(yield* EraClient.toldBy(client, "test_logging_tool"), 2)
      yield* Effect.promise(() => client.setLoggingLevel("warning"))
      assert.deepStrictEqual(yield* EraClient.toldBy(client, "test_logging_tool"), ["the answer"])
    })
  )

  it.live("is told of changed lists, and of what it subscribes to while it does", () =>
    Effect.gen(function* () {
      const client = yield* legacyClient()
      const changes = yield* Queue.unbounded<string>()
      client.fallbackNotificationHandler = ({ method }) => Promise.resolve(void Queue.offerUnsafe(changes, method))
      const call = (name: string) => Effect.promise(() => client.callTool({ name }))
      yield* call("test_trigger_resource_change")
      yield* call("test_trigger_tool_change")
      assert.strictEqual(yield* Queue.take(changes), "notifications/tools/list_changed")
      const { tools } = yield* Effect.promise(() => client.listTools())
      assert.include(tools.find(({ name }) => name === "test_trigger_tool_change")?.description, "changed 1 times")
      yield* Effect.promise(() => client.subscribeResource({ uri: watched }))
      yield* call("test_trigger_resource_change")
      assert.strictEqual(yield* Queue.take(changes), "notifications/resources/updated")
      yield* Effect.promise(() => client.unsubscribeResource({ uri: watched }))
      yield* call("test_trigger_resource_change")
      yield* call("test_trigger_prompt_change")
      assert.strictEqual(yield* Queue.take(changes), "notifications/prompts/list_changed")
      assert.deepInclude(yield* EraClient.failureOf(() => client.readResource({ uri: "test://none" })), {
        code: -32602
      })
    })
  )

  it.live("is told by the next process too, when this one is replaced", () =>
    Effect.gen(function* () {
      const { pool } = yield* modern
      const client = yield* EraClient.connect1(yield* pool.transport("modern"))
      const changes = yield* Queue.unbounded<string>()
      client.fallbackNotificationHandler = ({ method }) => Promise.resolve(void Queue.offerUnsafe(changes, method))
      yield* Effect.promise(() => client.subscribeResource({ uri: watched }))
      yield* pool.restart("modern")
      // In the order in which it hears: it listens before it changes.
      yield* Effect.promise(() => client.callTool({ name: "test_trigger_resource_change" }))
      assert.strictEqual(yield* Queue.take(changes), "notifications/resources/updated")
    })
  )
})
