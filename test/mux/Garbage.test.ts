import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import { constants, type NodeGCPerformanceDetail, PerformanceObserver } from "node:perf_hooks"
import * as Garbage from "../../src/mux/Garbage.ts"

const megabytes = (count: number) => count * 1024 * 1024

describe("Garbage", () => {
  it.live("has V8 look once for all that is left in a turn, and not for little", () =>
    Effect.gen(function* () {
      const looked = yield* Deferred.make<void>()
      let asked = 0
      const observer = new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) {
          // Entries of this type have it.
          const { flags } = (entry as unknown as { readonly detail: NodeGCPerformanceDetail }).detail
          if (flags === constants.NODE_PERFORMANCE_GC_FLAGS_FORCED) asked++
        }
        if (asked > 0) Deferred.doneUnsafe(looked, Effect.void)
      })
      observer.observe({ entryTypes: ["gc"] })
      yield* Effect.addFinalizer(() => Effect.sync(() => observer.disconnect()))
      const aTurn = Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void)))
      Garbage.leave(megabytes(1))
      yield* aTurn
      Garbage.leave(megabytes(32))
      Garbage.leave(megabytes(40))
      yield* Deferred.await(looked)
      assert.strictEqual(asked, 1)
    })
  )
})
