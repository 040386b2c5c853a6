/**
 * The pool under load, as the suites see it: its clients, what the server's processes tell of their lives, and what was
 * measured. Waits are for events; each has an end.
 */
import { Data, Effect } from "effect"
import type { McpPool } from "../../src/McpPool.ts"
import * as Memory from "../support/Memory.ts"
import { Dice } from "./Dice.ts"
import { type Observer, SoakClient } from "./SoakClient.ts"
import { SoakLedger } from "./SoakLedger.ts"

export interface Latency {
  readonly count: number
  readonly median: number
  readonly p99: number
  readonly max: number
}

/** What was waited for did not come. */
export class Stuck extends Data.TaggedError("Stuck")<{ readonly waitedFor: string }> {}

interface Incarnation {
  readonly pid: number
  readonly order: number
  /** Crashes before it. */
  readonly crashes: number
  /** The crash that it comes after; null where it comes after none. */
  readonly after: Crash | null
  /** How long it took itself to be ready, in milliseconds. */
  start: number
  hasAnswered: boolean
}

interface Crash {
  /** In milliseconds of this process. */
  readonly at: number
  readonly kind: string
}

/** The pool, its clients and what the server's processes tell of their lives. */
export class SoakWorld implements Observer {
  readonly ledger = new SoakLedger()
  readonly isCalm: boolean
  readonly pool: McpPool["Service"]
  readonly clients: ReadonlyArray<SoakClient>
  /** Makes calls that end the server. */
  readonly driver: SoakClient
  /** All there from the start, so that they do not grow. */
  readonly latencies = new Map(
    ["kill", "start", "exit", "stdout", "new", "old"]
      .flatMap((kind) => [firstAnswerAfter(kind), unknownAfter(kind)])
      .map((what) => [what, new Samples()])
  )
  /** Processes that have begun, and those that were ready. */
  begun = 0
  ready = 0
  crashCount = 0
  weight: number | null = null
  readonly #live = new Map<number, Incarnation>()
  readonly #crashed = new Set<number>()
  readonly #watchers = new Set<() => void>()
  #newest: Incarnation | null = null
  /** The process that answers, and how often since it was asked about. */
  #serving: Incarnation | null = null
  #served = 0
  #overcome = 0
  #lastCrash: Crash | null = null

  constructor(options: {
    readonly pool: McpPool["Service"]
    readonly socket: string
    readonly seed: number
    readonly isCalm: boolean
  }) {
    this.pool = options.pool
    this.isCalm = options.isCalm
    const client = (number: number, depth: number) =>
      new SoakClient({ path: options.socket, world: this, dice: new Dice(options.seed + number), depth })
    this.clients = Array.from({ length: clientCount }, (_, number) => client(number + 1, 2 + (number % 6)))
    this.driver = client(clientCount + 1, 0)
  }

  // --- what clients need ---

  crashes(): number {
    return this.crashCount
  }

  overcome(): number {
    return this.#overcome
  }

  onAnswer({ isUnknown, pid }: { readonly pid: number | null; readonly isUnknown: boolean }): void {
    if (isUnknown && this.#lastCrash !== null) {
      this.#sample(unknownAfter(this.#lastCrash.kind), performance.now() - this.#lastCrash.at)
    }
    const incarnation = pid === null ? undefined : this.#live.get(pid)
    if (incarnation !== undefined && !this.#crashed.has(incarnation.pid)) this.#answeredBy(incarnation)
    this.#moved()
  }

  // --- what the server's processes tell ---

  heard(words: ReadonlyArray<string>): void {
    const pid = Number(words.at(-1))
    if (words[0] === "begun") {
      const crashes = this.crashCount
      const after = crashes > this.#overcome ? this.#lastCrash : null
      this.#newest = { pid, order: this.begun++, crashes, after, start: 0, hasAnswered: false }
      this.#live.set(pid, this.#newest)
    } else if (words[0] === "ready") {
      this.ready++
      const incarnation = this.#live.get(pid)
      if (incarnation !== undefined) {
        incarnation.start = Number(words[1])
        this.#overcome = incarnation.crashes
      }
    } else this.#crashes(pid, words[1] === "stdout" ? "stdout" : "exit")
    this.#moved()
  }

  gone(pid: number): void {
    this.#live.delete(pid)
    this.#crashed.delete(pid)
    this.#moved()
  }

  get live(): number {
    return this.#live.size
  }

  // --- what happens to them ---

  kill(pid: number, kind: string): void {
    if (!this.#live.has(pid)) return
    this.#crashes(pid, kind)
    try {
      process.kill(pid, "SIGKILL")
    } catch {
      // It is gone already.
    }
  }

  /** Waits for so many answers of a process that is not about to end, and says which it was last. */
  served(count: number): Effect.Effect<number, Stuck> {
    this.#served = 0
    this.#serving = null
    return Effect.map(
      this.until("answers", () => this.#serving !== null && this.#served > count),
      () => this.#serving!.pid
    )
  }

  /** Whether requests go to this process: one that was replaced may still answer. */
  isCurrent(pid: number): Effect.Effect<boolean> {
    return Effect.map(this.pool.status, ([status]) => status?.state === "running" && status.pid === pid)
  }

  /** Waits for the next process to come so far. */
  next(phase: "begun" | "ready"): Effect.Effect<number, Stuck> {
    const before = this[phase]
    return Effect.map(
      this.until(`the next process to be ${phase}`, () => this[phase] > before),
      () => this.#newest!.pid
    )
  }

  /** Returns once a condition holds, which is looked at whenever something has come. */
  until(waitedFor: string, condition: () => boolean): Effect.Effect<void, Stuck> {
    const met = Effect.callback<void>((resume) => {
      const look = () => {
        if (!condition()) return
        this.#watchers.delete(look)
        resume(Effect.void)
      }
      this.#watchers.add(look)
      look()
      return Effect.sync(() => this.#watchers.delete(look))
    })
    return this.within(waitedFor, met)
  }

  within<A, E>(waitedFor: string, effect: Effect.Effect<A, E>): Effect.Effect<A, E | Stuck> {
    return Effect.timeoutOrElse(effect, { duration: patience, orElse: () => Effect.fail(new Stuck({ waitedFor })) })
  }

  /** Lets all clients have their answers and send nothing. */
  readonly quiet: Effect.Effect<void, Stuck> = Effect.suspend(() => {
    const all = [...this.clients, this.driver]
    for (const client of all) client.pause()
    const idle = this.until("all answers", () => all.every((client) => client.isIdle))
    const pings = Effect.sync(() => {
      for (const client of all) client.ping()
    })
    // What would come a second time comes before the last answer to a ping.
    return idle.pipe(Effect.andThen(pings), Effect.andThen(idle))
  })

  readonly weighOnce: Effect.Effect<void, Stuck> = Effect.suspend(() =>
    this.weight === null ? this.weigh : Effect.void
  )

  /** Weighs the live memory while nothing is in flight. */
  readonly weigh: Effect.Effect<void, Stuck> = Effect.gen({ self: this }, function* () {
    yield* this.quiet
    yield* this.until("replaced processes to end", () => this.live === 1)
    this.weight = yield* Memory.live
    for (const client of this.clients) client.resume()
  })

  #crashes(pid: number, kind: string): void {
    if (this.#crashed.has(pid)) return
    this.#crashed.add(pid)
    this.crashCount++
    this.#lastCrash = { at: performance.now(), kind }
  }

  #answeredBy(incarnation: Incarnation): void {
    if (!incarnation.hasAnswered) {
      incarnation.hasAnswered = true
      const { after, start } = incarnation
      if (after !== null) this.#sample(firstAnswerAfter(after.kind), performance.now() - after.at - start)
    }
    if (this.#serving === null || incarnation.order >= this.#serving.order) this.#serving = incarnation
    this.#served++
  }

  #sample(what: string, millis: number): void {
    this.latencies.get(what)?.add(millis)
  }

  #moved(): void {
    for (const look of this.#watchers) look()
  }
}

/** Durations, counted in steps of a tenth of a millisecond. */
class Samples {
  readonly #counts = new Uint32Array(longestSample * 10)
  #count = 0
  #max = 0

  add(millis: number): void {
    const step = Math.max(0, Math.min(this.#counts.length - 1, Math.floor(millis * 10)))
    this.#counts[step]!++
    this.#count++
    this.#max = Math.max(this.#max, millis)
  }

  summary(): Latency {
    return { count: this.#count, median: this.#quantile(0.5), p99: this.#quantile(0.99), max: this.#max }
  }

  #quantile(share: number): number {
    let seen = 0
    return this.#counts.findIndex((count) => (seen += count) >= share * this.#count) / 10
  }
}

const clientCount = 16
const patience = "20 seconds"
/** Milliseconds. */
const longestSample = 5000
const firstAnswerAfter = (kind: string) => `first answer after ${kind}, less the start`
const unknownAfter = (kind: string) => `OutcomeUnknown after ${kind}`
