/** What adopt is going to do: which definition gets which name in the pool, and what each file becomes. Pure. */
import { isDeepStrictEqual } from "node:util"
import { Predicate, Result } from "effect"
import { findNodeAtLocation, getNodeValue } from "jsonc-parser"
import * as Jsonc from "../config/Jsonc.ts"
import * as KnownState from "../config/KnownState.ts"
import { decodeServer, type ServerOptions } from "../config/ServerSpec.ts"
import * as Connect from "../hosts/Connect.ts"
import type { Run } from "../hosts/Host.ts"
import * as HostFile from "../hosts/HostFile.ts"
import * as JsonEdit from "../hosts/JsonEdit.ts"
import { isOfProject, spelling } from "../hosts/References.ts"
import type { ConfigFileError } from "../PoolError.ts"
import type { Found, FoundEntry } from "./Find.ts"

/** One server of the pool, and the entries that are going to connect to it. */
export interface Server {
  /** Its name in the pool. */
  readonly name: string
  /** The directory of the project for which it is configured, or null for all. */
  readonly project: string | null
  readonly options: ServerOptions
  /** Whether the pool's own file has it already. */
  readonly isThere: boolean
  readonly entries: ReadonlyArray<Moved>
}

/** An entry that is going to be rewritten. */
export interface Moved {
  readonly found: Found
  readonly entry: FoundEntry
  readonly run: Run
}

/** An entry that stays as it is. */
export interface Kept {
  readonly found: Found
  readonly entry: FoundEntry
  readonly reason: string
}

/** A host's file, and what it becomes. */
export interface Rewritten {
  readonly found: Found
  readonly after: string
}

export interface Plan {
  readonly servers: ReadonlyArray<Server>
  readonly kept: ReadonlyArray<Kept>
  readonly files: ReadonlyArray<Rewritten>
  /** What the pool's own file becomes; null where it stays as it is. */
  readonly poolText: string | null
}

export interface Options {
  readonly found: ReadonlyArray<Found>
  /** Names of servers; empty: all. */
  readonly only: ReadonlyArray<string>
  readonly program: Connect.Program
  /** The pool's own file: its path, and its text or null where there is none. */
  readonly pool: { readonly file: string; readonly text: string | null }
}

export const make = (options: Options): Result.Result<Plan, ConfigFileError> => {
  const { found, only, pool, program } = options
  const kept: Array<Kept> = []
  const movable: Array<Omit<Moved, "run">> = []
  for (const file of found) {
    for (const entry of file.entries) {
      if (only.length > 0 && !only.includes(entry.name)) continue
      const reason = reasonToKeep(entry)
      if (reason === null) movable.push({ found: file, entry })
      else kept.push({ found: file, entry, reason })
    }
  }
  return Result.flatMap(definitions(pool), (existing) => {
    const named = serversOf(movable, existing, found, program)
    // Where a file as a whole cannot be changed, each of its entries is tried by itself.
    const stuck = stuckIn(named)
    const rest = movable.filter(({ entry }) => !stuck.has(entry))
    const servers = stuck.size === 0 ? named : serversOf(rest, existing, found, program)
    for (const { entry, found } of movable) {
      const reason = stuck.get(entry)
      if (reason !== undefined) kept.push({ found, entry, reason })
    }
    return Result.map(poolTextOf(pool, existing, servers), (poolText) => ({
      servers,
      kept,
      files: found.flatMap((file) => {
        const moved = byFile(servers).get(file)
        return moved === undefined ? [] : [{ found: file, after: Result.getOrThrow(changed(file, moved)) }]
      }),
      poolText
    }))
  })
}

const reasonToKeep = ({ project, reading }: FoundEntry): string | null => {
  if (reading._tag === "Kept") return reading.reason
  if (project !== null || !dependsOnProject(reading.options)) return null
  const { cwd = "." } = reading.options
  return isOfProject(cwd) && Result.isSuccess(decodeServer({ command: "x", pool: perProject }))
    ? null
    : "depends on the project that its host has open"
}

const dependsOnProject = ({ args = [], command = "", cwd, env = {}, envFile }: ServerOptions): boolean =>
  [command, ...args, ...Object.values(env)].some((text) => Predicate.isString(text) && isOfProject(text)) ||
  [cwd, envFile, command.includes("/") ? command : undefined].some((file) => file !== undefined && !isElsewhere(file))

/** Whether a path is the same from everywhere. */
const isElsewhere = (file: string): boolean => /^(?:\/|\$\{(?!workspaceFolder))/.test(file)

const perProject = { sharing: "per-project" }

/** The pool's own servers: by project (null for all), by name. */
type Definitions = ReadonlyMap<string | null, ReadonlyMap<string, unknown>>

const definitions = ({ file, text }: Options["pool"]): Result.Result<Definitions, ConfigFileError> => {
  if (text === null) return Result.succeed(new Map())
  return Result.flatMap(Jsonc.parse(file, text), (root) => {
    const all = new Map<string | null, Map<string, unknown>>()
    const wrong = Result.fail(Jsonc.errorAt(file, text, root.offset, "its servers are no objects by name"))
    if (root.type !== "object") return wrong
    const projects = findNodeAtLocation(root, ["projects"])
    if (projects !== undefined && projects.type !== "object") return wrong
    const names = projects === undefined ? [] : Jsonc.properties(projects).map(([name]) => name)
    const places: ReadonlyArray<readonly [string | null, ReadonlyArray<string>]> = [
      [null, ["mcpServers"]],
      [null, ["servers"]],
      ...names.map((name) => [name, ["projects", name, "mcpServers"]] as const)
    ]
    for (const [project, path] of places) {
      const section = findNodeAtLocation(root, [...path])
      if (section === undefined) continue
      if (section.type !== "object") return wrong
      const known = all.get(project) ?? new Map<string, unknown>()
      for (const [name, node] of Jsonc.properties(section)) known.set(name, getNodeValue(node))
      all.set(project, known)
    }
    return Result.succeed(all)
  })
}

/** Equal definitions become one server; of different ones the commonest has the name, and the others one of their own. */
const serversOf = (
  movable: ReadonlyArray<Omit<Moved, "run">>,
  existing: Definitions,
  found: ReadonlyArray<Found>,
  program: Connect.Program
): ReadonlyArray<Server> => {
  const groups = Map.groupBy(movable, ({ entry }) => JSON.stringify([entry.project, entry.name]))
  const servers: Array<Server> = []
  for (const group of groups.values()) {
    const { name, project } = group[0]!.entry
    const known = existing.get(project) ?? new Map<string, unknown>()
    const kinds = [...Map.groupBy(group, ({ entry }) => sameness(optionsOf(entry))).values()].sort(
      (a, b) => b.length - a.length
    )
    const taken = new Set([
      ...known.keys(),
      ...servers.filter((server) => server.project === project).map((server) => server.name),
      ...found.flatMap(({ entries }) => entries.filter((entry) => entry.project === project).map(({ name }) => name))
    ])
    let isFree = !known.has(name)
    for (const kind of kinds) {
      const options = withPolicy(optionsOf(kind[0]!.entry), project)
      const there = [name, ...numbered(name, known)].find(
        (candidate) => known.has(candidate) && sameness(known.get(candidate)) === sameness(options)
      )
      const own = there ?? (isFree ? name : freeName(name, taken))
      if (there === undefined) isFree = false
      taken.add(own)
      const run = Connect.run(own, program, project)
      const entries = kind.map((moved) => ({ ...moved, run }))
      servers.push({ name: own, project, options, isThere: there !== undefined, entries })
    }
  }
  return servers
}

const optionsOf = ({ reading }: FoundEntry): ServerOptions => (reading._tag === "Server" ? reading.options : {})

/** What makes two definitions the same, in whichever way they are written. */
const sameness = (definition: unknown): string => {
  const {
    args = [],
    command,
    cwd,
    env = {},
    envFile
  } = (Predicate.isObject(definition) ? definition : {}) as ServerOptions
  const variables = Object.entries(env).sort(([a], [b]) => (a < b ? -1 : 1))
  const passed = (definition as ServerOptions).pool?.passEnv ?? []
  return spelling(JSON.stringify([command, args, variables, cwd ?? null, envFile ?? null, passed]))
}

const withPolicy = (options: ServerOptions, project: string | null): ServerOptions => {
  if (options.pool?.sharing !== undefined) return options
  const sharing =
    KnownState.of(options) !== null
      ? "per-session"
      : project === null && dependsOnProject(options)
        ? perProject.sharing
        : undefined
  // The cast: whether there is such a policy has been asked.
  return sharing === undefined ? options : { ...options, pool: { ...options.pool, sharing: sharing as "shared" } }
}

const numbered = (name: string, known: ReadonlyMap<string, unknown>): ReadonlyArray<string> =>
  [...known.keys()].filter((key) => key.startsWith(`${name}-`) && /^\d+$/.test(key.slice(name.length + 1)))

const freeName = (name: string, taken: ReadonlySet<string>): string => {
  for (let number = 2; ; number++) if (!taken.has(`${name}-${number}`)) return `${name}-${number}`
}

const byFile = (servers: ReadonlyArray<Server>): ReadonlyMap<Found, ReadonlyArray<Moved>> =>
  Map.groupBy(
    servers.flatMap(({ entries }) => entries),
    ({ found }) => found
  )

const changed = (found: Found, moved: ReadonlyArray<Moved>): Result.Result<string, string> =>
  HostFile.edit(
    found.host,
    found.file,
    found.bytes.toString("utf8"),
    moved.map(({ entry, run }) => ({ path: entry.path, changes: found.host.shape.rewrite(entry.entry, run) }))
  )

/** The entries that cannot be rewritten, with why: those that cannot alone, or all of a file that cannot as a whole. */
const stuckIn = (servers: ReadonlyArray<Server>): ReadonlyMap<FoundEntry, string> => {
  const stuck = new Map<FoundEntry, string>()
  for (const [found, moved] of byFile(servers)) {
    const whole = changed(found, moved)
    if (Result.isSuccess(whole) && readsBack(found, moved, whole.success)) continue
    const alone = moved.flatMap((one) => {
      const changedAlone = changed(found, [one])
      return Result.isFailure(changedAlone) ? [[one, changedAlone.failure] as const] : []
    })
    const reasons = alone.length > 0 ? alone : moved.map((one) => [one, "cannot be changed in place"] as const)
    for (const [{ entry }, reason] of reasons) stuck.set(entry, reason)
  }
  return stuck
}

/** Whether a host that reads the new text would run just what it should. */
const readsBack = ({ file, host }: Found, moved: ReadonlyArray<Moved>, text: string): boolean => {
  const again = HostFile.list(host, file, text)
  if (Result.isFailure(again)) return false
  return moved.every(({ entry, run }) => {
    const now = again.success.find(({ path }) => isDeepStrictEqual(path, entry.path))
    return now !== undefined && isDeepStrictEqual(host.shape.run(HostFile.asEntry(now.entry) ?? {}), run)
  })
}

const poolTextOf = (
  { file, text }: Options["pool"],
  existing: Definitions,
  servers: ReadonlyArray<Server>
): Result.Result<string | null, ConfigFileError> => {
  const added = servers.filter(({ isThere }) => !isThere)
  if (added.length === 0) return Result.succeed(null)
  const mark = text?.startsWith("\uFEFF") === true ? "\uFEFF" : ""
  const start =
    text === null || text.slice(mark.length).trim() === "" ? '{\n  "mcpServers": {}\n}\n' : text.slice(mark.length)
  const root = Jsonc.parse(file, start)
  if (Result.isFailure(root)) return Result.fail(root.failure)
  const has = (key: string) => findNodeAtLocation(root.success, [key]) !== undefined
  const section = has("servers") && !has("mcpServers") ? "servers" : "mcpServers"
  const first = has(section) ? start : JsonEdit.insert(start, [section], {})
  const after = added.reduce(
    (text, { name, options, project }) =>
      JsonEdit.insert(text, project === null ? [section, name] : ["projects", project, "mcpServers", name], options),
    first
  )
  const expected = new Map([...existing].map(([project, known]) => [project, new Map(known)]))
  for (const { name, options, project } of added) {
    expected.set(project, (expected.get(project) ?? new Map()).set(name, options))
  }
  const now = definitions({ file, text: after })
  if (Result.isFailure(now)) return Result.fail(now.failure)
  return [...expected].every(([project, known]) => isSame(known, now.success.get(project)))
    ? Result.succeed(mark + after)
    : Result.fail(
        Jsonc.errorOf(file, "is written in a way that cannot be added to: write its servers once, as objects by name")
      )
}

const isSame = (a: ReadonlyMap<string, unknown>, b: ReadonlyMap<string, unknown> | undefined): boolean =>
  b !== undefined &&
  a.size === b.size &&
  [...a].every(([name, value]) => JSON.stringify(value) === JSON.stringify(b.get(name)))
