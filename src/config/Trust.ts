/**
 * Which projects' servers a person has allowed to be run: a file for each directory under `~/.config/mcp-pool/trusted`, with
 * a hash of each definition as it was then, since a definition names a command. What that command does, and what its
 * `envFile` says, is the project's own affair, as with everything else that is run there.
 */
import type * as Crypto from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { Effect, Predicate, type Result, Schema } from "effect"
import type { ConfigFileError } from "../PoolError.ts"
import * as BoundedFile from "./BoundedFile.ts"
import { HostEnvironment } from "./Environment.ts"
import * as Jsonc from "./Jsonc.ts"
import { userHome } from "./PoolConfig.ts"
import type { Definition } from "./Project.ts"

/** What is trusted of one project. */
export const Record = Schema.Struct({
  directory: Schema.String,
  definitions: Schema.Array(Schema.Struct({ file: Schema.String, server: Schema.String, hash: Schema.String }))
})
/** See the schema of the same name. */
export interface Record extends Schema.Schema.Type<typeof Record> {}

/** Where the records are. */
export const folder: Effect.Effect<string> = Effect.map(HostEnvironment, (variables) =>
  path.join(userHome(variables), ".config/mcp-pool/trusted")
)

/** What is trusted of a directory; undefined where nothing is. */
export const read = Effect.fnUntraced(function* (
  directory: string
): Effect.fn.Return<Record | undefined, ConfigFileError> {
  const record = yield* readRecord(path.join(yield* folder, fileName(directory)))
  return record?.directory === directory ? record : undefined
})

/** Whether a definition is the one that was trusted; `changed` where another one was. */
export const judge = (record: Record | undefined, definition: Definition): "trusted" | "changed" | "unknown" => {
  const { server, source } = definition
  const same = record?.definitions.find((known) => known.file === source.name && known.server === server)
  return same === undefined ? "unknown" : same.hash === hash(definition) ? "trusted" : "changed"
}

/** Trusts what a project defines now, and nothing that it defined before. */
export const write = Effect.fnUntraced(function* (
  directory: string,
  definitions: ReadonlyArray<Definition>
): Effect.fn.Return<void, ConfigFileError> {
  const into = yield* folder
  const file = path.join(into, fileName(directory))
  const record: Record = {
    directory,
    definitions: definitions.map((definition) => ({
      file: definition.source.name,
      server: definition.server,
      hash: hash(definition)
    }))
  }
  // A name of its own, so that of two that write at once each leaves a whole file.
  const temporary = `${file}.${process.pid.toString(36)}.new`
  yield* attempt(file, () => {
    fs.mkdirSync(into, { recursive: true, mode: 0o700 })
    fs.rmSync(temporary, { force: true })
    fs.writeFileSync(temporary, `${JSON.stringify(record, undefined, 2)}\n`, { mode: 0o600, flag: "wx" })
    fs.renameSync(temporary, file)
  })
})

/** Trusts nothing of a directory any more; false where nothing was. */
export const remove = Effect.fnUntraced(function* (directory: string): Effect.fn.Return<boolean, ConfigFileError> {
  const file = path.join(yield* folder, fileName(directory))
  return yield* attempt(file, () => {
    if (!fs.existsSync(file)) return false
    fs.rmSync(file)
    return true
  })
})

/** All that is trusted, by directory. */
export const list = Effect.gen(function* (): Effect.fn.Return<ReadonlyArray<Record>, ConfigFileError> {
  const from = yield* folder
  const names = fs.existsSync(from) ? yield* attempt(from, () => fs.readdirSync(from)) : []
  const files = names.filter((name) => name.endsWith(".json")).map((name) => path.join(from, name))
  const records = yield* Effect.forEach(files, readRecord)
  return records
    .filter((record) => record !== undefined)
    .sort((a, b) => (a.directory < b.directory ? -1 : a.directory > b.directory ? 1 : 0))
})

/** Another one for all that decides what is run: the entry and the settings of its file, in whatever order their keys are. */
export const hash = ({ entry, server, source }: Definition): string =>
  sha256(JSON.stringify(sorted([server, entry, source.rawPool])))

const sorted = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(sorted)
  if (!Predicate.isObject(value)) return value
  // As pairs: an object would put keys that look like numbers first, and know no `__proto__`.
  const pairs = Object.entries(value).map(([key, child]) => [key, sorted(child)] as const)
  return { of: pairs.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)) }
}

/** A record that cannot be decoded trusts nothing: it is an error, so that nobody wonders. */
const readRecord = Effect.fnUntraced(function* (file: string): Effect.fn.Return<Record | undefined, ConfigFileError> {
  const text = yield* Effect.mapError(Effect.fromResult(BoundedFile.read(file, maxRecord)), (reason) =>
    Jsonc.errorOf(file, reason)
  )
  if (text === undefined) return undefined
  // Whoever may write here says what is run.
  const { mode, uid } = yield* attempt(file, () => fs.statSync(file))
  if (uid !== process.getuid?.())
    return yield* Jsonc.errorOf(file, "belongs to another user: remove it, and trust anew")
  if ((mode & 0o022) !== 0) return yield* Jsonc.errorOf(file, "others may write it: remove it, and trust anew")
  const root = yield* Effect.fromResult(Jsonc.parse(file, text))
  return yield* Effect.mapError(Effect.fromResult(decode(Jsonc.value(root))), () =>
    Jsonc.errorOf(file, "is no record of a trusted project: remove it, and trust anew")
  )
})

const decode: (input: unknown) => Result.Result<Record, unknown> = Schema.decodeUnknownResult(Record)

const attempt = <A>(file: string, act: () => A): Effect.Effect<A, ConfigFileError> =>
  Effect.try({ try: act, catch: (cause) => Jsonc.errorOf(file, (cause as Error).message) })

const fileName = (directory: string): string => `${sha256(directory).slice(0, 32)}.json`

const sha256 = (text: string): string => {
  const crypto: typeof Crypto = process.getBuiltinModule("node:crypto")
  return crypto.createHash("sha256").update(text).digest("hex")
}

/** Bytes. */
const maxRecord = 16 * 1024 * 1024
