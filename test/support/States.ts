/** The steps of a pool's servers, kept from the moment of watching. */
import { Effect, Stream, SubscriptionRef } from "effect"
import type { McpPool } from "../../src/McpPool.ts"
import type { ServerState, StateChange } from "../../src/server/ServerState.ts"

export interface States {
  /** All steps of a server so far. */
  readonly steps: (server: string) => ReadonlyArray<StateChange>
  /** Returns with the step by which a server went to a state, now or when it comes; with `times`, the so manieth. */
  readonly reached: (server: string, state: ServerState, times?: number) => Effect.Effect<StateChange>
}

export const watch = Effect.fnUntraced(function* (pool: McpPool["Service"]) {
  const seen = yield* SubscriptionRef.make<ReadonlyArray<StateChange>>([])
  yield* pool.changes.pipe(
    Stream.runForEach((change) => SubscriptionRef.update(seen, (changes) => [...changes, change])),
    // Watching has begun when this returns.
    Effect.forkScoped({ startImmediately: true })
  )
  return {
    steps: (server) => SubscriptionRef.getUnsafe(seen).filter((change) => change.server === server),
    reached: (server, state, times = 1) =>
      SubscriptionRef.changes(seen).pipe(
        Stream.map((changes) => changes.filter((change) => change.server === server && change.to === state)),
        Stream.filter((changes) => changes.length >= times),
        Stream.runHead,
        Effect.flatMap((found) => Effect.fromOption(found)),
        Effect.map((changes) => changes[times - 1]!),
        Effect.orDie
      )
  } satisfies States as States
})
