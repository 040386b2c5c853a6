import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Member from "../../src/mux/Member.ts"
import { Turns } from "../../src/mux/Turns.ts"
import { MemoryWritable } from "../lines/MemoryWritable.ts"
import { turn, turns } from "../lines/Turn.ts"
import { markers, outcomes } from "./Messages.ts"
import { type Client, makeMux, makeShared, notification, request } from "./MuxHarness.ts"

describe("Turns", () => {
  it.effect("10,000 queued calls of one client delay another's next call by one turn", () =>
    Effect.gen(function* () {
      const { clients, server } = makeShared(2, { maxConcurrency: 1 })
      const [hog, other] = clients as [Client, Client]
      for (let n = 0; n < 10_000; n++) hog.send(request(n, "m", { n }))
      const [first] = yield* server.told
      other.send(request(1, "m", { n: "other" }))
      server.answer(first!)
      const [second] = yield* server.told
      server.answer(second!)
      const [third] = yield* server.told
      assert.deepStrictEqual(markers([first!, second!, third!]), [0, 1, "other"])
      server.answer(third!)
      assert.deepStrictEqual(markers(yield* server.told), [2])
      assert.deepStrictEqual(
        (yield* other.told).map(({ id }) => id),
        [1]
      )
    })
  )

  it.effect("a client has maxInFlight requests at the server, and its others wait in order", () =>
    Effect.gen(function* () {
      const { clients, server } = makeShared(2, { maxInFlight: 2 })
      const [one, other] = clients as [Client, Client]
      for (let n = 0; n < 5; n++) one.send(request(n, "m", { n }))
      other.send(request(0, "m", { n: "other" }))
      const told = yield* server.told
      assert.deepStrictEqual(markers(told), [0, 1, "other"])
      server.answer(told[1]!)
      const [next] = yield* server.told
      assert.deepStrictEqual(markers([next!]), [2])
      one.send(notification("notifications/cancelled", { requestId: 3 }))
      server.answer(told[0]!)
      server.answer(next!)
      assert.deepStrictEqual(markers(yield* server.told), [4])
    })
  )

  it.effect("a client with 16 MiB waiting is refused more, but never its first request", () =>
    Effect.gen(function* () {
      const mux = makeMux()
      const client = mux.client()
      const [large, larger] = ["x".repeat(9 * 1024 * 1024), "x".repeat(17 * 1024 * 1024)]
      client.send(request(1, "m", { text: large }), request(2, "m", { text: large }), request(3, "m"))
      assert.deepStrictEqual(outcomes(yield* client.told), [[2, "Overloaded"]])
      assert.strictEqual(client.session.inFlight, 2)
      const other = mux.client({ maxLine: 20 * 1024 * 1024 })
      other.send(request(1, "m", { text: larger }))
      assert.deepStrictEqual(yield* other.told, [])
      assert.deepStrictEqual(
        (yield* mux.attach().told).map(({ params }) => params !== undefined && "text" in params),
        [true, true, false]
      )
    })
  )

  it.effect("where the server does not read, requests wait, and cancellations and pings do not", () =>
    Effect.gen(function* () {
      const mux = makeMux()
      const stdin = new MemoryWritable({ highWaterMark: 1 })
      stdin.hold()
      const server = mux.attach({ stdin })
      const client = mux.client()
      client.send(request(1, "m"))
      yield* turn
      const text = "x".repeat(200_000)
      for (let id = 2; id < 6; id++) client.send(request(id, "m", { text }))
      client.send(notification("notifications/cancelled", { requestId: 1 }), request("ping", "ping"))
      client.send(notification("notifications/cancelled", { requestId: 5 }))
      assert.deepStrictEqual(
        (yield* client.told).map(({ id }) => id),
        ["ping"]
      )
      assert.strictEqual(mux.inFlight(), 2)
      assert.strictEqual(client.session.inFlight, 3)
      stdin.release()
      yield* turns(20)
      assert.deepStrictEqual(
        (yield* server.told).map(({ method }) => method),
        ["m", "m", "m", "notifications/cancelled", "m"]
      )
    })
  )

  it.effect("a client that left has nothing waiting any more", () =>
    Effect.gen(function* () {
      const { clients, server } = makeShared(2, { maxConcurrency: 1 })
      const [one, other] = clients as [Client, Client]
      one.send(request(1, "m", { n: 1 }), request(2, "m", { n: 2 }))
      other.send(request(1, "m", { n: "other" }))
      assert.deepStrictEqual(markers(yield* server.told), [1])
      one.session.close()
      const told = yield* server.told
      assert.deepStrictEqual(
        told.map(({ method }) => method),
        ["notifications/cancelled", "m"]
      )
      assert.deepStrictEqual(markers(told.slice(1)), ["other"])
    })
  )

  it("a session that ends within its own turn takes the rest with it", () => {
    const { session } = makeMux().client()
    const member = Member.make(session)
    const waiting = new Turns({ server: "git", timeout: 1000 })
    const gone: Array<string> = []
    for (const id of ["1", "2"]) {
      const go = () => {
        gone.push(id)
        waiting.withdraw(member, "cancelled")
        return true
      }
      const withdrawn = (outcome: string) => gone.push(`${id} ${outcome}`)
      waiting.enter({ member, id, bytes: 1, go, refuse: () => {}, withdrawn, passOn: () => {} })
    }
    waiting.pump()
    assert.deepStrictEqual(gone, ["1", "2 cancelled"])
    assert.isTrue(waiting.isEmpty)
  })
})
