/** What a process held when it ended, and what of that had never reached it. Pure. */
import { Line } from "../lines/LineReader.ts"
import { Envelope, Key, Shape } from "../message/Envelope.ts"
import { idIn } from "../message/Ids.ts"
import type { Ask, Call } from "./Calls.ts"

export interface Remains {
  /** In the order in which they were sent. */
  readonly calls: ReadonlyArray<Call | Ask>
  /** The lines of those that never reached it. */
  readonly unwritten: ReadonlyMap<Call | Ask, Line>
  /** The client's call that had reached it, where there was only one. */
  readonly sole: Call | null
}

/** Of what it held, by its ids, and the bytes that were not written to it. */
export const of = (held: ReadonlyMap<number, Call | Ask>, bytes: Buffer): Remains => {
  const unwritten = new Map<Call | Ask, Line>()
  const envelope = new Envelope()
  for (let start = 0, end = 0; (end = bytes.indexOf(lineFeed, start)) !== -1; start = end + 1) {
    const line = Line.of(bytes.subarray(start, end))
    if (envelope.scan(line.bytes, line.start, line.end) !== Shape.message) continue
    if (!envelope.has(Key.id) || !envelope.has(Key.method)) continue
    const call = held.get(idIn(line.bytes, envelope.start[Key.id]!, envelope.end[Key.id]!))
    if (call !== undefined) unwritten.set(call, line)
  }
  const calls = [...held.values()]
  const [sole = null, ...others] = calls.filter((call): call is Call => call.client !== null && !unwritten.has(call))
  return { calls, unwritten, sole: others.length === 0 ? sole : null }
}

const lineFeed = 0x0a
