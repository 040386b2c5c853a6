/** Where the lines of a session go: one way, or another for each request. */
import type { Out } from "./Upstream.ts"

/** The one way. */
export interface SessionOut extends Out {
  /** Forgets what waits: the connection is gone. */
  readonly discard: () => void
}

/** Where what belongs to requests goes, if not the one way of everything else. Ids are JSON text as it came. */
export interface Requests {
  /** A request comes; false where it is answered already. */
  readonly begin: (id: string, method: string) => boolean
  /** Where the answer to a request goes. */
  readonly answerTo: (id: string) => Out
  /** Where goes what belongs to a request, or where `id` is null to one of those that are in flight. */
  readonly during: (id: string | null) => Out
  /** A request is cancelled: no answer follows. */
  readonly cancelled: (id: string) => void
}
