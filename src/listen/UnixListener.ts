/**
 * Serves every server of the pool at a Unix socket of its own: bytes of a connection in, a session out. A stopped or
 * failed server's socket stays. Lives as long as its layer's scope.
 */
import { Context, Effect, Exit, Layer, Option, Result, Scope, Semaphore } from "effect"
import * as fs from "node:fs"
import * as net from "node:net"
import { type Endpoint, McpPool } from "../McpPool.ts"
import { SocketUnusable } from "../PoolError.ts"
import * as RuntimeDir from "../RuntimeDir.ts"
import * as SocketFile from "./SocketFile.ts"
import * as SocketSessions from "./SocketSessions.ts"

/** Serves the servers of the pool at their sockets, as it did when it was built or last told to look. */
export class UnixListener extends Context.Service<
  UnixListener,
  {
    /**
     * Looks which names the pool has now: those without a socket get one, or another where that is configured elsewhere;
     * the sockets of names that are gone are closed, and their directories stay. Fails with none; tells what could not be.
     */
    readonly update: Effect.Effect<ReadonlyArray<SocketUnusable>>
  }
>()("effect-mcp-pool/listen/UnixListener") {}

/** A name's socket. */
interface Listening {
  readonly scope: Scope.Closeable
  /** What its sessions get. */
  endpoint: Endpoint
}

/** Listens for all servers that the pool has, until the scope closes. */
export const make = Effect.fnUntraced(function* (options: {
  readonly runtimeDir: string
}): Effect.fn.Return<UnixListener["Service"], SocketUnusable, McpPool | SocketSessions.SocketSessions | Scope.Scope> {
  const pool = yield* McpPool
  const scope = yield* Effect.scope
  const sessions = yield* SocketSessions.SocketSessions
  const oneAtATime = yield* Semaphore.make(1)
  const all = new Map<string, Listening>()

  const open = Effect.fnUntraced(function* (name: string, endpoint: Endpoint) {
    const { socket, socketGroup, socketMode } = endpoint.settings
    const file = socket ?? RuntimeDir.serverSocket(options.runtimeDir, name)
    yield* pointTo(RuntimeDir.socketPathFile(options.runtimeDir, name), socket)
    const listening: Listening = { scope: yield* Scope.fork(scope), endpoint }
    const server = net.createServer({ allowHalfOpen: true }, (socket) =>
      sessions.accept(socket, { name, endpoint: listening.endpoint })
    )
    yield* SocketFile.listen(server, {
      path: file,
      mode: socketMode,
      group: socketGroup,
      ownsDirectory: socket === undefined
    }).pipe(
      Effect.andThen(pool.serve(name, file)),
      Scope.provide(listening.scope),
      Effect.onError(() => Scope.close(listening.scope, Exit.void))
    )
    all.set(name, listening)
  })

  const close = Effect.fnUntraced(function* (name: string, { scope }: Listening) {
    all.delete(name)
    yield* Scope.close(scope, Exit.void)
  })

  const update = Effect.gen(function* () {
    const endpoints = new Map<string, Endpoint>()
    for (const name of pool.names) {
      const endpoint = yield* Effect.option(pool.endpoint(name))
      if (Option.isSome(endpoint)) endpoints.set(name, endpoint.value)
    }
    for (const [name, listening] of Array.from(all)) {
      const endpoint = endpoints.get(name)
      if (endpoint === undefined || !isServedTheSame(listening.endpoint, endpoint)) yield* close(name, listening)
      else listening.endpoint = endpoint
    }
    const failures: Array<SocketUnusable> = []
    for (const [name, endpoint] of endpoints) {
      if (all.has(name)) continue
      const opened = yield* Effect.result(open(name, endpoint))
      if (Result.isFailure(opened)) failures.push(opened.failure)
    }
    return failures
  }).pipe(Effect.uninterruptible, oneAtATime.withPermits(1))

  yield* Effect.forEach(
    pool.names,
    (name) => Effect.flatMap(Effect.orDie(pool.endpoint(name)), (endpoint) => open(name, endpoint)),
    { discard: true }
  )
  return UnixListener.of({ update })
})

/**
 * Listens for all servers of the pool under the runtime directory: `servers/<name>/mcp.sock`, or where `pool.socket`
 * says; one message a line, as on stdio
 * (https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#stdio). Fails with `SocketUnusable` where
 * somebody else's socket or file is there. After the seeds' shim and bridge, which relayed one connection, or
 * broadcast.
 */
export const layer = (options: { readonly runtimeDir: string }): Layer.Layer<UnixListener, SocketUnusable, McpPool> =>
  Layer.effect(UnixListener, make(options)).pipe(Layer.provide(SocketSessions.layer))

/** Whether the socket of the one is a socket of the other. */
const isServedTheSame = (a: Endpoint, b: Endpoint): boolean =>
  a.upstream === b.upstream &&
  a.settings.socket === b.settings.socket &&
  a.settings.socketMode === b.settings.socketMode &&
  a.settings.socketGroup === b.settings.socketGroup

/** Leaves word for `connect` of a socket that is elsewhere. */
const pointTo = (file: string, socket: string | undefined): Effect.Effect<void, SocketUnusable> =>
  Effect.try({
    try: () => {
      fs.mkdirSync(file.slice(0, file.lastIndexOf("/")), { recursive: true, mode: 0o700 })
      if (socket === undefined) fs.rmSync(file, { force: true })
      else fs.writeFileSync(file, socket, { mode: 0o600 })
    },
    catch: (cause) => new SocketUnusable({ path: file, reason: (cause as Error).message })
  })
