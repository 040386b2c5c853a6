/**
 * What one `subscriptions/listen` of a modern client hears, of a server of either era: a client of its own at the upstream,
 * to which it looks like a session that watches resources. Plain synchronous code; lives from the request to its end.
 *
 * https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/subscriptions
 */
import { Line } from "../../lines/LineReader.ts"
import { Envelope, Key, Shape } from "../../message/Envelope.ts"
import { decodeString, methodOf } from "../../message/Words.ts"
import { metaKeys } from "../../server/Era.ts"
import type { Handshake } from "../../server/Handshake.ts"
import { invalidParams } from "../../WireError.ts"
import * as Capabilities from "../Capabilities.ts"
import * as Reply from "../Reply.ts"
import type { Client, Out, Refusal, Upstream } from "../Upstream.ts"
import type { Stream } from "./ModernCall.ts"

/** What a client wants to hear of, as the server can tell it. */
interface Filter {
  readonly methods: ReadonlySet<string>
  readonly uris: ReadonlyArray<string>
}

export class Listening implements Client {
  readonly id: number
  readonly server: string
  readonly role = "listener"
  readonly owner = null
  readonly out: Out = { unread: 0, push: (piece) => this.#push(piece) }
  readonly answerTo = (): Out => this.out
  readonly during = (): Out => this.out
  readonly maxUnread = Infinity
  readonly capabilities = Capabilities.none
  readonly clientInfo: Client["clientInfo"]
  readonly since = Date.now()
  readonly meta = null
  readonly level = null
  initialized = false
  calls = 0
  inFlight = 0
  readonly #upstream: Upstream
  readonly #stream: Stream
  readonly #maxUnread: number
  /** The client's id of its request, which names the subscription, as JSON text. */
  readonly #requestId: string
  readonly #filter: Filter
  /** Whose process it is that tells, where that is one session's own: it watches, and says what it hears. */
  readonly #teller: Client | null
  readonly #isWatched: (uri: string) => boolean
  #heard: ReadonlySet<string> = new Set()
  #uris: Array<string> = []
  #isOver = false
  readonly #envelope = new Envelope()
  #pieces = ""

  constructor(options: {
    readonly id: number
    readonly server: string
    readonly upstream: Upstream
    readonly clientInfo: Client["clientInfo"]
    readonly requestId: string
    readonly filter: Filter
    readonly teller: Client | null
    /** Whether another one of the same teller wants to hear of this resource. */
    readonly isWatched: (uri: string) => boolean
    readonly stream: Stream
    readonly maxUnread: number
  }) {
    this.id = options.id
    this.server = options.server
    this.clientInfo = options.clientInfo
    this.#upstream = options.upstream
    this.#requestId = options.requestId
    this.#filter = options.filter
    this.#stream = options.stream
    this.#maxUnread = options.maxUnread
    this.#teller = options.teller
    this.#isWatched = options.isWatched
    if (this.#teller === null) options.upstream.join(this)
  }

  /** Asks for what it is to hear of; acknowledges what it will. */
  begin(): void {
    let left = this.#filter.uris.length
    if (left === 0) return this.#acknowledge()
    for (const uri of this.#filter.uris) {
      this.#upstream.subscribe(this.#teller ?? this, uri, (outcome) => {
        if (this.#isOver) return
        if (outcome.kind === "result") this.#uris.push(uri)
        if (--left === 0) this.#acknowledge()
      })
    }
  }

  /** Its client does not want to hear any more, or is gone. */
  cancel(): void {
    if (this.#isOver) return
    this.#isOver = true
    if (this.#teller === null) return this.#upstream.leave(this)
    for (const uri of this.#uris) if (!this.#isWatched(uri)) this.#upstream.unsubscribe(this.#teller, uri)
  }

  /** Whether it hears of this resource, or of what that is a part of. */
  watches(uri: string): boolean {
    return !this.#isOver && this.#uris.some((its) => its === uri || uri.startsWith(its.endsWith("/") ? its : `${its}/`))
  }

  /** The server tells nothing any more. */
  end(): void {
    if (this.#isOver) return
    this.cancel()
    this.#say(Reply.result(this.#requestId, `{"resultType":"complete","_meta":{${this.#mark}}}`))
    this.#stream.ended()
  }

  answer(): void {}

  fail(): void {}

  settled(): void {}

  overflow(): void {}

  get #mark(): string {
    return `"${metaKeys.subscription}":${this.#requestId}`
  }

  #acknowledge(): void {
    const { methods } = this.#filter
    const notifications = {
      ...Object.fromEntries([...methods].map((method) => [fieldOf[method]!, true])),
      ...(this.#uris.length > 0 ? { resourceSubscriptions: this.#uris } : {})
    }
    this.#notify("notifications/subscriptions/acknowledged", `"notifications":${Reply.json(notifications)}`)
    this.#heard = methods
    this.initialized = true
    this.#stream.listens()
  }

  #push(piece: string | Buffer): void {
    this.#pieces += typeof piece === "string" ? piece : piece.toString("latin1")
    if (!this.#pieces.endsWith("\n")) return
    const line = Line.of(Buffer.from(this.#pieces.slice(0, -1), "latin1"))
    this.#pieces = ""
    const envelope = this.#envelope
    if (envelope.scan(line.bytes, line.start, line.end) !== Shape.message) return
    if (envelope.has(Key.method) && !envelope.has(Key.id)) this.hear(line, envelope, methodOf(line, envelope))
  }

  /** The server says something unasked. */
  hear(line: Line, envelope: Envelope, method: string): void {
    if (!this.initialized) return
    if (method === "notifications/resources/updated") {
      if (this.watches(decodeString(line, envelope, Key.uri) ?? "")) this.#notify(method, membersOf(line, envelope))
    } else if (this.#heard.has(method)) this.#notify(method, "")
  }

  #notify(method: string, members: string): void {
    const others = members === "" ? "" : `${members},`
    this.#say(`{"jsonrpc":"2.0","method":"${method}","params":{${others}"_meta":{${this.#mark}}}}\n`)
  }

  #say(text: string): void {
    const { unread } = this.#stream.out
    if (unread === 0 || unread + text.length <= this.#maxUnread) this.#stream.out.push(text)
    else this.#stream.overflow()
  }
}

/** What of the filter that a request gives a server can tell; or what the request is refused with. */
export const filterOf = (
  line: Line,
  { capabilities }: Handshake
): { readonly filter: Filter } | { readonly refusal: Refusal } => {
  const { params } = JSON.parse(line.bytes.toString("utf8", line.start, line.end)) as {
    readonly params?: { readonly notifications?: { readonly [field: string]: unknown } | null }
  }
  const wanted = params?.notifications
  if (typeof wanted !== "object" || wanted === null || Array.isArray(wanted)) return malformed
  const uris = wanted["resourceSubscriptions"] ?? []
  if (!Array.isArray(uris) || !uris.every((uri) => typeof uri === "string")) return malformed
  if (Object.values(fieldOf).some((field) => !["boolean", "undefined"].includes(typeof wanted[field]))) return malformed
  if (uris.length > maxUris) {
    return { refusal: { code: invalidParams, message: `at most ${maxUris} resources can be listened to at once` } }
  }
  const { prompts, resources, tools } = capabilities
  const told: { readonly [field: string]: boolean | undefined } = {
    toolsListChanged: tools?.listChanged,
    promptsListChanged: prompts?.listChanged,
    resourcesListChanged: resources?.listChanged
  }
  const methods = Object.entries(fieldOf).filter(([, field]) => wanted[field] === true && told[field] === true)
  const canWatch = resources?.subscribe === true
  return {
    filter: { methods: new Set(methods.map(([method]) => method)), uris: canWatch ? [...new Set(uris)] : [] }
  }
}

const malformed = {
  refusal: { code: invalidParams, message: "subscriptions/listen needs params.notifications, a filter" }
}

/** The params of a notification without its `_meta`, as members of JSON text. */
const membersOf = (line: Line, envelope: Envelope): string => {
  if (!envelope.has(Key.params)) return ""
  const text = line.bytes.toString("utf8", envelope.start[Key.params], envelope.end[Key.params])
  const { _meta: _, ...params } = JSON.parse(text) as { readonly _meta?: unknown }
  return Reply.json(params).slice(1, -1)
}

const fieldOf: { readonly [method: string]: string } = {
  "notifications/tools/list_changed": "toolsListChanged",
  "notifications/prompts/list_changed": "promptsListChanged",
  "notifications/resources/list_changed": "resourcesListChanged"
}
/** Of one subscription. */
const maxUris = 1024
