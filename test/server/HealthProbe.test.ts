import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Exit, Fiber, Option, Stream } from "effect"
import { TestClock } from "effect/testing"
import type { PoolOptions } from "../../src/config/PoolOptions.ts"
import * as HealthProbe from "../../src/server/HealthProbe.ts"
import * as Choices from "../lines/Choices.ts"
import * as LineClient from "../support/LineClient.ts"
import * as TestPool from "../support/TestPool.ts"
import * as Tools from "../support/Tools.ts"
import { pidOf, scripted } from "./Supervision.ts"

/** What a process does from one look to the next. */
type Round =
  /** A client waits for it. */
  | "busy"
  | "answers"
  /** It ignores pings. */
  | "lists"
  /** It says nothing, and works. */
  | "works"
  | "says"
  /** It says nothing, and a call comes before the look is over. */
  | "called"
  | "dead"

const interval = 10_000
const timeout = 1000

/** What `watch` does with a process whose rounds are these, and that is busy ever after. */
const watched = Effect.fnUntraced(function* (rounds: ReadonlyArray<Round>, misses = 3) {
  const clock = yield* Clock.Clock
  const asked: Array<{ readonly round: number; readonly method: string }> = []
  let round = -1
  let last = 0
  let used = 0
  let said = 0
  let isCalled = false
  const now = (): Round => rounds[round] ?? "busy"
  /** Between two rounds passes an interval, within one less. */
  const look = () => {
    const at = clock.currentTimeMillisUnsafe()
    if (at - last >= interval) {
      round++
      isCalled = false
      if (now() === "works") used += 10
      if (now() === "says") said++
    }
    last = at
  }
  const fiber = yield* Effect.forkChild(
    HealthProbe.watch({
      server: "one",
      pid: 7,
      probe: { interval: Duration.millis(interval), timeout: Duration.millis(timeout), misses },
      isIdle: () => {
        look()
        return now() !== "busy" && !isCalled
      },
      ask: (method) =>
        Effect.suspend(() => {
          assert.notStrictEqual(now(), "busy")
          asked.push({ round, method })
          if (now() === "called") isCalled = true
          return now() === "answers" || (now() === "lists" && method === "tools/list") ? Effect.void : Effect.never
        }),
      heard: () => said,
      cpu: Effect.sync(() => {
        look()
        return used
      }),
      uptime: Clock.currentTimeMillis
    }),
    { startImmediately: true }
  )
  yield* TestClock.adjust((rounds.length + 1) * (interval + 2 * timeout))
  const exit = fiber.pollUnsafe()
  yield* Fiber.interrupt(fiber)
  const error = exit === undefined ? null : Option.getOrNull(Exit.findErrorOption(exit))
  return { asked, error, failedIn: error === null ? null : round }
})

const methodsOf = ({ asked }: { readonly asked: ReadonlyArray<{ readonly method: string }> }) =>
  asked.map(({ method }) => method).join(" ")

const anyRound: ReadonlyArray<Round> = ["dead", "busy", "answers", "lists", "works", "says", "called"]

describe("HealthProbe", () => {
  it.effect("never asks while clients wait", () =>
    Effect.gen(function* () {
      const { asked, error } = yield* watched(["busy", "busy", "busy", "busy"])
      assert.deepStrictEqual(asked, [])
      assert.isNull(error)
    })
  )

  it.effect("asks for a ping each time, as long as one is answered", () =>
    Effect.gen(function* () {
      const it = yield* watched(["answers", "answers", "answers"])
      assert.strictEqual(methodsOf(it), "ping ping ping")
      assert.isNull(it.error)
    })
  )

  it.effect("asks for the tools where a ping is ignored, and sends no other ping from then on", () =>
    Effect.gen(function* () {
      const it = yield* watched(["answers", "lists", "lists", "busy", "answers", "dead", "lists"])
      assert.strictEqual(methodsOf(it), "ping ping tools/list tools/list tools/list tools/list tools/list")
      assert.isNull(it.error)
    })
  )

  it.effect("goes on sending pings where nothing is answered", () =>
    Effect.gen(function* () {
      const it = yield* watched(["works", "works", "answers"])
      assert.strictEqual(methodsOf(it), "ping tools/list ping tools/list ping")
    })
  )

  it.effect("fails when three in a row had no answer, and says so", () =>
    Effect.gen(function* () {
      const it = yield* watched(["answers", "dead", "dead", "dead", "answers"])
      assert.strictEqual(it.failedIn, 3)
      assert.strictEqual(methodsOf(it), "ping ping tools/list ping tools/list ping tools/list")
      const { error } = it
      assert.strictEqual(error?._tag, "ProbeFailed")
      assert.strictEqual(error?.server, "one")
      assert.strictEqual(error?.pid, 7)
      assert.strictEqual(error?.misses, 3)
      assert.strictEqual(error?.uptime, 4 * interval + 6 * timeout)
    })
  )

  for (const sign of ["answers", "lists", "works", "says", "busy"] as const) {
    it.effect(`does not count what was before a process ${sign === "busy" ? "was busy" : sign}`, () =>
      Effect.gen(function* () {
        assert.isNull((yield* watched(["dead", "dead", sign, "dead", "dead"])).error)
        assert.strictEqual((yield* watched(["dead", "dead", sign, "dead", "dead", "dead"])).failedIn, 5)
      })
    )
  }

  it.effect("does not count an unanswered probe during which a call came", () =>
    Effect.gen(function* () {
      const { asked, error } = yield* watched(["dead", "dead", "called", "answers", "called", "called", "called"])
      assert.isNull(error)
      // Whoever is busy is not asked for more.
      assert.deepStrictEqual(
        asked.filter(({ round }) => round === 2),
        [{ round: 2, method: "ping" }]
      )
    })
  )

  it.effect("waits for the interval between probes and for the timeout for each answer, as given", () =>
    Effect.gen(function* () {
      const times: Array<number> = []
      const fiber = yield* Effect.forkChild(
        HealthProbe.watch({
          server: "one",
          pid: 7,
          probe: { interval: Duration.millis(30), timeout: Duration.seconds(7), misses: 2 },
          isIdle: () => true,
          ask: () =>
            Effect.andThen(
              Effect.map(Clock.currentTimeMillis, (now) => void times.push(now)),
              Effect.never
            ),
          heard: () => 0,
          cpu: Effect.succeed(0),
          uptime: Clock.currentTimeMillis
        })
      )
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(times, [30, 7030, 14_060, 21_060])
      assert.strictEqual((yield* Effect.flip(Fiber.join(fiber))).uptime, 28_060)
    })
  )

  it.effect("takes an answer that comes just in time", () =>
    Effect.gen(function* () {
      const asked: Array<string> = []
      const fiber = yield* Effect.forkChild(
        HealthProbe.watch({
          server: "one",
          pid: 7,
          probe: { interval: Duration.seconds(1), timeout: Duration.seconds(1), misses: 1 },
          isIdle: () => true,
          ask: (method) =>
            Effect.andThen(
              Effect.sync(() => void asked.push(method)),
              Effect.sleep("999 millis")
            ),
          heard: () => 0,
          cpu: Effect.succeed(0),
          uptime: Clock.currentTimeMillis
        })
      )
      yield* TestClock.adjust("10 seconds")
      assert.isUndefined(fiber.pollUnsafe())
      assert.deepStrictEqual(asked, ["ping", "ping", "ping", "ping", "ping"])
    })
  )

  it.effect.prop(
    "fails at the last of so many misses in a row, and never else",
    {
      world: Choices.from((choices) => ({
        rounds: choices.some(30, (choices) => (choices.chance(50) ? "dead" : choices.of(anyRound))),
        misses: 1 + choices.below(4)
      }))
    },
    ({ world: { misses, rounds } }) =>
      Effect.gen(function* () {
        const { asked, failedIn } = yield* watched(rounds, misses)
        let inARow = 0
        let end: number | null = null
        for (const [i, round] of rounds.entries()) {
          // One that was called meanwhile counts neither way.
          inARow = round === "dead" ? inARow + 1 : round === "called" ? inARow : 0
          if (inARow === misses) {
            end = i
            break
          }
        }
        assert.strictEqual(failedIn, end)
        let ignoresPings = false
        for (const [i, round] of rounds.slice(0, (end ?? rounds.length) + 1).entries()) {
          const methods = asked.flatMap(({ method, round }) => (round === i ? [method] : []))
          const first = ignoresPings ? "tools/list" : "ping"
          if (round === "busy") assert.deepStrictEqual(methods, [])
          else if (round === "answers" || round === "called") assert.deepStrictEqual(methods, [first])
          else assert.deepStrictEqual(methods, ignoresPings ? ["tools/list"] : ["ping", "tools/list"])
          if (round === "lists") ignoresPings = true
        }
      }),
    { arbitrary: { runs: 300, size: 100 } }
  )
})

/** The server `one` as `probed.ts`. */
const probed = (manner: string, pool: PoolOptions) =>
  TestPool.make(({ marker }) => ({
    one: { command: process.execPath, args: [TestPool.fixture("probed.ts"), `${marker}-one`, manner, "ping"], pool }
  }))

/** What it was asked, until it was asked for `method` so often. */
const askedUntil = ({ pool }: TestPool.TestPool, method: string, times: number) => {
  let left = times
  return pool.logs("one", { follow: true }).pipe(
    Stream.filter(({ source }) => source === "stderr"),
    Stream.map(({ text }) => text.replace("asked ", "")),
    Stream.takeUntil((asked) => asked === method && --left === 0),
    Stream.runCollect,
    Effect.orDie
  )
}

describe("a probed server", () => {
  const hasty = { interval: "50 millis", timeout: "50 millis", misses: 3 } as const
  const stop = { stdin: 0, term: 0 }

  it.live("is restarted when it reads no more", () =>
    Effect.gen(function* () {
      const { connect, pool, states } = yield* TestPool.make(({ server }) => ({
        one: server("one", { probe: hasty, stop })
      }))
      const client = yield* connect("one")
      const before = yield* pidOf(client)
      yield* client.call("deafen")
      const { failure } = yield* states.reached("one", "restarting")
      assert.deepInclude(failure, {
        kind: "ProbeFailed",
        phase: "running",
        classification: "timeout",
        pid: before,
        exitCode: null,
        signal: null,
        inFlight: 0,
        message: 'server "one" did not answer 3 health probes in a row'
      })
      assert.isAbove(failure?.uptime ?? 0, 0)
      yield* states.reached("one", "running", 2)
      assert.notStrictEqual(yield* pidOf(client), before)
      assert.deepInclude((yield* pool.status)[0]?.failures[0], { kind: "ProbeFailed" })
    })
  )

  it.live("is restarted when it stands still", () =>
    Effect.gen(function* () {
      const { connect, states } = yield* TestPool.make(({ server }) => ({ one: server("one", { probe: hasty, stop }) }))
      const client = yield* connect("one")
      process.kill(yield* pidOf(client), "SIGSTOP")
      const { failure } = yield* states.reached("one", "restarting")
      assert.strictEqual(failure?.kind, "ProbeFailed")
      yield* Tools.serves(client)
    })
  )

  it.live("is said to have run since it was ready, not since it was started", () =>
    Effect.gen(function* () {
      // It takes at least a fifth of a second to answer initialize.
      const { pool, states } = yield* scripted([{ start: "slow" }], { probe: hasty, stop })
      yield* pool.start("one")
      const ready = yield* states.reached("one", "running")
      process.kill(ready.pid ?? 0, "SIGSTOP")
      const { failure } = yield* states.reached("one", "restarting")
      assert.strictEqual(failure?.kind, "ProbeFailed")
      const since = Date.parse(failure?.at ?? "") - Date.parse(ready.at)
      assert.isAtMost(failure?.uptime ?? Infinity, since + 5)
    })
  )

  it.effect("is left alone while it is busy with one call for long", () =>
    Effect.gen(function* () {
      const it = yield* probed("ignores", { probe: { interval: "1 minute", timeout: "1 second", misses: 1 } })
      const client = yield* it.connect("one")
      yield* Tools.startSleeping(client, "long", 100)
      yield* TestClock.adjust("1 hour")
      yield* client.call("wake", { label: "long" })
      assert.strictEqual(LineClient.textOf(yield* client.answer(100)), "woken")
      assert.deepStrictEqual(
        it.states.steps("one").map(({ to }) => to),
        ["starting", "running"]
      )
      assert.notInclude(yield* askedUntil(it, "tools/call", 2), "ping")
    })
  )

  it.live("is left alone where it ignores pings and answers for its tools, and gets no second ping", () =>
    Effect.gen(function* () {
      const it = yield* probed("ignores", { probe: { interval: "20 millis", timeout: "1 second", misses: 1 } })
      // Its tools are listed once anyway.
      const asked = yield* askedUntil(it, "tools/list", 6)
      assert.lengthOf(
        asked.filter((method) => method === "ping"),
        1
      )
      assert.deepStrictEqual(asked.slice(-4), ["tools/list", "tools/list", "tools/list", "tools/list"])
      assert.lengthOf(it.states.steps("one"), 2)
    })
  )

  it.live("lives where it answers pings with an error", () =>
    Effect.gen(function* () {
      const it = yield* probed("refuses", { probe: { interval: "20 millis", timeout: "1 second", misses: 1 } })
      const asked = yield* askedUntil(it, "ping", 4)
      assert.deepStrictEqual(asked.slice(-3), ["ping", "ping", "ping"])
      assert.lengthOf(it.states.steps("one"), 2)
    })
  )
})
