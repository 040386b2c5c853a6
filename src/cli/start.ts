/** `mcp-pool start SERVER`. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { printRunning } from "./outcome.ts"
import { connectControl, serverArgument } from "./root.ts"

export const start = Command.make(
  "start",
  { server: serverArgument },
  Effect.fnUntraced(function* ({ server }) {
    const control = yield* connectControl
    yield* Effect.flatMap(control.start(server), printRunning)
  }, Effect.scoped)
).pipe(Command.withDescription("Start a server that is not running; returns when it has run or failed"))
