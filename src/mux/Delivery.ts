/** Lines on their way to a client, within what it may leave unread. */
import type { Line } from "../lines/LineReader.ts"
import * as Splice from "./Splice.ts"
import type { Client } from "./Upstream.ts"

/** The line as it is: it belongs to no request. */
export const deliver = (client: Client, line: Line): void => {
  if (hasRoom(client, line.end - line.start)) Splice.whole(client.out, line)
}

/** The line as it is: it belongs to a request that is in flight. */
export const deliverDuring = (client: Client, line: Line): void => {
  if (hasRoom(client, line.end - line.start)) Splice.whole(client.during(null), line)
}

/** One message always has room; a client that leaves more than `maxUnread` lying is closed. */
export const hasRoom = (client: Client, bytes: number): boolean => {
  const { unread } = client.out
  if (unread === 0 || unread + bytes <= client.maxUnread) return true
  client.overflow()
  return false
}
