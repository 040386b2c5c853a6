/** What the pool tells of itself: schemas of what `status`, `sessions`, `tools` and `logs` print. */
import { Schema } from "effect"
import { Failure, ServerState } from "./server/ServerState.ts"

/** One incarnation of a server. */
export const ProcessStatus = Schema.Struct({
  /** Of the leader of its process group. */
  pid: Schema.Int,
  /** ISO 8601. */
  startedAt: Schema.String,
  /** Resident bytes of its process group; null where the system does not tell. */
  memory: Schema.NullOr(Schema.Finite),
  /** Requests that it holds. */
  inFlight: Schema.Int,
  /** It was replaced, and ends what it has. */
  draining: Schema.Boolean
})

/** One server as `mcp-pool status --json` prints it. */
export const ServerStatus = Schema.Struct({
  name: Schema.String,
  state: ServerState,
  /** It is `stopped`, and its next call starts it. */
  asleep: Schema.optionalKey(Schema.Boolean),
  fingerprint: Schema.NullOr(Schema.String),
  /** Of its first process, or null. */
  pid: Schema.NullOr(Schema.Int),
  processes: Schema.Array(ProcessStatus),
  /** Processes that followed another, in all. */
  restarts: Schema.Int,
  /** Clients that are connected to it under this name. */
  sessions: Schema.Int,
  /** Requests of these clients that are not answered yet. */
  inFlight: Schema.Int,
  /** How many tools it lists; null where that is not known. */
  tools: Schema.NullOr(Schema.Int),
  /** The path of its socket, where a listener serves it. */
  socket: Schema.NullOr(Schema.String),
  startedAt: Schema.NullOr(Schema.String),
  lastFailure: Schema.NullOr(Failure),
  /** The last 20, oldest first. */
  failures: Schema.Array(Failure)
})
export type ServerStatus = typeof ServerStatus.Type

/** What a new configuration made of one server. */
export const ServerChange = Schema.Struct({
  server: Schema.String,
  /** `kept`: it is as it was, though its configuration is another, and `reason` says why. */
  outcome: Schema.Literals(["unchanged", "changed", "added", "removed", "kept"]),
  /** Why it is as it is; null where it is as it should be. */
  reason: Schema.NullOr(Schema.String)
})
export type ServerChange = typeof ServerChange.Type

/** What `mcp-pool reload` made of a configuration. */
export const ReloadReport = Schema.Struct({
  /** In the order of the configuration, then what was removed. */
  servers: Schema.Array(ServerChange),
  /** Of the configuration, a line each. */
  warnings: Schema.Array(Schema.String),
  /** What could not be done beside the servers, a line each. */
  problems: Schema.Array(Schema.String)
})
export type ReloadReport = typeof ReloadReport.Type

/** One session: a client's conversation with one server. */
export const SessionStatus = Schema.Struct({
  /** Unique in the daemon; negative for an application's own. */
  id: Schema.Int,
  server: Schema.String,
  /** From its `initialize`; null before it. */
  client: Schema.NullOr(Schema.String),
  version: Schema.NullOr(Schema.String),
  /** ISO 8601. */
  since: Schema.String,
  /** Requests that are not answered yet. */
  inFlight: Schema.Int,
  /** Requests so far. */
  calls: Schema.Int
})
export type SessionStatus = typeof SessionStatus.Type

/** One tool of one server, as the server lists it. */
export const ToolStatus = Schema.Struct({
  server: Schema.String,
  name: Schema.String,
  title: Schema.NullOr(Schema.String),
  description: Schema.NullOr(Schema.String),
  inputSchema: Schema.Unknown,
  /** Absent where the server gives none. */
  outputSchema: Schema.optionalKey(Schema.Unknown)
})
export type ToolStatus = typeof ToolStatus.Type

/** A session that a deadline cut off. */
export const CutOff = Schema.Struct({
  server: Schema.String,
  /** From its `initialize`; null before it. */
  client: Schema.NullOr(Schema.String),
  /** Requests that were not answered. */
  calls: Schema.Int
})
export type CutOff = typeof CutOff.Type

/** What became of the sessions that were to end. */
export const Drained = Schema.Struct({
  /** All of them. */
  sessions: Schema.Int,
  /** Requests that were in flight when it began. */
  calls: Schema.Int,
  /** Those whose deadline came first. */
  cutOff: Schema.Array(CutOff)
})
export type Drained = typeof Drained.Type
