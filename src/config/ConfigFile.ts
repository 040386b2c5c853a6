/** One configuration file, read and checked as a whole, in any host's shape; its servers are not decoded yet. */
import * as path from "node:path"
import { Effect, Result } from "effect"
import { getNodeValue } from "jsonc-parser"
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
  /** The settings for all its servers. */
  readonly pool: DecodedPoolOptions
  /** In the order of the file; a name may stand there twice. */
  readonly servers: ReadonlyArray<readonly [name: string, entry: unknown]>
  readonly warnings: ReadonlyArray<string>
}

/** Reads one file. */
export const read = Effect.fnUntraced(function* (file: string): Effect.fn.Return<Source, ConfigFileError> {
  const name = path.resolve(file)
  const text = yield* Effect.mapError(Jsonc.readText(name), (reason) => Jsonc.errorOf(name, reason))
  const root = yield* Effect.fromResult(Jsonc.parse(name, text))
  const wrong = (offset: number, reason: string) => Jsonc.errorAt(name, text, offset, reason)
  if (root.type !== "object") return yield* wrong(root.offset, `expected an object, found ${Jsonc.kind(root)}`)

  const top = Jsonc.properties(root)
  const sections = top.filter(([key]) => key === "mcpServers" || key === "servers")
  if (sections.length === 0) return yield* wrong(root.offset, neither)
  const servers: Array<readonly [string, unknown]> = []
  for (const [key, section] of sections) {
    if (section.type !== "object") {
      return yield* wrong(
        section.offset,
        `"${key}" should be an object of servers by name, found ${Jsonc.kind(section)}`
      )
    }
    for (const [server, entry] of Jsonc.properties(section)) {
      if (server === "") return yield* wrong(entry.offset, emptyName)
      servers.push([server, getNodeValue(entry)])
    }
  }

  const rawPool: unknown = getNodeValue(root).pool ?? {}
  const pool = yield* Effect.mapError(Effect.fromResult(decodeSharedPool(rawPool)), (mistake) =>
    wrong(Jsonc.offsetOf(root, ["pool", ...mistake.path]), poolReason(mistake))
  )
  const unknown = top.map(([key]) => key).filter((key) => !knownKeys.has(key))
  return {
    name,
    directory: projectDirectory(name),
    inputs: yield* Inputs.read(path.dirname(name)),
    pool,
    servers,
    warnings: [...unknownKeysNote(unknown), ...poolNotes(rawPool)].map((note) => `${name}: ${note}`)
  }
})

/** An application's own servers. */
export const fromOptions = (
  servers: Readonly<Record<string, unknown>>,
  options: { readonly pool: unknown; readonly directory: string }
): Result.Result<Source, ConfigFileError> => {
  const name = "options"
  if (Object.hasOwn(servers, "")) return Result.fail(Jsonc.errorOf(name, emptyName))
  return Result.mapBoth(decodeSharedPool(options.pool), {
    onFailure: (mistake) => Jsonc.errorOf(name, poolReason(mistake)),
    onSuccess: (pool): Source => ({
      name,
      directory: options.directory,
      inputs: Inputs.none,
      pool,
      servers: Object.entries(servers),
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
const knownKeys: ReadonlySet<string> = new Set(["mcpServers", "servers", "pool", "inputs", "$schema"])

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

/** Directories of a project that hold a host's settings. */
const hostDirectories: ReadonlySet<string> = new Set([".vscode", ".cursor"])
