/** What stands behind a name that is not configured any more: it refuses what comes, and says so. Plain synchronous code. */
import { ServerUnavailable } from "../PoolError.ts"
import type { CallAccount } from "./CallAccount.ts"
import type { Client, Outcome, Replaceable } from "./Upstream.ts"

/** The upstream of a name without a server. */
export const make = (server: string, account: CallAccount): Replaceable => {
  const error = new ServerUnavailable({
    server,
    state: "removed",
    failure: null,
    hint: "ask mcp-pool status which servers there are",
    nextAttemptAt: null
  })
  const refused = (_: Client, done: (outcome: Outcome) => void) => done({ kind: "refused", error })
  const request: Replaceable["request"] = (client, line, envelope, method) =>
    account.refuse(client, line, envelope, method, error)
  return {
    isOwn: false,
    listTtl: 0,
    lists: nothingListed,
    join: () => {},
    leave: () => {},
    handOver: (_client, _next, done) => done(),
    hasTask: () => false,
    handshake: (_client, _hello, _onHandshake, onRefusal) => onRefusal(error),
    request,
    list: request,
    notify: () => {},
    answer: () => {},
    answerProgress: () => {},
    inputEnded: () => {},
    cancel: () => {},
    levelChanged: refused,
    subscribe: (client, _uri, done) => refused(client, done),
    unsubscribe: () => {}
  }
}

/** Its sessions are told of nothing but their end. */
const nothingListed: Replaceable["lists"] = { texts: () => new Map(), whenRead: () => {} }
