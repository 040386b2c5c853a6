/**
 * A client in front of another: the one that an upstream knows. What it is told goes on to the other, and what it says of
 * itself is the other's; who extends it edits what must be edited. Plain synchronous code.
 */
import type { Line } from "../lines/LineReader.ts"
import type { Envelope } from "../message/Envelope.ts"
import { forServer } from "../PoolError.ts"
import type { Client, Out, Refusal, Role } from "./Upstream.ts"

export class Delegate implements Client {
  /** The name under which it comes to the server. */
  readonly server: string
  /** In front of whom it stands. */
  protected readonly client: Client
  #inFlight = 0

  constructor(client: Client, server: string) {
    this.client = client
    this.server = server
  }

  get id(): number {
    return this.client.id
  }

  get role(): Role {
    return this.client.role
  }

  get owner(): Client["owner"] {
    return this.client.owner
  }

  get out(): Out {
    return this.client.out
  }

  get maxUnread(): number {
    return this.client.maxUnread
  }

  get initialized(): boolean {
    return this.client.initialized
  }

  get level(): number | null {
    return this.client.level
  }

  get capabilities(): Client["capabilities"] {
    return this.client.capabilities
  }

  get meta(): Client["meta"] {
    const { client } = this
    return client.meta === null ? null : (areAsked) => client.meta!(areAsked)
  }

  get clientInfo(): Client["clientInfo"] {
    return this.client.clientInfo
  }

  get since(): number {
    return this.client.since
  }

  get calls(): number {
    return this.client.calls
  }

  /** Of those of the client, the ones that went this way. */
  get inFlight(): number {
    return this.#inFlight
  }

  set inFlight(count: number) {
    this.client.inFlight += count - this.#inFlight
    this.#inFlight = count
  }

  answerTo(id: string): Out {
    return this.client.answerTo(id)
  }

  during(id: string | null): Out {
    return this.client.during(id)
  }

  answer(id: string, line: Line, envelope: Envelope): void {
    this.client.answer(id, line, envelope)
  }

  fail(id: string, refusal: Refusal): void {
    this.client.fail(id, "_tag" in refusal ? forServer(refusal, this.server) : refusal)
  }

  settled(): void {
    this.#inFlight--
    this.client.settled()
  }

  overflow(): void {
    this.client.overflow()
  }
}
