/**
 * All configured servers and their supervision: by name, their states, start, stop and restart. Owns processes, no
 * sockets. Lives as long as its layer's scope; closing it ends every process.
 */
import { Config, Context, Effect, Layer, LogLevel, Option, References, type Schedule, type Scope, Stream } from "effect"
import * as PoolConfig from "./config/PoolConfig.ts"
import type { PoolOptions } from "./config/PoolOptions.ts"
import type { PoolSettings, ServerOptions, ServerSpec } from "./config/ServerSpec.ts"
import * as Metrics from "./Metrics.ts"
import type { EndedCall } from "./mux/CallAccount.ts"
import { LocalTransport, type Transport } from "./mux/LocalTransport.ts"
import type { Upstream } from "./mux/Upstream.ts"
import { type ConfigFileError, type RestartFailed, type ServerConfigError, ServerNotFound } from "./PoolError.ts"
import type { LogEntry } from "./server/LogEntry.ts"
import * as PooledServer from "./PooledServer.ts"
import type { ServerStatus, SessionStatus, ToolStatus } from "./PoolStatus.ts"
import * as Feed from "./server/Feed.ts"
import * as ProcessTable from "./server/ProcessTable.ts"
import * as Reaper from "./server/Reaper.ts"
import type { Ended } from "./server/RestartPolicy.ts"
import type { StateChange } from "./server/ServerState.ts"

export type { Transport, TransportMessage } from "./mux/LocalTransport.ts"

/** What a listener needs to serve one name. */
export interface Endpoint {
  readonly upstream: Upstream
  readonly settings: PoolSettings
  /** Another one each time: a session's, unique in the pool. */
  readonly sessionId: () => number
}

/**
 * All configured servers, each run once. After the seed's `McpPoolManager` (names, states, `start_all`, `stop_all`,
 * `health_check`, socket paths; unknown names are `false` or none), with the restarts that it only declared.
 */
export class McpPool extends Context.Service<
  McpPool,
  {
    /** The configured names, in the order of the configuration. */
    readonly names: ReadonlyArray<string>
    /**
     * What `mcp-pool status` shows of each, in the order of the configuration, with what the system says of processes.
     */
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
     * Starts another process and lets it take over when it is ready; the one before answers what it has and ends. Where
     * the new one fails, the old one goes on, and this fails with `RestartFailed`. `now` ends the old one first. The
     * budget is fresh, and sessions stay connected.
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
    /**
     * A session of its own with a server, in this process, for `connect` of an SDK's client: a new transport each time. It
     * lives until its client closes it, or the pool's scope does (`onclose`), and outlives the server's processes.
     */
    readonly transport: (name: string) => Effect.Effect<Transport, ServerNotFound>
    /** A listener serves the server at `path` until the scope closes. */
    readonly serve: (name: string, path: string) => Effect.Effect<void, never, Scope.Scope>
    /** Where a listener serves the server, if one does. */
    readonly socketPath: (name: string) => Effect.Effect<Option.Option<string>>
    /** The paths of all that a listener serves, by name. */
    readonly socketPaths: Effect.Effect<Readonly<Record<string, string>>>
    /** Who is connected now, of all servers. */
    readonly sessions: Effect.Effect<ReadonlyArray<SessionStatus>>
    /** The tools of one server or of all, in the order of the servers' own lists. */
    readonly tools: (name: Option.Option<string>) => Effect.Effect<ReadonlyArray<ToolStatus>, ServerNotFound>
    /** The last lines of a server's log; with `follow`, the coming ones too. */
    readonly logs: (name: string, options: { readonly follow: boolean }) => Stream.Stream<LogEntry, ServerNotFound>
  }
>()("effect-mcp-pool/McpPool") {}

/** The pool of the entries, whose servers are started by `startAll` and `start`; ends them with its scope. */
export const make = Effect.fnUntraced(function* (
  entries: ReadonlyArray<PoolConfig.ServerEntry>,
  options: SupervisionOptions & {
    /** Told of each client's request that has ended. */
    readonly onCall?: ((call: EndedCall) => void) | undefined
  } = {}
): Effect.fn.Return<McpPool["Service"], never, Scope.Scope | Reaper.Reaper> {
  const changes = Feed.make<StateChange>(maxChanges)
  const sockets = new Map<string, string>()
  const servers = new Map<string, PooledServer.PooledServer>()
  const settings = new Map<string, PoolSettings>()
  const byIdentity = new Map<string, PooledServer.PooledServer>()
  const services = yield* Effect.context<never>()
  const say = Effect.runSyncWith(services)
  const isDebug = LogLevel.isLessThanOrEqualTo(yield* References.MinimumLogLevel, "Debug")

  for (const entry of entries) {
    settings.set(entry.name, PooledServer.settingsOf(entry))
    const shared = entry._tag === "Configured" ? byIdentity.get(processOf(entry.spec)) : undefined
    if (shared !== undefined) {
      if (!isSameSupervision(settings.get(shared.names[0]!)!, settings.get(entry.name)!)) {
        yield* Effect.logWarning(
          `${entry.name} is the same process as ${shared.names[0]}: the pool settings of ${shared.names[0]} hold for both`
        )
      }
      shared.names.push(entry.name)
      servers.set(entry.name, shared)
      continue
    }
    const server = yield* PooledServer.make(entry, {
      restartSchedule: options.restartSchedule,
      isDebug,
      onCall: options.onCall,
      onChange: (change, names) => {
        for (const name of names) {
          changes.publish({ ...change, server: name })
          say(logChange({ ...change, server: name }))
        }
      }
    })
    servers.set(entry.name, server)
    if (entry._tag === "Configured") byIdentity.set(processOf(entry.spec), server)
  }

  const names = [...servers.keys()]
  const all = [...new Set(servers.values())]
  const find = (name: string): Effect.Effect<PooledServer.PooledServer, ServerNotFound> => {
    const server = servers.get(name)
    return server === undefined ? Effect.fail(new ServerNotFound({ server: name, names })) : Effect.succeed(server)
  }
  const eachAtOnce = (f: (server: PooledServer.PooledServer) => Effect.Effect<void>) =>
    Effect.forEach(all, f, { concurrency: "unbounded", discard: true })

  const stopAll = eachAtOnce(({ stop }) => stop)
  for (const [name, server] of servers) yield* Metrics.register(name, server.figures(name))
  // A scope closes what it holds one after another; servers stop side by side.
  yield* Effect.addFinalizer(() => stopAll)

  let sessions = 0
  const endpoint: McpPool["Service"]["endpoint"] = (name) =>
    Effect.map(find(name), ({ upstream }) => ({
      upstream,
      settings: settings.get(name)!,
      sessionId: () => ++sessions
    }))

  const transports = new Set<LocalTransport>()
  let isClosed = false
  // Before the servers stop.
  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      isClosed = true
      return Effect.forEach(
        transports,
        ({ close }) =>
          Effect.catchCause(Effect.promise(close), (cause) => Effect.logError("onclose of a transport failed", cause)),
        { discard: true }
      )
    })
  )

  return McpPool.of({
    names,
    status: Effect.map(ProcessTable.list, (processes) =>
      names.map((name) => servers.get(name)!.status(name, processes, sockets.get(name) ?? null))
    ),
    changes: changes.stream,
    isRunning: (name) => Effect.sync(() => servers.get(name)?.state() === "running"),
    healthCheck: (name) =>
      Effect.suspend(() => {
        const server = servers.get(name)
        return server?.state() === "running" ? server.ping : Effect.succeed(false)
      }),
    start: (name) => Effect.flatMap(find(name), ({ start }) => start),
    stop: (name) => Effect.flatMap(find(name), ({ stop }) => stop),
    restart: (name, options) => Effect.flatMap(find(name), ({ restart }) => restart({ now: options?.now === true })),
    startAll: eachAtOnce(({ start }) => start),
    stopAll,
    awaitSettled: eachAtOnce(({ listed, settled }) => Effect.andThen(settled, listed)),
    endpoint,
    transport: (server) =>
      Effect.map(endpoint(server), ({ sessionId, settings: { maxLine, maxUnread }, upstream }) => {
        const transport = new LocalTransport({
          id: sessionId(),
          server,
          upstream,
          maxLine,
          maxUnread,
          onStart: () => {
            if (!isClosed) transports.add(transport)
            return !isClosed
          },
          onEnd: () => transports.delete(transport)
        })
        return transport
      }),
    serve: (name, path) =>
      Effect.acquireRelease(
        Effect.sync(() => sockets.set(name, path)),
        () => Effect.sync(() => sockets.delete(name))
      ),
    socketPath: (name) => Effect.sync(() => Option.fromUndefinedOr(sockets.get(name))),
    socketPaths: Effect.sync(() => Object.fromEntries(sockets)),
    sessions: Effect.sync(() => all.flatMap(({ sessions }) => sessions())),
    tools: (name) =>
      Effect.map(
        Option.match(name, {
          onNone: () => Effect.succeed(names),
          onSome: (name) => Effect.as(find(name), [name])
        }),
        (names) => names.flatMap((name) => servers.get(name)!.tools(name))
      ),
    logs: (name, { follow }) =>
      Stream.unwrap(
        Effect.map(find(name), ({ log }) => (follow ? log.follow : Stream.fromIterable([...log.entries()])))
      )
  })
})

/** How servers are kept alive, beside what their configuration says. */
export interface SupervisionOptions {
  /**
   * When a server that ended is started again, in place of `pool.budget`. When it is done, the server is in a crash
   * loop.
   */
  readonly restartSchedule?: Schedule.Schedule<unknown, Ended> | undefined
}

/** How a pool begins. */
export interface StartOptions extends SupervisionOptions {
  /** Servers start as soon as the pool is built, without waiting for them; where false, by `startAll` and `start`. */
  readonly autoStart?: boolean | undefined
  /**
   * Where the pool records its processes, so that the next pool with this directory ends what a killed one left behind.
   * One pool at a time can use it.
   */
  readonly directory?: string | undefined
}

/** A pool of servers given in code. */
export interface Options extends StartOptions {
  readonly servers: Readonly<Record<string, ServerOptions>>
  /** Settings for all of them. */
  readonly pool?: PoolOptions | undefined
}

/**
 * A pool of servers given in code, under the rules of the configuration: a mistake in one server makes that one
 * `failed`, one in the settings for all fails with `ConfigFileError`. Closing the layer's scope ends every process, as
 * everywhere here.
 */
export const layer = (options: Options): Layer.Layer<McpPool, ConfigFileError | ServerConfigError> =>
  Layer.unwrap(
    Effect.map(PoolConfig.fromServers(options.servers, { pool: options.pool }), (config) =>
      layerPoolConfig(config, options)
    )
  )

/**
 * The same with options that Effect's `Config` reads, as a whole or each where it stands. What the provider does not have,
 * or has wrong, fails with `ConfigError` before anything is started.
 *
 * ```ts
 * McpPool.layerConfig({
 *   servers: { git: { command: Config.String("GIT_SERVER"), env: { TOKEN: Config.String("GIT_TOKEN") } } }
 * })
 * ```
 */
export const layerConfig = (
  options: Config.Wrap<Options>
): Layer.Layer<McpPool, ConfigFileError | ServerConfigError | Config.ConfigError> =>
  Layer.unwrap(Effect.map(Config.unwrap(options), layer))

/**
 * A pool of the servers of hosts' configuration files, read unchanged; where a name stands in several, the last holds.
 * A file that cannot be read or decoded fails with `ConfigFileError` before anything is started.
 */
export const layerFile = (
  files: ReadonlyArray<string>,
  options?: StartOptions & PoolConfig.LoadOptions
): Layer.Layer<McpPool, ConfigFileError | ServerConfigError> =>
  Layer.unwrap(Effect.map(PoolConfig.loadFiles(files, options), (config) => layerPoolConfig(config, options)))

/** A pool of servers whose configuration has been read; fails where its audit file cannot be opened. */
export const layerPoolConfig = (
  config: PoolConfig.PoolConfig,
  options?: StartOptions
): Layer.Layer<McpPool, ConfigFileError> =>
  Layer.effect(
    McpPool,
    Effect.gen(function* () {
      for (const warning of config.warnings) yield* Effect.logWarning(warning)
      // First, so that it is closed last; loaded by who asks for it.
      const audit =
        config.audit === null
          ? undefined
          : yield* (yield* Effect.promise(() => import("./Audit.ts"))).open(config.audit)
      const pool = yield* make(config.servers, { ...options, onCall: audit?.add })
      if (options?.autoStart !== false) yield* Effect.forkScoped(pool.startAll, { startImmediately: true })
      return pool
    })
  ).pipe(Layer.provide(Reaper.layer({ directory: options?.directory })))

/** Equal texts share a process: what the pool adds of its own may hold credentials, too. */
const processOf = ({ identity, pool: { extraEnv, sessionFile } }: ServerSpec): string =>
  JSON.stringify([identity, Object.entries(extraEnv).sort(), sessionFile])

/** Sockets and what a session may leave unread are a name's own, the rest is the process's. */
const isSameSupervision = (a: PoolSettings, b: PoolSettings): boolean => {
  const { maxUnread, socket, socketGroup, socketMode } = a
  return JSON.stringify(a) === JSON.stringify({ ...b, maxUnread, socket, socketGroup, socketMode })
}

const logChange = ({ cause, failure, from, pid, place, server, to }: StateChange): Effect.Effect<void> => {
  const limit =
    cause === "age" ? " (maxAge)" : cause === "memory" ? " (maxMemory)" : place > 0 ? ` (place ${place})` : ""
  const step = from === "running" && to === "running" ? "not replaced" : to
  const line = failure === null ? `${server} ${to}${limit}` : `${server} ${step}: ${failure.message}`
  const hint = failure?.hint ?? null
  return (failure === null ? Effect.logInfo(line) : Effect.logWarning(line)).pipe(
    Effect.annotateLogs({ server, ...(pid === null ? {} : { pid }), ...(hint === null ? {} : { hint }) })
  )
}

const maxChanges = 1024
