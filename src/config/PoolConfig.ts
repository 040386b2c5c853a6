/** All configured servers, from the hosts' own files or from an application's options. Read once, before any start. */
import { homedir } from "node:os"
import * as path from "node:path"
import { Effect, Predicate } from "effect"
import { ConfigFileError, ServerConfigError } from "../PoolError.ts"
import * as Address from "./Address.ts"
import * as ConfigFile from "./ConfigFile.ts"
import { HostEnvironment } from "./Environment.ts"
import { interpolate, type References, variable, type Variables } from "./Interpolation.ts"
import * as KnownState from "./KnownState.ts"
import type { PoolOptions } from "./PoolOptions.ts"
import { notes, resolve } from "./Resolve.ts"
import { decodeServer, type ServerOptions, type ServerSpec } from "./ServerSpec.ts"

export { HostEnvironment }

/** What is configured, and what a person should know about it. */
export interface PoolConfig {
  /** In the order of the files; each name once. */
  readonly servers: ReadonlyArray<ServerEntry>
  /** The absolute path of the file in which each call leaves a line; null for none. */
  readonly audit: string | null
  /** What the servers were read from, and what projects configure of their own. */
  readonly sources: ReadonlyArray<ConfigFile.Source>
  /** One line each, with the file; never a value of an environment. */
  readonly warnings: ReadonlyArray<string>
}

/** A server that can be started, or what is wrong with it. */
export type ServerEntry =
  | { readonly _tag: "Configured"; readonly name: string; readonly spec: ServerSpec }
  | {
      readonly _tag: "Misconfigured"
      readonly name: string
      /** The file, or "options". */
      readonly source: string
      readonly error: ServerConfigError
    }

/** How mistakes in servers are taken. */
export interface LoadOptions {
  /** Fails with the first mistake in a server, the others in its reason, instead of a `Misconfigured` entry for each. */
  readonly strict?: boolean | undefined
}

/**
 * Loads one or several files. A name that stands in several has the entry of the last, with a warning unless both are
 * the same process.
 */
export const loadFiles = Effect.fn("PoolConfig.loadFiles")(function* (
  files: ReadonlyArray<string>,
  options: LoadOptions = {}
): Effect.fn.Return<PoolConfig, ConfigFileError | ServerConfigError> {
  const sources = yield* Effect.forEach(files, (file) => ConfigFile.read(file))
  return yield* assemble(sources, options)
})

/** Takes an application's own servers, under the same rules; relative paths are relative to `cwd`. */
export const fromServers = Effect.fn("PoolConfig.fromServers")(function* (
  servers: Readonly<Record<string, ServerOptions>>,
  options: LoadOptions & {
    /** The settings for all of them. */
    readonly pool?: PoolOptions | undefined
    /** The working directory of the application, unless given. */
    readonly cwd?: string | undefined
    /** Where the accepted tools of servers with `pool.pin` stand. */
    readonly lockFile?: string | undefined
  } = {}
): Effect.fn.Return<PoolConfig, ConfigFileError | ServerConfigError> {
  const source = yield* Effect.fromResult(
    ConfigFile.fromOptions(servers, {
      pool: options.pool ?? {},
      directory: path.resolve(options.cwd ?? ""),
      lockFile: options.lockFile === undefined ? null : path.resolve(options.cwd ?? "", options.lockFile)
    })
  )
  return yield* assemble([source], options)
})

/** The file that is read where none is named: `~/.config/mcp-pool/config.json`. */
export const defaultFile: Effect.Effect<string> = Effect.map(HostEnvironment, (variables) =>
  path.join(userHome(variables), ".config/mcp-pool/config.json")
)

const assemble = Effect.fnUntraced(function* (
  sources: ReadonlyArray<ConfigFile.Source>,
  options: LoadOptions
): Effect.fn.Return<PoolConfig, ConfigFileError | ServerConfigError> {
  const variables = yield* HostEnvironment
  const servers = new Map<string, ServerEntry>()
  const warnings: Array<string> = []
  let audit: string | null = null
  for (const source of sources) {
    warnings.push(...source.warnings)
    if (source.pool.audit !== undefined) {
      const file = yield* Effect.mapError(
        Effect.fromResult(interpolate(source.pool.audit, referencesOf(source, variables))),
        ({ reason }) =>
          new ConfigFileError({ file: source.name, line: null, column: null, reason: `field "pool.audit": ${reason}` })
      )
      const resolved = path.resolve(source.directory, file)
      if (audit !== null && audit !== resolved) warnings.push(`${source.name}: pool.audit is used instead of ${audit}`)
      audit = resolved
    }
    for (const [name, raw] of source.servers) {
      const warn = (note: string) => warnings.push(warningOf(source, name, note))
      const earlier = servers.get(name)
      if (isDisabled(raw)) {
        warn(`is disabled: skipped${earlier === undefined ? "" : `, and so is the one in ${sourceOf(earlier)}`}`)
        servers.delete(name)
        continue
      }
      const { entry, notes } = yield* entryOf(name, raw, source)
      for (const note of notes) warn(note)
      if (earlier !== undefined && !isSameProcess(earlier, entry)) {
        const other = sourceOf(earlier)
        warn(other === source.name ? "stands there twice: the last is used" : `is used instead of the one in ${other}`)
      }
      servers.set(name, entry)
    }
  }
  const ofProjects = yield* entriesOfProjects(sources)
  for (const { entry, notes, source } of ofProjects) {
    const mistakes = Predicate.isTagged(entry, "Misconfigured") ? [entry.error.message] : []
    warnings.push(...notes.map((note) => warningOf(source, entry.name, note)), ...mistakes)
  }
  const entries = Array.from(servers.values())
  if (options.strict === true) {
    const [first, ...others] = [...entries, ...ofProjects.map(({ entry }) => entry)].flatMap((entry) =>
      Predicate.isTagged(entry, "Misconfigured") ? [entry.error] : []
    )
    if (first !== undefined) return yield* withOthers(first, others)
  }
  return { servers: entries, audit, sources, warnings }
})

/** One entry of a source as a server of that name, and what there is to say about it. */
export const entryOf = Effect.fnUntraced(function* (
  name: string,
  raw: unknown,
  source: ConfigFile.Source,
  /** Else the source's own directory. */
  workspaceFolder: string = source.directory
): Effect.fn.Return<{ readonly entry: ServerEntry; readonly notes: ReadonlyArray<string> }> {
  const references = { ...referencesOf(source, yield* HostEnvironment), workspaceFolder }
  const entry = yield* Effect.match(resolve(name, decodeServer(raw), source, references), {
    onFailure: (error): ServerEntry => ({ _tag: "Misconfigured", name, source: source.name, error }),
    onSuccess: (spec): ServerEntry => ({ _tag: "Configured", name, spec })
  })
  const known = Predicate.isTagged(entry, "Configured") ? KnownState.warning(entry.spec) : null
  return { entry, notes: [...notes(raw), ...(known === null ? [] : [known])] }
})

/** Whether an entry is to be left out. */
export const isDisabled = (raw: unknown): boolean => Predicate.hasProperty(raw, "disabled") && raw.disabled === true

/** What a source has to say about one of its servers. */
export const warningOf = (source: ConfigFile.Source, name: string, note: string): string =>
  `${source.name}: server ${JSON.stringify(name)}: ${note}`

/** Looked at with the others, so that a mistake is known before somebody opens the project. */
const entriesOfProjects = (sources: ReadonlyArray<ConfigFile.Source>) =>
  Effect.forEach(
    sources.flatMap((source) =>
      source.projects.flatMap(([directory, servers]) =>
        servers.flatMap(([name, raw]) =>
          isDisabled(raw) ? [] : [{ name: Address.make(name, directory), raw, source: { ...source, directory } }]
        )
      )
    ),
    ({ name, raw, source }) => Effect.map(entryOf(name, raw, source), (found) => ({ ...found, source }))
  )

const referencesOf = (source: ConfigFile.Source, variables: Variables): References => ({
  variables,
  inputs: source.inputs,
  workspaceFolder: source.directory,
  userHome: userHome(variables)
})

const sourceOf = (entry: ServerEntry): string =>
  Predicate.isTagged(entry, "Configured") ? entry.spec.source : entry.source

const isSameProcess = (a: ServerEntry, b: ServerEntry): boolean =>
  Predicate.isTagged(a, "Configured") && Predicate.isTagged(b, "Configured") && a.spec.identity === b.spec.identity

/** One error that tells all, a line each. */
const withOthers = (first: ServerConfigError, others: ReadonlyArray<ServerConfigError>): ServerConfigError =>
  new ServerConfigError({
    server: first.server,
    file: first.file,
    field: first.field,
    variable: first.variable,
    reason: [first.reason, ...others.map((error) => error.message)].join("\n")
  })

/** The home directory in an environment. */
export const userHome = (variables: Variables): string => variable(variables, "HOME") || homedir()
