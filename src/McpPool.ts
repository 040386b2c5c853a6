/**
 * All configured servers and their supervision: by name, their states, start, stop and restart. Owns processes, no
 * sockets. Lives as long as its layer's scope; closing it ends every process.
 */
import { Context, type Effect, type Option, Schema, type Stream } from "effect"
import type { ServerNotFound } from "./PoolError.ts"
import { Failure, ServerState, type StateChange } from "./server/ServerState.ts"

/** One incarnation of a server. */
export const ProcessStatus = Schema.Struct({
  pid: Schema.Int,
  /** ISO 8601. */
  startedAt: Schema.String,
  /** Resident bytes of its process group; null where the system does not tell. */
  memory: Schema.NullOr(Schema.Finite),
  inFlight: Schema.Int
})

/** One server as `mcp-pool status --json` prints it. */
export const ServerStatus = Schema.Struct({
  name: Schema.String,
  state: ServerState,
  fingerprint: Schema.NullOr(Schema.String),
  /** Of its first process, or null. */
  pid: Schema.NullOr(Schema.Int),
  processes: Schema.Array(ProcessStatus),
  restarts: Schema.Int,
  sessions: Schema.Int,
  inFlight: Schema.Int,
  /** How many tools it lists; null where that is not known. */
  tools: Schema.NullOr(Schema.Int),
  /** The path of its socket, where a listener serves it. */
  socket: Schema.NullOr(Schema.String),
  startedAt: Schema.NullOr(Schema.String),
  lastFailure: Schema.NullOr(Failure)
})
export type ServerStatus = typeof ServerStatus.Type

/** One session: a client's conversation with one server. */
export const SessionStatus = Schema.Struct({
  id: Schema.Int,
  server: Schema.String,
  /** From its `initialize`; null before it. */
  client: Schema.NullOr(Schema.String),
  version: Schema.NullOr(Schema.String),
  /** ISO 8601. */
  since: Schema.String,
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
  inputSchema: Schema.Unknown
})
export type ToolStatus = typeof ToolStatus.Type

/** One line of a server's log: its stderr, what it printed on stdout that is not JSON-RPC, and the pool's own events. */
export const LogEntry = Schema.Struct({
  /** ISO 8601. */
  at: Schema.String,
  source: Schema.Literals(["stderr", "stdout", "pool"]),
  pid: Schema.NullOr(Schema.Int),
  text: Schema.String
})
export type LogEntry = typeof LogEntry.Type

export class McpPool extends Context.Service<
  McpPool,
  {
    /** The configured names, in the order of the configuration. */
    readonly names: ReadonlyArray<string>
    readonly status: Effect.Effect<ReadonlyArray<ServerStatus>>
    /** Every step of every server from now on. A watcher that falls behind by 1,024 loses the oldest. */
    readonly changes: Stream.Stream<StateChange>
    /** False for a name that is not configured. */
    readonly isRunning: (name: string) => Effect.Effect<boolean>
    /** Whether the server answers `ping` within 5 seconds; an error is an answer. False for an unknown name. */
    readonly healthCheck: (name: string) => Effect.Effect<boolean>
    /** Starts a server that is not running and returns when it has run or failed. */
    readonly start: (name: string) => Effect.Effect<void, ServerNotFound>
    /** Stops a server and returns when its processes are gone. */
    readonly stop: (name: string) => Effect.Effect<void, ServerNotFound>
    /** Stops and starts with a fresh budget; sessions stay connected. */
    readonly restart: (name: string) => Effect.Effect<void, ServerNotFound>
    /** Starts all side by side and returns when each has run or failed once. */
    readonly startAll: Effect.Effect<void>
    /** Stops all side by side. */
    readonly stopAll: Effect.Effect<void>
    /** Returns when each server that was told to start has run or failed once. */
    readonly awaitSettled: Effect.Effect<void>
    /** Where a listener serves the server, if one does. */
    readonly socketPath: (name: string) => Effect.Effect<Option.Option<string>>
    readonly socketPaths: Effect.Effect<Readonly<Record<string, string>>>
    readonly sessions: Effect.Effect<ReadonlyArray<SessionStatus>>
    /** The tools of one server or of all, in the order of the servers' own lists. */
    readonly tools: (name: Option.Option<string>) => Effect.Effect<ReadonlyArray<ToolStatus>, ServerNotFound>
    /** The last lines of a server's log; with `follow`, the coming ones too. */
    readonly logs: (name: string, options: { readonly follow: boolean }) => Stream.Stream<LogEntry, ServerNotFound>
  }
>()("effect-mcp-pool/McpPool") {}
