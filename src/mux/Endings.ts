/** How requests that a process held end, and who is told. */
import type { CallOutcome } from "../CallOutcome.ts"
import type { RequestError } from "../PoolError.ts"
import type { CallAccount } from "./CallAccount.ts"
import type { Ask, Call } from "./Calls.ts"

/** Who is told that a client's request which a process held has ended. */
export interface Endings {
  /** Before its client is. */
  readonly account: CallAccount
  /** After its client. */
  readonly onSettled: (call: Call, outcome: CallOutcome) => void
}

/** Ends a request with one of the pool's own errors. */
export const refuse = (call: Call | Ask, error: RequestError, { account, onSettled }: Endings): void => {
  if (call.client === null) call.done({ kind: "refused", error })
  else onSettled(call, account.fail(call, error))
}
