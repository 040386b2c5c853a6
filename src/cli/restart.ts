/** `mcp-pool restart SERVER`. */
import { Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { printRunning } from "./outcome.ts"
import { connectControl, serverArgument } from "./root.ts"

export const restart = Command.make(
  "restart",
  {
    server: serverArgument,
    now: Flag.Boolean("now").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Stop the old process first; calls in flight are lost and new ones wait")
    )
  },
  Effect.fnUntraced(function* ({ now, server }) {
    const control = yield* connectControl
    yield* Effect.flatMap(control.restart(server, { now }), printRunning)
  }, Effect.scoped)
).pipe(
  Command.withDescription("Start a server anew, without a gap: the old process ends when the new one has taken over")
)
