import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import { narrow } from "../lines/MemoryWritable.ts"
import { turn, turns } from "../lines/Turn.ts"
import { call, cancelled, markers, methods, outcomes, progressOf, withTools } from "./Messages.ts"
import { type Client, fakeTimers, makeMux, makeShared, notification, request, unavailable } from "./MuxHarness.ts"

describe("Sharing", () => {
  describe("a process that ends", () => {
    it.effect("leaves each request that it held with an unknown outcome, and its late answers are dropped", () =>
      Effect.gen(function* () {
        const { clients, mux, server } = makeShared(2)
        const [one, other] = clients as [Client, Client]
        one.send(request(1, "a"), request("b", "b"))
        other.send(request(1, "c"))
        const held = yield* server.told
        mux.detach()
        assert.deepStrictEqual(outcomes(yield* one.told), [
          [1, "OutcomeUnknown"],
          ["b", "OutcomeUnknown"]
        ])
        assert.deepStrictEqual(outcomes(yield* other.told), [[1, "OutcomeUnknown"]])
        assert.strictEqual(mux.inFlight(), 0)
        const next = mux.attach()
        one.send(request(1, "a"))
        const [again] = yield* next.told
        for (const call of held) server.answer(call)
        // Each process has ids of its own.
        assert.strictEqual(again!.id, held[0]!.id)
        assert.deepStrictEqual(yield* one.told, [])
        next.answer(again!)
        assert.deepStrictEqual(outcomes(yield* one.told), [[1, null]])
      })
    )

    it.effect("lets the next one have what was asked meanwhile, in order", () =>
      Effect.gen(function* () {
        const { clients, mux } = makeShared(2)
        const [one, other] = clients as [Client, Client]
        mux.detach()
        one.send(request(1, "a"), notification("notifications/lost"))
        other.send(request(1, "b"))
        one.send(request(2, "c", { text: "é漢", _meta: { progressToken: "t" } }))
        const server = mux.attach()
        const calls = yield* server.told
        assert.deepStrictEqual(methods(calls), ["a", "b", "c"])
        assert.deepStrictEqual(calls[2]!.params, { text: "é漢", _meta: { progressToken: calls[2]!.id } })
        for (const call of calls) server.answer(call)
        assert.deepStrictEqual(outcomes(yield* one.told), [
          [1, null],
          [2, null]
        ])
      })
    )

    it.effect("for good answers what waits, and what is asked from then on", () =>
      Effect.gen(function* () {
        const { clients, mux } = makeShared(1)
        const [client] = clients as [Client]
        mux.detach()
        client.send(request(1, "a"))
        mux.replica.setUnavailable(unavailable)
        assert.strictEqual(client.session.inFlight, 0)
        client.send(request(2, "a"))
        assert.deepStrictEqual(outcomes(yield* client.told), [
          [1, "ServerUnavailable"],
          [2, "ServerUnavailable"]
        ])
        mux.replica.setUnavailable(null)
        client.send(request(3, "a"))
        assert.deepStrictEqual(yield* client.told, [])
        const server = mux.attach()
        assert.deepStrictEqual(methods(yield* server.told), ["a"])
      })
    )
  })

  describe("a request that a process which ended was never given", () => {
    it.effect("goes to the next one as it was meant, each client's in order and in turns with the others'", () =>
      Effect.gen(function* () {
        const { clients, mux, server } = makeShared(2)
        const [one, other] = clients as [Client, Client]
        one.send(request(1, "a", { n: 0 }))
        yield* turn
        one.send(
          request(2, "b", { n: 1, text: "é漢", _meta: { progressToken: "t" } }),
          `{"params":{"n":2, "_meta":{"progressToken":7}},"method":"c","i\\u0064":"x","jsonrpc":"2.0"}`
        )
        other.send(request(2, "d", { n: 3 }))
        mux.detach()
        other.send(request(3, "e", { n: 4 }))
        assert.deepStrictEqual(markers(yield* server.told), [0])
        assert.deepStrictEqual(outcomes(yield* one.told), [[1, "OutcomeUnknown"]])
        const next = mux.attach()
        one.send(request(4, "f", { n: 5 }))
        const told = yield* next.told
        assert.deepStrictEqual(markers(told), [1, 3, 2, 4, 5])
        assert.deepStrictEqual(told[0]!.params, { n: 1, text: "é漢", _meta: { progressToken: told[0]!.id } })
        for (const message of [told[0]!, told[2]!]) next.say(progressOf(message, 1))
        for (const message of told) next.answer(message, { n: message.params!["n"] })
        const heard = yield* one.told
        assert.deepStrictEqual(
          heard.slice(0, 2).map(({ params }) => params?.["progressToken"]),
          ["t", 7]
        )
        assert.deepStrictEqual(
          heard.slice(2).map(({ id, result }) => [id, result?.["n"]]),
          [
            [2, 1],
            ["x", 2],
            [4, 5]
          ]
        )
        assert.deepStrictEqual(outcomes(yield* other.told), [
          [2, null],
          [3, null]
        ])
        assert.strictEqual(one.session.inFlight + other.session.inFlight, 0)
      })
    )

    it.effect("is one that waited behind a write which was not taken, or in a write that failed at once", () =>
      Effect.gen(function* () {
        for (const how of ["waits", "fails"]) {
          const stdin = narrow()
          const { clients, mux, server } = makeShared(1, {}, { stdin })
          const [client] = clients as [Client]
          if (how === "waits") stdin.hold()
          client.send(request(1, "a", { n: 1 }))
          yield* turn
          if (how === "fails") stdin.break()
          client.send(request(2, "b", { n: 2 }), request(3, "c", { n: 3 }))
          yield* turns(3)
          client.send(request(4, "d", { n: 4 }))
          // The first one alone had reached it.
          assert.deepStrictEqual(mux.detach(), { inFlight: 4, isOfOneCall: true })
          assert.deepStrictEqual(markers(yield* server.told), [1])
          assert.deepStrictEqual(outcomes(yield* client.told), [[1, "OutcomeUnknown"]])
          stdin.release()
          const next = mux.attach()
          assert.deepStrictEqual(markers(yield* next.told), [2, 3, 4])
          assert.deepStrictEqual(yield* server.told, [])
        }
      })
    )

    it.effect("is not one of which a part was written, nor one in a write that failed later", () =>
      Effect.gen(function* () {
        const stdin = narrow()
        const { clients, mux, server } = makeShared(1, {}, { stdin })
        const [client] = clients as [Client]
        stdin.hold()
        client.send(request(1, "a", { n: 1, text: "x".repeat(200_000) }), request(2, "b", { n: 2 }))
        yield* turn
        assert.isAbove(stdin.writes.length, 0)
        stdin.break()
        yield* turns(3)
        mux.detach()
        assert.deepStrictEqual(yield* server.told, [])
        assert.deepStrictEqual(outcomes(yield* client.told), [[1, "OutcomeUnknown"]])
        assert.deepStrictEqual(markers(yield* mux.attach().told), [2])
      })
    )

    it.effect("is withdrawn by its client's cancel or leaving", () =>
      Effect.gen(function* () {
        const { clients, mux } = makeShared(2)
        const [one, other] = clients as [Client, Client]
        one.send(request(1, "a", { n: 1 }), request(2, "b", { n: 2 }))
        other.send(request(1, "c", { n: 3 }))
        mux.detach()
        one.send(cancelled(1))
        other.session.close()
        assert.strictEqual(one.session.inFlight, 1)
        assert.deepStrictEqual(markers(yield* mux.attach().told), [2])
        assert.deepStrictEqual(yield* one.told, [])
      })
    )

    it.effect("and had been cancelled is gone, with its cancellation", () =>
      Effect.gen(function* () {
        const { clients, mux } = makeShared(1)
        clients[0]!.send(request(1, "a", { n: 1 }), cancelled(1), request(1, "b", { n: 2 }))
        mux.detach()
        assert.deepStrictEqual(methods(yield* mux.attach().told), ["b"])
      })
    )

    it.effect("has the refusal of what waits where no process comes", () =>
      Effect.gen(function* () {
        yield* fakeTimers
        const { clients, mux } = makeShared(1, { queueTimeout: 10_000 }, withTools)
        const [client] = clients as [Client]
        client.send(call(1, "reads"), call(2, "writes"))
        mux.detach()
        vi.advanceTimersByTime(11_000)
        assert.deepStrictEqual(outcomes(yield* client.told), [
          [1, "QueueTimeout"],
          [2, "QueueTimeout"]
        ])
        mux.attach(withTools)
        client.send(call(3, "reads"), call(4, "writes"))
        mux.detach({ isCrash: false })
        mux.replica.setUnavailable(unavailable)
        assert.deepStrictEqual(outcomes(yield* client.told), [
          [3, "ServerUnavailable"],
          [4, "ServerUnavailable"]
        ])
        assert.strictEqual(client.session.inFlight, 0)
        mux.attach(withTools)
        client.send(call(5, "writes"))
        mux.replica.setUnavailable(unavailable)
        mux.detach({ isCrash: false })
        assert.deepStrictEqual(outcomes(yield* client.told), [[5, "ServerUnavailable"]])
      })
    )

    it.effect("and which another had run already has an unknown outcome where no process comes", () =>
      Effect.gen(function* () {
        const { clients, mux, server } = makeShared(1, {}, withTools)
        const [client] = clients as [Client]
        client.send(call(1, "reads"))
        assert.lengthOf(yield* server.told, 1)
        mux.detach()
        mux.attach(withTools)
        mux.detach()
        mux.replica.setUnavailable(unavailable)
        assert.deepStrictEqual(outcomes(yield* client.told), [[1, "OutcomeUnknown"]])
      })
    )
  })

  describe("a request that a process held when it ended", () => {
    it.effect("and that only reads, or does no harm twice, is made once more, as the client made it", () =>
      Effect.gen(function* () {
        const { clients, mux, server } = makeShared(1, {}, withTools)
        const [client] = clients as [Client]
        client.send(
          call(1, "reads", { n: 1, text: "é漢", _meta: { progressToken: "1" } }),
          call("1", "sets", { n: 2 }),
          request(3, "resources/read", { n: 3 }),
          `{ "i\\u0064" : 4.0, "jsonrpc":"2.0","method":"tools\\/list","params":{"n":4,"_meta":{"progressToken":{"a":1}}} }`,
          request(5, "resources/templates/list", { n: 5 })
        )
        assert.lengthOf(yield* server.told, 5)
        assert.deepStrictEqual(mux.detach(), { inFlight: 5, isOfOneCall: false })
        assert.deepStrictEqual(yield* client.told, [])
        const next = mux.attach(withTools)
        const told = yield* next.told
        assert.deepStrictEqual(markers(told), [1, 2, 3, 4, 5])
        assert.deepStrictEqual(told[0]!.params, {
          name: "reads",
          n: 1,
          text: "é漢",
          _meta: { progressToken: told[0]!.id }
        })
        next.say(progressOf(told[0]!, 1))
        next.say(progressOf(told[3]!, 1))
        for (const message of told) next.answer(message)
        yield* turn
        assert.deepStrictEqual(client.inbox.lines(), [
          '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"1","progress":1}}',
          '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":{"a":1},"progress":1}}',
          '{"jsonrpc":"2.0","id":1,"result":{}}',
          '{"jsonrpc":"2.0","id":"1","result":{}}',
          '{"jsonrpc":"2.0","id":3,"result":{}}',
          '{"jsonrpc":"2.0","id":4.0,"result":{}}',
          '{"jsonrpc":"2.0","id":5,"result":{}}'
        ])
        assert.strictEqual(client.session.inFlight, 0)
      })
    )

    it.effect("and that may do something has an unknown outcome at once", () =>
      Effect.gen(function* () {
        const { clients, mux, server } = makeShared(1, {}, withTools)
        const [client] = clients as [Client]
        client.send(
          call(1, "writes"),
          call(2, "never"),
          call(3, "unknown"),
          request(4, "tools/call"),
          request(5, "prompts/get", { name: "reads" }),
          request(6, "completion/complete"),
          request(7, "list"),
          request(8, "reads/lists")
        )
        assert.lengthOf(yield* server.told, 8)
        mux.detach()
        assert.deepStrictEqual(
          outcomes(yield* client.told),
          [1, 2, 3, 4, 5, 6, 7, 8].map((id) => [id, "OutcomeUnknown"])
        )
        assert.deepStrictEqual(yield* mux.attach(withTools).told, [])
      })
    )

    it.effect("is not made once more where something of it has been delivered", () =>
      Effect.gen(function* () {
        const { clients, mux, server } = makeShared(1, {}, withTools)
        const [client] = clients as [Client]
        client.send(call(1, "reads", { _meta: { progressToken: 1 } }), call(2, "reads"))
        const [first] = yield* server.told
        server.say(progressOf(first!, 1))
        yield* client.told
        mux.detach()
        assert.deepStrictEqual(outcomes(yield* client.told), [[1, "OutcomeUnknown"]])
        const next = mux.attach(withTools)
        // What the first time delivered is not counted twice: this one is the second time anyway.
        assert.lengthOf(yield* next.told, 1)
      })
    )

    it.effect("is not made a third time", () =>
      Effect.gen(function* () {
        const { clients, mux, server } = makeShared(1, {}, withTools)
        const [client] = clients as [Client]
        client.send(call(1, "reads", { n: 1 }))
        yield* server.told
        mux.detach()
        // It reaches only the third process: that is the second time.
        mux.attach(withTools)
        mux.detach()
        const third = mux.attach(withTools)
        assert.deepStrictEqual(markers(yield* third.told), [1])
        assert.deepStrictEqual(yield* client.told, [])
        mux.detach()
        assert.deepStrictEqual(outcomes(yield* client.told), [[1, "OutcomeUnknown"]])
        assert.deepStrictEqual(yield* mux.attach(withTools).told, [])
        assert.strictEqual(client.session.inFlight, 0)
      })
    )

    it.effect("is withdrawn by its client while it waits to be made once more", () =>
      Effect.gen(function* () {
        const { clients, mux, server } = makeShared(2, {}, withTools)
        const [one, other] = clients as [Client, Client]
        one.send(call(1, "reads", { n: 1 }), call(2, "reads", { n: 2 }))
        other.send(call(1, "reads", { n: 3 }))
        yield* server.told
        mux.detach()
        one.send(cancelled(2))
        other.session.close()
        const next = mux.attach(withTools)
        const told = yield* next.told
        assert.deepStrictEqual(markers(told), [1])
        one.send(cancelled(1))
        const [cancel] = yield* next.told
        assert.strictEqual(cancel!.params?.["requestId"], told[0]!.id)
        assert.deepStrictEqual(yield* one.told, [])
        assert.strictEqual(one.session.inFlight, 0)
      })
    )

    it.effect("has an unknown outcome where no process comes, whatever the reason", () =>
      Effect.gen(function* () {
        yield* fakeTimers
        const { clients, mux, server } = makeShared(1, { queueTimeout: 10_000 }, withTools)
        const [client] = clients as [Client]
        client.send(call(1, "reads"))
        yield* server.told
        mux.detach()
        assert.deepStrictEqual(yield* client.told, [])
        vi.advanceTimersByTime(11_000)
        assert.deepStrictEqual(outcomes(yield* client.told), [[1, "OutcomeUnknown"]])
        for (const isEarly of [true, false]) {
          const next = mux.attach(withTools)
          client.send(call(2, "reads"))
          yield* next.told
          if (isEarly) mux.replica.setUnavailable(unavailable)
          mux.detach({ isCrash: false })
          mux.replica.setUnavailable(unavailable)
          assert.deepStrictEqual(outcomes(yield* client.told), [[2, "OutcomeUnknown"]])
        }
      })
    )

    it.effect("is made once more only where its line is no longer than 64 KiB, and among the first 256 in flight", () =>
      Effect.gen(function* () {
        const { clients, mux, server } = makeShared(1, {}, withTools)
        const [client] = clients as [Client]
        const lengthOf = (text: string) => JSON.stringify(call(1, "reads", { n: 1, text })).length
        const fits = "x".repeat(64 * 1024 - lengthOf(""))
        client.send(call(1, "reads", { n: 1, text: fits }), call(2, "reads", { n: 2, text: `${fits}x` }))
        yield* server.told
        mux.detach()
        assert.deepStrictEqual(outcomes(yield* client.told), [[2, "OutcomeUnknown"]])
        const next = mux.attach(withTools)
        for (const message of yield* next.told) next.answer(message)
        yield* client.told
        for (let id = 0; id < 300; id++) client.send(call(id, "reads", { n: id }))
        yield* next.told
        mux.detach()
        const kept = Array.from({ length: 256 }, (_, id) => id)
        assert.deepStrictEqual(
          (yield* client.told).map(({ id }) => id),
          Array.from({ length: 44 }, (_, i) => 256 + i)
        )
        assert.deepStrictEqual(markers(yield* mux.attach(withTools).told), kept)
      })
    )

    it.effect("is kept among the first 256 of those that waited too", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const client = mux.client()
        for (let id = 0; id < 300; id++) client.send(request(id, "tools/list", { n: id }))
        assert.lengthOf(yield* mux.attach().told, 300)
        mux.detach()
        assert.lengthOf(yield* client.told, 44)
        assert.lengthOf(yield* mux.attach().told, 256)
      })
    )

    it.effect("is reported once, when it is answered", () =>
      Effect.gen(function* () {
        const { clients, mux, server } = makeShared(1, {}, withTools)
        clients[0]!.send(call(1, "reads"))
        yield* server.told
        mux.detach()
        assert.deepStrictEqual(mux.calls, [])
        const next = mux.attach(withTools)
        for (const message of yield* next.told) next.answer(message)
        assert.deepStrictEqual(
          mux.calls.map(({ outcome, tool }) => [tool, outcome]),
          [["reads", "ok"]]
        )
      })
    )
  })

  it.effect("forgets a question of the pool's own where it is told to", () =>
    Effect.gen(function* () {
      const { mux, server } = makeShared(0)
      const outcomes: Array<string> = []
      const forget = mux.replica.ask("ping", {}, ({ kind }) => void outcomes.push(kind))
      mux.replica.ask("ping", {}, ({ kind }) => void outcomes.push(kind))
      const asks = yield* server.told
      forget()
      assert.strictEqual(mux.inFlight(), 1)
      for (const ask of asks) server.answer(ask)
      assert.deepStrictEqual(outcomes, ["result"])
      mux.replica.ask("ping", {}, ({ kind }) => void outcomes.push(kind))
      mux.detach()
      mux.replica.ask("ping", {}, ({ kind }) => void outcomes.push(kind))
      mux.replica.setUnavailable(unavailable)
      assert.deepStrictEqual(outcomes, ["result", "refused", "refused"])
    })
  )

  it.effect("takes no word from a process that has ended", () =>
    Effect.gen(function* () {
      const { clients, mux, server } = makeShared(1, { logMessages: "all" }, withTools)
      const [client] = clients as [Client]
      mux.detach({ isCrash: false })
      server.say(notification("notifications/tools/list_changed"))
      server.say(notification("notifications/future"))
      server.say(notification("notifications/message", { level: "info", data: "bye" }))
      assert.deepStrictEqual(yield* client.told, [])
      assert.deepStrictEqual(yield* mux.attach(withTools).told, [])
    })
  )
})
