/**
 * A client of all servers, as one of them knows it: it has those of the client's requests that go to that server, and passes
 * on what the server says. Plain synchronous code; lives from the first thing that the client wants of the server.
 */
import { Line } from "../lines/LineReader.ts"
import { Envelope, Key, Shape } from "../message/Envelope.ts"
import { methodOf } from "../message/Words.ts"
import { Delegate } from "../mux/Delegate.ts"
import * as Presented from "../mux/era/Presented.ts"
import type { Answer } from "../mux/LocalClient.ts"
import * as Reply from "../mux/Reply.ts"
import type { Client, Out, Refusal, Role } from "../mux/Upstream.ts"
import { forServer, OutcomeUnknown, type RequestError } from "../PoolError.ts"
import type { Hello } from "../server/Handshake.ts"
import { toWire } from "../WireError.ts"
import * as Kinds from "./Kinds.ts"
import type { Member } from "./Member.ts"
import { ServerList } from "./ServerList.ts"

/** What there is to do about a request beside passing on its answer. */
export interface Concern {
  /** The server may have to ask something before it answers. */
  readonly mayAsk: boolean
  /** Takes an error, by its code, in place of the client; `passOn` gives it to the client all the same. */
  readonly onError?: ((code: unknown, passOn: () => void) => void) | undefined
  /** It asks for a task: told of the task's id. */
  readonly onTask?: ((taskId: string) => void) | undefined
}

export interface PartOptions {
  readonly client: Client
  readonly member: Member
  /** One of the lists that the server's process for this client has is another. */
  readonly onChanged: (kind: Kinds.Kind) => void
}

export class Part extends Delegate {
  readonly member: Member
  readonly #out: Out
  readonly #onChanged: PartOptions["onChanged"]
  /** Its requests that are not answered, by their ids as JSON text. */
  readonly #waiting = new Map<string, Concern>()
  /** The pool's own requests in its name. */
  readonly #own = new Map<string, (answer: Answer) => void>()
  #lists: ReadonlyMap<Kinds.Kind, ServerList> | null = null
  #hasShaken = false

  constructor({ client, member, onChanged }: PartOptions) {
    super(client, member.name)
    this.member = member
    this.#onChanged = onChanged
    this.#out = new Listened(client, (method) => this.#listChanged(method))
    member.upstream.join(this)
    if (client.level !== null && !member.isOwn) member.upstream.levelChanged(this, () => {})
  }

  override get out(): Out {
    return this.#out
  }

  /** It is counted where its client is. */
  override get role(): Role {
    return this.client.role === "listener" ? "listener" : "request"
  }

  /** A process of its own is told so as soon as it is there. */
  override get initialized(): boolean {
    return this.client.initialized || this.member.isOwn
  }

  /** Whether the server has met it. */
  get hasShaken(): boolean {
    return this.#hasShaken
  }

  /** The client needs the server from here on. */
  shake(hello: Hello): void {
    if (this.#hasShaken) return
    this.#hasShaken = true
    const { isOwn, upstream } = this.member
    upstream.handshake(
      this,
      hello,
      (handshake) => {
        if (isOwn) this.member.handshake = handshake
      },
      () => {}
    )
    if (isOwn && this.client.level !== null) upstream.levelChanged(this, () => {})
  }

  /** What the server's process for this client lists. */
  list(kind: Kinds.Kind): ServerList {
    this.#lists ??= new Map(Kinds.all.map((kind) => [kind, this.#listOf(kind)]))
    return this.#lists.get(kind)!
  }

  /** A request of the client's goes to the server now. */
  begin(id: string, concern: Concern): void {
    this.#waiting.set(id, concern)
  }

  /** Whether the server has requests of the client. */
  get isBusy(): boolean {
    return this.#waiting.size > 0
  }

  /** The client does not want an answer any more. */
  forget(isWanted: (id: string) => boolean): void {
    for (const id of this.#waiting.keys()) if (isWanted(id)) this.#waiting.delete(id)
  }

  leave(): void {
    this.member.upstream.leave(this)
    this.#own.clear()
    if (this.#lists !== null) for (const list of this.#lists.values()) list.rest()
  }

  /** The server is gone, and what it has of the client's is not waited for any more. */
  abandon(): void {
    this.leave()
    for (const id of this.#waiting.keys())
      this.client.fail(id, namedAs(this.server, new OutcomeUnknown({ server: this.server })))
    this.#waiting.clear()
    while (this.inFlight > 0) this.settled()
  }

  override answerTo(id: string): Out {
    if (this.#own.has(id))
      return new Listened(
        null,
        () => {},
        (line, envelope) => this.answer(id, line, envelope)
      )
    this.#waiting.delete(id)
    return this.client.answerTo(id)
  }

  /** What belongs to one of the client's requests and does not say to which belongs to one at this server. */
  override during(id: string | null): Out {
    if (id !== null) return this.client.during(id)
    let latest: string | null = null
    for (const [id, { mayAsk }] of this.#waiting) if (mayAsk) latest = id
    return latest === null ? this.client.out : this.client.during(latest)
  }

  override answer(id: string, line: Line, envelope: Envelope): void {
    const own = this.#own.get(id)
    if (own !== undefined) return this.#answered(id, own, line)
    const concern = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (concern?.onError !== undefined && Presented.resultStart(line, envelope) === -1) {
      const kept = line.kept()
      return concern.onError(codeIn(kept), () => {
        const envelope = new Envelope()
        envelope.scan(kept.bytes, kept.start, kept.end)
        this.client.answer(id, kept, envelope)
      })
    }
    if (concern?.onTask !== undefined) tellTask(line, concern.onTask)
    this.client.answer(id, line, envelope)
  }

  override fail(id: string, refusal: Refusal): void {
    const own = this.#own.get(id)
    if (own !== undefined) {
      this.#own.delete(id)
      return own("_tag" in refusal ? { kind: "refused", error: refusal } : { kind: "error", error: refusal })
    }
    const concern = this.#waiting.get(id)
    this.#waiting.delete(id)
    const named = "_tag" in refusal ? namedAs(this.server, refusal) : refusal
    const passOn = () => this.client.fail(id, named)
    if (concern?.onError !== undefined) concern.onError(named.code, passOn)
    else passOn()
  }

  #listOf(kind: Kinds.Kind): ServerList {
    const { member } = this
    return new ServerList({
      kind,
      server: member.name,
      isOffered: () => member.handshake === null || kind.capability in member.handshake.capabilities,
      ttl: () => member.upstream.listTtl,
      ask: (params, onAnswer) => this.#ask(kind.method, params, onAnswer),
      onChanged: () => this.#onChanged(kind)
    })
  }

  /** Asks the server in the client's name; the client does not hear of it. */
  #ask(method: string, params: object, onAnswer: (answer: Answer) => void): void {
    const id = `"${secret}-${nextOwn++}"`
    this.#own.set(id, onAnswer)
    const text = `{"jsonrpc":"2.0","id":${id},"method":"${method}","params":${Reply.json(params)}}`
    const line = Line.ofText(text)
    const envelope = new Envelope()
    envelope.scan(line.bytes, line.start, line.end)
    this.member.upstream.request(this, line, envelope, method)
  }

  #answered(id: string, own: (answer: Answer) => void, line: Line): void {
    this.#own.delete(id)
    const { error, result } = JSON.parse(line.bytes.toString("utf8", line.start, line.end)) as {
      readonly error?: unknown
      readonly result?: unknown
    }
    own(error === undefined ? { kind: "result", value: result } : { kind: "error", error })
  }

  /** What all clients share is told of once for all servers. */
  #listChanged(method: string): void {
    if (!this.member.isOwn || this.#lists === null) return
    for (const [kind, list] of this.#lists) if (kind.announcement === method) list.outdate()
  }
}

/** Lines that belong to no request: those that tell of lists are heard, and the others go on to the client. */
class Listened implements Out {
  readonly #client: Client | null
  readonly #onListChanged: (method: string) => void
  readonly #onLine: ((line: Line, envelope: Envelope) => void) | null
  #pieces: Array<string | Buffer> = []
  #length = 0

  constructor(
    client: Client | null,
    onListChanged: (method: string) => void,
    onLine: ((line: Line, envelope: Envelope) => void) | null = null
  ) {
    this.#client = client
    this.#onListChanged = onListChanged
    this.#onLine = onLine
  }

  get unread(): number {
    return this.#client?.out.unread ?? 0
  }

  /** A line comes in pieces; its last one ends with a line feed. */
  push(piece: string | Buffer): void {
    this.#pieces.push(piece)
    this.#length += piece.length
    const isLast = typeof piece === "string" ? piece.endsWith("\n") : piece.at(-1) === lineFeed
    if (!isLast) return
    const pieces = this.#pieces
    const length = this.#length
    this.#pieces = []
    this.#length = 0
    this.#take(pieces, length)
  }

  #take(pieces: ReadonlyArray<string | Buffer>, length: number): void {
    if (this.#onLine !== null || length <= longestChange) {
      const line = Line.of(Buffer.concat(pieces.map(bytesOf)).subarray(0, length - 1))
      const envelope = new Envelope()
      const isMessage = envelope.scan(line.bytes, line.start, line.end) === Shape.message
      if (this.#onLine !== null) return this.#onLine(line, envelope)
      if (isMessage && envelope.has(Key.method) && !envelope.has(Key.id)) {
        const method = methodOf(line, envelope)
        if (Kinds.announcements.has(method)) return this.#onListChanged(method)
      }
    }
    for (const piece of pieces) this.#client?.out.push(piece)
  }
}

const bytesOf = (piece: string | Buffer): Buffer => (typeof piece === "string" ? Buffer.from(piece, "latin1") : piece)

/** One of the pool's errors of this server, which its client did not come to by name. */
const namedAs = (server: string, error: RequestError): Exclude<Refusal, RequestError> =>
  JSON.parse(toWire(forServer(error, server))) as Exclude<Refusal, RequestError>

const codeIn = (line: Line): unknown => {
  const { error } = JSON.parse(line.bytes.toString("utf8", line.start, line.end)) as {
    readonly error?: { readonly code?: unknown } | null
  }
  return error?.code
}

const tellTask = (line: Line, onTask: (taskId: string) => void): void => {
  const { result } = JSON.parse(line.bytes.toString("utf8", line.start, line.end)) as {
    readonly result?: { readonly task?: { readonly taskId?: unknown } | null } | null
  }
  const id = result?.task?.taskId
  if (typeof id === "string") onTask(id)
}

/** No client knows it: no id of its own is like one of these. */
const secret = crypto.randomUUID()
let nextOwn = 0
/** Bytes: what tells of a changed list is short. */
const longestChange = 1024
const lineFeed = 0x0a
