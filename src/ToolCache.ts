/**
 * The tools of all servers, kept while they are fresh: a fresh list costs no message to any server. Lives as long as its
 * layer's scope.
 */
import type { Tool } from "@modelcontextprotocol/sdk/types.js"
import { Clock, Context, Deferred, Duration, Effect, Layer, Result, Stream } from "effect"
import { type ConnectionError, Connections, RequestRejected } from "./Connections.ts"
import { ServerNotFound } from "./PoolError.ts"
import * as Feed from "./server/Feed.ts"

/** The tools of one server. */
export interface ServerTools {
  readonly server: string
  /** By name, whatever the order in which the server lists them. */
  readonly tools: ReadonlyArray<Tool>
  /** When they were read, in milliseconds since the epoch. */
  readonly readAt: number
  /** Reading them again has failed since: they are the last that are known. */
  readonly isStale: boolean
}

/** What is known of all servers. The same value as long as nothing changes. */
export interface Snapshot {
  /** Of those that have listed tools, in the order of the configuration. */
  readonly servers: ReadonlyArray<ServerTools>
  /** Why the others have not. */
  readonly failures: ReadonlyMap<string, ConnectionError>
}

export class ToolCache extends Context.Service<
  ToolCache,
  {
    /** All of them; those that are not fresh are read first, side by side. */
    readonly snapshot: Effect.Effect<Snapshot>
    /** The same where all are fresh, else null; asks nothing. */
    readonly fresh: Effect.Effect<Snapshot | null>
    /** What is known of one server now, fresh or not; asks nothing. Null where it has never listed any. */
    readonly known: (server: string) => ServerTools | null
    /** One server's. Fails only where it has never listed any. */
    readonly ofServer: (server: string) => Effect.Effect<ServerTools, ConnectionError>
    /** The server each time its tools are others than before. A watcher that falls behind by 1,024 loses the oldest. */
    readonly changes: Stream.Stream<string>
  }
>()("effect-mcp-pool/ToolCache") {}

export interface Options {
  /** How long a list is fresh: 300 seconds, or what the server says of its list (`ttlMs`) where that is shorter. */
  readonly ttl?: Duration.Input | undefined
}

/** What is kept of one server. */
interface Entry {
  readonly server: string
  known: ServerTools | null
  failure: ConnectionError | null
  /** Until then nothing is asked, in milliseconds since the epoch. */
  freshUntil: number
  text: string
  /** Set while the server is being asked; one reading serves all who wait. */
  reading: Deferred.Deferred<void> | null
  /** The server said that they changed while they were being read. */
  isOutdated: boolean
}

export const make = Effect.fnUntraced(function* (options: Options = {}) {
  const connections = yield* Connections
  const scope = yield* Effect.scope
  const ttl = Duration.toMillis(options.ttl ?? defaultTtl)
  const changes = Feed.make<string>(maxChanges)
  const entries = new Map(
    connections.names.map((server): [string, Entry] => [
      server,
      { server, known: null, failure: null, freshUntil: 0, text: "", reading: null, isOutdated: false }
    ])
  )
  let snapshot: Snapshot | null = null
  /** Of the snapshot as a whole. */
  let freshUntil = 0

  const keep = (entry: Entry, now: number, outcome: Result.Result<Listed, ConnectionError>) => {
    snapshot = null
    if (Result.isFailure(outcome)) {
      entry.failure = outcome.failure
      entry.freshUntil = now + retryAfter
      if (entry.known !== null) entry.known = { ...entry.known, isStale: true }
      return
    }
    const { tools, ttlMs } = outcome.success
    const text = JSON.stringify(tools)
    const isChanged = (entry.known !== null || entry.failure !== null) && text !== entry.text
    entry.failure = null
    entry.text = text
    entry.freshUntil = now + Math.min(ttl, ttlMs ?? ttl)
    entry.known = { server: entry.server, tools, readAt: now, isStale: false }
    if (isChanged) changes.publish(entry.server)
  }

  /** Reads one server's list; interrupted only with the cache, since many may wait for it. */
  const begin = (entry: Entry) =>
    Effect.suspend(() => {
      const reading = Deferred.makeUnsafe<void>()
      entry.reading = reading
      const work = Effect.gen(function* () {
        for (let i = 0; i === 0 || (entry.isOutdated && i < maxReadings); i++) {
          entry.isOutdated = false
          const outcome = yield* Effect.result(listed(connections, entry.server))
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

  const read = (entry: Entry) =>
    Effect.suspend(() =>
      entry.reading === null ? Effect.uninterruptible(begin(entry)) : Effect.succeed(entry.reading)
    ).pipe(Effect.flatMap(Deferred.await))

  const isFresh = (entry: Entry, now: number) =>
    entry.reading === null && (entry.known !== null || entry.failure !== null) && now < entry.freshUntil

  yield* connections.changes.pipe(
    Stream.runForEach(({ list, server }) => {
      const entry = entries.get(server)
      if (list !== "tools" || entry === undefined) return Effect.void
      if (entry.reading !== null) entry.isOutdated = true
      entry.freshUntil = 0
      freshUntil = 0
      // What nobody has asked for yet need not be read.
      const isKnown = entry.known !== null || entry.failure !== null
      return isKnown && entry.reading === null ? Effect.forkIn(read(entry), scope) : Effect.void
    }),
    Effect.forkScoped({ startImmediately: true })
  )

  const take = (): Snapshot => {
    const all = [...entries.values()]
    return {
      servers: all.flatMap(({ known }) => (known === null ? [] : [known])),
      failures: new Map(
        all.flatMap(({ failure, known, server }) => (known === null && failure !== null ? [[server, failure]] : []))
      )
    }
  }

  const renewed = Effect.fnUntraced(function* (now: number) {
    const stale = [...entries.values()].filter((entry) => !isFresh(entry, now))
    if (stale.length > 0) yield* Effect.forEach(stale, read, { concurrency: "unbounded", discard: true })
    freshUntil = Math.min(...[...entries.values()].map((entry) => entry.freshUntil))
    snapshot ??= take()
    return snapshot
  })

  const freshAt = (now: number) => (now < freshUntil ? snapshot : null)

  return ToolCache.of({
    snapshot: Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const fresh = freshAt(now)
      return fresh === null ? renewed(now) : Effect.succeed(fresh)
    }),
    fresh: Effect.map(Clock.currentTimeMillis, freshAt),
    ofServer: Effect.fnUntraced(function* (server) {
      const entry = entries.get(server)
      if (entry === undefined) return yield* new ServerNotFound({ server, names: connections.names })
      if (!isFresh(entry, yield* Clock.currentTimeMillis)) yield* read(entry)
      return entry.known ?? (yield* Effect.fail(entry.failure ?? new ServerNotFound({ server, names: [] })))
    }),
    known: (server) => entries.get(server)?.known ?? null,
    changes: changes.stream
  })
})

export const layer = (options?: Options): Layer.Layer<ToolCache, never, Connections> =>
  Layer.effect(ToolCache, make(options))

interface Listed {
  readonly tools: ReadonlyArray<Tool>
  /** The shortest that any page says; null where none does. */
  readonly ttlMs: number | null
}

/** All pages of one server's tools. */
const listed = Effect.fnUntraced(function* (
  connections: Connections["Service"],
  server: string
): Effect.fn.Return<Listed, ConnectionError> {
  const tools: Array<Tool> = []
  let ttlMs: number | null = null
  let cursor: string | undefined
  let pages = 0
  do {
    pages++
    const params = cursor === undefined ? {} : { cursor }
    const result = yield* connections.request(server, "tools/list", params, { timeout: listTimeout })
    const page = (typeof result === "object" && result !== null ? result : {}) as { readonly [key: string]: unknown }
    if (!Array.isArray(page["tools"])) {
      return yield* new RequestRejected({ server, code: -32603, reason: "its list of tools is none" })
    }
    tools.push(...(page["tools"] as Array<unknown>).filter(isTool))
    if (typeof page["ttlMs"] === "number") ttlMs = Math.min(ttlMs ?? Infinity, page["ttlMs"])
    cursor = typeof page["nextCursor"] === "string" ? page["nextCursor"] : undefined
  } while (cursor !== undefined && tools.length < maxTools && pages < maxPages)
  return { tools: tools.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)), ttlMs }
})

const isTool = (value: unknown): value is Tool =>
  typeof value === "object" && value !== null && typeof (value as { readonly name?: unknown }).name === "string"

const defaultTtl = "300 seconds"
/** How soon after a failure a server is asked again, in milliseconds. */
const retryAfter = 5000
/** How often a list is read in a row where it changes meanwhile. */
const maxReadings = 5
/** For one page, in milliseconds. */
const listTimeout = 30_000
const maxTools = 10_000
const maxPages = 1000
const maxChanges = 1024
