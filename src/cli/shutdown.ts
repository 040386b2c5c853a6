/** `mcp-pool shutdown`, with or without a handover. */
import { Console, Duration, Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import type { Drained } from "../PoolStatus.ts"
import { connectControl, durationFlag, runtimeDir } from "./root.ts"
import { printable } from "../printable.ts"

export const shutdown = Command.make(
  "shutdown",
  {
    handover: Flag.Boolean("handover").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Answer what is in flight first; sessions over connect go on with the next daemon")
    ),
    timeout: durationFlag("timeout").pipe(
      Flag.optional,
      Flag.withDescription("How long a handover waits for what is in flight (default: 30s)")
    )
  },
  Effect.fnUntraced(function* ({ handover, timeout }) {
    const control = yield* connectControl
    const { pid } = yield* control.status
    if (handover) {
      const patience = Option.getOrElse(timeout, () => Duration.seconds(30))
      const drained = yield* control.handover({ timeout: patience })
      for (const line of drainedLines(drained, patience)) yield* Console.log(line)
      yield* Console.log(`the daemon has stopped, pid ${pid}`)
      return
    }
    // First: whoever keeps a service running would start the daemon anew.
    const service = yield* stopService
    yield* control.shutdown
    yield* Console.log(`the daemon has stopped, pid ${pid}`)
    if (service !== undefined) yield* Console.log(`${service} is stopped until a host needs it, or the next login`)
  }, Effect.scoped)
).pipe(
  Command.withDescription("Stop the daemon and its servers; returns when it is gone"),
  Command.withExamples([
    {
      command: "mcp-pool shutdown --handover",
      description: "Before another version is started: clients notice nothing"
    }
  ])
)

/** What was drained and, a line each, what was cut off. */
const drainedLines = ({ calls, cutOff, sessions }: Drained, timeout: Duration.Duration): ReadonlyArray<string> => [
  `drained ${count(sessions, "session")}, ${count(calls, "call")} in flight`,
  ...cutOff.map(
    ({ calls, client, server }) =>
      `cut off after ${Duration.format(timeout)}: ${count(calls, "call")} of ${printable(client ?? "a client")} to ${printable(server)}`
  )
]

const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? "" : "s"}`

/** The name of the service that was stopped. */
const stopService = Effect.gen(function* () {
  const directory = yield* runtimeDir
  const Service = yield* Effect.promise(() => import("../service/Service.ts"))
  return yield* Service.stop(directory)
})
