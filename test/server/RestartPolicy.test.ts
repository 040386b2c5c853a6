import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Exit, Fiber, Pull, Random, Schedule } from "effect"
import { TestClock } from "effect/testing"
import { defaultPool } from "../../src/config/ServerSpec.ts"
import * as RestartPolicy from "../../src/server/RestartPolicy.ts"
import * as Choices from "../lines/Choices.ts"

/** One process, and what comes after it; all in milliseconds. */
interface Life {
  /** How long it took to be ready. */
  readonly starting: number
  readonly uptime: number
  /** How much later than the policy allows the next one is started. */
  readonly lag: number
  /** How long after the policy was done the next one is started all the same. */
  readonly rest: number
}

const limitsOf = (choices: Choices.Choices) => ({
  max: 1 + choices.below(8),
  window: choices.of([60_000, 1000, 10_000, 1 + choices.below(100_000)]),
  base: choices.of([500, 1, 100, 1 + choices.below(5000)]),
  cap: choices.of([30_000, 1000, 1 + choices.below(60_000)]),
  resetAfter: choices.of([300_000, 5000, 1 + choices.below(100_000)])
})

type Limits = ReturnType<typeof limitsOf>

const crash: Life = { starting: 0, uptime: 0, lag: 0, rest: 0 }

const lifeOf =
  (limits: Limits) =>
  (choices: Choices.Choices): Life => ({
    starting: choices.of([0, 50, choices.below(2000)]),
    uptime: choices.of([
      0,
      0,
      10,
      choices.below(1000),
      choices.below(limits.window),
      limits.resetAfter - 1,
      limits.resetAfter,
      limits.window
    ]),
    lag: choices.of([0, 0, 1, choices.below(3000)]),
    rest: choices.of([0, 1, choices.below(limits.window), limits.window - 1, limits.window])
  })

const scenario = Choices.from((choices) => {
  const limits = limitsOf(choices)
  return {
    limits,
    origin: choices.of([0, 1_700_000_000_000]),
    seed: choices.below(1000),
    lives: choices.some(60, lifeOf(limits))
  }
})

interface Answer {
  readonly now: number
  readonly output: number
  /** Null where the policy was done. */
  readonly delay: number | null
}

interface Course {
  /** One more than answers: the first that nobody asked for, then one after each answer. */
  readonly starts: ReadonlyArray<number>
  readonly answers: ReadonlyArray<Answer>
}

/** What a policy makes of these lives, without a clock. It goes on being asked after it was done. */
const courseOf = Effect.fnUntraced(function* (
  policy: Schedule.Schedule<Duration.Duration | number, RestartPolicy.Ended>,
  lives: ReadonlyArray<Life>,
  origin = 0
) {
  const step = yield* Schedule.toStep(policy)
  const starts = [origin]
  const answers: Array<Answer> = []
  for (const { lag, rest, starting, uptime } of lives) {
    const startedAt = starts.at(-1)!
    const now = startedAt + (starting + uptime)
    const { delay, output } = yield* Pull.matchEffect(step(now, { startedAt, uptime: Duration.millis(uptime) }), {
      onSuccess: ([output, delay]) => Effect.succeed({ output, delay: Duration.toMillis(delay) }),
      onDone: (output) => Effect.succeed({ output, delay: null }),
      onFailure: Effect.failCause
    })
    answers.push({ now, output: Duration.toMillis(output), delay })
    starts.push(delay === null ? now + rest : now + delay + lag)
  }
  const course: Course = { starts, answers }
  return course
})

/** What came before the policy was done for the first time. */
const untilDone = ({ answers, starts }: Course): Course => {
  const end = answers.findIndex((answer) => answer.delay === null)
  return end < 0 ? { answers, starts } : { answers: answers.slice(0, end), starts: starts.slice(0, end + 1) }
}

const delaysOf = (course: Course) => course.answers.map((answer) => answer.delay)
const outputsOf = (course: Course) => course.answers.map((answer) => answer.output)

/** How many of these starts the window that ends at `at` holds. */
const heldAt = (at: number, window: number, starts: ReadonlyArray<number>): number =>
  starts.filter((start) => start <= at && at - start < window).length

/** The most starts in any window. */
const mostIn = (window: number, starts: ReadonlyArray<number>): number =>
  Math.max(...starts.map((start) => heldAt(start, window, starts)))

/** The delay before jitter of each restart, as the policies are described. */
const fullDelays = (limits: Limits, lives: ReadonlyArray<Life>, answers: ReadonlyArray<Answer>) => {
  let restarts = 0
  return answers.map(({ delay }, i) => {
    if (lives[i]!.uptime >= limits.resetAfter) restarts = 0
    const full = restarts === 0 ? 0 : Math.min(limits.cap, limits.base * 2 ** (restarts - 1))
    if (delay !== null) restarts++
    return full
  })
}

/** Randomness that always draws the same. */
const drawing = (draw: number) =>
  Effect.provideService(Random.Random, { nextDoubleUnsafe: () => draw, nextIntUnsafe: () => 0 })

const defaults: Limits = { max: 5, window: 60_000, base: 500, cap: 30_000, resetAfter: 300_000 }

/** A crowd of crashes that no window stops. */
const unlimited: Limits = { ...defaults, max: 5000 }

const crashes = (n: number): ReadonlyArray<Life> => Array.from({ length: n }, () => crash)

const thorough = { arbitrary: { runs: 1000, size: 150 } }

const { backoff, budget, lifetime, slidingWindow } = RestartPolicy

describe("RestartPolicy", () => {
  for (const [name, policyOf] of Object.entries({ slidingWindow, budget })) {
    describe(name, () => {
      it.effect.prop(
        "allows no start that would be more than max in any window, whoever asked for the others",
        { scenario },
        ({ scenario: { limits, lives, origin, seed } }) =>
          Effect.gen(function* () {
            const course = yield* courseOf(policyOf(limits), lives, origin).pipe(Random.withSeed(seed))
            for (const [i, { delay }] of course.answers.entries()) {
              if (delay === null) continue
              const start = course.starts[i + 1]!
              assert.isAtMost(heldAt(start, limits.window, course.starts.slice(0, i + 2)), limits.max)
            }
            assert.isAtMost(mostIn(limits.window, untilDone(course).starts), limits.max)
          }),
        thorough
      )

      it.effect.prop(
        "is done only where one more start would be one too many",
        { scenario },
        ({ scenario: { limits, lives, origin, seed } }) =>
          Effect.gen(function* () {
            const { answers, starts } = yield* courseOf(policyOf(limits), lives, origin).pipe(Random.withSeed(seed))
            const full = fullDelays(limits, lives, answers)
            for (const [i, { delay, now }] of answers.entries()) {
              if (delay !== null) continue
              const soonest = name === "budget" ? now + Math.max(0, 0.8 * full[i]! - rounding) : now
              assert.isAbove(1 + heldAt(soonest, limits.window, starts.slice(0, i + 1)), limits.max)
            }
          }),
        thorough
      )

      it.effect("gives up at the fifth crash within a minute, and judges anew when it is asked again", () =>
        Effect.gen(function* () {
          const long: Life = { ...crash, uptime: Duration.toMillis(defaultPool.budget.resetAfter) }
          const lives = [...crashes(6), long, ...crashes(5)]
          const course = yield* courseOf(policyOf(defaultPool.budget), lives).pipe(drawing(0))
          assert.deepStrictEqual(
            delaysOf(course).map((delay) => delay !== null),
            [true, true, true, true, false, false, true, true, true, true, true, false]
          )
        })
      )

      it.effect("is fresh for each who drives it", () =>
        Effect.gen(function* () {
          const policy = policyOf({ ...defaults, max: 2 })
          for (let i = 0; i < 2; i++) assert.deepStrictEqual(delaysOf(yield* courseOf(policy, crashes(2))), [0, null])
        })
      )
    })
  }

  describe("slidingWindow", () => {
    it.effect("restarts at once, and tells how many starts the window holds with the next one", () =>
      Effect.gen(function* () {
        const course = yield* courseOf(slidingWindow(defaults), crashes(5))
        assert.deepStrictEqual(delaysOf(course), [0, 0, 0, 0, null])
        assert.deepStrictEqual(outputsOf(course), [2, 3, 4, 5, 6])
      })
    )
  })

  for (const [name, policyOf] of Object.entries({ backoff, budget })) {
    describe(name, () => {
      it.effect.prop(
        "delays between four fifths and all of a delay that doubles up to the cap, also when asked after it was done",
        { scenario },
        ({ scenario: { limits, lives, origin, seed } }) =>
          Effect.gen(function* () {
            const course = yield* courseOf(policyOf(limits), lives, origin).pipe(Random.withSeed(seed))
            assert.deepStrictEqual(outputsOf(course), fullDelays(limits, lives, course.answers))
            for (const { delay, output } of course.answers) {
              assert.isAtMost(output, limits.cap)
              if (delay === null) continue
              assert.isAtLeast(delay, 0.8 * output - rounding)
              assert.isAtMost(delay, output)
            }
          }),
        thorough
      )

      it.effect.prop(
        "has no full delay that is shorter than the one before in its streak",
        { scenario },
        ({ scenario: { limits, lives, seed } }) =>
          Effect.gen(function* () {
            const course = yield* courseOf(policyOf({ ...limits, max: 100 }), lives).pipe(Random.withSeed(seed))
            const outputs = outputsOf(course)
            for (let i = 1; i < outputs.length; i++)
              if (lives[i]!.uptime < limits.resetAfter) assert.isAtLeast(outputs[i]!, outputs[i - 1]!)
          }),
        thorough
      )

      it.effect.prop(
        "restarts at once after a process that ran for resetAfter, and not after one that ran a millisecond less",
        {
          limits: Choices.from(limitsOf),
          turns: Choices.from((choices) => choices.some(30, (c) => c.of([-1, 0, 1, -2])))
        },
        ({ limits, turns }) =>
          Effect.gen(function* () {
            const lives = turns.map((turn) => ({ ...crash, uptime: Math.max(0, limits.resetAfter + turn) }))
            const course = yield* courseOf(policyOf({ ...limits, max: 100 }), lives)
            for (const [i, output] of outputsOf(course).entries())
              assert.strictEqual(output === 0, i === 0 || turns[i]! >= 0)
          }),
        thorough
      )

      it.effect("restarts at once, then after base, twice base and so on up to the cap", () =>
        Effect.gen(function* () {
          const full = [0, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]
          const slow = yield* courseOf(policyOf(unlimited), crashes(10)).pipe(drawing(1 - Number.EPSILON))
          const fast = yield* courseOf(policyOf(unlimited), crashes(10)).pipe(drawing(0))
          assert.deepStrictEqual([outputsOf(slow), outputsOf(fast)], [full, full])
          assert.deepStrictEqual(
            delaysOf(slow).map((delay) => Math.round(delay!)),
            full
          )
          assert.deepStrictEqual(
            delaysOf(fast),
            full.map((delay) => 0.8 * delay)
          )
        })
      )

      it.effect("takes a process that never was ready for one that did not run, however long it took", () =>
        Effect.gen(function* () {
          const slow: Life = { ...crash, starting: 2 * defaults.resetAfter }
          assert.deepStrictEqual(outputsOf(yield* courseOf(policyOf(unlimited), [crash, crash, slow])), [0, 500, 1000])
        })
      )

      it.effect("has a delay after any number of crashes, also where base is zero", () =>
        Effect.gen(function* () {
          const none = yield* courseOf(policyOf({ ...unlimited, base: 0 }), crashes(1100))
          assert.deepStrictEqual(new Set(delaysOf(none)), new Set([0]))
          const capped = yield* courseOf(policyOf(unlimited), crashes(1100))
          assert.strictEqual(outputsOf(capped).at(-1), unlimited.cap)
        })
      )
    })
  }

  describe("lifetime", () => {
    it.effect.prop(
      "restarts at once so often in all, and never again",
      { scenario, max: Choices.from((choices) => choices.below(20)) },
      ({ max, scenario: { lives, origin } }) =>
        Effect.gen(function* () {
          const course = yield* courseOf(lifetime(max), lives, origin)
          assert.deepStrictEqual(
            delaysOf(course),
            lives.map((_, i) => (i < max ? 0 : null))
          )
        }),
      thorough
    )

    it.effect("bounds another policy", () =>
      Effect.gen(function* () {
        const policy = Schedule.max([budget(unlimited), lifetime(3)])
        const course = yield* courseOf(policy, crashes(5)).pipe(drawing(0))
        assert.deepStrictEqual(delaysOf(course), [0, 400, 800, null, null])
      })
    )
  })

  for (const [name, policyOf] of Object.entries({ backoff, slidingWindow, budget })) {
    describe(name, () => {
      it.effect.prop(
        "does on a clock what it does without one",
        { scenario },
        ({ scenario: { limits, lives, seed } }) =>
          Effect.gen(function* () {
            const policy: Schedule.Schedule<Duration.Duration | number, RestartPolicy.Ended> = policyOf(limits)
            const begin = yield* Clock.currentTimeMillis
            // Effect.retry starts each in time, and ends where the policy is done.
            const prompt = lives.map((life) => ({ ...life, lag: 0 }))
            const all = yield* courseOf(policy, prompt, begin).pipe(Random.withSeed(seed))
            const expected = untilDone(all)
            const starts: Array<number> = []
            const process = Effect.gen(function* () {
              const startedAt = yield* Clock.currentTimeMillis
              const life = prompt[starts.length]
              starts.push(startedAt)
              if (life === undefined) return yield* Effect.never
              yield* Effect.sleep(life.starting + life.uptime)
              return yield* Effect.fail({ startedAt, uptime: Duration.millis(life.uptime) })
            })
            const fiber = yield* process.pipe(
              Effect.retry(policy),
              Effect.exit,
              Random.withSeed(seed),
              Effect.forkChild({ startImmediately: true })
            )
            yield* TestClock.setTime(
              1 + Math.max(expected.starts.at(-1)!, all.answers[expected.answers.length]?.now ?? 0)
            )
            assert.deepStrictEqual(starts, expected.starts)
            if (name !== "backoff") assert.isAtMost(mostIn(limits.window, starts), limits.max)
            if (expected.answers.length === lives.length) yield* Fiber.interrupt(fiber)
            else assert.isTrue(Exit.isFailure(yield* Fiber.join(fiber)))
          }),
        { arbitrary: { runs: 1000, size: 100 } }
      )
    })
  }
})

/** Milliseconds that a product of floating-point numbers may miss. */
const rounding = 1e-6
