/**
 * All configured servers and their supervision: by name, their states, start, stop and restart. Owns processes, no
 * sockets. Lives as long as its layer's scope; closing it ends every process.
 */
import { Context, Duration, Effect, Layer, LogLevel, Option, References, type Scope, Stream } from "effect"
import * as PoolConfig from "./config/PoolConfig.ts"
import type { PoolOptions } from "./config/PoolOptions.ts"
import { defaultPool, type PoolSettings, type ServerOptions } from "./config/ServerSpec.ts"
import { Multiplexer } from "./mux/Multiplexer.ts"
import type { Client, Upstream } from "./mux/Upstream.ts"
import { type ConfigFileError, type ServerConfigError, ServerNotFound, ServerUnavailable } from "./PoolError.ts"
import type { LogEntry } from "./server/LogEntry.ts"
import type { ServerStatus, SessionStatus, ToolStatus } from "./PoolStatus.ts"
import * as Feed from "./server/Feed.ts"
import * as ProcessTable from "./server/ProcessTable.ts"
import * as Reaper from "./server/Reaper.ts"
import * as ServerLog from "./server/ServerLog.ts"
import { type Failure, isComing, type StateChange } from "./server/ServerState.ts"
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
    /** Stops and starts with a fresh budget; sessions stay connected. */
    readonly restart: (name: string) => Effect.Effect<void, ServerNotFound>
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
  readonly multiplexer: Multiplexer
  readonly supervisor: Supervisor.Supervisor
}

export const make = Effect.fnUntraced(function* (
  entries: ReadonlyArray<PoolConfig.ServerEntry>
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
    const unit = yield* makeUnit(entry, isDebug, (change, names) => {
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
        return unit?.supervisor.state() === "running" ? ping(unit.multiplexer) : Effect.succeed(false)
      }),
    start: (name) => Effect.flatMap(unitOf(name), (unit) => unit.supervisor.start),
    stop: (name) => Effect.flatMap(unitOf(name), (unit) => unit.supervisor.stop),
    restart: (name) => Effect.flatMap(unitOf(name), (unit) => unit.supervisor.restart),
    startAll: eachAtOnce((unit) => unit.supervisor.start),
    stopAll,
    awaitSettled: eachAtOnce((unit) => Effect.andThen(unit.supervisor.settled, listed(unit.multiplexer))),
    endpoint: (name) =>
      Effect.map(unitOf(name), ({ multiplexer }) => ({ upstream: multiplexer, settings: settings.get(name)! })),
    serve: (name, path) =>
      Effect.acquireRelease(
        Effect.sync(() => sockets.set(name, path)),
        () => Effect.sync(() => sockets.delete(name))
      ),
    socketPath: (name) => Effect.sync(() => Option.fromUndefinedOr(sockets.get(name))),
    socketPaths: Effect.sync(() => Object.fromEntries(sockets)),
    sessions: Effect.sync(() => all.flatMap((unit) => [...unit.multiplexer.clients].map(sessionOf))),
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

/** When servers start: as soon as the pool is built, without waiting for them, or by `startAll` and `start`. */
export interface StartOptions {
  readonly autoStart?: boolean | undefined
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
      const pool = yield* make(config.servers)
      if (options?.autoStart !== false) yield* Effect.forkScoped(pool.startAll, { startImmediately: true })
      return pool
    })
  ).pipe(Layer.provide(Reaper.layer))

const makeUnit = Effect.fnUntraced(function* (
  entry: PoolConfig.ServerEntry,
  isDebug: boolean,
  onChange: (change: StateChange, names: ReadonlyArray<string>) => void
) {
  const server = entry._tag === "Configured" ? entry.spec : entry.error
  const settings = settingsOf(entry)
  const services = yield* Effect.context<never>()
  const say = Effect.runSyncWith(services)
  const log = ServerLog.make({
    onStray: (count) =>
      say(Effect.annotateLogs(Effect.logWarning(strayLine(entry.name, count)), { server: entry.name }))
  })
  const names = [entry.name]
  const multiplexer = new Multiplexer({
    server: entry.name,
    logMessages: settings.logMessages,
    maxLine: settings.maxLine,
    queueTimeout: millis(settings.queueTimeout),
    requestTimeout: settings.requestTimeout === undefined ? null : millis(settings.requestTimeout),
    unavailable: new ServerUnavailable({ server: entry.name, state: "stopped", reason: null, hint: null }),
    onStray: (text) => log.stray(supervisor.process()?.pid ?? null, text),
    ...(isDebug
      ? {
          onCall: (call) =>
            say(Effect.annotateLogs(Effect.logDebug("call"), { ...call, pid: supervisor.process()?.pid ?? "none" }))
        }
      : {})
  })
  const supervisor: Supervisor.Supervisor = yield* Supervisor.make({
    name: entry.name,
    server,
    log,
    observer: {
      onProcess: (process) => multiplexer.attach(process),
      onProcessEnd: () => multiplexer.detach(),
      onChange: (change) => {
        multiplexer.setUnavailable(isComing(change.to) ? null : unavailable(change, supervisor.lastFailure()))
        onChange(change, names)
      }
    }
  })
  const fingerprint = () => (entry._tag === "Configured" ? entry.spec.fingerprint : null)
  return { names, fingerprint, log, multiplexer, supervisor } satisfies Unit
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

const unavailable = ({ server, to }: StateChange, last: Failure | null): ServerUnavailable =>
  to === "crash-loop" || to === "failed"
    ? new ServerUnavailable({ server, state: to, reason: last?.message ?? null, hint: last?.hint ?? null })
    : new ServerUnavailable({ server, state: to, reason: null, hint: `start it: mcp-pool start ${server}` })

const logChange = ({ failure, pid, server, to }: StateChange): Effect.Effect<void> => {
  const line = failure === null ? `${server} ${to}` : `${server} ${to}: ${failure.message}`
  const hint = failure?.hint ?? null
  return (failure === null ? Effect.logInfo(line) : Effect.logWarning(line)).pipe(
    Effect.annotateLogs({ server, ...(pid === null ? {} : { pid }), ...(hint === null ? {} : { hint }) })
  )
}

const ping = (multiplexer: Multiplexer): Effect.Effect<boolean> =>
  Effect.callback<boolean>((resume) => {
    // The server's own error is an answer, the pool's is not.
    multiplexer.ask("ping", {}, (outcome) => resume(Effect.succeed(outcome.kind !== "refused")))
  }).pipe(Effect.timeoutOrElse({ duration: pingTimeout, orElse: () => Effect.succeed(false) }))

const listed = (multiplexer: Multiplexer): Effect.Effect<void> =>
  Effect.callback<void>((resume) => multiplexer.lists.whenSettled(() => resume(Effect.void))).pipe(
    Effect.timeoutOrElse({ duration: listTimeout, orElse: () => Effect.void })
  )

const statusOf = (
  name: string,
  { fingerprint, multiplexer, supervisor }: Unit,
  processes: ReadonlyArray<ProcessTable.ProcessInfo>,
  socket: string | null
): ServerStatus => {
  const process = supervisor.process()
  const startedAt = process === null ? null : new Date(process.startedAt).toISOString()
  const mine = [...multiplexer.clients].filter((client) => client.server === name)
  return {
    name,
    state: supervisor.state(),
    fingerprint: fingerprint(),
    pid: process?.pid ?? null,
    processes:
      process === null || startedAt === null
        ? []
        : [{ pid: process.pid, startedAt, memory: memoryOf(process.pid, processes), inFlight: multiplexer.inFlight }],
    restarts: supervisor.restarts(),
    sessions: mine.length,
    inFlight: mine.reduce((sum, client) => sum + client.inFlight, 0),
    tools: multiplexer.lists.tools?.length ?? null,
    socket,
    startedAt,
    lastFailure: supervisor.lastFailure()
  }
}

const memoryOf = (group: number, processes: ReadonlyArray<ProcessTable.ProcessInfo>): number | null => {
  const members = processes.filter((info) => info.group === group)
  return members.length === 0 ? null : members.reduce((sum, info) => sum + info.memory, 0)
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

const toolsOf = (name: string, { multiplexer }: Unit): ReadonlyArray<ToolStatus> =>
  (multiplexer.lists.tools ?? []).map((tool) => ({
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
