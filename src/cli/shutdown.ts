/** `mcp-pool shutdown`. */
import { Console, Effect } from "effect"
import { Command } from "effect/cli"
import { connectControl } from "./root.ts"

export const shutdown = Command.make(
  "shutdown",
  {},
  Effect.fnUntraced(function* () {
    const control = yield* connectControl
    const { pid } = yield* control.status
    yield* control.shutdown
    yield* Console.log(`the daemon has stopped, pid ${pid}`)
  }, Effect.scoped)
).pipe(Command.withDescription("Stop the daemon and its servers; returns when it is gone"))
