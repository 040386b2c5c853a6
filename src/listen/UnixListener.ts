/**
 * Serves every server of the pool at a Unix socket of its own: bytes of a connection in, a session out. A stopped or
 * failed server's socket stays. Lives as long as its layer's scope.
 */
import { Effect, Layer, type Scope } from "effect"
import * as fs from "node:fs"
import * as net from "node:net"
import { LineWriter } from "../lines/LineWriter.ts"
import { type Endpoint, McpPool } from "../McpPool.ts"
import { Session } from "../mux/Session.ts"
import { SocketUnusable } from "../PoolError.ts"
import * as RuntimeDir from "../RuntimeDir.ts"
import * as SocketFile from "./SocketFile.ts"

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
      const connections = yield* makeConnections
      yield* Effect.forEach(
        pool.names,
        Effect.fnUntraced(function* (name) {
          const endpoint = yield* Effect.orDie(pool.endpoint(name))
          const { socket, socketGroup, socketMode } = endpoint.settings
          const file = socket ?? RuntimeDir.serverSocket(options.runtimeDir, name)
          yield* pointTo(RuntimeDir.socketPathFile(options.runtimeDir, name), socket)
          const server = net.createServer({ allowHalfOpen: true }, (socket) =>
            connections.accept(socket, name, endpoint)
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
  )

interface Connection {
  readonly socket: net.Socket
  readonly session: Session
  /** The client has sent its last byte; it may still read. */
  isHalfOpen: boolean
}

/** All connections of the listener, with one timer that looks after those that do not read. */
const makeConnections: Effect.Effect<
  { readonly accept: (socket: net.Socket, name: string, endpoint: Endpoint) => void },
  never,
  Scope.Scope
> = Effect.gen(function* () {
  const services = yield* Effect.context<never>()
  const say = Effect.runSyncWith(services)
  const connections = new Set<Connection>()
  let watch: NodeJS.Timeout | null = null

  const close = ({ session, socket }: Connection, reason: string) => {
    if (socket.destroyed) return
    socket.destroy()
    say(
      Effect.logWarning(`session closed: ${reason}`).pipe(
        Effect.annotateLogs({
          server: session.server,
          session: session.id,
          client: session.clientInfo.name ?? "unknown"
        })
      )
    )
  }

  const lookAround = () => {
    const now = Date.now()
    for (const connection of connections) {
      const { waitingSince } = connection.session.out
      if (waitingSince > 0 && now - waitingSince > maxSilence) {
        close(connection, `it reads nothing for ${maxSilence / 1000} s while something waits for it`)
      } else if (connection.isHalfOpen) probe(connection.socket)
    }
  }

  const accept = (socket: net.Socket, name: string, endpoint: Endpoint) => {
    const out = new LineWriter(socket)
    const session = new Session({
      id: endpoint.sessionId(),
      server: name,
      upstream: endpoint.upstream,
      out,
      maxLine: endpoint.settings.maxLine,
      maxUnread: endpoint.settings.maxUnread,
      connection: {
        close: (reason) => close(connection, reason),
        onIdle: () => {
          if (connection.isHalfOpen) out.end()
        }
      }
    })
    const connection: Connection = { socket, session, isHalfOpen: false }
    connections.add(connection)
    watch ??= setInterval(lookAround, watchInterval)
    const feed = (chunk: Buffer) => {
      try {
        session.feed(chunk)
      } catch (cause) {
        // A bug that one client's bytes bring to light must not take the others down.
        say(Effect.logError("this is a bug", cause))
        close(connection, "its message met a bug")
      }
    }
    socket.on("data", feed)
    socket.on("end", () => {
      // The last line may lack its line feed.
      feed(lineFeed)
      connection.isHalfOpen = true
      if (session.inFlight === 0) out.end()
      else probe(socket)
    })
    // What goes wrong with a connection ends it; "close" follows.
    socket.on("error", () => {})
    socket.on("close", () => {
      connections.delete(connection)
      session.close()
      if (connections.size === 0 && watch !== null) {
        clearInterval(watch)
        watch = null
      }
    })
  }

  yield* Effect.addFinalizer(() =>
    Effect.callback<void>((resume) => {
      if (connections.size === 0) return resume(Effect.void)
      for (const { session } of connections) session.out.end()
      // Who does not read its last answers loses them.
      setTimeout(() => {
        for (const { socket } of connections) socket.destroy()
        resume(Effect.void)
      }, lastWords)
    })
  )
  return { accept }
})

/**
 * Tells a client that is gone from one that only sends no more, or that is not read from: they look alike until
 * something is written, and a write of no bytes is enough for the system to say EPIPE where nobody can read any more.
 */
const probe = (socket: net.Socket): void => {
  socket.write("")
}

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

const lineFeed = Buffer.from("\n")
/** Milliseconds. */
const maxSilence = 10_000
const watchInterval = 1000
const lastWords = 50
