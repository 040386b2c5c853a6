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
 * `crash-loop`: the restart budget is spent; one attempt every five minutes, and at `start` or `restart`. `failed`: trying
 * again is not worth it (command not found, not executable, configuration, `lifetime` spent); it waits for `start` or
 * `restart`. From `running` to `running`: another process has taken over, or was to and failed.
 */
const next: { readonly [S in ServerState]: ReadonlyArray<ServerState> } = {
  stopped: ["starting", "failed"],
  starting: ["running", "restarting", "stopping", "stopped", "crash-loop", "failed"],
  running: ["running", "restarting", "stopping", "stopped", "crash-loop", "failed"],
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

/** What brought a server from one state to the next. */
export const Trigger = Schema.Literals([
  /** Somebody asked: start, stop, restart, the end of the pool. */
  "request",
  /** A process has shaken hands and lists what it must. */
  "ready",
  /** A process ended, or did not start: see the failure. */
  "failure",
  /** The time has come for one attempt out of a crash loop. */
  "attempt",
  /** The process was too old (`maxAge`), */
  "age",
  /** or too large (`maxMemory`), */
  "memory",
  /** or may still ask what a call does that its client has given up. */
  "questions",
  /** Nobody has used the process for long (`idleStop`). */
  "idle"
])
export type Trigger = typeof Trigger.Type

/** What a failure most likely comes from, as far as its traces tell; `unknown` where they do not. */
export const Classification = Schema.Literals([
  "configuration",
  "command-not-found",
  "permission",
  "missing-module",
  "missing-variable",
  "port-in-use",
  "out-of-memory",
  "protocol-mismatch",
  "missing-tools",
  "timeout",
  "unknown"
])
export type Classification = typeof Classification.Type

/** The record of one failed process, or of a failed attempt to start one. Never values of its environment. */
export const Failure = Schema.Struct({
  /** ISO 8601. */
  at: Schema.String,
  phase: Phase,
  /** The tag of the typed error, e.g. `ProcessExited`. */
  kind: Schema.String,
  message: Schema.String,
  classification: Classification,
  /** Null where nothing was started. */
  pid: Schema.NullOr(Schema.Int),
  /** How long it ran once it was ready, in milliseconds; null where it never was. */
  uptime: Schema.NullOr(Schema.Finite),
  /** Null where a signal ended it, or nothing was started. */
  exitCode: Schema.NullOr(Schema.Int),
  signal: Schema.NullOr(Schema.String),
  /** Requests that it held. */
  inFlight: Schema.Int,
  /** Its last lines on stderr. For the person who runs the pool, never for clients. */
  stderr: Schema.Array(Schema.String),
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
  cause: Trigger,
  /** Which of the server's places for processes it is: 0 is the first, and the only one where all share one process. */
  place: Schema.Int,
  failure: Schema.NullOr(Failure)
})
export type StateChange = typeof StateChange.Type
