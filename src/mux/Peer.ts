/** One process to those who decide whom it concerns: what it was asked, and how it is told something. */
import type { Line } from "../lines/LineReader.ts"
import type { Envelope } from "../message/Envelope.ts"
import type { Calls } from "./Calls.ts"
import type { Client, Outcome } from "./Upstream.ts"

export interface Peer {
  readonly calls: Calls
  /** Asks it something, for the pool itself or on behalf of a client; says the id. */
  readonly ask: (method: string, params: unknown, done: (outcome: Outcome) => void, client: Client | null) => number
  /** A client's answer to a question, under the id (JSON text) that the process gave it; it never waits. */
  readonly answer: (line: Line, envelope: Envelope, id: string) => void
  /** A client's progress on a question, under the token (JSON text) that the process gave it. */
  readonly answerProgress: (line: Line, envelope: Envelope, token: string) => void
  /** The pool's own answer to a question: a whole line. */
  readonly answerItself: (text: string) => void
}
