/**
 * Sessions that are another upstream's from now on, while something of them is under way here: where their requests go that
 * no process here has seen, and when they are done. Plain synchronous code; lives as long as a server's sharing.
 */
import type { Line } from "../lines/LineReader.ts"
import { Envelope } from "../message/Envelope.ts"
import * as Calls from "./Calls.ts"
import type { CallAccount } from "./CallAccount.ts"
import type { Client, Upstream } from "./Upstream.ts"

/** One of them. */
interface Departure {
  readonly next: Upstream
  /** Told once nothing of it is under way. */
  readonly done: () => void
}

export interface DeparturesOptions {
  readonly account: CallAccount
  /** Whether something of the client is under way here. */
  readonly isBusy: (client: Client) => boolean
}

export class Departures {
  readonly #options: DeparturesOptions
  readonly #departures = new Map<Client, Departure>()
  readonly #envelope = new Envelope()

  constructor(options: DeparturesOptions) {
    this.#options = options
  }

  get isEmpty(): boolean {
    return this.#departures.size === 0
  }

  has(client: Client): boolean {
    return this.#departures.has(client)
  }

  begin(client: Client, next: Upstream, done: () => void): void {
    this.#departures.set(client, { next, done })
  }

  /** It has come back, or is gone. */
  forget(client: Client): void {
    this.#departures.delete(client)
  }

  /** No process here has seen it, or it may be run twice: where its client is now it begins anew. */
  passOn(call: Calls.Call, line: Line): void {
    const { client, method } = call
    const { next } = this.#departures.get(client)!
    this.#options.account.withdraw(call)
    client.inFlight--
    this.#envelope.scan(line.bytes, line.start, line.end)
    const own = Calls.asItCame(line, this.#envelope, call)
    this.#envelope.scan(own.bytes, own.start, own.end)
    next.request(client, own, this.#envelope, method)
  }

  /** Something of it has ended: perhaps it was the last. */
  endIfIdle(client: Client): void {
    const departure = this.#departures.get(client)
    if (departure === undefined || this.#options.isBusy(client)) return
    this.#departures.delete(client)
    departure.done()
  }

  endIdle(): void {
    for (const client of this.#departures.keys()) this.endIfIdle(client)
  }
}
