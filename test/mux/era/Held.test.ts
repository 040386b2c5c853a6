/** Calls of modern clients that wait, at a legacy server, for what their client finds out; in memory. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import * as Harness from "../MuxHarness.ts"
import { turn } from "../../lines/Turn.ts"
import { apart, call, capabilities, held, made, signed } from "./ModernMessages.ts"

/** The retry of a call that was answered with a question, which is declined. */
const retryOf = (id: unknown, name: string, { result }: Harness.Message): object => {
  const { inputRequests, requestState } = result as { readonly inputRequests: object; readonly requestState: string }
  const inputResponses = Object.fromEntries(Object.keys(inputRequests).map((key) => [key, { action: "decline" }]))
  return call(id, name, capabilities, { inputResponses, requestState })
}

describe("a call that is held", () => {
  it.effect("is resumed by its retry, under the new id", () =>
    Effect.gen(function* () {
      const world = made()
      const { client, server } = world
      const { asked, key, request, result } = yield* held(world)
      assert.deepInclude(asked, { id: 1 })
      assert.deepStrictEqual(result.inputRequests[key], {
        method: "elicitation/create",
        params: { message: "Who?", mode: "form" }
      })
      assert.strictEqual(client.session.inFlight, 0)
      const answer = { action: "accept", content: { name: "é" } }
      client.send(
        call("again", "ask", capabilities, { inputResponses: { [key]: answer }, requestState: result.requestState })
      )
      const [given] = yield* server.told
      assert.deepStrictEqual(given, { jsonrpc: "2.0", id: "q", result: answer })
      server.answer(request, { content: [] })
      assert.deepStrictEqual((yield* client.told)[0], {
        jsonrpc: "2.0",
        id: "again",
        result: { resultType: "complete", ...signed, content: [] }
      })
    })
  )

  it.effect("gives the answer that came meanwhile", () =>
    Effect.gen(function* () {
      const world = made()
      const { client, server } = world
      const { request, result } = yield* held(world)
      server.answer(request, { content: [] })
      assert.isEmpty(yield* client.told)
      client.send(call(2, "ask", capabilities, { inputResponses: {}, requestState: result.requestState }))
      assert.deepStrictEqual((yield* client.told)[0], {
        jsonrpc: "2.0",
        id: 2,
        result: { resultType: "complete", ...signed, content: [] }
      })
    })
  )

  it.effect("asks again for what was left out, and takes each state once", () =>
    Effect.gen(function* () {
      const world = made()
      const { client, server } = world
      const { key, result } = yield* held(world)
      client.send(call(2, "ask", capabilities, { inputResponses: { other: {} }, requestState: result.requestState }))
      const [again] = yield* client.told
      assert.deepStrictEqual(again?.result?.["inputRequests"], result.inputRequests)
      const inputResponses = { [key]: { action: "decline" } }
      const used = { inputResponses, requestState: result.requestState }
      client.send(call(3, "ask", capabilities, used))
      assert.strictEqual((yield* client.told)[0]?.error?.code, -32602)
      const fresh = { inputResponses, requestState: again?.result?.["requestState"] }
      client.send(call(4, "other", capabilities, fresh))
      assert.strictEqual((yield* client.told)[0]?.error?.code, -32602)
      const stranger = world.mux.client()
      stranger.send(call(4, "ask", capabilities, fresh))
      assert.strictEqual((yield* stranger.told)[0]?.error?.code, -32602)
      assert.isEmpty(yield* server.told)
      client.send(call(5, "ask", capabilities, fresh))
      assert.deepStrictEqual((yield* server.told)[0]?.result, { action: "decline" })
    })
  )

  it.effect("is asked once more for what the server wants to know while its client is away", () =>
    Effect.gen(function* () {
      const world = made()
      const { client, server } = world
      const { key, result } = yield* held(world)
      const params = { message: "Where?", mode: "form", requestedSchema: { type: "object", properties: {} } }
      server.say({ jsonrpc: "2.0", id: "r", method: "elicitation/create", params })
      assert.isEmpty(yield* client.told)
      const inputResponses = { [key]: { action: "decline" } }
      client.send(call(2, "ask", capabilities, { inputResponses, requestState: result.requestState }))
      const [more] = yield* client.told
      assert.deepInclude(yield* server.told, { jsonrpc: "2.0", id: "q", result: { action: "decline" } })
      assert.deepStrictEqual(Object.values(more!.result!["inputRequests"] as object), [
        { method: "elicitation/create", params }
      ])
      client.send(retryOf(3, "ask", more!))
      assert.deepInclude(yield* server.told, { jsonrpc: "2.0", id: "r", result: { action: "decline" } })
    })
  )

  it.effect("is cancelled after a minute, and with its connection", () =>
    Effect.gen(function* () {
      yield* Harness.fakeTimers
      const world = made()
      const { client, server } = world
      const first = yield* held(world)
      vi.advanceTimersByTime(59_000)
      assert.isEmpty(yield* server.told)
      vi.advanceTimersByTime(1_001)
      const cancelled = yield* server.told
      assert.include(
        cancelled.map(({ params }) => params?.["requestId"]),
        first.request.id
      )
      client.send(call(2, "ask", capabilities, { inputResponses: {}, requestState: first.result.requestState }))
      assert.strictEqual((yield* client.told)[0]?.error?.code, -32602)
      const second = yield* held(made())
      assert.strictEqual(second.asked.id, 1)
      const other = made()
      const third = yield* held(other)
      other.client.session.close()
      assert.include(
        (yield* other.server.told).map(({ params }) => params?.["requestId"]),
        third.request.id
      )
    })
  )

  it.effect("keeps its lane: what asks too waits, and is not asked instead", () =>
    Effect.gen(function* () {
      const asker = { method: "tools/call", name: "ask", isCertain: true }
      const world = made({ askers: [asker] })
      const { client, mux, server } = world
      const first = yield* held(world)
      const other = mux.client()
      other.send(call(1, "ask", capabilities))
      client.send(call("other", "ask", capabilities))
      assert.isEmpty(yield* server.told)
      const inputResponses = { [first.key]: { action: "decline" } }
      client.send(call(2, "ask", capabilities, { inputResponses, requestState: first.result.requestState }))
      assert.strictEqual((yield* server.told)[0]?.id, "q")
      server.answer(first.request, {})
      const [next] = yield* server.told
      assert.strictEqual(next?.method, "tools/call")
    })
  )

  it.effect("is refused what its request does not declare, and told so if the call fails by that", () =>
    Effect.gen(function* () {
      const { client, server } = made()
      yield* server.told
      client.send(call(1, "ask", { sampling: {} }))
      const [request] = yield* server.told
      server.say({ jsonrpc: "2.0", id: "q", method: "elicitation/create", params: { message: "Who?" } })
      assert.strictEqual((yield* server.told)[0]?.error?.code, -32601)
      server.answer(request!, { isError: true, content: [] })
      assert.deepInclude((yield* client.told)[0]?.error, {
        code: -32021,
        data: { requiredCapabilities: { elicitation: { form: {} } } }
      })
    })
  )

  it.effect("is not known where its state is forged, or another client's", () =>
    Effect.gen(function* () {
      const world = made()
      const { client, server } = world
      const { key, result } = yield* held(world)
      const inputResponses = { [key]: { action: "accept", content: {} } }
      const { requestState } = result
      const [handle, round, until, signature = ""] = requestState.split(".")
      const other = yield* held(made())
      const forged = [
        "",
        requestState.slice(1),
        `${requestState}A`,
        [handle, round, Number(until) + 1, signature].join("."),
        [handle, Number(round) + 1, until, signature].join("."),
        [handle, round, until, signature.slice(1)].join("."),
        other.result.requestState
      ]
      for (const [id, state] of forged.entries()) {
        client.send(call(id, "ask", capabilities, { inputResponses, requestState: state }))
        assert.deepInclude((yield* client.told)[0]?.error, { code: -32602 }, state)
      }
      client.send(call("x", "ask", capabilities, { inputResponses, requestState: 7 }))
      assert.deepInclude((yield* client.told)[0]?.error, { code: -32602 })
      assert.isEmpty(yield* server.told)
      client.send(call("own", "ask", capabilities, { inputResponses, requestState }))
      assert.strictEqual((yield* server.told)[0]?.id, "q")
    })
  )

  it.effect("asks again where an answer is none", () =>
    Effect.gen(function* () {
      const world = made()
      const { client, server } = world
      const { key, result } = yield* held(world)
      client.send(
        call(2, "ask", capabilities, { inputResponses: { [key]: "yes" }, requestState: result.requestState }),
        call(3, "ask", capabilities, { inputResponses: "none", requestState: result.requestState })
      )
      const [again, used] = yield* client.told
      assert.deepStrictEqual(again?.result?.["inputRequests"], result.inputRequests)
      assert.strictEqual(used?.error?.code, -32602)
      assert.isEmpty(yield* server.told)
    })
  )

  it.effect("tells that its server has ended, when its client comes back", () =>
    Effect.gen(function* () {
      const world = made()
      const { client, mux } = world
      const { key, result } = yield* held(world)
      mux.detach()
      const next = mux.attach({ capabilities: { tools: {} }, isEmpty: true })
      yield* next.told
      const inputResponses = { [key]: { action: "decline" } }
      client.send(call(2, "ask", capabilities, { inputResponses, requestState: result.requestState }))
      const [ended] = yield* client.told
      assert.strictEqual(ended?.id, 2)
      assert.strictEqual(ended?.error?.data?.["kind"], "OutcomeUnknown")
      assert.isEmpty(yield* next.told)
      client.send(call(3, "ask", capabilities, { inputResponses, requestState: result.requestState }))
      assert.strictEqual((yield* client.told)[0]?.error?.code, -32602)
    })
  )

  it.effect("is cancelled by the id of its retry, and not by that which was answered", () =>
    Effect.gen(function* () {
      const world = made()
      const { client, server } = world
      const { key, request, result } = yield* held(world)
      client.send(Harness.notification("notifications/cancelled", { requestId: 1 }))
      assert.isEmpty(yield* server.told)
      const inputResponses = { [key]: { action: "decline" } }
      client.send(call(2, "ask", capabilities, { inputResponses, requestState: result.requestState }))
      assert.strictEqual((yield* server.told)[0]?.id, "q")
      client.send(Harness.notification("notifications/cancelled", { requestId: 2 }))
      const cancelled = (yield* server.told).filter(({ method }) => method === "notifications/cancelled")
      assert.deepStrictEqual(
        cancelled.map(({ params }) => params?.["requestId"]),
        [request.id]
      )
      server.answer(request, {})
      assert.isEmpty(yield* client.told)
      assert.strictEqual(client.session.inFlight, 0)
    })
  )

  it.effect(
    "lets the server know what its client found out, though the question was another call's of that client",
    () =>
      Effect.gen(function* () {
        yield* Harness.fakeTimers
        const { client, server } = made()
        yield* server.told
        client.send(call("a", "ask a", capabilities), call("b", "ask b", capabilities))
        const [a, b] = yield* server.told
        const ask = (id: string) =>
          server.say({ jsonrpc: "2.0", id, method: "elicitation/create", params: { message: id } })
        ask("for b")
        ask("for a")
        yield* turn
        const [first, second] = yield* client.told
        client.send(retryOf("a again", "ask a", first!))
        assert.deepStrictEqual((yield* server.told)[0]?.id, "for b")
        server.answer(b!, { content: [] })
        assert.isEmpty(yield* client.told)
        // Longer than who is of no use stays.
        vi.advanceTimersByTime(5000)
        assert.isEmpty(yield* server.told)
        client.send(retryOf("b again", "ask b", second!))
        assert.deepStrictEqual(
          (yield* client.told).map(({ id }) => id),
          ["b again"]
        )
        assert.deepStrictEqual(yield* server.told, [{ jsonrpc: "2.0", id: "for a", result: { action: "decline" } }])
        server.answer(a!, { content: [] })
        assert.deepStrictEqual(
          (yield* client.told).map(({ id }) => id),
          ["a again"]
        )
        assert.strictEqual(client.session.inFlight, 0)
      })
  )

  it.effect("is not asked again while another call of its client has not been asked", () =>
    Effect.gen(function* () {
      const { client, server } = made()
      yield* server.told
      client.send(call("a", "ask a", capabilities), call("b", "ask b", capabilities))
      yield* server.told
      for (const [id, name] of [
        ["a", "ask a"],
        ["b", "ask b"]
      ] as const) {
        server.say({ jsonrpc: "2.0", id, method: "elicitation/create", params: { message: "Who?" } })
        yield* turn
        const [asked] = yield* client.told
        assert.strictEqual(asked?.id, id)
        client.send(retryOf(`${id} again`, name, asked!))
        assert.strictEqual((yield* server.told)[0]?.id, id)
      }
    })
  )

  it.effect("leaves no question without an answer: that of a call that is answered, cancelled or given up", () =>
    Effect.gen(function* () {
      yield* Harness.fakeTimers
      const refused = (told: ReadonlyArray<Harness.Message>) =>
        told.filter(({ error }) => error !== undefined).map(({ id }) => id)
      const question = { jsonrpc: "2.0", id: "q", method: "elicitation/create", params: { message: "Who?" } }
      for (const questions of ["auto", "own"] as const) {
        const begun = Effect.fnUntraced(function* () {
          const mux = Harness.makeMux({ questions })
          const server = mux.attach({ capabilities: {}, isEmpty: true })
          const requests = apart(mux, null)
          const { cancel } = requests.send(call(1, "ask", capabilities))
          const request = (yield* server.told).find(({ method }) => method === "tools/call")!
          server.say(question)
          return { cancel, request, requests, server }
        })
        const answered = yield* begun()
        answered.server.answer(answered.request)
        assert.deepStrictEqual(refused(yield* answered.server.told), ["q"])
        assert.strictEqual(answered.requests.answered[0]?.result?.["resultType"], "complete")
        const cancelled = yield* begun()
        cancelled.cancel()
        assert.deepStrictEqual(refused(yield* cancelled.server.told), ["q"])
        assert.isEmpty(cancelled.requests.answered)
        const left = yield* begun()
        yield* turn
        assert.strictEqual(left.requests.answered[0]?.result?.["resultType"], "input_required")
        assert.deepStrictEqual(refused(yield* left.server.told), [])
        vi.advanceTimersByTime(60_001)
        assert.deepStrictEqual(refused(yield* left.server.told), ["q"])
      }
    })
  )

  it.effect("is waited for a minute from when its client was asked, however often that comes back with nothing", () =>
    Effect.gen(function* () {
      yield* Harness.fakeTimers
      const world = made()
      const { client, server } = world
      let { asked } = yield* held(world)
      for (let round = 0; round < 3; round++) {
        vi.advanceTimersByTime(19_000)
        const requestState = asked.result?.["requestState"]
        client.send(call(round, "ask", capabilities, { inputResponses: {}, requestState }))
        asked = (yield* client.told)[0]!
        assert.strictEqual(asked.result?.["resultType"], "input_required")
      }
      assert.isEmpty(yield* server.told)
      vi.advanceTimersByTime(3001)
      assert.include(
        (yield* server.told).map(({ method }) => method),
        "notifications/cancelled"
      )
    })
  )

  it.effect("is given up where its client says nothing more, and answered where that was not asked yet", () =>
    Effect.gen(function* () {
      const one = made()
      const { request } = yield* held(one)
      one.client.session.inputEnded()
      const told = yield* one.server.told
      assert.deepInclude(told.find(({ method }) => method === "notifications/cancelled")?.params, {
        requestId: request.id
      })
      assert.isDefined(told.find(({ error, id }) => id === "q" && error !== undefined))
      const { client, server } = made()
      yield* server.told
      client.send(call(1, "ask", capabilities))
      const [asks] = yield* server.told
      client.session.inputEnded()
      server.say({ jsonrpc: "2.0", id: "q", method: "elicitation/create", params: { message: "Who?" } })
      yield* turn
      const [refused] = yield* server.told
      assert.strictEqual(refused?.id, "q")
      assert.isDefined(refused?.error)
      server.answer(asks!, { content: [] })
      assert.deepInclude((yield* client.told)[0], { id: 1 })
      assert.strictEqual(client.session.inFlight, 0)
    })
  )

  it.effect("has so much to be found out at a time: no more than may wait for its client", () =>
    Effect.gen(function* () {
      const mux = Harness.makeMux()
      const server = mux.attach({ capabilities: { tools: {} }, isEmpty: true })
      const client = mux.client({ maxUnread: 2500 })
      client.send(call(1, "ask", capabilities))
      yield* server.told
      const message = "x".repeat(1000)
      for (const id of ["a", "b", "c"]) {
        server.say({ jsonrpc: "2.0", id, method: "elicitation/create", params: { message } })
      }
      yield* turn
      const [asked] = yield* client.told
      assert.lengthOf(Object.keys(asked?.result?.["inputRequests"] as object), 2)
      assert.deepStrictEqual(
        (yield* server.told).map(({ error, id }) => [id, error?.code]),
        [["c", -32600]]
      )
    })
  )

  it.effect("is one of so many: who leaves more behind is refused", () =>
    Effect.gen(function* () {
      const { client, server } = made()
      yield* server.told
      let refused: Harness.Message | undefined
      for (let id = 0; refused === undefined && id < 300; id++) {
        client.send(call(id, `ask ${id}`, capabilities))
        for (const _ of yield* server.told) {
          server.say({ jsonrpc: "2.0", id, method: "elicitation/create", params: { message: "Who?" } })
        }
        yield* server.told
        refused = (yield* client.told).find(({ error }) => error !== undefined)
      }
      assert.strictEqual(refused?.id, 256)
      assert.strictEqual(refused?.error?.data?.["kind"], "Overloaded")
    })
  )
})
