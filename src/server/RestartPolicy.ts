/**
 * When a server that ended is started again. A policy is an Effect `Schedule` that is told of each process that ended:
 * it answers with the delay before the next start, or that it is done, and then the server is in a crash loop. Any
 * `Schedule` that takes an {@link Ended} can stand in for those here. They are pure but for the jitter's randomness,
 * and each `Schedule.toStep` begins with nothing remembered.
 */
import { Cause, Duration, Effect, Random, Schedule } from "effect"

/** What a policy is told: one process and its end. */
export interface Ended {
  /** When it was started, in milliseconds since the epoch. */
  readonly startedAt: number
  /** How long it ran once it was ready; zero where it never was. */
  readonly uptime: Duration.Duration
}

/** The limit of {@link slidingWindow}. */
export interface Window {
  /** At most so many starts in any window, the first one included: a whole number from 1. */
  readonly max: number
  /** How long a window is; a number is in milliseconds. */
  readonly window: Duration.Input
}

/** The delays of {@link backoff}. */
export interface Backoff {
  /** The delay before the second restart of a streak; it doubles from there. A number is in milliseconds. */
  readonly base: Duration.Input
  /** No delay is longer; a number is in milliseconds. */
  readonly cap: Duration.Input
  /** A process that ran for so long, or longer, ended the streak; a number is in milliseconds. */
  readonly resetAfter: Duration.Input
}

/** The limits of {@link budget}. */
export interface Budget extends Window, Backoff {}

/**
 * Restarts at once, and never more than `max` starts in any `window`; the output is how many starts the window holds
 * with the next one. After Erlang/OTP's intensity and period and systemd's StartLimitBurst.
 *
 * What counts is when processes were started, not when that was decided: a start that comes late counts late, and one
 * that nobody asked the policy for counts too. It may be asked again after it was done: it then judges anew, and that
 * it was done counts as no start.
 */
export const slidingWindow = (options: Window): Schedule.Schedule<number, Ended> => {
  const { count, remember } = windowOf(options)
  return Schedule.fromStep(
    Effect.sync(() => {
      let starts: ReadonlyArray<number> = []
      return Effect.fnUntraced(function* (now: number, ended: Ended) {
        starts = remember(starts, ended.startedAt)
        const held = count(starts, now)
        if (held > options.max) return yield* Cause.done(held)
        return [held, Duration.zero] as [number, Duration.Duration]
      })
    })
  )
}

/**
 * Restarts for ever: the first of a streak at once, then after delays that double from `base` up to `cap`. The output
 * is that full delay. The delay itself is up to a fifth shorter, so that servers that fell together do not rise
 * together. It is never done.
 */
export const backoff = (options: Backoff): Schedule.Schedule<Duration.Duration, Ended> => {
  const { after, next } = streakOf(options)
  return Schedule.fromStep(
    Effect.sync(() => {
      let full = 0
      return Effect.fnUntraced(function* (_now: number, ended: Ended) {
        full = after(full, ended)
        const decision: [Duration.Duration, Duration.Duration] = [Duration.millis(full), yield* jittered(full)]
        full = next(full)
        return decision
      })
    })
  )
}

/**
 * {@link slidingWindow} and {@link backoff} in one: it is done where the next start, after its delay, would be one too
 * many in its window. (Put together by `Schedule.max`, the window would be judged without the delay.) The output is the
 * full delay, also where it is done.
 *
 * It may be asked again after it was done, say when a server was started once more by hand and crashed: it then judges
 * anew by the window. That it was done counts as no start, and the streak is as long as it was.
 */
export const budget = (options: Budget): Schedule.Schedule<Duration.Duration, Ended> => {
  const { count, remember } = windowOf(options)
  const { after, next } = streakOf(options)
  return Schedule.fromStep(
    Effect.sync(() => {
      let starts: ReadonlyArray<number> = []
      let full = 0
      return Effect.fnUntraced(function* (now: number, ended: Ended) {
        starts = remember(starts, ended.startedAt)
        full = after(full, ended)
        const output = Duration.millis(full)
        const delay = yield* jittered(full)
        if (count(starts, now + Duration.toMillis(delay)) > options.max) return yield* Cause.done(output)
        full = next(full)
        return [output, delay] as [Duration.Duration, Duration.Duration]
      })
    })
  )
}

/**
 * Restarts at once, `max` times in all (a whole number from 0), then it is done and stays done, however often it is
 * asked again. The output counts the restarts before this one. With another policy: `Schedule.max([budget, lifetime])`,
 * where it also counts the ends at which the other was done. After the seed's `McpRestartPolicy.max_restarts`.
 */
export const lifetime = (max: number): Schedule.Schedule<number, Ended> => Schedule.recurs(max)

/** The starts that still matter, oldest first, and what they come to. */
const windowOf = (options: Window) => {
  const window = Duration.toMillis(options.window)
  return {
    // No more than the last `max`: those before them can fill no window that these do not.
    remember: (starts: ReadonlyArray<number>, start: number): ReadonlyArray<number> =>
      [...starts, start].slice(-options.max),
    /** How many starts the window that ends with a start at `at` holds. */
    count: (starts: ReadonlyArray<number>, at: number): number =>
      1 + starts.filter((start) => at - start < window).length
  }
}

/** A streak, as the full delay before its next restart in milliseconds; zero where that is its first. */
const streakOf = (options: Backoff) => {
  const base = Duration.toMillis(options.base)
  const cap = Duration.toMillis(options.cap)
  const resetAfter = Duration.toMillis(options.resetAfter)
  return {
    after: (full: number, ended: Ended): number => (Duration.toMillis(ended.uptime) >= resetAfter ? 0 : full),
    next: (full: number): number => Math.min(cap, full === 0 ? base : 2 * full)
  }
}

const jittered = (full: number): Effect.Effect<Duration.Duration> =>
  Effect.map(Random.nextBetween(0.8, 1), (factor) => Duration.millis(full * factor))
