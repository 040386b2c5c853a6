/** What certify says of a server: the facts, what was looked at, and the policy that follows. */
import type { Asker } from "../server/AskerStore.ts"
import type { Question } from "./Conversation.ts"
import type { Found, Leak } from "./Leaks.ts"
import type { Cancelling } from "./Play.ts"
import type { Trial } from "./Scout.ts"

/** All that was seen. */
export interface Facts {
  readonly server: string
  readonly fingerprint: string
  /** Scratch processes that were started. */
  readonly processes: number
  /** Milliseconds from spawn to handshake, of each. */
  readonly starts: ReadonlyArray<number>
  /** Bytes of the process group after each tool was called; null where the system does not tell. */
  readonly memory: number | null
  readonly trials: ReadonlyArray<Trial>
  /** Null where no performance came to its end. */
  readonly found: Found | null
  /** Of all processes together; samples as they came. */
  readonly requests: number
  readonly strange: ReadonlyArray<string>
  readonly progress: number
  readonly strangeProgress: ReadonlyArray<string>
  readonly lateProgress: number
  readonly strays: ReadonlyArray<string>
  readonly questions: ReadonlyArray<Question & { readonly times: number }>
  /** What a process is told that has roots of its own: whether it answers otherwise then. Null: not tried. */
  readonly underRoots: ReadonlyArray<Leak> | null
  readonly cancelling: Cancelling | null
  /** Why a second process did not run beside the first; null where it did, or was not tried. */
  readonly alone: string | null
  /** Why a performance did not come to its end. */
  readonly cutShort: ReadonlyArray<string>
}

/** In the order in which they are shown. */
export const checks = [
  "start",
  "tools",
  "ids",
  "cancellation",
  "progress",
  "stray output",
  "questions",
  "unasked questions",
  "roots",
  "state"
] as const
export type Check = (typeof checks)[number]

export interface Finding {
  readonly check: Check
  /** `unseen`: nothing happened that would have shown it. */
  readonly ok: "ok" | "warning" | "problem" | "unseen"
  /** One line. */
  readonly message: string
}

/** `lanes`: shared, and what asks questions runs apart from other sessions' calls. */
export type Policy = "shared" | "lanes" | "per-session" | "not enough evidence"

export interface Reason {
  readonly kind:
    | "leak"
    | "history"
    | "ids"
    | "cancellation"
    | "unasked"
    | "alone"
    | "asks"
    | "cut short"
    | "unrepeated"
    | "unexercised"
    | "outside"
    | "nothing found"
  /** One line. */
  readonly message: string
}

export interface Report extends Facts {
  readonly findings: ReadonlyArray<Finding>
  readonly policy: Policy
  /** The setting under `pool` that follows; what is safe meanwhile where there was too little to see. */
  readonly setting: { readonly sharing: "shared" | "per-session"; readonly questions?: "auto" }
  readonly reasons: ReadonlyArray<Reason>
  /** What is known to ask now: it was in flight alone when a question came. */
  readonly askers: ReadonlyArray<Asker>
}
