import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Soak from "./suites/Soak.ts"

describe("under load from 16 clients", () => {
  it.live(
    "30 crashes at random moments cost no request its one answer, and leave nothing behind",
    () =>
      Effect.gen(function* () {
        const { crashes, outcomes, runTwice, violations } = yield* Soak.crashes(30, { seed: 1 })
        assert.deepStrictEqual(violations, [])
        assert.isAtLeast(crashes, 30)
        assert.isAbove(outcomes["unknown outcome"], 0)
        assert.isAbove(runTwice, 0)
      }),
    patience
  )

  it.live(
    "5 restarts without a gap fail no call",
    () =>
      Effect.gen(function* () {
        const { processes, violations } = yield* Soak.restarts(5, { seed: 2 })
        assert.deepStrictEqual(violations, [])
        assert.strictEqual(processes, 6)
      }),
    patience
  )
})

/** Milliseconds, for a machine that is busy with other things. */
const patience = 120_000
