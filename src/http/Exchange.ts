/**
 * One POST: what its messages are answered with, and what belongs to them until then. One answer is sent as JSON; where
 * something comes before it, or nothing for long, all of it is a stream of events. Lives as long as a request of it waits.
 */
import type { ServerResponse } from "node:http"
import { invalidRequest } from "../WireError.ts"
import { accept, type Message, refuse, sendJson } from "./Answers.ts"
import type { EventStream } from "./EventStream.ts"

/** What an exchange needs of its session. */
export interface ExchangeOwner {
  /** Another stream. */
  readonly openStream: () => EventStream
  /** An answer was sent, and was not taken at once. */
  readonly onSlow: (response: ServerResponse) => void
}

export interface ExchangeOptions {
  readonly response: ServerResponse
  /** Its revision. */
  readonly version: string | undefined
  /** The body is an array: each of its messages has an answer of its own. */
  readonly isBatch: boolean
  /** What the answer's headers say beside the usual. */
  readonly headers?: ReadonlyArray<string> | undefined
  /** Told of an answer before it is sent; where it is JSON, the headers go with it if that is true. */
  readonly onAnswer?: ((message: Message) => boolean) | undefined
}

export class Exchange {
  readonly #owner: ExchangeOwner
  readonly #options: ExchangeOptions
  #requests = 0
  #unanswered = 0
  /** The body is being read: how many requests there are is not known yet. */
  #isReading = true
  #answers: Array<Message> = []
  #refusals: Array<Message> = []
  #collected = 0
  #stream: EventStream | null = null
  #looks = 0
  #isClosed = false

  constructor(owner: ExchangeOwner, options: ExchangeOptions) {
    this.#owner = owner
    this.#options = options
  }

  /** Whether its client may still hear of it. */
  get isOpen(): boolean {
    return this.#stream !== null || !this.#options.response.destroyed
  }

  /** Whether a connection waits for what it sends. */
  get isCarried(): boolean {
    return this.#stream === null ? !this.#options.response.destroyed : this.#stream.isCarried
  }

  /** Bytes that wait until the whole body has been read. */
  get unread(): number {
    return this.#collected
  }

  /** A request of it begins. */
  begin(): void {
    this.#requests++
    this.#unanswered++
  }

  /** The answer to one of its requests. */
  answer(message: Message): void {
    this.#unanswered--
    const hasHeaders = this.#options.onAnswer?.(message) !== false
    if (this.#isReading && this.#options.isBatch) {
      this.#collected += message.length
      return void this.#answers.push(message)
    }
    if (this.#stream === null && this.#requests === 1) return this.#sendOne(message, hasHeaders)
    this.#events().send(message)
    if (this.#unanswered === 0) this.#end()
  }

  /** Something that belongs to one of its requests, before its answer. */
  event(message: Message): void {
    this.#events().send(message)
  }

  /** A message of it is no request that can be taken. */
  refuse(message: Message): void {
    this.#collected += message.length
    this.#refusals.push(message)
  }

  /** A request of it gets no answer. */
  cancel(): void {
    this.#unanswered--
    if (this.#isReading || this.#unanswered > 0) return
    if (this.isOpen) this.#events()
    this.#end()
  }

  /** The whole body has been read. */
  handedOver(): void {
    this.#isReading = false
    if (this.#isClosed) return
    const answers = this.#answers
    const refusals = this.#refusals
    const { isBatch, response } = this.#options
    if (this.#requests === 0) {
      if (refusals.length > 0) sendJson(response, 400, refusals[0]!)
      else accept(response, 202)
      return
    }
    if (!isBatch) return
    if (this.#requests === 1 && answers.length === 1 && refusals.length === 0) return this.#sendOne(answers[0]!, true)
    if (this.#requests > 1 || refusals.length > 0) {
      for (const message of [...refusals, ...answers]) this.#events().send(message)
    }
    if (this.#unanswered === 0) this.#end()
  }

  /** Called now and then: who waits for long hears that somebody is there. */
  look(): void {
    if (this.#stream === null && ++this.#looks >= patience && this.isOpen) this.#events()
  }

  /** Its session is over. */
  close(status: 404 | 503, message: string): void {
    this.#isClosed = true
    const { response } = this.#options
    if (this.#stream === null) refuse(response, status, { code: invalidRequest, message })
    else this.#end()
  }

  #sendOne(message: Message, hasHeaders: boolean): void {
    const { headers, response } = this.#options
    if (response.destroyed) return
    sendJson(response, 200, message, hasHeaders ? headers : undefined)
    if (response.writableLength > 0) this.#owner.onSlow(response)
  }

  /** From here on it is a stream. */
  #events(): EventStream {
    if (this.#stream === null) {
      const { headers, response, version } = this.#options
      this.#stream = this.#owner.openStream()
      if (!response.destroyed) this.#stream.carry(response, { after: 0, version, headers })
    }
    return this.#stream
  }

  #end(): void {
    this.#stream?.end()
  }
}

/** How many looks without an answer. */
const patience = 3
