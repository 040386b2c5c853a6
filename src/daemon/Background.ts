/** A daemon in the background, as `connect` starts it: it takes up what the one before it was told, and nobody reads its log. */
import { Effect, Option, Schedule, type Scope } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { HostEnvironment } from "../config/Environment.ts"
import { variable, type Variables } from "../config/Interpolation.ts"
import type { HttpOptions } from "../http/HttpOptions.ts"
import * as DaemonRecord from "./DaemonRecord.ts"

/** What a daemon was told, or one before it. */
export interface Told {
  readonly configFiles: ReadonlyArray<string>
  readonly strict: boolean
  /** A changed file reloads. */
  readonly watchConfig: boolean
  /** How HTTP is served, if it is. */
  readonly http?: HttpOptions | undefined
}

/** With what a daemon begins. */
export interface Beginning extends Told {
  /** For interpolation and for processes. */
  readonly variables: Variables
  /** What the next daemon is left. */
  readonly record: DaemonRecord.DaemonRecord
}

/** As it was told, and nothing else. */
export const inForeground = (told: Told): Effect.Effect<Beginning> =>
  Effect.map(HostEnvironment, (variables) => begin(told, variables, variable(variables, "PATH") ?? ""))

/**
 * With the configuration and the HTTP that the last daemon had, unless others are given, and with its PATH where that has
 * more: a host starts programs with little of it. Another program at HTTP's address is no reason to serve nothing, since
 * nobody is there to choose another. Leaves the directory that it was started in, which may be anybody's.
 */
export const inBackground = Effect.fnUntraced(function* (given: Told, runtimeDir: string): Effect.fn.Return<Beginning> {
  const own = yield* HostEnvironment
  const ownPath = variable(own, "PATH") ?? ""
  const told = { ...given, configFiles: given.configFiles.map((file) => path.resolve(file)), http: patient(given.http) }
  yield* Effect.sync(() => process.chdir("/"))
  const recorded = Option.getOrUndefined(yield* DaemonRecord.read(runtimeDir))
  if (recorded === undefined) return begin(told, own, ownPath)
  const variables = { ...own, PATH: DaemonRecord.richerPath(ownPath, recorded.path) }
  // The record's own PATH stays: a host's would add to it with each start.
  const strict = told.strict || recorded.strict
  const watchConfig = told.watchConfig || recorded.watchConfig
  const http = told.http ?? patient(recorded.http ?? undefined)
  const base = told.configFiles.length > 0 ? told : { configFiles: recorded.configFiles, strict, watchConfig }
  return begin({ ...base, http }, variables, recorded.path)
})

const patient = (http: HttpOptions | undefined): HttpOptions | undefined =>
  http === undefined ? undefined : { ...http, waits: true }

const begin = (
  { configFiles, http, strict, watchConfig }: Told,
  variables: Variables,
  searchPath: string
): Beginning => {
  const files = configFiles.map((file) => path.resolve(file))
  return {
    configFiles: files,
    strict,
    watchConfig,
    http,
    variables,
    record: { configFiles: files, strict, watchConfig, http: http ?? null, path: searchPath }
  }
}

/**
 * Keeps `<runtimeDir>/daemon.log` bounded where stderr is that file, opened to append: now and each hour, one that is longer
 * than 10 MiB becomes `daemon.log.1` and starts anew.
 */
export const boundLog = (runtimeDir: string): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(
    Effect.forkScoped(Effect.repeat(rotate(path.join(runtimeDir, "daemon.log")), Schedule.spaced("1 hour")), {
      startImmediately: true
    })
  )

const rotate = (file: string): Effect.Effect<void> =>
  Effect.try({
    try: () => {
      const { ino, size } = fs.fstatSync(stderr)
      if (size <= maxLog || fs.statSync(file, { throwIfNoEntry: false })?.ino !== ino) return
      fs.copyFileSync(file, `${file}.1`)
      fs.ftruncateSync(stderr)
    },
    catch: (cause) => (cause as Error).message
  }).pipe(Effect.catch((reason) => Effect.logWarning(`${file} cannot be kept short: ${reason}`)))

const stderr = 2
/** Bytes. */
const maxLog = 10 * 1024 * 1024
