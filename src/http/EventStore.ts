/**
 * Events that were sent, or that nobody was there for: what a client that comes back is sent again, by the id of the last
 * one that it has. Bounded in bytes and in time for all sessions together, and for each; the oldest go first.
 */
import type { Message } from "./Answers.ts"

/** An event of a stream. */
export interface StoredEvent {
  readonly log: EventLog
  /** Of the stream within its session. */
  readonly stream: number
  /** Of the event within its stream. */
  readonly number: number
  readonly message: Message
  /** When it came, in the store's own time. */
  readonly at: number
}

/** All sessions' events, in the order in which they came. */
export class EventStore {
  readonly #maxBytes: number
  readonly #maxAge: number
  readonly #all = new Set<StoredEvent>()
  #bytes = 0
  #now = 0

  constructor(options: { readonly maxBytes: number; readonly maxAge: number }) {
    this.#maxBytes = options.maxBytes
    this.#maxAge = options.maxAge
  }

  /** Bytes of all that is kept. */
  get bytes(): number {
    return this.#bytes
  }

  /** Time goes on: what is too old goes. */
  tick(): void {
    this.#now++
    for (const event of this.#all) {
      if (event.at + this.#maxAge > this.#now) break
      this.remove(event)
    }
  }

  add(log: EventLog, stream: number, number: number, message: Message): StoredEvent {
    const event = { log, stream, number, message, at: this.#now }
    this.#all.add(event)
    this.#bytes += event.message.length
    log.events.add(event)
    log.bytes += event.message.length
    return event
  }

  /** Keeps what it may keep. */
  bound(): void {
    for (const event of this.#all) {
      if (this.#bytes <= this.#maxBytes) break
      this.remove(event)
    }
  }

  remove(event: StoredEvent): void {
    if (!this.#all.delete(event)) return
    this.#bytes -= event.message.length
    event.log.events.delete(event)
    event.log.bytes -= event.message.length
  }
}

/** Those of one session. */
export class EventLog {
  readonly events = new Set<StoredEvent>()
  bytes = 0
  readonly #store: EventStore
  readonly #maxBytes: number

  constructor(store: EventStore, maxBytes: number) {
    this.#store = store
    this.#maxBytes = maxBytes
  }

  add(stream: number, number: number, message: Message): void {
    this.#store.add(this, stream, number, message)
    for (const event of this.events) {
      if (this.bytes <= this.#maxBytes && this.events.size <= maxEvents) break
      this.#store.remove(event)
    }
    this.#store.bound()
  }

  /** Those of a stream after the one with this number, in order. */
  *after(stream: number, number: number): Iterable<StoredEvent> {
    for (const event of this.events) if (event.stream === stream && event.number > number) yield event
  }

  /** Whether something of a stream is kept. */
  has(stream: number): boolean {
    for (const event of this.events) if (event.stream === stream) return true
    return false
  }

  clear(): void {
    for (const event of this.events) this.#store.remove(event)
  }
}

/** Of one session. */
const maxEvents = 1024
