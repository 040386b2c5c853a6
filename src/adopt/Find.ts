/** The hosts' files that are here, and each server in them. Reads only. */
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect, Predicate, Result } from "effect"
import { asksPool, runsPool } from "../config/SelfReference.ts"
import type { Program } from "../hosts/Connect.ts"
import type { Entry, Host, Reading, Where } from "../hosts/Host.ts"
import * as HostFile from "../hosts/HostFile.ts"
import { hosts, projectFiles } from "../hosts/Hosts.ts"

/** A file of a host's that has servers. */
export interface Found {
  readonly host: Host
  /** Where the host looks for it. */
  readonly file: string
  /** The file itself, where that is a link. */
  readonly target: string
  /** The directory of the project whose it is, or null for a user's. */
  readonly project: string | null
  readonly bytes: Buffer
  /** Permission bits. */
  readonly mode: number
  readonly entries: ReadonlyArray<FoundEntry>
}

/** One server of one host. */
export interface FoundEntry {
  readonly name: string
  /** The directory of the project for which it is configured, or null for all. */
  readonly project: string | null
  readonly path: ReadonlyArray<string>
  readonly entry: Entry
  readonly reading: Reading
}

/** A file that cannot be taken as it is. */
export interface Unread {
  readonly host: Host
  readonly file: string
  readonly reason: string
}

export interface Options {
  readonly where: Where
  readonly program: Program
  readonly hosts: ReadonlyArray<Host>
  /** Absolute paths of projects' directories. */
  readonly projects: ReadonlyArray<string>
}

/** Looks at all places where these hosts keep servers. */
export const find = Effect.fnUntraced(function* (options: Options) {
  const files: Array<Found> = []
  const unread: Array<Unread> = []
  const seen = new Set<string>()
  for (const host of options.hosts) {
    const own = yield* Effect.forEach(host.user(options.where), expanded)
    const places = [
      ...own.flat().map((file) => ({ file, project: null })),
      ...options.projects.flatMap((project) =>
        host.project.map((file) => ({ file: path.join(project, file), project }))
      )
    ]
    for (const { file, project } of places) {
      const target = yield* Effect.option(Effect.try(() => fs.realpathSync(file)))
      if (target._tag === "None" || seen.has(target.value)) continue
      seen.add(target.value)
      yield* Effect.match(look(options, host, file, target.value, project), {
        onFailure: (reason) => void unread.push({ host, file, reason }),
        onSuccess: (found) => void (found.entries.length > 0 && files.push(found))
      })
    }
  }
  return { files, unread }
})

/** The project that a directory belongs to: the nearest above it that has a host's file, up to its repository's root. */
export const projectOf = (directory: string, home: string): string | undefined => {
  for (let at = directory; isProject(at, home); at = path.dirname(at)) {
    if (projectFiles.some((file) => fs.existsSync(path.join(at, file)))) return at
    if (fs.existsSync(path.join(at, ".git"))) return undefined
  }
  return undefined
}

/** The home directory and the root are none: what is configured there is for all. */
export const isProject = (directory: string, home: string): boolean =>
  directory !== path.resolve(home) && directory !== path.dirname(directory)

/** The paths that a path with `*` stands for. */
const expanded = (pattern: string): Effect.Effect<ReadonlyArray<string>> => {
  const [before, after] = pattern.split("/*/")
  if (after === undefined) return Effect.succeed([pattern])
  return Effect.try(() => fs.readdirSync(before!).sort()).pipe(
    Effect.orElseSucceed((): ReadonlyArray<string> => []),
    Effect.map((names) => names.map((name) => path.join(before!, name, after)))
  )
}

const look = Effect.fnUntraced(function* (
  options: Options,
  host: Host,
  file: string,
  target: string,
  project: string | null
): Effect.fn.Return<Found, string> {
  const { bytes, mode } = yield* Effect.try({
    try: () => ({ bytes: fs.readFileSync(target), mode: fs.statSync(target).mode & 0o7777 }),
    catch: (cause) => `cannot be read (${Predicate.hasProperty(cause, "code") ? String(cause.code) : "unknown error"})`
  })
  const text = bytes.toString("utf8")
  if (!Buffer.from(text).equals(bytes)) return yield* Effect.fail("is not UTF-8")
  const listed = yield* Effect.mapError(Effect.fromResult(HostFile.list(host, file, text)), ({ message }) =>
    message
      .slice(file.length)
      .replace(/^:(\d+):(\d+): /, "line $1, column $2: ")
      .replace(/^: /, "")
  )
  const entries = listed.map((one): FoundEntry => {
    const entry = HostFile.asEntry(one.entry) ?? {}
    return {
      name: one.name,
      project: one.project ?? project,
      path: one.path,
      entry,
      reading: read(options, host, one, (mode & 0o200) === 0)
    }
  })
  return { host, file, target, project, bytes, mode, entries }
})

const read = (options: Options, host: Host, listed: HostFile.Listed, isReadOnly: boolean): Reading => {
  const kept = (reason: string): Reading => ({ _tag: "Kept", reason })
  const entry = HostFile.asEntry(listed.entry)
  if (entry === undefined) return kept("is no object")
  if (listed.name === "") return kept("has no name")
  if (asksPool(entry)) return kept(own)
  const run = host.shape.run(entry)
  if (run !== undefined && (runsPool({ ...run, cwd: "/" }) || run.args[0] === options.program.script)) return kept(own)
  if (listed.isTwice) return kept("stands there twice")
  if (isReadOnly) return kept("stands in a file that is read-only, and may have been generated")
  if (listed.project !== null && !isProject(listed.project, options.where.home)) {
    return kept("is for the home directory or the root alone, which are no projects")
  }
  // Claude Code remembers all that ever were.
  if (listed.project !== null && !fs.existsSync(listed.project)) return kept("is for a directory that is gone")
  return host.shape.read(entry, options.where.variables)
}

/** Of an entry that is as adopt would make it. */
export const own = "is the pool's already"

/** The hosts by their names; all of them where none is named. */
export const hostsOf = (ids: ReadonlyArray<string>): ReadonlyArray<Host> =>
  ids.length === 0 ? hosts : hosts.filter(({ id }) => ids.includes(id))

/** The definition of an entry that can be moved. */
export const definition = (entry: FoundEntry): Result.Result<Extract<Reading, { _tag: "Server" }>["options"], string> =>
  entry.reading._tag === "Server" ? Result.succeed(entry.reading.options) : Result.fail(entry.reading.reason)
