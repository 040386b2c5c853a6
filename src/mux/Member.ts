/**
 * A session as its server's sharing knows it: what it has under way, and what it is asked. Outlives the session where a
 * server still owes an answer to one of its calls.
 */
import type { Client } from "./Upstream.ts"

/** Whose requests count together: a session's own, and all that come as one where each stands alone. */
export interface Owner {
  /** All of them are one client's: what a server asks is for it, whichever of its requests that is about. */
  readonly isOneClient: boolean
  /** Requests that were handed to a process and have no answer yet. */
  executing: number
  /** Cursors of lists that it was given, each with the process that gave it. */
  readonly cursors: Map<string, object>
}

/** One with nothing under way. */
export const makeOwner = ({ isOneClient }: Pick<Owner, "isOneClient">): Owner => ({
  isOneClient,
  executing: 0,
  cursors: new Map()
})

export interface Member {
  /** Null once it has left. */
  client: Client | null
  /** Requests that were handed to a process, or wait for one to be ready, and have no answer yet. */
  executing: number
  /** Questions that wait for its answer. */
  asked: number
  readonly owner: Owner
}

export const make = (client: Client): Member => ({
  client,
  executing: 0,
  asked: 0,
  owner: client.owner ?? makeOwner({ isOneClient: true })
})
