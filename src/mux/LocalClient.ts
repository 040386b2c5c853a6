/**
 * A client in this process: the same to an upstream as one behind a socket, without the socket. Requests are values, and
 * so are answers. Plain synchronous code; lives from `open` to `close`.
 */
import { Line } from "../lines/LineReader.ts"
import { Overloaded, type RequestError, RequestTimeout } from "../PoolError.ts"
import { version } from "../version.ts"
import * as Capabilities from "./Capabilities.ts"
import { Envelope } from "./Envelope.ts"
import type { Client, Out, Refusal, Upstream } from "./Upstream.ts"

/** How a request ends. */
export type Answer =
  | { readonly kind: "result"; readonly value: unknown }
  /** The server's own error, as it gave it. */
  | { readonly kind: "error"; readonly error: unknown }
  | { readonly kind: "refused"; readonly error: RequestError }

interface Waiting {
  /** Milliseconds since the epoch. */
  readonly deadline: number
  readonly onAnswer: (answer: Answer) => void
  readonly onProgress: ((params: unknown) => void) | null
}

export interface LocalClientOptions {
  /** Unique in the process. */
  readonly id: number
  readonly server: string
  readonly upstream: Upstream
  /** A notification that belongs to no request, e.g. `notifications/tools/list_changed`. */
  readonly onNotification: (method: string) => void
}

export class LocalClient implements Client {
  readonly id: number
  readonly server: string
  readonly out: Out
  /** What it is told is read at once. */
  readonly maxUnread = Infinity
  readonly initialized = true
  readonly level = null
  readonly capabilities = Capabilities.none
  readonly clientInfo = { name: "effect-mcp-pool", version }
  readonly since = Date.now()
  calls = 0
  inFlight = 0
  readonly #upstream: Upstream
  readonly #envelope = new Envelope()
  readonly #waiting = new Map<number, Waiting>()
  readonly #onNotification: LocalClientOptions["onNotification"]
  #nextId = 1
  #isSweeping = false
  #pieces: Array<string | Buffer> = []

  constructor(options: LocalClientOptions) {
    this.id = options.id
    this.server = options.server
    this.#upstream = options.upstream
    this.#onNotification = options.onNotification
    this.out = { unread: 0, push: (piece) => this.#push(piece) }
  }

  open(): void {
    this.#upstream.join(this)
  }

  close(): void {
    this.#upstream.leave(this)
    this.#waiting.clear()
  }

  /** `onAnswer` is called exactly once, unless the returned function has cancelled the request before. */
  request(
    method: string,
    params: { readonly [key: string]: unknown },
    onAnswer: Waiting["onAnswer"],
    { onProgress = null, timeout = Infinity }: { onProgress?: Waiting["onProgress"]; timeout?: number } = {}
  ): () => void {
    const id = this.#nextId++
    this.calls++
    if (this.#waiting.size >= maxInFlight) {
      const reason = `${maxInFlight} requests of this application are not answered yet`
      onAnswer({ kind: "refused", error: new Overloaded({ server: this.server, reason }) })
      return () => {}
    }
    this.#waiting.set(id, { onAnswer, onProgress, deadline: Date.now() + timeout })
    if (timeout !== Infinity) this.#sweepSoon()
    const { _meta: meta, ...rest } = params
    // A token of somebody else's could be another request's.
    const { progressToken: _, ...foreign } = (meta ?? {}) as { readonly [key: string]: unknown }
    const token = onProgress === null ? {} : { progressToken: id }
    const sent = meta === undefined && onProgress === null ? params : { ...rest, _meta: { ...foreign, ...token } }
    const line = this.#line({ jsonrpc: "2.0", id, method, params: sent })
    this.#upstream.request(this, line, this.#envelope, method)
    return () => this.#cancel(id)
  }

  #cancel(id: number): void {
    if (!this.#waiting.delete(id)) return
    const cancelled = { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: id } }
    this.#upstream.cancel(this, String(id), this.#line(cancelled), this.#envelope)
  }

  /** One timer for all deadlines, and only while there are some. */
  #sweepSoon(): void {
    if (this.#isSweeping) return
    this.#isSweeping = true
    setTimeout(() => {
      this.#isSweeping = false
      const now = Date.now()
      let hasDeadlines = false
      for (const [id, { deadline, onAnswer }] of this.#waiting) {
        if (deadline <= now) {
          this.#cancel(id)
          onAnswer({ kind: "refused", error: new RequestTimeout({ server: this.server }) })
        } else hasDeadlines ||= deadline !== Infinity
      }
      if (hasDeadlines) this.#sweepSoon()
    }, sweepInterval)
  }

  fail(id: string, refusal: Refusal): void {
    const waiting = this.#take(Number(id))
    waiting?.onAnswer("_tag" in refusal ? { kind: "refused", error: refusal } : { kind: "error", error: refusal })
  }

  settled(): void {
    this.inFlight--
  }

  overflow(): void {}

  #line(message: object): Line {
    const line = Line.of(Buffer.from(JSON.stringify(message)))
    // Short lines go on as text: many of them become one write.
    if (line.end <= shortLine) line.text = line.bytes.toString("latin1")
    this.#envelope.scan(line.bytes, line.start, line.end)
    return line
  }

  /** A line comes in pieces; its last one ends with a line feed. */
  #push(piece: string | Buffer): void {
    this.#pieces.push(piece)
    const isLast = typeof piece === "string" ? piece.endsWith("\n") : piece.at(-1) === lineFeed
    if (!isLast) return
    const pieces = this.#pieces
    this.#pieces = []
    this.#receive(JSON.parse(textOf(pieces)) as Message)
  }

  #receive({ error, id, method, params, result }: Message): void {
    if (method === "notifications/progress") {
      this.#waiting.get(Number(params?.progressToken))?.onProgress?.(params)
    } else if (method !== undefined) this.#onNotification(method)
    else {
      const waiting = this.#take(Number(id))
      waiting?.onAnswer(error === undefined ? { kind: "result", value: result } : { kind: "error", error })
    }
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    return waiting
  }
}

/** What the pool lets through to a client is JSON-RPC. */
interface Message {
  readonly id?: unknown
  readonly method?: string
  readonly params?: { readonly progressToken?: unknown }
  readonly result?: unknown
  readonly error?: unknown
}

/** Text comes as latin-1, one character a byte. */
const textOf = (pieces: ReadonlyArray<string | Buffer>): string => {
  if (pieces.every((piece) => typeof piece === "string")) {
    const text = pieces.join("")
    return beyondAscii.test(text) ? Buffer.from(text, "latin1").toString("utf8") : text
  }
  return Buffer.concat(
    pieces.map((piece) => (typeof piece === "string" ? Buffer.from(piece, "latin1") : piece))
  ).toString("utf8")
}

const beyondAscii = /[\u0080-\u00ff]/
const lineFeed = 0x0a
/** Bytes, as `LineReader` has it. */
const shortLine = 64 * 1024
/** Milliseconds. */
const sweepInterval = 50
/** Requests that are not answered yet. */
const maxInFlight = 4096
