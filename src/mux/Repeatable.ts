/**
 * Which requests may be made again, where a process ended while it held them or a question of theirs was refused: what only
 * reads, and tools that say that they do no harm. Pure.
 */
import { Line } from "../lines/LineReader.ts"
import type { Call } from "./Calls.ts"
import type { ListCache } from "./ListCache.ts"

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

const reads: ReadonlySet<string> = new Set([
  "tools/list",
  "prompts/list",
  "resources/list",
  "resources/templates/list",
  "resources/read"
])

/** Bytes. */
const maxKept = 64 * 1024
