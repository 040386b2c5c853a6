/**
 * One performance of a script on fresh scratch processes: by client A alone, beside client B on a process of its own, or
 * beside B on the same process; one request after another, then both clients' at once. Says what A was told.
 */
import { Clock, Duration, Effect, Fiber, Option, type Scope } from "effect"
import type { ServerSpec } from "../config/ServerSpec.ts"
import type { Reaper } from "../server/Reaper.ts"
import type { ServerLog } from "../server/ServerLog.ts"
import * as ServerProcess from "../server/ServerProcess.ts"
import { Conversation, type Step, type Trace } from "./Conversation.ts"
import type { Exercise } from "./Script.ts"

/** A fresh process of the server, and all that is said to it. */
export interface Scratch {
  readonly process: ServerProcess.ServerProcess
  readonly conversation: Conversation
  /** Milliseconds from its spawn to its handshake. */
  readonly took: number
}

/** What A was told for one request; null where nothing came in time. */
export interface Told {
  readonly step: Step
  /** `first` and `second` time, one after another with B's; or both clients' at once. */
  readonly when: "first" | "second" | "at once"
  readonly trace: Trace | null
}

export const open = Effect.fnUntraced(function* (
  spec: ServerSpec,
  log: ServerLog
): Effect.fn.Return<Scratch, ServerProcess.Failed, Scope.Scope | Reaper> {
  const begin = yield* Clock.currentTimeMillis
  const process = yield* ServerProcess.make(spec, log, [])
  const took = (yield* Clock.currentTimeMillis) - begin
  const conversation = new Conversation({ write: (line) => process.stdin.push(line), roots: spec.pool.roots })
  process.attach(conversation)
  if ("logging" in process.handshake.capabilities) {
    // Else most servers say nothing that could go astray.
    const step = { method: "logging/setLevel", name: null, params: { level: "debug" } }
    yield* ask({ process, conversation }, step)
  }
  return { process, conversation, took }
})

/** One request and what came of it; cancelled where it takes too long. */
export const ask = (
  { conversation, process }: Pick<Scratch, "process" | "conversation">,
  step: Step
): Effect.Effect<Trace | null, ServerProcess.Ended> => {
  const answered = Effect.callback<Trace>((resume) => {
    const id = conversation.request(step, (trace) => resume(Effect.succeed(trace)))
    return Effect.sync(() => conversation.cancel(id))
  })
  return Effect.raceFirst(Effect.timeoutOption(answered, patience), process.ended).pipe(Effect.map(Option.getOrNull))
}

/** Whether a request was answered with what it asked for. */
export const isGood = (trace: Trace | null): boolean =>
  trace !== null && trace.error === undefined && (trace.result as { readonly isError?: unknown })?.isError !== true

/** Where each of the two is served; without B's, A is alone. */
export interface Stage {
  readonly a: Scratch
  readonly b: Scratch | null
}

export const perform = Effect.fnUntraced(function* (
  { a, b }: Stage,
  script: ReadonlyArray<Exercise>
): Effect.fn.Return<ReadonlyArray<Told>, ServerProcess.Ended> {
  const told: Array<Told> = []
  const tell = (step: Step, when: Told["when"]) =>
    Effect.map(ask(a, step), (trace) => void told.push({ step, when, trace }))
  const others = ({ b: step }: Exercise) => (b === null ? Effect.void : ask(b, step))
  // Whatever one step keeps for another, B was the last to leave something there, and once the first.
  for (const exercise of script) {
    yield* others(exercise)
    yield* tell(exercise.a, "first")
  }
  const quick = script.filter(({ isSlow }) => !isSlow)
  for (const exercise of quick) yield* others(exercise)
  for (const exercise of quick) {
    yield* tell(exercise.a, "second")
    yield* others(exercise)
  }
  for (let from = 0; from < script.length; from += atOnce) {
    const exercises = script.slice(from, from + atOnce)
    const traces = yield* Effect.forEach(
      exercises,
      (exercise) =>
        Effect.map(
          Effect.all([others(exercise), ask(a, exercise.a)], { concurrency: "unbounded" }),
          ([, trace]) => trace
        ),
      { concurrency: "unbounded" }
    )
    for (const [index, { a: step }] of exercises.entries()) {
      // Whose log messages come meanwhile nobody could tell.
      const trace = traces[index] ?? null
      told.push({ step, when: "at once", trace: trace === null ? null : { ...trace, log: [] } })
    }
  }
  return told
})

/** What became of B's calls while A cancelled its own. */
export interface Cancelling {
  readonly calls: number
  /** A's calls that were answered all the same: too late, or not heeded. */
  readonly answered: number
  /** Names of tools whose call of B's, at the same time, was not answered any more. */
  readonly lost: ReadonlyArray<string>
}

/** Both call the same tool at once, and A cancels its call in the same breath. */
export const cancelling = Effect.fnUntraced(function* (
  scratch: Scratch,
  script: ReadonlyArray<Exercise>
): Effect.fn.Return<Cancelling, ServerProcess.Ended> {
  const { conversation } = scratch
  const calls = script.filter(({ a }) => a.method === "tools/call").slice(0, maxCancelled)
  const before = conversation.observations.answeredAfterCancel
  const lost: Array<string> = []
  for (const { a, b } of calls) {
    const id = conversation.request(a, () => {})
    // At once, so that the cancellation comes after both.
    const asking = yield* Effect.forkChild(ask(scratch, b), { startImmediately: true })
    conversation.cancel(id)
    const isLost = (yield* Fiber.join(asking)) === null
    // Only where it is answered when nobody cancels.
    if (isLost && (yield* ask(scratch, b)) !== null) lost.push(b.name ?? "")
    // What would still come of A's call is mostly here before the answer to this.
    yield* ask(scratch, ping)
  }
  return { calls: calls.length, answered: conversation.observations.answeredAfterCancel - before, lost }
})

const ping: Step = { method: "ping", name: null, params: {} }
/** How long an answer is waited for. */
export const patience = Duration.seconds(5)
/** Requests of each client that are in flight at once. */
const atOnce = 8
const maxCancelled = 16
