/**
 * All configured servers and their supervision: by name, their states, start, stop and restart. Owns processes, no
 * sockets. Lives as long as its layer's scope; closing it ends every process.
 */
import type { Tool } from "@modelcontextprotocol/sdk/types.js"
import { Config, Context, Effect, Layer, LogLevel, Option, References, type Schedule, type Scope, Stream } from "effect"
import * as PoolConfig from "./config/PoolConfig.ts"
import type { PoolOptions } from "./config/PoolOptions.ts"
import type { PoolSettings, ServerOptions } from "./config/ServerSpec.ts"
import { CallAccount, type EndedCall } from "./mux/CallAccount.ts"
import { LocalTransport, type Transport } from "./mux/LocalTransport.ts"
import { announce } from "./mux/Notifications.ts"
import type { Client, Upstream } from "./mux/Upstream.ts"
import { type ConfigFileError, type RestartFailed, type ServerConfigError, ServerNotFound } from "./PoolError.ts"
import type { LogEntry } from "./server/LogEntry.ts"
import { type NamedServer, sessionsOf, statusOf } from "./pool/NamedServer.ts"
import type { PooledServer } from "./pool/PooledServer.ts"
import * as PoolServers from "./pool/PoolServers.ts"
import { Pins } from "./pin/Pins.ts"
import type { PinAccepted, PinStatus, ServerChange, ServerStatus, SessionStatus, ToolStatus } from "./PoolStatus.ts"
import * as Feed from "./server/Feed.ts"
import * as ProcessTable from "./server/ProcessTable.ts"
import * as Reaper from "./server/Reaper.ts"
import type { Ended } from "./server/RestartPolicy.ts"
import type { StateChange, Trigger } from "./server/ServerState.ts"

export type { Transport, TransportMessage } from "./mux/LocalTransport.ts"

/** What a listener needs to serve one name. */
export interface Endpoint {
  readonly upstream: Upstream
  readonly settings: PoolSettings
  /** The tools that the server listed last; null where none are known. The same value as long as they are the same. */
  readonly tools?: () => ReadonlyArray<Tool> | null
  /** Another one each time: a session's, unique in the pool. */
  readonly sessionId: () => number
  /** Returns once the server is not configured any more and what its sessions had in flight is answered: they are to end. */
  readonly removed: Effect.Effect<void>
}

/**
 * All configured servers, each run once. After the seed's `McpPoolManager` (names, states, `start_all`, `stop_all`,
 * `health_check`, socket paths; unknown names are `false` or none), with the restarts that it only declared.
 */
export class McpPool extends Context.Service<
  McpPool,
  {
    /**
     * The names now: in the order of the configuration, then those that were put. The same value as long as none comes or
     * goes.
     */
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
    /**
     * Adds a server beside those of the configuration, or gives one that was put another configuration, as `reload` does.
     * It shares the process of any other that has the same. Unless `start` is false, returns when it has run or failed.
     */
    readonly put: (
      entry: PoolConfig.ServerEntry,
      options?: { readonly start?: boolean | undefined }
    ) => Effect.Effect<ServerChange>
    /**
     * Takes a server away: its sessions' new requests are refused, what is in flight is answered, then its sessions are
     * told (`Endpoint.removed`) and its processes end. Returns at once.
     */
    readonly remove: (name: string) => Effect.Effect<void, ServerNotFound>
    /**
     * Makes the pool what the configuration says now, and tells of each server what that made of it. What is as before is
     * not touched. What changed starts beside the server before, which ends what it has once the new one is ready; sessions
     * stay, and where the new one fails, the old one goes on. What was stopped stays stopped. What was `put` stays.
     * Returns when each new process has run or failed.
     */
    readonly reload: (entries: ReadonlyArray<PoolConfig.ServerEntry>) => Effect.Effect<ReadonlyArray<ServerChange>>
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
    /** Starts all that are not lazy side by side and returns when each has run or failed once. */
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
    /**
     * Until the scope closes, `sessions` shows these clients too, who are one server's as little as another's. Gives what
     * such sessions take their ids from.
     */
    readonly include: (clients: () => Iterable<Client>) => Effect.Effect<() => number, never, Scope.Scope>
    /** Who is connected now, of all servers. */
    readonly sessions: Effect.Effect<ReadonlyArray<SessionStatus>>
    /** The tools of one server or of all, in the order of the servers' own lists. */
    readonly tools: (name: Option.Option<string>) => Effect.Effect<ReadonlyArray<ToolStatus>, ServerNotFound>
    /** How the tools of these servers, or of all that pin theirs, compare with what was accepted. */
    readonly pins: (names: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<PinStatus>, ServerNotFound>
    /** Accepts the tools of these servers, or of all that pin theirs, as they were listed last; sessions are told. */
    readonly acceptPins: (names: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<PinAccepted>, ServerNotFound>
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
  const services = yield* Effect.context<never>()
  const say = Effect.runSyncWith(services)
  const isDebug = LogLevel.isLessThanOrEqualTo(yield* References.MinimumLogLevel, "Debug")
  const onDebuggedCall = (call: EndedCall) => {
    const { client, method, millis, outcome, tool } = call
    const facts = { session: client.id, server: client.server, method, tool, millis, outcome }
    say(Effect.annotateLogs(Effect.logDebug("call"), facts))
    options.onCall?.(call)
  }
  const transports = new Map<LocalTransport, NamedServer>()
  const pins = new Pins({
    log: (server, level, line) =>
      say((level === "info" ? Effect.logInfo : Effect.logWarning)(line).pipe(Effect.annotateLogs({ server }))),
    onOffered: (server) => {
      // It may be the first time that it has a gate.
      const named = isMade ? servers.get(server) : undefined
      if (named !== undefined) announce(named.upstream.clients, "notifications/tools/list_changed")
    }
  })
  let isMade = false
  const servers = yield* PoolServers.make(entries, {
    restartSchedule: options.restartSchedule,
    start: options.start ?? "eager",
    account: new CallAccount(isDebug ? onDebuggedCall : options.onCall),
    pins,
    onChange: (change) => {
      changes.publish(change)
      say(logChange(change))
    },
    onRemoved: (named) => {
      for (const [transport, its] of transports) if (its === named) void transport.close()
    }
  })

  isMade = true

  const find = (name: string): Effect.Effect<NamedServer, ServerNotFound> => {
    const named = servers.get(name)
    return named === undefined
      ? Effect.fail(new ServerNotFound({ server: name, names: servers.names() }))
      : Effect.succeed(named)
  }
  const eachAtOnce = (f: (server: PooledServer) => Effect.Effect<void>) =>
    Effect.suspend(() => Effect.forEach(servers.servers(), f, { concurrency: "unbounded", discard: true }))

  let sessions = 0
  const sessionId = () => ++sessions
  const others = new Set<() => Iterable<Client>>()
  const endpointOf = (named: NamedServer): Endpoint => ({
    upstream: named.upstream,
    settings: named.settings,
    tools: () => named.server.toolList(),
    sessionId,
    removed: named.removed.await
  })

  const pinned = (names: ReadonlyArray<string>) =>
    Effect.suspend(() => {
      const pinning = servers.names().filter((name) => pins.summaryOf(name) !== undefined)
      return names.length === 0 ? Effect.succeed(pinning) : Effect.forEach(names, (name) => Effect.as(find(name), name))
    })

  let isClosed = false
  // Before the servers stop.
  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      isClosed = true
      return Effect.forEach(
        transports.keys(),
        ({ close }) =>
          Effect.catchCause(Effect.promise(close), (cause) => Effect.logError("onclose of a transport failed", cause)),
        { discard: true }
      )
    })
  )

  return McpPool.of({
    get names() {
      return servers.names()
    },
    status: Effect.map(ProcessTable.list, (processes) =>
      Array.from(servers.all(), (named) =>
        statusOf(named, processes, sockets.get(named.name) ?? null, pins.summaryOf(named.name))
      )
    ),
    changes: changes.stream,
    isRunning: (name) => Effect.sync(() => servers.get(name)?.server.state() === "running"),
    healthCheck: (name) =>
      Effect.suspend(() => {
        const server = servers.get(name)?.server
        return server?.state() === "running" ? server.ping : Effect.succeed(false)
      }),
    put: servers.put,
    remove: (name) =>
      Effect.flatMap(servers.remove(name), (isGone) => (isGone ? Effect.void : Effect.asVoid(find(name)))),
    reload: servers.reload,
    start: (name) => Effect.flatMap(find(name), ({ server }) => server.start),
    stop: (name) => Effect.flatMap(find(name), servers.stop),
    restart: (name, options) =>
      Effect.flatMap(find(name), ({ server }) => server.restart({ now: options?.now === true })),
    startAll: eachAtOnce(({ begin }) => begin),
    stopAll: servers.stopAll,
    awaitSettled: eachAtOnce(({ listed, settled }) => Effect.andThen(settled, listed)),
    endpoint: (name) => Effect.map(find(name), endpointOf),
    transport: (server) =>
      Effect.map(find(server), (named) => {
        const { maxLine, maxUnread } = named.settings
        const transport = new LocalTransport({
          id: sessionId(),
          server,
          upstream: named.upstream,
          maxLine,
          maxUnread,
          onStart: () => {
            if (!isClosed) transports.set(transport, named)
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
    include: (clients) =>
      Effect.acquireRelease(
        Effect.as(
          Effect.sync(() => others.add(clients)),
          sessionId
        ),
        () => Effect.sync(() => others.delete(clients))
      ),
    sessions: Effect.sync(() => {
      const ofServers = Array.from(servers.all(), ({ upstream }) => upstream.clients)
      return [...ofServers, ...Array.from(others, (clients) => clients())].flatMap(sessionsOf)
    }),
    tools: (name) =>
      Effect.map(
        Option.match(name, {
          onNone: () => Effect.sync(() => [...servers.all()]),
          onSome: (name) => Effect.map(find(name), Array.of)
        }),
        (all) => all.flatMap(({ name, server }) => server.tools(name))
      ),
    pins: (names) => Effect.map(pinned(names), (names) => names.map((name) => pins.show(name))),
    acceptPins: (names) => Effect.map(pinned(names), (names) => names.map((name) => pins.accept(name))),
    logs: (name, { follow }) =>
      Stream.unwrap(
        Effect.map(find(name), ({ server: { log } }) => (follow ? log.follow : Stream.fromIterable([...log.entries()])))
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
  /** When servers start that do not say so themselves (`pool.start`): `"eager"` unless given. */
  readonly start?: "eager" | "lazy" | undefined
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
  /** Where the accepted tools of servers with `pool.pin` stand: those cannot run without. */
  readonly lockFile?: string | undefined
}

/**
 * A pool of servers given in code, under the rules of the configuration: a mistake in one server makes that one
 * `failed`, one in the settings for all fails with `ConfigFileError`. Closing the layer's scope ends every process, as
 * everywhere here.
 */
export const layer = (options: Options): Layer.Layer<McpPool, ConfigFileError | ServerConfigError> =>
  Layer.unwrap(
    Effect.map(PoolConfig.fromServers(options.servers, { pool: options.pool, lockFile: options.lockFile }), (config) =>
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

const logChange = ({ cause, failure, from, pid, place, server, to }: StateChange): Effect.Effect<void> => {
  const limit = limits[cause] === undefined ? (place > 0 ? ` (place ${place})` : "") : ` (${limits[cause]})`
  const step = from === "running" && to === "running" ? "not replaced" : to
  const line = failure === null ? `${server} ${to}${limit}` : `${server} ${step}: ${failure.message}`
  const hint = failure?.hint ?? null
  return (failure === null ? Effect.logInfo(line) : Effect.logWarning(line)).pipe(
    Effect.annotateLogs({ server, ...(pid === null ? {} : { pid }), ...(hint === null ? {} : { hint }) })
  )
}

const limits: { readonly [T in Trigger]?: string } = { age: "maxAge", memory: "maxMemory", idle: "idleStop" }
const maxChanges = 1024
