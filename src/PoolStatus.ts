/** What the pool tells of itself: schemas of what `status`, `sessions`, `tools` and `logs` print. */
import { Schema } from "effect"
import { Failure, ServerState } from "./server/ServerState.ts"

/** One incarnation of a server. */
export const ProcessStatus = Schema.Struct({
  /** Of the leader of its process group; null where the server runs elsewhere. */
  pid: Schema.NullOr(Schema.Int),
  /** ISO 8601. */
  startedAt: Schema.String,
  /** Resident bytes of its process group; null where the system does not tell. */
  memory: Schema.NullOr(Schema.Finite),
  /** Requests that it holds. */
  inFlight: Schema.Int,
  /** It was replaced, and ends what it has. */
  draining: Schema.Boolean
})

/** How the tools of a server that are pinned compare with what it lists. */
export const PinSummary = Schema.Struct({
  mode: Schema.Literals(["warn", "block"]),
  /** Tools that are not as they were accepted: changed, new, or gone. */
  differences: Schema.Int,
  /** Why nothing can be compared; null where it can. */
  trouble: Schema.NullOr(Schema.String)
})
export type PinSummary = typeof PinSummary.Type

/** One server as `mcp-pool status --json` prints it. */
export const ServerStatus = Schema.Struct({
  name: Schema.String,
  state: ServerState,
  /** It is `stopped`, and its next call starts it. */
  asleep: Schema.optionalKey(Schema.Boolean),
  fingerprint: Schema.NullOr(Schema.String),
  /** Of its first process, or null. */
  pid: Schema.NullOr(Schema.Int),
  /** Where it runs, as `host:port`, where that is elsewhere. */
  host: Schema.optionalKey(Schema.String),
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
  /** Absent where it pins nothing. */
  pin: Schema.optionalKey(PinSummary),
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
  outputSchema: Schema.optionalKey(Schema.Unknown),
  /** How it differs from what was accepted, and whether it is offered all the same; absent where it does not. */
  pin: Schema.optionalKey(Schema.Struct({ difference: Schema.Literals(["changed", "new"]), offered: Schema.Boolean }))
})
export type ToolStatus = typeof ToolStatus.Type

/** A tool that is not as it was accepted. */
export const PinDifference = Schema.Struct({
  tool: Schema.String,
  difference: Schema.Literals(["changed", "new", "vanished"]),
  /** What it was (`- `) and is (`+ `), for people; nothing in it hides. */
  lines: Schema.Array(Schema.String)
})
export type PinDifference = typeof PinDifference.Type

/** What `mcp-pool pin` shows of one server. */
export const PinStatus = Schema.Struct({
  server: Schema.String,
  /** Null where it pins nothing. */
  mode: Schema.NullOr(Schema.Literals(["warn", "block"])),
  /** Its lock file; null as `mode` is. */
  file: Schema.NullOr(Schema.String),
  /** How many tools are accepted; null where it was never seen. */
  pinned: Schema.NullOr(Schema.Int),
  /** How many it listed last; null where that is not known. */
  listed: Schema.NullOr(Schema.Int),
  /** Why nothing can be compared; null where it can. */
  trouble: Schema.NullOr(Schema.String),
  differences: Schema.Array(PinDifference)
})
export type PinStatus = typeof PinStatus.Type

/** What `mcp-pool pin --accept` did with one server; `status` is as it is now. */
export const PinAccepted = Schema.Struct({
  status: PinStatus,
  /** What is accepted now and was not before. */
  accepted: Schema.Array(PinDifference),
  /** Why nothing is; null where all is. */
  reason: Schema.NullOr(Schema.String)
})
export type PinAccepted = typeof PinAccepted.Type

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
