/** A client's messages as lines over a Unix socket. Gone with its scope. */
import { Effect, type Scope } from "effect"
import * as net from "node:net"
import type { Channel, Hearing } from "./KitClient.ts"
import * as KitLines from "./KitLines.ts"
import { Broken } from "./KitWaiting.ts"

export const open =
  (path: string) =>
  (hearing: Hearing): Effect.Effect<Channel, Broken, Scope.Scope> =>
    Effect.map(
      Effect.acquireRelease(dial(path), (socket) => Effect.sync(() => socket.destroy())),
      (socket) => channel(socket, hearing)
    )

const dial = (path: string): Effect.Effect<net.Socket, Broken> =>
  Effect.callback((resume) => {
    const socket = net.connect({ path, allowHalfOpen: true })
    socket.once("connect", () => resume(Effect.succeed(socket)))
    // What goes wrong later ends the connection; "close" follows.
    socket.on("error", (error) => resume(Effect.fail(new Broken({ seen: `${path}: ${error.message}` }))))
    return Effect.sync(() => socket.destroy())
  })

const channel = (socket: net.Socket, { onClosed, onText }: Hearing): Channel => {
  KitLines.read(socket, (line) => {
    if (line !== "") onText(line)
  })
  socket.on("end", () => socket.end())
  socket.on("close", onClosed)
  const sendRaw: Channel["sendRaw"] = (bytes) => Effect.sync(() => void socket.write(bytes))
  return {
    send: (message) => sendRaw(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`),
    sendRaw,
    leave: Effect.sync(() => void socket.destroy()),
    socket: {
      halfClose: Effect.sync(() => void socket.end()),
      pause: Effect.sync(() => void socket.pause()),
      resume: Effect.sync(() => void socket.resume())
    }
  }
}
