/** `mcp-pool logs SERVER`: what a server wrote to stderr, and what the pool did with it. */
import { Console, Effect, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import type { LogEntry } from "../server/LogEntry.ts"
import { connectControl, serverArgument } from "./root.ts"
import { screen } from "./Screen.ts"
import { printable } from "../printable.ts"
import type { Paint } from "./Text.ts"

export const logs = Command.make(
  "logs",
  {
    server: serverArgument,
    follow: Flag.Boolean("follow").pipe(
      Flag.withAlias("f"),
      Flag.withDescription("Go on with what comes, until interrupted"),
      Flag.withDefault(false)
    )
  },
  Effect.fnUntraced(function* ({ server, follow }) {
    const control = yield* connectControl
    const { paint } = yield* screen
    yield* Stream.runForEachArray(control.logs(server, { follow }), (entries) =>
      Console.log(entries.map((entry) => logLine(entry, paint)).join("\n"))
    )
  }, Effect.scoped)
).pipe(Command.withDescription("Show the last lines of a server's log: its stderr, stray stdout, the pool's events"))

/** One line of a log. */
export const logLine = ({ at, source, pid, text }: LogEntry, { dim, yellow }: Paint): string => {
  const from = pid === null ? source : `${source} ${pid}`
  return `${dim(at)} ${source === "pool" ? yellow(from) : dim(from)} ${printable(text)}`
}
