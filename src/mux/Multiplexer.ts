/**
 * One process as an `Upstream` of many clients: request ids and progress tokens of its own, one answer for each request,
 * cancellation to the right one, and what waits while no process is there. Plain synchronous code on bytes; it outlives
 * the processes that its supervisor gives it.
 */
import { Line, type LineReceiver, type LongLine } from "../lines/LineReader.ts"
import type { LineWriter } from "../lines/LineWriter.ts"
import { methodNotFound, OutcomeUnknown, type RequestError, RequestTimeout, ResultTooLarge } from "../PoolError.ts"
import type { Handshake, ServerProcess } from "../server/ServerProcess.ts"
import { type Ask, type Call, Calls, canonicalId, idIn } from "./Calls.ts"
import * as Delivery from "./Delivery.ts"
import { canonical, elements, Envelope, Key, responseIdOf, Shape } from "./Envelope.ts"
import { ListCache } from "./ListCache.ts"
import { LogLevels } from "./LogLevels.ts"
import { Notifications } from "./Notifications.ts"
import { outcomeOf } from "./Outcome.ts"
import * as Reply from "./Reply.ts"
import * as Splice from "./Splice.ts"
import { Subscriptions } from "./Subscriptions.ts"
import type { Client, Outcome, Upstream } from "./Upstream.ts"
import { type Waiting, WaitingRoom } from "./WaitingRoom.ts"
import { methodOf, nameOf } from "./Words.ts"

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

export class Multiplexer implements Upstream, LineReceiver {
  readonly clients = new Set<Client>()
  readonly lists: ListCache
  readonly #options: MultiplexerOptions
  readonly #envelope = new Envelope()
  readonly #subscriptions: Subscriptions
  readonly #calls = new Calls()
  readonly #notifications: Notifications
  readonly #levels: LogLevels
  readonly #held = new Set<Client>()
  readonly #waiting: WaitingRoom
  #stdin: LineWriter | null = null
  #handshake: Handshake | null = null
  /** Why there is no process and none is coming; null while there is hope. */
  #unavailable: RequestError | null
  #isSweeping = false

  constructor(options: MultiplexerOptions & { readonly unavailable: RequestError }) {
    this.#options = options
    this.#unavailable = options.unavailable
    this.#waiting = new WaitingRoom({ server: options.server, timeout: options.queueTimeout })
    this.#subscriptions = new Subscriptions((method, params, done, client) => this.ask(method, params, done, client))
    this.lists = new ListCache({
      ask: (method, params, done) => this.ask(method, params, done),
      onChanged: () => this.#notifications.announce("notifications/tools/list_changed")
    })
    this.#levels = new LogLevels({
      clients: this.clients,
      ask: (method, params, done, client) => this.ask(method, params, done, client)
    })
    this.#notifications = new Notifications({
      clients: this.clients,
      calls: this.#calls,
      subscriptions: this.#subscriptions,
      logMessages: options.logMessages,
      isLevelAsked: () => this.#levels.isAsked
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
    this.#levels.renew()
    this.#waiting.admit(process)
  }

  /** The process has ended, or is being ended: what it holds has an unknown outcome. */
  detach(): void {
    this.#stdin = null
    const error = new OutcomeUnknown({ server: this.#options.server })
    for (const call of this.#calls.takeAll()) this.#refuse(call, error)
    this.#resumeHeld()
  }

  /** Without a process: whether one is coming (`null`), or why not. */
  setUnavailable(error: RequestError | null): void {
    this.#unavailable = error
    if (error !== null) this.#waiting.refuse(error)
  }

  get inFlight(): number {
    return this.#calls.size
  }

  /** Asks the server something, for the pool itself or on behalf of a client. */
  ask(method: string, params: unknown, done: (outcome: Outcome) => void, client: Client | null = null): void {
    const send = (stdin: LineWriter) => {
      stdin.push(Reply.request(this.#calls.add({ client: null, since: Date.now(), done }), method, params))
      if (client !== null) this.#holdIfBlocked(client, stdin)
      if (this.#options.requestTimeout !== null) this.#sweepSoon()
    }
    if (this.#stdin !== null) return send(this.#stdin)
    // Nobody's: its answer may be for others too.
    this.#await({
      client: null,
      id: null,
      bytes: 0,
      onProcess: ({ stdin }) => send(stdin),
      onRefusal: (error) => done({ kind: "refused", error })
    })
  }

  // --- from sessions ---

  join(client: Client): void {
    this.clients.add(client)
    this.#levels.membersChanged()
  }

  leave(client: Client): void {
    this.clients.delete(client)
    this.#held.delete(client)
    this.#waiting.withdraw(client)
    for (const [id] of this.#calls.takeOf(client, () => true)) {
      this.#write(Reply.notification("notifications/cancelled", { requestId: id, reason: "the client is gone" }))
    }
    this.#subscriptions.leave(client)
    this.#levels.membersChanged()
  }

  handshake(
    client: Client,
    onHandshake: (handshake: Handshake) => void,
    onRefusal: (error: RequestError) => void
  ): void {
    if (this.#handshake !== null) return onHandshake(this.#handshake)
    const onProcess = (process: ServerProcess) => onHandshake(process.handshake)
    this.#await({ client, id: null, bytes: 0, onProcess, onRefusal })
  }

  request(client: Client, line: Line, envelope: Envelope, method: string): void {
    const id = line.copy(envelope.start[Key.id]!, envelope.end[Key.id]!)
    if (this.#unavailable !== null) return client.fail(id, this.#unavailable)
    const token = envelope.has(Key.token) ? line.copy(envelope.start[Key.token]!, envelope.end[Key.token]!) : null
    const call: Call = { client, id, token, method, tool: nameOf(line, envelope), since: Date.now() }
    client.inFlight++
    if (this.#stdin !== null) {
      Splice.request(this.#stdin, line, envelope, this.#calls.add(call))
      this.#holdIfBlocked(client, this.#stdin)
      if (this.#options.requestTimeout !== null) this.#sweepSoon()
      return
    }
    const kept = Line.of(line.copyBytes())
    this.#await({
      client,
      id,
      bytes: kept.end,
      onProcess: ({ stdin }) => {
        const envelope = new Envelope()
        envelope.scan(kept.bytes, kept.start, kept.end)
        Splice.request(stdin, kept, envelope, this.#calls.add({ ...call, since: Date.now() }))
        if (this.#options.requestTimeout !== null) this.#sweepSoon()
      },
      onRefusal: (error) => this.#refuse(call, error)
    })
  }

  notify(client: Client, line: Line): void {
    if (this.#stdin === null) return
    Splice.whole(this.#stdin, line)
    this.#holdIfBlocked(client, this.#stdin)
  }

  cancel(client: Client, id: string, line: Line, envelope: Envelope): void {
    const wanted = canonicalId(id)
    const isWanted = (other: string) => other === id || canonicalId(other) === wanted
    for (let withdrawn = this.#waiting.withdraw(client, isWanted); withdrawn > 0; withdrawn--) client.settled()
    for (const [upstreamId, call] of this.#calls.takeOf(client, (call) => isWanted(call.id))) {
      if (this.#stdin !== null) Splice.one(this.#stdin, line, envelope, Key.requestId, String(upstreamId))
      this.#report(call, "cancelled")
      client.settled()
    }
  }

  levelChanged(client: Client, done: (outcome: Outcome) => void): void {
    const handshake = this.#handshake
    if (handshake !== null && !("logging" in handshake.capabilities)) {
      return done({ kind: "error", text: noLogging })
    }
    this.#levels.merge(done, client)
  }

  subscribe(client: Client, uri: string, done: (outcome: Outcome) => void): void {
    this.#subscriptions.subscribe(client, uri, done)
  }

  unsubscribe(client: Client, uri: string): void {
    this.#subscriptions.unsubscribe(client, uri)
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
    } else this.#stray(line)
  }

  /** A long response goes on piece by piece. */
  onPieces(pieces: ReadonlyArray<Buffer>, length: number): boolean {
    const id = this.#envelope.scanResponsePieces(pieces)
    if (id === null) return false
    const call = this.#calls.get(id)
    // Nobody waits for it.
    if (call === undefined) return true
    // The pool's own answers are read as a whole.
    if (call.client === null) return false
    this.#calls.take(id)
    if (Delivery.hasRoom(call.client, length)) {
      const { end, start } = this.#envelope
      Splice.pieces(call.client.out, pieces, start[Key.id]!, end[Key.id]!, call.id)
    }
    this.#settle(call)
    return true
  }

  onLongLine(line: LongLine): void {
    const id = responseIdOf(line)
    const call = id === null ? undefined : this.#calls.take(id)
    if (call === undefined) return this.#options.onStray(`a line of ${line.length} bytes, longer than maxLine`)
    this.#refuse(call, new ResultTooLarge({ server: this.#options.server, maxLine: this.#options.maxLine }))
  }

  #message(line: Line): void {
    if (!this.#envelope.irregular) return this.#regular(line)
    const bytes = canonical(line.bytes.subarray(line.start, line.end))
    if (bytes === null) return this.#stray(line)
    this.#envelope.scan(bytes, 0, bytes.length)
    this.#regular(Line.of(bytes))
  }

  #regular(line: Line): void {
    const envelope = this.#envelope
    const hasId = envelope.has(Key.id)
    if (envelope.has(Key.method)) {
      if (hasId) this.#question(line, methodOf(line, envelope))
      else this.#notify(line, methodOf(line, envelope))
    } else if (hasId && envelope.has(Key.outcome)) this.#response(line)
    else this.#stray(line)
  }

  #stray(line: Line): void {
    this.#options.onStray(line.bytes.toString("utf8", line.start, Math.min(line.end, line.start + strayLength)))
  }

  #response(line: Line): void {
    const idStart = this.#envelope.start[Key.id]!
    const idEnd = this.#envelope.end[Key.id]!
    const call = this.#calls.take(idIn(line.bytes, idStart, idEnd))
    // Nobody waits for it: cancelled, expired, or never asked.
    if (call === undefined) return
    if (call.client === null) return call.done(outcomeOf(line))
    if (Delivery.hasRoom(call.client, line.end - line.start)) {
      Splice.one(call.client.out, line, this.#envelope, Key.id, call.id)
    }
    this.#settle(call)
  }

  #settle(call: Call): void {
    this.#report(call, "answered")
    call.client.settled()
  }

  #notify(line: Line, method: string): void {
    if (method === "notifications/tools/list_changed") this.lists.refresh()
    this.#notifications.deliver(line, this.#envelope, method)
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

  // --- waiting and deadlines ---

  #await(waiting: Waiting): void {
    if (this.#unavailable !== null) return waiting.onRefusal(this.#unavailable)
    this.#waiting.enter(waiting)
    this.#sweepSoon()
  }

  /** One timer for all deadlines, and only while there are some. */
  #sweepSoon(): void {
    if (this.#isSweeping) return
    this.#isSweeping = true
    setTimeout(() => {
      this.#isSweeping = false
      this.#sweep(Date.now())
    }, sweepInterval)
  }

  #sweep(now: number): void {
    this.#waiting.expire(now)
    const { requestTimeout, server } = this.#options
    if (requestTimeout !== null) {
      const error = new RequestTimeout({ server })
      for (const [id, call] of this.#calls.takeSentBefore(now - requestTimeout)) {
        this.#write(Reply.notification("notifications/cancelled", { requestId: id, reason: error.message }))
        this.#refuse(call, error)
      }
    }
    if (!this.#waiting.isEmpty || (requestTimeout !== null && this.#calls.size > 0)) this.#sweepSoon()
  }

  #refuse(call: Call | Ask, error: RequestError): void {
    if (call.client === null) return call.done({ kind: "refused", error })
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

  /** Who sends to a server that takes no more is held until it does; what has come already is one read at most. */
  #holdIfBlocked(client: Client, stdin: LineWriter): void {
    if (!stdin.blocked) return
    this.#held.add(client)
    client.pause()
  }

  #resumeHeld(): void {
    for (const client of this.#held) client.resume()
    this.#held.clear()
  }
}

const noLogging = Reply.json({ code: methodNotFound, message: "the server offers no logging" })

/** Up to here reading a whole line costs less than looking for its id from both ends. */
const shortLine = 4096
const strayLength = 1000
/** Milliseconds. */
const sweepInterval = 250
