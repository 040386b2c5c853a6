/** What waits for a process to come: in order, bounded for each client, and not for ever. */
import type { ServerProcess } from "../server/ServerProcess.ts"
import { Overloaded, QueueTimeout, type RequestError } from "../PoolError.ts"
import type { Client } from "./Upstream.ts"

/** Exactly one of its callbacks is called, or none where it is withdrawn. */
export interface Waiting {
  /** Null for the pool itself. */
  readonly client: Client | null
  /** The client's own id as JSON text, where it is a request that can be cancelled. */
  readonly id: string | null
  readonly bytes: number
  readonly onProcess: (process: ServerProcess) => void
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
    const { bytes, client } = waiting
    if (client !== null) {
      const others = this.#waiting.filter((other) => other.client === client)
      const total = others.reduce((sum, other) => sum + other.bytes, 0)
      if (others.length >= maxRequests || (others.length > 0 && total + bytes > maxBytes)) {
        const reason = "too much of this client is waiting for it to start"
        return waiting.onRefusal(new Overloaded({ server: this.#server, reason }))
      }
    }
    this.#waiting.push({ ...waiting, deadline: Date.now() + this.#timeout })
  }

  /** A process is there. */
  admit(process: ServerProcess): void {
    for (const waiting of this.#waiting.splice(0)) waiting.onProcess(process)
  }

  /** None will come. */
  refuse(error: RequestError): void {
    for (const waiting of this.#waiting.splice(0)) waiting.onRefusal(error)
  }

  /** Refuses those whose time is over; `now` in milliseconds since the epoch. */
  expire(now: number): void {
    const late = this.#waiting.filter((waiting) => waiting.deadline <= now)
    if (late.length === 0) return
    this.#waiting = this.#waiting.filter((waiting) => waiting.deadline > now)
    for (const waiting of late) waiting.onRefusal(new QueueTimeout({ server: this.#server }))
  }

  /** Withdraws a client's request, or without `isId` all that it has; says how many. */
  withdraw(client: Client, isId?: (id: string) => boolean): number {
    const before = this.#waiting.length
    this.#waiting = this.#waiting.filter(
      (waiting) => waiting.client !== client || (isId !== undefined && (waiting.id === null || !isId(waiting.id)))
    )
    return before - this.#waiting.length
  }
}

/** Of one client. */
const maxRequests = 1024
const maxBytes = 16 * 1024 * 1024
