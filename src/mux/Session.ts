/**
 * One client's conversation with one server: reads its lines, answers what the pool can answer (`initialize` from the
 * server's own handshake, `ping`), and hands the rest to the upstream. Lives as long as the client's connection.
 */
import { Line, LineReader } from "../lines/LineReader.ts"
import type { LineWriter } from "../lines/LineWriter.ts"
import { canonical, elements, Envelope, Key, Shape } from "../message/Envelope.ts"
import { decodeString, isWhole, methodOf } from "../message/Words.ts"
import { forServer, Overloaded, type RequestError } from "../PoolError.ts"
import { invalidParams, invalidRequest, parseError } from "../WireError.ts"
import * as Capabilities from "./Capabilities.ts"
import { hasRoom } from "./Delivery.ts"
import * as Claim from "./era/Claim.ts"
import { ModernSession } from "./era/ModernSession.ts"
import * as Garbage from "./Garbage.ts"
import * as Introduction from "./Introduction.ts"
import * as LogLevel from "./LogLevel.ts"
import * as Mistakes from "./Mistakes.ts"
import * as Reply from "./Reply.ts"
import * as Splice from "./Splice.ts"
import type { Requests, SessionOut } from "./SessionOut.ts"
import type { Client, Out, Outcome, Refusal, Role, Upstream } from "./Upstream.ts"

/** Messages are read one after another: one envelope serves all sessions. */
const envelope = new Envelope()

export interface SessionOptions<O extends SessionOut> {
  /** Unique in the daemon. */
  readonly id: number
  readonly server: string
  readonly upstream: Upstream
  readonly out: O
  /** Where what belongs to its requests goes, if not to `out`. */
  readonly requests?: Requests | undefined
  /** Bytes. */
  readonly maxLine: number
  /** Bytes. */
  readonly maxUnread: number
  /** The connection, as far as a session needs it. */
  readonly connection: {
    /** Closes it at once; the reason is logged. */
    readonly close: (reason: string) => void
    /** Each request is answered. */
    readonly onIdle?: (() => void) | undefined
    /** A short line that is no message of MCP: true where it has been taken. */
    readonly onWord?: ((text: string) => boolean) | undefined
  }
}

export class Session<O extends SessionOut = LineWriter> implements Client {
  readonly id: number
  readonly server: string
  readonly owner = null
  readonly out: O
  readonly maxUnread: number
  /** Milliseconds since the epoch. */
  readonly since = Date.now()
  readonly reader: LineReader
  /** From its `initialize`. */
  clientInfo: { readonly name: string | null; readonly version: string | null } = { name: null, version: null }
  capabilities = Capabilities.none
  initialized = false
  level: number | null = null
  inFlight = 0
  /** Requests so far. */
  calls = 0
  readonly #upstream: Upstream
  readonly #connection: SessionOptions<O>["connection"]
  readonly #requests: Requests | null
  readonly #envelope = envelope
  #closed = false
  #introduction = Introduction.none
  /** Its requests that say themselves who asks, once there are some. */
  #modern: ModernSession | null = null
  #isInitialized = false
  #refusal: RequestError | null = null

  constructor(options: SessionOptions<O>) {
    this.id = options.id
    this.server = options.server
    this.out = options.out
    this.maxUnread = options.maxUnread
    this.#upstream = options.upstream
    this.#connection = options.connection
    this.#requests = options.requests ?? null
    this.reader = new LineReader({
      maxLine: options.maxLine,
      receiver: {
        onLine: (line) => this.receive(line),
        onLongLine: (line) => this.fail(Mistakes.idOf(line) ?? "null", Mistakes.tooLong(line, options.maxLine))
      }
    })
    this.#upstream.join(this)
  }

  get role(): Role {
    return this.#modern === null || this.#isInitialized ? "session" : "connection"
  }

  /** What each further request is refused with, once the session is about to end. */
  get refusal(): RequestError | null {
    return this.#refusal
  }

  set refusal(error: RequestError | null) {
    this.#refusal = error
    if (error !== null) this.#modern?.endListening()
  }

  /** Bytes from the client. */
  feed(chunk: Buffer): void {
    this.reader.feed(chunk)
  }

  /** The client says nothing more, and still hears what it is owed. */
  inputEnded(): void {
    if (this.#closed) return
    this.#modern?.inputEnded()
    this.#upstream.inputEnded(this)
  }

  /** The connection is gone. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.out.discard()
    this.#modern?.close()
    this.#upstream.leave(this)
  }

  meta(areAsked: boolean): string {
    return this.#introduction.meta(areAsked, this.level)
  }

  answerTo(id: string): Out {
    return this.#requests === null ? this.out : this.#requests.answerTo(id)
  }

  during(id: string | null): Out {
    return this.#requests === null ? this.out : this.#requests.during(id)
  }

  answer(id: string, line: Line, envelope: Envelope): void {
    if (hasRoom(this, line.end - line.start)) Splice.one(this.answerTo(id), line, envelope, Key.id, id)
  }

  fail(id: string, refusal: Refusal): void {
    this.#say(id, Reply.failure(id, "_tag" in refusal ? forServer(refusal, this.server) : refusal))
  }

  settled(): void {
    this.inFlight--
    if (this.inFlight === 0) this.#connection.onIdle?.()
  }

  overflow(): void {
    Garbage.leave(this.out.unread)
    this.#connection.close("it does not read: more than maxUnread is waiting for it")
  }

  /** One line from the client. */
  receive(line: Line): void {
    if (this.#closed) return
    const shape = this.#envelope.scan(line.bytes, line.start, line.end)
    if (shape === Shape.message) this.#message(line)
    else if (shape === Shape.batch) this.#batch(line)
    else
      this.fail(
        "null",
        Mistakes.isJson(line) ? Mistakes.notAMessage : { code: parseError, message: "the line is not JSON" }
      )
  }

  /** Batches were part of 2025-03-26 alone, and most servers ignore them: each element goes its own way. */
  #batch(line: Line): void {
    const spans = elements(line.bytes, line.start, line.end)
    if (spans === null) return this.fail("null", Mistakes.batchTooLong)
    if (spans.length === 0) this.fail("null", Mistakes.batchEmpty)
    for (const { from, to } of spans) {
      line.start = from
      line.end = to
      if (this.#envelope.scan(line.bytes, from, to) === Shape.message) this.#message(line)
      else this.fail("null", Mistakes.notAMessage)
    }
  }

  #message(line: Line): void {
    if (!this.#envelope.irregular) return this.#regular(line)
    const bytes = canonical(line.bytes.subarray(line.start, line.end))
    if (bytes === null) return this.fail("null", { code: invalidRequest, message: "the message is nested too deeply" })
    if (!this.#envelope.has(Key.id)) return this.#scanned(bytes)
    // The id stays as it came: written again, a number may be another one.
    const id = Buffer.from(this.#raw(line, Key.id), "latin1")
    this.#envelope.scan(bytes, 0, bytes.length)
    const { end, start } = this.#envelope
    this.#scanned(Buffer.concat([bytes.subarray(0, start[Key.id]), id, bytes.subarray(end[Key.id])]))
  }

  #scanned(bytes: Buffer): void {
    this.#envelope.scan(bytes, 0, bytes.length)
    this.#regular(Line.of(bytes))
  }

  #regular(line: Line): void {
    const envelope = this.#envelope
    const isRequest = envelope.has(Key.id)
    if (!envelope.has(Key.method)) {
      if (isRequest && envelope.has(Key.outcome)) return this.#upstream.answer(this, line, envelope)
      if (!isRequest && this.#isWord(line)) return
      return this.fail(isRequest ? this.#raw(line, Key.id) : "null", {
        code: invalidRequest,
        message: "a message needs a method, a result or an error"
      })
    }
    const mistake = Mistakes.of(line, envelope)
    if (mistake !== null) {
      if (isRequest) this.fail(this.#raw(line, Key.id), mistake)
      return
    }
    const method = methodOf(line, envelope)
    if (isRequest) this.#request(line, method)
    else this.#notification(line, method)
  }

  #isWord(line: Line): boolean {
    const { onWord } = this.#connection
    return onWord !== undefined && line.end - line.start <= maxWord && onWord(line.copy(line.start, line.end))
  }

  #request(line: Line, method: string): void {
    this.calls++
    if (this.#requests?.begin(this.#raw(line, Key.id), method) === false) return
    if (this.#refusal !== null) return this.fail(this.#raw(line, Key.id), this.#refusal)
    if (this.#isModern(line, method)) return this.#modernRequest(line, method)
    switch (method) {
      case "ping":
        return this.#succeed(this.#raw(line, Key.id))
      case "initialize":
      case "logging/setLevel":
      case "resources/subscribe":
      case "resources/unsubscribe":
        return this.#ownRequest(line, method)
      case "tools/list":
      case "prompts/list":
      case "resources/list":
      case "resources/templates/list":
        if (this.inFlight >= maxInFlight || !isWhole(line, this.#envelope)) break
        return this.#upstream.list(this, line, this.#envelope, method)
    }
    this.#upstream.request(this, line, this.#envelope, method)
  }

  /** Whether a request says who asks, or should. */
  #isModern(line: Line, method: string): boolean {
    // Where each request has a way of its own, modern ones come by another.
    if (this.#requests !== null) return false
    if (this.#envelope.has(Key.meta) && Claim.isMade(line, this.#envelope)) return true
    if (this.#isInitialized || method === "initialize") return false
    return this.#modern !== null || method === "server/discover"
  }

  #modernRequest(line: Line, method: string): void {
    this.#modern ??= new ModernSession({
      server: this.server,
      upstream: this.#upstream,
      out: this.out,
      maxUnread: this.maxUnread,
      settled: () => this.settled(),
      overflow: () => this.overflow()
    })
    this.inFlight++
    this.#modern.receive(line, this.#envelope, method)
  }

  /** What the pool answers itself, or asks the server for all clients; how much of that may wait is bounded here. */
  #ownRequest(
    line: Line,
    method: "initialize" | "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe"
  ): void {
    if (this.inFlight >= maxInFlight) {
      const reason = `${maxInFlight} requests of this client are not answered yet`
      return this.fail(this.#raw(line, Key.id), new Overloaded({ server: this.server, reason }))
    }
    switch (method) {
      case "initialize":
        return this.#initialize(line)
      case "logging/setLevel":
        return this.#setLevel(line)
      case "resources/subscribe":
        return this.#subscribe(line)
      case "resources/unsubscribe":
        return this.#unsubscribe(line)
    }
  }

  #notification(line: Line, method: string): void {
    switch (method) {
      case "notifications/initialized":
        this.initialized = true
        if (this.#upstream.isOwn) this.#upstream.notify(this, line, method)
        return
      case "notifications/cancelled":
        if (this.#envelope.has(Key.requestId)) this.#cancel(this.#raw(line, Key.requestId), line)
        return
      case "notifications/progress":
        if (this.#envelope.has(Key.progressToken)) this.#upstream.answerProgress(this, line, this.#envelope)
        return
      default:
        return this.#upstream.notify(this, line, method)
    }
  }

  #initialize(line: Line): void {
    const id = this.#raw(line, Key.id)
    const said = Introduction.read(line)
    if (said === null) {
      return this.fail(id, { code: invalidParams, message: "initialize needs params.protocolVersion" })
    }
    this.#isInitialized = true
    this.#introduction = said
    this.capabilities = said.capabilities
    this.clientInfo = said.clientInfo
    this.inFlight++
    const answer = (text: string) => {
      this.#say(id, text)
      this.settled()
    }
    this.#upstream.handshake(
      this,
      said.hello,
      (handshake) => answer(said.answer(id, handshake, this.#upstream.isOwn)),
      (error) => answer(Reply.failure(id, forServer(error, this.server)))
    )
  }

  #setLevel(line: Line): void {
    const id = this.#raw(line, Key.id)
    const level = this.#envelope.has(Key.level) ? decodeString(line, this.#envelope, Key.level) : null
    const index = LogLevel.indexOf(level)
    if (index === -1) {
      return this.fail(id, { code: invalidParams, message: `level must be one of ${LogLevel.logLevels.join(", ")}` })
    }
    this.level = index
    this.inFlight++
    this.#upstream.levelChanged(this, this.#answer(id))
  }

  #subscribe(line: Line): void {
    const id = this.#raw(line, Key.id)
    const uri = this.#envelope.has(Key.uri) ? decodeString(line, this.#envelope, Key.uri) : null
    if (uri === null) return this.fail(id, { code: invalidParams, message: "resources/subscribe needs params.uri" })
    this.inFlight++
    this.#upstream.subscribe(this, uri, this.#answer(id))
  }

  #unsubscribe(line: Line): void {
    const id = this.#raw(line, Key.id)
    const uri = this.#envelope.has(Key.uri) ? decodeString(line, this.#envelope, Key.uri) : null
    if (uri === null) return this.fail(id, { code: invalidParams, message: "resources/unsubscribe needs params.uri" })
    this.#upstream.unsubscribe(this, uri)
    this.#succeed(id)
  }

  #answer(id: string): (outcome: Outcome) => void {
    return (outcome) => {
      if (outcome.kind === "refused") this.fail(id, outcome.error)
      else this.#say(id, outcome.kind === "result" ? Reply.result(id, outcome.text) : Reply.error(id, outcome.text))
      this.settled()
    }
  }

  #raw(line: Line, key: Key): string {
    return line.copy(this.#envelope.start[key]!, this.#envelope.end[key]!)
  }

  #cancel(id: string, line: Line): void {
    if (this.#modern?.cancel(id) === true) return
    const before = this.inFlight
    this.#upstream.cancel(this, id, line, this.#envelope)
    if (this.inFlight < before) this.#requests?.cancelled(id)
  }

  #succeed(id: string): void {
    this.#say(id, Reply.result(id, "{}"))
  }

  #say(id: string, text: string): void {
    if (this.out.unread > this.maxUnread) return this.overflow()
    this.answerTo(id).push(text)
  }
}

/** Bytes. */
const maxWord = 1024
/** Requests of one client that are not answered yet. */
const maxInFlight = 4096
