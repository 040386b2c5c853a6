/**
 * One server as an `Upstream` of many clients: the process that takes their requests, those that drain after they were
 * replaced, what waits while there is none, and what becomes of requests when one ends. Plain synchronous code; it
 * outlives the processes that its supervisor gives it.
 */
import { Line } from "../lines/LineReader.ts"
import { methodNotFound, OutcomeUnknown, type RequestError, RequestTimeout, ServerUnavailable } from "../PoolError.ts"
import type { Handshake, ServerProcess } from "../server/ServerProcess.ts"
import type { Ask, Call } from "./Calls.ts"
import { Envelope, Key } from "./Envelope.ts"
import { ListCache } from "./ListCache.ts"
import { LogLevels } from "./LogLevels.ts"
import { isSameId, Multiplexer, refuse } from "./Multiplexer.ts"
import { announce } from "./Notifications.ts"
import { maxCrashes, Poison } from "./Poison.ts"
import * as Reply from "./Reply.ts"
import { Subscriptions } from "./Subscriptions.ts"
import type { Client, Outcome, Upstream } from "./Upstream.ts"
import { type Waiting, WaitingRoom } from "./WaitingRoom.ts"
import { nameOf } from "./Words.ts"

export interface SharingOptions {
  readonly server: string
  readonly logMessages: "owner" | "all" | "none"
  /** Bytes. */
  readonly maxLine: number
  /** Milliseconds. */
  readonly queueTimeout: number
  /** Milliseconds; null for none. */
  readonly requestTimeout: number | null
  /** A line of stdout that is no JSON-RPC message. */
  readonly onStray: (pid: number, text: string) => void
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

/** What ended with a process. */
export interface Loss {
  /** Clients' requests that it held. */
  readonly inFlight: number
  /** It held one alone, which therefore is the suspect: the crash goes to that call's account. */
  readonly isOfOneCall: boolean
}

export class Sharing implements Upstream {
  readonly clients = new Set<Client>()
  readonly lists: ListCache
  readonly #options: SharingOptions
  readonly #subscriptions: Subscriptions
  readonly #levels: LogLevels
  readonly #held = new Set<Client>()
  readonly #waiting: WaitingRoom
  readonly #poison = new Poison()
  readonly #envelope = new Envelope()
  /** Takes all new requests. */
  #current: Multiplexer | null = null
  readonly #draining = new Set<Multiplexer>()
  #handshake: Handshake | null = null
  /** Why there is no process and none is coming; null while there is hope. */
  #unavailable: RequestError | null
  #isSweeping = false

  constructor(options: SharingOptions & { readonly unavailable: RequestError }) {
    this.#options = options
    this.#unavailable = options.unavailable
    this.#waiting = new WaitingRoom({ server: options.server, timeout: options.queueTimeout })
    const isThere = () => this.#current !== null
    this.#subscriptions = new Subscriptions({
      ask: (method, params, done, client) => this.ask(method, params, done, client),
      isThere
    })
    this.lists = new ListCache({
      ask: (method, params, done) => this.ask(method, params, done),
      isThere,
      onChanged: (method) => announce(this.clients, method)
    })
    this.#levels = new LogLevels({
      clients: this.clients,
      ask: (method, params, done, client) => this.ask(method, params, done, client)
    })
  }

  // --- processes, from the supervisor ---

  /** A process is ready: what waits goes to it, and what comes. One that was there before drains. */
  attach(process: ServerProcess): void {
    const multiplexer = this.#multiplexer(process)
    const replaced = this.#current
    this.#current = multiplexer
    if (replaced !== null) {
      this.#draining.add(replaced)
      replaced.retire()
    }
    this.#handshake = process.handshake
    this.#unavailable = null
    multiplexer.begin()
    this.lists.renew(process.handshake.capabilities, process.tools)
    this.#subscriptions.renew()
    this.#levels.renew()
    this.#waiting.admit(multiplexer)
    this.#resumeHeld()
  }

  /**
   * A process has ended by itself (a crash), or is being ended. What never reached it goes to the next, and so does, once,
   * what may be run twice; the rest has an unknown outcome.
   */
  detach(process: ServerProcess, how: { readonly isCrash: boolean }): Loss {
    const multiplexer = this.#of(process)
    if (multiplexer === undefined) return { inFlight: 0, isOfOneCall: false }
    if (multiplexer === this.#current) this.#current = null
    this.#draining.delete(multiplexer)
    const { calls, sole, unwritten } = multiplexer.end()
    const isOfOneCall = how.isCrash && sole !== null && this.#poison.crashed(sole)
    for (const call of calls) this.#afterEnd(call, unwritten.get(call))
    this.#resumeHeld()
    return { inFlight: calls.filter(({ client }) => client !== null).length, isOfOneCall }
  }

  /** Calls back once a process that drains holds no request any more. */
  whenDrained(process: ServerProcess, done: () => void): void {
    const multiplexer = this.#of(process)
    if (multiplexer === undefined) done()
    else multiplexer.whenIdle(done)
  }

  /** Without a process: whether one is coming (`null`), or why not. */
  setUnavailable(error: RequestError | null): void {
    this.#unavailable = error
    if (error !== null) this.#waiting.refuse(error)
  }

  /** Requests that a process holds, the pool's own among them. */
  inFlight(process: ServerProcess): number {
    return this.#of(process)?.calls.size ?? 0
  }

  /** Clients' requests that a process holds. */
  callsOf(process: ServerProcess): number {
    return this.#of(process)?.calls.ofClients() ?? 0
  }

  /**
   * Asks the server something, for the pool itself or on behalf of a client; the latter once more where a process ended
   * meanwhile, since that is to subscribe or to set a level. The returned function forgets the question.
   */
  ask(method: string, params: unknown, done: (outcome: Outcome) => void, client: Client | null = null): () => void {
    if (client === null) return this.#askOnce(method, params, done, null)
    return this.#askOnce(
      method,
      params,
      (outcome) => {
        const isLost = outcome.kind === "refused" && outcome.error._tag === "OutcomeUnknown"
        if (isLost && this.clients.has(client)) this.#askOnce(method, params, done, client)
        else done(outcome)
      },
      client
    )
  }

  #askOnce(method: string, params: unknown, done: (outcome: Outcome) => void, client: Client | null): () => void {
    let forget = () => {}
    const send = (multiplexer: Multiplexer) => {
      const id = multiplexer.ask(method, params, done, client)
      forget = () => void multiplexer.calls.take(id)
      if (this.#options.requestTimeout !== null) this.#sweepSoon()
    }
    // Nobody's: its answer may be for others too.
    const onRefusal = (error: RequestError) => done({ kind: "refused", error })
    if (this.#current !== null) send(this.#current)
    else this.#await({ client: null, id: null, bytes: 0, onProcess: send, onRefusal })
    return () => forget()
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
    this.#poison.forget(client)
    for (const multiplexer of this.#all()) multiplexer.leave(client)
    this.#subscriptions.leave(client)
    this.#levels.membersChanged()
  }

  handshake(
    client: Client,
    onHandshake: (handshake: Handshake) => void,
    onRefusal: (error: RequestError) => void
  ): void {
    if (this.#handshake !== null) return onHandshake(this.#handshake)
    const onProcess = ({ process }: Multiplexer) => onHandshake(process.handshake)
    this.#await({ client, id: null, bytes: 0, onProcess, onRefusal })
  }

  request(client: Client, line: Line, envelope: Envelope, method: string): void {
    const id = line.copy(envelope.start[Key.id]!, envelope.end[Key.id]!)
    if (this.#unavailable !== null) return client.fail(id, this.#unavailable)
    const tool = nameOf(line, envelope)
    if (this.#poison.refuses(client, method, tool)) return client.fail(id, this.#refusing())
    const token = envelope.has(Key.token) ? line.copy(envelope.start[Key.token]!, envelope.end[Key.token]!) : null
    const kept = this.#keeps(method, tool, line) ? line.copy(line.start, line.end) : null
    const since = Date.now()
    const call: Call = { client, id, token, method, tool, since, kept, isRetry: false, isDelivered: false }
    client.inFlight++
    if (this.#current === null) return this.#wait(call, Line.of(line.copyBytes()), (error) => error)
    this.#current.request(call, line, envelope)
    if (this.#options.requestTimeout !== null) this.#sweepSoon()
  }

  notify(client: Client, line: Line): void {
    this.#current?.notify(client, line)
  }

  cancel(client: Client, id: string, line: Line, envelope: Envelope): void {
    const isWanted = isSameId(id)
    for (let withdrawn = this.#waiting.withdraw(client, isWanted); withdrawn > 0; withdrawn--) client.settled()
    for (const multiplexer of this.#all()) multiplexer.cancel(client, isWanted, line, envelope)
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

  // --- requests and the end of processes ---

  #multiplexer(process: ServerProcess): Multiplexer {
    const { logMessages, maxLine, onStray, server } = this.#options
    return new Multiplexer(process, {
      server,
      maxLine,
      logMessages,
      clients: this.clients,
      subscriptions: this.#subscriptions,
      isLevelAsked: () => this.#levels.isAsked,
      onStray: (text) => onStray(process.pid, text),
      onListChanged: (method) => this.lists.refresh(method),
      onSettled: this.#onSettled,
      hold: (client) => {
        this.#held.add(client)
        client.pause()
      },
      resumeHeld: () => this.#resumeHeld()
    })
  }

  #all(): ReadonlyArray<Multiplexer> {
    return this.#current === null ? [...this.#draining] : [this.#current, ...this.#draining]
  }

  #of(process: ServerProcess): Multiplexer | undefined {
    return this.#all().find((multiplexer) => multiplexer.process === process)
  }

  /** Whether a request is kept, so that it can be made again: what only reads, and tools that say that it does no harm. */
  #keeps(method: string, tool: string | null, line: Line): boolean {
    const isRepeatable = method === "tools/call" ? this.lists.isRepeatable(tool) : reads.has(method)
    return isRepeatable && line.end - line.start <= maxKept && (this.#current?.calls.size ?? 0) < maxKeptCalls
  }

  #afterEnd(call: Call | Ask, unwritten: Line | undefined): void {
    const unknown = new OutcomeUnknown({ server: this.#options.server })
    if (call.client === null) return refuse(call, unknown, this.#onSettled)
    const { client, isDelivered, isRetry, kept, method, tool } = call
    // Another process may have run it the first time.
    if (unwritten !== undefined) return this.#wait(call, unwritten, (error) => (isRetry ? unknown : error))
    if (kept === null || isRetry || isDelivered || this.#poison.refuses(client, method, tool)) {
      return refuse(call, unknown, this.#onSettled)
    }
    this.#wait({ ...call, isRetry: true }, Line.of(Buffer.from(kept, "latin1")), () => unknown)
  }

  /** It goes to the process that is there or that comes; where none does, `errorOf` says what to answer. */
  #wait(call: Call, line: Line, errorOf: (error: RequestError) => RequestError): void {
    const onProcess = (multiplexer: Multiplexer) => {
      this.#envelope.scan(line.bytes, line.start, line.end)
      const kept = multiplexer.calls.size < maxKeptCalls ? call.kept : null
      multiplexer.request({ ...call, since: Date.now(), kept }, line, this.#envelope)
      if (this.#options.requestTimeout !== null) this.#sweepSoon()
    }
    if (this.#current !== null) return onProcess(this.#current)
    const onRefusal = (error: RequestError) => refuse(call, errorOf(error), this.#onSettled)
    this.#await({ client: call.client, id: call.id, bytes: line.end - line.start, onProcess, onRefusal })
  }

  #refusing(): ServerUnavailable {
    const { server } = this.#options
    const hint = `it ended the server ${maxCrashes} times, alone: mcp-pool logs ${server}`
    return new ServerUnavailable({ server, state: "refusing", failure: null, hint, nextAttemptAt: null })
  }

  readonly #onSettled = (call: Call, outcome: string): void => {
    this.#options.onCall?.({
      session: call.client.id,
      server: call.client.server,
      method: call.method,
      tool: call.tool,
      millis: Date.now() - call.since,
      outcome
    })
    call.client.settled()
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
      for (const multiplexer of this.#all()) {
        for (const call of multiplexer.expire(now - requestTimeout)) refuse(call, error, this.#onSettled)
      }
    }
    const hasDeadlines = requestTimeout !== null && this.#all().some(({ calls }) => calls.size > 0)
    if (!this.#waiting.isEmpty || hasDeadlines) this.#sweepSoon()
  }

  /** Who sent to a process that took no more was held until it did; what had come already was one read at most. */
  #resumeHeld(): void {
    for (const client of this.#held) client.resume()
    this.#held.clear()
  }
}

/** Requests that only read. */
const reads: ReadonlySet<string> = new Set([
  "tools/list",
  "prompts/list",
  "resources/list",
  "resources/templates/list",
  "resources/read"
])

const noLogging = Reply.json({ code: methodNotFound, message: "the server offers no logging" })

/** What is kept of requests that may be made again: so long each, in bytes, and so many. */
const maxKept = 64 * 1024
const maxKeptCalls = 256
/** Milliseconds. */
const sweepInterval = 250
