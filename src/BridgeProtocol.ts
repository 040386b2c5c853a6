/**
 * What `mcp-pool connect` and the daemon say to each other at `connect.sock`, beside MCP: lines that are no JSON-RPC
 * messages, so that no server and no host can say them. Plain functions without Effect, since `connect` loads this.
 *
 * `connect` opens with {@link Open} and is answered with {@link Opened}, after which both speak MCP, or with
 * {@link Refused}, after which the daemon closes. Before the daemon closes an open session it asks for a {@link Pause}; it
 * has read all that came before {@link Paused}, answers it, says {@link Closing} and closes. What `connect` holds back
 * after `paused` no daemon has seen.
 *
 * A daemon that is about to end keeps who opens a connection waiting, and says {@link Closing} in place of an answer. Before
 * an end it pauses all at once and closes all at once, when its servers have stopped: until then nobody else can serve
 * them. It does not wait for ever: `closing` may come though it has not read `paused`.
 */

/** The version of this protocol; both sides speak the lower of theirs. */
export const protocol = 1

/** The first line of a connection: which server is wanted, and by whom. */
export interface Open {
  readonly "mcp-pool": "open"
  /** The highest that `connect` speaks. */
  readonly protocol: number
  /** Of `connect`. */
  readonly version: string
  /** A configured server's name. */
  readonly server: string
  /** The absolute path of the project whose configuration counts; null for the pool's own alone. */
  readonly project: string | null
}

/** MCP follows. */
export interface Opened {
  readonly "mcp-pool": "opened"
  /** The one that both speak from here on. */
  readonly protocol: number
  /** Of the daemon. */
  readonly version: string
  /** The address of the server, which another project's of that name has not. */
  readonly server: string
}

/** There is no such server for this project, or not yet. */
export interface Refused {
  readonly "mcp-pool": "refused"
  /** The tag of the typed error: `ServerNotFound`, `ProjectNotTrusted`, … */
  readonly kind: string
  /** JSON-RPC's code for a request that meets it. */
  readonly code: number
  /** What is wrong and what to do, in one line. */
  readonly message: string
  /** What `connect` exits with where it was never open. */
  readonly exitCode: number
}

/** Say {@link Paused}, and then only answers to questions, progress on them and cancellations. */
export interface Pause {
  readonly "mcp-pool": "pause"
}

/** All requests before this line are the daemon's to answer. */
export interface Paused {
  readonly "mcp-pool": "paused"
}

/** The connection ends here: what is not answered yet never will be. */
export interface Closing {
  readonly "mcp-pool": "closing"
  /**
   * `handover`: another daemon is about to come. `shutdown`: none is, until somebody needs it. `removed`: the server is no
   * longer configured.
   */
  readonly reason: "handover" | "shutdown" | "removed"
}

/** What `connect` says. */
export type ConnectWord = Open | Paused
/** What the daemon says. */
export type DaemonWord = Opened | Refused | Pause | Closing

/** A word as a line with its line feed. */
export const line = (word: ConnectWord | DaemonWord): string => `${JSON.stringify(word)}\n`

/** How each word begins, byte for byte, and no message of MCP does. */
export const prefix = '{"mcp-pool":'

/** The word that a line without its line feed says, unless it is none. Fields that are missing are the other side's mistake. */
export const parse = <W extends ConnectWord | DaemonWord>(text: string): W | undefined => {
  if (!text.startsWith(prefix)) return undefined
  try {
    // The cast: both sides are of one package, and a word that is not known is ignored.
    return JSON.parse(text) as W
  } catch {
    return undefined
  }
}
