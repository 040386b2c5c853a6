/**
 * A session as its server's sharing knows it: what it has under way, and what it is asked. Outlives the session where a
 * server still owes an answer to one of its calls.
 */
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
}

export const make = (client: Client): Member => ({
  client,
  executing: 0,
  asked: 0,
  owner: client.owner ?? Owner.make({ isOneClient: true })
})
