/** What a server's response says, from what a scan found of it: its text is not parsed. Pure. */
import type { CallOutcome } from "../CallOutcome.ts"
import { type Envelope, Key } from "../message/Envelope.ts"

/**
 * A result, a result that says `isError`, or an error; `bytes` hold the response's beginning. Beyond what is scanned as a
 * whole, `isError` counts where it stands first or last in its result.
 */
export const verdictOf = (bytes: Uint8Array, envelope: Envelope): CallOutcome => {
  const value = envelope.start[Key.outcome]!
  // Between a key and its value stand a colon and spaces.
  let quote = value - 1
  while (bytes[quote] !== QUOTE) quote--
  // Some write `"error": null` beside a result.
  if (bytes[quote - 1] === LAST_OF_ERROR && bytes[value] !== FIRST_OF_NULL) return "rejected"
  return envelope.has(Key.isError) ? "tool-error" : "ok"
}

const QUOTE = 0x22
const LAST_OF_ERROR = 0x72
const FIRST_OF_NULL = 0x6e
