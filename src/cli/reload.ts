/** `mcp-pool reload`. */
import { Console, Effect } from "effect"
import { Command } from "effect/cli"
import type { ServerChange } from "../PoolStatus.ts"
import { printable } from "../printable.ts"
import { KeptBack } from "./CommandError.ts"
import { connectControl } from "./root.ts"
import { screen } from "./Screen.ts"
import type { Paint } from "./Text.ts"

export const reload = Command.make(
  "reload",
  {},
  Effect.fnUntraced(function* () {
    const control = yield* connectControl
    const { problems, servers, warnings } = yield* control.reload
    const { paint } = yield* screen
    yield* Effect.forEach(warnings, (line) => Console.error(`mcp-pool: ${printable(line)}`), { discard: true })
    if (servers.length === 0) yield* Console.log("no server is configured")
    for (const line of changeLines(servers, paint)) yield* Console.log(line)
    yield* Effect.forEach(problems, (line) => Console.error(`mcp-pool: ${printable(line)}`), { discard: true })
    const kept = servers.flatMap(({ outcome, server }) => (outcome === "kept" ? [server] : []))
    if (kept.length > 0 || problems.length > 0) return yield* new KeptBack({ servers: kept })
  }, Effect.scoped)
).pipe(
  Command.withDescription(
    "Read the configuration again: what changed starts beside the old process, which ends when it is replaced"
  )
)

/** What became of each server, a line each. */
const changeLines = (changes: ReadonlyArray<ServerChange>, paint: Paint): ReadonlyArray<string> => {
  const width = Math.max(...changes.map(({ server }) => printable(server).length))
  return changes.map(({ outcome, reason, server }) => {
    const words = outcome === "kept" ? paint.red(inWords[outcome]) : inWords[outcome]
    return `${printable(server).padEnd(width)}  ${words}${reason === null ? "" : `: ${printable(reason)}`}`
  })
}

const inWords: Readonly<Record<ServerChange["outcome"], string>> = {
  unchanged: "unchanged",
  changed: "changed",
  added: "added",
  removed: "removed",
  kept: "goes on as before"
}
