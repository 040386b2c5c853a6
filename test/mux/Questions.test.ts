import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import { markers, methods, outcomes, withTools } from "./Messages.ts"
import {
  type Client,
  fakeTimers,
  type makeMux,
  makeProcess,
  makeShared,
  type Message,
  notification,
  type Process,
  request
} from "./MuxHarness.ts"

const call = (id: unknown, name: string, n: unknown = id) => request(id, "tools/call", { name, n })

const initialize = (capabilities: object) =>
  request("i", "initialize", { protocolVersion: "2025-11-25", capabilities, clientInfo: { name: "t", version: "1" } })

const capable = { sampling: { tools: {} }, elicitation: { form: {}, url: {} } }

/** A server whose clients can be asked everything, and have heard that it is there. */
const makeCapable = Effect.fnUntraced(function* (count: number, options?: Parameters<typeof makeMux>[0]) {
  const shared = makeShared(count, options)
  for (const client of shared.clients) client.send(initialize(capable))
  for (const client of shared.clients) yield* client.told
  return shared
})

const sampling = (id: unknown, params: object = {}) =>
  request(id, "sampling/createMessage", { messages: [], ...params })

const kindOf = (message: Message | undefined) => message?.error?.data?.["kind"] ?? message?.error?.code

describe("Questions", () => {
  it.effect("reach the one session that has calls in flight, and its answer the server, each under its own id", () =>
    Effect.gen(function* () {
      const { clients, server } = yield* makeCapable(2)
      const [one, other] = clients as [Client, Client]
      one.send(call(1, "ask"))
      yield* server.told
      server.say(sampling("q", { text: "é漢", _meta: { progressToken: "p" } }))
      const question = (yield* one.told)[0]!
      assert.strictEqual(question.method, "sampling/createMessage")
      assert.deepStrictEqual(question.params, { messages: [], text: "é漢", _meta: { progressToken: question.id } })
      assert.deepStrictEqual(yield* other.told, [])
      other.send({ jsonrpc: "2.0", id: question.id, result: { stolen: true } })
      one.send(notification("notifications/progress", { progressToken: question.id, progress: 1 }))
      one.send({ jsonrpc: "2.0", id: question.id, result: { role: "assistant" } })
      one.send({ jsonrpc: "2.0", id: question.id, result: { role: "again" } })
      assert.deepStrictEqual(yield* server.told, [
        notification("notifications/progress", { progressToken: "p", progress: 1 }),
        { jsonrpc: "2.0", id: "q", result: { role: "assistant" } }
      ])
    })
  )

  it.effect("are refused while calls of two sessions are in flight, and both tools run alone from then on", () =>
    Effect.gen(function* () {
      const { clients, mux, server } = yield* makeCapable(2)
      const [one, other] = clients as [Client, Client]
      one.send(call(1, "a"))
      other.send(call(1, "b"))
      const calls = yield* server.told
      server.say(sampling(7))
      assert.deepStrictEqual([yield* one.told, yield* other.told], [[], []])
      const [refused] = yield* server.told
      assert.deepStrictEqual([refused?.id, kindOf(refused)], [7, "QuestionNotAttributable"])
      assert.deepStrictEqual(mux.sharing.asking.all, [
        { method: "tools/call", name: "a", isCertain: false },
        { method: "tools/call", name: "b", isCertain: false }
      ])
      for (const call of calls) server.answer(call)
      one.send(call(2, "a"), call(3, "a"))
      other.send(call(2, "b"), call(3, "never"))
      const next = yield* server.told
      assert.deepStrictEqual(markers(next), [2, 3, 3], "its own beside it, and what never asked")
      server.say(sampling(8))
      assert.strictEqual(kindOf((yield* server.told)[0]), "QuestionNotAttributable", "what never asked may ask")
      server.answer(next[2]!)
      server.say(sampling(9))
      assert.strictEqual((yield* one.told).at(-1)?.method, "sampling/createMessage")
    })
  )

  it.effect("a tool that was only suspected is none that asks once it ran alone and asked nothing", () =>
    Effect.gen(function* () {
      const { clients, mux, server } = yield* makeCapable(2)
      const [one, other] = clients as [Client, Client]
      one.send(call(1, "asks"))
      other.send(call(1, "quiet"))
      const calls = yield* server.told
      server.say(sampling("q"))
      for (const call of calls) server.answer(call)
      yield* server.told
      one.send(call(2, "quiet"))
      server.answer((yield* server.told)[0]!)
      one.send(call(3, "asks"))
      const [asks] = yield* server.told
      server.say(sampling("q"))
      server.answer(asks!)
      assert.deepStrictEqual(mux.sharing.asking.all, [{ method: "tools/call", name: "asks", isCertain: true }])
    })
  )

  it.effect("are refused where the session did not declare it, by the codes that its client would use", () =>
    Effect.gen(function* () {
      const cases: ReadonlyArray<readonly [capabilities: object, method: string, params: object, code: number | null]> =
        [
          [{}, "sampling/createMessage", {}, -32601],
          [{ sampling: {} }, "sampling/createMessage", {}, null],
          [{ sampling: {} }, "sampling/createMessage", { tools: [] }, -32602],
          [{ sampling: { tools: {} } }, "sampling/createMessage", { tools: [], toolChoice: {} }, null],
          [{ sampling: {} }, "elicitation/create", {}, -32601],
          [{ elicitation: {} }, "elicitation/create", { mode: "form" }, null],
          [{ elicitation: {} }, "elicitation/create", { mode: "url" }, -32602],
          [{ elicitation: { url: {} } }, "elicitation/create", {}, -32602],
          [{ elicitation: { url: {} } }, "elicitation/create", { mode: "url", elicitationId: "e" }, null],
          [{ elicitation: { form: {}, url: {} } }, "elicitation/create", {}, null],
          [{ roots: {} }, "roots/list", {}, -32601],
          [capable, "tasks/list", {}, -32601]
        ]
      for (const [capabilities, method, params, code] of cases) {
        const { clients, server } = makeShared(1)
        const [client] = clients as [Client]
        client.send(initialize(capabilities), call(1, "ask"))
        yield* server.told
        yield* client.told
        server.say(request("q", method, params))
        const note = JSON.stringify([capabilities, method, params])
        assert.deepStrictEqual(methods(yield* client.told), code === null ? [method] : [], note)
        assert.deepStrictEqual(
          (yield* server.told).map(({ error }) => error?.code),
          code === null ? [] : [code],
          note
        )
      }
    })
  )

  it.effect("without a call in flight are nobody's", () =>
    Effect.gen(function* () {
      const { clients, server } = yield* makeCapable(1)
      server.say(sampling(1))
      assert.deepStrictEqual((yield* server.told).map(kindOf), ["QuestionNotAttributable"])
      assert.deepStrictEqual(yield* clients[0]!.told, [])
    })
  )

  it.effect("a cancelled call may still ask: its question reaches no other session, and its process is replaced", () =>
    Effect.gen(function* () {
      yield* fakeTimers
      const { clients, mux, server } = yield* makeCapable(2, { askers: asking("ask") })
      const [one, other] = clients as [Client, Client]
      one.send(call(1, "ask"), notification("notifications/cancelled", { requestId: 1 }))
      const [, cancel] = yield* server.told
      assert.strictEqual(cancel?.method, "notifications/cancelled")
      other.send(call(1, "plain"))
      yield* server.told
      server.say(sampling(1))
      assert.deepStrictEqual((yield* server.told).map(kindOf), ["QuestionNotAttributable"])
      assert.deepStrictEqual([yield* one.told, yield* other.told], [[], []])
      other.send(call(2, "ask"))
      assert.deepStrictEqual(yield* server.told, [])
      vi.advanceTimersByTime(250)
      assert.deepStrictEqual(mux.wanted, ["renew 0"])
      const next = mux.attach()
      assert.deepStrictEqual(markers(yield* next.told), [2])
      next.say(sampling(2))
      assert.deepStrictEqual(methods(yield* other.told), ["sampling/createMessage"])
    })
  )

  it.effect("a late answer to a cancelled call takes the taint off", () =>
    Effect.gen(function* () {
      yield* fakeTimers
      const { clients, mux, server } = yield* makeCapable(2, { askers: asking("ask") })
      const [one, other] = clients as [Client, Client]
      one.send(call(1, "ask"), notification("notifications/cancelled", { requestId: 1 }))
      server.answer((yield* server.told)[0]!)
      vi.advanceTimersByTime(250)
      assert.deepStrictEqual(mux.wanted, [])
      other.send(call(2, "ask"))
      assert.deepStrictEqual(markers(yield* server.told), [2])
    })
  )

  it.effect("a late answer does so however long it is", () =>
    Effect.gen(function* () {
      const { clients, server } = yield* makeCapable(2, { askers: asking("ask") })
      const [one, other] = clients as [Client, Client]
      one.send(call(1, "ask"), notification("notifications/cancelled", { requestId: 1 }))
      const [late] = yield* server.told
      server.say({ result: { text: "x".repeat(300_000) }, jsonrpc: "2.0", id: late!.id }, 65_536)
      other.send(call(2, "ask"))
      assert.deepStrictEqual(markers(yield* server.told), [2])
      assert.deepStrictEqual(yield* one.told, [])
    })
  )

  it.effect("a cancelled call that asks is found to ask, and what is in flight beside it may be innocent", () =>
    Effect.gen(function* () {
      const { clients, mux, server } = yield* makeCapable(2)
      const [one, other] = clients as [Client, Client]
      one.send(call(1, "asks"), notification("notifications/cancelled", { requestId: 1 }))
      other.send(call(1, "plain"))
      yield* server.told
      server.say(sampling("q"))
      assert.deepStrictEqual(mux.sharing.asking.all, [
        { method: "tools/call", name: "plain", isCertain: false },
        { method: "tools/call", name: "asks", isCertain: false }
      ])
    })
  )

  it.effect("what asks runs alone, in turns, and a session that is asked may go on", () =>
    Effect.gen(function* () {
      const { clients, server } = yield* makeCapable(2, { askers: asking("ask"), maxInFlight: 1 })
      const [one, other] = clients as [Client, Client]
      one.send(call(1, "ask", "one 1"))
      other.send(call(1, "ask", "other 1"))
      const [first] = yield* server.told
      assert.deepStrictEqual(markers([first!]), ["one 1"])
      server.say(sampling("q"))
      const [question] = yield* one.told
      one.send(call(3, "ask", "nested"))
      const [nested] = yield* server.told
      assert.deepStrictEqual(markers([nested!]), ["nested"])
      server.answer(nested!)
      one.send({ jsonrpc: "2.0", id: question!.id, result: {} })
      assert.deepStrictEqual(yield* server.told, [{ jsonrpc: "2.0", id: "q", result: {} }])
      one.send(call(2, "ask", "one 2"))
      assert.deepStrictEqual(yield* server.told, [])
      server.answer(first!)
      const [second] = yield* server.told
      assert.deepStrictEqual(markers([second!]), ["other 1"])
      server.answer(second!)
      assert.deepStrictEqual(markers(yield* server.told), ["one 2"])
    })
  )

  it.effect("a lane that is taken sends what asks to another process, which is started for it", () =>
    Effect.gen(function* () {
      const { clients, mux, server } = yield* makeCapable(3, {
        askers: asking("ask"),
        replicas: { min: 1, max: 3, homes: 1 }
      })
      const [one, other, third] = clients as [Client, Client, Client]
      one.send(call(1, "ask", "one"))
      assert.deepStrictEqual(mux.wanted, ["start 1"])
      const second = place(mux, 1)
      assert.deepStrictEqual(markers(yield* second.told), ["one"])
      second.say(sampling("form"))
      assert.deepStrictEqual(methods(yield* one.told), ["sampling/createMessage"])
      other.send(call(1, "ask", "other"), call(2, "plain", "plain"))
      assert.deepStrictEqual(markers(yield* server.told), ["plain"])
      assert.deepStrictEqual(mux.wanted, ["start 1", "start 2"])
      const fourth = place(mux, 2)
      assert.deepStrictEqual(markers(yield* fourth.told), ["other"])
      fourth.say(sampling("form"))
      assert.deepStrictEqual(methods(yield* other.told), ["sampling/createMessage"])
      assert.deepStrictEqual(yield* third.told, [])
    })
  )

  it.effect("a process that was started for what asks ends after five minutes without use", () =>
    Effect.gen(function* () {
      yield* fakeTimers
      const { clients, mux } = yield* makeCapable(2, {
        askers: asking("ask"),
        replicas: { min: 1, max: 2, homes: 1 }
      })
      clients[0]!.send(call(1, "ask"))
      const second = place(mux, 1)
      const [asked] = yield* second.told
      vi.advanceTimersByTime(10 * 60_000)
      assert.deepStrictEqual(mux.wanted, ["start 1"])
      second.answer(asked!)
      vi.advanceTimersByTime(4 * 60_000)
      assert.deepStrictEqual(mux.wanted, ["start 1"])
      vi.advanceTimersByTime(61_000)
      assert.deepStrictEqual(mux.wanted, ["start 1", "stop 1"])
    })
  )

  it.effect("a session that is alone is asked by the process that serves it", () =>
    Effect.gen(function* () {
      const { clients, mux, server } = yield* makeCapable(1, {
        askers: asking("ask"),
        replicas: { min: 1, max: 4, homes: 1 }
      })
      clients[0]!.send(call(1, "ask"))
      assert.deepStrictEqual(markers(yield* server.told), [1])
      assert.deepStrictEqual(mux.wanted, [])
    })
  )

  it.effect("the deadline of a call stands still while its session is asked", () =>
    Effect.gen(function* () {
      yield* fakeTimers
      const { clients, server } = yield* makeCapable(1, { requestTimeout: 10_000 })
      const [client] = clients as [Client]
      client.send(call(1, "ask"))
      yield* server.told
      vi.advanceTimersByTime(6000)
      server.say(sampling("q"))
      const [question] = yield* client.told
      vi.advanceTimersByTime(60_000)
      assert.deepStrictEqual(yield* client.told, [])
      client.send({ jsonrpc: "2.0", id: question!.id, result: {} })
      vi.advanceTimersByTime(3000)
      assert.deepStrictEqual(yield* client.told, [])
      vi.advanceTimersByTime(2000)
      assert.deepStrictEqual((yield* client.told).map(kindOf), ["RequestTimeout"])
    })
  )

  it.effect("a session that leaves while it is asked answers with an error", () =>
    Effect.gen(function* () {
      const { clients, server } = yield* makeCapable(1)
      const [client] = clients as [Client]
      client.send(call(1, "ask"))
      yield* server.told
      server.say(sampling("q"))
      yield* client.told
      client.session.close()
      const told = yield* server.told
      const answer = told.find(({ id }) => id === "q")
      assert.strictEqual(kindOf(answer), "QuestionNotAttributable")
    })
  )

  it.effect("are so many at a time: a server that goes on asking is refused", () =>
    Effect.gen(function* () {
      const { clients, server } = yield* makeCapable(1)
      const [client] = clients as [Client]
      client.send(call(1, "ask"))
      yield* server.told
      for (let id = 0; id < 1025; id++) server.say(sampling(id))
      const asked = yield* client.told
      assert.lengthOf(asked, 1024)
      assert.deepStrictEqual(
        (yield* server.told).map((message) => [message.id, kindOf(message)]),
        [[1024, "Overloaded"]]
      )
      client.send({ jsonrpc: "2.0", id: asked[0]!.id, result: {} })
      server.say(sampling("next"))
      assert.lengthOf(yield* client.told, 1)
    })
  )

  it.effect("a session that says nothing more answers with an error: what it was asked, and what comes later", () =>
    Effect.gen(function* () {
      const { clients, server } = yield* makeCapable(2, { askers: asking("ask") })
      const [client, other] = clients as [Client, Client]
      client.send(call(1, "ask"))
      const [asks] = yield* server.told
      server.say(sampling("before"))
      yield* client.told
      client.session.inputEnded()
      server.say(sampling("later"))
      assert.deepStrictEqual(
        (yield* server.told).map((message) => [message.id, kindOf(message)]),
        [
          ["before", "QuestionNotAttributable"],
          ["later", "QuestionNotAttributable"]
        ]
      )
      other.send(call(2, "ask"))
      assert.deepStrictEqual(yield* server.told, [])
      server.answer(asks!)
      assert.deepStrictEqual(
        (yield* client.told).map(({ id }) => id),
        [1]
      )
      assert.deepStrictEqual(markers(yield* server.told), [2])
    })
  )

  it.effect("a question that the server gives up, or ends with, is taken back from its client", () =>
    Effect.gen(function* () {
      const { clients, mux, server } = yield* makeCapable(1)
      const [client] = clients as [Client]
      client.send(call(1, "ask"))
      yield* server.told
      server.say(sampling("q"))
      server.say(sampling(2))
      const [first, second] = yield* client.told
      server.say(notification("notifications/cancelled", { requestId: "q", reason: "late" }))
      assert.deepStrictEqual(yield* client.told, [
        notification("notifications/cancelled", { requestId: first!.id, reason: "late" })
      ])
      mux.detach()
      const told = yield* client.told
      assert.strictEqual(told[0]?.params?.["requestId"], second!.id)
      client.send({ jsonrpc: "2.0", id: second!.id, result: {} })
      assert.deepStrictEqual(yield* mux.attach().told, [])
    })
  )

  it.effect("roots are the pool's own, where it has some", () =>
    Effect.gen(function* () {
      const roots = [{ uri: "file:///tmp", name: "tmp" }]
      const { server } = yield* makeCapable(2, { roots })
      server.say(request("r", "roots/list"))
      assert.deepStrictEqual(yield* server.told, [{ jsonrpc: "2.0", id: "r", result: { roots } }])
    })
  )

  it.effect("the news that a page elsewhere is done with is for whom it was opened", () =>
    Effect.gen(function* () {
      const { clients, server } = yield* makeCapable(2)
      const [one, other] = clients as [Client, Client]
      one.send(call(1, "ask"))
      const [asked] = yield* server.told
      server.say(request("q", "elicitation/create", { mode: "url", elicitationId: "e", url: "http://x", message: "m" }))
      const [question] = yield* one.told
      one.send({ jsonrpc: "2.0", id: question!.id, result: { action: "accept" } })
      server.answer(asked!)
      other.send(call(1, "plain"))
      yield* one.told
      server.say(notification("notifications/elicitation/complete", { elicitationId: "e" }))
      server.say(notification("notifications/elicitation/complete", { elicitationId: "unknown" }))
      assert.deepStrictEqual(methods(yield* one.told), ["notifications/elicitation/complete"])
      assert.deepStrictEqual(yield* other.told, [])
    })
  )

  it.effect("and the ids of such pages are their process's own", () =>
    Effect.gen(function* () {
      const { clients, mux, server } = yield* makeCapable(2, { replicas: { min: 2, max: 2, homes: 2 } })
      const [one, other] = clients as [Client, Client]
      one.send(call(1, "ask"))
      yield* server.told
      const page = request("q", "elicitation/create", {
        mode: "url",
        elicitationId: "1",
        url: "http://x",
        message: "m"
      })
      server.say(page)
      const second = place(mux, 1)
      other.send(call(1, "ask"))
      yield* second.told
      second.say(page)
      yield* Effect.all([one.told, other.told])
      server.say(notification("notifications/elicitation/complete", { elicitationId: "1" }))
      assert.deepStrictEqual(methods(yield* one.told), ["notifications/elicitation/complete"])
      assert.deepStrictEqual(yield* other.told, [])
    })
  )

  it.effect("a page that a refused call names is its client's too", () =>
    Effect.gen(function* () {
      const { clients, server } = yield* makeCapable(2)
      const [one, other] = clients as [Client, Client]
      one.send(call(1, "needs a page"))
      const [refused] = yield* server.told
      const data = { elicitations: [{ mode: "url", elicitationId: "e", url: "http://x", message: "m" }, null, {}] }
      server.say({ jsonrpc: "2.0", id: refused!.id, error: { code: -32042, message: "page", data } })
      assert.deepStrictEqual((yield* one.told)[0]?.error?.data, data)
      server.say(notification("notifications/elicitation/complete", { elicitationId: "e" }))
      assert.deepStrictEqual(methods(yield* one.told), ["notifications/elicitation/complete"])
      assert.deepStrictEqual(yield* other.told, [])
    })
  )

  it.effect("are not passed on where the pool declares no such capability", () =>
    Effect.gen(function* () {
      const { clients, mux, server } = yield* makeCapable(1, { questions: "deny" })
      clients[0]!.send(call(1, "ask"))
      yield* server.told
      server.say(sampling("q"))
      assert.deepStrictEqual((yield* server.told).map(kindOf), [-32601])
      assert.deepStrictEqual(mux.sharing.asking.all, [])
    })
  )

  it.effect("that were refused as perhaps another's are asked again, where a call may be run twice and failed", () =>
    Effect.gen(function* () {
      const { clients, server } = makeShared(2, {}, withTools)
      for (const client of clients) client.send(initialize(capable))
      for (const client of clients) yield* client.told
      const [one, other] = clients as [Client, Client]
      one.send(call(1, "reads", "asks"))
      other.send(call(1, "writes", "other"), call(2, "sets", "well"))
      const calls = yield* server.told
      server.say(sampling("q"))
      yield* server.told
      for (const [index, isError] of [true, true, false].entries()) server.answer(calls[index]!, { isError })
      assert.deepStrictEqual(outcomes(yield* one.told), [])
      assert.deepStrictEqual(outcomes(yield* other.told), [
        [1, null],
        [2, null]
      ])
      const [again] = yield* server.told
      assert.deepStrictEqual(markers([again!]), ["asks"])
      assert.notStrictEqual(again?.id, calls[0]?.id)
      server.say(sampling("q2"))
      const [question] = yield* one.told
      assert.strictEqual(question?.method, "sampling/createMessage")
      one.send({ jsonrpc: "2.0", id: question?.id, result: {} })
      assert.deepStrictEqual((yield* server.told)[0]?.id, "q2")
      server.answer(again!, { isError: true })
      assert.deepStrictEqual(yield* one.told, [{ jsonrpc: "2.0", id: 1, result: { isError: true } }])
      assert.strictEqual(one.session.inFlight, 0)
      assert.isEmpty(yield* server.told)
    })
  )

  it.effect("that were refused cost a call that is run again nothing where its client gives it up meanwhile", () =>
    Effect.gen(function* () {
      const { clients, mux, server } = makeShared(2, {}, withTools)
      const [one, other] = clients as [Client, Client]
      one.send(call(1, "reads"))
      other.send(call(1, "writes"))
      const [first, second] = yield* server.told
      server.say(sampling("q"))
      server.answer(first!, { isError: true })
      one.send(notification("notifications/cancelled", { requestId: 1 }))
      server.answer(second!)
      yield* server.told
      assert.isEmpty(yield* one.told)
      assert.strictEqual(one.session.inFlight, 0)
      assert.deepStrictEqual(
        mux.calls.map(({ outcome, tool }) => [tool, outcome]),
        [
          ["reads", "cancelled"],
          ["writes", "ok"]
        ]
      )
    })
  )

  it.effect("where every tool counts as asking, none was learnt", () =>
    Effect.gen(function* () {
      const { clients, server } = yield* makeCapable(2, { questions: "lane" })
      const [one, other] = clients as [Client, Client]
      one.send(call(1, "a", "one"))
      other.send(call(1, "b", "other"), request(2, "prompts/list", { n: "list" }))
      const told = yield* server.told
      assert.deepStrictEqual(markers(told), ["one", "list"])
      server.answer(told[0]!)
      server.answer(told[1]!)
      assert.deepStrictEqual(markers(yield* server.told), ["other"])
    })
  )

  it.effect("where every tool counts as asking, a completion waits for the lane too", () =>
    Effect.gen(function* () {
      const { clients, server } = yield* makeCapable(2, { questions: "lane" })
      const [one, other] = clients as [Client, Client]
      one.send(call(1, "a", "one"))
      other.send(request(1, "completion/complete", { n: "completion" }))
      const told = yield* server.told
      assert.deepStrictEqual(markers(told), ["one"])
      server.say(sampling("q"))
      assert.deepStrictEqual(methods(yield* one.told), ["sampling/createMessage"])
      server.answer(told[0]!)
      assert.deepStrictEqual(markers(yield* server.told), ["completion"])
    })
  )
})

const asking = (name: string) => [{ method: "tools/call", name, isCertain: true }]

/** A process for one of the places beside the first. */
const place = ({ sharing }: ReturnType<typeof makeMux>, index: number): Process => {
  const process = makeProcess()
  sharing.replicas[index]!.attach(process.process)
  return process
}
