/**
 * What a remote server is told, line by line: requests wait while many are under way, and what the server waits for itself
 * (answers, notifications) waits for no request. Nothing is sent before `notifications/initialized` has been taken.
 */
import type { LineSink } from "../../lines/LineWriter.ts"
import { Line } from "../../lines/LineReader.ts"
import { Envelope, Key } from "../../message/Envelope.ts"
import { idIn } from "../../message/Ids.ts"
import { decodeString, methodOf, namedTask, nameOf } from "../../message/Words.ts"

/** A line that is to be sent, without its line feed. */
export interface Item {
  readonly body: Buffer
  /** The pool's id; null where it is no request. */
  readonly id: number | null
  /** Empty where it is an answer. */
  readonly method: string
  /** The tool or prompt, the URI of the resource, or the task, that it is about; null where there is none. */
  readonly name: string | null
}

export interface RemoteOutboxOptions {
  readonly send: (item: Item, done: () => void) => void
  /** A request will not be answered: true where that is all there is to do. */
  readonly onCancelled: (requestId: number) => boolean
  /** There is more that the server has asked for, and not taken. */
  readonly onUnanswered: () => void
}

export class RemoteOutbox implements LineSink {
  readonly #options: RemoteOutboxOptions
  readonly #envelope = new Envelope()
  #pieces: Array<string | Buffer> = []
  #requests: Array<Item> = []
  #others: Array<Item> = []
  #waiting = 0
  #othersWaiting = 0
  #requestsUnderWay = 0
  #othersUnderWay = 0
  #isIntroducing = false
  #isClosed = false
  /** Something had to wait when it was last looked at. */
  #wasBlocked = false
  /** The server never got these, though they were sent to it. */
  #refused: Array<Item> = []
  onDrain: (() => void) | null = null

  constructor(options: RemoteOutboxOptions) {
    this.#options = options
  }

  get unread(): number {
    return this.#waiting + this.#othersWaiting
  }

  get blocked(): boolean {
    return this.#requests.length > 0 || this.#others.length > 0
  }

  /** Bytes of answers and notifications that the server has not taken. */
  get unanswered(): number {
    return this.#othersWaiting
  }

  push(piece: string | Buffer): void {
    if (piece.length === 0) return
    this.#pieces.push(piece)
    const last = typeof piece === "string" ? piece.charCodeAt(piece.length - 1) : piece[piece.length - 1]
    if (last !== lineFeed) return
    const pieces = this.#pieces
    this.#pieces = []
    this.#add(bytesOf(pieces))
    this.#pump()
  }

  /** It takes no more for now, or for good: what waits stays. */
  close(): void {
    this.#isClosed = true
  }

  /** One that was sent has not been taken: it is among what never went out. */
  putBack(item: Item): void {
    this.#refused.push(item)
  }

  takeUnwritten(): Buffer {
    this.#isClosed = true
    const items = [...this.#refused, ...this.#requests]
    this.#refused = []
    this.#requests = []
    this.#others = []
    this.#wasBlocked = false
    return Buffer.concat(items.flatMap(({ body }) => [body, end]))
  }

  #add(body: Buffer): void {
    const envelope = this.#envelope
    const line = Line.of(body)
    envelope.scan(body, 0, body.length)
    const hasMethod = envelope.has(Key.method)
    const method = hasMethod ? methodOf(line, envelope) : ""
    if (method === "notifications/cancelled") {
      const requestId = idIn(body, envelope.start[Key.requestId]!, envelope.end[Key.requestId]!)
      if (this.#withdraw(requestId) || this.#options.onCancelled(requestId)) return
    }
    const isRequest = hasMethod && envelope.has(Key.id)
    const id = isRequest ? idIn(body, envelope.start[Key.id]!, envelope.end[Key.id]!) : null
    const item = { body, id, method, name: isRequest ? subjectOf(method, line, envelope) : null }
    if (isRequest) {
      this.#requests.push(item)
      this.#waiting += body.length
    } else {
      this.#others.push(item)
      this.#othersWaiting += body.length
      this.#options.onUnanswered()
    }
  }

  /** Takes back what has not gone out. */
  #withdraw(requestId: number): boolean {
    const at = this.#requests.findIndex(({ id }) => id === requestId)
    if (at === -1) return false
    const [item] = this.#requests.splice(at, 1)
    this.#waiting -= item!.body.length
    return true
  }

  #pump(): void {
    while (!this.#isClosed && !this.#isIntroducing && this.#othersUnderWay < maxOthers) {
      const item = this.#others.shift()
      if (item === undefined) break
      this.#othersUnderWay++
      this.#isIntroducing = item.method === "notifications/initialized"
      this.#options.send(item, () => {
        this.#othersUnderWay--
        this.#othersWaiting -= item.body.length
        if (item.method === "notifications/initialized") this.#isIntroducing = false
        this.#pump()
      })
    }
    while (!this.#isClosed && !this.#isIntroducing && this.#requestsUnderWay < maxRequests) {
      const item = this.#requests.shift()
      if (item === undefined) break
      this.#requestsUnderWay++
      this.#waiting -= item.body.length
      this.#options.send(item, () => {
        this.#requestsUnderWay--
        this.#pump()
      })
    }
    const wasBlocked = this.#wasBlocked
    this.#wasBlocked = this.blocked
    if (wasBlocked && !this.#wasBlocked) this.onDrain?.()
  }
}

const bytesOf = (pieces: ReadonlyArray<string | Buffer>): Buffer => {
  const all = pieces.map((piece) => (typeof piece === "string" ? Buffer.from(piece, "latin1") : piece))
  const bytes = all.length === 1 ? all[0]! : Buffer.concat(all)
  return bytes.subarray(0, -1)
}

/** What a request is about, which a modern server is told in a header, too. */
const subjectOf = (method: string, line: Line, envelope: Envelope): string | null => {
  switch (method) {
    case "tools/call":
    case "prompts/get":
      return nameOf(line, envelope)
    case "resources/read":
      return decodeString(line, envelope, Key.uri)
    // https://modelcontextprotocol.io/seps/2663-tasks-extension
    case "tasks/get":
    case "tasks/update":
    case "tasks/cancel":
      return namedTask(line).taskId
    default:
      return null
  }
}

/** Requests under way at a time: each has a connection of its own until it is answered. */
const maxRequests = 256
/** The same for what is taken at once. */
const maxOthers = 32
const lineFeed = 0x0a
const end = Buffer.from("\n")
