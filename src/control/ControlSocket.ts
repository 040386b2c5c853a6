/**
 * A connection of `node:net` as an Effect socket. Effect's own adapter (`NodeSocket`) does the same and brings TLS along,
 * which costs the daemon and every command 4.5 MB and 7 ms. Lives as long as its connection.
 */
import { Effect } from "effect"
import { Socket } from "effect/socket"
import type * as Net from "node:net"

/**
 * The connection must have a listener for "error": what is told here is its end. It is read only as far as somebody
 * pulls; when the writer's scope closes it is half-closed.
 */
export const make = (connection: Net.Socket): Socket.Socket =>
  Socket.make({
    reader: Effect.gen(function* () {
      let waiting: ((chunk: Effect.Effect<readonly [Uint8Array], Socket.SocketError>) => void) | undefined
      const look = () => {
        if (waiting === undefined) return
        const chunk: Uint8Array | null = connection.read()
        if (chunk === null && !connection.readableEnded && !connection.destroyed) return
        const resume = waiting
        waiting = undefined
        resume(chunk === null ? Effect.fail(closed(connection)) : Effect.succeed([chunk]))
      }
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          connection.pause()
          for (const event of events) connection.on(event, look)
        }),
        () =>
          Effect.sync(() => {
            for (const event of events) connection.off(event, look)
          })
      )
      return {
        pull: Effect.callback((resume) => {
          waiting = resume
          look()
          return Effect.sync(() => {
            waiting = undefined
          })
        }),
        upgrade: Socket.SocketUpgradeError.unsupported
      }
    }),
    writer: Effect.acquireRelease(
      Effect.succeed({
        write: (chunk: Uint8Array | string | Socket.CloseEvent) =>
          Socket.isCloseEvent(chunk) ? Effect.sync(() => connection.destroy()) : write(connection, chunk),
        writeAll: (chunks: ReadonlyArray<Uint8Array | string>) =>
          Effect.forEach(chunks, (chunk) => write(connection, chunk), { discard: true })
      }),
      () => Effect.sync(() => connection.end())
    )
  })

const events = ["readable", "end", "close"] as const

/** Returns when the connection takes more. */
const write = (connection: Net.Socket, chunk: Uint8Array | string): Effect.Effect<void, Socket.SocketError> =>
  Effect.suspend(() => {
    if (!connection.writable) return Effect.fail(notWritten())
    return connection.write(chunk) ? Effect.void : drained(connection)
  })

const drained = (connection: Net.Socket) =>
  Effect.callback<void, Socket.SocketError>((resume) => {
    const onDrain = () => settle(Effect.void)
    const onClose = () => settle(Effect.fail(notWritten()))
    const stop = () => connection.off("drain", onDrain).off("close", onClose)
    const settle = (result: Effect.Effect<void, Socket.SocketError>) => {
      stop()
      resume(result)
    }
    connection.on("drain", onDrain).on("close", onClose)
    return Effect.sync(stop)
  })

/** As WebSocket numbers them: 1000 is an end, 1006 a break. */
const closed = (connection: Net.Socket) =>
  new Socket.SocketError({ reason: new Socket.SocketCloseError({ code: connection.readableEnded ? 1000 : 1006 }) })

const notWritten = () =>
  new Socket.SocketError({ reason: new Socket.SocketWriteError({ cause: new Error("the connection is closed") }) })
