/**
 * All configured servers and their supervision: by name, their states, start, stop and restart. Owns processes, no
 * sockets. Lives as long as its layer's scope; closing it ends every process.
 */
import {
  Context,
  Duration,
  Effect,
  Layer,
  LogLevel,
  Option,
  References,
  type Schedule,
  type Scope,
  Stream
} from "effect"
import { variable } from "./config/Interpolation.ts"
import * as PoolConfig from "./config/PoolConfig.ts"
import type { PoolOptions } from "./config/PoolOptions.ts"
import { defaultPool, type PoolSettings, type ServerOptions } from "./config/ServerSpec.ts"
import { Sharing } from "./mux/Sharing.ts"
import type { Client, Upstream } from "./mux/Upstream.ts"
import {
  type ConfigFileError,
  type RestartFailed,
  type ServerConfigError,
  ServerNotFound,
  ServerUnavailable
} from "./PoolError.ts"
import * as Failures from "./server/Failures.ts"
import type { LogEntry } from "./server/LogEntry.ts"
import type { ServerStatus, SessionStatus, ToolStatus } from "./PoolStatus.ts"
import * as Feed from "./server/Feed.ts"
import * as ProcessTable from "./server/ProcessTable.ts"
import * as Reaper from "./server/Reaper.ts"
import * as ServerLog from "./server/ServerLog.ts"
import type { Ended } from "./server/RestartPolicy.ts"
import { type Failure, isComing, type ServerState, type StateChange } from "./server/ServerState.ts"
import * as Supervisor from "./server/Supervisor.ts"

/** What a listener needs to serve one name. */
export interface Endpoint {
  readonly upstream: Upstream
  readonly settings: PoolSettings
}

export class McpPool extends Context.Service<
  McpPool,
  {
    /** The configured names, in the order of the configuration. */
    readonly names: ReadonlyArray<string>
    readonly status: Effect.Effect<ReadonlyArray<ServerStatus>>
    /** Every step of every server from now on. A watcher that falls behind by 1,024 loses the oldest. */
    readonly changes: Stream.Stream<StateChange>
    /** False for a name that is not configured. */
    readonly isRunning: (name: string) => Effect.Effect<boolean>
    /** Whether the server answers `ping` within 5 seconds; an error is an answer. False for an unknown name. */
    readonly healthCheck: (name: string) => Effect.Effect<boolean>
    /** Starts a server that is not running and returns when it has run or failed. */
    readonly start: (name: string) => Effect.Effect<void, ServerNotFound>
    /** Stops a server and returns when its processes are gone. */
    readonly stop: (name: string) => Effect.Effect<void, ServerNotFound>
    /**
     * Starts another process and lets it take over when it is ready; the one before answers what it has and ends. Where the
     * new one fails, the old one goes on, and this fails with `RestartFailed`. `now` ends the old one first. The budget is
     * fresh, and sessions stay connected.
     */
    readonly restart: (
      name: string,
      options?: { readonly now?: boolean | undefined }
    ) => Effect.Effect<void, ServerNotFound | RestartFailed>
    /** Starts all side by side and returns when each has run or failed once. */
    readonly startAll: Effect.Effect<void>
    /** Stops all side by side. */
    readonly stopAll: Effect.Effect<void>
    /** Returns when each server that was told to start has run or failed once. */
    readonly awaitSettled: Effect.Effect<void>
    /** What stands behind a name, for a listener's sessions. */
    readonly endpoint: (name: string) => Effect.Effect<Endpoint, ServerNotFound>
    /** A listener serves the server at `path` until the scope closes. */
    readonly serve: (name: string, path: string) => Effect.Effect<void, never, Scope.Scope>
    /** Where a listener serves the server, if one does. */
    readonly socketPath: (name: string) => Effect.Effect<Option.Option<string>>
    readonly socketPaths: Effect.Effect<Readonly<Record<string, string>>>
    readonly sessions: Effect.Effect<ReadonlyArray<SessionStatus>>
    /** The tools of one server or of all, in the order of the servers' own lists. */
    readonly tools: (name: Option.Option<string>) => Effect.Effect<ReadonlyArray<ToolStatus>, ServerNotFound>
    /** The last lines of a server's log; with `follow`, the coming ones too. */
    readonly logs: (name: string, options: { readonly follow: boolean }) => Stream.Stream<LogEntry, ServerNotFound>
  }
>()("effect-mcp-pool/McpPool") {}

/** One process, running or not, and the names that share it. */
interface Unit {
  readonly names: Array<string>
  readonly fingerprint: () => string | null
  readonly log: ServerLog.ServerLog
  readonly failures: Failures.Failures
  readonly sharing: Sharing
  readonly supervisor: Supervisor.Supervisor
}

export const make = Effect.fnUntraced(function* (
  entries: ReadonlyArray<PoolConfig.ServerEntry>,
  options: SupervisionOptions = {}
): Effect.fn.Return<McpPool["Service"], never, Scope.Scope | Reaper.Reaper> {
  const changes = Feed.make<StateChange>(maxChanges)
  const sockets = new Map<string, string>()
  const units = new Map<string, Unit>()
  const settings = new Map<string, PoolSettings>()
  const byIdentity = new Map<string, Unit>()
  const services = yield* Effect.context<never>()
  const say = Effect.runSyncWith(services)
  const isDebug = LogLevel.isLessThanOrEqualTo(yield* References.MinimumLogLevel, "Debug")

  for (const entry of entries) {
    settings.set(entry.name, settingsOf(entry))
    const shared = entry._tag === "Configured" ? byIdentity.get(entry.spec.identity) : undefined
    if (shared !== undefined) {
      if (!isSameSupervision(settings.get(shared.names[0]!)!, settings.get(entry.name)!)) {
        yield* Effect.logWarning(
          `${entry.name} is the same process as ${shared.names[0]}: the pool settings of ${shared.names[0]} hold for both`
        )
      }
      shared.names.push(entry.name)
      units.set(entry.name, shared)
      continue
    }
    const unit = yield* makeUnit(entry, { ...options, isDebug }, (change, names) => {
      for (const name of names) {
        changes.publish({ ...change, server: name })
        say(logChange({ ...change, server: name }))
      }
    })
    units.set(entry.name, unit)
    if (entry._tag === "Configured") byIdentity.set(entry.spec.identity, unit)
  }

  const names = [...units.keys()]
  const all = [...new Set(units.values())]
  const unitOf = (name: string): Effect.Effect<Unit, ServerNotFound> => {
    const unit = units.get(name)
    return unit === undefined ? Effect.fail(new ServerNotFound({ server: name, names })) : Effect.succeed(unit)
  }
  const eachAtOnce = (f: (unit: Unit) => Effect.Effect<void>) =>
    Effect.forEach(all, f, { concurrency: "unbounded", discard: true })

  const stopAll = eachAtOnce((unit) => unit.supervisor.stop)
  // A scope closes what it holds one after another; servers stop side by side.
  yield* Effect.addFinalizer(() => stopAll)

  return McpPool.of({
    names,
    status: Effect.map(ProcessTable.list, (processes) =>
      names.map((name) => statusOf(name, units.get(name)!, processes, sockets.get(name) ?? null))
    ),
    changes: changes.stream,
    isRunning: (name) => Effect.sync(() => units.get(name)?.supervisor.state() === "running"),
    healthCheck: (name) =>
      Effect.suspend(() => {
        const unit = units.get(name)
        return unit?.supervisor.state() === "running" ? ping(unit.sharing) : Effect.succeed(false)
      }),
    start: (name) => Effect.flatMap(unitOf(name), (unit) => unit.supervisor.start),
    stop: (name) => Effect.flatMap(unitOf(name), (unit) => unit.supervisor.stop),
    restart: (name, options) =>
      Effect.flatMap(unitOf(name), (unit) => unit.supervisor.restart({ now: options?.now === true })),
    startAll: eachAtOnce((unit) => unit.supervisor.start),
    stopAll,
    awaitSettled: eachAtOnce((unit) => Effect.andThen(unit.supervisor.settled, listed(unit.sharing))),
    endpoint: (name) =>
      Effect.map(unitOf(name), ({ sharing }) => ({ upstream: sharing, settings: settings.get(name)! })),
    serve: (name, path) =>
      Effect.acquireRelease(
        Effect.sync(() => sockets.set(name, path)),
        () => Effect.sync(() => sockets.delete(name))
      ),
    socketPath: (name) => Effect.sync(() => Option.fromUndefinedOr(sockets.get(name))),
    socketPaths: Effect.sync(() => Object.fromEntries(sockets)),
    sessions: Effect.sync(() => all.flatMap((unit) => [...unit.sharing.clients].map(sessionOf))),
    tools: (name) =>
      Effect.map(
        Option.match(name, {
          onNone: () => Effect.succeed(names),
          onSome: (name) => Effect.as(unitOf(name), [name])
        }),
        (names) => names.flatMap((name) => toolsOf(name, units.get(name)!))
      ),
    logs: (name, { follow }) =>
      Stream.unwrap(
        Effect.map(unitOf(name), ({ log }) => (follow ? log.follow : Stream.fromIterable([...log.entries()])))
      )
  })
})

/** How servers are kept alive, beside what their configuration says. */
export interface SupervisionOptions {
  /** When a server that ended is started again, in place of `pool.budget`. When it is done, the server is in a crash loop. */
  readonly restartSchedule?: Schedule.Schedule<unknown, Ended> | undefined
}

export interface StartOptions extends SupervisionOptions {
  /** Servers start as soon as the pool is built, without waiting for them; where false, by `startAll` and `start`. */
  readonly autoStart?: boolean | undefined
  /**
   * Where the pool records its processes, so that the next pool with this directory ends what a killed one left behind.
   * One pool at a time can use it.
   */
  readonly directory?: string | undefined
}

/**
 * A pool of servers given in code, under the rules of the configuration: a mistake in one server makes that one `failed`.
 * Closing the layer's scope ends every process.
 */
export const layer = (
  options: StartOptions & {
    readonly servers: Readonly<Record<string, ServerOptions>>
    /** Settings for all of them. */
    readonly pool?: PoolOptions | undefined
  }
): Layer.Layer<McpPool, ConfigFileError | ServerConfigError> =>
  Layer.unwrap(
    Effect.map(PoolConfig.fromServers(options.servers, { pool: options.pool }), (config) =>
      layerConfig(config, options)
    )
  )

/** A pool of the servers of hosts' configuration files, read unchanged. */
export const layerFile = (
  files: ReadonlyArray<string>,
  options?: StartOptions & PoolConfig.LoadOptions
): Layer.Layer<McpPool, ConfigFileError | ServerConfigError> =>
  Layer.unwrap(Effect.map(PoolConfig.loadFiles(files, options), (config) => layerConfig(config, options)))

/** A pool of servers whose configuration has been read. */
export const layerConfig = (config: PoolConfig.PoolConfig, options?: StartOptions): Layer.Layer<McpPool> =>
  Layer.effect(
    McpPool,
    Effect.gen(function* () {
      for (const warning of config.warnings) yield* Effect.logWarning(warning)
      const pool = yield* make(config.servers, options)
      if (options?.autoStart !== false) yield* Effect.forkScoped(pool.startAll, { startImmediately: true })
      return pool
    })
  ).pipe(Layer.provide(Reaper.layer({ directory: options?.directory })))

const makeUnit = Effect.fnUntraced(function* (
  entry: PoolConfig.ServerEntry,
  options: SupervisionOptions & { readonly isDebug: boolean },
  onChange: (change: StateChange, names: ReadonlyArray<string>) => void
) {
  const server = entry._tag === "Configured" ? entry.spec : entry.error
  const settings = settingsOf(entry)
  const variables = yield* PoolConfig.HostEnvironment
  const say = Effect.runSyncWith(yield* Effect.context<never>())
  const log = ServerLog.make({
    onStray: (count) =>
      say(Effect.annotateLogs(Effect.logWarning(strayLine(entry.name, count)), { server: entry.name }))
  })
  const failures = Failures.make(server, log, (name) => variable(variables, name) !== undefined)
  const names = [entry.name]
  const sharing = new Sharing({
    server: entry.name,
    logMessages: settings.logMessages,
    maxLine: settings.maxLine,
    queueTimeout: millis(settings.queueTimeout),
    requestTimeout: settings.requestTimeout === undefined ? null : millis(settings.requestTimeout),
    unavailable: unavailable(entry.name, "stopped", null),
    onStray: (pid, text) => log.stray(pid, text),
    ...(options.isDebug ? { onCall: (call) => say(Effect.annotateLogs(Effect.logDebug("call"), call)) } : {})
  })
  const supervisor: Supervisor.Supervisor = yield* Supervisor.make({
    name: entry.name,
    server,
    schedule: options.restartSchedule,
    failures,
    log,
    observer: {
      onProcess: (process) => sharing.attach(process),
      onProcessEnd: (process, how) => sharing.detach(process, how),
      whenDrained: (process, done) => sharing.whenDrained(process, done),
      isIdle: (process) => sharing.callsOf(process) === 0,
      ask: (method) => answered(sharing, method),
      initialTools: () => sharing.lists.initialTools ?? [],
      onChange: (change) => {
        sharing.setUnavailable(isComing(change.to) ? null : unavailable(entry.name, change.to, failures.all().at(-1)))
        onChange(change, names)
      }
    }
  })
  const fingerprint = () => (entry._tag === "Configured" ? entry.spec.fingerprint : null)
  return { names, fingerprint, log, failures, sharing, supervisor } satisfies Unit
})

const strayLine = (server: string, count: number): string =>
  `${server} has printed ${count === 1 ? "a line" : `${count} lines`} on stdout that is no JSON-RPC message: mcp-pool logs ${server}`

/** Sockets and what a session may leave unread are a name's own, the rest is the process's. */
const isSameSupervision = (a: PoolSettings, b: PoolSettings): boolean => {
  const { maxUnread, socket, socketGroup, socketMode } = a
  return JSON.stringify(a) === JSON.stringify({ ...b, maxUnread, socket, socketGroup, socketMode })
}

const settingsOf = (entry: PoolConfig.ServerEntry): PoolSettings =>
  entry._tag === "Configured" ? entry.spec.pool : defaultPool

const unavailable = (server: string, state: ServerState, last: Failure | null | undefined): ServerUnavailable =>
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

const logChange = ({ failure, pid, server, to }: StateChange): Effect.Effect<void> => {
  const line = failure === null ? `${server} ${to}` : `${server} ${to}: ${failure.message}`
  const hint = failure?.hint ?? null
  return (failure === null ? Effect.logInfo(line) : Effect.logWarning(line)).pipe(
    Effect.annotateLogs({ server, ...(pid === null ? {} : { pid }), ...(hint === null ? {} : { hint }) })
  )
}

const ping = (sharing: Sharing): Effect.Effect<boolean> =>
  answered(sharing, "ping").pipe(
    Effect.as(true),
    Effect.timeoutOrElse({ duration: pingTimeout, orElse: () => Effect.succeed(false) })
  )

/** Returns when the server answers; its own error is an answer, the pool's is not. */
const answered = (sharing: Sharing, method: "ping" | "tools/list"): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const withdraw = sharing.ask(method, {}, (outcome) => {
      if (outcome.kind !== "refused") resume(Effect.void)
    })
    return Effect.sync(withdraw)
  })

const listed = (sharing: Sharing): Effect.Effect<void> =>
  Effect.callback<void>((resume) => sharing.lists.whenSettled(() => resume(Effect.void))).pipe(
    Effect.timeoutOrElse({ duration: listTimeout, orElse: () => Effect.void })
  )

const statusOf = (
  name: string,
  { failures, fingerprint, sharing, supervisor }: Unit,
  table: ReadonlyArray<ProcessTable.ProcessInfo>,
  socket: string | null
): ServerStatus => {
  const processes = supervisor.processes().map((process) => ({
    pid: process.pid,
    startedAt: new Date(process.startedAt).toISOString(),
    memory: memoryOf(process.pid, table),
    inFlight: sharing.inFlight(process)
  }))
  const mine = [...sharing.clients].filter((client) => client.server === name)
  return {
    name,
    state: supervisor.state(),
    fingerprint: fingerprint(),
    pid: processes[0]?.pid ?? null,
    processes,
    restarts: supervisor.restarts(),
    sessions: mine.length,
    inFlight: mine.reduce((sum, client) => sum + client.inFlight, 0),
    tools: sharing.lists.tools?.length ?? null,
    socket,
    startedAt: processes[0]?.startedAt ?? null,
    lastFailure: failures.all().at(-1) ?? null,
    failures: failures.all()
  }
}

const memoryOf = (group: number, table: ReadonlyArray<ProcessTable.ProcessInfo>): number | null => {
  const { memory } = ProcessTable.usageOf(group, table)
  return memory === 0 ? null : memory
}

const sessionOf = (client: Client): SessionStatus => ({
  id: client.id,
  server: client.server,
  client: client.clientInfo.name,
  version: client.clientInfo.version,
  since: new Date(client.since).toISOString(),
  inFlight: client.inFlight,
  calls: client.calls
})

const toolsOf = (name: string, { sharing }: Unit): ReadonlyArray<ToolStatus> =>
  (sharing.lists.tools ?? []).map((tool) => ({
    server: name,
    name: tool.name,
    title: tool.title ?? null,
    description: tool.description ?? null,
    inputSchema: tool.inputSchema ?? null
  }))

const millis = Duration.toMillis
const maxChanges = 1024
const pingTimeout = "5 seconds"
const listTimeout = "5 seconds"
