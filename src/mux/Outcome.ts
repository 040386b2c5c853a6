/** How the pool's own requests to a server end. Pure. */
import type { Line } from "../lines/LineReader.ts"
import { Envelope, Key } from "../message/Envelope.ts"
import type { Outcome } from "./Upstream.ts"

/** The result of a request that needs nothing of the server. */
export const done: Outcome = { kind: "result", text: "{}", value: {} }

/** The server's answer to the pool itself. */
export const outcomeOf = (line: Line): Exclude<Outcome, { readonly kind: "refused" }> => {
  try {
    const { error, result } = JSON.parse(line.bytes.toString("utf8", line.start, line.end)) as Record<string, unknown>
    const envelope = new Envelope()
    envelope.scan(line.bytes, line.start, line.end)
    const text = line.bytes.toString("latin1", envelope.start[Key.outcome], envelope.end[Key.outcome])
    if (error === undefined || error === null) return { kind: "result", text, value: result }
    return { kind: "error", text: isErrorObject(error) ? text : malformed }
  } catch {
    return { kind: "error", text: malformed }
  }
}

const isErrorObject = (error: unknown): boolean =>
  typeof error === "object" &&
  error !== null &&
  "code" in error &&
  typeof error.code === "number" &&
  "message" in error &&
  typeof error.message === "string"

/** JSON-RPC's internal error, for an answer that is none. */
const malformed = '{"code":-32603,"message":"the server\'s answer is malformed"}'
