import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { textOf } from "./support/LineClient.ts"
import * as TestPool from "./support/TestPool.ts"

describe("sessions with homes in several places", () => {
  it.live("each is served again after the server was stopped and started", () =>
    Effect.gen(function* () {
      const { connect, pool } = yield* TestPool.make(({ server }) => ({
        s: server("s", { sharing: { replicas: { min: 1, max: 2 } } })
      }))
      const one = yield* connect("s")
      const other = yield* connect("s")
      const pids = yield* Effect.all([one.call("stats"), other.call("stats")])
      const [a, b] = pids.map((answer) => (JSON.parse(textOf(answer)) as { readonly pid: number }).pid)
      assert.notStrictEqual(a, b)
      yield* pool.stop("s")
      yield* pool.start("s")
      const again = yield* Effect.all([one.call("echo", { text: "1" }), other.call("echo", { text: "2" })])
      assert.deepStrictEqual(again.map(textOf), ["1", "2"])
    })
  )
})
