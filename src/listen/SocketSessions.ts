/**
 * The sessions of all Unix sockets: bytes of a connection in, a session out, and how they end without losing an answer.
 * Lives as long as its layer's scope; closing it says goodbye to every client.
 */
import { Context, Deferred, type Duration, Effect, Exit, type Fiber, Layer, type Scope } from "effect"
import type * as net from "node:net"
import * as BridgeProtocol from "../BridgeProtocol.ts"
import { LineWriter } from "../lines/LineWriter.ts"
import type { Endpoint } from "../McpPool.ts"
import { Session } from "../mux/Session.ts"
import type { Upstream } from "../mux/Upstream.ts"
import { ServerUnavailable } from "../PoolError.ts"
import type { CutOff, Drained } from "../PoolStatus.ts"

/** A connection, and what it is for. */
export interface Accepted {
  /** The server's name, which the session has. */
  readonly name: string
  readonly endpoint: Endpoint
  /** What a client that speaks {@link BridgeProtocol} is told first; undefined for one that speaks MCP alone. */
  readonly opened?: BridgeProtocol.Opened | undefined
  /** What has been read already. */
  readonly read?: Buffer | undefined
  /** The client has sent its last byte already. */
  readonly isHalfOpen?: boolean | undefined
}

/** Sessions that are no connections of a Unix socket. */
export interface Others {
  /** Nothing that is new is begun from now on. */
  readonly hold: Effect.Effect<void>
  /** The same, and returns once all is answered, or at the deadline. */
  readonly drain: (deadline: Duration.Input) => Effect.Effect<Drained>
}

/** Why the daemon ends. */
type EndReason = Exclude<BridgeProtocol.Closing["reason"], "removed">

export class SocketSessions extends Context.Service<
  SocketSessions,
  {
    /**
     * Makes a session of a connection that allows half-open, with nobody else listening to it. It is closed once its server
     * is configured no longer. While the daemon ends, `connect` is kept waiting until it does, and every other connection
     * is closed.
     */
    readonly accept: (socket: net.Socket, accepted: Accepted) => void
    /** The daemon is about to end: every `connect` holds back from now on what its host asks. Returns at once. */
    readonly hold: Effect.Effect<void>
    /**
     * The same, and returns once all that clients have asked is answered, or at the deadline. Sessions of `connect` stay
     * until the daemon ends, since nobody else can serve them before; the others are closed, each as it is answered.
     */
    readonly drain: (options: {
      readonly reason: EndReason
      readonly deadline: Duration.Input
    }) => Effect.Effect<Drained>
    /** Until the scope closes, what is asked of all sessions is asked of these too. */
    readonly include: (others: Others) => Effect.Effect<void, never, Scope.Scope>
  }
>()("effect-mcp-pool/listen/SocketSessions") {}

interface Connection {
  readonly socket: net.Socket
  readonly session: Session
  /** It speaks {@link BridgeProtocol}. */
  readonly isConnect: boolean
  /** The client has sent its last byte; it may still read. */
  isHalfOpen: boolean
  /** Set once it is to end: done when it asks nothing more and all that it has asked is answered. */
  answered: Deferred.Deferred<void> | null
  /** What it has asked before counts, and nothing after. */
  isSilenced: boolean
  /** Why it ends as soon as it is answered; null where it does not, or not by itself. */
  reason: BridgeProtocol.Closing["reason"] | null
  /** When its last word was written, in milliseconds; 0 before. */
  endedAt: number
}

/** The connections of one server, with what waits for its removal. */
interface Group {
  readonly members: Set<Connection>
  readonly watch: Fiber.Fiber<void>
}

/** All connections, with one timer that looks after those that do not read. */
export const make: Effect.Effect<SocketSessions["Service"], never, Scope.Scope> = Effect.gen(function* () {
  const services = yield* Effect.context<never>()
  const say = Effect.runSyncWith(services)
  const fork = Effect.runForkWith(services)
  const groups = new Map<Upstream, Group>()
  const connections = new Set<Connection>()
  const others = new Set<Others>()
  /** They came while the daemon ends. */
  const late = new Set<net.Socket>()
  let watch: NodeJS.Timeout | null = null
  let isEnding = false
  let endReason: EndReason = "shutdown"
  /** Called when the last connection is gone. */
  let onEmpty = () => {}

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
      } else if (connection.endedAt > 0 && now - connection.endedAt > maxSilence) connection.socket.destroy()
      else if (connection.isHalfOpen) probe(connection.socket)
    }
  }

  /** The last word. */
  const end = (connection: Connection, reason: BridgeProtocol.Closing["reason"]) => {
    if (connection.endedAt > 0) return
    connection.endedAt = Date.now()
    const { out } = connection.session
    if (connection.isConnect) out.push(BridgeProtocol.line({ "mcp-pool": "closing", reason }))
    out.end()
  }

  /** Something of a connection has changed that is to end when it is answered. */
  const look = (connection: Connection) => {
    const { answered, isSilenced, reason, session, socket } = connection
    if (answered === null) return
    if (!socket.destroyed) {
      if (!isSilenced || session.inFlight > 0) return
      if (reason !== null) end(connection, reason)
    }
    Deferred.doneUnsafe(answered, Exit.void)
  }

  const silence = (connection: Connection) => {
    connection.isSilenced = true
    connection.session.refusal ??= endingOf(connection.session)
    look(connection)
  }

  /** Asks for a pause where that is understood. */
  const pause = (connection: Connection) => {
    if (connection.answered !== null) return
    connection.answered = Deferred.makeUnsafe()
    if (connection.isConnect) connection.session.out.push(BridgeProtocol.line({ "mcp-pool": "pause" }))
  }

  const accept: SocketSessions["Service"]["accept"] = (socket, { endpoint, isHalfOpen, name, opened, read }) => {
    if (isEnding) {
      if (opened === undefined) socket.destroy()
      else wait(socket)
      return
    }
    const out = new LineWriter(socket)
    if (opened !== undefined) out.push(BridgeProtocol.line(opened))
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
          look(connection)
          if (connection.isHalfOpen) out.end()
        },
        onWord:
          opened === undefined
            ? undefined
            : (text) => {
                const word = BridgeProtocol.parse<BridgeProtocol.ConnectWord>(text)
                if (word?.["mcp-pool"] === "paused" && connection.answered !== null) silence(connection)
                return word !== undefined
              }
      }
    })
    const connection: Connection = {
      socket,
      session,
      isConnect: opened !== undefined,
      isHalfOpen: false,
      answered: null,
      isSilenced: false,
      reason: null,
      endedAt: 0
    }
    connections.add(connection)
    const leave = join(connection, endpoint)
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
    const onEnd = () => {
      // The last line may lack its line feed.
      feed(lineFeed)
      connection.isHalfOpen = true
      connection.isSilenced = true
      session.inputEnded()
      look(connection)
      if (session.inFlight === 0) out.end()
      else probe(socket)
    }
    socket.on("data", feed)
    socket.on("end", onEnd)
    // What goes wrong with a connection ends it; "close" follows.
    socket.on("error", () => {})
    socket.on("close", () => {
      connections.delete(connection)
      leave()
      session.close()
      look(connection)
      if (connections.size > 0) return
      if (watch !== null) clearInterval(watch)
      watch = null
      onEmpty()
    })
    if (read !== undefined) feed(read)
    if (isHalfOpen === true) onEnd()
  }

  /** Until the daemon ends, which is all that it is told. */
  const wait = (socket: net.Socket) => {
    late.add(socket)
    socket.on("error", () => {})
    socket.on("close", () => late.delete(socket))
    // Its end is seen by reading only.
    socket.resume()
    if (late.size > maxLate) socket.destroy()
  }

  const answered = Effect.fnUntraced(function* (
    affected: ReadonlyArray<Connection>,
    deadline: Duration.Input
  ): Effect.fn.Return<Drained> {
    const calls = affected.reduce((sum, { session }) => sum + session.inFlight, 0)
    for (const connection of affected) {
      pause(connection)
      if (!connection.isConnect) silence(connection)
      else look(connection)
    }
    // Who does not say that it has paused is not waited for, and asks nothing more.
    const giveUp = Effect.andThen(
      Effect.andThen(
        Effect.sleep(pausePatience),
        Effect.sync(() => affected.forEach(silence))
      ),
      Effect.never
    )
    yield* Effect.forEach(affected, (connection) => Deferred.await(connection.answered!), {
      concurrency: "unbounded",
      discard: true
    }).pipe(Effect.raceFirst(giveUp), Effect.timeoutOption(deadline))
    affected.forEach(silence)
    const cutOff = affected.filter(({ session, socket }) => session.inFlight > 0 && !socket.destroyed)
    return { sessions: affected.length, calls, cutOff: cutOff.map(({ session }) => cutOffOf(session)) }
  })

  const hold = Effect.suspend(() => {
    isEnding = true
    for (const connection of connections) if (connection.isConnect) pause(connection)
    return Effect.forEach(others, ({ hold }) => hold, { discard: true })
  })

  const include: SocketSessions["Service"]["include"] = (its) =>
    Effect.acquireRelease(
      Effect.sync(() => void others.add(its)),
      () => Effect.sync(() => others.delete(its))
    )

  const drain: SocketSessions["Service"]["drain"] = ({ deadline, reason }) =>
    Effect.suspend(() => {
      isEnding = true
      endReason = reason
      const affected = [...connections]
      for (const connection of affected) if (!connection.isConnect) connection.reason ??= reason
      const drained = [answered(affected, deadline), ...Array.from(others, (its) => its.drain(deadline))]
      return Effect.map(Effect.all(drained, { concurrency: "unbounded" }), together)
    })

  /** One waits for all sessions of a server. */
  const join = (connection: Connection, { removed, upstream }: Endpoint) => {
    const group = groups.get(upstream) ?? {
      members: new Set(),
      watch: fork(Effect.asVoid(Effect.andThen(removed, closeAll(upstream))))
    }
    groups.set(upstream, group)
    group.members.add(connection)
    return () => {
      group.members.delete(connection)
      if (group.members.size > 0) return
      groups.delete(upstream)
      group.watch.interruptUnsafe()
    }
  }

  const closeAll = (upstream: Upstream) =>
    Effect.suspend(() => {
      const affected = [...(groups.get(upstream)?.members ?? [])]
      for (const connection of affected) connection.reason ??= "removed"
      return answered(affected, removalPatience)
    })

  yield* Effect.addFinalizer(() =>
    Effect.callback<void>((resume) => {
      isEnding = true
      for (const socket of late) {
        socket.write(BridgeProtocol.line({ "mcp-pool": "closing", reason: endReason }))
        socket.destroySoon()
      }
      if (connections.size === 0) return resume(Effect.void)
      for (const connection of connections) end(connection, endReason)
      // Who does not read its last answers loses them.
      const patience = setTimeout(() => {
        for (const { socket } of connections) socket.destroy()
      }, lastWords)
      onEmpty = () => {
        clearTimeout(patience)
        resume(Effect.void)
      }
    })
  )
  return SocketSessions.of({ accept, hold, drain, include })
})

/** One for all listeners of a daemon: they get the same, since a layer that is built already is not built again. */
export const layer: Layer.Layer<SocketSessions> = Layer.effect(SocketSessions, make)

const together = (all: ReadonlyArray<Drained>): Drained => ({
  sessions: all.reduce((sum, { sessions }) => sum + sessions, 0),
  calls: all.reduce((sum, { calls }) => sum + calls, 0),
  cutOff: all.flatMap(({ cutOff }) => cutOff)
})

/** What a session's requests are refused with once it is about to end. */
export const endingOf = ({ server }: Pick<Session, "server">): ServerUnavailable =>
  new ServerUnavailable({
    server,
    state: "stopping",
    failure: null,
    hint: "this connection is about to close: ask again over a new one",
    nextAttemptAt: null
  })

/** A session as one that a deadline cut off. */
export const cutOffOf = ({
  clientInfo,
  inFlight,
  server
}: Pick<Session, "clientInfo" | "inFlight" | "server">): CutOff => ({
  server,
  client: clientInfo.name,
  calls: inFlight
})

/**
 * Tells a client that is gone from one that only sends no more, or that is not read from: they look alike until
 * something is written, and a write of no bytes is enough for the system to say EPIPE where nobody can read any more.
 */
const probe = (socket: net.Socket): void => {
  socket.write("")
}

const lineFeed = Buffer.from("\n")
const pausePatience = "5 seconds"
const removalPatience = "10 seconds"
/** How many may wait for the daemon's end. */
const maxLate = 1024
/** Milliseconds. */
const maxSilence = 10_000
const watchInterval = 1000
const lastWords = 50
