/** Wishes for another process in place of one that runs: in order, each answered once. Lives as long as its supervisor. */
import { Deferred, Effect, Queue } from "effect"
import type { RestartFailed } from "../PoolError.ts"
import type { Incarnation } from "./Incarnation.ts"
import type { Trigger } from "./ServerState.ts"

export interface Replacement {
  readonly of: Incarnation
  readonly cause: Extract<Trigger, "request" | "age" | "memory" | "questions">
  /** Nothing came of it. */
  readonly fail: (error: RestartFailed) => void
}

export interface Replacements {
  /** Returns when another process has taken over, or fails when none will. */
  readonly want: (of: Incarnation, cause: Replacement["cause"]) => Effect.Effect<void, RestartFailed>
  /** The next one, as soon as it comes; `of` may have been replaced since. */
  readonly next: Effect.Effect<Replacement>
  /** Answers all: another process has taken over, or none will. */
  readonly answer: (how: Effect.Effect<void, RestartFailed>) => void
}

export const make: Effect.Effect<Replacements> = Effect.gen(function* () {
  const queue = yield* Queue.unbounded<Replacement>()
  const waiting = new Set<Deferred.Deferred<void, RestartFailed>>()
  return {
    want: Effect.fnUntraced(function* (of: Incarnation, cause: Replacement["cause"]) {
      const done = yield* Deferred.make<void, RestartFailed>()
      waiting.add(done)
      yield* Queue.offer(queue, { of, cause, fail: (error) => void Deferred.doneUnsafe(done, Effect.fail(error)) })
      yield* Deferred.await(done).pipe(Effect.ensuring(Effect.sync(() => waiting.delete(done))))
    }),
    next: Queue.take(queue),
    answer: (how) => {
      for (const done of waiting) Deferred.doneUnsafe(done, how)
    }
  }
})
