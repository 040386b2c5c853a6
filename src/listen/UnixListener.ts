/**
 * Serves every server of the pool at a Unix socket of its own: bytes of a connection in, a session out. A stopped or
 * failed server's socket stays. Lives as long as its layer's scope.
 */
import { Effect, Layer } from "effect"
import * as fs from "node:fs"
import * as net from "node:net"
import { McpPool } from "../McpPool.ts"
import { SocketUnusable } from "../PoolError.ts"
import * as RuntimeDir from "../RuntimeDir.ts"
import * as SocketFile from "./SocketFile.ts"
import * as SocketSessions from "./SocketSessions.ts"

/**
 * Listens for all servers of the pool under the runtime directory: `servers/<name>/mcp.sock`, or where `pool.socket`
 * says; one message a line, as on stdio
 * (https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#stdio). Fails with `SocketUnusable` where
 * somebody else's socket or file is there. After the seeds' shim and bridge, which relayed one connection, or
 * broadcast.
 */
export const layer = (options: { readonly runtimeDir: string }): Layer.Layer<never, SocketUnusable, McpPool> =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const pool = yield* McpPool
      const sessions = yield* SocketSessions.SocketSessions
      yield* Effect.forEach(
        pool.names,
        Effect.fnUntraced(function* (name) {
          const endpoint = yield* Effect.orDie(pool.endpoint(name))
          const { socket, socketGroup, socketMode } = endpoint.settings
          const file = socket ?? RuntimeDir.serverSocket(options.runtimeDir, name)
          yield* pointTo(RuntimeDir.socketPathFile(options.runtimeDir, name), socket)
          const server = net.createServer({ allowHalfOpen: true }, (socket) =>
            sessions.accept(socket, { name, endpoint })
          )
          yield* SocketFile.listen(server, {
            path: file,
            mode: socketMode,
            group: socketGroup,
            ownsDirectory: socket === undefined
          })
          yield* pool.serve(name, file)
        }),
        { discard: true }
      )
    })
  ).pipe(Layer.provide(SocketSessions.layer))

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
