/**
 * Serves the pool over HTTP: at an address, and at `<runtimeDir>/http.sock` for this user's programs. Lives as long as its
 * layer's scope; closing it ends every session and every stream. Loaded only where HTTP is asked for.
 */
import { Cause, type Duration, Effect, Exit, type Fiber, Result, Schedule, type Scope } from "effect"
import { format as prometheusText } from "effect/observability/PrometheusMetrics"
import type * as http from "node:http"
import type * as net from "node:net"
import * as Access from "../http/Access.ts"
import * as Address from "../http/Address.ts"
import { Gateway } from "../http/Gateway.ts"
import { HttpSessions } from "../http/HttpSessions.ts"
import * as OwnAddresses from "../server/remote/OwnAddresses.ts"
import { ModernPosts } from "../http/ModernPosts.ts"
import * as TokenFile from "../http/TokenFile.ts"
import { type Endpoint, McpPool } from "../McpPool.ts"
import type { Upstream } from "../mux/Upstream.ts"
import { HttpUnusable, type SocketUnusable } from "../PoolError.ts"
import type { Drained } from "../PoolStatus.ts"
import * as RuntimeDir from "../RuntimeDir.ts"
import type { HttpOptions } from "../http/HttpOptions.ts"
import * as FollowedPool from "../together/FollowedPool.ts"
import * as SocketFile from "./SocketFile.ts"
import * as SocketSessions from "./SocketSessions.ts"

/** What a listener is told. */
export interface Options extends HttpOptions {
  readonly runtimeDir: string
  /** How long a connection may take for a request, in milliseconds; half a minute unless given. */
  readonly requestTimeout?: number | undefined
}

/** Where a listener is. */
export interface Listening {
  /** Also of an address that it waits for. */
  readonly url: string
  readonly port: number
  /** False as long as another program has the address. */
  readonly isListening: () => boolean
}

/** Listens until the scope closes; returns when it does, or when it waits for its address and serves the socket alone. */
export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<Listening, HttpUnusable | SocketUnusable, McpPool | SocketSessions.SocketSessions | Scope.Scope> {
  const { address, allowedHosts, auth, requestTimeout = 30_000, runtimeDir } = options
  const shown = Address.url(address)
  if (auth === "none" && !Address.isLoopback(address.host)) {
    return yield* new HttpUnusable({
      what: shown,
      reason:
        "others than this machine would get there without a token: leave --http-auth none away, or listen on 127.0.0.1"
    })
  }
  const { createServer }: typeof http = process.getBuiltinModule("node:http")
  const pool = yield* McpPool
  const services = yield* Effect.context<never>()
  const say = Effect.runSyncWith(services)
  const fork = Effect.runForkWith(services)
  const digest = auth === "none" ? null : Access.digestOf(yield* TokenFile.load(runtimeDir))
  const own = Access.hostOf(Address.url(address).slice("http://".length))
  const hosts = new Set([...Access.localHosts, ...(own === undefined ? [] : [own]), ...allowedHosts])

  /** Who is to be told when a server is configured no more; one waits for all of them. */
  const groups = new Map<Upstream, Group>()
  const join = ({ removed, upstream }: Endpoint, onRemoved: () => void) => {
    const tellAll = Effect.sync(() => {
      for (const tell of groups.get(upstream)?.members ?? []) tell()
    })
    const begin = (): Group => ({ members: new Set(), watch: fork(Effect.andThen(removed, tellAll)) })
    const group = groups.get(upstream) ?? begin()
    groups.set(upstream, group)
    group.members.add(onRemoved)
    return () => {
      group.members.delete(onRemoved)
      if (group.members.size > 0) return
      groups.delete(upstream)
      group.watch.interruptUnsafe()
    }
  }

  const all = yield* FollowedPool.make
  const sessions = new HttpSessions({
    maxIdle: Math.max(1, Math.round(options.idle / lookInterval)),
    onOpen: (session, endpoint) =>
      join(endpoint, () => sessions.close(session, 404, "the server is configured no more")),
    onClose: ({ clientInfo, id, server }, reason) =>
      say(
        Effect.logWarning(`session closed: ${reason}`).pipe(
          Effect.annotateLogs({ server, session: id, client: clientInfo.name ?? "unknown" })
        )
      )
  })
  const posts = new ModernPosts({
    socketOf: (server) => RuntimeDir.serverSocket(runtimeDir, server),
    onOpen: join
  })
  const gateway = new Gateway({
    posts,
    rules: { hosts, digest },
    sessions,
    find: (name) => {
      if (name === null) return all.endpoint
      const found = Effect.runSyncExit(pool.endpoint(name))
      if (Exit.isSuccess(found)) return found.value
      const [error] = found.cause.reasons.filter(Cause.isFailReason)
      if (error === undefined) throw Cause.squash(found.cause)
      return error.error
    },
    sendMetrics: (response) => {
      const text = say(prometheusText())
      response.writeHead(200, ["content-type", "text/plain; version=0.0.4; charset=utf-8"])
      response.end(text)
    },
    onBug: (cause) => say(Effect.logError("this is a bug", cause))
  })

  const look = Effect.sync(() => {
    all.follow()
    sessions.look()
    posts.look()
  })
  const hold = Effect.sync(() => {
    gateway.end()
    posts.endListening()
    for (const session of sessions.all) session.refusal ??= SocketSessions.endingOf(session)
  })
  const drain = Effect.fnUntraced(function* (deadline: Duration.Input): Effect.fn.Return<Drained> {
    const affected = sessions.all
    const calls = affected.reduce((sum, { inFlight }) => sum + inFlight, posts.inFlight)
    yield* hold
    const answered = ({ whenAnswered }: Answering) =>
      Effect.callback<void>((resume) => Effect.sync(whenAnswered(() => resume(Effect.void))))
    yield* Effect.all([answered(sessions), answered(posts)], { concurrency: 2 }).pipe(Effect.timeoutOption(deadline))
    const cutOff = sessions.all.filter(({ inFlight }) => inFlight > 0)
    return { sessions: affected.length, calls, cutOff: cutOff.map(SocketSessions.cutOffOf) }
  })
  yield* (yield* SocketSessions.SocketSessions).include({ hold, drain })

  const serverOf = (isLocal: boolean) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const server = createServer({ ...limits, ...timeouts(requestTimeout) }, (request, response) =>
          gateway.handle(request, response, isLocal)
        )
        server.on("checkContinue", (request, response: http.ServerResponse) => {
          // Who is refused need not send the body, and what comes next on the connection is not it.
          response.shouldKeepAlive = false
          gateway.handle(request, response, isLocal)
        })
        server.keepAliveTimeout = keepAlive
        server.maxConnections = maxConnections
        return server
      }),
      (server) =>
        Effect.sync(() => {
          server.close()
          server.closeAllConnections()
        })
    )
  const overTcp = yield* serverOf(false)
  const overSocket = yield* serverOf(true)
  yield* SocketFile.listen(overSocket, { path: RuntimeDir.httpSocket(runtimeDir) })
  yield* OwnAddresses.add({ socket: RuntimeDir.httpSocket(runtimeDir) })
  yield* Effect.forkScoped(Effect.repeat(look, Schedule.spaced(lookInterval)))
  // First of all: streams end with their last event, and what was answered goes out.
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      gateway.end()
      sessions.closeAll(503, "the pool has ended")
      posts.close()
    }).pipe(
      Effect.andThen(Effect.all([closed(overTcp), closed(overSocket)], { concurrency: "unbounded" })),
      Effect.timeoutOption(lastWords)
    )
  )
  const bound = bind(overTcp, address).pipe(
    Effect.uninterruptible,
    Effect.tap((port) => OwnAddresses.add({ host: address.host, port })),
    Effect.map((port) => ({ port, url: Address.url({ host: address.host, port }) })),
    Effect.tap(({ url }) => Effect.logInfo(`HTTP at ${url}${auth === "none" ? " without a token" : ""}`))
  )
  const isListening = () => overTcp.listening
  const first = yield* Effect.result(bound)
  if (Result.isSuccess(first)) return { ...first.success, isListening }
  if (options.waits !== true) return yield* first.failure
  yield* Effect.logError(`${first.failure.message}. It is tried again every ${bindInterval / 1000} s, without a word`)
  yield* Effect.forkScoped(Effect.retry(bound, Schedule.spaced(bindInterval)))
  return { url: shown, port: address.port, isListening }
})

/** Who use a server. */
interface Group {
  readonly members: Set<() => void>
  readonly watch: Fiber.Fiber<void>
}

/** What can be waited for. */
interface Answering {
  readonly whenAnswered: (done: () => void) => () => void
}

/** Says at which port it listens. */
const bind = (server: http.Server, { host, port }: Address.Address): Effect.Effect<number, HttpUnusable> =>
  Effect.callback((resume) => {
    const onError = (error: Error) => {
      server.off("listening", onListening)
      resume(Effect.fail(new HttpUnusable({ what: Address.url({ host, port }), reason: reasonOf(error) })))
    }
    const onListening = () => {
      server.off("error", onError)
      // One connection that cannot be accepted (no descriptors left) is no reason to end.
      server.on("error", () => {})
      resume(Effect.succeed((server.address() as net.AddressInfo).port))
    }
    server.once("error", onError).once("listening", onListening)
    server.listen({ host, port })
  })

/** Returns once nobody is connected any more. */
const closed = (server: http.Server): Effect.Effect<void> =>
  Effect.callback((resume) => {
    // What has just ended is idle once it has gone out.
    const idle = setInterval(() => server.closeIdleConnections(), 5)
    // A turn later: a connection that is closed under its last write costs an error each.
    const close = setImmediate(() =>
      server.close(() => {
        clearInterval(idle)
        resume(Effect.void)
      })
    )
    return Effect.sync(() => {
      clearImmediate(close)
      clearInterval(idle)
    })
  })

const reasonOf = ({ code = "", message }: NodeJS.ErrnoException): string => reasons[code] ?? message

const reasons: Readonly<Record<string, string>> = {
  EADDRINUSE: "another program listens there: end it, or choose another port with --http",
  EADDRNOTAVAIL: "this machine has no such address",
  EACCES: "this user may not listen there: choose a port above 1023 with --http",
  ENOTFOUND: "there is no such host"
}

/** What a connection may take. */
const limits: http.ServerOptions = {
  maxHeaderSize: 16 * 1024,
  requireHostHeader: false
}
const timeouts = (requestTimeout: number): http.ServerOptions => ({
  requestTimeout,
  headersTimeout: Math.min(requestTimeout, 10_000),
  connectionsCheckingInterval: Math.min(requestTimeout, 2000)
})
const keepAlive = 60_000
const maxConnections = 8192
/** Milliseconds. */
const lookInterval = 5000
const bindInterval = 10_000
const lastWords = 50
