/**
 * A server with a process for each session: the session's own `initialize` goes to it, and what it asks comes back to that
 * session alone. One process is kept spawned for the next session. Whoever makes it must `stop` it in the end.
 */
import { Clock, Duration, Effect, Exit, FiberSet, Result, Scope } from "effect"
import { LocalClient } from "../mux/LocalClient.ts"
import type { Client, Replaceable, Upstream } from "../mux/Upstream.ts"
import type { ServerConfigError, SpawnFailed } from "../PoolError.ts"
import { type Hello, helloOf } from "../server/Handshake.ts"
import type { Reaper } from "../server/Reaper.ts"
import type { ServerState, Trigger } from "../server/ServerState.ts"
import * as Stock from "../server/Stock.ts"
import * as SupervisedSharing from "./SupervisedSharing.ts"

interface Own {
  readonly scope: Scope.Closeable
  readonly served: SupervisedSharing.SupervisedSharing
}

/** The server of an entry, stopped; its `sharing` is a session's own. */
export const make = Effect.fnUntraced(function* (
  options: Omit<SupervisedSharing.SupervisedSharingOptions, "beginning">
): Effect.fn.Return<SupervisedSharing.Served, never, Reaper | Scope.Scope> {
  const { account, entry, failures, settings } = options
  const { name } = entry
  const spec = entry._tag === "Configured" ? entry.spec : null
  const isLazy = (settings.start ?? options.start) === "lazy"
  const stock = spec === null ? null : yield* Stock.make(spec, options.log)
  const fill: Effect.Effect<void, SpawnFailed | ServerConfigError> =
    entry._tag === "Misconfigured" ? Effect.fail(entry.error) : (stock?.fill ?? Effect.void)
  const services = yield* Effect.context<Reaper>()
  const run = yield* FiberSet.makeRuntime<never>()
  const owns = new Map<Client, Own | null>()
  let state: ServerState = "stopped"
  /** The first session that needs a process makes it run. */
  let isAsleep = false
  let places = 0
  /** Of the processes of sessions that have left. */
  let restarts = 0

  const go = (to: ServerState, at: number, cause: Trigger, error: SpawnFailed | ServerConfigError | null = null) => {
    if (state === to) return
    const failure = error === null ? null : failures.add(error, { now: at, inFlight: 0, nextAttemptAt: null })
    const change = {
      server: name,
      from: state,
      to,
      at: new Date(at).toISOString(),
      pid: null,
      cause,
      place: 0,
      failure
    }
    state = to
    options.onChange(change)
  }

  /** Makes a session its process, as soon as it says who it is. */
  const open = (client: Client, hello: Hello | null): Own => {
    const place = ++places
    const scope = Scope.makeUnsafe("sequential")
    const made = SupervisedSharing.make({
      ...options,
      // Its process is a session's: it ends with that, and not before.
      settings: { ...settings, sharing: { policy: "shared", min: 1, max: 1 }, start: "eager", idleStop: undefined },
      onChange: (change) => options.onChange({ ...change, place }),
      beginning: () => ({
        hello: hello ?? helloOf(settings),
        // After the first it is up to the pool: the session has said so, and does not say it twice.
        announces: hello === null || client.initialized,
        transport: stock!.take
      })
    })
    // The session asks for something now, and nothing in here waits.
    const served = Effect.runSyncWith(services)(Scope.provide(made, scope))
    const own = { scope, served }
    owns.set(client, own)
    served.sharing.join(client)
    for (const replica of served.sharing.replicas) replica.setUnavailable(null)
    run(served.start)
    return own
  }
  const close = ({ scope, served }: Own) =>
    Effect.uninterruptible(Effect.andThen(served.stop, Scope.close(scope, Exit.void)))
  const of = (client: Client): Own => owns.get(client) ?? open(client, null)
  const all = () => [...owns.values()].filter((own) => own !== null)
  const isThere = () => {
    if (isAsleep) wake()
    return state === "running"
  }
  /** Who asks gets a process spawned; another one for the next session comes beside. */
  const wake = () => {
    isAsleep = false
    const now = Effect.runSyncWith(services)(Clock.currentTimeMillis)
    go("starting", now, "request")
    go("running", now, "ready")
    const failed = (error: SpawnFailed | ServerConfigError) =>
      Effect.map(Clock.currentTimeMillis, (now) => go("failed", now, "failure", error))
    run(fill.pipe(Effect.catch(failed)))
  }
  const refusal = () => SupervisedSharing.unavailable(name, state, failures.all().at(-1))

  const request: Upstream["request"] = (client, line, envelope, method) => {
    if (!isThere()) return account.refuse(client, line, envelope, method, refusal())
    of(client).served.sharing.request(client, line, envelope, method)
  }
  const upstream: Replaceable = {
    isOwn: true,
    listTtl: Duration.toMillis(settings.toolCacheTtl),
    // Each session's own.
    lists: null,
    join: (client) => {
      const own = owns.get(client)
      // It may come back before it has left.
      if (own) own.served.sharing.join(client)
      else owns.set(client, null)
    },
    handOver: (client, next, done) => {
      const own = owns.get(client)
      if (own) own.served.sharing.handOver(client, next, done)
      else done()
    },
    // What a session has of its own process is told of by nobody.
    hasTask: () => false,
    leave: (client) => {
      const own = owns.get(client)
      owns.delete(client)
      if (own === null || own === undefined) return
      own.served.sharing.leave(client)
      restarts += own.served.restarts()
      run(close(own))
    },
    handshake: (client, hello, onHandshake, onRefusal) => {
      if (!isThere()) return onRefusal(refusal())
      const own = owns.get(client) ?? open(client, hello)
      own.served.sharing.handshake(client, hello, onHandshake, onRefusal)
    },
    request,
    // What a session is told of its own process is nobody else's.
    list: request,
    notify: (client, line, method) => owns.get(client)?.served.sharing.notify(client, line, method),
    answer: (client, line, envelope) => owns.get(client)?.served.sharing.answer(client, line, envelope),
    answerProgress: (client, line, envelope) => owns.get(client)?.served.sharing.answerProgress(client, line, envelope),
    inputEnded: (client) => owns.get(client)?.served.sharing.inputEnded(client),
    cancel: (client, id, line, envelope, outcome) =>
      owns.get(client)?.served.sharing.cancel(client, id, line, envelope, outcome),
    levelChanged: (client, done) => {
      if (!isThere()) return done({ kind: "refused", error: refusal() })
      of(client).served.sharing.levelChanged(client, done)
    },
    subscribe: (client, uri, done) => {
      if (!isThere()) return done({ kind: "refused", error: refusal() })
      of(client).served.sharing.subscribe(client, uri, done)
    },
    unsubscribe: (client, uri) => owns.get(client)?.served.sharing.unsubscribe(client, uri)
  }

  const atOnce = <E>(f: (own: Own) => Effect.Effect<void, E>) =>
    Effect.suspend(() => Effect.forEach(all(), f, { concurrency: "unbounded", discard: true }))
  yield* Effect.addFinalizer(() => atOnce(close))
  const start = Effect.gen(function* () {
    isAsleep = false
    if (isThere()) return
    go("starting", yield* Clock.currentTimeMillis, "request")
    const filled = yield* Effect.result(fill)
    const now = yield* Clock.currentTimeMillis
    if (Result.isFailure(filled)) return go("failed", now, "failure", filled.failure)
    go("running", now, "ready")
    yield* atOnce(({ served }) => served.start)
  })

  return {
    upstream,
    tools: () => null,
    listed: Effect.void,
    state: () => state,
    processes: () => all().flatMap(({ served }) => served.processes()),
    restarts: () => all().reduce((sum, { served }) => sum + served.restarts(), restarts),
    isAsleep: () => isAsleep,
    begin: Effect.suspend(() => {
      if (!isLazy || spec === null) return start
      isAsleep = true
      return Effect.void
    }),
    start,
    stop: Effect.gen(function* () {
      isAsleep = false
      if (isThere()) go("stopping", yield* Clock.currentTimeMillis, "request")
      const ended = atOnce(({ served }) => served.stop)
      yield* Effect.all([ended, stock?.drain ?? Effect.void], { concurrency: 2, discard: true })
      go("stopped", yield* Clock.currentTimeMillis, "request")
    }),
    restart: (how) =>
      Effect.andThen(
        start,
        atOnce(({ served }) => served.restart(how))
      ),
    settled: Effect.void,
    proven: Effect.suspend(() => {
      if (!isThere()) return Effect.succeed(false)
      const client = new LocalClient({ id: 0, server: name, upstream, onNotification: () => {} })
      client.open()
      const { served } = open(client, helloOf(settings))
      // Returns when it has run or failed once.
      return served.start.pipe(
        Effect.map(() => served.state() === "running"),
        Effect.ensuring(Effect.sync(() => client.close()))
      )
    }),
    pinsChanged: () => {
      for (const { served } of all()) served.pinsChanged()
    },
    answered: () => Effect.suspend(() => (state === "running" ? Effect.void : Effect.never))
  }
})
