/**
 * The connections of a listening socket, kept until somebody handles them: the daemon claims `control.sock` before it
 * has loaded what serves it, and `connect.sock` before it has servers. Plain callbacks; lives as long as its `net.Server`,
 * which it does not close.
 */
import type { Server, Socket } from "node:net"

export interface HeldConnections {
  /** Hands over the connections that wait and those to come, which are not read from yet. The returned function takes the handler back. */
  readonly onConnection: (handler: (socket: Socket) => void) => () => void
  /** Ends every connection: at once where something is still unread, else after what was written has gone out. */
  readonly close: () => void
}

/** Call this before the server listens, or in the same tick. */
export const hold = (server: Server): HeldConnections => {
  const open = new Set<Socket>()
  const waiting = new Set<Socket>()
  const wait = (socket: Socket) => {
    if (waiting.size < maxWaiting) waiting.add(socket)
    else socket.destroy()
  }
  let handle = wait
  server.on("connection", (socket) => {
    socket.pause()
    open.add(socket)
    socket.once("close", () => {
      open.delete(socket)
      waiting.delete(socket)
    })
    // A client that resets its connection has left; "close" follows.
    socket.on("error", () => {})
    handle(socket)
  })
  return {
    onConnection: (handler) => {
      handle = handler
      for (const socket of waiting) handler(socket)
      waiting.clear()
      return () => {
        handle = wait
      }
    },
    close: () => {
      for (const socket of open) {
        if (socket.writableLength === 0) socket.destroySoon()
        else socket.destroy()
      }
    }
  }
}

const maxWaiting = 64
