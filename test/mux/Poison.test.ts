import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { call, cancelled, outcomes, tools, withTools } from "./Messages.ts"
import { makeMux, request } from "./MuxHarness.ts"

describe("Poison", () => {
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
          [
            4,
            31001,
            {
              kind: "ServerUnavailable",
              server: "git",
              state: "refusing",
              hint: "it ended the server 3 times, alone: mcp-pool logs git"
            }
          ]
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
  })
})
