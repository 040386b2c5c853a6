/**
 * `<runtimeDir>/connect.sock`, which is there before any server's own socket is, and as long: a `connect` that finds those
 * alone takes the daemon for an older one, and gets no project's servers. Who comes early waits. Lives as long as its
 * layer's scope.
 */
import { Context, Effect, Layer } from "effect"
import * as net from "node:net"
import type { SocketUnusable } from "../PoolError.ts"
import * as RuntimeDir from "../RuntimeDir.ts"
import * as HeldConnections from "./HeldConnections.ts"
import * as SocketFile from "./SocketFile.ts"

/** Those who come there; they allow half-open. */
export class ConnectSocket extends Context.Service<
  ConnectSocket,
  Pick<HeldConnections.HeldConnections, "onConnection">
>()("effect-mcp-pool/listen/ConnectSocket") {}

/** Listens. Fails with `SocketUnusable` where somebody else's socket or file is there. */
export const layer = (options: { readonly runtimeDir: string }): Layer.Layer<ConnectSocket, SocketUnusable> =>
  Layer.effect(
    ConnectSocket,
    Effect.gen(function* () {
      const server = net.createServer({ allowHalfOpen: true })
      const connections = HeldConnections.hold(server)
      yield* SocketFile.listen(server, { path: RuntimeDir.connectSocket(options.runtimeDir) })
      // Whom nobody has taken; the others are their taker's to end.
      yield* Effect.addFinalizer(() => Effect.sync(() => connections.onConnection((socket) => socket.destroy())))
      return ConnectSocket.of(connections)
    })
  )
