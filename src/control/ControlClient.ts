/** One connection to a running daemon's control socket. Lives as long as its layer's scope. */
import { Context, Duration, Effect, Latch, Layer, Option, Schedule, Schema, type Scope, Stream } from "effect"
import { RpcClient, RpcClientError, RpcSerialization } from "effect/rpc"
import { Socket } from "effect/socket"
import * as Net from "node:net"
import type { LogEntry } from "../server/LogEntry.ts"
import type {
  Drained,
  PinAccepted,
  PinStatus,
  ReloadReport,
  ServerStatus,
  SessionStatus,
  ToolStatus
} from "../PoolStatus.ts"
import type { ConfigFileError, RestartFailed, ServerConfigError, ServerNotFound } from "../PoolError.ts"
import * as RuntimeDir from "../RuntimeDir.ts"
import { ControlApi, type DaemonStatus, type WatchEvent } from "./ControlApi.ts"
import * as ControlSocket from "./ControlSocket.ts"

/** Nothing answers at the control socket. */
export class DaemonNotRunning extends Schema.TaggedError<DaemonNotRunning>()("DaemonNotRunning", {
  runtimeDir: Schema.String,
  /** The errno name, e.g. `ECONNREFUSED`. */
  code: Schema.String
}) {
  override get message(): string {
    return this.code === "ENOENT" || this.code === "ECONNREFUSED"
      ? `no daemon at ${this.runtimeDir}: start one with "mcp-pool serve"`
      : `no daemon can be reached at ${this.runtimeDir}: ${this.code}`
  }
}

/** The daemon ended, or its connection broke, before it had answered. */
export class DaemonGone extends Schema.TaggedError<DaemonGone>()("DaemonGone", {
  runtimeDir: Schema.String,
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `the daemon at ${this.runtimeDir} closed the connection`
  }
}

/** The daemon is of a version that cannot hand over. */
export class HandoverUnknown extends Schema.TaggedError<HandoverUnknown>()("HandoverUnknown", {
  runtimeDir: Schema.String
}) {
  override get message(): string {
    return `the daemon at ${this.runtimeDir} is too old to hand over: stop it with "mcp-pool shutdown"`
  }
}

/** The daemon is of a version that cannot reload. */
export class ReloadUnknown extends Schema.TaggedError<ReloadUnknown>()("ReloadUnknown", {
  runtimeDir: Schema.String
}) {
  override get message(): string {
    return `the daemon at ${this.runtimeDir} is too old to reload: start it again`
  }
}

/** The daemon is of a version that pins no tools. */
export class PinUnknown extends Schema.TaggedError<PinUnknown>()("PinUnknown", {
  runtimeDir: Schema.String
}) {
  override get message(): string {
    return `the daemon at ${this.runtimeDir} is too old to pin tools: start it again`
  }
}

/** What the command line can ask of a daemon. Each fails with `DaemonGone` where the daemon ends meanwhile. */
export class ControlClient extends Context.Service<
  ControlClient,
  {
    /** The daemon, and each of its servers. */
    readonly status: Effect.Effect<DaemonStatus, DaemonGone>
    /** The whole status once, then each step of each server. */
    readonly watch: Stream.Stream<WatchEvent, DaemonGone>
    /** Returns when each server that was told to start has run or failed once. */
    readonly settled: Effect.Effect<void, DaemonGone>
    /** The tools of one server, or of all. */
    readonly tools: (
      server: Option.Option<string>
    ) => Effect.Effect<ReadonlyArray<ToolStatus>, ServerNotFound | DaemonGone>
    /** How the tools of these servers, or of all that pin theirs, compare with what was accepted. */
    readonly pins: (
      servers: ReadonlyArray<string>
    ) => Effect.Effect<ReadonlyArray<PinStatus>, ServerNotFound | PinUnknown | DaemonGone>
    /** Accepts them as they were listed last. */
    readonly acceptPins: (
      servers: ReadonlyArray<string>
    ) => Effect.Effect<ReadonlyArray<PinAccepted>, ServerNotFound | PinUnknown | DaemonGone>
    /** Who is connected to the daemon's servers. */
    readonly sessions: Effect.Effect<ReadonlyArray<SessionStatus>, DaemonGone>
    /** The last lines of a server's log; with `follow`, the coming ones too. */
    readonly logs: (
      server: string,
      options: { readonly follow: boolean }
    ) => Stream.Stream<LogEntry, ServerNotFound | DaemonGone>
    /** Returns when the server has run or failed, with what became of it, as do `stop` and `restart`. */
    readonly start: (server: string) => Effect.Effect<ServerStatus, ServerNotFound | DaemonGone>
    /** Returns when its processes are gone. */
    readonly stop: (server: string) => Effect.Effect<ServerStatus, ServerNotFound | DaemonGone>
    /** Returns when another process has taken over; `now` ends the one before first. */
    readonly restart: (
      server: string,
      options: { readonly now: boolean }
    ) => Effect.Effect<ServerStatus, ServerNotFound | RestartFailed | DaemonGone>
    /** Has it read its configuration again; returns when what that starts has run or failed. */
    readonly reload: Effect.Effect<ReloadReport, ConfigFileError | ServerConfigError | ReloadUnknown | DaemonGone>
    /**
     * Lets the daemon answer what its clients have asked, up to the timeout, and returns when the control socket refuses,
     * with what came of it.
     */
    readonly handover: (options: {
      readonly timeout: Duration.Input
    }) => Effect.Effect<Drained, HandoverUnknown | DaemonGone>
    /** Asks the daemon to stop and returns when the control socket refuses. */
    readonly shutdown: Effect.Effect<void>
  }
>()("effect-mcp-pool/control/ControlClient") {}

/** Which daemon. */
export interface Options {
  readonly runtimeDir: string
}

/** A connection to the daemon; fails where none serves the directory. */
export const make: (options: Options) => Effect.Effect<ControlClient["Service"], DaemonNotRunning, Scope.Scope> =
  Effect.fnUntraced(function* (options) {
    const { runtimeDir } = options
    const connection = yield* connect(options)
    const closed = yield* Latch.make(false)
    connection.once("close", () => closed.openUnsafe())
    const protocol = yield* RpcClient.makeProtocolSocket({
      retryPolicy: Schedule.recurs(0),
      pingInterval: "1 minute"
    }).pipe(
      Effect.provideService(Socket.Socket, ControlSocket.make(connection)),
      Effect.provideService(RpcSerialization.RpcSerialization, RpcSerialization.ndjson)
    )
    const client = yield* RpcClient.make(ControlApi, { disableTracing: true }).pipe(
      Effect.provideService(RpcClient.Protocol, protocol)
    )

    const orGone = <E>(error: E): Exclude<E, RpcClientError.RpcClientError> | DaemonGone =>
      error instanceof RpcClientError.RpcClientError
        ? new DaemonGone({ runtimeDir, cause: error })
        : // Not narrowed by the compiler, since `E` is a parameter.
          (error as Exclude<E, RpcClientError.RpcClientError>)

    const shutdown = Effect.gen(function* () {
      // A daemon that leaves before it answers does what it was asked.
      yield* Effect.ignore(client.Shutdown())
      yield* closed.await
      yield* Effect.scoped(connect(options)).pipe(Effect.repeat(Schedule.spaced(refusalInterval)), Effect.ignore)
    })

    const ofPins = <A, E>(answers: Stream.Stream<A, E>) =>
      Stream.runCollect(answers).pipe(
        Effect.mapError(orGone),
        Effect.catchDefect((defect) =>
          isUnknownRequest(defect) ? Effect.fail(new PinUnknown({ runtimeDir })) : Effect.die(defect)
        )
      )

    return ControlClient.of({
      status: Effect.mapError(client.Status(), orGone),
      watch: Stream.mapError(client.Watch(), orGone),
      settled: Effect.mapError(client.Settled(), orGone),
      tools: (server) =>
        client.Tools({ server: Option.getOrNull(server) }).pipe(Stream.runCollect, Effect.mapError(orGone)),
      pins: (servers) => ofPins(client.Pins({ servers })),
      acceptPins: (servers) => ofPins(client.AcceptPins({ servers })),
      sessions: Effect.mapError(client.Sessions(), orGone),
      logs: (server, { follow }) => Stream.mapError(client.Logs({ server, follow }), orGone),
      start: (server) => Effect.mapError(client.Start({ server }), orGone),
      stop: (server) => Effect.mapError(client.Stop({ server }), orGone),
      restart: (server, { now }) => Effect.mapError(client.Restart({ server, now }), orGone),
      reload: client.Reload().pipe(
        Effect.mapError(orGone),
        Effect.catchDefect((defect) =>
          isUnknownRequest(defect) ? Effect.fail(new ReloadUnknown({ runtimeDir })) : Effect.die(defect)
        )
      ),
      handover: ({ timeout }) =>
        client.Handover({ timeout: Duration.toMillis(timeout) }).pipe(
          Effect.mapError(orGone),
          Effect.catchDefect((defect) =>
            isUnknownRequest(defect) ? Effect.fail(new HandoverUnknown({ runtimeDir })) : Effect.die(defect)
          ),
          Effect.tap(shutdown)
        ),
      shutdown
    })
  })

/** The same as a layer. */
export const layer = (options: Options): Layer.Layer<ControlClient, DaemonNotRunning> =>
  Layer.effect(ControlClient, make(options))

/** How a daemon of before answers what it does not know. */
const isUnknownRequest = (defect: unknown): boolean => /Unknown request tag/.test(String(defect))

const refusalInterval = "20 millis"
const connectTimeout = "5 seconds"

/** A connection that is open, so that a missing daemon is known before anything is asked. */
const connect = Effect.fnUntraced(function* (options: Options) {
  const { runtimeDir } = options
  const socket = yield* Effect.acquireRelease(
    Effect.sync(() => Net.connect({ path: RuntimeDir.controlSocket(runtimeDir) })),
    (socket) => Effect.sync(() => socket.destroy())
  )
  yield* Effect.callback<void, DaemonNotRunning>((resume) => {
    socket.on("error", (error: NodeJS.ErrnoException) =>
      resume(Effect.fail(new DaemonNotRunning({ runtimeDir, code: error.code ?? "EIO" })))
    )
    socket.once("connect", () => resume(Effect.void))
  }).pipe(
    Effect.timeoutOrElse({
      duration: connectTimeout,
      orElse: () => Effect.fail(new DaemonNotRunning({ runtimeDir, code: "ETIMEDOUT" }))
    })
  )
  return socket
})
