/**
 * Keeps one server alive: starts it, watches it, starts it again as its restart Schedule says, and gives up when that is
 * done. The only file that drives a restart Schedule. Lives as long as the pool.
 */
import { Clock, Deferred, Duration, Effect, Exit, Fiber, Option, Schedule, Semaphore } from "effect"
import type { ServerSpec } from "../config/ServerSpec.ts"
import { type HandshakeFailed, type ProcessExited, ServerConfigError, type SpawnFailed } from "../PoolError.ts"
import type { Reaper } from "./Reaper.ts"
import * as RestartPolicy from "./RestartPolicy.ts"
import type { ServerLog } from "./ServerLog.ts"
import * as ServerProcess from "./ServerProcess.ts"
import { type Failure, isLegal, type ServerState, type StateChange } from "./ServerState.ts"

/** What the layer above does with processes and states; called synchronously. */
export interface Observer {
  /** A process is ready: its lines go where it attaches them. */
  readonly onProcess: (process: ServerProcess.ServerProcess) => void
  /** It has ended, or is about to be ended: nothing more will be answered by it. */
  readonly onProcessEnd: () => void
  readonly onChange: (change: StateChange) => void
}

export interface Supervisor {
  readonly state: () => ServerState
  readonly process: () => ServerProcess.ServerProcess | null
  readonly lastFailure: () => Failure | null
  /** How often a process was started again. */
  readonly restarts: () => number
  /** Starts it where it is not running or about to; returns when it has run or failed once. */
  readonly start: Effect.Effect<void>
  /** Ends it and returns when its process is gone. */
  readonly stop: Effect.Effect<void>
  /** Ends its process if it has one and starts it with a fresh budget; returns when it has run or failed once. */
  readonly restart: Effect.Effect<void>
  /** Returns when it has run or failed once since it was told to start. */
  readonly settled: Effect.Effect<void>
}

/** Why an incarnation ended. */
type End = SpawnFailed | HandshakeFailed | ProcessExited

/** A stopped server's supervisor; whoever makes it must `stop` it in the end. */
export const make = Effect.fnUntraced(function* (options: {
  readonly name: string
  readonly server: ServerSpec | ServerConfigError
  readonly log: ServerLog
  readonly observer: Observer
}): Effect.fn.Return<Supervisor, never, Reaper> {
  const { log, name, observer, server } = options
  const context = yield* Effect.context<Reaper>()
  const oneAtATime = yield* Semaphore.make(1)
  let state: ServerState = "stopped"
  let current: ServerProcess.ServerProcess | null = null
  let lastFailure: Failure | null = null
  let starts = 0
  let loop: Fiber.Fiber<void> | null = null
  let settled = Deferred.makeUnsafe<void>()
  Deferred.doneUnsafe(settled, Effect.void)

  const go = (to: ServerState, at: number, failure: Failure | null) => {
    if (state === to && failure === null) return
    if (!isLegal(state, to)) throw new Error(`server "${name}" cannot go from ${state} to ${to}`)
    const change = { server: name, from: state, to, at: iso(at), pid: current?.pid ?? null, failure }
    state = to
    if (failure !== null) lastFailure = failure
    log.add("pool", change.pid, failure === null ? to : `${to}: ${failure.message}`)
    observer.onChange(change)
  }

  const letGo = () => {
    if (current === null) return
    current = null
    observer.onProcessEnd()
  }

  const incarnation = (spec: ServerSpec) =>
    Effect.gen(function* () {
      const process = yield* ServerProcess.make(spec, log)
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          current = process
          observer.onProcess(process)
          go("running", Date.now(), null)
          Deferred.doneUnsafe(settled, Effect.void)
        }),
        () => Effect.sync(letGo)
      )
      return yield* process.ended
    })

  /** Runs incarnations until one ends for good; never fails. */
  const supervise = Effect.fnUntraced(function* (spec: ServerSpec) {
    const step = yield* Schedule.toStep(RestartPolicy.budget(spec.pool.budget))
    /** What comes after an incarnation: when the next one starts, or null. */
    const decide = Effect.fnUntraced(function* (end: End, startedAt: number) {
      letGo()
      const now = yield* Clock.currentTimeMillis
      if (!isWorthRetrying(end, spec.pool.restart)) {
        const clean = end._tag === "ProcessExited" && end.phase === "running" && end.exitCode === 0
        go(clean ? "stopped" : "failed", now, toFailure(end, now, null))
        return null
      }
      const uptime = end._tag === "ProcessExited" ? Duration.millis(end.uptime) : Duration.zero
      const decision = yield* Effect.exit(step(now, { startedAt, uptime }))
      if (Exit.isFailure(decision)) {
        go("crash-loop", now, toFailure(end, now, null))
        return null
      }
      const next = now + Duration.toMillis(decision.value[1])
      go("restarting", now, toFailure(end, now, next))
      return next
    })
    for (;;) {
      const startedAt = yield* Clock.currentTimeMillis
      starts++
      const next = yield* incarnation(spec).pipe(
        // One that has run is not running any more at once, though what it leaves behind may take its time to end.
        Effect.catch((end) => (current === null ? Effect.fail(end) : decide(end, startedAt))),
        Effect.scoped,
        Effect.catch((end) => decide(end, startedAt)),
        Effect.ensuring(Effect.sync(() => Deferred.doneUnsafe(settled, Effect.void)))
      )
      if (next === null) return
      yield* Effect.sleep(Math.max(0, next - (yield* Clock.currentTimeMillis)))
    }
  })

  const launch = Effect.fnUntraced(function* (via: "starting" | "restarting") {
    const now = yield* Clock.currentTimeMillis
    go(via, now, null)
    if (server instanceof ServerConfigError) return go("failed", now, toFailure(server, now, null))
    settled = Deferred.makeUnsafe<void>()
    loop = yield* supervise(server).pipe(
      Effect.provide(context),
      // Not in the pool's scope, which would end its fibers one after another: whoever made this ends it by `stop`.
      Effect.forkDetach({ startImmediately: true })
    )
  })

  const end = Effect.fnUntraced(function* (via: "stopping" | "restarting") {
    if (loop === null) return
    const isLive = state === "starting" || state === "running" || state === "restarting"
    if (isLive) go(via, yield* Clock.currentTimeMillis, null)
    yield* Fiber.interrupt(loop)
    loop = null
  })

  const awaitSettled = Effect.suspend(() => Deferred.await(settled))

  const supervisor: Supervisor = {
    state: () => state,
    process: () => current,
    lastFailure: () => lastFailure,
    restarts: () => Math.max(0, starts - 1),
    settled: awaitSettled,
    start: Effect.gen(function* () {
      if (state === "starting" || state === "running" || state === "restarting") return
      yield* end("stopping")
      yield* launch("starting")
    }).pipe(Effect.uninterruptible, oneAtATime.withPermits(1), Effect.andThen(awaitSettled)),
    stop: Effect.gen(function* () {
      yield* end("stopping")
      go("stopped", yield* Clock.currentTimeMillis, null)
    }).pipe(Effect.uninterruptible, oneAtATime.withPermits(1)),
    restart: Effect.gen(function* () {
      const wasLive = loop !== null && state !== "stopped"
      yield* end("restarting")
      yield* launch(wasLive ? "restarting" : "starting")
    }).pipe(Effect.uninterruptible, oneAtATime.withPermits(1), Effect.andThen(awaitSettled))
  }
  return supervisor
})

const iso = (millis: number): string => new Date(millis).toISOString()

/** Whether another start may go better than the last. */
const isWorthRetrying = (end: End, restart: ServerSpec["pool"]["restart"]): boolean => {
  if (restart === "never") return false
  if (end._tag === "SpawnFailed") return passing.has(end.code)
  if (restart === "always" || end._tag === "HandshakeFailed") return true
  return end.phase === "handshake" || end.exitCode !== 0
}

/** Errnos of a system that is short of something for the moment. */
const passing = new Set(["EAGAIN", "EMFILE", "ENFILE", "ENOMEM"])

const toFailure = (end: End | ServerConfigError, now: number, nextAttemptAt: number | null): Failure => ({
  at: iso(now),
  phase: phaseOf(end),
  kind: end._tag,
  message: end.message,
  exitCode: end._tag === "ProcessExited" ? end.exitCode : null,
  signal: end._tag === "ProcessExited" ? end.signal : null,
  hint: Option.getOrNull(hintOf(end)),
  nextAttemptAt: nextAttemptAt === null ? null : iso(nextAttemptAt)
})

const phaseOf = (end: End | ServerConfigError): Failure["phase"] => {
  switch (end._tag) {
    case "ServerConfigError":
      return "configuration"
    case "SpawnFailed":
      return "spawn"
    case "HandshakeFailed":
      return "handshake"
    case "ProcessExited":
      return end.phase
  }
}

const hintOf = (end: End | ServerConfigError): Option.Option<string> => {
  switch (end._tag) {
    case "ServerConfigError":
      return Option.some("mend the configuration and start the daemon again")
    case "SpawnFailed":
      if (end.code === "ENOENT")
        return Option.some(`"${end.command}" is not on the daemon's PATH: use its absolute path`)
      if (end.code === "EACCES") return Option.some(`"${end.command}" is not executable: chmod +x`)
      return Option.none()
    case "HandshakeFailed":
    case "ProcessExited":
      return Option.some(`see what it printed: mcp-pool logs ${end.server}`)
  }
}
