/**
 * A modern client's request as an upstream sees it: a client of its own, since a server's question has to reach the call
 * that it belongs to. It takes one call after another; of a process that is one session's alone, all of them. Plain
 * synchronous code; joined from its first call until it has been of no use for a while.
 */
import { Line } from "../../lines/LineReader.ts"
import { Envelope, Key, Shape } from "../../message/Envelope.ts"
import { holds } from "../../message/ResponseEnds.ts"
import { methodOf } from "../../message/Words.ts"
import { forServer, type RequestError } from "../../PoolError.ts"
import type { Capabilities } from "../Capabilities.ts"
import type { Owner } from "../Owner.ts"
import * as Reply from "../Reply.ts"
import type { Client, Out, Refusal, Upstream } from "../Upstream.ts"
import * as Edits from "./Edits.ts"
import { mayAsk } from "./InputRequired.ts"
import type { ModernCall } from "./ModernCall.ts"
import * as Presented from "./Presented.ts"

export interface ModernCallerOptions {
  readonly server: string
  readonly upstream: Upstream
  readonly owner: Owner
  readonly clientInfo: Client["clientInfo"]
  /** A call has to be held, until its client comes back; false where that will not. */
  readonly hold: (call: ModernCall, caller: ModernCaller) => boolean
  /** A process of its session's own says something that belongs to no call. */
  readonly onNews: (line: Line, envelope: Envelope, method: string) => void
  /** Nothing of it is under way. */
  readonly onFree: (caller: ModernCaller) => void
}

export class ModernCaller implements Client {
  /** None of a session's: those count upwards. */
  readonly id = nextId--
  readonly server: string
  readonly role = "request"
  readonly owner: Owner
  readonly out: Out = { unread: 0, push: (piece) => this.#push(piece) }
  readonly answerTo = (): Out => this.out
  readonly during = (): Out => this.out
  /** What belongs to a call is bounded there. */
  readonly maxUnread = Infinity
  readonly capabilities = all
  readonly clientInfo: Client["clientInfo"]
  readonly since = Date.now()
  readonly meta = null
  /**
   * What a server of the legacy era is, as a member of each of its answers, which lack what a modern client looks for; null
   * of a modern one.
   */
  signature: string | null = null
  initialized = false
  level: number | null = null
  /** The server was left with a call of it, and may still ask or tell something: whose next call came here would hear that. */
  isSpent = false
  calls = 0
  inFlight = 0
  readonly #options: ModernCallerOptions
  readonly #calls = new Map<string, ModernCall>()
  readonly #envelope = new Envelope()
  #pieces: Array<string | Buffer> = []

  constructor(options: ModernCallerOptions) {
    this.#options = options
    this.server = options.server
    this.owner = options.owner
    this.clientInfo = options.clientInfo
    options.upstream.join(this)
  }

  get isFree(): boolean {
    return this.#calls.size === 0 && this.inFlight === 0
  }

  /** The call goes to the server. */
  begin(call: ModernCall, line: Line, envelope: Envelope): void {
    const { upstream } = this.#options
    const { claim, method, sentId, sentToken } = call
    this.calls++
    if (this.#calls.has(sentId)) return call.fail({ code: -32600, message: "a request of this id is not answered yet" })
    this.#calls.set(sentId, call)
    if (claim.level !== null) this.#setLevel(this.level === null ? claim.level : Math.min(this.level, claim.level))
    const isWhole =
      sentToken === null && lists.has(method) && !line.bytes.subarray(line.start, line.end).includes(cursor)
    if (isWhole) upstream.list(this, line, envelope, method)
    else upstream.request(this, line, envelope, method)
    this.#look()
  }

  /** Its client has come back with what the server wanted to know. */
  resume(call: ModernCall, responses: { readonly [key: string]: unknown }): void {
    // Also where it is answered: what was asked may have been about another one of its client's.
    for (const [own, result] of call.take(responses))
      this.#tell(`{"jsonrpc":"2.0","id":${own},"result":${Reply.json(result)}}`)
    if (call.kept !== null) {
      const line = Line.of(call.kept)
      this.#envelope.scan(line.bytes, line.start, line.end)
      this.#respond(call, line, this.#envelope)
      return this.#look()
    }
    // A server may have had its answer ready.
    if (call.isAsked && call.stream !== null) this.#ask(call)
  }

  /** To a process of its session's own it is the session. */
  announce(): void {
    this.initialized = true
    const method = "notifications/initialized"
    this.#options.upstream.notify(this, Line.ofText(`{"jsonrpc":"2.0","method":"${method}"}`), method)
  }

  cancel(call: ModernCall, reason: string): void {
    if (this.#calls.get(call.sentId) === call) {
      const params = `{"requestId":${call.sentId},"reason":${Reply.json(reason)}}`
      const line = Line.ofText(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":${params}}`)
      const envelope = new Envelope()
      envelope.scan(line.bytes, line.start, line.end)
      this.#options.upstream.cancel(this, call.sentId, line, envelope)
      this.#calls.delete(call.sentId)
      this.isSpent = true
    }
    call.stream = null
    this.#giveUp(call)
    this.#look()
  }

  leave(): void {
    this.#options.upstream.leave(this)
    this.#calls.clear()
  }

  answer(id: string, line: Line, envelope: Envelope): void {
    const call = this.#calls.get(id)
    if (call !== undefined) this.#respond(call, line, envelope)
  }

  fail(id: string, refusal: Refusal): void {
    const call = this.#calls.get(id)
    if (call === undefined) return
    if ("_tag" in refusal && unfinished.has(refusal._tag)) this.isSpent = true
    const error = "_tag" in refusal ? forServer(refusal, this.server) : refusal
    if (call.stream === null) return void (call.kept = Buffer.from(Reply.failure(id, error).trimEnd()))
    this.#calls.delete(id)
    call.fail(error)
    this.#giveUp(call)
  }

  settled(): void {
    this.inFlight--
    this.#look()
  }

  overflow(): void {}

  #look(): void {
    if (!this.isFree) return
    if (this.level !== null) this.#setLevel(null)
    this.#options.onFree(this)
  }

  /** Log messages come for who has asked for some; lists that change are told of elsewhere. */
  #setLevel(level: number | null): void {
    this.initialized = level !== null || this.#options.upstream.isOwn
    if (level === this.level) return
    this.level = level
    this.#options.upstream.levelChanged(this, () => {})
  }

  // --- what comes for it ---

  /** A line comes in pieces; its last one ends with a line feed. */
  #push(piece: string | Buffer): void {
    this.#pieces.push(piece)
    const isLast = typeof piece === "string" ? piece.endsWith("\n") : piece.at(-1) === lineFeed
    if (!isLast) return
    const pieces = this.#pieces
    this.#pieces = []
    this.#receive(pieces.map((piece) => (typeof piece === "string" ? Buffer.from(piece, "latin1") : piece)))
  }

  #receive(pieces: ReadonlyArray<Buffer>): void {
    const length = pieces.reduce((sum, { length }) => sum + length, 0)
    if (length > shortLine && this.#respondPieces(pieces, length)) return
    const line = Line.of(Buffer.concat(pieces, length - 1))
    const envelope = this.#envelope
    if (envelope.scan(line.bytes, line.start, line.end) !== Shape.message) return
    if (!envelope.has(Key.method)) return this.answer(raw(line, envelope, Key.id), line, envelope)
    const method = methodOf(line, envelope)
    if (envelope.has(Key.id)) this.#question(line, method)
    else this.#notification(line, method)
  }

  /** A long answer is not put together: what it lacks is said at its beginning. */
  #respondPieces(pieces: ReadonlyArray<Buffer>, length: number): boolean {
    const id = this.#envelope.scanResponsePieces(pieces)
    const call = id === null ? undefined : this.#calls.get(String(id))
    const head = Line.of(pieces[0]!)
    const { end, start } = this.#envelope
    if (call === undefined || call.stream === null || start[Key.outcome]! + 16 > head.end) return false
    const from = this.signature === null ? 0 : Presented.resultStart(head, this.#envelope)
    if (from === -1 || call.missing !== null) return false
    const isSigned = () => length > longestSigned || holds(pieces, meta, from)
    const members = Presented.completed(head, from, this.#lacking(call, isSigned))
    this.#calls.delete(call.sentId)
    if (call.hasRoom(length)) {
      const edits = [{ from: start[Key.id]!, to: end[Key.id]!, text: call.id }, ...members]
      Edits.writePieces(call.stream.out, withoutLineFeed(pieces), edits)
    }
    call.ended()
    this.#giveUp(call)
    return true
  }

  #respond(call: ModernCall, line: Line, envelope: Envelope): void {
    if (call.stream === null) return void (call.kept = line.copyBytes())
    this.#calls.delete(call.sentId)
    this.#answer(call, line, envelope)
    this.#giveUp(call)
  }

  #answer(call: ModernCall, line: Line, envelope: Envelope): void {
    const start = this.signature === null ? 0 : Presented.resultStart(line, envelope)
    if (start === -1) return this.#reject(call, line, envelope)
    if (call.missing !== null && envelope.has(Key.isError)) return call.fail(call.missing)
    const isSigned = () => line.bytes.subarray(start, line.end).includes(meta)
    const members = Presented.completed(line, start, this.#lacking(call, isSigned))
    const id = { from: envelope.start[Key.id]!, to: envelope.end[Key.id]!, text: call.id }
    if (call.hasRoom(line.end - line.start)) Edits.write(call.stream!.out, line, [id, ...members])
    call.ended()
  }

  /** A legacy server's error. */
  #reject(call: ModernCall, line: Line, envelope: Envelope): void {
    if (call.missing !== null) return call.fail(call.missing)
    const { error } = JSON.parse(line.bytes.toString("utf8", line.start, line.end)) as {
      readonly error?: { readonly code?: unknown; readonly data?: unknown }
    }
    const pages = Presented.pages(error)
    if (pages !== null) return call.opens(pages, this.signature)
    const code = Presented.errorCode(Number(error?.code))
    const isSame = code === error?.code
    const text = raw(line, envelope, Key.outcome)
    call.end(Reply.error(call.id, isSame ? text : Reply.json({ ...error, code })))
  }

  /** What an answer lacks, as members; one that has a `_meta` of its own keeps that alone: no key stands twice. */
  #lacking({ method }: ModernCall, isSigned: () => boolean): string {
    if (this.signature === null) return ""
    const members = Presented.lacking(method, this.#options.upstream.listTtl)
    return isSigned() ? members : `${members},${this.signature}`
  }

  #question(line: Line, method: string): void {
    const own = raw(line, this.#envelope, Key.id)
    // A process of its own may ask while several are under way: all of them are one client's.
    const calls = [...this.#calls.values()].filter(({ kept, method }) => kept === null && mayAsk.has(method))
    const call = calls.find(({ wasAsked }) => !wasAsked) ?? calls[0]
    const { params } = JSON.parse(line.bytes.toString("utf8", line.start, line.end)) as { readonly params?: object }
    const { _meta: _, ...asked } = { _meta: null, ...params } as { readonly [key: string]: unknown }
    const refusal = call === undefined ? noCall : call.wants(own, method, asked, line.end - line.start)
    if (refusal !== null) return this.#refuse(own, refusal)
    // What else it wants to know is in what has been read already.
    queueMicrotask(() => this.#ask(call!))
  }

  #ask(call: ModernCall): void {
    if (call.stream === null || !call.isAsked || !this.#calls.has(call.sentId)) return
    if (this.#options.hold(call, this)) call.ask(this.signature)
    else this.#giveUp(call)
  }

  /** The call is over: what the server wanted to know for it, nobody finds out. */
  #giveUp(call: ModernCall): void {
    for (const own of call.givenUp()) this.#refuse(own, noCall)
  }

  #refuse(own: string, refusal: Refusal): void {
    this.#tell(`{"jsonrpc":"2.0","id":${own},"error":${Reply.json(refusal)}}`)
  }

  #tell(text: string): void {
    const line = Line.of(Buffer.from(text, "latin1"))
    const envelope = new Envelope()
    envelope.scan(line.bytes, line.start, line.end)
    this.#options.upstream.answer(this, line, envelope)
  }

  #notification(line: Line, method: string): void {
    const envelope = this.#envelope
    if (method === "notifications/cancelled" && envelope.has(Key.requestId)) {
      const own = raw(line, envelope, Key.requestId)
      for (const call of this.#calls.values()) call.unwanted(own)
    } else if (method === "notifications/message") {
      const call = [...this.#calls.values()].find(({ claim, stream }) => claim.level !== null && stream !== null)
      if (call?.hasRoom(line.end - line.start) === true) Edits.write(call.stream!.out, line, [])
    } else if (method === "notifications/progress" && envelope.has(Key.progressToken)) {
      const token = raw(line, envelope, Key.progressToken)
      const call = [...this.#calls.values()].find(({ sentToken }) => sentToken === token)
      if (call === undefined || call.token === null || !call.hasRoom(line.end - line.start)) return
      const edit = { from: envelope.start[Key.progressToken]!, to: envelope.end[Key.progressToken]!, text: call.token }
      Edits.write(call.stream!.out, line, [edit])
    } else if (this.#options.upstream.isOwn) this.#options.onNews(line, envelope, method)
  }
}

const raw = (line: Line, envelope: Envelope, key: Key): string => line.copy(envelope.start[key]!, envelope.end[key]!)

const withoutLineFeed = (pieces: ReadonlyArray<Buffer>): ReadonlyArray<Buffer> => {
  const last = pieces.at(-1)!
  return [...pieces.slice(0, -1), last.subarray(0, -1)]
}

/** What fails a call that the server may go on with. */
const unfinished: ReadonlySet<string> = new Set<RequestError["_tag"]>(["RequestTimeout", "OutcomeUnknown"])
const noCall = { code: -32600, message: "no call is there that could need it" }
/** Each call says for itself what its client can be asked. */
const all: Capabilities = { sampling: true, samplingTools: true, form: true, url: true, roots: true }

/** Of the requests that are lists, and answered for all alike. */
const lists: ReadonlySet<string> = new Set(["tools/list", "prompts/list", "resources/list", "resources/templates/list"])
const cursor = '"cursor"'
let nextId = -1
/** Up to here a line is put together and read as a whole. */
const shortLine = 4096
const lineFeed = 0x0a
const meta = '"_meta"'
/** Bytes of an answer that is looked through for that. */
const longestSigned = 256 * 1024
