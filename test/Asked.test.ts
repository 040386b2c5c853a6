import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Asked from "./suites/Asked.ts"

describe("sessions that are asked", () => {
  for (const [where, sharing] of [
    ["one process", { replicas: { min: 1, max: 1 } }],
    ["as many as it takes", undefined],
    ["three replicas", { replicas: 3 }]
  ] as const) {
    it.live(
      `on ${where}: of 96 calls at once no question is lost or reaches another, whoever cancels or cannot be asked`,
      () =>
        Effect.gen(function* () {
          const { answered, calls, processes, violations } = yield* Asked.run(96, { sharing, seed: 1 })
          assert.deepStrictEqual(violations, [])
          assert.deepStrictEqual([calls, answered], [96, 96])
          assert.isAbove(processes, 1, "where a call was cancelled while it ran alone, its process is replaced")
        }),
      patience
    )
  }

  it.live("a handler that calls the same server while it answers completes", () =>
    Effect.gen(function* () {
      const { join } = yield* Asked.make({ replicas: { min: 1, max: 1 } })
      const nesting = yield* join("nesting", {
        onQuestion: (client, label) =>
          label.includes(" sample ") ? Effect.void : Effect.orDie(Effect.asVoid(client.call("sample")))
      })
      const other = yield* join("other")
      for (const tool of ["sample", "form"] as const) yield* nesting.call(tool)
      const told = yield* Effect.all(
        [nesting.call("form"), nesting.call("url"), other.call("form"), nesting.call("form"), other.call("sample")],
        { concurrency: "unbounded" }
      )
      assert.isTrue(told.every(({ result }) => result !== undefined))
      assert.strictEqual(nesting.asked(), 9)
      assert.deepStrictEqual([...nesting.violations, ...other.violations], [])
    })
  )

  it.live("a form that is left open keeps nobody from the same tool", () =>
    Effect.gen(function* () {
      const { calls, isAnswered, isApart } = yield* Asked.openForm(300)
      assert.isAtLeast(calls, 3)
      assert.isTrue(isAnswered && isApart)
    })
  )
})

/** Milliseconds, for a machine that is busy with other things. */
const patience = 120_000
