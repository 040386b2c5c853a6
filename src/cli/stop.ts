/** `mcp-pool stop SERVER`. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { printState } from "./outcome.ts"
import { connectControl, serverArgument } from "./root.ts"

export const stop = Command.make(
  "stop",
  { server: serverArgument },
  Effect.fnUntraced(function* ({ server }) {
    const control = yield* connectControl
    yield* Effect.flatMap(control.stop(server), printState)
  }, Effect.scoped)
).pipe(Command.withDescription("Stop a server; returns when its processes are gone"))
