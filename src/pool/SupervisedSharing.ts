/**
 * A server's sharing and the supervisors of its places, wired together: processes go to the sharing as they come, and
 * places that it wants are started and stopped. Whoever makes it must `stop` it in the end.
 */
import type { Tool } from "@modelcontextprotocol/sdk/types.js"
import { Duration, Effect, FiberSet, type Schedule, type Scope } from "effect"
import type * as PoolConfig from "../config/PoolConfig.ts"
import type { PoolSettings } from "../config/ServerSpec.ts"
import type { CallAccount } from "../mux/CallAccount.ts"
import type { Pins } from "../mux/Gate.ts"
import { Memory } from "../mux/Memory.ts"
import type { Replica } from "../mux/Replica.ts"
import type { Replaceable } from "../mux/Upstream.ts"
import { Sharing } from "../mux/Sharing.ts"
import { type RestartFailed, ServerUnavailable } from "../PoolError.ts"
import * as AskerStore from "../server/AskerStore.ts"
import type { Failures } from "../server/Failures.ts"
import * as HandshakeStore from "../server/HandshakeStore.ts"
import { Reaper } from "../server/Reaper.ts"
import type { Ended } from "../server/RestartPolicy.ts"
import type { ServerLog } from "../server/ServerLog.ts"
import type { Beginning, ServerProcess } from "../server/ServerProcess.ts"
import { type Failure, isComing, type ServerState, type StateChange } from "../server/ServerState.ts"
import * as Supervisor from "../server/Supervisor.ts"

/** A server that sessions can join, and that is kept alive, whoever shares its processes. */
export interface Served {
  readonly upstream: Replaceable
  /** The last list; null where none is known. */
  readonly tools: () => ReadonlyArray<Tool> | null
  /** Returns when its tools are not being read. */
  readonly listed: Effect.Effect<void>
  /** `running` where one of the places that sessions have their homes in is; else the first one's. */
  readonly state: () => ServerState
  /** Those that run, and those that were replaced and end what they have (`draining`). */
  readonly processes: () => ReadonlyArray<{
    readonly process: ServerProcess
    /** Clients' requests that it holds. */
    readonly inFlight: number
    readonly draining: boolean
  }>
  /** How often a process was started again, those of sessions that have left included. */
  readonly restarts: () => number
  /** Nothing runs, and the next call starts a process. */
  readonly isAsleep: () => boolean
  /** Starts it, or lets the first call do so, as its settings say. */
  readonly begin: Effect.Effect<void>
  readonly start: Effect.Effect<void>
  readonly stop: Effect.Effect<void>
  /** As `McpPool.restart`, all places that are wanted side by side. */
  readonly restart: (options: { readonly now: boolean }) => Effect.Effect<void, RestartFailed>
  readonly settled: Effect.Effect<void>
  /** Whether a process of it gets ready: of one that was started, as it is; where each session has its own, one is tried. */
  readonly proven: Effect.Effect<boolean>
  /** Its names have other gates from now on. */
  readonly pinsChanged: () => void
  /** Returns when the server answers; its own error is an answer, the pool's is not. */
  readonly answered: (method: "ping" | "tools/list") => Effect.Effect<void>
}

/** One server to its sessions, and the supervisors of its processes. */
export interface SupervisedSharing extends Served {
  readonly sharing: Sharing
}

/** What it is made of, and who is told. */
export interface SupervisedSharingOptions {
  readonly entry: PoolConfig.ServerEntry
  readonly settings: PoolSettings
  readonly restartSchedule: Schedule.Schedule<unknown, Ended> | undefined
  /** Where its settings do not say. */
  readonly start: "eager" | "lazy"
  readonly log: ServerLog
  readonly failures: Failures
  /** Called at each step of the server. */
  readonly onChange: (change: StateChange) => void
  /** Where its calls count; it may have had others before, and have others beside. */
  readonly account: CallAccount
  /** Of the names that it serves. */
  readonly pins: Pins
  /** The server has one session, and its processes are made for that. */
  readonly beginning?: (() => Beginning) | undefined
}

interface Place {
  readonly replica: Replica
  readonly supervisor: Supervisor.Supervisor
}

/** Nothing is started before it is told to; whoever makes it must stop it in the end. */
export const make = Effect.fnUntraced(function* (
  options: SupervisedSharingOptions
): Effect.fn.Return<SupervisedSharing, never, Reaper | Scope.Scope> {
  const { account, entry, failures, log, pins, settings } = options
  const { name } = entry
  const { max, min, policy } = settings.sharing
  const isLazy = (settings.start ?? options.start) === "lazy"
  const isOwn = options.beginning !== undefined
  const spec = entry._tag === "Configured" && !isOwn ? entry.spec : null
  const { directory } = yield* Reaper
  const run = yield* FiberSet.makeRuntime<never>()
  const byReplica = new Map<Replica, Place>()
  const memory = new Memory(spec === null ? null : HandshakeStore.make(directory, spec))
  /** Nothing is started by itself once it was stopped. */
  let isOn = false

  const sharing = new Sharing({
    server: name,
    logMessages: isOwn ? "all" : settings.logMessages,
    maxLine: settings.maxLine,
    queueTimeout: millis(settings.queueTimeout),
    requestTimeout: settings.requestTimeout === undefined ? null : millis(settings.requestTimeout),
    listTtl: millis(settings.toolCacheTtl),
    unavailable: unavailable(name, "stopped", null),
    replicas: {
      min,
      max: settings.questions === "deny" && policy === "shared" ? 1 : max,
      homes: policy === "shared" ? 1 : max
    },
    idleStop: settings.idleStop === undefined ? null : millis(settings.idleStop),
    memory,
    pins,
    questions: isOwn ? "own" : settings.questions,
    roots: settings.roots,
    maxInFlight: settings.maxInFlight,
    maxConcurrency: settings.maxConcurrency ?? Infinity,
    askers: spec === null ? [] : AskerStore.read(directory, spec),
    onAskers: (askers) => {
      if (spec !== null) AskerStore.write(directory, spec, askers)
    },
    onStray: (pid, text) => log.stray(pid, text),
    onWanted: (replica, what) => {
      const { supervisor } = byReplica.get(replica)!
      const renewed = Effect.ensuring(
        Effect.ignore(supervisor.renew),
        Effect.sync(() => replica.renewed())
      )
      const wanted = what === "renew" ? renewed : supervisor[what]
      run(Effect.suspend(() => (isOn ? wanted : Effect.void)))
    },
    account
  })

  for (const [place, replica] of sharing.replicas.entries()) {
    const supervisor = yield* Supervisor.make({
      name,
      place,
      server: entry._tag === "Configured" ? entry.spec : entry.error,
      schedule: options.restartSchedule,
      failures,
      log,
      beginning: options.beginning,
      observer: {
        onProcess: (process) => replica.attach(process),
        onProcessEnd: (process, how) => replica.detach(process, how),
        whenDrained: (process, done) => replica.whenDrained(process, done),
        onIdle: () => isOn && sharing.rest(replica),
        isIdle: (process) => replica.callsOf(process) === 0,
        ask: (method) => answered(replica, method),
        initialTools: () => sharing.lists.initialTools ?? [],
        onChange: (change) => {
          // One that has ended itself in order does so for want of use, too.
          if (isLazy && change.to === "stopped" && change.cause === "failure") replica.sleep()
          else if (isComing(change.to)) replica.setUnavailable(null)
          else if (change.cause !== "idle") {
            replica.setUnavailable(unavailable(name, change.to, failures.all().at(-1)))
          }
          options.onChange(change)
        }
      }
    })
    byReplica.set(replica, { replica, supervisor })
  }
  const places = [...byReplica.values()]
  const always = places.slice(0, min)
  const homes = places.slice(0, policy === "shared" ? 1 : max)
  /** It is always there, or has sessions that came while there were more. */
  const isNeeded = (place: Place) => always.includes(place) || place.replica.clients.size > 0
  const atOnce = <E>(places: ReadonlyArray<Place>, f: (supervisor: Supervisor.Supervisor) => Effect.Effect<void, E>) =>
    Effect.forEach(places, ({ supervisor }) => f(supervisor), { concurrency: "unbounded", discard: true })

  const start = Effect.suspend(() => {
    isOn = true
    const needed = places.filter(isNeeded)
    for (const { replica } of needed) replica.expect()
    return atOnce(needed, ({ start }) => start)
  })

  return {
    sharing,
    upstream: sharing,
    tools: () => sharing.lists.tools,
    listed: Effect.callback((resume) => sharing.lists.whenSettled(() => resume(Effect.void))),
    state: () =>
      homes.some(({ supervisor }) => supervisor.state() === "running") ? "running" : places[0]!.supervisor.state(),
    processes: () =>
      places.flatMap(({ replica, supervisor }) => {
        const current = supervisor.process()
        const of = (process: ServerProcess, draining: boolean) => ({
          process,
          inFlight: replica.callsOf(process),
          draining
        })
        return [
          ...(current === null ? [] : [of(current, false)]),
          ...supervisor.draining().map((process) => of(process, true))
        ]
      }),
    restarts: () => always.reduce((sum, { supervisor }) => sum + supervisor.restarts(), 0),
    isAsleep: () => places[0]!.replica.isAsleep,
    begin: Effect.suspend(() => {
      // What cannot be started says so at once.
      if (!isLazy || entry._tag === "Misconfigured") return start
      isOn = true
      // It may be the server of another name already.
      const isResting = ({ replica, supervisor }: Place) =>
        supervisor.state() === "failed" || (supervisor.state() === "stopped" && !replica.isWanted)
      for (const place of places.filter(isNeeded)) if (isResting(place)) place.replica.sleep()
      return Effect.void
    }),
    start,
    stop: Effect.suspend(() => {
      isOn = false
      for (const { replica } of places) {
        replica.isWanted = false
        if (replica.isAsleep) replica.setUnavailable(unavailable(name, "stopped", null))
      }
      return Effect.ensuring(
        atOnce(places, ({ stop }) => stop),
        Effect.sync(() => memory.flush())
      )
    }),
    restart: (how) =>
      Effect.suspend(() => {
        isOn = true
        for (const place of places) if (isNeeded(place)) place.replica.expect()
        return atOnce(
          places.filter(({ replica }) => replica.isWanted),
          ({ restart }) => restart(how)
        )
      }),
    settled: atOnce(always, ({ settled }) => settled),
    proven: Effect.sync(() => homes.some(({ supervisor }) => supervisor.state() === "running")),
    pinsChanged: () => {
      for (const { replica } of places) replica.pinsChanged()
    },
    answered: (method) => answered(sharing.replicas[0]!, method)
  }
})

/** Why a server in this state answers nothing. */
export const unavailable = (server: string, state: ServerState, last: Failure | null | undefined): ServerUnavailable =>
  (state === "crash-loop" || state === "failed") && last
    ? new ServerUnavailable({
        server,
        state,
        failure: last.classification,
        hint: last.hint,
        nextAttemptAt: last.nextAttemptAt
      })
    : new ServerUnavailable({
        server,
        state,
        failure: null,
        hint: `start it: mcp-pool start ${server}`,
        nextAttemptAt: null
      })

const answered = (replica: Replica, method: "ping" | "tools/list"): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const withdraw = replica.ask(method, {}, (outcome) => {
      if (outcome.kind !== "refused") resume(Effect.void)
    })
    return Effect.sync(withdraw)
  })

const millis = Duration.toMillis
