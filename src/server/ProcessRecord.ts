/**
 * What a pool wrote down of its processes, `<directory>/processes.json`, so that the next one can end what was left where
 * even the helper could not. Nobody is signalled without proof: the recorded marker in its environment, or a group whose
 * leader began when the record says.
 */
import { Clock, Effect, Option, Schema } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as ProcessTable from "./ProcessTable.ts"
import * as SessionFile from "./SessionFile.ts"

const Pid = Schema.Int.check(Schema.isGreaterThan(1))

const Record = Schema.Struct({
  /** The pool's own process, and when it began in the system's unit. */
  pid: Pid,
  born: Schema.Finite,
  /** The boot of the system in which all of this holds. */
  boot: Schema.String,
  /** How the value of each of its markers starts. */
  marker: Schema.String.check(Schema.isMinLength(16)),
  /** Milliseconds since the epoch. */
  startedAt: Schema.Finite,
  groups: Schema.Array(Schema.Struct({ group: Pid, born: Schema.Finite }))
})
type Record = typeof Record.Type
const decode = Schema.decodeUnknownOption(Schema.fromJsonString(Record))

/** What one pool writes. */
export interface ProcessRecord {
  /** Null where nothing is recorded. */
  readonly directory: string | null
  /** The marker is on disk once this has returned; any further call does nothing. */
  readonly begin: () => void
  /** The groups have changed: they are written soon, several changes at once. */
  readonly changed: () => void
  /** Nothing is left that the next pool should know of. */
  readonly remove: () => void
  /** Writes no more. */
  readonly close: () => void
}

/** Ends what an earlier pool left behind, and takes over its place unless that pool still lives. */
export const make = Effect.fnUntraced(function* (options: {
  readonly directory: string | undefined
  readonly marker: string
  readonly groups: ReadonlySet<number>
}): Effect.fn.Return<ProcessRecord> {
  const { groups, marker } = options
  if (options.directory === undefined) return none
  const directory = options.directory
  const boot = yield* ProcessTable.boot
  const earlier = yield* read(directory)
  if (Option.isSome(earlier)) {
    if (yield* isLive(earlier.value, boot)) {
      yield* Effect.logWarning(`a pool with process ${earlier.value.pid} records its processes in ${directory} already`)
      return none
    }
    yield* sweep(directory, earlier.value, boot)
  }
  const born = (yield* own).get(process.pid) ?? 0
  const say = Effect.runSyncWith(yield* Effect.context<never>())
  const startedAt = yield* Clock.currentTimeMillis
  const head = { pid: process.pid, born, boot, marker, startedAt }
  const file = fileOf(directory)
  let state: "new" | "begun" | "closed" = "new"
  let timer: NodeJS.Timeout | undefined
  let births: ReadonlyMap<number, number> = new Map()

  const write = () => {
    try {
      fs.mkdirSync(directory, { recursive: true, mode: 0o700 })
      const known = [...groups].flatMap((group) => {
        const born = births.get(group)
        return born === undefined ? [] : [{ group, born }]
      })
      const text = JSON.stringify({ ...head, groups: known } satisfies Record)
      fs.writeFileSync(`${file}.new`, text, { mode: 0o600 })
      fs.renameSync(`${file}.new`, file)
    } catch (cause) {
      say(Effect.logWarning(`the record of processes cannot be written: ${(cause as Error).message}`))
    }
  }
  const update = async () => {
    // A leader keeps its birth: only new ones are asked for.
    const fresh = [...groups].filter((group) => !births.has(group))
    const found = fresh.length === 0 ? [] : await ProcessTable.bornOf(fresh)
    births = new Map([...births, ...found].filter(([group]) => groups.has(group)))
    if (state === "begun") write()
  }
  const close = () => {
    state = "closed"
    clearTimeout(timer)
  }
  return {
    directory,
    begin: () => {
      if (state !== "new") return
      state = "begun"
      write()
    },
    changed: () => {
      if (timer !== undefined || state !== "begun") return
      timer = setTimeout(() => {
        timer = undefined
        void update()
      }, writeDelay).unref()
    },
    remove: () => {
      close()
      if (Option.exists(parse(file), (there) => there.marker === marker)) fs.rmSync(file, { force: true })
    },
    close
  }
})

/** Whose record lies in a directory. */
export type Owner =
  | { readonly kind: "none" }
  /** The file is something else. */
  | { readonly kind: "unreadable" }
  | { readonly kind: "live" | "gone"; readonly pid: number }

/** The pool that wrote the record, and whether that one still lives. */
export const owner = Effect.fnUntraced(function* (directory: string): Effect.fn.Return<Owner> {
  const file = fileOf(directory)
  const record = parse(file)
  if (Option.isNone(record)) return { kind: fs.existsSync(file) ? "unreadable" : "none" }
  const isOwnerLive = yield* isLive(record.value, yield* ProcessTable.boot)
  return { kind: isOwnerLive ? "live" : "gone", pid: record.value.pid }
})

/** Live processes that an earlier pool with this directory left behind; none while that pool lives. */
export const leftovers = Effect.fnUntraced(function* (
  directory: string
): Effect.fn.Return<ReadonlyArray<ProcessTable.ProcessInfo>> {
  const record = yield* read(directory)
  if (Option.isNone(record)) return []
  const boot = yield* ProcessTable.boot
  return (yield* isLive(record.value, boot)) ? [] : yield* left(record.value, boot)
})

const none: ProcessRecord = {
  directory: null,
  begin: () => {},
  changed: () => {},
  remove: () => {},
  close: () => {}
}

/** Where the record lies. */
export const fileOf = (directory: string): string => path.join(directory, "processes.json")

const parse = (file: string): Option.Option<Record> => {
  try {
    return decode(fs.readFileSync(file, "utf8"))
  } catch {
    return Option.none()
  }
}

const read = Effect.fnUntraced(function* (directory: string) {
  const file = fileOf(directory)
  const record = parse(file)
  if (Option.isNone(record) && fs.existsSync(file)) yield* Effect.logWarning(`${file} is not a record of processes`)
  return record
})

const own = Effect.promise(() => ProcessTable.bornOf([process.pid]))

const isLive = (record: Record, boot: string): Effect.Effect<boolean> =>
  record.boot === boot
    ? Effect.map(
        Effect.promise(() => ProcessTable.bornOf([record.pid])),
        (births) => births.get(record.pid) === record.born
      )
    : Effect.succeed(false)

/** What the record proves to be the pool's. */
const left = Effect.fnUntraced(function* (record: Record, boot: string) {
  if (record.boot !== boot) return []
  const { markers, processes } = yield* ProcessTable.scanSince(record.born)
  const leaders = new Map(record.groups.map(({ born, group }) => [group, born]))
  const proven = new Set(processes.flatMap(({ born, pid }) => (leaders.get(pid) === born ? [pid] : [])))
  return processes.filter(
    ({ group, pid }) =>
      pid !== process.pid && (proven.has(group) || markers.get(pid)?.startsWith(`${record.marker}-`) === true)
  )
})

/** SIGTERM, and SIGKILL to what is there a second later. Its waits run on native time, as everything here. */
const sweep = Effect.fnUntraced(function* (directory: string, record: Record, boot: string) {
  const told = new Set<number>()
  const begin = performance.now()
  let found = yield* left(record, boot)
  while (found.length > 0 && performance.now() - begin < sweepTime) {
    const isLate = performance.now() - begin > termTime
    for (const info of found) {
      if (isLate) ProcessTable.signal(info, "SIGKILL")
      else if (!told.has(info.pid)) ProcessTable.signal(info, "SIGTERM")
      told.add(info.pid)
    }
    yield* pause(sweepPoll)
    found = yield* left(record, boot)
  }
  if (found.length > 0) yield* Effect.logWarning(`cannot end ${found.map(({ pid }) => pid).join(", ")}, left behind`)
  if (told.size > found.length) {
    const count = told.size - found.length
    yield* Effect.log(`swept ${count} ${count === 1 ? "process" : "processes"} that an earlier daemon left behind`)
  }
  if (found.length === 0) yield* clearSessionFiles(directory)
  fs.rmSync(fileOf(directory), { force: true })
})

/** What was written for the servers of the earlier pool. */
const clearSessionFiles = (directory: string): Effect.Effect<void> =>
  Effect.try({
    try: () => {
      const files = path.join(directory, SessionFile.folder)
      if (!fs.existsSync(files)) return
      for (const name of fs.readdirSync(files)) fs.rmSync(path.join(files, name), { recursive: true, force: true })
    },
    catch: (cause) => (cause as Error).message
  }).pipe(Effect.catch((reason) => Effect.logWarning(`an earlier daemon's files cannot be removed: ${reason}`)))

const pause = (millis: number): Effect.Effect<void> =>
  Effect.callback((resume) => {
    setTimeout(() => resume(Effect.void), millis)
  })

const writeDelay = 50
const sweepPoll = 50
const termTime = 1000
const sweepTime = 3000
