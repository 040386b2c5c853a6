import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import { call, cancelled, methods, outcomes } from "./Messages.ts"
import { type Client, fakeTimers, makeShared, type Mux, notification, type Process, request } from "./MuxHarness.ts"

const idleStop = 30 * 60_000
const capabilities = { resources: { subscribe: true }, tasks: { requests: {} }, logging: {} }

const setUp = Effect.fnUntraced(function* (options?: Parameters<typeof makeShared>[1]) {
  yield* fakeTimers
  const { clients, mux, server } = makeShared(1, { idleStop, ...options }, { capabilities, isEmpty: true })
  yield* server.told
  vi.advanceTimersByTime(250)
  return { client: clients[0]!, mux, server }
})

/** It is not wanted to sleep before that time has passed from now on, and is then. */
const sleepsAfter = ({ wanted }: Mux, millis: number) => {
  wanted.length = 0
  vi.advanceTimersByTime(millis - 1)
  assert.deepStrictEqual(wanted, [])
  vi.advanceTimersByTime(1)
  assert.deepStrictEqual(wanted, ["sleep 0"])
}

/** What its supervisor does. */
const sleep = ({ sharing, replica }: Mux, server: Process) => {
  if (!sharing.rest(replica)) return false
  replica.detach(server.process, { isCrash: false })
  return true
}

describe("Places", () => {
  describe("a process that nobody uses", () => {
    it.effect("is to end after idleStop, from when it was ready, was asked, and answered", () =>
      Effect.gen(function* () {
        const { client, mux, server } = yield* setUp()
        sleepsAfter(mux, idleStop - 250)
        client.send(request(1, "a"))
        const [held] = yield* server.told
        vi.advanceTimersByTime(10 * idleStop + 1234)
        assert.lengthOf(mux.wanted, 1)
        server.answer(held!)
        yield* client.told
        mux.wanted.length = 0
        // It was seen in use less than a minute ago.
        vi.advanceTimersByTime(idleStop - 1)
        assert.deepStrictEqual(mux.wanted, [])
        vi.advanceTimersByTime(60_001)
        assert.deepStrictEqual(mux.wanted, ["sleep 0"])
      })
    )

    it.effect("is one whose lists are asked for, and whose sessions come, say who they are and go", () =>
      Effect.gen(function* () {
        const { client, mux, server } = yield* setUp()
        mux.wanted.length = 0
        for (let minute = 1; minute < 30; minute++) {
          vi.advanceTimersByTime(60_000)
          client.send(request(minute, "initialize", { protocolVersion: "2025-11-25" }), request("p", "ping"))
          client.send(request(minute, "resources/list"))
          mux.client()
          yield* server.told
        }
        yield* client.told
        vi.advanceTimersByTime(60_000)
        assert.deepStrictEqual(mux.wanted, ["sleep 0"])
      })
    )

    it.effect("is none while a session is subscribed, a task is under way or a question is out", () =>
      Effect.gen(function* () {
        const { client, mux, server } = yield* setUp()
        const answerAll = Effect.gen(function* () {
          for (const ask of yield* server.told) if (ask.id !== undefined) server.answer(ask)
        })
        const isUsed = () => {
          vi.advanceTimersByTime(3 * idleStop)
          assert.deepStrictEqual(mux.wanted, [])
          assert.isFalse(mux.sharing.rest(mux.replica))
        }
        const isUsedNoMore = () => {
          vi.advanceTimersByTime(idleStop + 60_000)
          assert.deepStrictEqual(mux.wanted, ["sleep 0"])
          mux.wanted.length = 0
        }
        client.send(request(1, "resources/subscribe", { uri: "x:///1" }))
        yield* answerAll
        isUsed()
        client.send(request(2, "resources/unsubscribe", { uri: "x:///1" }))
        yield* answerAll
        isUsedNoMore()

        client.send(request(3, "tools/call", { name: "a", task: {} }))
        const [made] = yield* server.told
        server.answer(made!, { task: { taskId: "t", status: "working" } })
        isUsed()
        server.say(notification("notifications/tasks/status", { taskId: "t", status: "completed" }))
        isUsedNoMore()

        client.send(request(4, "initialize", { protocolVersion: "2025-11-25", capabilities: { sampling: {} } }))
        client.send(call(5, "a"))
        yield* server.told
        yield* client.told
        server.say(request("q", "sampling/createMessage", { messages: [] }))
        const [question] = yield* client.told
        client.send(cancelled(5))
        isUsed()
        client.send({ jsonrpc: "2.0", id: question!.id, result: {} })
        isUsedNoMore()
      })
    )

    it.effect("is not ended where somebody has come meanwhile", () =>
      Effect.gen(function* () {
        const { client, mux, server } = yield* setUp()
        sleepsAfter(mux, idleStop - 250)
        client.send(request(1, "a"))
        assert.isFalse(sleep(mux, server))
        for (const held of yield* server.told) server.answer(held)
        assert.deepStrictEqual(outcomes(yield* client.told), [[1, null]])
        assert.isFalse(sleep(mux, server))
        sleepsAfter(mux, idleStop)
        assert.isTrue(sleep(mux, server))
      })
    )

    it.effect("leaves no timer behind where nothing ends for want of use", () =>
      Effect.gen(function* () {
        const { client, server } = yield* setUp({ idleStop: null })
        client.send(request(1, "a"))
        for (const held of yield* server.told) server.answer(held)
        assert.strictEqual(vi.getTimerCount(), 0)
      })
    )

    it.effect("leaves no timer behind once it has ended", () =>
      Effect.gen(function* () {
        const { mux, server } = yield* setUp()
        sleepsAfter(mux, idleStop - 250)
        assert.isTrue(sleep(mux, server))
        vi.advanceTimersByTime(60_000)
        assert.strictEqual(vi.getTimerCount(), 0)
      })
    )
  })

  describe("a place that sleeps", () => {
    const asleep = Effect.fnUntraced(function* (options?: Parameters<typeof makeShared>[1]) {
      const { client, mux, server } = yield* setUp(options)
      vi.advanceTimersByTime(idleStop)
      assert.isTrue(sleep(mux, server))
      mux.wanted.length = 0
      return { client, mux, server }
    })

    it.effect("is woken once, by what needs a process, which waits for it", () =>
      Effect.gen(function* () {
        const { client, mux } = yield* asleep()
        client.send(request("i", "initialize", { protocolVersion: "2025-11-25" }), request("p", "ping"))
        client.send(request("l", "resources/list"), request("s", "logging/setLevel", { level: "debug" }))
        client.send(request("u", "resources/unsubscribe", { uri: "x:///1" }), notification("notifications/any"))
        assert.deepStrictEqual(
          outcomes(yield* client.told).map(([id, kind]) => [id, kind]),
          ["i", "p", "l", "s", "u"].map((id) => [id, null])
        )
        assert.deepStrictEqual(mux.wanted, [])
        client.send(request(1, "a"), request(2, "b"))
        mux.client().send(request(1, "c"))
        assert.deepStrictEqual(mux.wanted, ["start 0"])
        const next = mux.attach({ capabilities, isEmpty: true })
        assert.deepStrictEqual(methods(yield* next.told), ["logging/setLevel", "a", "c", "b"])
      })
    )

    it.effect("is woken by a subscription, and by a list that is not known", () =>
      Effect.gen(function* () {
        for (const asked of [request(1, "resources/subscribe", { uri: "x:///1" }), request(1, "prompts/list")]) {
          yield* Effect.scoped(
            Effect.gen(function* () {
              const { client, mux } = yield* asleep()
              client.send(asked)
              assert.deepStrictEqual(mux.wanted, ["start 0"], JSON.stringify(asked))
            })
          )
        }
      })
    )

    it.effect("has what waits refused where its process does not come", () =>
      Effect.gen(function* () {
        const { client, mux } = yield* asleep()
        client.send(request(1, "a"))
        vi.advanceTimersByTime(30_000)
        assert.deepStrictEqual(outcomes(yield* client.told), [[1, "QueueTimeout"]])
        assert.deepStrictEqual(mux.wanted, ["start 0"])
      })
    )

    it.effect("is woken for a lane, too, and only where no other is there", () =>
      Effect.gen(function* () {
        const askers = [{ method: "tools/call", name: "ask", isCertain: true }]
        const { client, mux } = yield* asleep({ askers, replicas: { min: 1, max: 3, homes: 1 } })
        client.send(call(1, "ask"))
        assert.deepStrictEqual(mux.wanted, ["start 0"])
        const server = mux.attach({ capabilities, isEmpty: true })
        assert.deepStrictEqual(methods(yield* server.told), ["tools/call"])
        assert.deepStrictEqual(mux.wanted, ["start 0"])
      })
    )

    it.effect("does so alone: the others of its server go on", () =>
      Effect.gen(function* () {
        yield* fakeTimers
        const replicas = { min: 2, max: 2, homes: 2 }
        const { clients, mux, server } = makeShared(2, { idleStop, replicas }, { capabilities, isEmpty: true })
        const [one, two] = clients as [Client, Client]
        const home = mux.sharing.replicas.find(({ clients }) => clients.has(two.session))!
        assert.notStrictEqual(home, mux.replica)
        home.sleep()
        mux.wanted.length = 0
        yield* server.told
        vi.advanceTimersByTime(idleStop - 1)
        one.send(request(1, "a"))
        for (const held of yield* server.told) server.answer(held)
        vi.advanceTimersByTime(60_000)
        assert.deepStrictEqual(mux.wanted, [])
        two.send(request(1, "b"))
        assert.deepStrictEqual(mux.wanted, ["start 1"])
      })
    )
  })
})
