/**
 * Keeps one server alive: starts it, watches it, starts it again as its restart Schedule says, replaces a process by
 * another without a gap, and gives up when the Schedule is done. Lives as long as the pool.
 */
import {
  Clock,
  Deferred,
  Duration,
  Effect,
  Exit,
  Fiber,
  Option,
  Queue,
  Result,
  type Schedule,
  Scope,
  Semaphore
} from "effect"
import type { PoolSettings, ServerSpec } from "../config/ServerSpec.ts"
import { type ProbeFailed, type ProcessError, RestartFailed, ServerConfigError } from "../PoolError.ts"
import type { Failures } from "./Failures.ts"
import * as Incarnation from "./Incarnation.ts"
import type { Reaper } from "./Reaper.ts"
import * as Recycling from "./Recycling.ts"
import * as RestartAccount from "./RestartAccount.ts"
import type { Ended } from "./RestartPolicy.ts"
import type { ServerLog } from "./ServerLog.ts"
import type * as ServerProcess from "./ServerProcess.ts"
import { type Failure, isLegal, type ServerState, type StateChange, type Trigger } from "./ServerState.ts"

/** What the layer above does with processes and states; called synchronously. */
export interface Observer {
  /** A process is ready: requests go to it from now on. One that was there before ends what it has. */
  readonly onProcess: (process: ServerProcess.ServerProcess) => void
  /** It has ended (a crash), or is about to be ended: nothing more will be answered by it. Says what is lost with it. */
  readonly onProcessEnd: (
    process: ServerProcess.ServerProcess,
    how: { readonly isCrash: boolean }
  ) => { readonly inFlight: number; readonly isOfOneCall: boolean }
  /** Calls back once a replaced process has nothing more to answer. */
  readonly whenDrained: (process: ServerProcess.ServerProcess, done: () => void) => void
  /** No client waits for an answer of the process. */
  readonly isIdle: (process: ServerProcess.ServerProcess) => boolean
  /** Asks the process that requests go to; returns with any answer. */
  readonly ask: (method: "ping" | "tools/list") => Effect.Effect<void>
  /** The tools that a process listed when it was new. */
  readonly initialTools: () => ReadonlyArray<string>
  readonly onChange: (change: StateChange) => void
}

export interface Supervisor {
  readonly state: () => ServerState
  /** The one that takes requests. */
  readonly process: () => ServerProcess.ServerProcess | null
  /** Those that were replaced and end what they have. */
  readonly draining: () => ReadonlyArray<ServerProcess.ServerProcess>
  /** How often a process was started again. */
  readonly restarts: () => number
  /** Starts it where it is not running or about to; returns when it has run or failed once. */
  readonly start: Effect.Effect<void>
  /** Ends it and returns when its processes are gone. */
  readonly stop: Effect.Effect<void>
  /**
   * Starts it anew with a fresh budget. Where a process runs, another takes over once it is ready, and the one before
   * ends what it has; if the new one fails, the old one goes on. `now` ends the old one first.
   */
  readonly restart: (options: { readonly now: boolean }) => Effect.Effect<void, RestartFailed>
  /** Returns when it has run or failed once since it was told to start. */
  readonly settled: Effect.Effect<void>
}

/** One wish for another process in place of the one that runs. */
interface Replacement {
  readonly cause: Extract<Trigger, "request" | "age" | "memory">
  readonly done: Deferred.Deferred<void, RestartFailed>
}

/** What comes after an incarnation: when the next one starts, in milliseconds since the epoch, and why. */
interface Next {
  readonly at: number
  readonly cause: Extract<Trigger, "failure" | "attempt">
}

/** A stopped server's supervisor; whoever makes it must `stop` it in the end. */
export const make = Effect.fnUntraced(function* (options: {
  readonly name: string
  readonly server: ServerSpec | ServerConfigError
  /** In place of `pool.budget`. */
  readonly schedule: Schedule.Schedule<unknown, Ended> | undefined
  readonly failures: Failures
  readonly log: ServerLog
  readonly observer: Observer
}): Effect.fn.Return<Supervisor, never, Reaper> {
  const { failures, log, name, observer, server } = options
  const context = yield* Effect.context<Reaper>()
  const oneAtATime = yield* Semaphore.make(1)
  const replacements = yield* Queue.unbounded<Replacement>()
  /** Those whose end is awaited. */
  const wanted = new Set<Replacement>()
  let state: ServerState = "stopped"
  let current: Incarnation.Incarnation | null = null
  const draining = new Set<Incarnation.Incarnation>()
  let starts = 0
  let loop: Fiber.Fiber<void> | null = null
  let settled = Deferred.makeUnsafe<void>()
  Deferred.doneUnsafe(settled, Effect.void)

  const go = (to: ServerState, at: number, cause: Trigger, failure: Failure | null = null) => {
    if (state === to && to !== "running" && failure === null) return
    if (!isLegal(state, to)) throw new Error(`server "${name}" cannot go from ${state} to ${to}`)
    const pid = current?.process.pid ?? null
    const change = { server: name, from: state, to, at: new Date(at).toISOString(), pid, cause, failure }
    state = to
    const step = change.from === "running" && to === "running" ? "not replaced" : to
    log.add("pool", failure?.pid ?? pid, failure === null ? to : `${step}: ${explained(failure)}`)
    observer.onChange(change)
  }

  /** Nothing more is expected of a process. */
  const letGo = (incarnation: Incarnation.Incarnation, isCrash: boolean) => {
    if (current === incarnation) current = null
    else if (!draining.delete(incarnation)) return { inFlight: 0, isOfOneCall: false }
    return observer.onProcessEnd(incarnation.process, { isCrash })
  }

  const open = Effect.fnUntraced(function* (spec: ServerSpec, cause: Trigger, parent: Scope.Scope) {
    const incarnation = yield* Incarnation.open({ spec, log, mustList: toolsFor(spec, cause), parent })
    yield* Scope.addFinalizer(
      incarnation.scope,
      Effect.sync(() => void letGo(incarnation, false))
    )
    return incarnation
  })

  /** A process takes over from now on. */
  const become = Effect.fnUntraced(function* (next: Incarnation.Incarnation, cause: Trigger, pool: PoolSettings) {
    if (current !== null) draining.add(current)
    current = next
    observer.onProcess(next.process)
    go("running", yield* Clock.currentTimeMillis, cause)
    Deferred.doneUnsafe(settled, Effect.void)
    yield* next.probe({ ask: observer.ask, isIdle: () => current === next && observer.isIdle(next.process) })
    yield* Effect.forkIn(recycle(pool, next), next.scope)
  })

  /** Wishes for another process; returns when that has taken over, or when there is no need for it any more. */
  const want = Effect.fnUntraced(function* (cause: Replacement["cause"]) {
    const replacement = { cause, done: yield* Deferred.make<void, RestartFailed>() }
    wanted.add(replacement)
    yield* Queue.offer(replacements, replacement)
    yield* Deferred.await(replacement.done).pipe(Effect.ensuring(Effect.sync(() => wanted.delete(replacement))))
  })

  /** Wishes for another process when this one is due, and not too soon again where that fails. */
  const recycle = Effect.fnUntraced(function* (pool: PoolSettings, incarnation: Incarnation.Incarnation) {
    const isCurrent = () => current === incarnation
    while (isCurrent()) {
      const cause = yield* Recycling.due(pool, incarnation.process)
      if (isCurrent()) yield* Effect.ignore(want(cause))
      yield* Effect.sleep(patience)
    }
  })

  /** Ends a replaced process once it has nothing more to answer. */
  const drain = Effect.fnUntraced(function* (incarnation: Incarnation.Incarnation) {
    const drained = Effect.callback<null>((resume) =>
      observer.whenDrained(incarnation.process, () => resume(Effect.succeed(null)))
    )
    const end = yield* Effect.raceFirst(drained, Effect.flip(incarnation.process.ended)).pipe(
      Effect.timeoutOrElse({ duration: drainTimeout, orElse: () => Effect.succeed(null) })
    )
    if (end !== null) {
      const { inFlight } = letGo(incarnation, true)
      const failure = failures.add(end, { now: yield* Clock.currentTimeMillis, inFlight, nextAttemptAt: null })
      log.add("pool", failure.pid, `had been replaced: ${explained(failure)}`)
    }
    yield* Scope.close(incarnation.scope, Exit.void)
  })

  /** Starts another process beside `old`; says whether it has taken over. */
  const replace = Effect.fnUntraced(function* (
    spec: ServerSpec,
    old: Incarnation.Incarnation,
    { cause, done }: Replacement,
    parent: Scope.Scope
  ) {
    const opening = yield* Effect.forkIn(Effect.result(open(spec, cause, parent)), parent)
    const first = yield* Effect.raceFirst(
      Effect.asSome(Fiber.join(opening)),
      Effect.as(Effect.exit(old.ended), Option.none())
    )
    if (Option.isNone(first)) {
      // A restart like any other follows; what may be ready in this very moment is not needed.
      const abandon = Fiber.interrupt(opening).pipe(
        Effect.andThen(Fiber.await(opening)),
        Effect.flatMap((exit) =>
          Exit.isSuccess(exit) && Result.isSuccess(exit.value)
            ? Scope.close(exit.value.success.scope, Exit.void)
            : Effect.void
        )
      )
      yield* Effect.forkIn(abandon, parent)
      return false
    }
    if (Result.isFailure(first.value)) {
      const now = yield* Clock.currentTimeMillis
      const also = `to stop the old process first: mcp-pool restart ${name} --now`
      const failure = failures.add(first.value.failure, { now, inFlight: 0, nextAttemptAt: null, also })
      go("running", now, "failure", failure)
      yield* Deferred.fail(
        done,
        new RestartFailed({ server: name, reason: failure.message, hint: failure.hint ?? also })
      )
      return false
    }
    starts++
    yield* become(first.value.success, cause, spec.pool)
    yield* Effect.forkIn(drain(old), parent)
    yield* Deferred.succeed(done, undefined)
    return true
  })

  /** The tools that a process must list: what it lists by itself may shrink only where a person wants another process. */
  const toolsFor = ({ pool }: ServerSpec, cause: Trigger): ReadonlyArray<string> =>
    cause === "request" ? pool.requiredTools : [...new Set([...pool.requiredTools, ...observer.initialTools()])]

  /** Runs processes until one ends for good; never fails. */
  const supervise = Effect.fnUntraced(function* (spec: ServerSpec, parent: Scope.Scope) {
    let account = yield* RestartAccount.make(spec.pool.budget, options.schedule)
    /** The process to start is one attempt out of a crash loop; if it is never ready, it was the last for a while. */
    let isAttempt = false
    /** What comes after one that has run, or could not. */
    const decide = Effect.fnUntraced(function* (
      end: Exclude<ProcessError, ServerConfigError>,
      incarnation: Incarnation.Incarnation | null,
      startedAt: number
    ): Effect.fn.Return<Next | null> {
      const loss = incarnation === null ? { inFlight: 0, isOfOneCall: false } : letGo(incarnation, true)
      const now = yield* Clock.currentTimeMillis
      const give = (to: ServerState, nextAttemptAt: number | null, also?: string) => {
        const facts = { now, inFlight: loss.inFlight, nextAttemptAt, ...(also === undefined ? {} : { also }) }
        go(to, now, "failure", failures.add(end, facts))
      }
      if (!isWorthRetrying(end, spec.pool.restart)) {
        const clean = end._tag === "ProcessExited" && end.phase === "running" && end.exitCode === 0
        give(clean ? "stopped" : "failed", null)
        return null
      }
      const uptime = end._tag === "ProcessExited" || end._tag === "ProbeFailed" ? end.uptime : 0
      const charge = isAttempt ? account.ofAttempt : loss.isOfOneCall ? account.ofOneCall : account.ofServer
      const verdict = yield* charge(now, { startedAt, uptime: Duration.millis(uptime) })
      if (verdict._tag === "Exhausted") {
        give(
          "failed",
          null,
          `it was restarted ${spec.pool.budget.lifetime} times (budget.lifetime): mcp-pool restart ${name}`
        )
        return null
      }
      const next: Next =
        verdict._tag === "Spent"
          ? { at: now + Duration.toMillis(patience), cause: "attempt" }
          : { at: now + Duration.toMillis(verdict.delay), cause: "failure" }
      give(verdict._tag === "Spent" ? "crash-loop" : "restarting", next.at)
      return next
    })
    let cause: Trigger = "request"
    for (;;) {
      const startedAt = yield* Clock.currentTimeMillis
      starts++
      const opened: Result.Result<Incarnation.Incarnation, ServerProcess.Failed> = yield* Effect.result(
        open(spec, cause, parent)
      )
      let next: Next | null
      if (Result.isFailure(opened)) {
        next = yield* decide(opened.failure, null, startedAt)
        Deferred.doneUnsafe(settled, Effect.void)
      } else {
        isAttempt = false
        yield* become(opened.success, "ready", spec.pool)
        let running: Incarnation.Incarnation = opened.success
        let end: ServerProcess.Failed | ProbeFailed | null = null
        while (end === null) {
          const news = yield* Effect.raceFirst(Effect.result(running.ended), Queue.take(replacements))
          if (!Result.isResult(news)) {
            if (!(yield* replace(spec, running, news, parent))) continue
            if (news.cause === "request") account = yield* RestartAccount.make(spec.pool.budget, options.schedule)
            running = current ?? running
          } else if (Result.isFailure(news)) end = news.failure
        }
        // At once, though what it leaves behind may take its time to end.
        next = yield* decide(end, running, running.startedAt)
        yield* Queue.clear(replacements)
        for (const { done } of wanted) yield* Deferred.succeed(done, undefined)
        yield* Scope.close(running.scope, Exit.void)
      }
      if (next === null) return
      yield* sleepUntil(next.at)
      isAttempt = next.cause === "attempt"
      if (isAttempt) go("restarting", yield* Clock.currentTimeMillis, "attempt")
      cause = next.cause
    }
  })

  const launch = Effect.fnUntraced(function* (via: "starting" | "restarting") {
    const now = yield* Clock.currentTimeMillis
    go(via, now, "request")
    if (server instanceof ServerConfigError) {
      return go("failed", now, "failure", failures.add(server, { now, inFlight: 0, nextAttemptAt: null }))
    }
    settled = Deferred.makeUnsafe<void>()
    loop = yield* Effect.acquireUseRelease(
      Scope.make("parallel"),
      (scope) => supervise(server, scope),
      (scope, exit) => Scope.close(scope, exit)
    ).pipe(
      Effect.ensuring(Effect.sync(() => Deferred.doneUnsafe(settled, Effect.void))),
      Effect.provide(context),
      // Not in the pool's scope, which would end its fibers one after another: whoever made this ends it by `stop`.
      Effect.forkDetach({ startImmediately: true })
    )
  })

  const end = Effect.fnUntraced(function* (via: "stopping" | "restarting") {
    if (loop === null) return
    const isLive = state === "starting" || state === "running" || state === "restarting"
    if (isLive) go(via, yield* Clock.currentTimeMillis, "request")
    yield* Fiber.interrupt(loop)
    loop = null
  })

  const awaitSettled = Effect.suspend(() => Deferred.await(settled))

  const relaunch = Effect.gen(function* () {
    const wasLive = loop !== null && state !== "stopped"
    yield* end("restarting")
    yield* launch(wasLive ? "restarting" : "starting")
  }).pipe(Effect.uninterruptible, oneAtATime.withPermits(1), Effect.andThen(awaitSettled))

  return {
    state: () => state,
    process: () => current?.process ?? null,
    draining: () => [...draining].map(({ process }) => process),
    restarts: () => Math.max(0, starts - 1),
    settled: awaitSettled,
    start: Effect.gen(function* () {
      if (state === "starting" || state === "running" || state === "restarting") return
      yield* end("stopping")
      yield* launch("starting")
    }).pipe(Effect.uninterruptible, oneAtATime.withPermits(1), Effect.andThen(awaitSettled)),
    stop: Effect.gen(function* () {
      yield* end("stopping")
      go("stopped", yield* Clock.currentTimeMillis, "request")
    }).pipe(Effect.uninterruptible, oneAtATime.withPermits(1)),
    restart: ({ now }) =>
      Effect.suspend(() =>
        state === "running" && loop !== null && !now
          ? Effect.raceFirst(want("request"), Effect.asVoid(Fiber.await(loop)))
          : relaunch
      )
  }
})

/** A timer may come a moment early. */
const sleepUntil = Effect.fnUntraced(function* (at: number) {
  for (let now = yield* Clock.currentTimeMillis; now < at; now = yield* Clock.currentTimeMillis) {
    yield* Effect.sleep(Math.ceil(at - now))
  }
})

/** Whether another start may go better than the last. */
const isWorthRetrying = (end: ProcessError, restart: ServerSpec["pool"]["restart"]): boolean => {
  if (restart === "never") return false
  if (end._tag === "SpawnFailed") return passing.has(end.code)
  if (restart === "always" || end._tag !== "ProcessExited") return true
  return end.phase !== "running" || end.exitCode !== 0
}

const explained = ({ classification, hint, message }: Failure): string =>
  `${message}${classification === "unknown" ? "" : ` (${classification})`}${hint === null ? "" : ` — ${hint}`}`

/** Errnos of a system that is short of something for the moment. */
const passing = new Set(["EAGAIN", "EMFILE", "ENFILE", "ENOMEM"])

/** Between attempts out of a crash loop, and between replacements that a limit asks for. */
const patience = Duration.minutes(5)
/** How long a replaced process may take to answer what it has. */
const drainTimeout = Duration.hours(1)
