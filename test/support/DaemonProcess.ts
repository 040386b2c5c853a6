/** A daemon in a process of its own, with fixtures for its servers. */
import { Effect, type Scope } from "effect"
import { spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import type { ServerOptions } from "../../src/config/ServerSpec.ts"
import type { News } from "../fixtures/daemon.ts"
import * as Processes from "./Processes.ts"
import * as TestPool from "./TestPool.ts"

export interface DaemonProcess {
  /** Carried by the daemon and by its servers. */
  readonly marker: string
  readonly configFile: string
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void>
  /** Tells it to do something: see `daemon.ts`. */
  readonly tell: (order: string) => Effect.Effect<void>
  /** Returns when each server has run or failed once. */
  readonly ready: Effect.Effect<void>
  /** Returns when it has spawned so many processes for its servers, now or when it has. */
  readonly spawned: (times: number) => Effect.Effect<void>
  /** Returns when its servers have said a word on stderr so often, now or when they have. */
  readonly said: (word: string, times: number) => Effect.Effect<void>
  /** Its first helper, now or when it is there. */
  readonly helper: Effect.Effect<number>
  /** Returns when it has exited, with how. */
  readonly exited: Effect.Effect<number | NodeJS.Signals>
  /** When it was seen to have exited, in milliseconds of this process. */
  readonly endedAt: Effect.Effect<number>
  /** What it has logged; all of it once it has exited. */
  readonly log: () => string
}

/**
 * Starts it with some servers. Killed with the scope, if it still lives; then nothing that carries its marker may be alive
 * for long.
 */
export const launch = Effect.fnUntraced(function* (
  runtimeDir: string,
  servers: (fixtures: TestPool.Fixtures) => Readonly<Record<string, ServerOptions>>,
  options: {
    readonly nodeOptions?: ReadonlyArray<string>
    /** It kills itself as it spawns the so manieth. */
    readonly diesAt?: number
  } = {}
): Effect.fn.Return<DaemonProcess, never, Scope.Scope> {
  const marker = `fixture-${randomUUID()}`
  const configFile = path.join(yield* TestPool.temporaryDirectory, "mcp.json")
  fs.writeFileSync(configFile, JSON.stringify({ mcpServers: servers(TestPool.fixtures(marker)) }))
  const count = options.diesAt === undefined ? [] : [String(options.diesAt)]
  const args = [TestPool.fixture("daemon.ts"), marker, runtimeDir, configFile, ...count]
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, [...(options.nodeOptions ?? []), ...args], { stdio: ["ignore", "ignore", "pipe", "ipc"] })
    ),
    (child) =>
      Effect.sync(() => child.kill("SIGKILL")).pipe(
        Effect.andThen(Processes.gone(marker)),
        Effect.tapError(() => Processes.killAll(marker)),
        Effect.orDie
      )
  )
  let log = ""
  child.stderr?.on("data", (chunk) => (log += String(chunk)))
  const exit = new Promise<{ readonly how: number | NodeJS.Signals; readonly at: number }>((resolve) => {
    child.once("exit", (code, signal) => {
      const at = performance.now()
      const ended = () => resolve({ how: code ?? signal ?? "SIGKILL", at })
      if (child.stderr?.readableEnded === true) ended()
      else child.stderr?.once("end", ended)
    })
  })
  const news: Array<News> = []
  child.on("message", (message) => void news.push(message as News))
  /** What was told, now or when it is; dies with the daemon. */
  const told = <A>(find: () => A | undefined): Effect.Effect<A> =>
    Effect.callback((resume) => {
      const look = () => {
        const found = find()
        if (found !== undefined) resume(Effect.succeed(found))
      }
      const ended = () => resume(Effect.die(new Error(`the daemon exited before that: ${log}`)))
      look()
      child.on("message", look)
      child.once("exit", ended)
      return Effect.sync(() => child.off("message", look).off("exit", ended))
    })
  const reached = (count: () => number, times: number) =>
    Effect.asVoid(told(() => (count() >= times ? true : undefined)))

  return {
    marker,
    configFile,
    signal: (signal) => Effect.sync(() => void child.kill(signal)),
    tell: (order) => Effect.sync(() => void child.send(order)),
    ready: reached(() => news.filter((it) => "ready" in it).length, 1),
    spawned: (times) => reached(() => news.filter((it) => "spawned" in it).length, times),
    said: (word, times) =>
      reached(() => news.flatMap((it) => ("said" in it ? it.said.split(word).slice(1) : [])).length, times),
    helper: told(() => news.flatMap((it) => ("helper" in it ? [it.helper] : []))[0]),
    exited: Effect.promise(() => exit.then(({ how }) => how)),
    endedAt: Effect.promise(() => exit.then(({ at }) => at)),
    log: () => log
  }
})

/** Starts it with one fixture for its server `shared`, and returns when that runs. */
export const start = Effect.fnUntraced(function* (
  runtimeDir: string,
  fixture: (fixtures: TestPool.Fixtures) => ServerOptions = ({ server }) => server("shared")
): Effect.fn.Return<DaemonProcess, never, Scope.Scope> {
  const daemon = yield* launch(runtimeDir, (fixtures) => ({ shared: fixture(fixtures) }))
  yield* daemon.ready
  return daemon
})
