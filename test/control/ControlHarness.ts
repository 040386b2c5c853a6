/** A control socket in a directory of its own, answered by the real ControlServer over a scripted pool. */
import { Context, Effect, Exit, Latch, Layer, Option, PubSub, Scope, Stream } from "effect"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import type { DaemonStatus } from "../../src/control/ControlApi.ts"
import * as HeldConnections from "../../src/listen/HeldConnections.ts"
import * as ControlServer from "../../src/control/ControlServer.ts"
import * as Shutdown from "../../src/control/Shutdown.ts"
import { McpPool } from "../../src/McpPool.ts"
import type { LogEntry } from "../../src/server/LogEntry.ts"
import type { Drained, ServerStatus, SessionStatus, ToolStatus } from "../../src/PoolStatus.ts"
import { type RestartFailed, ServerNotFound } from "../../src/PoolError.ts"
import * as Reload from "../../src/daemon/Reload.ts"
import * as RuntimeDir from "../../src/RuntimeDir.ts"
import type { Failure, ServerState, StateChange } from "../../src/server/ServerState.ts"

export const server = (name: string, over: Partial<ServerStatus> = {}): ServerStatus => ({
  name,
  state: "running",
  fingerprint: "0123456789abcdef",
  pid: 4711,
  processes: [{ pid: 4711, startedAt: "2026-01-01T00:00:00.000Z", memory: 50_331_648, inFlight: 0, draining: false }],
  restarts: 0,
  sessions: 2,
  inFlight: 1,
  tools: 3,
  socket: null,
  startedAt: "2026-01-01T00:00:00.000Z",
  lastFailure: null,
  failures: [],
  ...over
})

/** How a process ended that had run. */
export const failure = (over: Partial<Failure> = {}): Failure => ({
  at: "2026-01-01T00:00:00.000Z",
  phase: "running",
  kind: "ProcessExited",
  message: 'server "git" exited with code 3',
  classification: "unknown",
  pid: 4711,
  uptime: 1000,
  exitCode: 3,
  signal: null,
  inFlight: 0,
  stderr: [],
  hint: null,
  nextAttemptAt: null,
  ...over
})

export const failed = (name: string): ServerStatus => {
  const lastFailure = failure({
    phase: "spawn",
    kind: "SpawnFailed",
    message: `server "${name}" did not start: nope: ENOENT`,
    classification: "command-not-found",
    pid: null,
    uptime: null,
    exitCode: null,
    hint: "is nope on the PATH?"
  })
  return server(name, {
    state: "failed",
    pid: null,
    processes: [],
    sessions: 0,
    inFlight: 0,
    tools: null,
    startedAt: null,
    lastFailure,
    failures: [lastFailure]
  })
}

export interface Script {
  /** Where it serves HTTP; nowhere unless given. */
  readonly http?: DaemonStatus["http"]
  readonly servers: ReadonlyArray<ServerStatus>
  readonly tools?: ReadonlyArray<ToolStatus>
  readonly sessions?: ReadonlyArray<SessionStatus>
  readonly logs?: ReadonlyArray<LogEntry>
  /** What `start` and `restart` make of a server. */
  readonly becomes?: ServerState
  /** What `restart` fails with, unless it is to stop the old process first. */
  readonly restartFails?: RestartFailed
  /** What a handover comes to; unless given, that nobody is connected. */
  readonly drained?: Drained
  /** What `reload` says. */
  readonly reload?: Reload.Reload["Service"]["reload"]
  /** `awaitSettled` never returns. */
  readonly unsettled?: boolean
}

export interface Pool {
  readonly layer: Layer.Layer<McpPool>
  /** Steps a server into a state, seen by those who watch. */
  readonly step: (name: string, to: ServerState) => Effect.Effect<void>
  /** Open while nobody watches or follows. */
  readonly idle: Latch.Latch
}

/** A pool without processes. */
export const makePool = Effect.fnUntraced(function* (script: Script) {
  const servers = new Map(script.servers.map((status) => [status.name, status]))
  const names = [...servers.keys()]
  const steps = yield* PubSub.unbounded<StateChange>()
  const idle = yield* Latch.make(true)

  const step = (name: string, to: ServerState) =>
    Effect.suspend(() => {
      const before = servers.get(name)!
      servers.set(name, { ...before, state: to, lastFailure: to === "failed" ? failed(name).lastFailure : null })
      return PubSub.publish(steps, {
        server: name,
        from: before.state,
        to,
        at: "2026-01-01T00:00:01.000Z",
        pid: before.pid,
        cause: "request",
        place: 0,
        failure: null
      })
    }).pipe(Effect.asVoid)

  const known = (name: string) =>
    servers.has(name) ? Effect.void : Effect.fail(new ServerNotFound({ server: name, names }))
  const stepTo = (to: ServerState) => (name: string) => Effect.andThen(known(name), step(name, to))
  const changes = Stream.unwrap(
    Effect.as(
      Effect.acquireRelease(idle.close, () => idle.open),
      Stream.fromPubSub(steps)
    )
  )

  const pool: Layer.PartialEffectful<McpPool["Service"]> = {
    names,
    status: Effect.sync(() => [...servers.values()]),
    changes,
    isRunning: (name) => Effect.sync(() => servers.get(name)?.state === "running"),
    healthCheck: (name) => Effect.sync(() => servers.has(name)),
    start: stepTo(script.becomes ?? "running"),
    stop: stepTo("stopped"),
    restart: (name, options) =>
      script.restartFails === undefined || options?.now === true
        ? stepTo(script.becomes ?? "running")(name)
        : Effect.fail(script.restartFails),
    startAll: Effect.void,
    stopAll: Effect.void,
    awaitSettled: script.unsettled === true ? Effect.never : Effect.void,
    socketPath: () => Effect.succeed(Option.none()),
    socketPaths: Effect.succeed({}),
    sessions: Effect.succeed(script.sessions ?? []),
    tools: (name) =>
      Effect.as(
        Option.match(name, { onNone: () => Effect.void, onSome: known }),
        (script.tools ?? []).filter((tool) => Option.isNone(name) || tool.server === name.value)
      ),
    logs: (name, { follow }) =>
      Stream.fromEffect(known(name)).pipe(
        Stream.flatMap(() => {
          const past = Stream.fromIterable(script.logs ?? [])
          return follow ? Stream.concat(past, Stream.drain(changes)) : past
        })
      )
  }
  return { layer: Layer.mock(McpPool, pool), step, idle } satisfies Pool as Pool
})

/** A directory that is removed when the scope closes; short, since a socket's path is. */
export const temporaryDirectory = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Fs.realpathSync(Os.tmpdir()), "pool-"))),
  (directory) => Effect.sync(() => Fs.rmSync(directory, { recursive: true, force: true }))
)

export const facts = (runtimeDir: string): Omit<DaemonStatus, "servers"> => ({
  pid: 4242,
  version: "1.2.3",
  startedAt: "2026-01-01T00:00:00.000Z",
  runtimeDir,
  http: null
})

/** Listens at a directory's control socket; what connects waits until `ControlServer` is there. */
export const listen = Effect.fnUntraced(function* (runtimeDir: string) {
  const server = yield* Effect.acquireRelease(
    Effect.sync(() => Net.createServer({ allowHalfOpen: true })),
    (server) => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
  )
  const listener = HeldConnections.hold(server)
  yield* Effect.addFinalizer(() => Effect.sync(listener.close))
  yield* Effect.callback<void>((resume) => {
    server.listen(RuntimeDir.controlSocket(runtimeDir), () => resume(Effect.void))
  })
  return listener
})

export interface Daemon extends Pool {
  readonly runtimeDir: string
  readonly shutdown: Shutdown.Shutdown["Service"]
  /** Stops serving: the daemon is gone, the directory stays. */
  readonly close: Effect.Effect<void>
}

/** What `reload` says; nothing unless given. */
export const layerReload = (
  reload: Reload.Reload["Service"]["reload"] = Effect.succeed({ servers: [], warnings: [], problems: [] })
) => Layer.succeed(Reload.Reload, { reload, register: () => Effect.void })

/** What a daemon is to the command line, until it is closed or the scope is. */
export const serve = Effect.fnUntraced(function* (script: Script) {
  const runtimeDir = yield* temporaryDirectory
  const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
  const scripted = yield* makePool(script)
  const { drained } = script
  const real = Context.get(yield* Layer.build(Shutdown.layer), Shutdown.Shutdown)
  const shutdown = drained === undefined ? real : { ...real, handover: () => Effect.succeed(drained) }
  yield* Effect.gen(function* () {
    const listener = yield* listen(runtimeDir)
    yield* Layer.build(
      ControlServer.layer({ listener, daemon: () => ({ ...facts(runtimeDir), http: script.http ?? null }) }).pipe(
        Layer.provide([scripted.layer, Layer.succeed(Shutdown.Shutdown, shutdown), layerReload(script.reload)])
      )
    )
  }).pipe(Scope.provide(scope))
  return { ...scripted, runtimeDir, shutdown, close: Scope.close(scope, Exit.void) } satisfies Daemon as Daemon
})
