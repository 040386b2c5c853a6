/** What became of a server that was told to start, stop or restart. */
import { Console, Effect } from "effect"
import type { ServerStatus } from "../PoolStatus.ts"
import { ServerUnavailable } from "../PoolError.ts"
import { screen } from "./Screen.ts"
import { stateLine } from "./statusView.ts"

export const printState = Effect.fnUntraced(function* (server: ServerStatus) {
  yield* Console.log(stateLine(server, (yield* screen).paint))
})

/** Fails where the server should run and has given up. */
export const printRunning = Effect.fnUntraced(function* (server: ServerStatus) {
  const { name, state, lastFailure } = server
  if (state !== "failed" && state !== "crash-loop") return yield* printState(server)
  return yield* new ServerUnavailable({
    server: name,
    state,
    reason: lastFailure?.message ?? null,
    hint: lastFailure?.hint ?? null
  })
})
