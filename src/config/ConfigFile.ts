/** One configuration file, read and checked as a whole, in any host's shape; its servers are not decoded yet. */
import * as path from "node:path"
import { Effect, Result } from "effect"
import type { Node } from "jsonc-parser"
import type { ConfigFileError } from "../PoolError.ts"
import * as Inputs from "./Inputs.ts"
import * as Jsonc from "./Jsonc.ts"
import { type DecodedPoolOptions, decodePool, type Mistake, unknownPoolKeys } from "./PoolOptions.ts"

/** Where servers are configured: a file, or an application's own options. */
export interface Source {
  /** The absolute path, or "options". */
  readonly name: string
  /** The project directory: `cwd`, `${workspaceFolder}`, and what relative paths are relative to. */
  readonly directory: string
  readonly inputs: Inputs.Inputs
  /** Where the accepted tools of its servers stand; null where an application has not said. */
  readonly lockFile: string | null
  /** The settings for all its servers. */
  readonly pool: DecodedPoolOptions
  /** The same as it stands there. */
  readonly rawPool: unknown
  /** In the order of the file; a name may stand there twice. */
  readonly servers: Servers
  /** What single projects configure, each by the absolute path of its directory. */
  readonly projects: ReadonlyArray<readonly [directory: string, servers: Servers]>
  readonly warnings: ReadonlyArray<string>
}

/** Entries of a file, not decoded yet. */
export type Servers = ReadonlyArray<readonly [name: string, entry: unknown]>

/** Reads one file. */
export const read = Effect.fnUntraced(function* (file: string): Effect.fn.Return<Source, ConfigFileError> {
  const name = path.resolve(file)
  const text = yield* Effect.mapError(Jsonc.readText(name), (reason) => Jsonc.errorOf(name, reason))
  const source = yield* Effect.fromResult(decode(name, text))
  if (source.sections === 0) return yield* Jsonc.errorAt(name, text, source.start, neither)
  return { ...source, inputs: yield* Inputs.read(path.dirname(name)) }
})

/** What a file says, but for its inputs, and how many sections of servers it has; `start` is where its object is. */
export const decode = (
  name: string,
  text: string
): Result.Result<Source & { readonly sections: number; readonly start: number }, ConfigFileError> =>
  Result.gen(function* () {
    const wrong = (offset: number, reason: string) => Result.fail(Jsonc.errorAt(name, text, offset, reason))
    const root = yield* Jsonc.parse(name, text)
    if (root.type !== "object") return yield* wrong(root.offset, `expected an object, found ${Jsonc.kind(root)}`)

    /** The servers of the sections at the top, or of those of one project. */
    const serversIn = (sections: ReadonlyArray<readonly [string, Node]>): Result.Result<Servers, ConfigFileError> =>
      Result.gen(function* () {
        const servers: Array<readonly [string, unknown]> = []
        for (const [key, section] of sections) {
          yield* expectObject(key, section, "servers by name")
          for (const [server, entry] of Jsonc.properties(section)) {
            if (server === "") return yield* wrong(entry.offset, emptyName)
            servers.push([server, Jsonc.value(entry)])
          }
        }
        return servers
      })
    const expectObject = (key: string, node: Node, of: string) =>
      node.type === "object"
        ? Result.succeed(undefined)
        : wrong(node.offset, `"${key}" should be an object of ${of}, found ${Jsonc.kind(node)}`)

    const top = Jsonc.properties(root)
    const sections = top.filter(isSection)
    const servers = yield* serversIn(sections)
    const unknown = top.flatMap(([key]) => (knownKeys.has(key) ? [] : [key]))
    const projects: Array<readonly [string, Servers]> = []
    const relative: Array<string> = []
    for (const [key, section] of top.filter(([key]) => key === "projects")) {
      yield* expectObject(key, section, "projects by directory")
      for (const [directory, project] of Jsonc.properties(section)) {
        yield* expectObject(directory, project, "settings")
        // Claude Code keeps much else there.
        const servers = yield* serversIn(Jsonc.properties(project).filter(isSection))
        if (!path.isAbsolute(directory)) relative.push(directory)
        else if (servers.length > 0) projects.push([directory, servers])
      }
    }

    // The last, as everywhere.
    const poolNode = top.findLast(([key]) => key === "pool")?.[1]
    const rawPool = poolNode === undefined ? {} : (Jsonc.value(poolNode) ?? {})
    const pool = yield* Result.mapError(decodeSharedPool(rawPool), (mistake) =>
      Jsonc.errorAt(name, text, Jsonc.offsetOf(root, ["pool", ...mistake.path]), poolReason(mistake))
    )
    return {
      name,
      directory: projectDirectory(name),
      inputs: Inputs.none,
      lockFile: path.join(path.dirname(name), lockFileName),
      pool,
      rawPool,
      servers,
      projects,
      warnings: [
        ...unknownKeysNote(unknown),
        ...relative.map((directory) => `project ${JSON.stringify(directory)} is ignored: its path is not absolute`),
        ...poolNotes(rawPool)
      ].map((note) => `${name}: ${note}`),
      sections: sections.length + projects.length,
      start: root.offset
    }
  })

/** An application's own servers. */
export const fromOptions = (
  servers: Readonly<Record<string, unknown>>,
  options: { readonly pool: unknown; readonly directory: string; readonly lockFile: string | null }
): Result.Result<Source, ConfigFileError> => {
  const name = "options"
  if (Object.hasOwn(servers, "")) return Result.fail(Jsonc.errorOf(name, emptyName))
  return Result.mapBoth(decodeSharedPool(options.pool), {
    onFailure: (mistake) => Jsonc.errorOf(name, poolReason(mistake)),
    onSuccess: (pool): Source => ({
      name,
      directory: options.directory,
      inputs: Inputs.none,
      lockFile: options.lockFile,
      pool,
      rawPool: options.pool,
      servers: Object.entries(servers),
      projects: [],
      warnings: poolNotes(options.pool).map((note) => `${name}: ${note}`)
    })
  })
}

/** What there is to say about a `pool` key that decodes. */
export const poolNotes = (raw: unknown): ReadonlyArray<string> =>
  unknownKeysNote(unknownPoolKeys(raw).map((key) => `pool.${key}`))

/** One line for any number of keys, none for none. */
export const unknownKeysNote = (keys: ReadonlyArray<string>): ReadonlyArray<string> =>
  keys.length === 0
    ? []
    : [`unknown key${keys.length === 1 ? "" : "s"} ignored: ${keys.map((key) => JSON.stringify(key)).join(", ")}`]

/** At the top of a file. `inputs` describes what VS Code asks for; the values come from elsewhere. */
const knownKeys: ReadonlySet<string> = new Set(["mcpServers", "servers", "projects", "pool", "inputs", "$schema"])

const isSection = ([key]: readonly [string, Node]): boolean => key === "mcpServers" || key === "servers"

const emptyName = "a server has an empty name"

const neither =
  'has neither "mcpServers" nor "servers": expected { "mcpServers": { "some name": { "command": "some command" } } }'

const poolReason = (mistake: Mistake): string => `field "${["pool", ...mistake.path].join(".")}": ${mistake.reason}`

const decodeSharedPool = (raw: unknown): Result.Result<DecodedPoolOptions, Mistake> =>
  Result.flatMap(decodePool(raw), (pool) =>
    pool.socket === undefined
      ? Result.succeed(pool)
      : Result.fail({ path: ["socket"], reason: "belongs into one server: two cannot have the same socket" })
  )

const projectDirectory = (file: string): string => {
  const directory = path.dirname(file)
  return hostDirectories.has(path.basename(directory)) ? path.dirname(directory) : directory
}

/** Beside each configuration file whose servers pin their tools. */
const lockFileName = "mcp-pool.lock.json"

/** Directories of a project that hold a host's settings. */
const hostDirectories: ReadonlySet<string> = new Set([".vscode", ".cursor"])
