/** Looks at all that the pool needs, one check after another, and says what is wrong with it. Changes nothing. */
import { Effect, Predicate } from "effect"
import { ServerNotFound } from "../PoolError.ts"
import * as Background from "./Background.ts"
import * as Bridge from "./Bridge.ts"
import * as Configuration from "./Configuration.ts"
import * as Daemon from "./Daemon.ts"
import * as Files from "./Files.ts"
import type { Finding } from "./Finding.ts"
import * as Http from "./Http.ts"
import * as Leftovers from "./Leftovers.ts"
import * as NodeVersion from "./NodeVersion.ts"
import * as ProcessRecord from "../server/ProcessRecord.ts"
import * as ServerCommand from "./ServerCommand.ts"
import * as Service from "./Service.ts"
import * as Shell from "../Shell.ts"
import * as Sockets from "./Sockets.ts"
import * as Start from "./Start.ts"

export interface Options {
  /** Empty: the default file. */
  readonly configFiles: ReadonlyArray<string>
  readonly runtimeDir: string
  /** Whether commands find the runtime directory without a flag. */
  readonly isUsualDirectory: boolean
  /** Names of servers; empty: all. */
  readonly only: ReadonlyArray<string>
  /** Whether each server is started for a moment. */
  readonly start: boolean
  readonly nodeVersion: string
  /** What a host runs for a server. */
  readonly entryOf: (server: string) => Bridge.Entry
}

export const run = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<ReadonlyArray<Finding>, ServerNotFound> {
  const { configFiles, entryOf, only, runtimeDir } = options
  const usual = Shell.commands({ runtimeDir: options.isUsualDirectory ? null : runtimeDir, configFiles })
  const start = yield* Service.startOf(runtimeDir)
  const commands = start === undefined ? usual : { ...usual, serve: start }
  const daemon = yield* Daemon.ask(runtimeDir)
  const owner = yield* ProcessRecord.owner(runtimeDir)
  const known = daemon.kind === "running" ? daemon.status.servers.map(({ name }) => name) : []
  const configuration = yield* Configuration.check({
    files: configFiles,
    only,
    hasDaemon: daemon.kind === "running",
    commands
  })
  const { servers } = configuration
  const names = servers.map(({ name }) => name)
  const missing = only.find((name) => !names.includes(name) && !known.includes(name))
  if (missing !== undefined && !configuration.isPartial) {
    return yield* new ServerNotFound({ server: missing, names: [...new Set([...configuration.names, ...known])] })
  }
  const specs = servers.flatMap((entry) => (Predicate.isTagged(entry, "Configured") ? [entry.spec] : []))
  const isLookedAt = (name: string) => only.length === 0 || only.includes(name)
  const programs = specs.flatMap(ServerCommand.check)
  // Why the others cannot start has been told.
  const startable = specs.filter(
    ({ name }) => !programs.some(({ ok, subject }) => ok === "problem" && subject === name)
  )
  return [
    ...NodeVersion.check(options.nodeVersion),
    ...configuration.findings,
    ...programs,
    ...(yield* Files.check({ runtimeDir, configFiles: configuration.files })),
    ...Daemon.check(daemon, {
      runtimeDir,
      owner,
      commands,
      configured: names,
      misconfigured: new Set(servers.flatMap(({ _tag, name }) => (_tag === "Misconfigured" ? [name] : []))),
      isLookedAt
    }),
    ...Background.check({ runtimeDir, daemon, commands }),
    ...(yield* Service.check({ runtimeDir, daemon, program: programOf(entryOf), commands, isLookedAt })),
    ...(yield* Sockets.check({ runtimeDir, servers, daemon, commands })),
    ...(yield* Http.check({ runtimeDir, daemon, commands, isService: start !== undefined })),
    ...(yield* Leftovers.check({ runtimeDir, owner, commands })),
    ...(options.start ? yield* Start.check({ specs: startable, daemon, commands }) : []),
    ...(yield* Bridge.check({ daemon, servers: [...names, ...known].filter(isLookedAt), entryOf, commands }))
  ]
})

/** Node and this script: the entries of hosts start with them. */
const programOf = (entryOf: Options["entryOf"]): readonly [node: string, script: string] => {
  const { args, command } = entryOf("any")
  return [command, args[0] ?? ""]
}
