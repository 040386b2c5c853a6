/** `mcp-pool status`: the daemon and its servers, once, when they have settled, or as they change. */
import { Clock, Console, DateTime, Duration, Effect, Option, Schedule, Stream, Terminal } from "effect"
import { Command, Flag } from "effect/cli"
import type { DaemonStatus } from "../control/ControlApi.ts"
import type { ControlClient } from "../control/ControlClient.ts"
import * as Os from "node:os"
import { NotSettled } from "./CommandError.ts"
import { connectControl, durationFlag, jsonFlag } from "./root.ts"
import { screen } from "./Screen.ts"
import { changeLine, stateLine, statusLines } from "./statusView.ts"

export const status = Command.make(
  "status",
  {
    json: jsonFlag,
    wait: durationFlag("wait").pipe(
      Flag.withDescription("Return when each server has run or failed once, or fail after this time"),
      Flag.optional
    ),
    watch: Flag.Boolean("watch").pipe(
      Flag.withDescription("Show every change until interrupted"),
      Flag.withDefault(false)
    )
  },
  Effect.fnUntraced(function* ({ json, wait, watch }) {
    const print = json ? printJson : printTable
    if (Option.isSome(wait)) return yield* waitThen(wait.value, print)
    const control = yield* connectControl
    if (!watch) return yield* Effect.flatMap(control.status, print)
    if (json) return yield* watchJson(control)
    return yield* (yield* screen).canRedraw ? redraw(control) : watchLines(control)
  }, Effect.scoped)
).pipe(
  Command.withDescription("Show the servers: state, process, sessions, tools, memory and the last failure"),
  Command.withExamples([
    { command: "mcp-pool status", description: "A table of all servers" },
    { command: "mcp-pool status --wait 30s", description: "The same, when each has run or failed once" },
    { command: "mcp-pool status --watch", description: "The same, kept up to date" }
  ])
)

type Control = ControlClient["Service"]

const printJson = (status: DaemonStatus) => Console.log(JSON.stringify(status, undefined, 2))

const lines = Effect.fnUntraced(function* (status: DaemonStatus) {
  const now = yield* Clock.currentTimeMillis
  const { paint, width } = yield* screen
  return statusLines(status, { now, paint, width, home: Os.homedir() })
})

const printTable = (status: DaemonStatus) => Effect.flatMap(lines(status), (lines) => Console.log(lines.join("\n")))

/** Waits for a daemon too: `serve` may have been started a moment ago. */
const waitThen = Effect.fnUntraced(function* <R>(
  duration: Duration.Duration,
  print: (status: DaemonStatus) => Effect.Effect<void, never, R>
) {
  const start = yield* Clock.currentTimeMillis
  const left = Effect.map(Clock.currentTimeMillis, (now) =>
    Duration.max(Duration.zero, Duration.subtract(duration, Duration.millis(now - start)))
  )
  const control = yield* connectControl.pipe(
    Effect.retry({
      while: (error) => Effect.map(left, (left) => error._tag === "DaemonNotRunning" && Duration.isPositive(left)),
      schedule: Schedule.spaced("50 millis")
    })
  )
  const settled = yield* Effect.timeoutOption(control.settled, yield* left)
  const status = yield* control.status
  yield* print(status)
  if (Option.isSome(settled)) return
  const servers = status.servers.filter(({ state, lastFailure }) => state === "starting" && lastFailure === null)
  return yield* new NotSettled({ servers: servers.map(({ name }) => name) })
})

const watchJson = (control: Control) =>
  control.watch.pipe(
    Stream.mapEffect((event) => (event._tag === "Status" ? Effect.succeed(event.status) : control.status)),
    Stream.runForEach((status) => Console.log(JSON.stringify(status)))
  )

const watchLines = Effect.fnUntraced(function* (control: Control) {
  const { paint } = yield* screen
  yield* Stream.runForEach(
    control.watch,
    Effect.fnUntraced(function* (event) {
      if (event._tag === "Change") return yield* Console.log(changeLine(event.change, paint))
      const now = DateTime.formatIso(yield* DateTime.now)
      for (const server of event.status.servers) yield* Console.log(`${paint.dim(now)} ${stateLine(server, paint)}`)
    })
  )
})

/** On the alternate screen, so that what stood there before comes back; without wrapping, so that lines are lines. */
const redraw = Effect.fnUntraced(function* (control: Control) {
  const terminal = yield* Terminal.Terminal
  const display = (text: string) => Effect.ignore(terminal.display(text))
  yield* Effect.acquireRelease(display("\x1b[?1049h\x1b[?7l\x1b[?25l"), () => display("\x1b[?25h\x1b[?7h\x1b[?1049l"))
  const draw = Effect.gen(function* () {
    const frame = yield* Effect.flatMap(control.status, lines)
    const rows = yield* terminal.rows
    yield* display(
      `\x1b[H${frame
        .slice(0, rows - 1)
        .map((line) => `${line}\x1b[K\n`)
        .join("")}\x1b[J`
    )
  })
  // Times and memory move without a change of state.
  yield* Stream.merge(control.watch, Stream.tick(redrawInterval)).pipe(Stream.runForEach(() => draw))
})

const redrawInterval = "1 second"
