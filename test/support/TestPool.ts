/**
 * A real pool of fixtures behind its Unix sockets, in a runtime directory of its own. When its scope closes, nothing that
 * it started may be left: that is asserted for every test that uses it.
 */
import { assert } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Logger, Scope } from "effect"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as PoolConfig from "../../src/config/PoolConfig.ts"
import type { PoolOptions } from "../../src/config/PoolOptions.ts"
import type { ServerOptions } from "../../src/config/ServerSpec.ts"
import * as BridgeProtocol from "../../src/BridgeProtocol.ts"
import * as ConnectListener from "../../src/listen/ConnectListener.ts"
import * as ConnectSocket from "../../src/listen/ConnectSocket.ts"
import * as Opener from "../../src/listen/Opener.ts"
import * as SocketSessions from "../../src/listen/SocketSessions.ts"
import * as UnixListener from "../../src/listen/UnixListener.ts"
import * as McpPool from "../../src/McpPool.ts"
import * as RuntimeDir from "../../src/RuntimeDir.ts"
import * as LineClient from "./LineClient.ts"
import * as Processes from "./Processes.ts"
import * as States from "./States.ts"

/** Entries for the fixtures; each process carries the test's marker and its own label. */
export interface Fixtures {
  readonly marker: string
  /** `server.ts`, in one mode or none. Equal labels and modes are one process. */
  readonly server: (label: string, pool?: PoolOptions, mode?: string) => ServerOptions
  /** `bad.ts` with the manner. */
  readonly bad: (manner: string, pool?: PoolOptions) => ServerOptions
}

/** One line of the pool's own log. */
export interface LogLine {
  readonly level: string
  readonly message: string
  readonly annotations: { readonly [name: string]: unknown }
}

export interface TestPool {
  readonly pool: McpPool.McpPool["Service"]
  readonly sessions: SocketSessions.SocketSessions["Service"]
  readonly runtimeDir: string
  readonly marker: string
  readonly states: States.States
  readonly logged: () => ReadonlyArray<LogLine>
  /** A connection that has sent nothing yet. */
  readonly dial: (server: string) => Effect.Effect<LineClient.LineClient, LineClient.NothingCame, Scope.Scope>
  /** An initialised session. */
  readonly connect: (server: string) => Effect.Effect<LineClient.LineClient, LineClient.NothingCame, Scope.Scope>
  /** The same as `connect` has it, over `connect.sock`. */
  readonly open: (
    server: string,
    capabilities?: object
  ) => Effect.Effect<LineClient.LineClient, LineClient.NothingCame, Scope.Scope>
  /** Gives it another configuration and its sockets another look; what that made of each server, in words. */
  readonly reload: (
    servers: (fixtures: Fixtures) => Readonly<Record<string, ServerOptions>>
  ) => Effect.Effect<Readonly<Record<string, string>>>
  /** Ends it before the test's scope does. */
  readonly close: Effect.Effect<void>
}

/** The pool of the given servers; unless `start` is false, each has run or failed once. */
export const make = Effect.fnUntraced(function* (
  servers: (fixtures: Fixtures) => Readonly<Record<string, ServerOptions>>,
  options: {
    readonly pool?: PoolOptions
    readonly lockFile?: string
    readonly start?: boolean
    readonly runtimeDir?: string
    /** What it knows outlives it, in the runtime directory. */
    readonly remembers?: boolean
    /** That of an earlier one, whose servers are the same then. */
    readonly marker?: string
  } = {}
) {
  const runtimeDir = options.runtimeDir ?? (yield* temporaryDirectory)
  const marker = options.marker ?? `fixture-${randomUUID()}`
  const directory = options.remembers === true ? { directory: runtimeDir } : {}
  const lines: Array<LogLine> = []
  const layer = Layer.merge(UnixListener.layer({ runtimeDir }), ConnectListener.layer).pipe(
    Layer.provide(ConnectSocket.layer({ runtimeDir })),
    Layer.provide(Opener.layer),
    Layer.provideMerge(SocketSessions.layer),
    Layer.provideMerge(
      McpPool.layer({
        servers: servers(fixtures(marker)),
        pool: options.pool,
        lockFile: options.lockFile,
        autoStart: false,
        ...directory
      })
    )
  )
  yield* Effect.addFinalizer(() => nothingLeft(marker))
  const scope = yield* Scope.make()
  yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
  const context = yield* Layer.build(layer).pipe(Scope.provide(scope), Effect.provide(Logger.layer([keep(lines)])))
  const pool = Context.get(context, McpPool.McpPool)
  const sessions = Context.get(context, SocketSessions.SocketSessions)
  const states = yield* States.watch(pool)
  if (options.start !== false) yield* pool.startAll

  const dial = (server: string) => LineClient.connect(RuntimeDir.serverSocket(runtimeDir, server))
  return {
    pool,
    sessions,
    runtimeDir,
    marker,
    states,
    logged: () => lines,
    dial,
    connect: Effect.fnUntraced(function* (server) {
      const client = yield* dial(server)
      const { error } = yield* client.initialize
      assert.isUndefined(error, error?.message)
      return client
    }),
    open: Effect.fnUntraced(function* (server, capabilities = {}) {
      const client = yield* LineClient.connect(RuntimeDir.connectSocket(runtimeDir))
      yield* client.sendRaw(openLine(server))
      yield* client.word("opened")
      yield* client.request("initialize", { protocolVersion: "2025-11-25", capabilities })
      yield* client.notify("notifications/initialized")
      return client
    }),
    reload: Effect.fnUntraced(function* (servers) {
      const config = yield* Effect.orDie(
        PoolConfig.fromServers(servers(fixtures(marker)), { pool: options.pool, lockFile: options.lockFile })
      )
      const changes = yield* pool.reload(config.servers)
      const failures = yield* Context.get(context, UnixListener.UnixListener).update
      assert.deepStrictEqual(failures, [])
      return Object.fromEntries(
        changes.map(({ outcome, reason, server }) => [server, reason === null ? outcome : `${outcome}: ${reason}`])
      )
    }),
    close: Scope.close(scope, Exit.void)
  } satisfies TestPool as TestPool
})

/** What `connect` says first. */
export const openLine = (server: string, project: string | null = null): string =>
  BridgeProtocol.line({ "mcp-pool": "open", protocol: BridgeProtocol.protocol, version: "1.0.0", server, project })

/** A directory that is removed when the scope closes; short, since a socket's path is. */
export const temporaryDirectory: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "pool-"))),
  (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))
)

/** The path of a fixture. */
export const fixture = (name: string): string => path.join(import.meta.dirname, "../fixtures", name)

/** The entries for a marker. */
export const fixtures = (marker: string): Fixtures => ({
  marker,
  server: (label, pool = {}, mode) => ({
    command: process.execPath,
    args: [fixture("server.ts"), `${marker}-${label}`, ...(mode === undefined ? [] : [mode])],
    pool
  }),
  bad: (manner, pool = {}) => ({
    command: process.execPath,
    args: [fixture("bad.ts"), `${marker}-${manner}`, manner],
    pool
  })
})

/** At once: a closed pool has waited for its processes. */
const nothingLeft = (marker: string): Effect.Effect<void> =>
  Effect.map(Processes.killAll(marker), (pids) => assert.deepStrictEqual(pids, [], "processes are left running"))

const keep = (lines: Array<LogLine>) =>
  Logger.make((entry) => {
    const { annotations, level, message } = Logger.formatStructured.log(entry)
    lines.push({ level, message: String(message), annotations })
  })
