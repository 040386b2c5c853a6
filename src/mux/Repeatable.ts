/**
 * Which requests may be made again, where a process ended while it held them or a question of theirs was refused: what only
 * reads, and tools that say that they do no harm; and what becomes of them.
 */
import { Line } from "../lines/LineReader.ts"
import type { OutcomeUnknown, RequestError } from "../PoolError.ts"
import type { Ask, Call } from "./Calls.ts"
import { type Endings, refuse } from "./Endings.ts"
import type { ListCache } from "./ListCache.ts"
import type { Poison } from "./Poison.ts"

/** Whether a request is kept, so that it can be made again; `lists` knows what tools say of themselves. */
export const isKept = (lists: ListCache, method: string, name: string | null, line: Line): boolean => {
  const isRepeatable = method === "tools/call" ? lists.isRepeatable(name) : reads.has(method)
  return isRepeatable && line.end - line.start <= maxKept
}

/** A request as it is made again, which is once; null where it is not. */
export const again = (call: Call): { readonly call: Call; readonly line: Line } | null => {
  const { isDelivered, isRetry, kept } = call
  if (kept === null || isRetry || isDelivered) return null
  return { call: { ...call, isRetry: true }, line: Line.of(Buffer.from(kept, "latin1")) }
}

export interface AfterEnd extends Endings {
  readonly poison: Poison
  /** What a process that ended held, or failed, and may be asked again. Where nothing takes it, `errorOf` says what to answer. */
  readonly onAgain: (call: Call, line: Line, errorOf: (error: RequestError) => RequestError) => void
}

/** A process that ended, or will not answer, held this; it never reached it where it is `unwritten`. */
export const afterEnd = (
  call: Call | Ask,
  unwritten: Line | undefined,
  unknown: OutcomeUnknown,
  options: AfterEnd
): void => {
  const { onAgain, poison } = options
  if (call.client === null) return refuse(call, unknown, options)
  const { client, isRetry, method, name } = call
  // Another process may have run it the first time.
  if (unwritten !== undefined) return onAgain(call, unwritten, (error) => (isRetry ? unknown : error))
  const next = again(call)
  if (next === null || poison.refuses(client, method, name)) return refuse(call, unknown, options)
  onAgain(next.call, next.line, () => unknown)
}

const reads: ReadonlySet<string> = new Set([
  "tools/list",
  "prompts/list",
  "resources/list",
  "resources/templates/list",
  "resources/read"
])

/** Bytes. */
const maxKept = 64 * 1024
