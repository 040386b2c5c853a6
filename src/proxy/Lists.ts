/**
 * One kind of list (tools, prompts, resources or templates) of all servers, kept while it is fresh. Lives as long as
 * the scope that it is made in.
 */
import { Clock, Deferred, Duration, Effect, Exit, Result, Scope } from "effect"
import { type ConnectionError, type Connections, type ListChange, RequestRejected } from "../Connections.ts"
import { ServerNotFound } from "../PoolError.ts"
import * as Metrics from "../Metrics.ts"
import { methodNotFound } from "../WireError.ts"
import { malformed } from "./ErrorAnswer.ts"

/** The list of one server, as it was last read. */
export interface ServerList<A> {
  readonly server: string
  /** By name or URI, whatever the order in which the server lists them. */
  readonly items: ReadonlyArray<A>
  /** When they were read, in milliseconds since the epoch. */
  readonly readAt: number
  /** Reading them again has failed since: they are the last that are known. */
  readonly isStale: boolean
}

/** What is known of all servers. The same value as long as nothing changes. */
export interface Snapshot<A> {
  /** Of those that have listed, in the order of the configuration. */
  readonly servers: ReadonlyArray<ServerList<A>>
  /** Why the others have not. */
  readonly failures: ReadonlyMap<string, ConnectionError>
}

/** What is asked for. */
export interface Kind<A> {
  /** Which notification tells of its changes. */
  readonly list: ListChange["list"]
  readonly method: string
  /** Where the items stand in a page. */
  readonly key: string
  /** Where an item has its name or URI; what has none is left out. */
  readonly id: keyof A & string
}

/** One kind of list of all servers. */
export interface Lists<A> {
  readonly list: ListChange["list"]
  /** All of them; those that are not fresh are read first, side by side. */
  readonly snapshot: Effect.Effect<Snapshot<A>>
  /** The same where all are fresh, else null; asks nothing. */
  readonly fresh: Effect.Effect<Snapshot<A> | null>
  /** Fails only where the server has never listed any. */
  readonly ofServer: (server: string) => Effect.Effect<ServerList<A>, ConnectionError>
  /** What is known now, fresh or not; null where the server has never listed any. */
  readonly known: (server: string) => ServerList<A> | null
  /** The server says that its list is another: it is read at once, where anybody has asked for it before. */
  readonly outdate: (server: string) => Effect.Effect<void>
}

/** What is kept of one server. */
interface Entry<A> {
  readonly server: string
  known: ServerList<A> | null
  failure: ConnectionError | null
  /** Until then nothing is asked, in milliseconds since the epoch. */
  freshUntil: number
  text: string
  /** Set while the server is being asked; one reading serves all who wait. */
  reading: Deferred.Deferred<void> | null
  /** The server said that they changed while they were being read. */
  isOutdated: boolean
  /** How often it was asked for and fresh, beside those times when all were. */
  hits: number
  /** Of its metric. */
  readonly scope: Scope.Closeable
}

/** Nothing is asked before somebody wants to know; `onChange` is called where a list is another than the one before. */
export const make = Effect.fnUntraced(function* <A>(options: {
  readonly connections: Connections["Service"]
  readonly kind: Kind<A>
  readonly ttl: Duration.Duration
  readonly onChange: (server: string) => void
}): Effect.fn.Return<Lists<A>, never, Scope.Scope> {
  const { connections, kind, onChange } = options
  const scope = yield* Effect.scope
  const ttl = Duration.toMillis(options.ttl)
  const services = yield* Effect.context<never>()
  let entries = new Map<string, Entry<A>>()
  /** Those that the entries are of. */
  let names: ReadonlyArray<string> = []
  let snapshot: Snapshot<A> | null = null
  /** Of the snapshot as a whole. */
  let freshUntil = 0
  /** How often all were asked for and fresh. */
  let hits = 0

  /** Servers come and go. */
  const follow = () => {
    if (names === connections.names) return
    names = connections.names
    const before = entries
    entries = new Map(names.map((server) => [server, before.get(server) ?? enter(server)]))
    for (const [server, { scope }] of before) {
      if (!entries.has(server)) Effect.runSync(Scope.close(scope, Exit.void))
    }
    snapshot = null
    freshUntil = 0
  }
  const enter = (server: string): Entry<A> => {
    const own = Scope.forkUnsafe(scope)
    const entry: Entry<A> = {
      server,
      known: null,
      failure: null,
      freshUntil: 0,
      text: "",
      reading: null,
      isOutdated: false,
      hits: 0,
      scope: own
    }
    Effect.runSyncWith(services)(
      Scope.provide(
        Metrics.registerCacheHits(server, () => hits + entry.hits),
        own
      )
    )
    return entry
  }
  follow()

  const keep = (entry: Entry<A>, now: number, outcome: Result.Result<Pages<A>, ConnectionError>) => {
    snapshot = null
    if (Result.isFailure(outcome)) {
      entry.failure = outcome.failure
      entry.freshUntil = now + retryAfter
      if (entry.known !== null) entry.known = { ...entry.known, isStale: true }
      return
    }
    const { items, ttlMs } = outcome.success
    const text = JSON.stringify(items)
    const isChanged = (entry.known !== null || entry.failure !== null) && text !== entry.text
    entry.failure = null
    entry.text = text
    entry.freshUntil = now + Math.min(ttl, ttlMs ?? ttl)
    entry.known = { server: entry.server, items, readAt: now, isStale: false }
    if (isChanged) onChange(entry.server)
  }

  /** Reads one server's list; interrupted only with the cache, since many may wait for it. */
  const begin = (entry: Entry<A>) =>
    Effect.suspend(() => {
      const reading = Deferred.makeUnsafe<void>()
      entry.reading = reading
      const work = Effect.gen(function* () {
        for (let i = 0; i === 0 || (entry.isOutdated && i < maxReadings); i++) {
          entry.isOutdated = false
          const outcome = yield* Effect.result(pages(connections, kind, entry.server))
          keep(entry, yield* Clock.currentTimeMillis, outcome)
        }
        // It changes faster than it can be read: whoever asks next has it read again.
        if (entry.isOutdated) entry.freshUntil = 0
      }).pipe(
        Effect.onExit((exit) =>
          Effect.sync(() => {
            entry.reading = null
            Deferred.doneUnsafe(reading, exit)
          })
        )
      )
      // At once: a fiber that is interrupted before its start would leave all who wait.
      return Effect.as(Effect.forkIn(work, scope, { startImmediately: true }), reading)
    })

  const read = (entry: Entry<A>) =>
    Effect.suspend(() =>
      entry.reading === null ? Effect.uninterruptible(begin(entry)) : Effect.succeed(entry.reading)
    ).pipe(Effect.flatMap(Deferred.await))

  const isFresh = (entry: Entry<A>, now: number) =>
    entry.reading === null && (entry.known !== null || entry.failure !== null) && now < entry.freshUntil

  const isHit = (entry: Entry<A>, now: number) => {
    const isFreshNow = isFresh(entry, now)
    if (isFreshNow) entry.hits++
    return isFreshNow
  }

  const take = (): Snapshot<A> => {
    const all = [...entries.values()]
    return {
      servers: all.flatMap(({ known }) => (known === null ? [] : [known])),
      failures: new Map(
        all.flatMap(({ failure, known, server }) => (known === null && failure !== null ? [[server, failure]] : []))
      )
    }
  }

  const renewed = Effect.fnUntraced(function* (now: number) {
    const stale = [...entries.values()].filter((entry) => !isHit(entry, now))
    if (stale.length > 0) yield* Effect.forEach(stale, read, { concurrency: "unbounded", discard: true })
    freshUntil = Math.min(...[...entries.values()].map((entry) => entry.freshUntil))
    snapshot ??= take()
    return snapshot
  })

  const freshAt = (now: number) => {
    follow()
    return now < freshUntil ? snapshot : null
  }

  return {
    list: kind.list,
    snapshot: Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const fresh = freshAt(now)
      if (fresh === null) return renewed(now)
      hits++
      return Effect.succeed(fresh)
    }),
    fresh: Effect.map(Clock.currentTimeMillis, freshAt),
    ofServer: Effect.fnUntraced(function* (server) {
      follow()
      const entry = entries.get(server)
      if (entry === undefined) return yield* new ServerNotFound({ server, names: connections.names })
      if (!isHit(entry, yield* Clock.currentTimeMillis)) yield* read(entry)
      return entry.known ?? (yield* Effect.fail(entry.failure ?? new ServerNotFound({ server, names: [] })))
    }),
    known: (server) => {
      follow()
      return entries.get(server)?.known ?? null
    },
    outdate: (server) =>
      Effect.suspend(() => {
        const entry = entries.get(server)
        if (entry === undefined) return Effect.void
        if (entry.reading !== null) entry.isOutdated = true
        entry.freshUntil = 0
        freshUntil = 0
        // What nobody has asked for yet need not be read.
        const isKnown = entry.known !== null || entry.failure !== null
        return isKnown && entry.reading === null ? Effect.asVoid(Effect.forkIn(read(entry), scope)) : Effect.void
      })
  }
})

/** A whole list. */
interface Pages<A> {
  readonly items: ReadonlyArray<A>
  /** The shortest that any page says; null where none does. */
  readonly ttlMs: number | null
}

const pages = Effect.fnUntraced(function* <A>(
  connections: Connections["Service"],
  { id, key, method }: Kind<A>,
  server: string
): Effect.fn.Return<Pages<A>, ConnectionError> {
  const isItem = (value: unknown): value is A =>
    typeof value === "object" && value !== null && typeof (value as Record<string, unknown>)[id] === "string"
  /** By name or URI: what stands there twice is one. */
  const items = new Map<A[keyof A & string], A>()
  let ttlMs: number | null = null
  let cursor: string | undefined
  let count = 0
  do {
    count++
    const params = cursor === undefined ? {} : { cursor }
    const result = yield* Effect.catchIf(
      connections.request(server, method, params, { timeout: listTimeout }),
      // A server that does not know the method has none of them.
      (error) => error._tag === "RequestRejected" && error.code === methodNotFound,
      () => Effect.succeed({ [key]: [] })
    )
    const page = (typeof result === "object" && result !== null ? result : {}) as { readonly [key: string]: unknown }
    const found = page[key]
    if (!Array.isArray(found)) {
      return yield* new RequestRejected({ server, code: malformed, reason: `its answer to ${method} is no list` })
    }
    for (const item of found.filter(isItem)) if (!items.has(item[id])) items.set(item[id], item)
    if (typeof page["ttlMs"] === "number") ttlMs = Math.min(ttlMs ?? Infinity, page["ttlMs"])
    cursor = typeof page["nextCursor"] === "string" ? page["nextCursor"] : undefined
  } while (cursor !== undefined && items.size < maxItems && count < maxPages)
  return { items: [...items.values()].sort((a, b) => (a[id] < b[id] ? -1 : 1)), ttlMs }
})

/** How soon after a failure a server is asked again, in milliseconds. */
const retryAfter = 5000
/** How often a list is read in a row where it changes meanwhile. */
const maxReadings = 5
/** For one page, in milliseconds. */
const listTimeout = 30_000
const maxItems = 10_000
const maxPages = 1000
