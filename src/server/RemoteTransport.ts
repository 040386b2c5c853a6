/**
 * Streamable HTTP as the transport of one incarnation of a server: each line is a POST, each answer lines again. What is one
 * request's trouble is told to that request; what is the server's ends the incarnation, once what others still have has had
 * a moment to be answered.
 *
 * https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#streamable-http
 */
import type { IncomingMessage } from "node:http"
import type { Remote } from "../config/Remote.ts"
import type { ServerSpec } from "../config/ServerSpec.ts"
import { Line } from "../lines/LineReader.ts"
import { internalError, Overloaded, type RemoteEnding, toWire } from "../PoolError.ts"
import type { Handshake } from "./Opening.ts"
import { Inbox } from "./RemoteBody.ts"
import { codeOf, type ExchangeEvents, RemoteExchange } from "./RemoteExchange.ts"
import { RemoteHttp } from "./RemoteHttp.ts"
import { type Item, RemoteOutbox } from "./RemoteOutbox.ts"
import { RemoteStream } from "./RemoteStream.ts"
import type { ServerLog } from "./ServerLog.ts"
import type { Events, Transport } from "./Transport.ts"

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
  readonly #exchanges = new Map<Item, { readonly exchange: RemoteExchange; readonly done: () => void }>()
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
      onOver: (exchange) => this.#over(exchange),
      onUnreachable: (item, error) => {
        if (item !== null) this.#putBack(item)
        this.#end("unreachable", codeOf(error))
      },
      onStatus: (item, response, text) => this.#refused(item, response, text),
      onLost: (item, reason) => {
        this.#say(`${item.method === "" ? "an answer" : item.method}: ${reason}`)
        if (item.id !== null) this.#inbox?.receiver.onLost?.(item.id, reason)
      },
      onStreamRefused: (status) => {
        if (status === 404 && this.#http.sessionId !== null) this.#end("session-over", "HTTP 404")
      }
    }
  }

  open({ onEnd, onHeard, receiver }: Events): void {
    const { maxLine } = this.#spec.pool
    this.#onEnd = onEnd
    this.#inbox = new Inbox({ maxLine, receiver, onHeard })
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

  #over(exchange: RemoteExchange): void {
    const { item } = exchange
    const held = this.#exchanges.get(item)
    // It goes on elsewhere.
    if (held?.exchange !== exchange) return
    this.#exchanges.delete(item)
    // The stream on which it says what belongs to no request is there once the session is.
    if (item.method === "notifications/initialized") this.#listen()
    held.done()
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
        // Most of those that have no such stream say so.
        if ("status" in why && why.status === 404 && this.#http.sessionId !== null) {
          return this.#end("session-over", "HTTP 404")
        }
        const isUsual = "status" in why && why.status === 405
        if (!isUsual)
          this.#say(`no stream for what it says unasked: ${"status" in why ? `HTTP ${why.status}` : why.reason}`)
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
    if (this.#http.sessionId !== null && isSessionOver(status, error)) {
      this.#putBack(item)
      return this.#end("session-over", said)
    }
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

/** The server's own error, whichever request it names: some name none. */
const errorIn = (text: string): { readonly code: unknown; readonly message: unknown } | null => {
  try {
    const { error } = JSON.parse(text) as { readonly error?: { readonly code?: unknown; readonly message?: unknown } }
    return typeof error?.code === "number" && typeof error.message === "string"
      ? (error as { readonly code: number; readonly message: string })
      : null
  } catch {
    return null
  }
}

/** What many examples answer in place of 404, which the specification asks for. */
const isSessionOver = (status: number, error: ReturnType<typeof errorIn>): boolean =>
  status === 404 || (status === 400 && error?.code === -32000 && /session|not initialized/i.test(String(error.message)))

/** How long what others have may still be answered once nothing more can be asked, in milliseconds. */
const lastAnswers = 1000
/** How long an answer to what was cancelled is waited for, in milliseconds. */
const cancelGrace = 2000
