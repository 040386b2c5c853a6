/**
 * A real pool behind its real socket, under load from 16 clients, while its server crashes at random moments or is
 * restarted without a gap. Moments are counted in answers and in events of the server's life. The suite says what was not
 * as it must be, and what it measured.
 */
import { Context, Effect, Exit, Fiber, Layer, Logger, Scope } from "effect"
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
import type { Outcome } from "./SoakLedger.ts"
import { type Latency, SoakWorld, type Stuck } from "./SoakWorld.ts"

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
  readonly took: number
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
      let rounds = 0
      while (done < count) {
        if (done >= warmUp) yield* world.weighOnce
        yield* world.served(dice.below(longest))
        const atOnce = dice.chance(0.2) ? Math.min(2, count - done) : 1
        yield* world.within("a restart", Effect.replicateEffect(restart, atOnce, { concurrency: "unbounded" }))
        done += atOnce
        rounds++
        options.onProgress?.(done)
      }
      yield* world.served(longest)
      // Who asks while another process is on its way gets that one.
      if (world.begun !== rounds + 1) world.ledger.violate(`${rounds} restarts made ${world.begun} processes`)
    })
  )

/** One crash, or several in a row. */
const crash = Effect.fnUntraced(function* (world: SoakWorld, dice: Dice) {
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

/** Sets all up, lets the load begin, and holds what is left in the end against what was there before. */
const run = (
  options: Options,
  { isCalm }: { readonly isCalm: boolean },
  drive: (world: SoakWorld, dice: Dice) => Effect.Effect<void, Stuck>
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
      const ref: { world: SoakWorld | null } = { world: null }
      yield* hear(socket, ref)
      const layer = UnixListener.layer({ runtimeDir: directory }).pipe(
        Layer.provideMerge(
          McpPool.layer({ servers: { [server]: spec(marker, socket, ledgerFile) }, directory, autoStart: false })
        )
      )
      const context = yield* Layer.build(layer).pipe(Effect.orDie, Effect.provide(Logger.layer([keepErrors(bugs)])))
      const pool = Context.get(context, McpPool.McpPool)
      const world = new SoakWorld({
        pool,
        socket: RuntimeDir.serverSocket(directory, server),
        seed: options.seed,
        isCalm
      })
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
const hear = (socket: string, ref: { readonly world: SoakWorld | null }) =>
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
/** Answers between crashes, at most. */
const longest = 300
const maxBugs = 10
