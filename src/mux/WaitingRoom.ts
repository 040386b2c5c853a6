/** What waits for a process to come: in order, bounded for each client, and not for ever. */
import { Overloaded, QueueTimeout, type RequestError } from "../PoolError.ts"
import type { Multiplexer } from "./Multiplexer.ts"
import type { Client } from "./Upstream.ts"

/** Exactly one of its callbacks is called, or none where it is withdrawn. */
export interface Waiting {
  /** Null for the pool itself. */
  readonly client: Client | null
  /** The client's own id as JSON text, where it is a request that can be cancelled. */
  readonly id: string | null
  readonly bytes: number
  readonly onProcess: (process: Multiplexer) => void
  readonly onRefusal: (error: RequestError) => void
}

export class WaitingRoom {
  readonly #server: string
  /** Milliseconds. */
  readonly #timeout: number
  #waiting: Array<Waiting & { readonly deadline: number }> = []
  /** How much of each client is here. */
  readonly #shares = new Map<Client, { readonly requests: number; readonly total: number }>()

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
      const { requests, total } = this.#shares.get(client) ?? { requests: 0, total: 0 }
      if (requests >= maxRequests || (requests > 0 && total + bytes > maxBytes)) {
        const reason = "too much of this client is waiting for it to start"
        return waiting.onRefusal(new Overloaded({ server: this.#server, reason }))
      }
      this.#shares.set(client, { requests: requests + 1, total: total + bytes })
    }
    this.#waiting.push({ ...waiting, deadline: Date.now() + this.#timeout })
  }

  /** A process is there. */
  admit(process: Multiplexer): void {
    this.#shares.clear()
    for (const waiting of this.#waiting.splice(0)) waiting.onProcess(process)
  }

  /** None will come. */
  refuse(error: RequestError): void {
    this.#shares.clear()
    for (const waiting of this.#waiting.splice(0)) waiting.onRefusal(error)
  }

  /** Refuses those whose time is over; `now` in milliseconds since the epoch. */
  expire(now: number): void {
    const late = this.#take((waiting) => waiting.deadline <= now)
    for (const waiting of late) waiting.onRefusal(new QueueTimeout({ server: this.#server }))
  }

  /** Withdraws a client's request, or without `isId` all that it has; says how many. */
  withdraw(client: Client, isId?: (id: string) => boolean): number {
    if (!this.#shares.has(client)) return 0
    const withdrawn = this.#take(
      (waiting) => waiting.client === client && (isId === undefined || (waiting.id !== null && isId(waiting.id)))
    )
    return withdrawn.length
  }

  #take(isTaken: (waiting: Waiting & { readonly deadline: number }) => boolean): ReadonlyArray<Waiting> {
    const taken: Array<Waiting> = []
    this.#waiting = this.#waiting.filter((waiting) => {
      if (!isTaken(waiting)) return true
      taken.push(waiting)
      return false
    })
    for (const { bytes, client } of taken) {
      const share = client === null ? undefined : this.#shares.get(client)
      if (client === null || share === undefined) continue
      if (share.requests === 1) this.#shares.delete(client)
      else this.#shares.set(client, { requests: share.requests - 1, total: share.total - bytes })
    }
    return taken
  }
}

/** Of one client. */
const maxRequests = 1024
const maxBytes = 16 * 1024 * 1024
