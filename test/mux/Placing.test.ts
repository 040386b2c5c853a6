import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import { call, cancelled, markers, methods } from "./Messages.ts"
import { type Client, fakeTimers, makeProcess, makeShared, request } from "./MuxHarness.ts"

const initialize = request("i", "initialize", {
  protocolVersion: "2025-11-25",
  capabilities: { sampling: {} },
  clientInfo: { name: "t", version: "1" }
})

/** Two clients that can be asked, and a tool that is known to ask. */
const makeTwo = Effect.fnUntraced(function* (options?: Parameters<typeof makeShared>[1]) {
  yield* fakeTimers
  const { clients, mux, server } = makeShared(2, {
    askers: [{ method: "tools/call", name: "ask", isCertain: true }],
    ...options
  })
  const [one, other] = clients as [Client, Client]
  for (const client of [one, other]) {
    client.send(initialize)
    yield* client.told
  }
  return { mux, one, other, server }
})

const ask = (n: string) => call(n, "ask", { n })

const sampling = request("q", "sampling/createMessage", { messages: [] })

describe("Placing", () => {
  it.effect("who is asked goes in beside a lane, which stays its owner's until that one has gone", () =>
    Effect.gen(function* () {
      const { one, other, server } = yield* makeTwo()
      one.send(call(1, "plain"))
      const [plain] = yield* server.told
      server.say(sampling)
      const [question] = yield* one.told
      other.send(ask("other"))
      assert.deepStrictEqual(yield* server.told, [])
      vi.advanceTimersByTime(1250)
      const [lane] = yield* server.told
      assert.deepStrictEqual(markers([lane!]), ["other"], "it is among others, since there is no other place")
      one.send(ask("nested"))
      const [nested] = yield* server.told
      assert.deepStrictEqual(markers([nested!]), ["nested"])
      server.answer(nested!)
      one.send({ jsonrpc: "2.0", id: question!.id, result: {} })
      server.answer(plain!)
      yield* server.told
      one.send(ask("one"))
      assert.deepStrictEqual(yield* server.told, [])
      server.answer(lane!)
      assert.deepStrictEqual(markers(yield* server.told), ["one"])
    })
  )

  it.effect("what was cancelled and is not answered goes with its process once something waits to be alone", () =>
    Effect.gen(function* () {
      const { mux, one, other, server } = yield* makeTwo()
      one.send(call(1, "plain"), cancelled(1))
      vi.advanceTimersByTime(1000)
      assert.deepStrictEqual(mux.wanted, [])
      yield* server.told
      other.send(ask("other"))
      vi.advanceTimersByTime(250)
      assert.deepStrictEqual(mux.wanted, ["renew 0"])
      vi.advanceTimersByTime(5000)
      assert.deepStrictEqual(yield* server.told, [])
      const next = mux.attach()
      assert.deepStrictEqual(markers(yield* next.told), ["other"])
      next.say(sampling)
      assert.deepStrictEqual(methods(yield* other.told), ["sampling/createMessage"])
    })
  )

  it.effect(
    "a process that has left more cancelled calls without an answer than are kept goes no sooner than that",
    () =>
      Effect.gen(function* () {
        const { mux, one } = yield* makeTwo()
        for (let n = 0; n < 1100; n++) one.send(call(n, "plain"), cancelled(n))
        vi.advanceTimersByTime(1000)
        assert.deepStrictEqual(mux.wanted, [])
        one.send(ask("one"))
        vi.advanceTimersByTime(250)
        assert.deepStrictEqual(mux.wanted, ["renew 0"])
        assert.deepStrictEqual(markers(yield* mux.attach().told), ["one"])
      })
  )

  it.effect("pages of a list come from home, though another session has its lane there", () =>
    Effect.gen(function* () {
      const { mux, one, other, server } = yield* makeTwo({ replicas: { min: 1, max: 2, homes: 1 } })
      one.send(ask("one"))
      const second = makeProcess()
      mux.sharing.replicas[1]!.attach(second.process)
      other.send(ask("other"))
      const [lane] = yield* second.told
      assert.deepStrictEqual(markers(yield* server.told), ["other"])
      second.answer(lane!)
      one.send(request(1, "resources/list"), call(2, "plain"))
      assert.deepStrictEqual(methods(yield* second.told), ["tools/call"])
      const [page] = yield* server.told
      server.answer(page!, { resources: [], nextCursor: "2" })
      one.send(request(3, "resources/list", { cursor: "2" }))
      assert.deepStrictEqual(methods(yield* server.told), ["resources/list"])
    })
  )

  it.effect("while a place starts, what asks goes after a second to where nobody else is, after ten among others", () =>
    Effect.gen(function* () {
      const { mux, one, other, server } = yield* makeTwo({ replicas: { min: 1, max: 2, homes: 1 } })
      one.send(ask("one"))
      assert.deepStrictEqual(mux.wanted, ["start 1"])
      vi.advanceTimersByTime(1000)
      assert.deepStrictEqual(yield* server.told, [])
      vi.advanceTimersByTime(250)
      const [first] = yield* server.told
      assert.deepStrictEqual(markers([first!]), ["one"])
      one.send(call(1, "plain"))
      yield* server.told
      server.answer(first!)
      other.send(ask("other"))
      vi.advanceTimersByTime(9750)
      assert.deepStrictEqual(yield* server.told, [])
      vi.advanceTimersByTime(500)
      assert.deepStrictEqual(markers(yield* server.told), ["other"])
    })
  )
})
