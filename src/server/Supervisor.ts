/**
 * Keeps one server alive: starts it, watches it, starts it again as its restart Schedule says, replaces a process by
 * another without a gap, and gives up when the Schedule is done. Lives as long as the pool.
 */
import { Cause, Clock, Deferred, Duration, Effect, Exit, Fiber, Result, type Schedule, Scope, Semaphore } from "effect"
import type { PoolSettings, ServerSpec } from "../config/ServerSpec.ts"
import { type ProbeFailed, type ProcessError, RestartFailed, ServerConfigError } from "../PoolError.ts"
import { explained, type Failures } from "./Failures.ts"
import * as Incarnation from "./Incarnation.ts"
import type { Reaper } from "./Reaper.ts"
import * as Recycling from "./Recycling.ts"
import * as Replacements from "./Replacements.ts"
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
  /** Nobody seems to use the process: says whether that holds, and nothing more goes to it then, since it is ended. */
  readonly onIdle: (process: ServerProcess.ServerProcess) => boolean
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
  /** Ends what runs and is idle, until it is started again; that is no restart. */
  readonly sleep: Effect.Effect<void>
  /**
   * Starts it anew with a fresh budget. Where a process runs, another takes over once it is ready, and the one before
   * ends what it has; if the new one fails, the old one goes on. `now` ends the old one first.
   */
  readonly restart: (options: { readonly now: boolean }) => Effect.Effect<void, RestartFailed>
  /** Has another process take over, where one runs, since this one may still ask what nobody waits for. */
  readonly renew: Effect.Effect<void, RestartFailed>
  /** Returns when it has run or failed once since it was told to start. */
  readonly settled: Effect.Effect<void>
}

/** A process that is being started. */
type Opening = Fiber.Fiber<Result.Result<Incarnation.Incarnation, ServerProcess.Failed>>

/** How the process that took requests ended. */
interface Ending {
  readonly running: Incarnation.Incarnation
  readonly end: ServerProcess.Failed | ProbeFailed
  /** What was to take over, and still may. */
  readonly opening: Opening | null
}

/** What comes after an incarnation: when the next one starts, in milliseconds since the epoch, and why. */
interface Next {
  readonly at: number
  readonly cause: Extract<Trigger, "failure" | "attempt">
}

/** A stopped server's supervisor; whoever makes it must `stop` it in the end. */
export const make = Effect.fnUntraced(function* (options: {
  readonly name: string
  /** Which of the server's places for processes it looks after. */
  readonly place: number
  readonly server: ServerSpec | ServerConfigError
  /** In place of `pool.budget`. */
  readonly schedule: Schedule.Schedule<unknown, Ended> | undefined
  readonly failures: Failures
  readonly log: ServerLog
  readonly observer: Observer
  /** Where each process comes from, and for whom it is, in place of one for whoever comes. */
  readonly beginning?: (() => ServerProcess.Beginning) | undefined
}): Effect.fn.Return<Supervisor, never, Reaper> {
  const { failures, log, name, observer, place, server } = options
  const context = yield* Effect.context<Reaper>()
  const oneAtATime = yield* Semaphore.make(1)
  const replacements = yield* Replacements.make
  let state: ServerState = "stopped"
  let current: Incarnation.Incarnation | null = null
  const draining = new Set<Incarnation.Incarnation>()
  const drains = new Set<Fiber.Fiber<void>>()
  let starts = 0
  /** The next start is no restart. */
  let isAsleep = false
  let loop: Fiber.Fiber<void> | null = null
  let settled = Deferred.makeUnsafe<void>()
  Deferred.doneUnsafe(settled, Effect.void)

  const go = (to: ServerState, at: number, cause: Trigger, failure: Failure | null = null) => {
    if (state === to && to !== "running" && failure === null) return
    if (!isLegal(state, to)) throw new Error(`server "${name}" cannot go from ${state} to ${to}`)
    const pid = current?.process.pid ?? null
    const change = { server: name, from: state, to, at: new Date(at).toISOString(), pid, cause, place, failure }
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

  /** Starts a process that must list some tools; interrupted with `parent`, and nothing of it is left then. */
  const begin = (spec: ServerSpec, mustList: ReadonlyArray<string>, parent: Scope.Scope) =>
    Incarnation.open({ spec, log, mustList, parent, beginning: options.beginning?.() }).pipe(
      Effect.tap((incarnation) =>
        Scope.addFinalizer(
          incarnation.scope,
          Effect.sync(() => void letGo(incarnation, false))
        )
      ),
      Effect.result,
      Effect.forkIn(parent)
    )

  /** What a process that was started again by itself, or beside another, must list: what the one before listed when new. */
  const asBefore = ({ pool }: ServerSpec): ReadonlyArray<string> => [
    ...new Set([...pool.requiredTools, ...observer.initialTools()])
  ]

  /** A process takes over from now on. */
  const become = Effect.fnUntraced(function* (next: Incarnation.Incarnation, cause: Trigger, pool: PoolSettings) {
    if (current !== null) draining.add(current)
    current = next
    observer.onProcess(next.process)
    go("running", yield* Clock.currentTimeMillis, cause)
    replacements.answer(Effect.void)
    // Last, since who waits for this may go on at once.
    Deferred.doneUnsafe(settled, Effect.void)
    yield* next.probe({ ask: observer.ask, isIdle: () => current === next && observer.isIdle(next.process) })
    yield* Effect.forkIn(recycle(pool, next, cause), next.scope)
  })

  /** Wishes for another process when this one is due; never sooner than five minutes after the last such wish. */
  const recycle = Effect.fnUntraced(function* (
    pool: PoolSettings,
    incarnation: Incarnation.Incarnation,
    cause: Trigger
  ) {
    const isCurrent = () => current === incarnation
    if (cause === "age" || cause === "memory") yield* Effect.sleep(patience)
    while (isCurrent()) {
      const due = yield* Recycling.due(pool, incarnation.process)
      // One that drains may take long: there are never more by themselves.
      if (isCurrent() && draining.size === 0) yield* Effect.ignore(replacements.want(incarnation, due))
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
        const failure = failures.add(end, facts)
        go(to, now, "failure", failure)
        if (to !== "restarting") replacements.answer(Effect.fail(refusal(failure)))
      }
      if (!RestartAccount.isWorthRetrying(end, spec.pool.restart)) {
        const clean = end._tag === "ProcessExited" && end.phase === "running" && end.exitCode === 0
        give(clean ? "stopped" : "failed", null)
        return null
      }
      const charge = isAttempt ? account.ofAttempt : loss.isOfOneCall ? account.ofOneCall : account.ofServer
      const verdict = RestartAccount.isFree(end)
        ? RestartAccount.free
        : yield* charge(now, RestartAccount.lifeOf(end, startedAt))
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
    /** Until one ends by itself: this one, or what has taken over meanwhile. Another may be on its way by then. */
    const run = Effect.fnUntraced(function* (first: Incarnation.Incarnation): Effect.fn.Return<Ending, never, Reaper> {
      let running = first
      for (;;) {
        const news = yield* Effect.raceFirst(Effect.flip(running.ended), replacements.next)
        if (!("of" in news)) return { running, end: news, opening: null }
        // It has been replaced since.
        if (news.of !== running) continue
        const opening = yield* begin(spec, asBefore(spec), parent)
        const opened = yield* Effect.raceFirst(Fiber.join(opening), Effect.flip(running.ended))
        if (!Result.isResult(opened)) return { running, end: opened, opening }
        if (Result.isFailure(opened)) {
          const now = yield* Clock.currentTimeMillis
          const also = `the old process goes on; to stop it first: mcp-pool restart ${name} --now`
          const failure = failures.add(opened.failure, { now, inFlight: 0, nextAttemptAt: null, also })
          go("running", now, "failure", failure)
          news.fail(refusal(failure))
          continue
        }
        starts++
        yield* become(opened.success, news.cause, spec.pool)
        const drained = yield* Effect.forkIn(drain(running), parent)
        drains.add(drained)
        drained.addObserver(() => drains.delete(drained))
        if (news.cause === "request") account = yield* RestartAccount.make(spec.pool.budget, options.schedule)
        running = opened.success
      }
    })

    let mustList = spec.pool.requiredTools
    let opening: Opening | null = null
    for (;;) {
      const startedAt = yield* Clock.currentTimeMillis
      if (!isAsleep) starts++
      isAsleep = false
      const opened: Result.Result<Incarnation.Incarnation, ServerProcess.Failed> = yield* Fiber.join(
        opening ?? (yield* begin(spec, mustList, parent))
      )
      opening = null
      let next: Next | null
      if (Result.isFailure(opened)) {
        next = yield* decide(opened.failure, null, startedAt)
        Deferred.doneUnsafe(settled, Effect.void)
      } else {
        isAttempt = false
        yield* become(opened.success, "ready", spec.pool)
        const ended: Ending = yield* run(opened.success)
        // At once, though what it leaves behind may take its time to end.
        next = yield* decide(ended.end, ended.running, ended.running.process.startedAt)
        opening = ended.opening
        if (opening !== null && next?.cause !== "failure") {
          yield* abandon(opening)
          opening = null
        }
        const close = Scope.close(ended.running.scope, Exit.void)
        // Where the next one is on its way, it need not wait for that.
        yield* opening === null ? close : Effect.forkIn(close, parent)
      }
      if (next === null) return yield* Effect.asVoid(Fiber.awaitAll(drains))
      if (opening === null) yield* sleepUntil(next.at)
      isAttempt = next.cause === "attempt"
      if (isAttempt) go("restarting", yield* Clock.currentTimeMillis, "attempt")
      mustList = asBefore(spec)
    }
  })

  const refusal = ({ hint, message }: Pick<Failure, "hint" | "message">) =>
    new RestartFailed({ server: name, reason: message, hint })

  /** The loop has ended: nobody may go on waiting for it. */
  const over = Effect.fnUntraced(function* (exit: Exit.Exit<void>) {
    const isBug = Exit.isFailure(exit) && Cause.hasDies(exit.cause)
    if (isBug) {
      yield* Effect.logError(`${name}: this is a bug`, exit.cause)
      if (isLegal(state, "failed")) go("failed", yield* Clock.currentTimeMillis, "failure")
    }
    Deferred.doneUnsafe(settled, Effect.void)
    replacements.answer(Effect.fail(refusal({ message: "it was stopped meanwhile", hint: `mcp-pool start ${name}` })))
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
      Effect.onExit(over),
      Effect.provide(context),
      // Not in the pool's scope, which would end its fibers one after another: whoever made this ends it by `stop`.
      Effect.forkDetach({ startImmediately: true })
    )
  })

  const end = Effect.fnUntraced(function* (via: "stopping" | "restarting", cause: "request" | "idle" = "request") {
    if (loop === null) return
    const isLive = state === "starting" || state === "running" || state === "restarting"
    if (isLive) go(via, yield* Clock.currentTimeMillis, cause)
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
    renew: Effect.suspend(() =>
      current !== null && state === "running" ? replacements.want(current, "questions") : Effect.void
    ),
    start: Effect.gen(function* () {
      if (state === "starting" || state === "running" || state === "restarting") return
      yield* end("stopping")
      yield* launch("starting")
    }).pipe(Effect.uninterruptible, oneAtATime.withPermits(1), Effect.andThen(awaitSettled)),
    stop: Effect.gen(function* () {
      yield* end("stopping")
      go("stopped", yield* Clock.currentTimeMillis, "request")
    }).pipe(Effect.uninterruptible, oneAtATime.withPermits(1)),
    sleep: Effect.gen(function* () {
      if (current === null || state !== "running" || !observer.onIdle(current.process)) return
      isAsleep = true
      yield* end("stopping", "idle")
      go("stopped", yield* Clock.currentTimeMillis, "idle")
    }).pipe(Effect.uninterruptible, oneAtATime.withPermits(1)),
    restart: ({ now }) =>
      Effect.suspend(() =>
        current !== null && state === "running" && !now ? replacements.want(current, "request") : relaunch
      )
  }
})

/** What it may become in this very moment is ended too. */
const abandon = Effect.fnUntraced(function* (opening: Opening) {
  yield* Fiber.interrupt(opening)
  const exit = yield* Fiber.await(opening)
  if (Exit.isSuccess(exit) && Result.isSuccess(exit.value)) yield* Scope.close(exit.value.success.scope, Exit.void)
})

/** A timer may come a moment early. */
const sleepUntil = Effect.fnUntraced(function* (at: number) {
  for (let now = yield* Clock.currentTimeMillis; now < at; now = yield* Clock.currentTimeMillis) {
    yield* Effect.sleep(Math.ceil(at - now))
  }
})

/** Between attempts out of a crash loop, and between replacements that a limit asks for. */
const patience = Duration.minutes(5)
/** How long a replaced process may take to answer what it has. */
const drainTimeout = Duration.hours(1)
