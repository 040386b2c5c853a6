/** The states of a server and the legal steps between them. Pure. */
import { Schema } from "effect"
import { Phase } from "../PoolError.ts"

/** The name of a state, as `status` prints it. */
export const ServerState = Schema.Literals([
  "stopped",
  "starting",
  "running",
  "restarting",
  "stopping",
  "crash-loop",
  "failed"
])
export type ServerState = typeof ServerState.Type

/**
 * Where each state may go.
 *
 * `crash-loop`: the restart budget is spent. `failed`: trying again is not worth it (command not found, not executable,
 * configuration). Both wait for `start` or `restart`.
 */
const next: { readonly [S in ServerState]: ReadonlyArray<ServerState> } = {
  stopped: ["starting", "failed"],
  starting: ["running", "restarting", "stopping", "stopped", "crash-loop", "failed"],
  running: ["restarting", "stopping", "stopped", "crash-loop", "failed"],
  restarting: ["running", "restarting", "stopping", "stopped", "crash-loop", "failed"],
  stopping: ["stopped", "restarting"],
  "crash-loop": ["starting", "restarting", "stopped"],
  failed: ["starting", "restarting", "stopped"]
}

/** Whether a server in `from` may go to `to`. */
export const isLegal = (from: ServerState, to: ServerState): boolean => next[from].includes(to)

/** Whether a call made in this state may hope for a process: it waits, and does not fail at once. */
export const isComing = (state: ServerState): boolean =>
  state === "starting" || state === "running" || state === "restarting"

/** Why a server is not running, or was not: facts only, never stderr, arguments or environment. */
export const Failure = Schema.Struct({
  /** ISO 8601. */
  at: Schema.String,
  phase: Phase,
  /** The tag of the typed error, e.g. `ProcessExited`. */
  kind: Schema.String,
  message: Schema.String,
  exitCode: Schema.NullOr(Schema.Int),
  signal: Schema.NullOr(Schema.String),
  /** What a person can do about it. */
  hint: Schema.NullOr(Schema.String),
  /** ISO 8601; null when no attempt is planned. */
  nextAttemptAt: Schema.NullOr(Schema.String)
})
export type Failure = typeof Failure.Type

/** One step of one server, as `McpPool.changes` streams it. */
export const StateChange = Schema.Struct({
  server: Schema.String,
  from: ServerState,
  to: ServerState,
  /** ISO 8601. */
  at: Schema.String,
  /** The process that runs, or null. */
  pid: Schema.NullOr(Schema.Int),
  /** Why, where it is not by request. */
  failure: Schema.NullOr(Failure)
})
export type StateChange = typeof StateChange.Type
