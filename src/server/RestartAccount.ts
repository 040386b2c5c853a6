/** What one server may still spend on restarts. The only file that drives a restart Schedule. */
import { type Duration, Effect, Exit, Schedule } from "effect"
import type { PoolSettings } from "../config/ServerSpec.ts"
import * as RestartPolicy from "./RestartPolicy.ts"

/** What the Schedules say of one more restart. */
export type Verdict =
  | { readonly _tag: "Granted"; readonly delay: Duration.Duration }
  /** The budget is spent for now. */
  | { readonly _tag: "Spent" }
  /** The lifetime is. */
  | { readonly _tag: "Exhausted" }

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
      : own
  const lifetime = yield* Schedule.toStep(
    budget.lifetime === undefined ? Schedule.forever : RestartPolicy.lifetime(budget.lifetime)
  )
  const verdict = (steps: ReadonlyArray<typeof own>) =>
    Effect.fnUntraced(function* (now: number, ended: RestartPolicy.Ended) {
      if (Exit.isFailure(yield* Effect.exit(lifetime(now, ended)))) return { _tag: "Exhausted" } satisfies Verdict
      for (const step of steps) {
        const decision = yield* Effect.exit(step(now, ended))
        if (Exit.isSuccess(decision)) return { _tag: "Granted", delay: decision.value[1] } satisfies Verdict
      }
      return { _tag: "Spent" } satisfies Verdict
    })
  return {
    /** For one that ended by itself. */
    ofServer: verdict([own]),
    /** For one that ended while it held one call alone. */
    ofOneCall: verdict(ofOneCall === own ? [own] : [ofOneCall, own]),
    /** For one attempt out of a crash loop that was never ready. */
    ofAttempt: verdict([])
  }
})

/** Starts that three crashes need. */
const forgiven = 4
