/**
 * Serves `connect` at its socket: reads which server is wanted, for which project, and makes a session of the connection.
 * Lives as long as its layer's scope.
 */
import { Cause, Effect, type Fiber, Layer } from "effect"
import type * as net from "node:net"
import * as path from "node:path"
import * as BridgeProtocol from "../BridgeProtocol.ts"
import { version } from "../version.ts"
import { internalError, toRefusal } from "../WireError.ts"
import { ConnectSocket } from "./ConnectSocket.ts"
import { Opener } from "./Opener.ts"
import * as SocketSessions from "./SocketSessions.ts"

/** Takes who comes to `connect`'s socket, and who waits there already. */
export const layer: Layer.Layer<never, never, Opener | ConnectSocket> = Layer.effectDiscard(
  Effect.gen(function* () {
    const connections = yield* ConnectSocket
    const opener = yield* Opener
    const sessions = yield* SocketSessions.SocketSessions
    const fork = Effect.runForkWith(yield* Effect.context<never>())
    const opening = new Set<net.Socket>()

    const answer = (socket: net.Socket, { project, protocol, server }: BridgeProtocol.Open, handOver: HandOver) =>
      opener.open({ server, project }).pipe(
        Effect.match({
          onFailure: (error) => refuse(socket, toRefusal(error)),
          onSuccess: ({ address, endpoint }) => {
            sessions.accept(socket, {
              name: address,
              endpoint,
              opened: {
                "mcp-pool": "opened",
                protocol: Math.min(protocol, BridgeProtocol.protocol),
                version,
                server: address
              },
              ...handOver()
            })
            socket.resume()
          }
        }),
        Effect.catchCause((cause) => {
          if (Cause.hasInterruptsOnly(cause)) return Effect.void
          refuse(socket, bug)
          return Effect.logError("this is a bug", cause)
        }),
        Effect.ensuring(Effect.sync(() => opening.delete(socket)))
      )

    const take = (socket: net.Socket) => {
      if (opening.size >= maxOpening) return void socket.destroy()
      opening.add(socket)
      let fiber: Fiber.Fiber<unknown> | undefined = fork(
        Effect.andThen(
          Effect.sleep(patience),
          Effect.sync(() => socket.destroy())
        )
      )
      // Who has left is not answered.
      socket.once("close", () => {
        opening.delete(socket)
        fiber?.interruptUnsafe()
      })
      readOpen(socket, (open, handOver) => {
        fiber?.interruptUnsafe()
        fiber = fork(answer(socket, open, handOver))
        fiber.addObserver(() => (fiber = undefined))
      })
    }
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const socket of opening) socket.destroy()
      })
    )
    yield* Effect.acquireRelease(
      Effect.sync(() => connections.onConnection(take)),
      (detach) => Effect.sync(detach)
    )
  })
).pipe(Layer.provide(SocketSessions.layer))

/** Stops reading here, and gives what came after the first line. */
type HandOver = () => { readonly read: Buffer; readonly isHalfOpen: boolean }

/** Reads the first line of a connection, and closes it where that is no {@link BridgeProtocol.Open}. */
const readOpen = (socket: net.Socket, onOpen: (open: BridgeProtocol.Open, handOver: HandOver) => void): void => {
  let isOpen = false
  let isHalfOpen = false
  let chunks: Array<Buffer> = []
  let size = 0
  const onData = (chunk: Buffer) => {
    const end = isOpen ? -1 : chunk.indexOf(lineFeed)
    chunks.push(chunk)
    size += chunk.length
    if (isOpen) {
      if (size > maxRead) socket.pause()
      return
    }
    if (size > maxRead) return void socket.destroy()
    if (end === -1) return
    const line = Buffer.concat([...chunks.slice(0, -1), chunk.subarray(0, end)])
    const open = openOf(line.toString("utf8"))
    if (open === undefined) return void socket.destroy()
    isOpen = true
    chunks = [chunk.subarray(end + 1)]
    onOpen(open, handOver)
  }
  const onEnd = () => {
    if (!isOpen) return void socket.destroy()
    isHalfOpen = true
    // EPIPE where nobody reads either.
    socket.write("")
  }
  const handOver = () => {
    socket.off("data", onData).off("end", onEnd)
    return { read: Buffer.concat(chunks), isHalfOpen }
  }
  socket.on("data", onData)
  socket.on("end", onEnd)
  socket.on("error", () => {})
  socket.resume()
}

/** A name and a directory: nothing else that a client says counts. */
const openOf = (text: string): BridgeProtocol.Open | undefined => {
  const word = BridgeProtocol.parse<BridgeProtocol.ConnectWord>(text)
  if (word?.["mcp-pool"] !== "open") return undefined
  const { project = null, protocol, server } = word
  if (typeof server !== "string" || !Number.isInteger(protocol) || protocol < 1) return undefined
  if (project === null) return { ...word, project }
  if (typeof project !== "string" || !path.isAbsolute(project) || project.includes("\0")) return undefined
  return { ...word, project: path.resolve(project) }
}

const refuse = (socket: net.Socket, refusal: Omit<BridgeProtocol.Refused, "mcp-pool">): void => {
  if (socket.destroyed) return
  socket.write(BridgeProtocol.line({ "mcp-pool": "refused", ...refusal }))
  socket.destroySoon()
}

const bug = { kind: "Internal", code: internalError, message: "the daemon met a bug: look into its log", exitCode: 1 }

const lineFeed = 0x0a
/** Bytes: of the first line with what came along, and of what is read ahead while the server is looked for. */
const maxRead = 64 * 1024
/** How many may be looked for at once. */
const maxOpening = 1024
const patience = "5 seconds"
