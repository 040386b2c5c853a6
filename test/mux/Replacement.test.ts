import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { narrow } from "../lines/MemoryWritable.ts"
import { turn, turns } from "../lines/Turn.ts"
import { asked, call, cancelled, markers, methods, outcomes, progressOf, withTools } from "./Messages.ts"
import { type Client, makeShared, type Message, notification, type Process, request, held } from "./MuxHarness.ts"

describe("Replacement", () => {
  describe("a process that takes over", () => {
    it.effect("has all new requests, and the one before ends what it holds", () =>
      Effect.gen(function* () {
        const { clients, mux, server: old } = makeShared(2)
        const [one, other] = clients as [Client, Client]
        one.send(request(1, "a", { n: 1, _meta: { progressToken: "t" } }))
        const [first] = yield* old.told
        // Not yet written to the old one, which it is for.
        other.send(request(1, "b", { n: 2 }))
        const next = mux.attach()
        one.send(request(2, "c", { n: 3, _meta: { progressToken: "u" } }))
        const [second] = yield* old.told
        const [third] = yield* next.told
        assert.deepStrictEqual(markers([second!, third!]), [2, 3])
        old.say(progressOf(first!, 1))
        next.say(progressOf(third!, 2))
        old.answer(first!, { from: "old" })
        next.answer(third!, { from: "next" })
        old.answer(second!, { from: "old" })
        yield* turn
        assert.deepStrictEqual(one.inbox.lines(), [
          '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":1}}',
          '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"u","progress":2}}',
          '{"jsonrpc":"2.0","id":1,"result":{"from":"old"}}',
          '{"jsonrpc":"2.0","id":2,"result":{"from":"next"}}'
        ])
        assert.deepStrictEqual(other.inbox.lines(), ['{"jsonrpc":"2.0","id":1,"result":{"from":"old"}}'])
        assert.deepStrictEqual([yield* old.told, yield* next.told], [[], []])
      })
    )

    it.effect("leaves the one before its log messages, not its word for the server", () =>
      Effect.gen(function* () {
        const capabilities = { logging: {}, tools: {}, resources: { subscribe: true } }
        const process = { capabilities, tools: [], isEmpty: true }
        const { clients, mux, server: old } = makeShared(2, {}, process)
        const [one, other] = clients as [Client, Client]
        one.send(request("s", "resources/subscribe", { uri: "a" }))
        for (const ask of yield* old.told) old.answer(ask)
        yield* turns(3)
        one.send(request(1, "a"))
        const [held] = (yield* old.told).filter(({ method }) => method === "a")
        yield* one.told
        const next = mux.attach(process)
        other.send(request(1, "b"))
        yield* next.told
        yield* turns(3)
        yield* next.told
        for (const method of [
          "notifications/tools/list_changed",
          "notifications/prompts/list_changed",
          "notifications/resources/list_changed",
          "notifications/resources/updated",
          "notifications/future"
        ]) {
          old.say(notification(method, { uri: "a" }))
        }
        old.say(notification("notifications/message", { level: "info", data: "old" }))
        next.say(notification("notifications/message", { level: "info", data: "next" }))
        assert.deepStrictEqual(asked(yield* one.told), [["notifications/message", { level: "info", data: "old" }]])
        assert.deepStrictEqual(asked(yield* other.told), [["notifications/message", { level: "info", data: "next" }]])
        assert.deepStrictEqual([yield* old.told, yield* next.told], [[], []])
        next.say(notification("notifications/resources/updated", { uri: "a" }))
        next.say(notification("notifications/tools/list_changed"))
        assert.deepStrictEqual(methods(yield* one.told), [
          "notifications/resources/updated",
          "notifications/tools/list_changed"
        ])
        old.answer(held!)
        assert.deepStrictEqual(outcomes(yield* one.told), [[1, null]])
      })
    )

    it.effect("leaves cancels to the process that holds the request, under the id that this one knows", () =>
      Effect.gen(function* () {
        const { clients, mux, server: old } = makeShared(2)
        const [one, other] = clients as [Client, Client]
        other.send(request(7, "m"))
        one.send(request(1, "a"), request("both", "a"))
        const [, held, heldBoth] = yield* old.told
        const next = mux.attach()
        one.send(request(2, "b"), request("both", "b"))
        const [current, currentBoth] = yield* next.told
        const ids = (messages: ReadonlyArray<Message>) => messages.map(({ params }) => params?.["requestId"])
        one.send(cancelled(1))
        assert.deepStrictEqual([ids(yield* old.told), ids(yield* next.told)], [[held!.id], []])
        one.send(cancelled(2))
        assert.deepStrictEqual([ids(yield* old.told), ids(yield* next.told)], [[], [current!.id]])
        one.send(cancelled("both"))
        assert.deepStrictEqual([ids(yield* old.told), ids(yield* next.told)], [[heldBoth!.id], [currentBoth!.id]])
        other.session.close()
        assert.deepStrictEqual([(yield* old.told).length, (yield* next.told).length], [1, 0])
        assert.strictEqual(one.session.inFlight, 0)
        for (const message of [held!, heldBoth!]) old.answer(message)
        for (const message of [current!, currentBoth!]) next.answer(message)
        assert.deepStrictEqual(yield* one.told, [])
      })
    )

    it.effect("answers initialize from then on, and while it is gone", () =>
      Effect.gen(function* () {
        const { clients, mux } = makeShared(1, {}, { result: { instructions: "old" } })
        const [client] = clients as [Client]
        const initialize = request(1, "initialize", { protocolVersion: "2025-11-25" })
        const instructions = Effect.map(client.told, (messages) =>
          messages.map(({ result }) => result?.["instructions"])
        )
        client.send(initialize)
        mux.attach({ result: { instructions: "next" } })
        client.send(initialize)
        mux.detach()
        client.send(initialize)
        assert.deepStrictEqual(yield* instructions, ["old", "next", "next"])
      })
    )

    it.effect("says when the one before holds nothing any more, once", () =>
      Effect.gen(function* () {
        const { clients, mux, server: old } = makeShared(2)
        const [one, other] = clients as [Client, Client]
        const events: Array<string> = []
        const drained = (server: Process, name: string) =>
          mux.replica.whenDrained(server.process, () => void events.push(name))
        one.send(request(1, "a"), request(2, "b"))
        other.send(request(1, "c"))
        const [first] = yield* old.told
        const next = mux.attach()
        drained(old, "old")
        assert.strictEqual(mux.replica.callsOf(old.process), 3)
        old.answer(first!)
        old.answer(first!)
        one.send(cancelled(2))
        assert.deepStrictEqual(events, [])
        other.session.close()
        assert.deepStrictEqual(events, ["old"])
        one.send(request(3, "d"))
        const third = mux.attach()
        drained(next, "next")
        drained(third, "third")
        assert.deepStrictEqual(events, ["old", "third"])
        const [last] = yield* next.told
        next.answer(last!)
        next.answer(last!)
        assert.deepStrictEqual(events, ["old", "third", "next"])
        mux.detach({ process: old, isCrash: false })
        drained(old, "gone")
        assert.deepStrictEqual(events, ["old", "third", "next", "gone"])
      })
    )

    it.effect(
      "does not wait for the pool's own questions to the one before, but for those that a client waits for",
      () =>
        Effect.gen(function* () {
          const process = { capabilities: { tools: {}, resources: { subscribe: true } } }
          const { clients, mux, server: old } = makeShared(1, {}, process)
          const [list] = yield* old.told
          clients[0]!.send(request(1, "resources/subscribe", { uri: "a" }))
          const [subscribe] = yield* old.told
          const next = mux.attach(process)
          let isDrained = false
          mux.replica.whenDrained(old.process, () => {
            isDrained = true
          })
          assert.deepStrictEqual([held(mux.replica, old), mux.replica.callsOf(old.process)], [1, 0])
          old.answer(list!, { tools: [{ name: "old" }] })
          assert.isNull(mux.sharing.lists.tools)
          assert.isFalse(isDrained)
          old.answer(subscribe!)
          assert.isTrue(isDrained)
          assert.deepStrictEqual(outcomes(yield* clients[0]!.told), [[1, null]])
          assert.deepStrictEqual(methods(yield* next.told), ["tools/list", "resources/subscribe"])
          let isIdle = false
          mux.attach(process)
          mux.replica.whenDrained(next.process, () => {
            isIdle = true
          })
          assert.isTrue(isIdle)
        })
    )

    it.effect("may see the end of the one before from within its last answer, which is whole", () =>
      Effect.gen(function* () {
        const stdin = narrow()
        const { clients, mux, server: old } = makeShared(1, {}, { stdin })
        const [client] = clients as [Client]
        client.send(request("mine", "a"))
        const [held] = yield* old.told
        stdin.hold()
        old.say(request(1, "ping"))
        yield* turn
        // It waits to be written, and has its id elsewhere.
        client.send('{"params":{"a":1,"b":2,"c":[1,2,3]},"method":"notifications/x","jsonrpc":"2.0"}')
        old.say(request("a long id that stands elsewhere", "ping"))
        mux.attach()
        mux.replica.whenDrained(old.process, () => mux.detach({ process: old, isCrash: false }))
        old.say(`{"jsonrpc":"2.0","id":${String(held!.id)},"result":{}}`)
        yield* turn
        assert.deepStrictEqual(client.inbox.lines(), ['{"jsonrpc":"2.0","id":"mine","result":{}}'])
      })
    )

    it.effect("has at once what the one before held when it ended, or its outcome is unknown", () =>
      Effect.gen(function* () {
        const stdin = narrow()
        const { clients, mux, server: old } = makeShared(1, {}, { ...withTools, stdin })
        const [client] = clients as [Client]
        client.send(call(1, "reads", { n: 1 }), call(2, "writes", { n: 2 }))
        yield* old.told
        stdin.hold()
        client.send(call(3, "writes", { n: 3 }))
        yield* turn
        client.send(call(4, "writes", { n: 4 }), call(5, "reads", { n: 5 }))
        const next = mux.attach(withTools)
        client.send(call(6, "reads", { n: 6 }))
        assert.deepStrictEqual(mux.detach({ process: old }), { inFlight: 5, isOfOneCall: false })
        const told = yield* next.told
        assert.deepStrictEqual(markers(told), [6, 1, 4, 5])
        assert.deepStrictEqual(outcomes(yield* client.told), [
          [2, "OutcomeUnknown"],
          [3, "OutcomeUnknown"]
        ])
        mux.detach()
        assert.deepStrictEqual(outcomes(yield* client.told), [
          [1, "OutcomeUnknown"],
          [4, "OutcomeUnknown"]
        ])
        // Never written to the first, the fifth was made once only.
        assert.deepStrictEqual(markers(yield* mux.attach(withTools).told), [6, 5])
      })
    )

    it.effect("is told the log level and each subscription, also one that the one before was being asked for", () =>
      Effect.gen(function* () {
        const process = { capabilities: { logging: {}, resources: { subscribe: true } }, isEmpty: true }
        const { clients, mux, server: old } = makeShared(2, {}, process)
        const [one, other] = clients as [Client, Client]
        one.send(
          request(1, "resources/subscribe", { uri: "a" }),
          request(2, "logging/setLevel", { level: "debug" }),
          request(3, "resources/subscribe", { uri: "refused" })
        )
        other.send(request(1, "resources/subscribe", { uri: "gone" }))
        const [a, level, refused, gone] = yield* old.told
        old.answer(a!)
        old.answer(level!)
        old.say({ jsonrpc: "2.0", id: refused!.id, error: { code: 1, message: "no" } })
        one.send(request(4, "resources/subscribe", { uri: "b" }))
        const [b] = (yield* old.told).filter(({ params }) => params?.["uri"] === "b")
        other.session.close()
        const next = mux.attach(process)
        assert.deepStrictEqual(asked(yield* next.told), [
          ["resources/subscribe", { uri: "a" }],
          ["logging/setLevel", { level: "debug" }]
        ])
        old.answer(b!)
        old.answer(gone!)
        assert.deepStrictEqual(
          asked(yield* next.told).filter(([, params]) => (params as Message["params"])?.["uri"] !== "gone"),
          [["resources/subscribe", { uri: "b" }]]
        )
        assert.deepStrictEqual(outcomes(yield* one.told), [
          [1, null],
          [2, null],
          [3, 1],
          [4, null]
        ])
        for (const uri of ["a", "b", "refused"]) next.say(notification("notifications/resources/updated", { uri }))
        assert.deepStrictEqual(
          asked(yield* one.told).map(([, params]) => params),
          [{ uri: "a" }, { uri: "b" }]
        )
        one.send(request(5, "resources/unsubscribe", { uri: "b" }))
        assert.deepStrictEqual(asked(yield* next.told), [["resources/unsubscribe", { uri: "b" }]])
        assert.deepStrictEqual(yield* old.told, [])
      })
    )

    it.effect("is asked once for a subscription that was made while none was there", () =>
      Effect.gen(function* () {
        const process = { capabilities: { resources: { subscribe: true } }, isEmpty: true }
        const { clients, mux, server: first } = makeShared(1, {}, process)
        const [client] = clients as [Client]
        client.send(request(0, "resources/subscribe", { uri: "old" }))
        for (const ask of yield* first.told) first.answer(ask)
        mux.detach()
        client.send(
          request(1, "resources/subscribe", { uri: "a" }),
          // The next one never knew it.
          request(2, "resources/unsubscribe", { uri: "old" })
        )
        const next = mux.attach(process)
        const [ask, ...more] = yield* next.told
        assert.deepStrictEqual(asked([ask!, ...more]), [["resources/subscribe", { uri: "a" }]])
        next.answer(ask!)
        assert.deepStrictEqual(yield* next.told, [])
      })
    )
  })
})
