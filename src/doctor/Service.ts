/** The daemon as a service, where one is installed: whether it can run, does, and finds the servers' commands. */
import { Effect, Option, Result } from "effect"
import * as fs from "node:fs"
import { HostEnvironment } from "../config/Environment.ts"
import type * as PoolConfig from "../config/PoolConfig.ts"
import { configFilesOf, httpFlagsOf, type Parsed } from "../service/Description.ts"
import type { Keeper } from "../service/Keeper.ts"
import * as Service from "../service/Service.ts"
import * as ServiceConfig from "../service/ServiceConfig.ts"
import * as ServiceRecord from "../service/ServiceRecord.ts"
import type { Daemon } from "./Daemon.ts"
import { type Finding, of } from "./Finding.ts"
import * as LoginShell from "./LoginShell.ts"
import * as ServerCommand from "./ServerCommand.ts"
import * as Shell from "../Shell.ts"

const { ok, problem, warning } = of("service")

/** Silent where none is installed. */
export const check = Effect.fnUntraced(function* (options: {
  readonly runtimeDir: string
  readonly daemon: Daemon
  /** The absolute paths of node and of this script. */
  readonly program: readonly [node: string, script: string]
  readonly commands: Shell.Commands
  readonly isLookedAt: (server: string) => boolean
}): Effect.fn.Return<ReadonlyArray<Finding>> {
  const { commands, daemon, runtimeDir } = options
  const found = yield* Effect.result(Service.keeperOf(runtimeDir))
  if (Result.isFailure(found)) return []
  const keeper = found.success
  const looked = yield* Effect.result(Service.look(keeper, runtimeDir))
  if (Result.isFailure(looked))
    return [problem(keeper.name, looked.failure.message, Shell.line("ls", "-l", keeper.file))]
  const { file, isRecorded, parsed, state } = looked.success
  const record = ServiceRecord.fileOf(runtimeDir)
  if (file.kind === "none") {
    if (!isRecorded) return []
    const message = "names a service that is not installed any more: connect tries to start it first"
    return [warning(record, message, commands.pool("service", "uninstall"))]
  }
  const words = installation(parsed, file.isEdited)
  const install = commands.pool(...words)
  if (parsed === undefined) {
    return [warning(keeper.file, "was edited by hand, and starts nothing that the doctor understands", install)]
  }
  const findings: Array<Finding> = [...programs(keeper, parsed, install)]
  const isWhole = findings.length === 0
  if (!isRecorded) {
    findings.push(warning(record, `is not there: connect does not start the daemon by ${keeper.name}`, install))
  }
  if (state.isEnabled === false) findings.push(warning(keeper.name, "is not started at login", install))
  if (isWhole) findings.push(...running({ keeper, state, daemon, install }))
  const paths = isWhole ? yield* comparison(parsed, words, Shell.line(...keeper.start), options) : []
  findings.push(...paths)
  if (findings.some(({ ok }) => ok !== "ok")) return findings.filter(({ ok }) => ok !== "ok")
  return [ok(keeper.name, `${keeper.name} runs the daemon, pid ${state.pid}${paths[0]?.message ?? ""}`)]
})

/** The command that starts the daemon where a service is installed. */
export const startOf = Effect.fnUntraced(function* (runtimeDir: string): Effect.fn.Return<string | undefined> {
  if (ServiceRecord.read(runtimeDir) === undefined) return undefined
  const keeper = yield* Effect.option(Service.keeperOf(runtimeDir))
  return Option.getOrUndefined(Option.map(keeper, ({ start }) => Shell.line(...start)))
})

/** The words that install it as it is. */
const installation = (parsed: Parsed | undefined, isEdited: boolean): ReadonlyArray<string> => [
  "service",
  "install",
  ...(parsed === undefined ? [] : configFilesOf(parsed)).flatMap((file) => ["--config", file]),
  ...(parsed === undefined ? [] : httpFlagsOf(parsed)),
  ...(isEdited ? ["--force"] : [])
]

const programs = (keeper: Keeper, { command }: Parsed, install: string): ReadonlyArray<Finding> => {
  const [node = "", script = ""] = command
  const gone = [
    [node, "a version manager may have moved it"],
    [script, "an upgrade may have moved it"]
  ] as const
  return gone
    .filter(([file]) => file.startsWith("/") && !fs.existsSync(file))
    .map(([file, why]) => problem(keeper.name, `starts ${file}, which is gone: ${why}`, install))
}

const running = (options: {
  readonly keeper: Keeper
  readonly state: Service.Look["state"]
  readonly daemon: Daemon
  readonly install: string
}): ReadonlyArray<Finding> => {
  const { daemon, install, keeper, state } = options
  const { name } = keeper
  if (state.silence !== null) {
    const who = keeper.kind === "systemd" ? "your systemd" : "launchd"
    return [warning(name, `${who} does not answer here, so that nobody knows how it is: ${state.silence}`, null)]
  }
  const beside = daemon.kind === "running" && daemon.status.pid !== state.pid ? daemon.status.pid : undefined
  if (beside !== undefined) {
    const message = `the daemon with process ${beside} was started by something else, and the service is ${state.words}`
    return [warning(name, message, install)]
  }
  if (state.pid !== null) return []
  return state.words.startsWith("failed")
    ? [problem(name, `has given up: ${state.words}`, `${Shell.line(...keeper.logs)} tells why, then ${install}`)]
    : [warning(name, `does not run: ${state.words}`, Shell.line(...keeper.start))]
}

/** What servers' commands are found on one PATH and not on the other; where they agree, a few words that say so. */
const comparison = Effect.fnUntraced(function* (
  parsed: Parsed,
  words: ReadonlyArray<string>,
  start: string,
  options: {
    readonly program: readonly [node: string, script: string]
    readonly commands: Shell.Commands
    readonly runtimeDir: string
    readonly isLookedAt: (server: string) => boolean
  }
): Effect.fn.Return<ReadonlyArray<Finding>> {
  const { commands, isLookedAt, program, runtimeDir } = options
  const files = configFilesOf(parsed)
  const load = (path: string) => ServiceConfig.load(files, path)
  const service = yield* Effect.result(load(parsed.path ?? ""))
  if (Result.isFailure(service)) {
    const { message } = service.failure
    return [problem("configuration", `the service ends at its start: ${message}`, `edit it, then ${start}`)]
  }
  const { PATH: here = "" } = yield* HostEnvironment
  const login = yield* LoginShell.ask
  const inService = resolution(service.success, isLookedAt)
  const none: Resolution = new Map()
  const inLogin = login.kind === "told" ? resolution(yield* orNothing(load(login.path)), isLookedAt) : none
  const inShell = resolution(yield* orNothing(load(here)), isLookedAt)
  const install = commands.pool(...words)
  const fromLogin = Shell.line(login.shell, "-lc", Shell.line(...program, ...words, "--runtime-dir", runtimeDir))

  const findings: Array<Finding> = []
  for (const [server, { file, lack }] of inService) {
    const there = inLogin.get(server)?.file
    const near = inShell.get(server)?.file
    if (lack !== undefined && (there ?? near) !== undefined) {
      const where = there === undefined ? "this shell" : "a login shell"
      const message = `${lack} in the service, and ${where} finds ${there ?? near}`
      findings.push(problem(server, message, near === undefined ? fromLogin : install))
    } else if (file !== undefined && login.kind === "told" && there === undefined) {
      const message = `${file} is found in the service, and not in a login shell: installed from one, the service would lose it`
      findings.push(warning(server, message, null))
    }
  }
  for (const { file, server, variable } of yield* ServiceConfig.lacking(service.success)) {
    if (!isLookedAt(server)) continue
    const message = `\${${variable}} is set in this shell, and not in the service`
    findings.push(warning(server, message, `give it in an "envFile", or as an input, in ${file}`))
  }
  if (login.kind === "silent") {
    findings.push(warning(login.shell, `as a login shell does not tell its PATH: ${login.reason}`, null))
  }
  return findings.length > 0 ? findings : [ok("PATH", ", and it finds what a login shell finds")]
})

/** What each server's command is, or what it lacks. */
type Resolution = ReadonlyMap<string, { readonly file: string | undefined; readonly lack: string | undefined }>

const resolution = (config: PoolConfig.PoolConfig, isLookedAt: (server: string) => boolean): Resolution =>
  new Map(
    config.servers.flatMap((entry) => {
      if (entry._tag === "Misconfigured" || !isLookedAt(entry.name)) return []
      const found = ServerCommand.check(entry.spec)
      const lack = found.find(({ ok }) => ok === "problem")?.message
      return [[entry.name, { lack, file: lack === undefined ? found[0]?.message : undefined }] as const]
    })
  )

const orNothing = (load: ReturnType<typeof ServiceConfig.load>) =>
  Effect.orElseSucceed(load, (): PoolConfig.PoolConfig => ({ servers: [], audit: null, sources: [], warnings: [] }))
