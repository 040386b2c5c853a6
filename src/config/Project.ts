/**
 * What a project configures of its own: the servers that its files define for its directory, in the hosts' shapes and in
 * the pool's own. Read anew for each who connects, since projects change while the pool runs.
 */
import { realpathSync, statSync } from "node:fs"
import * as path from "node:path"
import { Effect, Predicate, Result } from "effect"
import { type ConfigFileError, ServerConfigError } from "../PoolError.ts"
import * as Address from "./Address.ts"
import * as BoundedFile from "./BoundedFile.ts"
import type * as ClaudeFile from "./ClaudeFile.ts"
import * as ConfigFile from "./ConfigFile.ts"
import { HostEnvironment } from "./Environment.ts"
import * as Inputs from "./Inputs.ts"
import * as Jsonc from "./Jsonc.ts"
import * as PoolConfig from "./PoolConfig.ts"
import { asksPool, runsPool } from "./SelfReference.ts"

/** A directory that may have servers of its own. */
export interface Project {
  /** Its real path. */
  readonly directory: string
  /** The paths that name it in a file: the real one, and the one that was asked for. */
  readonly spellings: ReadonlyArray<string>
}

/** One server as one file defines it for a project. */
export interface Definition {
  readonly server: string
  /** The project's. */
  readonly directory: string
  /** The file's path is its name; its directory is the project's. */
  readonly source: ConfigFile.Source
  /** As the file has it. */
  readonly entry: unknown
  /** Whether others than the pool's user may have written it. */
  readonly needsTrust: boolean
  /** Read by who resolves it, and not before it is trusted. */
  readonly inputs: Effect.Effect<Inputs.Inputs>
}

/** The project at a path; undefined for none, for what is no directory, for the home directory and for `/`. */
export const at = Effect.fnUntraced(function* (asked: string | null): Effect.fn.Return<Project | undefined> {
  if (asked === null || !path.isAbsolute(asked)) return undefined
  const directory = realDirectory(asked)
  const home = PoolConfig.userHome(yield* HostEnvironment)
  if (directory === undefined || directory === "/" || directory === realDirectory(home)) return undefined
  return { directory, spellings: [...new Set([directory, path.resolve(asked)])] }
})

/**
 * What defines a server for a project: the pool's own configuration, the project's files, Claude Code's entry for it; in
 * this order, and undefined where none does. Fails with the first of these files that cannot be decoded.
 */
export const find = Effect.fnUntraced(function* (options: {
  readonly config: PoolConfig.PoolConfig
  readonly server: string
  readonly project: Project
  readonly claudeFile: ClaudeFile.ClaudeFile
}): Effect.fn.Return<Definition | undefined, ConfigFileError> {
  const { claudeFile, config, project, server } = options
  const own = ofPool(config, server, project)
  if (own !== undefined) return own
  // What the pool was started with is its own.
  const taken = new Set(config.sources.map(({ name }) => realPath(name)))
  for (const place of places(project, claudeFile)) {
    if (taken.has(realPath(place.file))) continue
    const found = lastOf(yield* place.definitions, server)
    if (found !== undefined) return found
  }
  return undefined
})

/** All that the files of a project and Claude Code's entry for it define, with what stands behind another of that name. */
export const definitions = Effect.fnUntraced(function* (
  project: Project,
  claudeFile: ClaudeFile.ClaudeFile
): Effect.fn.Return<ReadonlyArray<Definition>, ConfigFileError> {
  const all = yield* Effect.forEach(places(project, claudeFile), (place) => place.definitions)
  return all.flatMap((found) =>
    [...new Set(found.map(({ server }) => server))].flatMap((server) => lastOf(found, server) ?? [])
  )
})

/**
 * A definition as a server of the pool, which starts with the first call unless the entry says else, and what there is to
 * say about it. Nobody asks here whether it is trusted.
 */
export const resolve = Effect.fnUntraced(function* ({ directory, entry, inputs, server, source }: Definition) {
  const pool: ConfigFile.Source["pool"] = { ...source.pool, start: "lazy" }
  return yield* PoolConfig.entryOf(Address.make(server, directory), entry, { ...source, inputs: yield* inputs, pool })
})

/**
 * A server of the pool's own with `sharing: "per-project"`, for one project: its `cwd`, `${workspaceFolder}` and `roots` are
 * the project's directory. Undefined for every other.
 */
export const perProject = Effect.fnUntraced(function* (
  config: PoolConfig.PoolConfig,
  server: string,
  { directory }: Project
): Effect.fn.Return<PoolConfig.ServerEntry | undefined> {
  const own = config.servers.find(({ name }) => name === server)
  if (!Predicate.isTagged(own, "Configured") || own.spec.pool.sharing.perProject !== true) return undefined
  const [source, raw] = config.sources
    .flatMap((source) => source.servers.map(([name, raw]) => [source, name, raw] as const))
    .flatMap(([source, name, raw]) => (name === server ? [[source, raw] as const] : []))
    .at(-1)!
  const pool = { roots: ["${workspaceFolder}"], ...source.pool }
  const name = Address.make(server, directory)
  const { entry } = yield* PoolConfig.entryOf(name, withoutSocket(raw), { ...source, pool }, directory)
  if (!Predicate.isTagged(entry, "Configured") || isWithin(directory, entry.spec.cwd)) return entry
  const error = new ServerConfigError({
    server: name,
    file: source.name,
    field: "cwd",
    variable: null,
    reason: '"per-project" runs it in the project: leave it out, or have it begin with ${workspaceFolder}'
  })
  return { _tag: "Misconfigured", name, source: source.name, error }
})

/** The socket is the one of the server without a project. */
const withoutSocket = (raw: unknown): unknown => {
  if (!Predicate.isObject(raw) || !Predicate.isObject(raw["pool"])) return raw
  const { socket: _, ...pool } = raw["pool"] as Record<string, unknown>
  return { ...raw, pool }
}

const isWithin = (directory: string, file: string): boolean => `${file}/`.startsWith(`${directory}/`)

const ofPool = (config: PoolConfig.PoolConfig, server: string, project: Project): Definition | undefined => {
  const found = config.sources.flatMap((source) =>
    source.projects
      .filter(([key]) => project.spellings.includes(path.resolve(key)) || realPath(key) === project.directory)
      .flatMap(([, servers]) => definitionsOf(project, { ...source, servers }, Effect.succeed(source.inputs), false))
  )
  return lastOf(found, server)
}

interface Place {
  readonly file: string
  readonly definitions: Effect.Effect<ReadonlyArray<Definition>, ConfigFileError>
}

const places = (project: Project, claudeFile: ClaudeFile.ClaudeFile): ReadonlyArray<Place> => [
  ...projectFiles.map((name): Place => {
    const file = path.join(project.directory, name)
    return {
      file,
      definitions: Effect.map(readProjectFile(file), (source) =>
        source === undefined ? [] : definitionsOf(project, source, Inputs.read(path.dirname(file)), true)
      )
    }
  }),
  {
    file: claudeFile.file,
    definitions: Effect.map(claudeFile.read(project.spellings), (source) =>
      source === undefined ? [] : definitionsOf(project, source, Effect.succeed(Inputs.none), true)
    )
  }
]

/** In the order in which they are looked at. */
const projectFiles = [".mcp.json", ".vscode/mcp.json", ".cursor/mcp.json"]

/** Whoever made the project made the file: it is read only where that is safe. */
const readProjectFile = Effect.fnUntraced(function* (file: string) {
  const text = yield* Effect.mapError(Effect.fromResult(BoundedFile.read(file, maxProjectFile)), (reason) =>
    Jsonc.errorOf(file, reason)
  )
  return text === undefined ? undefined : yield* Effect.fromResult(ConfigFile.decode(file, text))
})

/** Bytes. */
const maxProjectFile = 4 * 1024 * 1024

const definitionsOf = (
  { directory }: Project,
  source: ConfigFile.Source,
  inputs: Definition["inputs"],
  needsTrust: boolean
): ReadonlyArray<Definition> =>
  source.servers.map(([server, entry]) => ({
    server,
    directory,
    source: { ...source, directory, projects: [] },
    entry,
    needsTrust,
    inputs
  }))

/** The last of a name holds; where that is disabled or runs the pool itself, nothing does. */
const lastOf = (found: ReadonlyArray<Definition>, server: string): Definition | undefined => {
  const last = found.findLast((definition) => definition.server === server)
  return last === undefined || PoolConfig.isDisabled(last.entry) || isPool(last) ? undefined : last
}

/** What points a host at the pool defines nothing. */
const isPool = ({ directory, entry }: Definition): boolean => {
  if (!Predicate.isObject(entry)) return false
  if (!Predicate.isString(entry["command"])) return asksPool(entry)
  const args: ReadonlyArray<unknown> = Array.isArray(entry["args"]) ? entry["args"] : []
  return runsPool({ command: entry["command"], args: args.filter(Predicate.isString), cwd: directory })
}

const realDirectory = (file: string): string | undefined =>
  Result.getOrElse(
    Result.try(() => {
      const real = realpathSync(file)
      return statSync(real).isDirectory() ? real : undefined
    }),
    () => undefined
  )

/** Where a path leads, or the path itself where that cannot be told. */
const realPath = (file: string): string =>
  Result.getOrElse(
    Result.try(() => realpathSync(file)),
    () => path.resolve(file)
  )
