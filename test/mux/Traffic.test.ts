import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import { type CallOutcome, callOutcomes } from "../../src/CallOutcome.ts"
import { LocalClient } from "../../src/mux/LocalClient.ts"
import { durationBounds, Traffic } from "../../src/mux/Traffic.ts"
import { turn } from "../lines/Turn.ts"
import { call } from "./Messages.ts"
import { fakeTimers, makeShared, type Client, type Mux, notification, request, unavailable } from "./MuxHarness.ts"

const counted = (mux: Mux): { readonly [word: string]: number } => {
  const { inFlight, outcomes } = mux.account.trafficOf("git")
  return { inFlight, ...Object.fromEntries(Object.entries(outcomes).filter(([, count]) => count > 0)) }
}

const bytesOf = (message: object): number => JSON.stringify(message).length

describe("Traffic", () => {
  it.effect("counts answers by what they say, and the bytes of both ways", () =>
    Effect.gen(function* () {
      const { clients, mux, server } = makeShared(2)
      const asked = [call(1, "a"), call("b", "b"), request(3, "resources/read")]
      clients[0]!.send(asked[0]!, asked[1]!)
      clients[1]!.send(asked[2]!)
      const told = yield* server.told
      assert.deepStrictEqual(counted(mux), { inFlight: 3 })
      const answers = [{ result: { content: [] } }, { result: { isError: true } }, { error: { code: 1, message: "" } }]
      const said = told.map(({ id }, i) => ({ jsonrpc: "2.0", id, ...answers[i] }))
      for (const answer of said) server.say(answer)
      assert.deepStrictEqual(counted(mux), { inFlight: 0, ok: 1, "tool-error": 1, rejected: 1 })
      const { answerBytes, requestBytes } = mux.account.trafficOf("git")
      assert.strictEqual(
        requestBytes,
        asked.map(bytesOf).reduce((a, b) => a + b)
      )
      assert.strictEqual(
        answerBytes,
        said.map(bytesOf).reduce((a, b) => a + b)
      )
    })
  )

  it.effect("counts an answer before its client has it", () =>
    Effect.gen(function* () {
      const { mux, server } = makeShared(0)
      const seen: Array<object> = []
      const client = new LocalClient({ id: 9, server: "git", upstream: mux.sharing, onNotification: () => {} })
      client.open()
      client.request("tools/call", { name: "a" }, () => seen.push(counted(mux)))
      client.request("tools/call", { name: "b" }, () => seen.push(counted(mux)))
      const [a] = yield* server.told
      server.answer(a!)
      mux.detach()
      mux.replica.setUnavailable(unavailable)
      assert.deepStrictEqual(seen, [
        { inFlight: 1, ok: 1 },
        { inFlight: 0, ok: 1, "outcome-unknown": 1 }
      ])
    })
  )

  it.effect("counts what has no answer: cancelled, lost, too late, refused and left behind", () =>
    Effect.gen(function* () {
      yield* fakeTimers
      const { clients, mux, server } = makeShared(2, { requestTimeout: 10_000, queueTimeout: 20_000 })
      const [client, other] = clients
      const outcomes: Array<CallOutcome> = []
      const isNext = (outcome: CallOutcome) => {
        const before = outcomes.push(outcome)
        const expected = Object.fromEntries(
          callOutcomes.flatMap((word) => {
            const times = outcomes.filter((one) => one === word).length
            return times === 0 ? [] : [[word, times]]
          })
        )
        assert.deepStrictEqual(counted(mux), { inFlight: 0, ...expected }, `${before}: ${outcome}`)
      }
      const cancel = (requestId: unknown) => notification("notifications/cancelled", { requestId })

      client!.send(call(1, "a"), cancel(1))
      isNext("cancelled")
      client!.send(call(2, "a"))
      vi.advanceTimersByTime(11_000)
      isNext("request-timeout")
      client!.send(call(3, "a"))
      yield* server.told
      mux.detach()
      isNext("outcome-unknown")
      client!.send(call(4, "a"), cancel(4))
      isNext("cancelled")
      client!.send(call(5, "a"))
      vi.advanceTimersByTime(21_000)
      isNext("queue-timeout")
      const large = { text: "x".repeat(9 * 1024 * 1024) }
      client!.send(request(1, "tools/call", large), request(2, "tools/call", large))
      mux.replica.setUnavailable(unavailable)
      outcomes.push("overloaded")
      isNext("unavailable")
      client!.send(call(6, "a"))
      isNext("unavailable")
      mux.replica.setUnavailable(null)
      other!.send(call(1, "a"))
      other!.session.close()
      isNext("cancelled")
    })
  )

  it.effect("counts the calls of a client that left while a process held them, and a result that is too long", () =>
    Effect.gen(function* () {
      const { clients, mux } = makeShared(2)
      mux.detach()
      const server = mux.attach({ maxLine: 1000 })
      clients[0]!.send(call(1, "a"), call(2, "b"))
      clients[1]!.send(call(1, "c"))
      const told = (yield* server.told).filter(({ method }) => method === "tools/call")
      clients[0]!.session.close()
      assert.deepStrictEqual(counted(mux), { inFlight: 1, cancelled: 2 })
      server.answer(told[0]!)
      server.answer(told[2]!, { content: "x".repeat(2000) })
      assert.deepStrictEqual(counted(mux), { inFlight: 0, cancelled: 2, "result-too-large": 1 })
    })
  )

  it.effect("counts a time that is over in this process as what it is, waiting or sent", () =>
    Effect.gen(function* () {
      yield* fakeTimers
      const { mux } = makeShared(0)
      const client = new LocalClient({ id: 9, server: "git", upstream: mux.sharing, onNotification: () => {} })
      client.open()
      client.request("tools/call", { name: "a" }, () => {}, { timeout: 100 })
      vi.advanceTimersByTime(200)
      mux.detach()
      client.request("tools/call", { name: "a" }, () => {}, { timeout: 100 })
      vi.advanceTimersByTime(200)
      assert.deepStrictEqual(counted(mux), { inFlight: 0, "request-timeout": 1, "queue-timeout": 1 })
    })
  )

  it.effect("counts a call that was made twice once, from its coming on", () =>
    Effect.gen(function* () {
      yield* fakeTimers
      const { clients, mux } = makeShared(1)
      clients[0]!.send(request(1, "resources/read"))
      vi.advanceTimersByTime(300)
      mux.detach()
      vi.advanceTimersByTime(300)
      const { told, answer } = mux.attach()
      vi.advanceTimersByTime(300)
      for (const message of yield* told) if (message.method === "resources/read") answer(message)
      assert.deepStrictEqual(counted(mux), { inFlight: 0, ok: 1 })
      const { durations, longest, shortest, totalDuration } = mux.account.trafficOf("git")
      assert.deepStrictEqual({ longest, shortest, totalDuration }, { longest: 900, shortest: 900, totalDuration: 900 })
      assert.strictEqual(durations[durationBounds.indexOf(1000)], 1)
    })
  )

  it.effect("counts lists that are answered from the cache as calls, with their bytes, and as cache hits", () =>
    Effect.gen(function* () {
      const { clients, mux, server } = makeShared(3, {}, { capabilities: { tools: {} } })
      const lists = (client: Client, id: number) => {
        const asked = request(id, "tools/list")
        client.send(asked)
        return bytesOf(asked)
      }
      let requested = lists(clients[0]!, 1)
      requested += lists(clients[1]!, 1)
      assert.deepStrictEqual(counted(mux), { inFlight: 2 })
      const [reading, ...others] = yield* server.told
      assert.deepStrictEqual(others, [])
      server.answer(reading!, { tools: [{ name: "é" }] })
      assert.deepStrictEqual(counted(mux), { inFlight: 0, ok: 2 })
      const traffic = mux.account.trafficOf("git")
      assert.strictEqual(traffic.cacheHits, 0)
      requested += lists(clients[2]!, 12)
      assert.deepStrictEqual(counted(mux), { inFlight: 0, ok: 3 })
      assert.strictEqual(traffic.cacheHits, 1)
      yield* turn
      const answers = clients.flatMap(({ inbox }) => inbox.lines())
      assert.lengthOf(answers, 3)
      const answered = answers.reduce((sum, line) => sum + Buffer.byteLength(line), 0)
      assert.deepStrictEqual([traffic.requestBytes, traffic.answerBytes], [requested, answered])
    })
  )

  it.effect("counts a list by how it ends: refused by the server, cancelled, left while it is being read", () =>
    Effect.gen(function* () {
      const { clients, mux, server } = makeShared(2, {}, { capabilities: { tools: {} } })
      clients[0]!.send(request(1, "tools/list"))
      const [reading] = yield* server.told
      server.say({ jsonrpc: "2.0", id: reading!.id, error: { code: 7, message: "no" } })
      assert.deepStrictEqual(counted(mux), { inFlight: 0, rejected: 1 })
      clients[0]!.send(request(2, "tools/list"), request(3, "tools/list"))
      clients[1]!.send(request(1, "tools/list"))
      clients[0]!.send(notification("notifications/cancelled", { requestId: 2 }))
      assert.deepStrictEqual(counted(mux), { inFlight: 2, rejected: 1, cancelled: 1 })
      clients[0]!.session.close()
      assert.deepStrictEqual(counted(mux), { inFlight: 1, rejected: 1, cancelled: 2 })
      mux.detach()
      mux.replica.setUnavailable(unavailable)
      assert.deepStrictEqual(counted(mux), { inFlight: 0, rejected: 1, cancelled: 2, unavailable: 1 })
      assert.strictEqual(mux.account.trafficOf("git").cacheHits, 0)
    })
  )

  it.effect("keeps the names apart that share a process", () =>
    Effect.gen(function* () {
      const { mux, server } = makeShared(0)
      const client = new LocalClient({ id: 9, server: "other", upstream: mux.sharing, onNotification: () => {} })
      client.open()
      client.request("tools/call", { name: "a" }, () => {})
      server.answer((yield* server.told)[0]!)
      assert.strictEqual(mux.account.trafficOf("other").outcomes.ok, 1)
      assert.strictEqual(mux.account.trafficOf("git").outcomes.ok, 0)
    })
  )

  it("counts durations in the least bound that holds them", () => {
    const traffic = new Traffic()
    for (const millis of [0, 1, 1.5, 2, 400_000]) {
      traffic.begin(0)
      traffic.end("ok", millis, 0)
    }
    assert.deepStrictEqual([traffic.durations[0], traffic.durations[1], traffic.durations.at(-1)], [2, 2, 1])
    assert.strictEqual(traffic.inFlight, 0)
  })
})
