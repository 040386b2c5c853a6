/** What needs a process, whichever it is, and waits for one to come: in order, and not for ever. */
import { QueueTimeout, type RequestError } from "../PoolError.ts"
import type { Multiplexer } from "./Multiplexer.ts"
import type { Client } from "./Upstream.ts"

/** Exactly one of its callbacks is called, or none where its client leaves. */
export interface Waiting {
  /** Null for the pool itself. */
  readonly client: Client | null
  readonly onProcess: (process: Multiplexer) => void
  readonly onRefusal: (error: RequestError) => void
}

export class WaitingRoom {
  readonly #server: string
  /** Milliseconds. */
  readonly #timeout: number
  #waiting: Array<Waiting & { readonly deadline: number }> = []

  constructor(options: { readonly server: string; readonly timeout: number }) {
    this.#server = options.server
    this.#timeout = options.timeout
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0
  }

  enter(waiting: Waiting): void {
    this.#waiting.push({ ...waiting, deadline: Date.now() + this.#timeout })
  }

  /** A process is there. */
  admit(process: Multiplexer): void {
    for (const waiting of this.#waiting.splice(0)) waiting.onProcess(process)
  }

  /** None will come. */
  refuse(error: RequestError): void {
    for (const waiting of this.#waiting.splice(0)) waiting.onRefusal(error)
  }

  /** Refuses those whose time is over; `now` in milliseconds since the epoch. */
  expire(now: number): void {
    const late = this.#waiting.filter(({ deadline }) => deadline <= now)
    if (late.length === 0) return
    this.#waiting = this.#waiting.filter(({ deadline }) => deadline > now)
    for (const waiting of late) waiting.onRefusal(new QueueTimeout({ server: this.#server }))
  }

  leave(client: Client): void {
    this.#waiting = this.#waiting.filter((waiting) => waiting.client !== client)
  }
}
