import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import { outcomes } from "./Messages.ts"
import { type Client, fakeTimers, makeMux, makeShared, notification, request } from "./MuxHarness.ts"

const resources = { capabilities: { resources: { subscribe: true } }, isEmpty: true }

describe("WaitingRoom", () => {
  describe("limits", () => {
    it.effect("a client with 4096 subscriptions unanswered is refused more", () =>
      Effect.gen(function* () {
        for (const process of ["there", "coming"]) {
          const mux = makeMux()
          if (process === "there") mux.attach(resources)
          const client = mux.client()
          for (let id = 0; id < 4097; id++) client.send(request(id, "resources/subscribe", { uri: `file:///${id}` }))
          assert.deepStrictEqual(outcomes(yield* client.told).at(-1), [4096, "Overloaded"], process)
        }
      })
    )
  })

  describe("timeouts", () => {
    it.effect("a request that waited for a process longer than queueTimeout is answered, and not sent", () =>
      Effect.gen(function* () {
        const mux = makeMux({ queueTimeout: 1 })
        const client = mux.client()
        client.send(request(1, "m"), request("i", "initialize", { protocolVersion: "2025-11-25" }))
        assert.deepStrictEqual(outcomes([yield* client.inbox.next, yield* client.inbox.next]), [
          [1, "QueueTimeout"],
          ["i", "QueueTimeout"]
        ])
        assert.strictEqual(client.session.inFlight, 0)
        assert.deepStrictEqual(yield* mux.attach().told, [])
      })
    )

    it.effect("a request that the server holds longer than requestTimeout is cancelled and answered", () =>
      Effect.gen(function* () {
        const { clients, mux, server } = makeShared(1, { requestTimeout: 1 })
        const [client] = clients as [Client]
        client.send(request(1, "m"))
        const [call] = yield* server.told
        assert.deepStrictEqual(outcomes([yield* client.inbox.next]), [[1, "RequestTimeout"]])
        const [cancel] = yield* server.told
        assert.strictEqual(cancel!.method, "notifications/cancelled")
        assert.strictEqual(cancel!.params?.["requestId"], call!.id)
        server.answer(call!)
        assert.deepStrictEqual(yield* client.told, [])
        assert.strictEqual(mux.inFlight(), 0)
      })
    )

    it.effect("the time that a request waited for a process is not the server's", () =>
      Effect.gen(function* () {
        yield* fakeTimers
        const mux = makeMux({ queueTimeout: 30_000, requestTimeout: 10_000 })
        const client = mux.client()
        client.send(request(1, "m"))
        vi.advanceTimersByTime(20_000)
        mux.attach()
        vi.advanceTimersByTime(5000)
        assert.deepStrictEqual(yield* client.told, [])
        vi.advanceTimersByTime(6000)
        assert.deepStrictEqual(outcomes(yield* client.told), [[1, "RequestTimeout"]])
      })
    )

    it.effect("a request that a process holds which has been replaced is bounded too", () =>
      Effect.gen(function* () {
        yield* fakeTimers
        const { clients, mux, server } = makeShared(1, { requestTimeout: 10_000 })
        const [client] = clients as [Client]
        client.send(request(1, "m"))
        const [call] = yield* server.told
        const next = mux.attach()
        let isDrained = false
        mux.replica.whenDrained(server.process, () => {
          isDrained = true
        })
        vi.advanceTimersByTime(11_000)
        assert.deepStrictEqual(outcomes(yield* client.told), [[1, "RequestTimeout"]])
        assert.isTrue(isDrained)
        assert.deepStrictEqual(
          (yield* server.told).map(({ params }) => params?.["requestId"]),
          [call!.id]
        )
        assert.deepStrictEqual(yield* next.told, [])
      })
    )

    it.effect("a request that is made once more has its time anew", () =>
      Effect.gen(function* () {
        yield* fakeTimers
        const { clients, mux, server } = makeShared(1, { queueTimeout: 30_000, requestTimeout: 10_000 })
        const [client] = clients as [Client]
        client.send(request(1, "tools/list"))
        yield* server.told
        vi.advanceTimersByTime(9000)
        mux.detach()
        vi.advanceTimersByTime(9000)
        const next = mux.attach()
        vi.advanceTimersByTime(9000)
        assert.deepStrictEqual(yield* client.told, [])
        const [call] = yield* next.told
        next.answer(call!)
        assert.deepStrictEqual(outcomes(yield* client.told), [[1, null]])
      })
    )

    it.effect("a request that the pool makes of the server for a client is bounded too", () =>
      Effect.gen(function* () {
        yield* fakeTimers
        const capabilities = { logging: {}, resources: { subscribe: true } }
        const { clients } = makeShared(1, { requestTimeout: 10_000 }, { capabilities })
        const [client] = clients as [Client]
        client.send(request(1, "resources/subscribe", { uri: "a" }), request(2, "logging/setLevel", { level: "debug" }))
        vi.advanceTimersByTime(11_000)
        assert.deepStrictEqual(outcomes(yield* client.told), [
          [1, "RequestTimeout"],
          [2, "RequestTimeout"]
        ])
      })
    )

    it.effect("nothing is awaited once nothing is open", () =>
      Effect.gen(function* () {
        yield* fakeTimers
        const { clients, mux, server } = makeShared(1, { requestTimeout: 10_000 })
        assert.strictEqual(vi.getTimerCount(), 0)
        clients[0]!.send(request(1, "m"))
        for (const call of yield* server.told) server.answer(call)
        vi.advanceTimersByTime(1000)
        assert.strictEqual(vi.getTimerCount(), 0)
        mux.detach()
        clients[0]!.send(request(2, "m"), notification("notifications/cancelled", { requestId: 2 }))
        vi.advanceTimersByTime(1000)
        assert.strictEqual(vi.getTimerCount(), 0)
      })
    )
  })
})
