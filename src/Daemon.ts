/**
 * The daemon, and the composition root: how a request finds its way.
 *
 *   client ── Unix socket ── Session ── Switch ── Sharing ── Multiplexer ── ServerProcess ── MCP server
 *             UnixListener              McpPool                             Supervisor
 *             ConnectListener
 *
 * `UnixListener`, and `ConnectListener` for `mcp-pool connect`, turn bytes into sessions, a session knows who asks, the
 * switch knows which server stands behind the name now, sharing knows which process takes the request, the multiplexer
 * matches its answers to requests, the supervisor keeps a process there, and the process is bytes again.
 */
import { Effect, Layer, type LogLevel, Option, Stream } from "effect"
import * as fs from "node:fs"
import * as net from "node:net"
import * as Background from "./daemon/Background.ts"
import * as PoolConfig from "./config/PoolConfig.ts"
import type { DaemonStatus } from "./control/ControlApi.ts"
import * as Shutdown from "./control/Shutdown.ts"
import * as DaemonRecord from "./daemon/DaemonRecord.ts"
import type { HttpOptions } from "./http/HttpOptions.ts"
import * as ConnectListener from "./listen/ConnectListener.ts"
import * as ConnectSocket from "./listen/ConnectSocket.ts"
import * as HeldConnections from "./listen/HeldConnections.ts"
import * as RuntimeClaim from "./listen/RuntimeClaim.ts"
import * as SocketSessions from "./listen/SocketSessions.ts"
import * as UnixListener from "./listen/UnixListener.ts"
import * as Logs from "./Logs.ts"
import * as McpPool from "./McpPool.ts"
import { ConfigFileError } from "./PoolError.ts"
import type { ToolStatus } from "./PoolStatus.ts"
import * as Projects from "./daemon/Projects.ts"
import * as Reload from "./daemon/Reload.ts"
import * as RuntimeDir from "./RuntimeDir.ts"
import * as Turn from "./Turn.ts"
import { version } from "./version.ts"

/** What `mcp-pool serve` was told. */
export interface Options {
  /** Empty: `~/.config/mcp-pool/config.json`. */
  readonly configFiles: ReadonlyArray<string>
  readonly runtimeDir: string
  /** A mistake in one server is a mistake in all. */
  readonly strict: boolean
  /** `connect` started it: see {@link Background}. */
  readonly background?: boolean | undefined
  /** A changed file reloads. */
  readonly watchConfig?: boolean | undefined
  /** How HTTP is served, if it is. */
  readonly http?: HttpOptions | undefined
  readonly logFormat: Logs.Format
  /** The least severe level that is logged; `Info` unless given, and `Debug` logs every call. */
  readonly logLevel?: LogLevel.LogLevel
  /** Called once each server has run or failed once. */
  readonly onReady?: (status: DaemonStatus, tools: ReadonlyArray<ToolStatus>) => Effect.Effect<void>
}

/** Every configured server at its own socket, and all of them at the one of `connect`. */
const layer = (config: PoolConfig.PoolConfig, read: Reload.Options["read"], { background, runtimeDir }: Options) =>
  ConnectListener.layer.pipe(
    Layer.provide(Projects.layer(config)),
    Layer.provideMerge(Reload.layer({ config, read })),
    Layer.provideMerge(UnixListener.layer({ runtimeDir })),
    Layer.provideMerge(ConnectSocket.layer({ runtimeDir })),
    Layer.provideMerge(Layer.merge(SocketSessions.layer, Shutdown.layer)),
    Layer.provideMerge(
      McpPool.layerPoolConfig(config, {
        autoStart: false,
        directory: runtimeDir,
        // Who started it wants one of its servers, if any.
        start: background === true ? "lazy" : "eager"
      })
    )
  )

/** Runs until it is interrupted or asked to shut down; then every process it started is gone. */
export const run = Effect.fnUntraced(
  function* (options: Options) {
    const { background = false, runtimeDir, watchConfig = false } = options
    const told = { ...options, watchConfig }
    const beginning = yield* background ? Background.inBackground(told, runtimeDir) : Background.inForeground(told)
    yield* Effect.gen(function* () {
      const read = Effect.provideService(load(beginning, background), PoolConfig.HostEnvironment, beginning.variables)
      const config = yield* read
      const control = net.createServer()
      const listener = HeldConnections.hold(control)
      yield* RuntimeClaim.make(control, runtimeDir)
      if (background) yield* Background.boundLog(runtimeDir)
      const watched = beginning.watchConfig ? yield* filesOf(beginning) : []
      yield* serve(options, beginning, watched, listener).pipe(Effect.provide(layer(config, read, options)))
    }).pipe(Effect.provideService(PoolConfig.HostEnvironment, beginning.variables))
  },
  Effect.scoped,
  (effect, options) =>
    Effect.provide(effect, Logs.layer({ format: options.logFormat, level: options.logLevel ?? "Info" }))
)

/** Nobody has to write a file before the first `connect`. */
const load = Effect.fnUntraced(function* ({ configFiles, strict }: Background.Told, isFileOptional: boolean) {
  if (configFiles.length > 0) return yield* PoolConfig.loadFiles(configFiles, { strict })
  const file = yield* PoolConfig.defaultFile
  if (isFileOptional && !fs.existsSync(file)) return yield* PoolConfig.loadFiles([])
  return yield* Effect.mapError(PoolConfig.loadFiles([file], { strict }), (error) =>
    error instanceof ConfigFileError ? withAdvice(error) : error
  )
})

const filesOf = ({ configFiles }: Background.Told) =>
  configFiles.length > 0
    ? Effect.succeed(configFiles)
    : Effect.map(PoolConfig.defaultFile, (file): ReadonlyArray<string> => [file])

const reloadOrLog = Reload.Reload.pipe(
  Effect.flatMap(({ reload }) => reload),
  Effect.catch((error) => Effect.logError(`the configuration was not reloaded, and nothing changes: ${error.message}`))
)

const withAdvice = ({ column, file, line, reason }: ConfigFileError): ConfigFileError =>
  new ConfigFileError({ column, file, line, reason: `${reason} (or name a host's own file with --config)` })

/** Fails where HTTP cannot be served, unless it may wait: then that is logged, and all else is served. */
const listenHttp = Effect.fnUntraced(function* (http: HttpOptions, runtimeDir: string) {
  const HttpListener = yield* Effect.promise(() => import("./listen/HttpListener.ts"))
  const listening = HttpListener.make({ ...http, runtimeDir })
  return yield* http.waits === true
    ? listening.pipe(Effect.catch((error) => Effect.as(Effect.logError(error.message), null)))
    : listening
})

/** With the port that the listener got where it was told any. */
const recordOf = ({ record }: Background.Beginning, listener: { readonly port: number } | null) => {
  if (record.http === null || listener === null) return record
  return { ...record, http: { ...record.http, address: { host: record.http.address.host, port: listener.port } } }
}

const serve = Effect.fnUntraced(function* (
  options: Options,
  beginning: Background.Beginning,
  watched: ReadonlyArray<string>,
  listener: HeldConnections.HeldConnections
) {
  const pool = yield* McpPool.McpPool
  const sessions = yield* SocketSessions.SocketSessions
  const shutdown = yield* Shutdown.Shutdown
  const { runtimeDir } = options
  // Who has started this daemon may have ended since.
  yield* Effect.sync(() => Turn.giveBack(RuntimeDir.wakingTurn(runtimeDir)))
  const startedAt = new Date().toISOString()
  yield* Effect.gen(function* () {
    // An address that somebody else has is found out before any process is launched.
    const http = beginning.http === undefined ? null : yield* listenHttp(beginning.http, runtimeDir)
    // A start that fails leaves the next daemon nothing.
    yield* DaemonRecord.write(runtimeDir, recordOf(beginning, http))
    yield* Effect.logInfo(`mcp-pool ${version} serves ${pool.names.length} servers in ${runtimeDir}`)
    yield* Effect.forkChild(pool.startAll, { startImmediately: true })
    // Spawned first, loaded afterwards: servers start while the daemon reads its own code.
    const ControlServer = yield* Effect.promise(() => import("./control/ControlServer.ts"))
    const daemon = () => {
      const url = http?.isListening() === true ? { url: http.url } : null
      return { pid: process.pid, version, startedAt, runtimeDir, http: url }
    }
    yield* Layer.build(ControlServer.layer({ listener, daemon }))
    if (watched.length > 0) {
      const ConfigWatch = yield* Effect.promise(() => import("./daemon/ConfigWatch.ts"))
      yield* Effect.forkChild(Stream.runForEach(ConfigWatch.changes(watched), () => reloadOrLog))
    }
    const { onReady } = options
    if (onReady !== undefined) {
      yield* pool.awaitSettled.pipe(
        Effect.andThen(Effect.all([pool.status, Effect.orDie(pool.tools(Option.none()))])),
        Effect.flatMap(([servers, tools]) => onReady({ ...daemon(), servers }, tools)),
        Effect.forkChild
      )
    }
    yield* shutdown.requested
  }).pipe(
    // Before the listeners go: what is in flight is answered, not cut off, and what comes is held for the next daemon.
    Effect.ensuring(Effect.andThen(sessions.hold, pool.stopAll)),
    Effect.scoped
  )
  yield* Effect.logInfo("stopped")
})
