/** When a server that ended is started again: Schedules over how it ended. Pure but for the jitter's randomness. */
import { Cause, Duration, Effect, Random, Schedule } from "effect"

/** What a restart Schedule is told: one incarnation and its end. */
export interface Ended {
  /** When it was started, in milliseconds since the epoch. */
  readonly startedAt: number
  /** How long it ran once it was ready; zero where it never was. */
  readonly uptime: Duration.Duration
}

/** The limits of the default policy. */
export interface Budget {
  /** At most so many starts in any window, the first one included. */
  readonly max: number
  readonly window: Duration.Input
  /** The delay before the second restart of a streak; it doubles from there. The first restart comes at once. */
  readonly base: Duration.Input
  /** No delay is longer. */
  readonly cap: Duration.Input
  /** A process that ran so long ends the streak. */
  readonly resetAfter: Duration.Input
}

/**
 * Restarts within a budget: the first at once, then after delays that double up to `cap` (each shortened by up to a fifth,
 * so that servers that fell together do not rise together), and never more than `max` starts in any `window`: then it is
 * done, and the server is in a crash loop. After Erlang/OTP's intensity and period and systemd's StartLimitBurst.
 */
export const budget = (options: Budget): Schedule.Schedule<Duration.Duration, Ended> => {
  const window = Duration.toMillis(options.window)
  const base = Duration.toMillis(options.base)
  const cap = Duration.toMillis(options.cap)
  const resetAfter = Duration.toMillis(options.resetAfter)
  return Schedule.fromStep(
    Effect.sync(() => {
      let starts: Array<number> = []
      let streak = 0
      return Effect.fnUntraced(function* (now: number, ended: Ended) {
        starts.push(ended.startedAt)
        if (Duration.toMillis(ended.uptime) >= resetAfter) streak = 0
        const full = streak === 0 ? 0 : Math.min(cap, base * 2 ** (streak - 1))
        const delay = full * (yield* Random.nextBetween(0.8, 1))
        const at = now + delay
        starts = starts.filter((start) => at - start < window)
        if (starts.length >= options.max) return yield* Cause.done(Duration.millis(delay))
        streak++
        const duration = Duration.millis(delay)
        return [duration, duration] as [Duration.Duration, Duration.Duration]
      })
    })
  )
}
