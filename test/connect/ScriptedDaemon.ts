/** A daemon's socket in the test's own process: each connection is played by the test, word by word. */
import { Effect, Queue, type Scope } from "effect"
import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import type { Open } from "../../src/BridgeProtocol.ts"
import * as RuntimeDir from "../../src/RuntimeDir.ts"
import type { Message } from "./Scene.ts"

/** Connections of `connect`, as they come. */
export interface ScriptedDaemon {
  readonly next: Effect.Effect<Connection>
  /** Takes no more connections, as a daemon that is gone; those that are open stay. */
  readonly close: Effect.Effect<void>
}

export interface Connection {
  /** The next line. */
  readonly heard: Effect.Effect<Message & Open>
  readonly say: (message: object) => Effect.Effect<void>
  readonly sayRaw: (text: string) => Effect.Effect<void>
  /** As a daemon that is killed. */
  readonly kill: Effect.Effect<void>
  /** Returns once the other side has sent its last byte. */
  readonly ended: Effect.Effect<void>
}

/** Listens until the scope closes. */
export const listen = (file: string): Effect.Effect<ScriptedDaemon, never, Scope.Scope> =>
  Effect.gen(function* () {
    const connections = yield* Queue.unbounded<Connection>()
    const open = new Set<net.Socket>()
    fs.mkdirSync(path.dirname(file), { recursive: true })
    const server = net.createServer({ allowHalfOpen: true }, (socket) => {
      open.add(socket)
      Queue.offerUnsafe(connections, played(socket))
    })
    const close = Effect.callback<void>((resume) => {
      server.close()
      // Node removes the socket's file with that.
      resume(Effect.void)
    })
    yield* Effect.acquireRelease(
      Effect.callback<void>((resume) => void server.listen(file, () => resume(Effect.void))),
      () =>
        Effect.sync(() => {
          server.close()
          for (const socket of open) socket.destroy()
        })
    )
    return { next: Queue.take(connections), close }
  })

/** At the socket for `connect`. */
export const listenAt = (runtimeDir: string) => listen(RuntimeDir.connectSocket(runtimeDir))

const played = (socket: net.Socket): Connection => {
  const lines = Effect.runSync(Queue.unbounded<Message & Open>())
  let text = ""
  socket.setEncoding("utf8").on("data", (chunk) => {
    text += chunk
    const whole = text.split("\n")
    text = whole.pop()!
    for (const line of whole) Queue.offerUnsafe(lines, JSON.parse(line))
  })
  socket.on("error", () => {})
  const sayRaw = (raw: string) => Effect.callback<void>((resume) => void socket.write(raw, () => resume(Effect.void)))
  return {
    heard: Queue.take(lines),
    say: (message) => sayRaw(`${JSON.stringify(message)}\n`),
    sayRaw,
    kill: Effect.sync(() => void socket.destroy()),
    ended: Effect.callback((resume) => {
      if (socket.readableEnded) return resume(Effect.void)
      socket.once("end", () => resume(Effect.void))
    })
  }
}
