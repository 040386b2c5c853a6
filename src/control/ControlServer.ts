/**
 * Answers `ControlApi` over the connections of a listening socket, from `McpPool`. Lives as long as its layer's scope;
 * closing it ends the connections.
 */
import { Effect, Layer, Option, Queue, Stream } from "effect"
import { NetAddress } from "effect/net"
import { RpcSerialization, RpcServer } from "effect/rpc"
import { SocketServer } from "effect/socket"
import type * as NodeNet from "node:net"
import type { HeldConnections } from "../listen/HeldConnections.ts"
import { McpPool } from "../McpPool.ts"
import type { ServerStatus } from "../PoolStatus.ts"
import { Reload } from "../daemon/Reload.ts"
import { ControlApi, type DaemonStatus, type WatchEvent } from "./ControlApi.ts"
import * as ControlSocket from "./ControlSocket.ts"
import { Shutdown } from "./Shutdown.ts"

export interface Options {
  readonly listener: HeldConnections
  /** The daemon at this moment. */
  readonly daemon: () => Omit<DaemonStatus, "servers">
}

export const layer = (options: Options): Layer.Layer<never, never, McpPool | Reload | Shutdown> =>
  // Built last and so closed first: a client that does not read must not keep the daemon from stopping.
  Layer.effectDiscard(Effect.addFinalizer(() => Effect.sync(options.listener.close))).pipe(
    Layer.provide(
      RpcServer.layer(ControlApi, { disableTracing: true, disableFatalDefects: true }).pipe(
        Layer.provide(layerHandlers(options)),
        Layer.provide(RpcServer.layerProtocolSocketServer),
        Layer.provide([layerSocketServer(options.listener), RpcSerialization.layerNdjson])
      )
    )
  )

const layerHandlers = (options: Options) =>
  ControlApi.toLayer(
    Effect.gen(function* () {
      const pool = yield* McpPool
      const reload = yield* Reload
      const shutdown = yield* Shutdown

      const status = Effect.map(pool.status, (servers): DaemonStatus => ({ ...options.daemon(), servers }))

      const statusAfter = <E>(
        change: (name: string, options: { readonly now?: boolean }) => Effect.Effect<void, E>
      ): ((payload: { readonly server: string; readonly now?: boolean }) => Effect.Effect<ServerStatus, E>) =>
        Effect.fnUntraced(function* ({ server, ...options }) {
          yield* change(server, options)
          const servers = yield* pool.status
          const found = servers.find(({ name }) => name === server)
          return found ?? (yield* Effect.die(new Error(`server "${server}" has no status`)))
        })

      const watch = Effect.gen(function* () {
        // Listening starts before the status is taken, so that no step falls between the two.
        const changes = yield* Stream.toQueue(pool.changes, { capacity: maxUnreadChanges, strategy: "sliding" })
        yield* Effect.yieldNow
        const first: WatchEvent = { _tag: "Status", status: yield* status }
        return Stream.fromQueue(changes).pipe(
          Stream.map((change): WatchEvent => ({ _tag: "Change", change })),
          Stream.prepend([first])
        )
      })

      return ControlApi.of({
        Status: () => status,
        Watch: () => Stream.unwrap(watch),
        Settled: () => pool.awaitSettled,
        // In pieces, since the schemas of many tools are longer than one message may be.
        Tools: ({ server }) =>
          Stream.fromEffect(pool.tools(Option.fromNullOr(server))).pipe(
            Stream.flatMap(Stream.fromIterable),
            Stream.rechunk(toolsInOneMessage)
          ),
        Pins: ({ servers }) => Stream.rechunk(Stream.fromIterableEffect(pool.pins(servers)), 1),
        AcceptPins: ({ servers }) => Stream.rechunk(Stream.fromIterableEffect(pool.acceptPins(servers)), 1),
        Sessions: () => pool.sessions,
        Logs: ({ server, follow }) => pool.logs(server, { follow }),
        Start: statusAfter(pool.start),
        Stop: statusAfter(pool.stop),
        Restart: statusAfter(pool.restart),
        Reload: () => reload.reload,
        Handover: ({ timeout }) => shutdown.handover(timeout),
        Shutdown: () => shutdown.request
      })
    })
  )

const maxUnreadChanges = 1024
const toolsInOneMessage = 32

/** A `SocketServer` over sockets that somebody else accepts; effect's own opens its listener itself. */
const layerSocketServer = (listener: HeldConnections): Layer.Layer<SocketServer.SocketServer> =>
  Layer.succeed(
    SocketServer.SocketServer,
    SocketServer.SocketServer.of({
      address: NetAddress.unixPathAddress("control.sock"),
      run: (handler) =>
        Effect.gen(function* () {
          const connections = yield* Queue.unbounded<NodeNet.Socket>()
          yield* Effect.acquireRelease(
            Effect.sync(() => listener.onConnection((connection) => Queue.offerUnsafe(connections, connection))),
            (detach) => Effect.sync(detach)
          )
          return yield* Queue.take(connections).pipe(
            Effect.flatMap((connection) =>
              handler(ControlSocket.make(connection)).pipe(
                // A client that left while it was written to is no error.
                Effect.ignoreCause({ log: "Debug", message: "control connection" }),
                Effect.ensuring(Effect.sync(() => connection.destroySoon())),
                Effect.forkScoped
              )
            ),
            Effect.forever
          )
        }).pipe(Effect.scoped)
    })
  )
