/** What one server may still spend on restarts. The only file that drives a restart Schedule. */
import { Duration, Effect, Result, Schedule } from "effect"
import type { PoolSettings } from "../config/ServerSpec.ts"
import type { ProcessError, RemoteEnding } from "../PoolError.ts"
import * as RestartPolicy from "./RestartPolicy.ts"

/** What the Schedules say of one more restart. */
export type Verdict =
  | { readonly _tag: "Granted"; readonly delay: Duration.Duration }
  /** The budget is spent for now. */
  | { readonly _tag: "Spent" }
  /** The lifetime is. */
  | { readonly _tag: "Exhausted" }

/** What {@link isFree} comes to. */
export const free: Verdict = { _tag: "Granted", delay: Duration.zero }

/** The Schedules of one server, from its start by request on: each has memories of its own. */
export const make = Effect.fnUntraced(function* (
  budget: PoolSettings["budget"],
  /** In place of the budget. */
  schedule: Schedule.Schedule<unknown, RestartPolicy.Ended> | undefined
) {
  const own = yield* Schedule.toStep(schedule ?? RestartPolicy.budget(budget))
  // Crashes of a process that held one call alone are that call's, up to the third: a budget of their own, as large.
  const ofOneCall =
    schedule === undefined
      ? yield* Schedule.toStep(RestartPolicy.budget({ ...budget, max: Math.max(budget.max, forgiven) }))
      : null
  const lifetime = yield* Schedule.toStep(
    budget.lifetime === undefined ? Schedule.forever : RestartPolicy.lifetime(budget.lifetime)
  )
  const charge = Effect.fnUntraced(function* (step: typeof own, now: number, ended: RestartPolicy.Ended) {
    const decision = yield* Effect.result(step(now, ended))
    if (Result.isFailure(decision)) return { _tag: "Spent" } satisfies Verdict
    return { _tag: "Granted", delay: Duration.min(decision.success[1], longest) } satisfies Verdict
  })
  const lives = Effect.fnUntraced(function* (now: number, ended: RestartPolicy.Ended) {
    return Result.isSuccess(yield* Effect.result(lifetime(now, ended)))
  })
  /** For one that ended by itself. */
  const ofServer = Effect.fnUntraced(function* (now: number, ended: RestartPolicy.Ended): Effect.fn.Return<Verdict> {
    return (yield* lives(now, ended)) ? yield* charge(own, now, ended) : { _tag: "Exhausted" }
  })
  return {
    ofServer,
    /** For one that ended while it held one call alone. */
    ofOneCall: Effect.fnUntraced(function* (now: number, ended: RestartPolicy.Ended): Effect.fn.Return<Verdict> {
      const verdict = ofOneCall === null ? null : yield* charge(ofOneCall, now, ended)
      return verdict?._tag === "Granted" ? verdict : yield* ofServer(now, ended)
    }),
    /** For one attempt out of a crash loop that was never ready. */
    ofAttempt: Effect.fnUntraced(function* (now: number, ended: RestartPolicy.Ended): Effect.fn.Return<Verdict> {
      return (yield* lives(now, ended)) ? { _tag: "Spent" } : { _tag: "Exhausted" }
    })
  }
})

/** Whether another start may go better than the last. */
export const isWorthRetrying = (end: ProcessError, restart: PoolSettings["restart"]): boolean => {
  if (restart === "never") return false
  if (end._tag === "SpawnFailed") return passing.has(end.code)
  if (end._tag === "RemoteEnded" && settled.has(end.ending)) return false
  if (restart === "always" || end._tag !== "ProcessExited") return true
  return end.phase !== "running" || end.exitCode !== 0
}

/**
 * Whether another start costs nothing: a session that was good for a while has ended as sessions do, and its server is there
 * to say so.
 */
export const isFree = (end: ProcessError): boolean =>
  end._tag === "RemoteEnded" && end.ending === "session-over" && end.uptime >= sessionLife

/** One that has ended, as Schedules are told of it; when it was started is in milliseconds since the epoch. */
export const lifeOf = (end: ProcessError, startedAt: number): RestartPolicy.Ended => ({
  startedAt,
  uptime: Duration.millis("uptime" in end ? end.uptime : 0)
})

/** What such a session has lived, in milliseconds: there are never more new ones than so. */
const sessionLife = 1000

/** Errnos of a system that is short of something for the moment. */
const passing = new Set(["EAGAIN", "EMFILE", "ENFILE", "ENOMEM"])

/** What the next attempt meets too, until somebody mends it. */
const settled: ReadonlySet<RemoteEnding> = new Set(["unauthorized", "redirected", "loop"])

/** What Node's timers keep. */
const longest = Duration.millis(2 ** 31 - 1)
/** Starts that three crashes need. */
const forgiven = 4
