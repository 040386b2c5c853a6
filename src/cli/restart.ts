/** `mcp-pool restart SERVER`. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { printRunning } from "./outcome.ts"
import { connectControl, serverArgument } from "./root.ts"

export const restart = Command.make(
  "restart",
  { server: serverArgument },
  Effect.fnUntraced(function* ({ server }) {
    const control = yield* connectControl
    yield* Effect.flatMap(control.restart(server), printRunning)
  }, Effect.scoped)
).pipe(Command.withDescription("Stop and start a server with a fresh restart budget; its sessions stay connected"))
