/** One line of a server's log, as `mcp-pool logs` prints it. */
import { Schema } from "effect"

/** One line of a server's log: its stderr, what it printed on stdout that is not JSON-RPC, and the pool's own events. */
export const LogEntry = Schema.Struct({
  /** ISO 8601. */
  at: Schema.String,
  source: Schema.Literals(["stderr", "stdout", "pool"]),
  /** Null where it is about no process. */
  pid: Schema.NullOr(Schema.Int),
  text: Schema.String
})
export type LogEntry = typeof LogEntry.Type
