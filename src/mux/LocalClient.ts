/**
 * A client in this process: the same to an upstream as one behind a socket, without the socket. Requests are values, and
 * so are answers. Plain synchronous code; lives from `open` to `close`.
 */
import type { CallOutcome } from "../CallOutcome.ts"
import { Line } from "../lines/LineReader.ts"
import { Envelope } from "../message/Envelope.ts"
import { Overloaded, type RequestError, RequestTimeout } from "../PoolError.ts"
import { version } from "../version.ts"
import { metaOf } from "../server/Era.ts"
import * as Capabilities from "./Capabilities.ts"
import * as Edits from "./era/Edits.ts"
import { IdTable } from "./IdTable.ts"
import * as OwnRequest from "./OwnRequest.ts"
import * as Reply from "./Reply.ts"
import type { Client, Out, Refusal, Role, Upstream } from "./Upstream.ts"

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
  /** A session unless given. */
  readonly role?: Role | undefined
}

export class LocalClient implements Client {
  readonly id: number
  readonly server: string
  readonly out: Out
  readonly answerTo: () => Out
  readonly during: () => Out
  /** What it is told is read at once. */
  readonly maxUnread = Infinity
  readonly role: Role
  readonly owner = null
  readonly initialized = true
  readonly level = null
  readonly capabilities = Capabilities.none
  readonly clientInfo = { name: "effect-mcp-pool", version }
  readonly meta = () => localMeta
  readonly since = Date.now()
  calls = 0
  inFlight = 0
  readonly #upstream: Upstream
  readonly #envelope = new Envelope()
  readonly #waiting = new IdTable<Waiting>()
  readonly #onNotification: LocalClientOptions["onNotification"]
  #answered: { readonly waiting: Waiting; readonly answer: Answer } | null = null
  #isSweeping = false
  #pieces: Array<string | Buffer> = []

  constructor(options: LocalClientOptions) {
    this.id = options.id
    this.server = options.server
    this.role = options.role ?? "session"
    this.#upstream = options.upstream
    this.#onNotification = options.onNotification
    const out: Out = { unread: 0, push: (piece) => this.#push(piece) }
    this.out = out
    this.answerTo = () => out
    this.during = () => out
  }

  open(): void {
    this.#upstream.join(this)
  }

  close(): void {
    this.#upstream.leave(this)
    for (const [id] of this.#waiting) this.#waiting.take(id)
  }

  /** `onAnswer` is called exactly once, unless the returned function has cancelled the request before. */
  request(
    method: string,
    params: { readonly [key: string]: unknown },
    onAnswer: Waiting["onAnswer"],
    { onProgress = null, timeout = Infinity }: { onProgress?: Waiting["onProgress"]; timeout?: number } = {}
  ): () => void {
    this.calls++
    if (this.#waiting.size >= maxInFlight) {
      const reason = `${maxInFlight} requests of this application are not answered yet`
      onAnswer({ kind: "refused", error: new Overloaded({ server: this.server, reason }) })
      return () => {}
    }
    const id = this.#waiting.add({ onAnswer, onProgress, deadline: Date.now() + timeout })
    if (timeout !== Infinity) this.#sweepSoon()
    const sent =
      params["_meta"] === undefined && onProgress === null ? params : withToken(params, onProgress === null ? null : id)
    this.#upstream.request(this, OwnRequest.write(this.#envelope, id, method, sent), this.#envelope, method)
    return () => this.#cancel(id)
  }

  /** Asks for a list from its beginning: what is known of it may be the answer. As {@link request}. */
  list(method: string, onAnswer: Waiting["onAnswer"], { timeout = Infinity }: { timeout?: number } = {}): () => void {
    this.calls++
    const id = this.#waiting.add({ onAnswer, onProgress: null, deadline: Date.now() + timeout })
    if (timeout !== Infinity) this.#sweepSoon()
    this.#upstream.list(this, OwnRequest.write(this.#envelope, id, method, {}), this.#envelope, method)
    return () => this.#cancel(id)
  }

  #cancel(id: number, outcome: CallOutcome = "cancelled"): void {
    if (this.#waiting.take(id) === undefined) return
    const line = Line.ofText(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":${id}}}`)
    this.#envelope.scan(line.bytes, line.start, line.end)
    this.#upstream.cancel(this, String(id), line, this.#envelope, outcome)
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
          this.#cancel(id, "request-timeout")
          onAnswer({ kind: "refused", error: new RequestTimeout({ server: this.server }) })
        } else hasDeadlines ||= deadline !== Infinity
      }
      if (hasDeadlines) this.#sweepSoon()
    }, sweepInterval)
  }

  answer(id: string, line: Line): void {
    const { error, result } = JSON.parse(decoded(line)) as Message
    const waiting = this.#waiting.take(Number(id))
    if (waiting === undefined) return
    const answer: Answer = error === undefined ? { kind: "result", value: result } : { kind: "error", error }
    this.#answered = { waiting, answer }
  }

  fail(id: string, refusal: Refusal): void {
    const waiting = this.#waiting.take(Number(id))
    waiting?.onAnswer("_tag" in refusal ? { kind: "refused", error: refusal } : { kind: "error", error: refusal })
  }

  /** An answer is told only here: what follows from it finds the place free that it leaves. */
  settled(): void {
    this.inFlight--
    const answered = this.#answered
    this.#answered = null
    answered?.waiting.onAnswer(answered.answer)
  }

  overflow(): void {}

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
      const waiting = this.#waiting.take(Number(id))
      waiting?.onAnswer(error === undefined ? { kind: "result", value: result } : { kind: "error", error })
    }
  }
}

const localMeta = Edits.members(
  metaOf({ capabilities: {}, clientInfo: { name: "effect-mcp-pool", version } }),
  Reply.json
)

/** What the pool lets through to a client is JSON-RPC. */
interface Message {
  readonly id?: unknown
  readonly method?: string
  readonly params?: { readonly progressToken?: unknown }
  readonly result?: unknown
  readonly error?: unknown
}

/** Somebody else's progress token could be another request's: there is this one or none. */
const withToken = (params: { readonly [key: string]: unknown }, progressToken: number | null): object => {
  const { _meta: meta, ...rest } = params
  const { progressToken: _, ...foreign } = (meta ?? {}) as { readonly [key: string]: unknown }
  return { ...rest, _meta: progressToken === null ? foreign : { ...foreign, progressToken } }
}

const decoded = ({ bytes, end, start, text }: Line): string => {
  const plain = text?.slice(start, end)
  return plain === undefined || beyondAscii.test(plain) ? bytes.toString("utf8", start, end) : plain
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
/** Milliseconds. */
const sweepInterval = 50
/** Requests that are not answered yet. */
const maxInFlight = 4096
