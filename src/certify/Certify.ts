/**
 * Whether a server is safe to share, found out on scratch processes of it: two clients ask the same things alone, side by
 * side on processes of their own, and on one process, each twice. What differs by itself is known from the first two; what
 * differs on one process only, each time, one client tells the other. Leaves no process behind.
 */
import { Duration, Effect, Option, type Scope } from "effect"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { pathToFileURL } from "node:url"
import type { ServerSpec } from "../config/ServerSpec.ts"
import * as ProcessTable from "../server/ProcessTable.ts"
import * as Reaper from "../server/Reaper.ts"
import type { ServerLog } from "../server/ServerLog.ts"
import type * as ServerProcess from "../server/ServerProcess.ts"
import type { Conversation, Question } from "./Conversation.ts"
import * as Leaks from "./Leaks.ts"
import * as Play from "./Play.ts"
import type { Facts, Report } from "./Report.ts"
import * as Scout from "./Scout.ts"
import * as Script from "./Script.ts"
import * as Verdict from "./Verdict.ts"

export interface Options {
  readonly spec: ServerSpec
  /** Tools that are called though they do not say that they only read. */
  readonly mayCall: ReadonlySet<string>
  /** For all of it: what is not known by then stays unknown. */
  readonly timeout: Duration.Duration
  readonly log: ServerLog
  /** What comes next, for a person who waits. */
  readonly onStep: (what: string) => Effect.Effect<void>
}

/** Fails where the server does not start even once. */
export const run = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<Report, ServerProcess.Failed> {
  const { log, mayCall, onStep, spec, timeout } = options
  const words = Script.words()
  const starts: Array<number> = []
  const conversations: Array<Conversation> = []
  const cutShort: Array<string> = []
  const played = {
    alone: [] as Array<Told>,
    apart: [] as Array<Told>,
    together: [] as Array<Told>,
    underRoots: [] as Array<Told>
  }
  let scouted: Scout.Scouted = { script: [], trials: [] }
  let memory: number | null = null
  let cancelling: Play.Cancelling | null = null
  let alone: string | null = null

  const open = Effect.fnUntraced(function* (spec: ServerSpec) {
    const scratch = yield* Play.open(spec, log)
    starts.push(scratch.took)
    conversations.push(scratch.conversation)
    return scratch
  })

  const scout = Effect.gen(function* () {
    const scratch = yield* open(spec)
    yield* Scout.scout(scratch, words, mayCall).pipe(
      Effect.tap((found) => Effect.sync(() => (scouted = found))),
      Effect.catch((error) => Effect.sync(() => cutShort.push(error.message)))
    )
    memory = yield* memoryOf(scratch.process.pid)
  })

  const performAlone = Effect.fnUntraced(function* (isLate: boolean) {
    const a = yield* open(spec)
    // What tells the time tells another one now.
    if (isLate) yield* Effect.sleep(quiet)
    played.alone.push(yield* Play.perform({ a, b: null }, scouted.script))
  })

  const performApart = Effect.gen(function* () {
    const a = yield* open(spec)
    const b = yield* Effect.option(Effect.tapError(open(spec), ({ message }) => Effect.sync(() => (alone = message))))
    if (Option.isSome(b)) played.apart.push(yield* Play.perform({ a, b: b.value }, scouted.script))
  })

  const performTogether = Effect.fnUntraced(function* (isLast: boolean) {
    const both = yield* open(spec)
    played.together.push(yield* Play.perform({ a: both, b: both }, scouted.script))
    if (isLast) cancelling = yield* Play.cancelling(both, scouted.script)
  })

  const performUnderRoots = Effect.gen(function* () {
    const directory = yield* emptyDirectory
    const roots = [{ uri: pathToFileURL(directory).href, name: "certify" }]
    const a = yield* open({ ...spec, pool: { ...spec.pool, roots } })
    // Some ask for roots a while after the handshake.
    yield* Effect.sleep(quiet)
    played.underRoots.push(yield* Play.perform({ a, b: null }, scouted.script))
  })

  const find = () => (played.alone.length > 0 && played.together.length > 0 ? Leaks.find(played, words.b) : null)

  const performance = <E extends { readonly message: string }, R>(what: string, effect: Effect.Effect<void, E, R>) =>
    onStep(what).pipe(
      Effect.andThen(Effect.scoped(effect)),
      Effect.catch(({ message }) => Effect.sync(() => void cutShort.push(message)))
    )

  const all = Effect.gen(function* () {
    yield* onStep("looking at what it offers")
    yield* Effect.scoped(scout)
    yield* performance("one client", performAlone(false))
    yield* performance("two clients, a process each", performApart)
    yield* performance("two clients, one process", performTogether(false))
    const again = [
      performance("one client, again", performAlone(true)),
      // At the same time as one without, so that it is not the time that makes the difference.
      ...(spec.pool.roots === undefined ? [performance("one client with roots", performUnderRoots)] : []),
      ...(alone === null ? [performance("two clients, a process each, again", performApart)] : [])
    ]
    yield* Effect.all(again, { concurrency: alone === null ? "unbounded" : 1, discard: true })
    yield* performance("two clients, one process, again", performTogether(true))
    // What is kept outside of the process may have been missed where each has one: who is at once is early or late by chance.
    const left = alone === null ? chances : 0
    for (let i = 0; i < left && isOfTheMoment(find()); i++) {
      yield* performance("two clients, a process each, once more", performApart)
    }
    // A clock that went on just before the last one looks like a leak: once more without the other client.
    if ((find()?.once.length ?? 0) > 0) yield* performance("one client, once more", performAlone(false))
  })
  const done = yield* Effect.timeoutOption(all, timeout).pipe(Effect.provide(Reaper.layer()))
  if (Option.isNone(done)) cutShort.push(`it was not done within ${Duration.format(timeout)} (--timeout)`)

  const observed = conversations.map(({ observations }) => observations)
  const sum = (of: (one: Conversation["observations"]) => number) => observed.reduce((total, one) => total + of(one), 0)
  return Verdict.report({
    server: spec.name,
    fingerprint: spec.fingerprint,
    processes: starts.length,
    starts,
    memory,
    trials: Scout.confirmed(scouted.trials, played.together),
    found: find(),
    requests: sum(({ requests }) => requests),
    strange: observed.flatMap(({ strange }) => strange),
    progress: sum(({ progress }) => progress),
    strangeProgress: observed.flatMap(({ strangeProgress }) => strangeProgress),
    lateProgress: sum(({ lateProgress }) => lateProgress),
    strays: [...beforeHandshake(log), ...observed.flatMap(({ stray }) => stray)],
    questions: counted(observed.flatMap(({ questions }) => questions)),
    underRoots:
      played.underRoots.length === 0 ? null : Leaks.find({ ...played, together: played.underRoots }, words.b).once,
    cancelling,
    alone,
    cutShort: [...new Set(cutShort)]
  })
})

type Told = ReadonlyArray<Play.Told>

/** All that looks like a leak was seen while both asked at once, and nothing says where it is kept. */
const isOfTheMoment = (found: Leaks.Found | null): boolean =>
  found !== null &&
  found.outside.length === 0 &&
  found.leaks.length > 0 &&
  found.leaks.every(({ when }) => when === "at once")

/** Equal ones as one. */
const counted = (questions: ReadonlyArray<Question>): Facts["questions"] => {
  const byText = new Map<string, Facts["questions"][number]>()
  for (const question of questions) {
    const key = JSON.stringify(question)
    byText.set(key, { ...question, times: (byText.get(key)?.times ?? 0) + 1 })
  }
  return [...byText.values()]
}

/** Lines that are not MCP, from before the two clients came. */
const beforeHandshake = (log: ServerLog): ReadonlyArray<string> =>
  log.entries().flatMap(({ source, text }) => (source === "stdout" ? [text] : []))

const memoryOf = (group: number | null): Effect.Effect<number | null> =>
  Effect.map(ProcessTable.list, (processes) => {
    const own = processes.filter((one) => one.group === group)
    return own.length === 0 ? null : own.reduce((sum, { memory }) => sum + memory, 0)
  })

/** What may be given to a server as its client's root: there is nothing in it to be read or lost. */
const emptyDirectory: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), `mcp-pool-certify-${process.pid}-`))),
  (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))
)

/** How often that is looked for again. */
const chances = 3
/** Nothing is asked of it so long, in which it may ask. */
const quiet = Duration.millis(1200)
