/**
 * Several files written as one: each is replaced whole, all or none, with a copy of what was there. Copies lie in
 * directories by time, with a manifest that says where each belongs; only their owner may read them.
 */
import type * as Crypto from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { Context, Effect, Option, Predicate, Result, Schema } from "effect"

/** A file as it is to be. */
export interface Write {
  /** The file itself, not a link to it. */
  readonly file: string
  /** What is there now; null for nothing. */
  readonly before: Buffer | null
  readonly after: Buffer
  /** Permission bits, for a file that is new or is to have others. */
  readonly mode: number
  /** Whose entries in it are changed. */
  readonly entries?: Entries
}

/** Nothing was written, or all that was has been put back. */
export class NotWritten extends Schema.TaggedError<NotWritten>()("NotWritten", {
  file: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `${this.file}: ${this.reason}: nothing was changed`
  }
}

/** Some was written, and could not be put back: its copies stay. */
export class HalfWritten extends Schema.TaggedError<HalfWritten>()("HalfWritten", {
  file: Schema.String,
  reason: Schema.String,
  /** What is not as it was. */
  left: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const [are, them] = this.left.length === 1 ? ["is", "it"] : ["are", "them"]
    return (
      `${this.file}: ${this.reason}; ${this.left.join(", ")} ${are} written already, and ${are} to stay so until ` +
      `"mcp-pool adopt --undo" can put ${them} back`
    )
  }
}

/** Puts a finished file in the place of another; tests have one that fails. */
export const Rename = Context.Reference<(from: string, to: string) => void>("effect-mcp-pool/adopt/Rename", {
  defaultValue: () => fs.renameSync
})

/** Entries of a host's file: where they stand, and what they run since. */
const Entries = Schema.Struct({
  host: Schema.String,
  moved: Schema.Array(
    Schema.Struct({ path: Schema.Array(Schema.String), command: Schema.String, args: Schema.Array(Schema.String) })
  )
})
export type Entries = typeof Entries.Type

const Saved = Schema.Struct({
  file: Schema.String,
  entries: Schema.optionalKey(Entries),
  /** The name of its copy beside the manifest; null where there was nothing. */
  copy: Schema.NullOr(Schema.String),
  mode: Schema.Int,
  /** SHA-256 of what was there, and of what was written. */
  before: Schema.NullOr(Schema.String),
  after: Schema.String,
  /** Directories that were made for it, the outermost first. */
  made: Schema.Array(Schema.String)
})

/** What was written at one time. */
export const Manifest = Schema.Struct({ version: Schema.Literal(1), at: Schema.String, files: Schema.Array(Saved) })
export type Manifest = typeof Manifest.Type

/** Writes all files, or none; the copies go into `<directory>/<at>`. */
export const write = Effect.fnUntraced(function* (
  writes: ReadonlyArray<Write>,
  { at, directory }: { readonly directory: string; readonly at: string }
) {
  const made = yield* Effect.forEach([...writes.map(({ file }) => path.dirname(file)), directory], makeDirectory)
  const copies = yield* attempt(directory, () => freeDirectory(directory, at))
  const cleanUp = Effect.sync(() => {
    fs.rmSync(copies, { recursive: true, force: true })
    for (const one of [directory, ...made.flat().toReversed()]) removeEmpty(one)
  })
  yield* Effect.gen(function* () {
    const files: Array<typeof Saved.Type> = []
    for (const [index, one] of writes.entries()) {
      const copy = one.before === null ? null : `${index}-${path.basename(one.file)}`
      if (copy !== null) {
        yield* attempt(one.file, () => fs.writeFileSync(path.join(copies, copy), one.before!, { mode: 0o600 }))
      }
      files.push({
        file: one.file,
        ...(one.entries === undefined ? {} : { entries: one.entries }),
        copy,
        mode: one.before === null ? one.mode : (yield* attempt(one.file, () => fs.statSync(one.file))).mode & 0o7777,
        before: one.before === null ? null : sha256(one.before),
        after: sha256(one.after),
        made: made[index]!
      })
    }
    const manifest: Manifest = { version: 1, at, files }
    const text = `${JSON.stringify(manifest, undefined, 2)}\n`
    yield* attempt(copies, () => fs.writeFileSync(path.join(copies, manifestName), text, { mode: 0o600 }))
    yield* replaceAll(writes)
  }).pipe(Effect.tapError(({ _tag }) => (_tag === "NotWritten" ? cleanUp : Effect.void)))
  return copies
}, Effect.uninterruptible)

/** A file that has changed since adopt wrote it. */
export class Changed extends Schema.TaggedError<Changed>()("Changed", { files: Schema.Array(Schema.String) }) {
  override get message(): string {
    const [first, ...others] = this.files
    const files = others.length === 0 ? first : `${this.files.slice(0, -1).join(", ")} and ${others.at(-1)}`
    const [has, it] = others.length === 0 ? ["has", "it"] : ["have", "them"]
    return (
      `${files} ${has} changed since: nothing was done. "mcp-pool adopt --undo --entries" puts back only the entries in ` +
      `${it}, "mcp-pool adopt --undo --force" the whole of ${it}, with a copy of what is there now`
    )
  }
}

/** There is nothing to undo. */
export class NothingToUndo extends Schema.TaggedError<NothingToUndo>()("NothingToUndo", { directory: Schema.String }) {
  override get message(): string {
    return `nothing to undo: ${this.directory} has no copies`
  }
}

/** What to do about files that have changed since. */
export type IfChanged =
  | "refuse"
  /** Put them back whole; a copy of what is there is kept. */
  | "overwrite"
  /** What they are to be instead, of what is there and was there; null: as they are. Fails with why not, in words. */
  | ((options: {
      readonly file: string
      readonly entries: Entries | undefined
      readonly before: Buffer
      readonly now: Buffer
    }) => Result.Result<Buffer | null, string>)

/** What undoing did. */
export interface Undone {
  readonly at: string
  readonly restored: ReadonlyArray<string>
  /** Files that had not been there before, and are gone again. */
  readonly removed: ReadonlyArray<string>
  /** Files that had changed since: only entries were put back, or nothing. */
  readonly partly: ReadonlyArray<string>
  /** Where the copies of what had changed since are, where any had. */
  readonly kept: string | null
}

/** Puts back what the last `write` replaced, byte for byte. */
export const undo = Effect.fnUntraced(function* ({
  directory,
  ifChanged
}: {
  readonly directory: string
  readonly ifChanged: IfChanged
}) {
  const last = yield* Effect.option(attempt(directory, () => fs.readdirSync(directory).filter(isTime).sort().at(-1)))
  const name = Option.getOrUndefined(last)
  if (name === undefined) return yield* new NothingToUndo({ directory })
  const copies = path.join(directory, name)
  const text = yield* attempt(copies, () => fs.readFileSync(path.join(copies, manifestName), "utf8"))
  const manifest = yield* Effect.mapError(
    decodeManifest(text),
    () => new NotWritten({ file: path.join(copies, manifestName), reason: "is not a manifest of adopt's" })
  )
  const states = yield* Effect.forEach(manifest.files, (saved) =>
    Effect.map(
      attempt(saved.file, () => readIfThere(saved.file)),
      (now) => ({ saved, now })
    )
  )
  const changed = states.filter(({ now, saved }) => !isKnown(now, saved))
  if (changed.length > 0 && ifChanged === "refuse")
    return yield* new Changed({ files: changed.map(({ saved }) => saved.file) })

  const writes = yield* Effect.forEach(states, ({ now, saved }) =>
    attempt(saved.file, () => ({
      file: saved.file,
      before: now,
      after: saved.copy === null ? null : fs.readFileSync(path.join(copies, saved.copy)),
      mode: saved.mode
    }))
  )
  const damaged = states.find(({ saved }, i) => saved.before !== hashOf(writes[i]!.after))
  if (damaged !== undefined) {
    return yield* new NotWritten({ file: damaged.saved.file, reason: `its copy in ${copies} is damaged` })
  }
  const partly = new Set<string>()
  const final = yield* Effect.forEach(states, ({ now, saved }, i) => {
    const write = writes[i]!
    if (typeof ifChanged === "string" || isKnown(now, saved)) return Effect.succeed(write)
    partly.add(saved.file)
    const { after: before, file } = write
    // What is gone, or had not been there, has no entries to put back.
    if (now === null || before === null) return Effect.succeed({ ...write, after: now })
    return Effect.fromResult(ifChanged({ file, entries: saved.entries, before, now })).pipe(
      Effect.map((after) => ({ ...write, after: after ?? now })),
      Effect.mapError((reason) => new NotWritten({ file, reason }))
    )
  })
  for (const [index, { now, saved }] of changed.entries()) {
    const file = path.join(copies, `changed-${index}-${path.basename(saved.file)}`)
    if (now !== null) yield* attempt(file, () => fs.writeFileSync(file, now, { mode: 0o600 }))
  }
  yield* replaceAll(final)
  const kept = changed.length === 0 ? null : `${copies}.undone`
  yield* attempt(copies, () => {
    if (kept === null) fs.rmSync(copies, { recursive: true })
    else fs.renameSync(copies, kept)
    for (const one of [directory, ...manifest.files.flatMap(({ made }) => made).toReversed()]) removeEmpty(one)
  })
  return {
    at: manifest.at,
    restored: writes.flatMap(({ after, file }) => (after === null || partly.has(file) ? [] : [file])),
    removed: writes.flatMap(({ after, file }) => (after === null && !partly.has(file) ? [file] : [])),
    partly: [...partly],
    kept
  } satisfies Undone
}, Effect.uninterruptible)

const decodeManifest = Schema.decodeUnknownEffect(Schema.fromJsonString(Manifest))

const manifestName = "manifest.json"

const isTime = (name: string): boolean => /^\d{8}T\d{6}(?:-\d+)?$/.test(name)

/** Whether a file is as adopt wrote it, or as it was before. */
const isKnown = (now: Buffer | null, { after, before }: typeof Saved.Type): boolean => {
  const hash = hashOf(now)
  return hash === after || hash === before
}

interface Replacement extends Omit<Write, "after"> {
  /** Null: the file goes. */
  readonly after: Buffer | null
}

/** Each finished beside its place first; then all are put in theirs, and back again where one cannot be. */
const replaceAll = Effect.fnUntraced(function* (all: ReadonlyArray<Replacement>) {
  const rename = yield* Rename
  const finished: Array<string> = []
  const done: Array<{ readonly file: string; readonly back: Effect.Effect<void, NotWritten> }> = []
  const put = (one: Replacement, content: Buffer | null, mode: number) =>
    Effect.gen(function* () {
      if (content === null) return yield* attempt(one.file, () => fs.rmSync(one.file, { force: true }))
      const staged = yield* attempt(one.file, () => stage(one.file, content, mode))
      finished.push(staged)
      return yield* attempt(one.file, () => rename(staged, one.file))
    })
  yield* Effect.gen(function* () {
    for (const one of all) {
      const now = yield* attempt(one.file, () => readIfThere(one.file))
      if (hashOf(now) !== hashOf(one.before)) {
        return yield* new NotWritten({ file: one.file, reason: "was changed by somebody else meanwhile" })
      }
    }
    for (const one of all) {
      const mode = yield* attempt(one.file, () => fs.statSync(one.file, { throwIfNoEntry: false })?.mode)
      yield* put(one, one.after, one.mode)
      done.push({ file: one.file, back: put(one, one.before, (mode ?? 0o600) & 0o7777) })
    }
  }).pipe(
    Effect.catch(
      Effect.fnUntraced(function* (error: NotWritten): Effect.fn.Return<never, NotWritten | HalfWritten> {
        const left: Array<string> = []
        for (const { back, file } of done.toReversed()) {
          // What was written before may be what this one needs now.
          if (left.length > 0 || Result.isFailure(yield* Effect.result(back))) left.push(file)
        }
        const { file, reason } = error
        return yield* left.length === 0 ? error : new HalfWritten({ file, reason, left })
      })
    ),
    Effect.ensuring(
      Effect.sync(() => {
        for (const file of finished) fs.rmSync(file, { force: true })
      })
    )
  )
})

/** The content in a file of its own, beside the one that it is to replace, with its owner. */
const stage = (file: string, content: Buffer, mode: number): string => {
  const staged = path.join(path.dirname(file), `.${path.basename(file)}.${process.pid}-${staging++}.mcp-pool`)
  const fd = fs.openSync(staged, "wx", 0o600)
  try {
    fs.writeFileSync(fd, content)
    const owner = fs.statSync(file, { throwIfNoEntry: false })
    if (owner !== undefined && process.getuid?.() === 0) fs.fchownSync(fd, owner.uid, owner.gid)
    fs.fchmodSync(fd, mode)
    fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
  return staged
}

let staging = 0

const attempt = <A>(file: string, body: () => A): Effect.Effect<A, NotWritten> =>
  Effect.try({
    try: body,
    catch: (cause) => {
      const code = Predicate.hasProperty(cause, "code") ? String(cause.code) : String(cause)
      return new NotWritten({ file, reason: `cannot be read or written (${code})` })
    }
  })

const readIfThere = (file: string): Buffer | null => (fs.existsSync(file) ? fs.readFileSync(file) : null)

/** Makes it with what is missing above it; those that were. */
const makeDirectory = (directory: string): Effect.Effect<ReadonlyArray<string>, NotWritten> =>
  attempt(directory, () => {
    const missing: Array<string> = []
    for (let at = directory; !fs.existsSync(at); at = path.dirname(at)) missing.unshift(at)
    for (const one of missing) fs.mkdirSync(one, { mode: 0o700 })
    return missing
  })

const freeDirectory = (directory: string, at: string): string => {
  const name = at.replace(/\.\d+/, "").replace(/[^\dT]/g, "")
  for (let number = 1; ; number++) {
    const candidate = path.join(directory, number === 1 ? name : `${name}-${number}`)
    if (fs.existsSync(candidate)) continue
    fs.mkdirSync(candidate, { mode: 0o700 })
    return candidate
  }
}

const removeEmpty = (directory: string): void => {
  if (fs.existsSync(directory) && fs.readdirSync(directory).length === 0) fs.rmdirSync(directory)
}

const hashOf = (content: Buffer | null): string | null => (content === null ? null : sha256(content))

const sha256 = (content: Buffer): string => {
  const crypto: typeof Crypto = process.getBuiltinModule("node:crypto")
  return crypto.createHash("sha256").update(content).digest("hex")
}
