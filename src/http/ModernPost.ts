/**
 * One request of 2026-07-28 over HTTP, which stands alone: its answer as JSON, or as the last of several events. Its client
 * cancels it by going. Lives until it is answered.
 */
import type { ServerResponse } from "node:http"
import type { Stream } from "../mux/era/ModernCall.ts"
import { modernVersion } from "../server/Era.ts"
import { methodNotFound } from "../WireError.ts"
import { type Message, sendJson } from "./Answers.ts"
import { EventStream } from "./EventStream.ts"
import { Lines } from "./Lines.ts"

export class ModernPost extends Lines implements Stream {
  readonly out = this
  /** It is a subscription: it ends when its client or its server does. */
  isListening = false
  /** Nothing follows. */
  isEnded = false
  /** Among those that are open. */
  place = 0
  readonly #response: ServerResponse
  readonly #onEnd: () => void
  /** Pushed a moment ago: the answer, if it ends now. */
  #latest: Message | null = null
  #stream: EventStream | null = null
  #looks = 0

  constructor(response: ServerResponse, onEnd: () => void) {
    super()
    this.#response = response
    this.#onEnd = onEnd
  }

  get unread(): number {
    return this.#response.writableLength
  }

  protected take(message: Message): void {
    this.#flush()
    this.#latest = message
    queueMicrotask(() => {
      if (this.#latest === message) this.#flush()
    })
  }

  ended(): void {
    if (this.isEnded) return
    this.isEnded = true
    const answer = this.#latest
    this.#latest = null
    if (this.#stream !== null) {
      if (answer !== null) this.#stream.send(answer)
      this.#stream.end()
    } else if (answer !== null && !this.#response.destroyed) sendJson(this.#response, statusOf(answer), answer)
    this.#onEnd()
  }

  listens(): void {
    this.isListening = true
    this.#flush()
    this.#events()
  }

  overflow(): void {
    this.#response.destroy()
  }

  /** Called now and then: who waits for long hears that somebody is there. */
  look(): void {
    if (this.#stream === null && ++this.#looks >= patience) this.#events()
    this.#stream?.look()
  }

  #flush(): void {
    const message = this.#latest
    this.#latest = null
    if (message !== null) this.#events().send(message)
  }

  #events(): EventStream {
    if (this.#stream === null) {
      this.#stream = new EventStream(0, null)
      if (!this.#response.destroyed) this.#stream.carry(this.#response, { after: 0, version: modernVersion })
    }
    return this.#stream
  }
}

/** An error of the protocol's own is one of HTTP's too. */
const statusOf = (answer: Message): number => {
  if (typeof answer !== "string" || answer.length > longest || !answer.includes('"error"')) return 200
  const { error } = JSON.parse(answer) as { readonly error?: { readonly code?: unknown } }
  return statuses.get(error?.code) ?? 200
}

const statuses: ReadonlyMap<unknown, number> = new Map([
  [methodNotFound, 404],
  [-32020, 400],
  [-32021, 400],
  [-32022, 400]
])
/** Bytes. */
const longest = 64 * 1024
/** How many looks without an answer. */
const patience = 3
