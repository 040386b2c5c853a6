/**
 * Many sessions of one server whose tools ask: eight that can be asked, one that can not, and one that cancels at random.
 * What is asked must reach the session that caused it, and must not be lost.
 */
import { Deferred, Effect, Fiber } from "effect"
import type { PoolOptions } from "../../src/config/PoolOptions.ts"
import * as RuntimeDir from "../../src/RuntimeDir.ts"
import * as TestPool from "../support/TestPool.ts"
import * as AskedClient from "./AskedClient.ts"
import { Dice } from "./Dice.ts"

export interface Report {
  /** Calls of the eight, and their questions that were answered. */
  readonly calls: number
  readonly answered: number
  /** Calls of the one that can not be asked, and of the one that cancels; of the latter, those that it cancelled. */
  readonly others: number
  readonly cancelled: number
  /** Processes that answered the eight. */
  readonly processes: number
  /** Of a call of the eight, in milliseconds. */
  readonly median: number
  readonly slowest: number
  readonly violations: ReadonlyArray<string>
}

/** A pool of `asks.ts`; clients join it under their names. */
export const make = Effect.fnUntraced(function* (sharing: PoolOptions["sharing"]) {
  const { pool, runtimeDir } = yield* TestPool.make(({ marker }) => ({
    asks: {
      command: process.execPath,
      args: [TestPool.fixture("asks.ts"), marker],
      pool: sharing === undefined ? {} : { sharing }
    }
  }))
  const path = RuntimeDir.serverSocket(runtimeDir, "asks")
  const join = (
    name: string,
    options: Partial<Omit<Parameters<typeof AskedClient.connect>[0], "name" | "path">> = {}
  ) => AskedClient.connect({ capabilities: AskedClient.everything, ...options, path, name })
  return { pool, join }
})

/** So many calls of the eight together. */
export const run = Effect.fnUntraced(function* (
  count: number,
  options: { readonly sharing: PoolOptions["sharing"]; readonly seed: number }
) {
  const dice = new Dice(options.seed)
  const { join } = yield* make(options.sharing)
  const eight = yield* Effect.forEach([1, 2, 3, 4, 5, 6, 7, 8], (n) => join(`session-${n}`))
  const mute = yield* join("mute", { capabilities: {} })
  const isFickleAsked = yield* Deferred.make<void>()
  const fickle = yield* join("fickle", {
    // It takes its time, so that calls are cancelled in each of their phases.
    onQuestion: () => Effect.andThen(Deferred.succeed(isFickleAsked, undefined), Effect.sleep(dice.below(20)))
  })
  const lost: Array<string> = []
  const times: Array<number> = []
  const pids = new Set<number>()
  let answered = 0
  let cancelled = 0

  const call = Effect.fnUntraced(function* (client: AskedClient.AskedClient, tool: AskedClient.Tool) {
    const since = performance.now()
    const { error, label, pid, result } = yield* client.call(tool, dice.chance(0.5) ? {} : { wait: 1 + dice.below(5) })
    times.push(performance.now() - since)
    pids.add(pid)
    if (result !== undefined) answered++
    else if (tool !== "plain") lost.push(`"${label}" was not asked: ${error?.message}`)
  })
  // From here on it is known what asks.
  for (const tool of asking) yield* call(eight[0]!, tool)
  answered = 0
  times.length = 0

  const each = Math.ceil(count / eight.length)
  const turns = Array.from({ length: each }, (_, n) => n)
  const speaking = Effect.forEach(
    eight,
    (client) => Effect.forEach(turns, (n) => call(client, asking[n % asking.length]!), { concurrency: 2 }),
    { concurrency: "unbounded" }
  )
  const silent = Effect.forEach(turns, () =>
    Effect.map(mute.call(dice.pick(asking)), ({ label, result }) => {
      if (result !== undefined) lost.push(`"${label}" was answered though nobody can`)
    })
  )
  const cancelledWhenAsked = Effect.raceFirst(fickle.call("form"), Deferred.await(isFickleAsked))
  const changing = Effect.forEach(turns, (n) => {
    if (n === 0) return Effect.map(cancelledWhenAsked, () => void cancelled++)
    const called = fickle.call(dice.pick(asking), { wait: dice.below(20), isDeaf: dice.chance(0.5) })
    if (dice.chance(0.5)) return Effect.asVoid(called)
    return Effect.timeoutOrElse(Effect.asVoid(called), {
      duration: dice.below(dice.pick([5, 50])),
      orElse: () => Effect.sync(() => void cancelled++)
    })
  })
  yield* Effect.all([speaking, silent, changing], { concurrency: "unbounded" })

  times.sort((a, b) => a - b)
  return {
    calls: each * eight.length,
    answered,
    others: 2 * each,
    cancelled,
    processes: pids.size,
    median: times[Math.floor(times.length / 2)]!,
    slowest: times.at(-1)!,
    violations: [...lost, ...[...eight, mute, fickle].flatMap(({ violations }) => violations)]
  } satisfies Report as Report
}, Effect.scoped)

/** A form stays open for so many milliseconds; three other sessions call the same tool all the while, one call after the other. */
export const openForm = Effect.fnUntraced(function* (millis: number) {
  const { join } = yield* make(undefined)
  const others = yield* Effect.forEach(["a", "b", "c"], (name) => join(name))
  yield* others[0]!.call("form")
  const isOpen = yield* Deferred.make<void>()
  const isFilled = yield* Deferred.make<void>()
  const slow = yield* join("slow", {
    onQuestion: () => Effect.andThen(Deferred.succeed(isOpen, undefined), Deferred.await(isFilled))
  })
  const form = yield* Effect.forkChild(slow.call("form"))
  yield* Deferred.await(isOpen)
  const pids = new Set<number>()
  let calls = 0
  let slowest = 0
  const until = performance.now() + millis
  const call = (client: AskedClient.AskedClient) =>
    Effect.gen(function* () {
      do {
        const since = performance.now()
        const { pid, result } = yield* client.call("form")
        slowest = Math.max(slowest, performance.now() - since)
        if (result !== undefined) calls++
        pids.add(pid)
      } while (performance.now() < until)
    })
  yield* Effect.forEach(others, call, { concurrency: "unbounded" })
  const wasOpen = form.pollUnsafe() === undefined
  yield* Deferred.succeed(isFilled, undefined)
  const { pid, result } = yield* Fiber.join(form)
  return { calls, slowest, isAnswered: wasOpen && result !== undefined, isApart: !pids.has(pid) }
}, Effect.scoped)

const asking = ["sample", "form", "url"] as const
