/**
 * The daemon as a service of the user's: written down, handed to systemd or launchd, looked at, taken away. Each step can
 * be done again.
 */
import { Clock, Duration, Effect, Option, Schedule, Schema } from "effect"
import * as fs from "node:fs"
import * as os from "node:os"
import { HostEnvironment } from "../config/Environment.ts"
import type { DaemonStatus } from "../control/ControlApi.ts"
import * as ControlClient from "../control/ControlClient.ts"
import * as Shell from "../Shell.ts"
import * as RuntimeDir from "../RuntimeDir.ts"
import { type Description, nameOf, type Parsed } from "./Description.ts"
import { type Argv, type Keeper, NoKeeper, Platform, type State } from "./Keeper.ts"
import * as Launchd from "./Launchd.ts"
import * as ServiceFile from "./ServiceFile.ts"
import * as ServiceRecord from "./ServiceRecord.ts"
import { type Outcome, SystemCommand } from "./SystemCommand.ts"
import * as Systemd from "./Systemd.ts"

/** Somebody has changed the file since `mcp-pool` wrote it. */
export class ServiceEdited extends Schema.TaggedError<ServiceEdited>()("ServiceEdited", {
  file: Schema.String,
  name: Schema.String,
  kind: Schema.Literals(["systemd", "launchd"])
}) {
  override get message(): string {
    const better = this.kind === "systemd" ? `; settings of your own stay in "systemctl --user edit ${this.name}"` : ""
    return `${this.file} was edited by hand, and nothing was changed: --force writes it anew and keeps yours as ${this.file}.edited${better}`
  }
}

/** The file is there, and whoever should keep the daemon running did not do what it was told. */
export class ServiceNotStarted extends Schema.TaggedError<ServiceNotStarted>()("ServiceNotStarted", {
  name: Schema.String,
  /** What went wrong, in one line. */
  reason: Schema.String,
  /** Commands that a person can run to go on, or to see why. */
  commands: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const commands = this.commands.map((command) => `  ${command}`)
    return [`${this.name} is installed and was not started: ${this.reason}`, ...commands].join("\n")
  }
}

/** Who keeps the service of a runtime directory, for this user on this system. */
export const keeperOf = Effect.fnUntraced(function* (runtimeDir: string): Effect.fn.Return<Keeper, NoKeeper> {
  const platform = yield* Platform
  const variables = yield* HostEnvironment
  const home = variables["HOME"] || os.homedir()
  const usual = RuntimeDir.resolve({ flag: undefined, env: {}, home })
  const who = { service: nameOf(runtimeDir, usual), home, uid: process.getuid?.() ?? 0 }
  if (platform === "linux") return Systemd.make({ ...who, xdgRuntimeDir: variables["XDG_RUNTIME_DIR"] })
  if (platform === "darwin") return Launchd.make(who)
  return yield* new NoKeeper({ platform })
})

/** What became of an installation that succeeded. */
export interface Installed {
  /** Of the daemon that the service runs. */
  readonly pid: number
  /** Whether nothing had to be done. */
  readonly wasThere: boolean
}

/** Writes, registers, takes over from a daemon that runs already, and starts; returns when the service's daemon answers. */
export const install = Effect.fnUntraced(function* (options: {
  readonly keeper: Keeper
  readonly description: Description
  readonly force: boolean
  /** Told of each thing that was done, in one line. */
  readonly say: (line: string) => Effect.Effect<void>
}): Effect.fn.Return<Installed, ServiceEdited | ServiceNotStarted | ServiceFile.ServiceFileError> {
  const { description, force, keeper, say } = options
  const { file, kind, name } = keeper
  const { runtimeDir } = description
  const found = yield* ServiceFile.read(file)
  const text = keeper.text(description)
  const isSame = found.kind === "found" && found.text === text
  if (found.kind === "found" && found.isEdited) {
    if (!force) return yield* new ServiceEdited({ file, name, kind })
    yield* say(`kept ${yield* ServiceFile.keep(file)}`)
  }
  if (!isSame) {
    yield* ServiceFile.write(file, text, 0o644)
    yield* say(`wrote ${file}`)
  }
  if (yield* record(keeper, runtimeDir)) {
    yield* say(`wrote ${ServiceRecord.fileOf(runtimeDir)}: connect starts the daemon by it`)
  }

  const run = yield* SystemCommand
  const tell = (argv: Argv) => run({ argv, env: { add: keeper.env } })
  for (const [i, argv] of keeper.register.entries()) {
    const outcome = yield* tell(argv)
    if (outcome.code === 0) continue
    return yield* notStarted(keeper, argv, outcome, [...keeper.register.slice(i), keeper.start])
  }
  const before = yield* daemonOf(runtimeDir)
  const { pid } = yield* keeper.state
  const runsAsWritten = Option.isSome(before) && before.value === pid && isSame
  if (runsAsWritten) return { pid: before.value, wasThere: true }
  if (Option.isSome(before)) {
    const lost = yield* handOver(runtimeDir)
    const cut = lost === 0 ? "" : `, and ${lost} of its calls ${lost === 1 ? "was" : "were"} cut off`
    yield* say(`the daemon with process ${before.value} made way${cut}`)
  }
  for (const argv of keeper.clear) yield* tell(argv)
  const started = yield* tell(keeper.start)
  if (started.code !== 0) return yield* notStarted(keeper, keeper.start, started, [keeper.start, keeper.logs])
  const daemon = yield* awaitDaemon(keeper, runtimeDir)
  const after = yield* keeper.state
  if (Option.isSome(daemon) && after.pid === daemon.value) return { pid: daemon.value, wasThere: false }
  const reason = Option.isNone(daemon)
    ? `its daemon does not answer (${after.words})`
    : `another daemon was faster, process ${daemon.value} (${after.words})`
  return yield* new ServiceNotStarted({ name, reason, commands: [Shell.line(...keeper.logs)] })
})

/** Returns whether it was not there as it is now. */
const record = Effect.fnUntraced(function* (keeper: Keeper, runtimeDir: string) {
  const environment = Object.entries(keeper.env).map(([variable, value]) => `${variable}=${value}`)
  // A host's `connect` has next to no environment.
  const alone = (argv: Argv): Argv => (environment.length === 0 ? argv : ["/usr/bin/env", ...environment, ...argv])
  const wanted = { name: keeper.name, start: alone(keeper.start), stop: alone(keeper.stop) }
  const there = ServiceRecord.read(runtimeDir)
  if (
    there !== undefined &&
    JSON.stringify(Object.entries(there).sort()) === JSON.stringify(Object.entries(wanted).sort())
  )
    return false
  yield* ServiceRecord.write(runtimeDir, wanted)
  return true
})

const notStarted = (keeper: Keeper, argv: Argv, outcome: Outcome, commands: ReadonlyArray<Argv>) => {
  const then =
    argv === keeper.start
      ? "Go on with"
      : keeper.kind === "systemd"
        ? "Where your systemd answers, as it does in a session of your own, run"
        : "Where you are logged in at the screen, run"
  return new ServiceNotStarted({
    name: keeper.name,
    reason: `${complaint(argv, outcome)}. ${then}`,
    commands: commands.map((argv) => Shell.line(...argv))
  })
}

const complaint = (argv: Argv, { code, err }: Outcome): string =>
  `${Shell.line(...argv)}: ${err.split("\n", 1)[0]!.replace(/\.$/, "") || (code === null ? "no end" : `code ${code}`)}`

/** What the daemon says of itself that answers at the directory. */
export const statusOf = (runtimeDir: string): Effect.Effect<Option.Option<DaemonStatus>> =>
  ControlClient.make({ runtimeDir }).pipe(
    Effect.flatMap(({ status }) => status),
    Effect.scoped,
    Effect.timeout(answerTime),
    Effect.option
  )

/** Its pid. */
const daemonOf = (runtimeDir: string): Effect.Effect<Option.Option<number>> =>
  Effect.map(
    statusOf(runtimeDir),
    Option.map(({ pid }) => pid)
  )

/** Returns when it is gone, with its calls that were not answered first. One that goes by itself has made way, too. */
const handOver = (runtimeDir: string): Effect.Effect<number> =>
  ControlClient.make({ runtimeDir }).pipe(
    Effect.flatMap(({ handover, shutdown }) =>
      handover({ timeout: drainTime }).pipe(
        Effect.map(({ cutOff }) => cutOff.reduce((sum, { calls }) => sum + calls, 0)),
        // A daemon of before.
        Effect.catchTag("HandoverUnknown", () => Effect.as(shutdown, 0))
      )
    ),
    Effect.scoped,
    Effect.orElseSucceed(() => 0)
  )

/** As `shutdown --handover` has it. */
const drainTime = "30 seconds"

/** The daemon once it answers; none where that takes too long or the service has given up. */
const awaitDaemon = Effect.fnUntraced(function* (keeper: Keeper, runtimeDir: string) {
  const begin = yield* Clock.currentTimeMillis
  const isHopeful = Effect.gen(function* () {
    const { silence, words } = yield* keeper.state
    return (
      (silence !== null || !words.startsWith("failed")) &&
      (yield* Clock.currentTimeMillis) - begin < Duration.toMillis(startTime)
    )
  })
  return yield* Effect.repeat(daemonOf(runtimeDir), {
    while: (found) => (Option.isSome(found) ? Effect.succeed(false) : isHopeful),
    schedule: Schedule.spaced("100 millis")
  })
})

const answerTime = "3 seconds"
/** A daemon answers within a second; a cold disk may take longer. */
const startTime = Duration.seconds(15)

/** What was taken away, or could not be. */
export interface Uninstalled {
  readonly wasThere: boolean
  /** What whoever kept it running did not do, in its own words. */
  readonly complaints: ReadonlyArray<string>
}

/** Stops the service and removes what `install` wrote; a file that was edited is kept under another name. */
export const uninstall = Effect.fnUntraced(function* (options: {
  readonly keeper: Keeper
  readonly runtimeDir: string
  readonly say: (line: string) => Effect.Effect<void>
}): Effect.fn.Return<Uninstalled, ServiceFile.ServiceFileError> {
  const { keeper, runtimeDir, say } = options
  const found = yield* ServiceFile.read(keeper.file)
  const hasRecord = fs.existsSync(ServiceRecord.fileOf(runtimeDir))
  if (found.kind === "none" && !hasRecord) return { wasThere: false, complaints: [] }
  // First: a `connect` must not start it anew.
  if (yield* ServiceRecord.remove(runtimeDir)) yield* say(`removed ${ServiceRecord.fileOf(runtimeDir)}`)
  const run = yield* SystemCommand
  const tell = (argv: Argv) =>
    Effect.map(run({ argv, env: { add: keeper.env } }), (outcome) =>
      outcome.code === 0 ? [] : [complaint(argv, outcome)]
    )
  const complaints = (yield* Effect.forEach(keeper.unregister, tell)).flat()
  if (found.kind === "found") {
    if (found.isEdited) yield* say(`kept ${yield* ServiceFile.keep(keeper.file)}`)
    yield* ServiceFile.remove(keeper.file)
    yield* say(`removed ${keeper.file}`)
  }
  for (const link of keeper.links) if (yield* ServiceFile.remove(link)) yield* say(`removed ${link}`)
  const forgotten = (yield* Effect.forEach(keeper.forget, tell)).flat()
  return { wasThere: true, complaints: complaints.length > 0 ? complaints : forgotten }
})

/** The service as it is at this moment. */
export interface Look {
  readonly file: ServiceFile.Found
  /** What the file says; undefined where there is none, or where it starts nothing. */
  readonly parsed: Parsed | undefined
  readonly state: State
  /** Whether `connect` knows of it. */
  readonly isRecorded: boolean
}

/** Changes nothing. Where there is no file nobody is asked. */
export const look = Effect.fnUntraced(function* (
  keeper: Keeper,
  runtimeDir: string
): Effect.fn.Return<Look, ServiceFile.ServiceFileError> {
  const file = yield* ServiceFile.read(keeper.file)
  const isRecorded = ServiceRecord.read(runtimeDir) !== undefined
  if (file.kind === "none") return { file, parsed: undefined, state: absent, isRecorded }
  return { file, parsed: keeper.parse(file.text), state: yield* keeper.state, isRecorded }
})

const absent: State = { silence: null, isEnabled: false, pid: null, words: "not installed" }

/** Stops the service of a directory, so that it stays away; returns its name, or undefined where none is installed. */
export const stop = Effect.fnUntraced(function* (runtimeDir: string) {
  const there = ServiceRecord.read(runtimeDir)
  if (there === undefined) return undefined
  const run = yield* SystemCommand
  const { code } = yield* run({ argv: there.stop })
  return code === 0 ? there.name : undefined
})
