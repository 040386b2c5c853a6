/**
 * A session as its server's sharing knows it: what it has under way, and what it is asked. Outlives the session where a
 * server still owes an answer to one of its calls.
 */
import type { Client } from "./Upstream.ts"

export interface Member {
  /** Null once it has left. */
  client: Client | null
  /** Requests that were handed to a process, or wait for one to be ready, and have no answer yet. */
  executing: number
  /** Questions that wait for its answer. */
  asked: number
  /** Cursors of lists that it was given, each with the process that gave it. */
  readonly cursors: Map<string, object>
}

export const make = (client: Client): Member => ({ client, executing: 0, asked: 0, cursors: new Map() })
