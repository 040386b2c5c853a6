/**
 * A session as its server's sharing knows it: what it has under way, and what it is asked. Outlives the session where a
 * server still owes an answer to one of its calls.
 */
import type { Pin } from "./Gate.ts"
import * as Owner from "./Owner.ts"
import type { Client } from "./Upstream.ts"

export interface Member {
  /** Null once it has left. */
  client: Client | null
  /** Requests that were handed to a process, or wait for one to be ready, and have no answer yet. */
  executing: number
  /** Questions that wait for its answer. */
  asked: number
  readonly owner: Owner.Owner
  /** Of the name by which it came. */
  readonly pin: Pin
}

/** Of a session that has just come. */
export const make = (client: Client, pin: Pin = { gate: null }): Member => ({
  client,
  executing: 0,
  asked: 0,
  owner: client.owner ?? Owner.make({ isOneClient: true }),
  pin
})
