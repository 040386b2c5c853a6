/**
 * Streamable HTTP as the transport of one incarnation of a server: each line is a POST, each answer lines again. What is one
 * request's trouble is told to that request; what is the server's ends the incarnation, once what others still have has had
 * a moment to be answered.
 *
 * https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#streamable-http
 */
import type { IncomingMessage } from "node:http"
import type { Remote } from "../../config/Remote.ts"
import type { ServerSpec } from "../../config/ServerSpec.ts"
import { Line } from "../../lines/LineReader.ts"
import { Overloaded, type RemoteEnding } from "../../PoolError.ts"
import { internalError, toWire } from "../../WireError.ts"
import type { Handshake } from "../Handshake.ts"
import { Inbox } from "./RemoteBody.ts"
import { codeOf, type ExchangeEvents, RemoteExchange } from "./RemoteExchange.ts"
import { RemoteHttp } from "./RemoteHttp.ts"
import { RemoteListing } from "./RemoteListing.ts"
import { type Item, RemoteOutbox } from "./RemoteOutbox.ts"
import { RemoteStream } from "./RemoteStream.ts"
import type { ServerLog } from "../ServerLog.ts"
import type { Events, Transport } from "../Transport.ts"

/** What it speaks to, and for whom. */
export interface RemoteTransportOptions {
  readonly spec: ServerSpec
  readonly remote: Remote
  readonly log: ServerLog
  /** Whether this process itself listens there. */
  readonly isOwn: () => boolean
}

/** One incarnation's. */
export class RemoteTransport implements Transport {
  readonly pid = null
  readonly stdin: RemoteOutbox
  readonly #spec: ServerSpec
  readonly #log: ServerLog
  readonly #isOwn: () => boolean
  readonly #http: RemoteHttp
  /** What is under way, and what stands for it now: its exchange, or what must be found out first. */
  readonly #exchanges = new Map<
    Item,
    { readonly exchange: { readonly close: () => void }; readonly done: () => void }
  >()
  /** Those that are sent for the second time. */
  readonly #again = new WeakSet<Item>()
  readonly #events: ExchangeEvents
  #inbox: Inbox | null = null
  #onEnd: Events["onEnd"] = () => {}
  #listening: RemoteStream | null = null
  /** Null until the server has said who it is. */
  #era: Handshake["era"] | null = null
  /** Why it ends, as soon as what is under way has ended. */
  #ending: { readonly ending: RemoteEnding; readonly reason: string } | null = null
  #timer: NodeJS.Timeout | null = null
  #isEnded = false
  #isPaused = false
  #isFlooded = false

  constructor({ isOwn, log, remote, spec }: RemoteTransportOptions) {
    this.#isOwn = isOwn
    this.#spec = spec
    this.#log = log
    this.#http = new RemoteHttp(remote)
    this.stdin = new RemoteOutbox({
      send: (item, done) => this.#send(item, done),
      onCancelled: (requestId) => this.#cancelled(requestId),
      onUnanswered: () => this.#flow()
    })
    this.#events = {
      // What stands for it now goes on elsewhere.
      onOver: (exchange) => this.#exchanges.get(exchange.item)?.exchange === exchange && this.#over(exchange.item),
      onUnreachable: (item, error) => {
        if (item !== null) this.#putBack(item)
        this.#end("unreachable", codeOf(error))
      },
      onStatus: (item, response, text) => this.#refused(item, response, text),
      onLost: (item, reason) => {
        this.#say(`${item.method === "" ? "an answer" : item.method}: ${reason}`)
        if (item.id !== null) this.#inbox?.receiver.onLost?.(item.id, reason)
      }
    }
  }

  open({ onEnd, onHeard, receiver }: Events): void {
    const { maxLine, maxUnread } = this.#spec.pool
    this.#onEnd = onEnd
    this.#inbox = new Inbox({ maxLine, maxHeld: maxUnread, receiver, onHeard })
  }

  pause(): void {
    this.#isPaused = true
    this.#inbox?.pause()
  }

  resume(): void {
    this.#isPaused = false
    if (!this.#isFlooded) this.#inbox?.resume()
  }

  isOver(): boolean {
    return this.#isEnded
  }

  shaken({ era, protocolVersion }: Handshake): void {
    this.#era = era
    this.#http.protocolVersion = protocolVersion
  }

  /** Ends all that is under way, and the session, which takes so many milliseconds at the most. */
  close(within: number, done: () => void): void {
    this.#isEnded = true
    this.stdin.close()
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#listening?.close()
    for (const { exchange } of this.#exchanges.values()) exchange.close()
    const isThere = this.#http.sessionId !== null && this.#ending === null
    const over = () => {
      clearTimeout(timer)
      this.#http.close()
      done()
    }
    if (!isThere) return (this.#http.close(), done())
    const timer = setTimeout(over, within)
    this.#http.send("DELETE", {}, null, {
      onResponse: (response) => {
        response.on("error", () => {})
        response.resume()
        over()
      },
      onError: over
    })
  }

  #send(item: Item, done: () => void): void {
    if (item.method === "initialize" && this.#isOwn()) {
      return this.#end("loop", 'its "url" is where this pool serves HTTP')
    }
    const exchange = new RemoteExchange(item, this.#http, this.#inbox!, this.#events)
    this.#exchanges.set(item, { exchange, done })
    exchange.begin(this.#era === "modern")
  }

  #over(item: Item): void {
    const held = this.#exchanges.get(item)
    this.#exchanges.delete(item)
    // The stream on which it says what belongs to no request is there once the session is.
    if (item.method === "notifications/initialized") this.#listen()
    held?.done()
    this.#flow()
    if (this.#ending !== null && !this.#isBusy) this.#endNow()
  }

  /** It asks more than it takes answers: it is not read either until it does. */
  #flow(): void {
    const isFlooded = this.stdin.unanswered > this.#spec.pool.maxUnread
    if (isFlooded === this.#isFlooded) return
    this.#isFlooded = isFlooded
    if (isFlooded) this.#inbox?.pause()
    else if (!this.#isPaused) this.#inbox?.resume()
  }

  get #isBusy(): boolean {
    for (const { id } of this.#exchanges.keys()) if (id !== null) return true
    return false
  }

  /** Says whether that is all there is to do: a legacy server is told, and its stream is not read any more. */
  #cancelled(requestId: number): boolean {
    for (const [item, { exchange }] of this.#exchanges) {
      if (item.id !== requestId) continue
      if (this.#era === "modern") exchange.close()
      // Its answer may be on its way; most send none, and leave the stream open for ever.
      else setTimeout(() => exchange.close(), cancelGrace).unref()
    }
    return this.#era === "modern"
  }

  #listen(): void {
    const inbox = this.#inbox
    if (inbox === null || this.#era !== "legacy" || this.#listening !== null) return
    if (this.#isEnded || this.#ending !== null) return
    this.#listening = new RemoteStream({
      http: this.#http,
      inbox,
      receiver: inbox.receiver,
      lastEventId: null,
      retry: null,
      isDone: () => this.#isEnded,
      onOver: (why) => {
        if (why === null) return
        const said = "status" in why ? `HTTP ${why.status}` : why.reason
        if (said === "HTTP 404" && this.#http.sessionId !== null) {
          // Many that have no such stream say so, too.
          return this.#http.isSessionKnown((isKnown) => isKnown || this.#end("session-over", said))
        }
        // Of those that have none, the others say so.
        if (said !== "HTTP 405") this.#say(`no stream for what it says unasked: ${said}`)
      },
      onUnreachable: (error) => this.#end("unreachable", codeOf(error))
    })
    this.#listening.begin()
  }

  /** It was answered, and not with success. */
  #refused(item: Item, response: IncomingMessage, text: string): void {
    const status = response.statusCode ?? 0
    const said = `HTTP ${status}`
    if (status >= 300 && status < 400) {
      const to = this.#http.redirect(response)
      if (to === true) return this.#send(item, this.#exchanges.get(item)!.done)
      this.#putBack(item)
      return this.#end("redirected", `${said} to ${to}`)
    }
    if (status === 401 || (status === 403 && this.#era === null)) {
      this.#putBack(item)
      return this.#end("unauthorized", said)
    }
    const error = errorIn(text)
    if (this.#http.sessionId !== null && isSessionOver(status, error)) return this.#doubt(item, status, error)
    if (error?.code === headerMismatch && this.#era === "modern" && item.method === "tools/call") {
      if (!this.#again.has(item)) return this.#relist(item, status, error)
    }
    this.#conclude(item, status, error)
  }

  /** What was answered ends the session, or was that one request's: others on it tell. */
  #doubt(item: Item, status: number, error: ServersError | null): void {
    const { done } = this.#exchanges.get(item)!
    this.#exchanges.set(item, { exchange: { close: () => {} }, done })
    this.#http.isSessionKnown((isKnown) => {
      if (isKnown) this.#conclude(item, status, error)
      else {
        this.#putBack(item)
        this.#end("session-over", `HTTP ${status}`)
      }
      this.#over(item)
    })
  }

  /** The headers of a call were found wrong: once its tool's are known as they are now, it is made once more. */
  #relist(item: Item, status: number, error: ServersError): void {
    const { done } = this.#exchanges.get(item)!
    const listing = new RemoteListing(this.#http, this.#spec.pool.maxLine, (isListed) => {
      this.#again.add(item)
      if (isListed && this.#ending === null && !this.#isEnded) return this.#send(item, done)
      this.#conclude(item, status, error)
      this.#over(item)
    })
    this.#exchanges.set(item, { exchange: listing, done })
  }

  /** It was that one's trouble. */
  #conclude(item: Item, status: number, error: ServersError | null): void {
    if (this.#isEnded) return
    const said = `HTTP ${status}`
    if (item.id === null) return this.#say(`${item.method === "" ? "an answer" : item.method}: ${said}`)
    const { name: server } = this.#spec
    if (error !== null) return this.#answer(item.id, JSON.stringify(error))
    this.#say(`${item.method}: ${said}`)
    if (status === 429) return this.#answer(item.id, toWire(new Overloaded({ server, reason: said })))
    if (status >= 500) return this.#inbox?.receiver.onLost?.(item.id, said)
    this.#answer(item.id, JSON.stringify({ code: internalError, message: said, data: { kind: "Internal", server } }))
  }

  #answer(id: number, error: string): void {
    this.#inbox?.receiver.onLine(Line.of(Buffer.from(`{"jsonrpc":"2.0","error":${error},"id":${id}}`)))
  }

  #putBack(item: Item): void {
    if (item.id !== null) this.stdin.putBack(item)
  }

  #end(ending: RemoteEnding, reason: string): void {
    if (this.#ending !== null || this.#isEnded) return
    this.#ending = { ending, reason }
    this.stdin.close()
    if (!this.#isBusy) return this.#endNow()
    this.#timer = setTimeout(() => this.#endNow(), lastAnswers)
  }

  #endNow(): void {
    if (this.#isEnded || this.#ending === null) return
    this.#isEnded = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#onEnd(this.#ending)
  }

  #say(text: string): void {
    if (!this.#isEnded) this.#log.add("pool", null, text)
  }
}

interface ServersError {
  readonly code: number
  readonly message: string
}

/** The server's own error, whichever request it names: some name none. */
const errorIn = (text: string): ServersError | null => {
  try {
    const { error } = JSON.parse(text) as { readonly error?: { readonly code?: unknown; readonly message?: unknown } }
    return typeof error?.code === "number" && typeof error.message === "string" ? (error as ServersError) : null
  } catch {
    return null
  }
}

/** Whether it may be: many examples answer 400 in place of 404, which the specification asks for. */
const isSessionOver = (status: number, error: ServersError | null): boolean =>
  status === 404 || (status === 400 && error?.code === -32000 && /session|not initialized/i.test(error.message))

/** What a modern server answers to headers that do not say what the body does. */
const headerMismatch = -32020

/** How long what others have may still be answered once nothing more can be asked, in milliseconds. */
const lastAnswers = 1000
/** How long an answer to what was cancelled is waited for, in milliseconds. */
const cancelGrace = 2000
