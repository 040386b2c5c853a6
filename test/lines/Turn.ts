/** Turns of the event loop, after which what was due in them has been done: writers flush once a turn. */
import { Effect } from "effect"

export const turn: Effect.Effect<void> = Effect.callback((resume) => {
  setImmediate(() => resume(Effect.void))
})

/** So many that what each one causes in the next has been done too. */
export const turns = (count: number): Effect.Effect<void> => Effect.repeat(turn, { times: count - 1 })
