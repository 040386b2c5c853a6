/**
 * What a host and its server say to each other, while daemons come and go between them: each request of the host gets one
 * answer, from a daemon or from here; what cannot be sent waits; a new daemon is told what the last one knew. No input and
 * output of its own.
 */
import { LineReader, type LineReceiver, type LongLine } from "../lines/LineReader.ts"
import type { Sink } from "../mux/Splice.ts"
import { Message, withId, withParam } from "./Message.ts"
import { Questions } from "./Questions.ts"
import { Remembered } from "./Remembered.ts"
import { Requests } from "./Requests.ts"
import * as Wire from "./Wire.ts"

export interface ConversationOptions {
  /** The server's name as the host knows it. */
  readonly server: string
  readonly host: Sink
  /** Letters and digits that no host's ids begin with. */
  readonly random: string
  /** Something waits for a daemon; `isRequest`: or has just been refused, for want of one. */
  readonly onWaiting: (isRequest: boolean) => void
  /** The daemon would not shake hands again: the error is the host's answer until one does. */
  readonly onStranger: () => void
}

/** What waits for a daemon: a line of the host's. */
interface Held {
  /** Null for notifications and for what is no message. */
  readonly id: string | null
  readonly note: string
  readonly line: ReadonlyArray<string | Buffer>
  /** Bytes. */
  readonly size: number
}

/**
 * `away`: there is no daemon. `greeting`: it has not answered the `initialize` that is said again. `paused`: it takes no more
 * requests.
 */
type Phase = "away" | "greeting" | "open" | "paused"

export class Conversation {
  readonly fromHost: LineReceiver
  readonly fromDaemon: LineReceiver
  readonly #options: ConversationOptions
  readonly #host: Sink
  #server: string
  readonly #message = new Message()
  readonly #requests = new Requests()
  readonly #remembered = new Remembered()
  readonly #questions: Questions
  /** Requests of `connect`'s own, and what is done with their answers. */
  readonly #own = new Map<string, (() => void) | null>()
  readonly #ownPrefix: string
  #ownIds = 0
  /** The lists that are asked for, and whether they may have changed since. */
  readonly #comparing = new Map<string, boolean>()
  /** The daemon is not the first. */
  #isLater = false
  #phase: Phase = "away"
  #daemon: Sink = nowhere
  #held: Array<Held> = []
  #heldSize = 0
  /** An error object as JSON text, with which requests are answered meanwhile. */
  #refusal: string | null = null

  constructor(options: ConversationOptions) {
    this.#options = options
    this.#host = options.host
    this.#server = options.server
    this.#ownPrefix = `"mcp-pool-${options.random}-`
    const ownId = () => this.#ownId()
    this.#questions = new Questions(ownId)
    const host = () => this.#hostSays()
    const daemon = () => this.#daemonSays()
    this.fromHost = {
      onLine: (line) => this.#message.read(line, host),
      onPieces: (pieces) => this.#ofPieces(pieces, host),
      onLongLine: (line) => this.#refuseLong(line)
    }
    this.fromDaemon = {
      onLine: (line) => this.#message.read(line, daemon),
      onPieces: (pieces) => this.#ofPieces(pieces, daemon),
      onLongLine: (line) => this.#dropLong(line)
    }
  }

  /** Requests that the daemon has. */
  get inFlight(): number {
    return this.#requests.size
  }

  /** Bytes that wait for a daemon. */
  get held(): number {
    return this.#heldSize
  }

  /** Whether the daemon takes whatever comes: nothing is held back. */
  get isOpen(): boolean {
    return this.#phase === "open"
  }

  /** A daemon is there: `server` is its address of the server. */
  open(daemon: Sink, server: string): void {
    this.#server = server
    this.#daemon = daemon
    this.#refusal = null
    if (!this.#remembered.isOpen) return this.#goOn()
    this.#phase = "greeting"
    this.#isLater = true
    const id = this.#ask(() => this.#greeted())
    daemon.push(this.#remembered.hello(id)!)
  }

  /** The daemon takes no more requests, but answers what it has. */
  pause(): void {
    this.#phase = "paused"
  }

  /**
   * The daemon is gone, and never got `unwritten`, whole lines. All else that it has not answered is: that it may have run.
   * Says how many requests that were.
   */
  close(unwritten: Buffer = empty): number {
    if (this.#phase === "away") return 0
    this.#phase = "away"
    this.#daemon = nowhere
    this.#own.clear()
    this.#comparing.clear()
    const later = this.#held
    this.#held = []
    this.#heldSize = 0
    const again = new LineReader({ maxLine: Number.MAX_SAFE_INTEGER, receiver: this.#unsent })
    again.feed(unwritten)
    const unsent = this.#held
    this.#held = []
    this.#heldSize = 0
    let lost = 0
    for (const [id, note] of this.#requests.takeAll()) {
      const hello = note === "initialize" ? this.#remembered.hello() : null
      if (hello !== null) this.#hold({ id, note, line: [hello], size: hello.length })
      // It did nothing but to tell: its client listens again, and knows that it may have missed something.
      else if (note === "listening") this.#host.push(Wire.listenedTo(id))
      else {
        lost++
        this.#host.push(Wire.failure(id, Wire.outcomeUnknown(this.#server)))
      }
    }
    for (const held of unsent) this.#hold(held)
    for (const held of later) this.#hold(held)
    for (const id of this.#questions.leave()) {
      this.#host.push(Wire.notification("notifications/cancelled", `{"requestId":${id},"reason":"the server is gone"}`))
    }
    return lost
  }

  /** Requests are answered with this error, a JSON object's text, until a daemon is there. */
  refuse(error: string): void {
    this.#refusal = error
    const held = this.#held
    this.#held = []
    this.#heldSize = 0
    for (const { id } of held) if (id !== null) this.#host.push(Wire.error(id, error))
  }

  #hostSays(): void {
    const message = this.#message
    switch (message.kind) {
      case "request":
        return this.#requested()
      case "answer": {
        const id = this.#questions.answer(message.id)
        if (id === undefined) return
        if (id === message.id) message.writeTo(this.#daemon)
        else this.#daemon.push(withId(message.text(), id))
        return
      }
      case "notification":
        return this.#notified()
      case "nothing":
        return this.#sendOrHold(null, "")
    }
  }

  #requested(): void {
    const { id } = this.#message
    if (this.#refusal !== null) {
      this.#host.push(Wire.error(id, this.#refusal))
      return this.#options.onWaiting(true)
    }
    this.#sendOrHold(id, this.#remembered.note(this.#message))
  }

  #notified(): void {
    const message = this.#message
    switch (message.method) {
      case "notifications/initialized":
        this.#remembered.initialized(message)
        // The next daemon is told with the replay.
        if (this.#phase === "open") message.writeTo(this.#daemon)
        return
      case "notifications/cancelled": {
        const id = message.param("requestId")
        if (id === undefined || !this.#forget(id)) message.writeTo(this.#daemon)
        return
      }
      case "notifications/progress":
        return message.writeTo(this.#daemon)
      default:
        return this.#sendOrHold(null, "")
    }
  }

  #sendOrHold(id: string | null, note: string): void {
    if (this.#phase === "open") {
      if (id !== null) this.#requests.add(id, note)
      return this.#message.writeTo(this.#daemon)
    }
    // Nobody knows when there will be a daemon: what is no request is forgotten, as that is answered.
    if (this.#refusal !== null) return
    this.#holdMessage(id, note)
    this.#options.onWaiting(id !== null)
  }

  #holdMessage(id: string | null, note: string): void {
    const line = this.#message.keep()
    this.#hold({ id, note, line, size: line.reduce((size, piece) => size + piece.length, 0) })
  }

  #hold(held: Held): void {
    this.#held.push(held)
    this.#heldSize += held.size
  }

  /** Nobody wants the answer any more. Whether the request was held, and so need not be taken back from anybody. */
  #forget(id: string): boolean {
    if (this.#requests.take(id) !== undefined) return false
    const at = this.#held.findIndex((held) => held.id === id)
    if (at === -1) return false
    this.#heldSize -= this.#held.splice(at, 1)[0]!.size
    return true
  }

  #daemonSays(): void {
    const message = this.#message
    switch (message.kind) {
      case "answer":
        return this.#answered()
      case "request": {
        const id = this.#questions.ask(message.id)
        if (id === message.id) message.writeTo(this.#host)
        else this.#host.push(withId(message.text(), id))
        return
      }
      case "notification": {
        if (this.#isDoubtful(message.method)) return
        if (message.method === "notifications/subscriptions/acknowledged") this.#listens()
        const asked = message.method === "notifications/cancelled" ? message.param("requestId") : undefined
        const id = asked === undefined ? undefined : this.#questions.cancel(asked)
        if (id === asked) message.writeTo(this.#host)
        else this.#host.push(withParam(message.text(), "requestId", id!))
        return
      }
      case "nothing":
        return message.writeTo(this.#host)
    }
  }

  /** A `subscriptions/listen` goes on from here until it ends. */
  #listens(): void {
    const id = idOfSubscription(this.#message.param("_meta"))
    if (this.#requests.take(id) !== undefined) this.#requests.add(id, "listening")
  }

  #answered(): void {
    const message = this.#message
    const { id } = message
    if (id.startsWith(this.#ownPrefix)) {
      const then = this.#own.get(id)
      this.#own.delete(id)
      return then?.()
    }
    const note = this.#requests.take(id)
    if (note !== undefined && note !== "") this.#remembered.answered(note, message)
    message.writeTo(this.#host)
  }

  /** The daemon has answered the `initialize` that was said again; what it says of itself is not what the host believes. */
  #greeted(): void {
    if (this.#phase !== "greeting") return
    if (this.#message.isError) {
      this.refuse(this.#message.outcome())
      return this.#options.onStranger()
    }
    for (const line of this.#remembered.replay(() => this.#ask(null))) this.#daemon.push(line)
    this.#goOn()
    for (const method of this.#remembered.lists) this.#compare(method)
  }

  /** Asks for a list that the host knows, and tells the host if it is another now. */
  #compare(method: string): void {
    this.#comparing.set(method, false)
    const id = this.#ask(() => {
      const isStale = this.#comparing.get(method) === true
      this.#comparing.delete(method)
      const news = this.#remembered.compare(method, this.#message)
      if (news !== null) this.#host.push(news)
      if (isStale) this.#compare(method)
    })
    this.#daemon.push(Wire.request(id, method))
  }

  /**
   * What says that a list has changed comes from each process that starts, and behind another daemon each one does: there
   * it is looked at, whether that is so.
   */
  #isDoubtful(method: string): boolean {
    if (!this.#isLater || !method.endsWith("/list_changed")) return false
    const lists = this.#remembered.lists.filter((list) => Wire.listChanged(list) === method)
    for (const list of lists) {
      if (this.#comparing.has(list)) this.#comparing.set(list, true)
      else this.#compare(list)
    }
    return lists.length > 0
  }

  #goOn(): void {
    this.#phase = "open"
    const held = this.#held
    this.#held = []
    this.#heldSize = 0
    for (const { id, line, note } of held) {
      if (id !== null) this.#requests.add(id, note)
      for (const piece of line) this.#daemon.push(piece)
    }
  }

  #ask(then: (() => void) | null): string {
    const id = this.#ownId()
    this.#own.set(id, then)
    return id
  }

  #ownId(): string {
    return `${this.#ownPrefix}${++this.#ownIds}"`
  }

  #ofPieces(pieces: ReadonlyArray<Buffer>, then: () => void): boolean {
    const isRead = this.#message.readPieces(pieces)
    if (isRead) then()
    return isRead
  }

  /** What a daemon never got: each line as if the host said it now, but for what was an answer or `connect`'s own. */
  readonly #unsent: LineReceiver = {
    onLine: (line) => this.#message.read(line, () => this.#again()),
    onLongLine: () => {}
  }

  #again(): void {
    const message = this.#message
    const { id, kind, method } = message
    if (method === "notifications/cancelled") {
      this.#forget(message.param("requestId") ?? "")
    } else if (kind === "request" && !id.startsWith(this.#ownPrefix)) {
      const note = this.#requests.take(id)
      // One that is not in flight was cancelled since.
      if (note !== undefined) this.#holdMessage(id, note)
    } else if (kind === "notification" && !forgotten.test(method)) this.#holdMessage(null, "")
  }

  #refuseLong(line: LongLine): void {
    const isRequest = this.#message.readPieces([line.head, line.tail]) && this.#message.kind === "request"
    if (isRequest) this.#host.push(Wire.failure(this.#message.id, Wire.tooLong(line.length, maxLine)))
  }

  #dropLong(line: LongLine): void {
    const isAnswer = this.#message.readPieces([line.head, line.tail]) && this.#message.kind === "answer"
    if (!isAnswer || this.#requests.take(this.#message.id) === undefined) return
    this.#host.push(Wire.failure(this.#message.id, Wire.resultTooLarge(this.#server, maxLine)))
  }
}

/** JSON text of the id, of a notification's `_meta`, which is JSON text; empty where there is none. */
const idOfSubscription = (meta = "{}"): string =>
  JSON.stringify((JSON.parse(meta) as { readonly [key: string]: unknown } | null)?.[subscriptionId]) ?? ""

const subscriptionId = "io.modelcontextprotocol/subscriptionId"

/** What is said again anyway, and what nobody waits for any more. */
const forgotten = /^notifications\/(?:initialized|progress)$/
const nowhere: Sink = { push: () => {} }
const empty = Buffer.alloc(0)

/** Bytes of one line. The daemon's own bound, `maxLine`, is far less unless somebody raised it. */
export const maxLine = 128 * 1024 * 1024
