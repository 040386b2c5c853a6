/**
 * What a remote server says on a stream of its own (GET): what belongs to no request, or what a broken stream was to bring
 * still, from the last event on that came. Connects anew, a bounded number of times in a row.
 *
 * https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#resumability-and-redelivery
 */
import type { ClientRequest, IncomingMessage } from "node:http"
import type { LineReceiver } from "../../lines/LineReader.ts"
import { EventReader } from "./EventReader.ts"
import * as RemoteBody from "./RemoteBody.ts"
import type { RemoteHttp } from "./RemoteHttp.ts"

export interface RemoteStreamOptions {
  readonly http: RemoteHttp
  readonly inbox: RemoteBody.Inbox
  /** Whoever its messages are for. */
  readonly receiver: LineReceiver
  /** After which event; null for whatever comes. */
  readonly lastEventId: string | null
  /** What the server has asked for, in milliseconds. */
  readonly retry: number | null
  /** Nothing more is wanted of it. */
  readonly isDone: () => boolean
  /** It has ended, and is not connected anew: nothing more is wanted, or why. */
  readonly onOver: (why: { readonly status: number } | { readonly reason: string } | null) => void
  /** Nobody listens there, again and again. */
  readonly onUnreachable: (error: NodeJS.ErrnoException) => void
}

export class RemoteStream {
  readonly #options: RemoteStreamOptions
  #lastEventId: string | null
  #retry: number | null
  #request: ClientRequest | null = null
  #timer: NodeJS.Timeout | null = null
  /** In a row. */
  #failures = 0
  #refusals = 0
  #isOver = false

  constructor(options: RemoteStreamOptions) {
    this.#options = options
    this.#lastEventId = options.lastEventId
    this.#retry = options.retry
  }

  /** Connects; after a while where a stream has just broken. */
  begin(): void {
    if (this.#lastEventId === null) this.#connect()
    else this.#later()
  }

  close(): void {
    this.#isOver = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#request?.destroy()
  }

  #connect(): void {
    this.#timer = null
    const id = this.#lastEventId
    const headers = { Accept: "text/event-stream", ...(id === null ? {} : { "Last-Event-ID": id }) }
    this.#request = this.#options.http.send("GET", headers, null, {
      onResponse: (response) => this.#read(response),
      onError: (error, isSent) => {
        if (this.#isOver) return
        if (!isSent && ++this.#refusals > maxRefusals) return (this.close(), this.#options.onUnreachable(error))
        this.#again(error.code ?? "broken")
      }
    })
  }

  #read(response: IncomingMessage): void {
    const { inbox, isDone, receiver } = this.#options
    const status = response.statusCode ?? 0
    this.#refusals = 0
    if (status !== 200 || !RemoteBody.isEvents(response)) {
      RemoteBody.discard(response)
      if (status >= 500) return this.#again(`HTTP ${status}`)
      return this.#over({ status })
    }
    const since = Date.now()
    const reader = new EventReader({
      maxLine: inbox.maxLine,
      receiver,
      onId: (id) => {
        this.#lastEventId = id
        this.#failures = 0
      },
      onRetry: (millis) => {
        this.#retry = millis
      }
    })
    inbox.read(
      response,
      (chunk) => {
        reader.feed(chunk)
        if (isDone()) this.#over(null)
        return reader.held
      },
      () => {
        if (Date.now() - since > longLife) this.#failures = 0
        this.#again("the stream ended")
      }
    )
  }

  #again(reason: string): void {
    if (this.#isOver) return
    if (++this.#failures > maxFailures) return this.#over({ reason })
    this.#later()
  }

  #later(): void {
    const delay = this.#retry ?? firstDelay * 2 ** Math.max(0, this.#failures - 1)
    this.#timer = setTimeout(() => this.#connect(), Math.min(Math.max(delay, minDelay), maxDelay))
  }

  #over(why: Parameters<RemoteStreamOptions["onOver"]>[0]): void {
    if (this.#isOver) return
    this.close()
    this.#options.onOver(why)
  }
}

/** In a row, until it is given up. */
const maxFailures = 5
const maxRefusals = 1
/** Milliseconds. */
const firstDelay = 500
/** Whatever it asks for: it may end each stream at once. */
const minDelay = 50
const maxDelay = 30_000
/** A stream that was there for so long has not failed, in milliseconds. */
const longLife = 10_000
