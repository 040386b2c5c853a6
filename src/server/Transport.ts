/**
 * What carries the lines of one incarnation of a server: a child process's pipes, or HTTP to where it runs. Lives as long
 * as the scope in which it was acquired. What it carries is plain synchronous code on both sides.
 */
import type { LineReceiver } from "../lines/LineReader.ts"
import type { LineSink } from "../lines/LineWriter.ts"
import type { RemoteEnding } from "../PoolError.ts"
import type { Handshake } from "./Handshake.ts"

/** Whoever the server's lines are for. */
export interface Receiver extends LineReceiver {
  /** The answer to the request of this id cannot come any more: it may have run, or not. `reason` says what broke. */
  readonly onLost?: (id: number, reason: string) => void
}

/** How an incarnation ended that nobody ended. */
export type Ending =
  | { readonly exitCode: number | null; readonly signal: string | null }
  | { readonly ending: RemoteEnding; readonly reason: string }

export interface Events {
  readonly receiver: Receiver
  /** Something came that may hold lines. */
  readonly onHeard: () => void
  /** It has written to stderr. */
  readonly onWritten: () => void
  /** Called once, at the most. */
  readonly onEnd: (ending: Ending) => void
}

export interface Transport {
  /** Of the child process; null where there is none. */
  readonly pid: number | null
  readonly stdin: LineSink
  /** From here on its lines are handed over; called once, before anything is written. */
  readonly open: (events: Events) => void
  /** No more lines are wanted for now: what is being handed over still comes. */
  readonly pause: () => void
  readonly resume: () => void
  /** The server has said who it is. */
  readonly shaken: (handshake: Handshake) => void
  /** It was not spoken to, and cannot be any more. */
  readonly isOver: () => boolean
}
