/**
 * A real pool behind its real socket, under load from 16 clients, while its server crashes at random moments or is
 * restarted without a gap. Moments are counted in answers and in events of the server's life. The suite says what was not
 * as it must be, and what it measured.
 */
import { Context, Data, Effect, Exit, Fiber, Layer, Logger, Scope } from "effect"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import type { ServerOptions } from "../../src/config/ServerSpec.ts"
import * as UnixListener from "../../src/listen/UnixListener.ts"
import * as McpPool from "../../src/McpPool.ts"
import * as RuntimeDir from "../../src/RuntimeDir.ts"
import * as Memory from "../support/Memory.ts"
import * as Processes from "../support/Processes.ts"
import { Dice } from "./Dice.ts"
import { SoakClient, type SoakWorld } from "./SoakClient.ts"
import { type Outcome, SoakLedger } from "./SoakLedger.ts"

export interface Report {
  /** None, or something is wrong. */
  readonly violations: ReadonlyArray<string>
  readonly crashes: number
  readonly processes: number
  readonly requests: number
  readonly outcomes: { readonly [outcome in Outcome]: number }
  /** Requests that were run by two processes. */
  readonly runTwice: number
  /** Milliseconds, by what is measured. */
  readonly latencies: ReadonlyMap<string, Latency>
  /** Live bytes with all clients idle: after a tenth of the crashes, and in the end. */
  readonly memory: { readonly warm: number; readonly end: number }
  /** Milliseconds. */
  readonly took: number
}

export interface Latency {
  readonly count: number
  readonly median: number
  readonly p99: number
  readonly max: number
}

export interface Options {
  readonly seed: number
  readonly onProgress?: (done: number) => void
}

/** So many crashes, each at a random moment. */
export const crashes = (count: number, options: Options): Effect.Effect<Report> =>
  run(options, { isCalm: false }, (world, dice) =>
    Effect.gen(function* () {
      const warmUp = Math.ceil(count / 10)
      while (world.crashCount < count) {
        if (world.crashCount >= warmUp) yield* world.weighOnce
        yield* crash(world, dice)
        options.onProgress?.(world.crashCount)
      }
    })
  )

/** So many restarts without a gap: nothing may fail. */
export const restarts = (count: number, options: Options): Effect.Effect<Report> =>
  run(options, { isCalm: true }, (world, dice) =>
    Effect.gen(function* () {
      const warmUp = Math.ceil(count / 10)
      const restart = world.pool
        .restart(server)
        .pipe(Effect.catch((error) => Effect.sync(() => world.ledger.violate(error.message))))
      let done = 0
      while (done < count) {
        if (done >= warmUp) yield* world.weighOnce
        yield* world.served(dice.below(longest))
        const atOnce = dice.chance(0.2) ? Math.min(2, count - done) : 1
        yield* world.within("a restart", Effect.replicateEffect(restart, atOnce, { concurrency: "unbounded" }))
        done += atOnce
        options.onProgress?.(done)
      }
      yield* world.served(longest)
      if (world.begun !== count + 1) world.ledger.violate(`${count} restarts made ${world.begun} processes`)
    })
  )

/** One crash, or several in a row. */
const crash = Effect.fnUntraced(function* (world: World, dice: Dice) {
  const pid = yield* world.served(dice.below(longest))
  const kind = dice.pick(kinds)
  if (kind === "exit" || kind === "answer" || kind === "half" || kind === "stdout") {
    const before = world.crashCount
    world.driver.crash(kind)
    yield* world.until(`a crash by ${kind}`, () => world.crashCount > before || world.driver.isIdle)
    if (kind === "stdout" && world.crashCount > before && dice.chance(0.3)) world.kill(pid, kind)
  } else if (kind === "kill" || !(yield* world.isCurrent(pid))) world.kill(pid, "kill")
  else {
    // A restart without a gap meets a crash: of the process that is to take over, or of the one before.
    const restart = yield* Effect.forkChild(Effect.ignore(world.pool.restart(server)), { startImmediately: true })
    const next = yield* world.next(dice.pick(phases))
    world.kill(kind === "old" ? pid : next, kind)
    yield* world.within("a restart that met a crash", Fiber.join(restart))
    return
  }
  // Again, while it starts.
  while (dice.chance(0.25)) world.kill(yield* world.next(dice.pick(phases)), "start")
})

const kinds = [
  ...Array.from({ length: 8 }, () => "kill" as const),
  "exit",
  "exit",
  "answer",
  "half",
  "stdout",
  "stdout",
  "new",
  "old"
] as const
const phases = ["begun", "ready"] as const

class Stuck extends Data.TaggedError("Stuck")<{ readonly waitedFor: string }> {}

interface Incarnation {
  readonly pid: number
  readonly order: number
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
class World implements SoakWorld {
  readonly ledger = new SoakLedger()
  readonly isCalm: boolean
  readonly pool: McpPool.McpPool["Service"]
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
  #crashesSinceReady = 0
  #lastCrash: Crash | null = null

  constructor(options: {
    readonly pool: McpPool.McpPool["Service"]
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
    return this.crashCount - this.#crashesSinceReady
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
      const after = this.#crashesSinceReady > 0 ? this.#lastCrash : null
      this.#newest = { pid, order: this.begun++, after, start: 0, hasAnswered: false }
      this.#live.set(pid, this.#newest)
    } else if (words[0] === "ready") {
      this.ready++
      this.#crashesSinceReady = 0
      const incarnation = this.#live.get(pid)
      if (incarnation !== undefined) incarnation.start = Number(words[1])
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
    this.#crashesSinceReady++
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

/** Sets all up, lets the load begin, and holds what is left in the end against what was there before. */
const run = (
  options: Options,
  { isCalm }: { readonly isCalm: boolean },
  drive: (world: World, dice: Dice) => Effect.Effect<void, Stuck>
): Effect.Effect<Report> =>
  Effect.gen(function* () {
    const began = performance.now()
    const directory = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "soak-"))
    const ledgerFile = path.join(directory, "ledger")
    const marker = `soak-${randomUUID()}`
    const before = ownResources()
    const bugs: Array<string> = []
    const scope = yield* Scope.make()
    const world = yield* Effect.gen(function* () {
      const socket = path.join(directory, "life.sock")
      const ref: { world: World | null } = { world: null }
      yield* hear(socket, ref)
      const layer = UnixListener.layer({ runtimeDir: directory }).pipe(
        Layer.provideMerge(
          McpPool.layer({ servers: { [server]: spec(marker, socket, ledgerFile) }, directory, autoStart: false })
        )
      )
      const context = yield* Layer.build(layer).pipe(Effect.orDie, Effect.provide(Logger.layer([keepErrors(bugs)])))
      const pool = Context.get(context, McpPool.McpPool)
      const world = new World({ pool, socket: RuntimeDir.serverSocket(directory, server), seed: options.seed, isCalm })
      ref.world = world
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          for (const client of [...world.clients, world.driver]) client.close()
        })
      )
      yield* pool.startAll
      return world
    }).pipe(Scope.provide(scope))
    const { ledger, pool } = world

    yield* drive(world, new Dice(options.seed)).pipe(
      Effect.andThen(world.quiet),
      Effect.andThen(world.until("replaced processes to end", () => world.live === 1)),
      Effect.catchTag("Stuck", ({ waitedFor }) => {
        const open = world.clients.reduce((open, client) => open + client.open, 0)
        return Effect.sync(() => ledger.violate(`waited in vain for ${waitedFor}, with ${open} requests in flight`))
      })
    )
    const end = yield* Memory.live
    const [status] = yield* pool.status
    if (status?.state !== "running") ledger.violate(`in the end it is ${status?.state}`)
    if (status?.processes.length !== 1) ledger.violate(`in the end there are ${status?.processes.length} processes`)
    if (status?.inFlight !== 0) ledger.violate(`in the end ${status?.inFlight} requests count as in flight`)
    for (const { client, inFlight } of yield* pool.sessions) {
      if (inFlight !== 0) ledger.violate(`in the end a session of ${client} counts ${inFlight} requests in flight`)
    }
    yield* Scope.close(scope, Exit.void)

    for (const pid of yield* Processes.killAll(marker)) ledger.violate(`process ${pid} is left`)
    const after = ownResources()
    for (const what of after) if (!before.delete(what)) ledger.violate(`a descriptor or child is left: ${what}`)
    for (const bug of bugs) ledger.violate(`an error in the log: ${bug}`)
    const runTwice = ledger.check(ledgerFile, isCalm)
    fs.rmSync(ledgerFile)
    for (const file of filesIn(directory)) ledger.violate(`a file is left: ${file}`)
    fs.rmSync(directory, { recursive: true, force: true })
    return {
      violations: ledger.violations,
      crashes: world.crashCount,
      processes: world.begun,
      requests: ledger.asked,
      outcomes: ledger.counts(),
      runTwice,
      latencies: new Map(
        [...world.latencies]
          .map(([what, samples]) => [what, samples.summary()] as const)
          .filter(([, { count }]) => count > 0)
      ),
      memory: { warm: world.weight ?? end, end },
      took: performance.now() - began
    }
  })

const spec = (marker: string, socket: string, ledgerFile: string): ServerOptions => ({
  command: process.execPath,
  args: [path.join(import.meta.dirname, "../fixtures/soak.ts"), marker, socket, ledgerFile],
  pool: {
    // As many crashes as there are, and no waiting.
    budget: { max: 100_000, window: 1, base: 0, cap: 0 },
    sessionFile: { content: { soak: true } }
  }
})

/** Listens to the server's processes until the scope closes. */
const hear = (socket: string, ref: { readonly world: World | null }) =>
  Effect.acquireRelease(
    Effect.callback<net.Server>((resume) => {
      const listener = net.createServer((connection) => {
        let pid = 0
        let rest = ""
        connection.setEncoding("utf8")
        connection.on("data", (text: string) => {
          const lines = (rest + text).split("\n")
          rest = lines.pop()!
          for (const line of lines) {
            const words = line.split(" ")
            pid = Number(words.at(-1))
            ref.world?.heard(words)
          }
        })
        connection.on("error", () => {})
        connection.on("close", () => ref.world?.gone(pid))
      })
      listener.listen(socket, () => resume(Effect.succeed(listener)))
    }),
    (listener) =>
      Effect.callback<void>((resume) => {
        listener.close(() => resume(Effect.void))
      })
  )

/** Sockets, pipes and children of this process; nothing where the system does not tell. */
const ownResources = (): Set<string> => {
  if (process.platform !== "linux") return new Set()
  const descriptors = fs.readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const target = fs.readlinkSync(`/proc/self/fd/${fd}`)
      return /^(socket|pipe):|soak-/.test(target) ? [target] : []
    } catch {
      // The one that read the directory.
      return []
    }
  })
  const children = fs
    .readFileSync(`/proc/self/task/${process.pid}/children`, "utf8")
    .split(" ")
    .filter((pid) => pid !== "")
  return new Set([...descriptors, ...children.map((pid) => `child ${pid}`)])
}

const filesIn = (directory: string): ReadonlyArray<string> =>
  fs
    .readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => !entry.isDirectory())
    .map(({ name }) => name)

const keepErrors = (bugs: Array<string>) =>
  Logger.make((entry) => {
    const { level, message } = Logger.formatStructured.log(entry)
    if ((level === "ERROR" || level === "FATAL") && bugs.length < maxBugs) bugs.push(String(message))
  })

const server = "shared"
const clientCount = 16
/** Answers between crashes, at most. */
const longest = 300
const patience = "20 seconds"
/** Milliseconds. */
const longestSample = 5000
const firstAnswerAfter = (kind: string) => `first answer after ${kind}, less the start`
const unknownAfter = (kind: string) => `OutcomeUnknown after ${kind}`
const maxBugs = 10
