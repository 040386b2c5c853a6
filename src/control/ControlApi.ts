/** What the command line asks of the daemon: the schemas of `control.sock`, as an RPC group that both ends import. */
import { Schema } from "effect"
import { Rpc, RpcGroup } from "effect/rpc"
import { LogEntry } from "../server/LogEntry.ts"
import {
  Drained,
  PinAccepted,
  PinStatus,
  ServerStatus,
  ReloadReport,
  SessionStatus,
  ToolStatus
} from "../PoolStatus.ts"
import { ConfigFileError, RestartFailed, ServerConfigError, ServerNotFound } from "../PoolError.ts"
import { StateChange } from "../server/ServerState.ts"

/** The daemon and its servers: what `mcp-pool status --json` prints. */
export const DaemonStatus = Schema.Struct({
  pid: Schema.Int,
  version: Schema.String,
  /** ISO 8601. */
  startedAt: Schema.String,
  runtimeDir: Schema.String,
  /** Where HTTP is served; null where it is not. */
  http: Schema.NullOr(Schema.Struct({ url: Schema.String })),
  servers: Schema.Array(ServerStatus)
})
export type DaemonStatus = typeof DaemonStatus.Type

/** What `Watch` streams: the whole status once, then each step of each server. */
export const WatchEvent = Schema.Union([
  Schema.TaggedStruct("Status", { status: DaemonStatus }),
  Schema.TaggedStruct("Change", { change: StateChange })
])
export type WatchEvent = typeof WatchEvent.Type

const server = { server: Schema.String }
const pinned = { servers: Schema.Array(Schema.String) }

export const ControlApi = RpcGroup.make(
  Rpc.make("Status", { success: DaemonStatus }),
  Rpc.make("Watch", { success: WatchEvent, stream: true }),
  /** Returns when each server that was told to start has run or failed once. */
  Rpc.make("Settled"),
  Rpc.make("Tools", {
    payload: { server: Schema.NullOr(Schema.String) },
    success: ToolStatus,
    error: ServerNotFound,
    stream: true
  }),
  /** Of the servers named, or of all that pin their tools; a server at a time, since differences may be long. */
  Rpc.make("Pins", { payload: pinned, success: PinStatus, error: ServerNotFound, stream: true }),
  Rpc.make("AcceptPins", { payload: pinned, success: PinAccepted, error: ServerNotFound, stream: true }),
  Rpc.make("Sessions", { success: Schema.Array(SessionStatus) }),
  Rpc.make("Logs", {
    payload: { server: Schema.String, follow: Schema.Boolean },
    success: LogEntry,
    error: ServerNotFound,
    stream: true
  }),
  /** Start, Stop and Restart answer with what became of the server. */
  Rpc.make("Start", { payload: server, success: ServerStatus, error: ServerNotFound }),
  Rpc.make("Stop", { payload: server, success: ServerStatus, error: ServerNotFound }),
  Rpc.make("Restart", {
    payload: { ...server, now: Schema.Boolean },
    success: ServerStatus,
    error: Schema.Union([ServerNotFound, RestartFailed])
  }),
  /** Answers once all that it has started has run or failed. */
  Rpc.make("Reload", { success: ReloadReport, error: Schema.Union([ConfigFileError, ServerConfigError]) }),
  /** Answers when all sessions are drained, or after so many milliseconds; the daemon ends soon, and at `Shutdown`. */
  Rpc.make("Handover", { payload: { timeout: Schema.Finite }, success: Drained }),
  /** Answers at once; the daemon is gone when the socket refuses. */
  Rpc.make("Shutdown")
)
