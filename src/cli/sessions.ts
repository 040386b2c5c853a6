/** `mcp-pool sessions`: who is connected. */
import { Clock, Console, Effect } from "effect"
import { Command } from "effect/cli"
import type { SessionStatus } from "../PoolStatus.ts"
import { connectControl, jsonFlag } from "./root.ts"
import { screen } from "./Screen.ts"
import { printable } from "../printable.ts"
import { type Paint, span, table } from "./Text.ts"

export const sessions = Command.make(
  "sessions",
  { json: jsonFlag },
  Effect.fnUntraced(function* ({ json }) {
    const control = yield* connectControl
    const found = yield* control.sessions
    if (json) return yield* Console.log(JSON.stringify(found, undefined, 2))
    const now = yield* Clock.currentTimeMillis
    yield* Console.log(sessionLines(found, { now, paint: (yield* screen).paint }).join("\n"))
  }, Effect.scoped)
).pipe(Command.withDescription("List the connected clients: name, version, since when, calls"))

/** A table of the sessions. */
export const sessionLines = (
  sessions: ReadonlyArray<SessionStatus>,
  { now, paint }: { readonly now: number; readonly paint: Paint }
): ReadonlyArray<string> =>
  sessions.length === 0
    ? ["nobody is connected"]
    : table(
        sessions,
        [
          { head: "ID", text: ({ id }) => String(id), right: true },
          { head: "SERVER", text: ({ server }) => printable(server), style: paint.bold },
          { head: "CLIENT", text: ({ client }) => printable(client ?? "-") },
          { head: "VERSION", text: ({ version }) => printable(version ?? "-") },
          { head: "SINCE", text: ({ since }) => span(now - Date.parse(since)), right: true },
          { head: "IN FLIGHT", text: ({ inFlight }) => String(inFlight), right: true },
          { head: "CALLS", text: ({ calls }) => String(calls), right: true }
        ],
        paint
      )
