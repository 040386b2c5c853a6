/**
 * One process as an `Upstream` of many clients: request ids and progress tokens of its own, one answer for each request,
 * cancellation to the right one, and what waits while no process is there. Plain synchronous code on bytes; it outlives
 * the processes that its supervisor gives it.
 */
import type { Line, LineReceiver, LongLine } from "../lines/LineReader.ts"
import { Line as OwnLine } from "../lines/LineReader.ts"
import type { LineWriter } from "../lines/LineWriter.ts"
import {
  methodNotFound,
  OutcomeUnknown,
  Overloaded,
  QueueTimeout,
  type RequestError,
  RequestTimeout,
  ResultTooLarge
} from "../PoolError.ts"
import type { Handshake, ServerProcess } from "../server/ServerProcess.ts"
import { canonical, elements, Envelope, Key, Shape } from "./Envelope.ts"
import { ListCache } from "./ListCache.ts"
import * as Reply from "./Reply.ts"
import { Subscriptions } from "./Subscriptions.ts"
import { type Client, logLevels, type Outcome, type Refusal, type Upstream } from "./Upstream.ts"
import { decodeString, methodOf, nameOf } from "./Words.ts"

export interface MultiplexerOptions {
  readonly server: string
  readonly logMessages: "owner" | "all" | "none"
  /** Bytes. */
  readonly maxLine: number
  /** Milliseconds. */
  readonly queueTimeout: number
  /** Milliseconds; null for none. */
  readonly requestTimeout: number | null
  /** A line of stdout that is no JSON-RPC message. */
  readonly onStray: (text: string) => void
  /** A request of a client was answered; called only where `onCall` is there. */
  readonly onCall?: (call: {
    readonly session: number
    readonly server: string
    readonly method: string
    readonly tool: string | null
    readonly millis: number
    readonly outcome: string
  }) => void
}

/** A client's request on its way. */
interface Call {
  readonly client: Client
  /** The client's own id, as JSON text. */
  readonly id: string
  /** The client's own progress token, as JSON text; null where it gave none. */
  readonly token: string | null
  readonly method: string
  readonly tool: string | null
  /** Milliseconds since the epoch. */
  readonly since: number
}

/** A request of the pool's own. */
interface Ask {
  readonly client: null
  readonly since: number
  readonly done: (outcome: Outcome<unknown>) => void
}

/** Something that waits for a process. */
interface Waiting {
  readonly client: Client | null
  /** The client's own id, where it is a request that can be cancelled. */
  readonly id: string | null
  readonly bytes: number
  /** Milliseconds since the epoch. */
  readonly deadline: number
  readonly onProcess: (process: ServerProcess) => void
  readonly onRefusal: (error: RequestError) => void
}

export class Multiplexer implements Upstream, LineReceiver {
  readonly clients = new Set<Client>()
  readonly lists: ListCache
  readonly #options: MultiplexerOptions
  readonly #envelope = new Envelope()
  readonly #subscriptions: Subscriptions
  /** By the id under which the server knows them; ids are never used again. */
  readonly #pending = new Map<number, Call | Ask>()
  readonly #held = new Set<Client>()
  #waiting: Array<Waiting> = []
  #nextId = 1
  #stdin: LineWriter | null = null
  #handshake: Handshake | null = null
  /** Why there is no process and none is coming; null while there is hope. */
  #unavailable: RequestError | null
  #level: number | null = null
  #sweeper: NodeJS.Timeout | null = null

  constructor(options: MultiplexerOptions & { readonly unavailable: RequestError }) {
    this.#options = options
    this.#unavailable = options.unavailable
    this.#subscriptions = new Subscriptions((method, params, done) => this.ask(method, params, done))
    this.lists = new ListCache({
      ask: (method, params, done) => this.ask(method, params, done),
      onChanged: () => this.#broadcast(Reply.notification("notifications/tools/list_changed"))
    })
  }

  // --- the process, from the supervisor ---

  /** A process is ready: what waits goes to it. */
  attach(process: ServerProcess): void {
    this.#stdin = process.stdin
    this.#handshake = process.handshake
    this.#unavailable = null
    process.stdin.onDrain = () => this.#resumeHeld()
    process.attach(this)
    this.lists.renew("tools" in process.handshake.capabilities)
    this.#subscriptions.renew()
    if (this.#level !== null) this.#askLevel(this.#level, () => {})
    for (const waiting of this.#waiting.splice(0)) waiting.onProcess(process)
  }

  /** The process has ended, or is being ended: what it holds has an unknown outcome. */
  detach(): void {
    this.#stdin = null
    const error = new OutcomeUnknown({ server: this.#options.server })
    const held = [...this.#pending.values()]
    this.#pending.clear()
    for (const call of held) this.#refuse(call, error)
    this.#resumeHeld()
  }

  /** Without a process: whether one is coming (`null`), or why not. */
  setUnavailable(error: RequestError | null): void {
    this.#unavailable = error
    if (error !== null) for (const waiting of this.#waiting.splice(0)) waiting.onRefusal(error)
  }

  get inFlight(): number {
    return this.#pending.size
  }

  /** Asks the server something for the pool itself. */
  ask(method: string, params: unknown, done: (outcome: Outcome<unknown>) => void): void {
    const send = () => {
      const id = this.#nextId++
      this.#pending.set(id, { client: null, since: Date.now(), done })
      this.#write(Reply.request(id, method, params))
    }
    if (this.#stdin !== null) return send()
    this.#await({ client: null, id: null, bytes: 0, onProcess: send, onRefusal: refuseWith(done) })
  }

  // --- from sessions ---

  join(client: Client): void {
    this.clients.add(client)
  }

  leave(client: Client): void {
    this.clients.delete(client)
    this.#held.delete(client)
    this.#waiting = this.#waiting.filter((waiting) => waiting.client !== client)
    for (const [id, call] of this.#pending) {
      if (call.client !== client) continue
      this.#pending.delete(id)
      this.#write(Reply.notification("notifications/cancelled", { requestId: id, reason: "the client is gone" }))
    }
    this.#subscriptions.leave(client)
    if (client.level !== null) this.#mergeLevels(() => {})
  }

  handshake(client: Client, done: (outcome: Outcome<Handshake>) => void): void {
    const handshake = this.#handshake
    if (handshake !== null) return done({ ok: true, value: handshake })
    this.#await({
      client,
      id: null,
      bytes: 0,
      onProcess: (process) => done({ ok: true, value: process.handshake }),
      onRefusal: refuseWith(done)
    })
  }

  request(client: Client, line: Line, envelope: Envelope, method: string): void {
    const id = line.copy(envelope.start[Key.id]!, envelope.end[Key.id]!)
    if (this.#unavailable !== null) return client.fail(id, this.#unavailable)
    if (client.inFlight >= maxCalls) {
      const reason = `${maxCalls} requests of this client are not answered yet`
      return client.fail(id, new Overloaded({ server: this.#options.server, reason }))
    }
    const token = envelope.has(Key.token) ? line.copy(envelope.start[Key.token]!, envelope.end[Key.token]!) : null
    const call: Call = { client, id, token, method, tool: nameOf(line, envelope), since: Date.now() }
    client.inFlight++
    if (this.#stdin !== null) {
      const upstreamId = this.#nextId++
      this.#pending.set(upstreamId, call)
      spliceRequest(this.#stdin, line, envelope, upstreamId)
      if (this.#options.requestTimeout !== null) this.#sweepSoon()
      return
    }
    const pieces = new Pieces()
    const upstreamId = this.#nextId++
    spliceRequest(pieces, line, envelope, upstreamId)
    const bytes = pieces.copy()
    this.#await({
      client,
      id,
      bytes: bytes.length,
      onProcess: () => {
        this.#pending.set(upstreamId, call)
        this.#write(bytes)
      },
      onRefusal: (error) => this.#refuse(call, error)
    })
  }

  notify(line: Line): void {
    if (this.#stdin !== null) copyLine(this.#stdin, line)
  }

  cancel(client: Client, id: string, line: Line, envelope: Envelope): void {
    const wanted = canonicalId(id)
    const queued = this.#waiting.filter(
      (waiting) => waiting.client === client && waiting.id !== null && canonicalId(waiting.id) === wanted
    )
    this.#waiting = this.#waiting.filter((waiting) => !queued.includes(waiting))
    for (const _ of queued) client.settled()
    for (const [upstreamId, call] of this.#pending) {
      if (call.client !== client || (call.id !== id && canonicalId(call.id) !== wanted)) continue
      this.#pending.delete(upstreamId)
      if (this.#stdin !== null) splice(this.#stdin, line, envelope, Key.requestId, String(upstreamId))
      this.#report(call, "cancelled")
      client.settled()
    }
  }

  levelChanged(_client: Client, done: (outcome: Outcome<unknown>) => void): void {
    const handshake = this.#handshake
    if (handshake !== null && !("logging" in handshake.capabilities)) {
      return done({ ok: false, refusal: { code: methodNotFound, message: "the server offers no logging" } })
    }
    this.#mergeLevels(done)
  }

  subscribe(client: Client, uri: string, done: (outcome: Outcome<unknown>) => void): void {
    this.#subscriptions.subscribe(client, uri, done)
  }

  unsubscribe(client: Client, uri: string): void {
    this.#subscriptions.unsubscribe(client, uri)
  }

  holdIfBlocked(client: Client): void {
    if (this.#stdin === null || !this.#stdin.blocked) return
    this.#held.add(client)
    client.pause()
  }

  // --- from the process ---

  onLine(line: Line): void {
    const envelope = this.#envelope
    const { bytes, end, start } = line
    if (end - start > shortLine && envelope.scanResponse(bytes, start, end)) return this.#response(line)
    const shape = envelope.scan(bytes, start, end)
    if (shape === Shape.message) this.#message(line)
    else if (shape === Shape.batch) {
      for (const span of elements(bytes, start, end)) {
        line.start = span.from
        line.end = span.to
        if (envelope.scan(bytes, span.from, span.to) === Shape.message) this.#message(line)
      }
    } else this.#options.onStray(bytes.toString("utf8", start, Math.min(end, start + strayLength)))
  }

  onLongLine(line: LongLine): void {
    const id = longLineId(line)
    const call = id === null ? undefined : this.#pending.get(id)
    if (id === null || call === undefined) {
      return this.#options.onStray(`a line of ${line.length} bytes, longer than maxLine`)
    }
    this.#pending.delete(id)
    this.#refuse(call, new ResultTooLarge({ server: this.#options.server, maxLine: this.#options.maxLine }))
  }

  #message(line: Line): void {
    const envelope = this.#envelope
    if (envelope.irregular) {
      const regular = OwnLine.of(canonical(line.bytes.subarray(line.start, line.end)))
      envelope.scan(regular.bytes, regular.start, regular.end)
      return this.#message(regular)
    }
    const hasId = envelope.has(Key.id)
    if (!envelope.has(Key.method)) {
      if (hasId && envelope.has(Key.outcome)) this.#response(line)
      else this.#options.onStray(line.bytes.toString("utf8", line.start, Math.min(line.end, line.start + strayLength)))
    } else if (hasId) this.#question(line, methodOf(line, envelope))
    else this.#notification(line, methodOf(line, envelope))
  }

  #response(line: Line): void {
    const idStart = this.#envelope.start[Key.id]!
    const idEnd = this.#envelope.end[Key.id]!
    const id = integerIn(line.bytes, idStart, idEnd)
    const call = this.#pending.get(id)
    // Nobody waits for it: cancelled, expired, or never asked.
    if (call === undefined) return
    this.#pending.delete(id)
    if (call.client === null) return call.done(outcomeOf(line))
    const { client } = call
    if (hasRoom(client, line.end - line.start)) {
      client.out.push(line.cut(line.start, idStart))
      client.out.push(call.id)
      client.out.push(line.cut(idEnd, line.end))
      client.out.push("\n")
    }
    this.#report(call, "answered")
    client.settled()
  }

  /** A request of the server: none of the clients is asked yet. */
  #question(line: Line, method: string): void {
    const id = line.copy(this.#envelope.start[Key.id]!, this.#envelope.end[Key.id]!)
    this.#write(
      method === "ping"
        ? Reply.result(id, "{}")
        : Reply.failure(id, {
            code: methodNotFound,
            message: `this server is shared by a pool, which does not pass "${method}" on to its clients`
          })
    )
  }

  #notification(line: Line, method: string): void {
    switch (method) {
      case "notifications/progress":
        return this.#progress(line)
      case "notifications/message":
        return this.#logMessage(line)
      case "notifications/resources/updated": {
        const uri = decodeString(line, this.#envelope, Key.uri)
        if (uri !== null) for (const client of this.#subscriptions.watchers(uri)) deliver(client, line)
        return
      }
      case "notifications/tools/list_changed":
        this.lists.refresh()
        return this.#deliverToAll(line)
      case "notifications/prompts/list_changed":
      case "notifications/resources/list_changed":
        return this.#deliverToAll(line)
      // The server cancels a question: it has its answer already.
      case "notifications/cancelled":
        return
      // These belong to one session.
      case "notifications/tasks/status":
      case "notifications/elicitation/complete": {
        const owner = this.#soleOwner()
        if (owner !== null) deliver(owner, line)
        return
      }
      default: {
        const owner = this.#soleOwner()
        if (owner !== null) deliver(owner, line)
        else this.#deliverToAll(line)
      }
    }
  }

  #progress(line: Line): void {
    const envelope = this.#envelope
    if (!envelope.has(Key.progressToken)) return
    const start = envelope.start[Key.progressToken]!
    const call = this.#pending.get(integerIn(line.bytes, start, envelope.end[Key.progressToken]!))
    if (call === undefined || call.client === null || call.token === null) return
    if (!hasRoom(call.client, line.end - line.start)) return
    splice(call.client.out, line, envelope, Key.progressToken, call.token)
  }

  /** A log message names no session: it is for the one that has calls in flight, if it is one, else by `logMessages`. */
  #logMessage(line: Line): void {
    if (this.#options.logMessages === "none") return
    const level = logLevels.indexOf(
      (decodeString(line, this.#envelope, Key.level) ?? "emergency") as (typeof logLevels)[number]
    )
    const owner = this.#soleOwner()
    const readers = owner !== null ? [owner] : this.#options.logMessages === "all" ? this.clients : []
    for (const client of readers) {
      if (client.initialized && level >= (client.level ?? (this.#level === null ? 0 : unsetLevel))) {
        deliver(client, line)
      }
    }
  }

  /** The only client that has calls in flight. */
  #soleOwner(): Client | null {
    let owner: Client | null = null
    for (const call of this.#pending.values()) {
      if (call.client === null || call.client === owner) continue
      if (owner !== null) return null
      owner = call.client
    }
    return owner
  }

  #deliverToAll(line: Line): void {
    for (const client of this.clients) if (client.initialized) deliver(client, line)
  }

  #broadcast(text: string): void {
    for (const client of this.clients) if (client.initialized && hasRoom(client, text.length)) client.out.push(text)
  }

  // --- log levels ---

  /** The server is told the most verbose level of all; a client that never asked counts as `info`. */
  #mergeLevels(done: (outcome: Outcome<unknown>) => void): void {
    let level: number | null = null
    for (const client of this.clients) if (client.level !== null) level = Math.min(level ?? client.level, client.level)
    if (level === null) return done({ ok: true, value: {} })
    for (const client of this.clients) if (client.level === null) level = Math.min(level, unsetLevel)
    if (level === this.#level) return done({ ok: true, value: {} })
    this.#level = level
    this.#askLevel(level, done)
  }

  #askLevel(level: number, done: (outcome: Outcome<unknown>) => void): void {
    this.ask("logging/setLevel", { level: logLevels[level] }, done)
  }

  // --- waiting and deadlines ---

  #await(waiting: Omit<Waiting, "deadline">): void {
    if (this.#unavailable !== null) return waiting.onRefusal(this.#unavailable)
    const { bytes, client } = waiting
    if (client !== null) {
      const queued = this.#waiting.filter((other) => other.client === client)
      const total = queued.reduce((sum, other) => sum + other.bytes, 0)
      if (queued.length >= maxWaiting || (queued.length > 0 && total + bytes > maxWaitingBytes)) {
        const reason = "too much of this client is waiting for it to start"
        return waiting.onRefusal(new Overloaded({ server: this.#options.server, reason }))
      }
    }
    this.#waiting.push({ ...waiting, deadline: Date.now() + this.#options.queueTimeout })
    this.#sweepSoon()
  }

  /** One timer for all deadlines, and only while there are some. */
  #sweepSoon(): void {
    this.#sweeper ??= setTimeout(() => {
      this.#sweeper = null
      this.#sweep(Date.now())
    }, sweepInterval)
  }

  #sweep(now: number): void {
    const late = this.#waiting.filter((waiting) => waiting.deadline <= now)
    if (late.length > 0) {
      this.#waiting = this.#waiting.filter((waiting) => waiting.deadline > now)
      const error = new QueueTimeout({ server: this.#options.server })
      for (const waiting of late) waiting.onRefusal(error)
    }
    const { requestTimeout } = this.#options
    let isExecuting = false
    if (requestTimeout !== null) {
      const error = new RequestTimeout({ server: this.#options.server })
      for (const [id, call] of this.#pending) {
        if (call.client === null) continue
        isExecuting = true
        // Calls stand in the order in which they began.
        if (call.since + requestTimeout > now) break
        this.#pending.delete(id)
        this.#write(Reply.notification("notifications/cancelled", { requestId: id, reason: error.message }))
        this.#refuse(call, error)
      }
    }
    if (this.#waiting.length > 0 || isExecuting) this.#sweepSoon()
  }

  #refuse(call: Call | Ask, error: RequestError): void {
    if (call.client === null) return call.done({ ok: false, refusal: error })
    call.client.fail(call.id, error)
    this.#report(call, error._tag)
    call.client.settled()
  }

  #report(call: Call, outcome: string): void {
    this.#options.onCall?.({
      session: call.client.id,
      server: call.client.server,
      method: call.method,
      tool: call.tool,
      millis: Date.now() - call.since,
      outcome
    })
  }

  #write(piece: string | Buffer): void {
    this.#stdin?.push(piece)
  }

  #resumeHeld(): void {
    for (const client of this.#held) client.resume()
    this.#held.clear()
  }
}

/** Where the pieces of a line go. */
interface Sink {
  readonly push: (piece: string | Buffer) => void
}

class Pieces implements Sink {
  readonly #pieces: Array<string | Buffer> = []

  push(piece: string | Buffer): void {
    this.#pieces.push(piece)
  }

  /** All of it as bytes that keep nothing else alive. */
  copy(): Buffer {
    return Buffer.concat(this.#pieces.map((piece) => (typeof piece === "string" ? Buffer.from(piece, "latin1") : piece)))
  }
}

const copyLine = (out: Sink, line: Line): void => {
  out.push(line.cut(line.start, line.end))
  out.push("\n")
}

/** The line with another value for one key. */
const splice = (out: Sink, line: Line, envelope: Envelope, key: Key, value: string): void => {
  out.push(line.cut(line.start, envelope.start[key]!))
  out.push(value)
  out.push(line.cut(envelope.end[key]!, line.end))
  out.push("\n")
}

/** The line with `id` for its id, and for its progress token where it has one. */
const spliceRequest = (out: Sink, line: Line, envelope: Envelope, id: number): void => {
  if (!envelope.has(Key.token)) return splice(out, line, envelope, Key.id, String(id))
  const isIdFirst = envelope.start[Key.id]! < envelope.start[Key.token]!
  const first = isIdFirst ? Key.id : Key.token
  const second = isIdFirst ? Key.token : Key.id
  out.push(line.cut(line.start, envelope.start[first]!))
  out.push(String(id))
  out.push(line.cut(envelope.end[first]!, envelope.start[second]!))
  out.push(String(id))
  out.push(line.cut(envelope.end[second]!, line.end))
  out.push("\n")
}

const deliver = (client: Client, line: Line): void => {
  if (hasRoom(client, line.end - line.start)) copyLine(client.out, line)
}

/** One message always has room; a client that leaves more than `maxUnread` lying is closed. */
const hasRoom = (client: Client, bytes: number): boolean => {
  const { unread } = client.out
  if (unread === 0 || unread + bytes <= client.maxUnread) return true
  client.overflow()
  return false
}

const refuseWith =
  <A>(done: (outcome: Outcome<A>) => void) =>
  (refusal: Refusal): void =>
    done({ ok: false, refusal })

/** A non-negative integer in decimal digits; -1 for anything else. */
const integerIn = (bytes: Uint8Array, from: number, to: number): number => {
  if (to <= from || to - from > 15) return -1
  let value = 0
  for (let i = from; i < to; i++) {
    const digit = bytes[i]! - 0x30
    if (digit < 0 || digit > 9) return -1
    value = value * 10 + digit
  }
  return value
}

/** Ids are equal as JSON values: `1` is `1.0`, and not `"1"`. */
const canonicalId = (id: string): string =>
  /^(\d{1,15}|"[^"\\]*")$/.test(id) ? id : JSON.stringify(JSON.parse(Buffer.from(id, "latin1").toString("utf8")))

const outcomeOf = (line: Line): Outcome<unknown> => {
  const message = JSON.parse(line.bytes.toString("utf8", line.start, line.end)) as {
    readonly result?: unknown
    readonly error?: { readonly code: number; readonly message: string; readonly data?: unknown }
  }
  return message.error === undefined || message.error === null
    ? { ok: true, value: message.result ?? {} }
    : { ok: false, refusal: message.error }
}

/** The pool's id of a response of which only head and tail are left; null where neither shows it. */
const longLineId = (line: LongLine): number | null => {
  const head = /^\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*(\d{1,15})\s*,\s*"(?:result|error)"/.exec(
    line.head.toString("latin1")
  )
  const tail = /,\s*"id"\s*:\s*(\d{1,15})\s*\}\s*$/.exec(line.tail.toString("latin1"))
  const digits = tail?.[1] ?? head?.[1]
  return digits === undefined ? null : Number(digits)
}

/** Up to here reading a whole line costs less than looking for its id from both ends. */
const shortLine = 4096
const strayLength = 1000
/** Requests of one client that are not answered yet. */
const maxCalls = 4096
/** Requests and bytes of one client that wait for a process. */
const maxWaiting = 1024
const maxWaitingBytes = 16 * 1024 * 1024
/** Milliseconds. */
const sweepInterval = 250
/** A client that never asked for a level is taken to want `info` once another has asked. */
const unsetLevel = logLevels.indexOf("info")
