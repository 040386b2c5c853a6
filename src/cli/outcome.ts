/** What became of a server that was told to start, stop or restart. */
import { Console, Effect } from "effect"
import type { ServerStatus } from "../PoolStatus.ts"
import { ServerDown } from "./CommandError.ts"
import { screen } from "./Screen.ts"
import { stateLine } from "./statusView.ts"
import { paint } from "./Text.ts"

export const printState = Effect.fnUntraced(function* (server: ServerStatus) {
  yield* Console.log(stateLine(server, (yield* screen).paint))
})

/** Fails where the server does not run, though it should. */
export const printRunning = (server: ServerStatus) =>
  server.state === "running"
    ? printState(server)
    : Effect.fail(new ServerDown({ line: stateLine(server, paint(false)) }))
