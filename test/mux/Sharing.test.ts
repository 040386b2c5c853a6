import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import { MemoryWritable } from "../lines/MemoryWritable.ts"
import { turn, turns } from "../lines/Turn.ts"
import {
  asked,
  type Client,
  fakeTimers,
  makeMux,
  makeShared,
  type Message,
  methods,
  notification,
  outcomes,
  type Process,
  request,
  unavailable
} from "./MuxHarness.ts"

/** A stdin of which the system takes nothing beyond what it is given at once. */
const narrow = () => new MemoryWritable({ highWaterMark: 1 })

const tools = [
  { name: "writes", inputSchema: { type: "object" as const }, annotations: { destructiveHint: true } },
  { name: "reads", inputSchema: { type: "object" as const }, annotations: { readOnlyHint: true } },
  { name: "sets", inputSchema: { type: "object" as const }, annotations: { idempotentHint: true } },
  {
    name: "never",
    inputSchema: { type: "object" as const },
    annotations: { readOnlyHint: false, idempotentHint: false }
  }
]

const withTools = { capabilities: { tools: {} }, tools }

const call = (id: unknown, name: string, params: object = {}) => request(id, "tools/call", { name, ...params })

const cancelled = (requestId: unknown) => notification("notifications/cancelled", { requestId })

const progressOf = ({ params }: Message, progress: number) =>
  notification("notifications/progress", {
    progressToken: (params!["_meta"] as { readonly progressToken: unknown }).progressToken,
    progress
  })

const markers = (messages: ReadonlyArray<Message>) => messages.map(({ params }) => params?.["n"])

describe("Sharing", () => {
  describe("a request that a process which ended was never given", () => {
    it.effect("goes to the next one as it was meant, in order and before later ones", () =>
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
        assert.deepStrictEqual(markers(told), [1, 2, 3, 4, 5])
        assert.deepStrictEqual(told[0]!.params, { n: 1, text: "é漢", _meta: { progressToken: told[0]!.id } })
        for (const message of told.slice(0, 2)) next.say(progressOf(message, 1))
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
          assert.deepStrictEqual(mux.detach(), { inFlight: 4, isOfOneCall: false })
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
        mux.attach()
        client.send(call(3, "reads"), call(4, "writes"))
        mux.detach({ isCrash: false })
        mux.sharing.setUnavailable(unavailable)
        assert.deepStrictEqual(outcomes(yield* client.told), [
          [3, "ServerUnavailable"],
          [4, "ServerUnavailable"]
        ])
        assert.strictEqual(client.session.inFlight, 0)
        mux.attach()
        client.send(call(5, "writes"))
        mux.sharing.setUnavailable(unavailable)
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
        mux.sharing.setUnavailable(unavailable)
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
          if (isEarly) mux.sharing.setUnavailable(unavailable)
          mux.detach({ isCrash: false })
          mux.sharing.setUnavailable(unavailable)
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
          [["reads", "answered"]]
        )
      })
    )
  })

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

    it.effect("says when the one before holds nothing any more, once", () =>
      Effect.gen(function* () {
        const { clients, mux, server: old } = makeShared(2)
        const [one, other] = clients as [Client, Client]
        const events: Array<string> = []
        const drained = (server: Process, name: string) =>
          mux.sharing.whenDrained(server.process, () => void events.push(name))
        one.send(request(1, "a"), request(2, "b"))
        other.send(request(1, "c"))
        const [first] = yield* old.told
        const next = mux.attach()
        drained(old, "old")
        assert.strictEqual(mux.sharing.callsOf(old.process), 3)
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

    it.effect("does not wait for the pool's own questions alone to be answered by the one before", () =>
      Effect.gen(function* () {
        const { mux, server: old } = makeShared(0, {}, { capabilities: { tools: {} } })
        const [ask] = yield* old.told
        mux.attach()
        let isDrained = false
        mux.sharing.whenDrained(old.process, () => {
          isDrained = true
        })
        assert.deepStrictEqual([mux.sharing.inFlight(old.process), mux.sharing.callsOf(old.process)], [1, 0])
        old.answer(ask!, { tools: [] })
        assert.isTrue(isDrained)
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
        mux.sharing.whenDrained(old.process, () => mux.detach({ process: old, isCrash: false }))
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

    it.effect("lets those send who were held because the one before did not read", () =>
      Effect.gen(function* () {
        const stdin = narrow()
        const { clients, mux } = makeShared(1, {}, { stdin })
        const [client] = clients as [Client]
        stdin.hold()
        client.send(request(1, "a"))
        yield* turn
        client.send(request(2, "b"))
        assert.deepStrictEqual(client.events, ["pause"])
        mux.attach()
        assert.deepStrictEqual(client.events, ["pause", "resume"])
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

  describe("a call that ends its process each time", () => {
    /** The process is told the requests, and falls. */
    const crash = Effect.fnUntraced(function* (mux: ReturnType<typeof makeMux>, send: () => void, isCrash = true) {
      const server = mux.attach(withTools)
      send()
      yield* server.told
      return mux.detach({ isCrash }).isOfOneCall
    })

    it.effect("is refused to its session from the third time on, not to others, and not other calls", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const [one, other] = [mux.client(), mux.client()]
        for (let id = 1; id <= 3; id++) assert.isTrue(yield* crash(mux, () => one.send(call(id, "writes"))))
        const server = mux.attach(withTools)
        yield* one.told
        one.send(call(4, "writes"), call(5, "never"), request(6, "prompts/get", { name: "writes" }))
        other.send(call(1, "writes"))
        const [refusal, ...more] = yield* one.told
        assert.lengthOf(more, 0)
        assert.deepStrictEqual(
          [refusal!.id, refusal!.error?.code, refusal!.error?.data],
          [4, 31001, { kind: "ServerUnavailable", server: "git", state: "refusing" }]
        )
        assert.match(refusal!.error!.message, /refuses this call/)
        assert.lengthOf(yield* server.told, 3)
        assert.strictEqual(one.session.inFlight, 2)
      })
    )

    it.effect("counts alone: beside another, unwritten, or in a stop it does not", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const [one, other] = [mux.client(), mux.client()]
        for (let i = 0; i < 4; i++) {
          assert.isFalse(yield* crash(mux, () => one.send(call(1, "writes"), call(2, "writes"))))
          assert.isFalse(
            yield* crash(mux, () => {
              one.send(call(1, "writes"))
              other.send(call(1, "writes"))
            })
          )
          assert.isFalse(yield* crash(mux, () => one.send(call(1, "writes")), false))
          assert.isFalse(yield* crash(mux, () => one.send(call(1, "writes"), cancelled(1))))
          assert.isFalse(yield* crash(mux, () => {}))
        }
        mux.attach(withTools)
        one.send(call(1, "writes"))
        // It has not been written.
        assert.isFalse(mux.detach().isOfOneCall)
        one.send(cancelled(1))
        yield* one.told
        const server = mux.attach(withTools)
        one.send(call(1, "writes"))
        assert.lengthOf(yield* server.told, 1)
      })
    )

    it.effect("counts beside the pool's own questions, and as one of those that may be made once more", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const client = mux.client()
        const capabilities = { tools: {}, prompts: {} }
        const first = mux.attach({ capabilities, tools })
        client.send(call(1, "reads"))
        assert.lengthOf(yield* first.told, 2)
        assert.isTrue(mux.detach().isOfOneCall)
        const second = mux.attach({ capabilities })
        assert.lengthOf(yield* second.told, 2)
        assert.isTrue(mux.detach().isOfOneCall)
        assert.deepStrictEqual(outcomes(yield* client.told), [[1, "OutcomeUnknown"]])
        const third = mux.attach({ capabilities })
        client.send(call(2, "reads"))
        assert.lengthOf(yield* third.told, 2)
        assert.isTrue(mux.detach().isOfOneCall)
        // It is not tried a fourth time.
        assert.deepStrictEqual(outcomes(yield* client.told), [[2, "OutcomeUnknown"]])
        client.send(call(3, "reads"))
        assert.deepStrictEqual(outcomes(yield* client.told), [[3, "ServerUnavailable"]])
      })
    )

    it.effect("counts in a process that drains too", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const client = mux.client()
        for (let id = 1; id <= 3; id++) {
          const old = mux.attach(withTools)
          client.send(call(id, "writes"))
          yield* old.told
          const next = mux.attach(withTools)
          client.send(call(`n${id}`, "never"))
          yield* next.told
          assert.isTrue(mux.detach({ process: old }).isOfOneCall)
          mux.detach({ isCrash: false })
        }
        mux.attach(withTools)
        yield* client.told
        client.send(call(4, "writes"))
        assert.deepStrictEqual(outcomes(yield* client.told), [[4, "ServerUnavailable"]])
      })
    )

    it.effect("is forgotten when its session leaves", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        for (let i = 0; i < 2; i++) {
          const client = mux.client()
          for (let id = 1; id <= 3; id++) assert.isTrue(yield* crash(mux, () => client.send(call(id, "writes"))))
          client.session.close()
        }
      })
    )

    it.effect("is the server's own trouble where it is made although it is refused", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const client = mux.client()
        for (let id = 1; id <= 2; id++) assert.isTrue(yield* crash(mux, () => client.send(call(id, "writes"))))
        const server = mux.attach(withTools)
        client.send(call(3, "writes"))
        yield* server.told
        // It waits while the third time is counted.
        client.send(call(4, "sets"))
        assert.isFalse(mux.detach().isOfOneCall)
      })
    )
  })
})
