import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Exit, Fiber, Random, Schedule } from "effect"
import { TestClock } from "effect/testing"
import * as RestartPolicy from "../../src/server/RestartPolicy.ts"
import * as Choices from "../lines/Choices.ts"

/** One incarnation: how long it took to be ready, and how long it ran then. */
interface Life {
  readonly starting: number
  readonly uptime: number
}

const budgetOf = (choices: Choices.Choices) => ({
  max: 1 + choices.below(8),
  window: choices.of([60_000, 1000, 10_000, 1 + choices.below(100_000)]),
  base: choices.of([500, 1, 100, 1 + choices.below(5000)]),
  cap: choices.of([30_000, 1000, 1 + choices.below(60_000)]),
  resetAfter: choices.of([300_000, 5000, 1 + choices.below(100_000)])
})

type Budget = ReturnType<typeof budgetOf>

const lifeOf =
  (budget: Budget) =>
  (choices: Choices.Choices): Life => ({
    starting: choices.of([0, 50, choices.below(2000)]),
    uptime: choices.of([
      0,
      0,
      10,
      choices.below(1000),
      choices.below(budget.window),
      budget.resetAfter - 1,
      budget.resetAfter,
      budget.window
    ])
  })

const scenario = Choices.from((choices) => {
  const budget = budgetOf(choices)
  return { budget, seed: choices.below(1000), lives: choices.some(60, lifeOf(budget)) }
})

interface Course {
  readonly starts: ReadonlyArray<number>
  readonly delays: ReadonlyArray<number>
  /** The end at which no more starts were left; null where there was none. */
  readonly gaveUpAt: number | null
}

/** What comes of these lives, without a clock; each start may come late. */
const courseOf = Effect.fnUntraced(function* (
  budget: Budget,
  lives: ReadonlyArray<Life>,
  lags: ReadonlyArray<number> = []
) {
  const step = yield* Schedule.toStep(RestartPolicy.budget(budget))
  const starts = [0]
  const delays: Array<number> = []
  for (const [i, { starting, uptime }] of lives.entries()) {
    const startedAt = starts.at(-1)!
    const now = startedAt + starting + uptime
    const decision = yield* Effect.exit(step(now, { startedAt, uptime: Duration.millis(uptime) }))
    if (Exit.isFailure(decision)) return { starts, delays, gaveUpAt: now }
    const [output, delay] = decision.value
    assert.deepStrictEqual(output, delay)
    delays.push(Duration.toMillis(delay))
    starts.push(now + Duration.toMillis(delay) + (lags[i] ?? 0))
  }
  return { starts, delays, gaveUpAt: null }
})

/** The most starts in any window. */
const mostIn = (window: number, starts: ReadonlyArray<number>): number =>
  Math.max(...starts.map((from) => starts.filter((start) => start >= from && start - from < window).length))

/** The delay of each restart before jitter, as the policy is described. */
const fullDelays = (budget: Budget, lives: ReadonlyArray<Life>): ReadonlyArray<number> => {
  let streak = 0
  return lives.map(({ uptime }) => {
    if (uptime >= budget.resetAfter) streak = 0
    const full = streak === 0 ? 0 : Math.min(budget.cap, budget.base * 2 ** (streak - 1))
    streak++
    return full
  })
}

/** Randomness that always draws the same. */
const drawing = (draw: number) =>
  Effect.provideService(Random.Random, { nextDoubleUnsafe: () => draw, nextIntUnsafe: () => 0 })

const defaults = { max: 5, window: 60_000, base: 500, cap: 30_000, resetAfter: 300_000 }

const crash: Life = { starting: 0, uptime: 0 }

/** A crowd of crashes that no window stops. */
const unlimited = { ...defaults, max: 1000 }

describe("RestartPolicy", () => {
  describe("budget", () => {
    it.effect.prop(
      "allows no more than max starts in any window, the first one included",
      { scenario },
      ({ scenario: { budget, lives, seed } }) =>
        Effect.gen(function* () {
          const { starts } = yield* courseOf(budget, lives).pipe(Random.withSeed(seed))
          assert.isAtMost(mostIn(budget.window, starts), budget.max)
        }),
      { arbitrary: { runs: 1000, size: 150 } }
    )

    it.effect.prop(
      "allows no more than that where starts come late",
      { scenario, lags: Choices.from((choices) => choices.some(60, (c) => c.of([0, 0, 1, c.below(3000)]))) },
      ({ lags, scenario: { budget, lives, seed } }) =>
        Effect.gen(function* () {
          const { starts } = yield* courseOf(budget, lives, lags).pipe(Random.withSeed(seed))
          assert.isAtMost(mostIn(budget.window, starts), budget.max)
        }),
      { arbitrary: { runs: 1000, size: 150 } }
    )

    it.effect.prop(
      "gives up only where one more start would be one too many",
      { scenario },
      ({ scenario: { budget, lives, seed } }) =>
        Effect.gen(function* () {
          const course: Course = yield* courseOf(budget, lives).pipe(Random.withSeed(seed))
          if (course.gaveUpAt === null) return
          // The soonest that the next start could have come.
          const next = course.gaveUpAt + 0.8 * fullDelays(budget, lives)[course.delays.length]!
          assert.isAbove(mostIn(budget.window, [...course.starts, next]), budget.max)
        }),
      { arbitrary: { runs: 1000, size: 150 } }
    )

    it.effect.prop(
      "waits between four fifths and all of a delay that doubles up to the cap, and is gone after a long life",
      { scenario },
      ({ scenario: { budget, lives, seed } }) =>
        Effect.gen(function* () {
          const { delays } = yield* courseOf({ ...budget, max: 1000 }, lives).pipe(Random.withSeed(seed))
          assert.strictEqual(delays.length, lives.length)
          const full = fullDelays(budget, lives)
          for (const [i, delay] of delays.entries()) {
            assert.isAtLeast(delay, 0.8 * full[i]! - rounding)
            assert.isAtMost(delay, full[i]!)
            assert.isAtMost(delay, budget.cap)
          }
        }),
      { arbitrary: { runs: 1000, size: 150 } }
    )

    it.effect.prop(
      "waits no shorter than before within a streak, were it not for jitter",
      { budget: Choices.from(budgetOf), draw: Choices.from((choices) => choices.below(100) / 100) },
      ({ budget, draw }) =>
        Effect.gen(function* () {
          const lives = Array.from({ length: 30 }, () => ({ ...crash, uptime: budget.resetAfter - 1 }))
          const { delays } = yield* courseOf({ ...budget, max: 1000 }, lives).pipe(drawing(draw))
          assert.strictEqual(delays[0], 0)
          for (let i = 1; i < delays.length; i++) assert.isAtLeast(delays[i]!, delays[i - 1]!)
        }),
      { arbitrary: { runs: 200, size: 20 } }
    )

    it.effect("restarts at once, then after base, twice base and so on up to the cap", () =>
      Effect.gen(function* () {
        const lives = Array.from({ length: 10 }, () => crash)
        const { delays } = yield* courseOf(unlimited, lives).pipe(drawing(1 - Number.EPSILON))
        assert.deepStrictEqual(delays.map(Math.round), [0, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000])
      })
    )

    it.effect("restarts at once again after a process that ran for resetAfter", () =>
      Effect.gen(function* () {
        const long: Life = { starting: 0, uptime: defaults.resetAfter }
        const { delays } = yield* courseOf(unlimited, [crash, crash, crash, long, crash]).pipe(drawing(0))
        assert.deepStrictEqual(delays.map(Math.round), [0, 400, 800, 0, 400])
      })
    )

    it.effect("takes a process that never was ready for one that did not run, however long it took", () =>
      Effect.gen(function* () {
        const slow: Life = { starting: 2 * defaults.resetAfter, uptime: 0 }
        const { delays } = yield* courseOf(unlimited, [crash, crash, slow]).pipe(drawing(0))
        assert.deepStrictEqual(delays.map(Math.round), [0, 400, 800])
      })
    )

    it.effect("gives up at the fifth crash within a minute by default", () =>
      Effect.gen(function* () {
        const course = yield* courseOf(
          defaults,
          Array.from({ length: 10 }, () => crash)
        )
        assert.strictEqual(course.starts.length, 5)
        assert.isNotNull(course.gaveUpAt)
      })
    )

    it.effect("is fresh for each who drives it", () =>
      Effect.gen(function* () {
        const policy = RestartPolicy.budget({ ...defaults, max: 2 })
        for (let i = 0; i < 2; i++) {
          const step = yield* Schedule.toStep(policy)
          const ended = { startedAt: 0, uptime: Duration.zero }
          assert.isTrue(Exit.isSuccess(yield* Effect.exit(step(0, ended))))
          assert.isTrue(Exit.isFailure(yield* Effect.exit(step(0, ended))))
        }
      })
    )

    it.effect.prop(
      "holds on a clock as it does without one",
      { scenario },
      ({ scenario: { budget, lives, seed } }) =>
        Effect.gen(function* () {
          const expected = yield* courseOf(budget, lives).pipe(Random.withSeed(seed))
          const starts: Array<number> = []
          const left = [...lives]
          const begin = yield* Clock.currentTimeMillis
          const incarnation = Effect.gen(function* () {
            const startedAt = yield* Clock.currentTimeMillis
            starts.push(startedAt - begin)
            const life = left.shift()
            if (life === undefined) return yield* Effect.never
            yield* Effect.sleep(life.starting + life.uptime)
            return yield* Effect.fail({ startedAt, uptime: Duration.millis(life.uptime) })
          })
          const fiber = yield* incarnation.pipe(
            Effect.retry(RestartPolicy.budget(budget)),
            Effect.exit,
            Random.withSeed(seed),
            Effect.forkChild
          )
          const last = Math.max(expected.starts.at(-1)!, expected.gaveUpAt ?? 0)
          yield* TestClock.adjust(Duration.millis(last + expected.starts.length + 1))
          assert.strictEqual(starts.length, expected.starts.length)
          assert.isAtMost(mostIn(budget.window - 1, starts), budget.max)
          // A clock has whole milliseconds, and each start may lose a part of one.
          for (const [i, start] of starts.entries()) assert.approximately(start, expected.starts[i]!, i + 1)
          if (expected.gaveUpAt === null) yield* Fiber.interrupt(fiber)
          else assert.isTrue(Exit.isFailure(yield* Fiber.join(fiber)))
        }),
      { arbitrary: { runs: 200, size: 100 } }
    )
  })
})

/** Milliseconds that a product of floating-point numbers may miss. */
const rounding = 1e-6
