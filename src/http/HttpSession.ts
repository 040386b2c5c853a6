/**
 * A client's session over HTTP: which POST a request came with, and so where its answer goes; what belongs to none goes to
 * the stream of its GET, or waits there. Lives from its `initialize` to its DELETE, or until nobody has asked for long.
 *
 * https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#streamable-http
 */
import type { ServerResponse } from "node:http"
import type { Line } from "../lines/LineReader.ts"
import type { Endpoint } from "../McpPool.ts"
import { canonicalId } from "../message/Ids.ts"
import { Session } from "../mux/Session.ts"
import type { Requests, SessionOut } from "../mux/SessionOut.ts"
import type { Out } from "../mux/Upstream.ts"
import { json } from "../mux/Reply.ts"
import { invalidRequest } from "../WireError.ts"
import type { Message } from "./Answers.ts"
import { EventLog, type EventStore } from "./EventStore.ts"
import { EventStream } from "./EventStream.ts"
import { Untaken } from "./Reading.ts"
import { Exchange, type ExchangeOptions, type ExchangeOwner } from "./Exchange.ts"
import { Lines } from "./Lines.ts"

export interface HttpSessionOptions {
  /** Random, as its client knows it. */
  readonly id: string
  /** The server's name. */
  readonly server: string
  readonly endpoint: Endpoint
  readonly store: EventStore
  /** The pool closes it; the reason is logged. */
  readonly onClose: (reason: string) => void
  /** Each of its requests is answered. */
  readonly onIdle: () => void
}

/** A request that waits for its answer. */
interface Waiting {
  readonly exchange: Exchange
  /** Something may belong to it without saying so. */
  readonly mayAsk: boolean
}

export class HttpSession implements Requests, ExchangeOwner {
  readonly id: string
  /** Bytes. */
  readonly maxLine: number
  readonly session: Session<Rest>
  /** Looks since it was last used. */
  idle = 0
  readonly #log: EventLog
  /** Its requests by their ids. */
  readonly #waiting = new Map<string, Waiting>()
  /** What the client may come back to, by number. */
  readonly #streams = new Map<number, EventStream>()
  readonly #untaken = new Untaken()
  #streamCount = 0
  #current: Exchange | null = null
  #isClosed = false

  constructor({ endpoint, id, onClose, onIdle, server, store }: HttpSessionOptions) {
    this.id = id
    const { maxLine, maxUnread } = endpoint.settings
    this.maxLine = maxLine
    this.#log = new EventLog(store, maxLogged)
    this.session = new Session({
      id: endpoint.sessionId(),
      server,
      upstream: endpoint.upstream,
      out: new Rest(this),
      requests: this,
      maxLine,
      maxUnread,
      connection: { close: onClose, onIdle }
    })
  }

  /** Bytes that its client has not taken yet. */
  get unread(): number {
    let unread = this.#untaken.bytes + (this.#current?.unread ?? 0)
    for (const stream of this.#streams.values()) unread += stream.unread
    return unread
  }

  /** Whether its id is nobody's any more. */
  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Whether somebody waits for something. */
  get isUsed(): boolean {
    for (const stream of this.#streams.values()) if (stream.isCarried) return true
    for (const { exchange } of this.#waiting.values()) if (exchange.isCarried) return true
    return false
  }

  /** The body of a POST. */
  post(line: Line, options: ExchangeOptions): void {
    this.idle = 0
    const exchange = new Exchange(this, options)
    this.#current = exchange
    try {
      this.session.receive(line)
    } finally {
      this.#current = null
    }
    exchange.handedOver()
  }

  /** The client listens from here on to what belongs to no request. */
  listen(response: ServerResponse, version: string | undefined): void {
    this.idle = 0
    const rest = this.rest
    rest.carry(response, { version, after: rest.sent })
  }

  /** The client goes on after the event that it names; false where there is no such stream, or no such event yet. */
  resume(response: ServerResponse, version: string | undefined, at: { stream: number; number: number }): boolean {
    this.idle = 0
    const stream = at.stream === 0 ? this.rest : this.#streams.get(at.stream)
    if (stream === undefined || at.number > stream.last) return false
    stream.carry(response, { version, after: at.number })
    return true
  }

  /** The stream of what belongs to no request. */
  get rest(): EventStream {
    const stream = this.#streams.get(0) ?? new EventStream(0, this.#log)
    this.#streams.set(0, stream)
    return stream
  }

  /** Called now and then. */
  look(): void {
    this.idle++
    for (const { exchange } of this.#waiting.values()) exchange.look()
    for (const [number, stream] of this.#streams) {
      stream.look()
      if (stream.isEnded && !stream.isCarried && !this.#log.has(number)) this.#streams.delete(number)
    }
    this.#untaken.look()
    if (this.isUsed) this.idle = 0
  }

  /** It is over: what waits is answered with the status where nothing else has been. */
  close(status: 404 | 503, message: string): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.session.close()
    // What a batch has collected goes nowhere; one message that ends its own session is answered first.
    if (this.#current !== null && this.#current.unread > 0) this.#current.close(status, message)
    for (const { exchange } of this.#waiting.values()) exchange.close(status, message)
    for (const stream of this.#streams.values()) stream.close()
    this.#untaken.close(lastWords)
    this.#waiting.clear()
    this.#streams.clear()
    this.#log.clear()
  }

  // --- as the session asks for it ---

  begin(id: string, method: string): boolean {
    const exchange = this.#current!
    if (this.#waiting.has(id)) {
      const error = { code: invalidRequest, message: "a request with this id is not answered yet" }
      exchange.refuse(`{"jsonrpc":"2.0","id":${id},"error":${json(error)}}`)
      return false
    }
    exchange.begin()
    this.#waiting.set(id, { exchange, mayAsk: asking.has(method) })
    return true
  }

  answerTo(id: string): Out {
    const waiting = this.#waiting.get(id)
    if (waiting === undefined) return way.to(this.#current, refusal)
    this.#waiting.delete(id)
    return way.to(waiting.exchange, answer)
  }

  during(id: string | null): Out {
    const exchange = id === null ? this.#latest() : this.#waiting.get(id)?.exchange
    return exchange === undefined || !exchange.isOpen ? this.session.out : way.to(exchange, event)
  }

  cancelled(id: string): void {
    const wanted = canonicalId(id)
    for (const [own, { exchange }] of this.#waiting) {
      if (own !== id && canonicalId(own) !== wanted) continue
      this.#waiting.delete(own)
      exchange.cancel()
    }
  }

  // --- as an exchange asks for it ---

  openStream(): EventStream {
    const stream = new EventStream(++this.#streamCount, this.#log)
    this.#streams.set(stream.number, stream)
    return stream
  }

  onSlow(response: ServerResponse): void {
    this.#untaken.add(response)
  }

  /** Of the requests that may ask something, the last one whose client is there. */
  #latest(): Exchange | undefined {
    let latest: Exchange | undefined
    for (const { exchange, mayAsk } of this.#waiting.values()) {
      if (mayAsk && (exchange.isCarried || latest?.isCarried !== true)) latest = exchange
    }
    return latest
  }
}

/** What belongs to no request. */
class Rest extends Lines implements SessionOut {
  readonly #session: HttpSession
  #isClosed = false

  constructor(session: HttpSession) {
    super()
    this.#session = session
  }

  get unread(): number {
    return this.#session.unread
  }

  discard(): void {
    this.#isClosed = true
  }

  protected take(message: Message): void {
    if (!this.#isClosed) this.#session.rest.send(message)
  }
}

/** What a line is to an exchange. */
type Part = "answer" | "event" | "refusal"
const answer: Part = "answer"
const event: Part = "event"
const refusal: Part = "refusal"

/** The pieces of a line come one after another, and no other line's between: one way serves all sessions. */
class Way extends Lines {
  readonly unread = 0
  #exchange: Exchange | null = null
  #part: Part = answer

  to(exchange: Exchange | null, part: Part): this {
    this.reset()
    this.#exchange = exchange
    this.#part = part
    return this
  }

  protected take(message: Message): void {
    const exchange = this.#exchange
    this.#exchange = null
    if (exchange === null) return
    if (this.#part === answer) exchange.answer(message)
    else if (this.#part === event) exchange.event(message)
    else exchange.refuse(message)
  }
}

const way = new Way()
const asking: ReadonlySet<string> = new Set(["tools/call", "prompts/get", "resources/read", "tasks/result"])
/** Milliseconds in which nothing may be read of an answer whose session is over. */
const lastWords = 10_000
/** Bytes of events that one session's client may come back for. */
const maxLogged = 16 * 1024 * 1024
