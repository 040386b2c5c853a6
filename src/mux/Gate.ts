/** What stands between a server's tools and the sessions of one of its names, where that pins them; see `src/pin`. */
import type { Refusal } from "./Upstream.ts"

/** What each tool that a process lists is compared by, by its name; null where it cannot be compared. */
export type Digests = ReadonlyMap<string, string | null>

/** Decides which tools a name offers. */
export interface Gate {
  /** What is not accepted is neither listed nor called; otherwise it is only told of. */
  readonly blocks: boolean
  readonly digests: (tools: ReadonlyArray<unknown>) => Digests
  /** A process has listed these, and nothing else. */
  readonly listed: (tools: ReadonlyArray<unknown>, digests: Digests) => void
  /** Why a process that lists these may not be called for a tool; null where it may. `digests` is null where it lists none. */
  readonly refusal: (tool: string | null, digests: Digests | null) => Refusal | null
  /** A result of `tools/list` without what is not accepted; JSON text, latin-1 in and ASCII out. */
  readonly offered: (result: string) => string
  /** Whole answers and what is given for them; another object once other tools are accepted. */
  readonly offers: WeakMap<Buffer, Buffer>
}

/** Where a name has its gate; null where it offers whatever the server does. */
export interface Pin {
  gate: Gate | null
}

/** The gates of a server's names. */
export interface Pins {
  /** Of one name: the same as long as the name is there. */
  readonly of: (name: string) => Pin
  /** Of those that the server has now. */
  readonly gates: () => ReadonlyArray<Gate>
}
