/** The typed errors that cross folders, and the only map from errors to JSON-RPC codes. */
import { Schema } from "effect"
import { nearest } from "./nearest.ts"
import * as Shell from "./Shell.ts"

/** In which phase of its life a process failed. */
export const Phase = Schema.Literals(["configuration", "spawn", "handshake", "preflight", "running"])
export type Phase = typeof Phase.Type

/** No server of that name is configured. */
export class ServerNotFound extends Schema.TaggedError<ServerNotFound>()("ServerNotFound", {
  server: Schema.String,
  /** The configured names. */
  names: Schema.Array(Schema.String)
}) {
  override get message(): string {
    if (this.names.length === 0) return `no server "${this.server}": no server is configured`
    const meant = nearest(this.server, this.names)
    const hint = meant === undefined ? "" : `did you mean "${meant}"? `
    return `no server "${this.server}": ${hint}there are ${this.names.join(", ")}`
  }
}

/** A file of the configuration cannot be read or decoded: nothing is started. */
export class ConfigFileError extends Schema.TaggedError<ConfigFileError>()("ConfigFileError", {
  file: Schema.String,
  /** One-based; null where the trouble is not in the text. */
  line: Schema.NullOr(Schema.Int),
  /** One-based; null as `line` is. */
  column: Schema.NullOr(Schema.Int),
  reason: Schema.String
}) {
  override get message(): string {
    const where = this.line === null ? this.file : `${this.file}:${this.line}:${this.column}`
    return `${where}: ${this.reason}`
  }
}

/** One server of the configuration is wrong: that server is `failed`, the others run. */
export class ServerConfigError extends Schema.TaggedError<ServerConfigError>()("ServerConfigError", {
  server: Schema.String,
  file: Schema.String,
  /** The field as a path, e.g. `env.TOKEN`; empty where it is the whole entry. */
  field: Schema.String,
  /** The variable or input that has no value; null where it is not that. */
  variable: Schema.NullOr(Schema.String),
  reason: Schema.String
}) {
  override get message(): string {
    const field = this.field === "" ? "" : ` field "${this.field}"`
    return `${this.file}: server "${this.server}"${field}: ${this.reason}`
  }
}

/** A project defines the server itself, with a command to run, and nobody has said that it may. */
export class ProjectNotTrusted extends Schema.TaggedError<ProjectNotTrusted>()("ProjectNotTrusted", {
  server: Schema.String,
  /** The project's directory. */
  directory: Schema.String,
  /** Where it defines the server. */
  file: Schema.String,
  /** It was trusted with another definition of this server in this file. */
  changed: Schema.Boolean,
  /** The pool has a server of that name too. */
  inPool: Schema.Boolean
}) {
  override get message(): string {
    const { changed, directory, file, inPool, server } = this
    const why = changed ? "which has changed since it was trusted" : "and is not trusted"
    const own = inPool ? `; for the pool's own: mcp-pool connect ${Shell.quoted(server)} --project=` : ""
    return `project ${directory} configures "${server}" itself (${file}) ${why}: look at it, then run: mcp-pool trust ${Shell.quoted(directory)}${own}`
  }
}

/** The operating system did not start the command. */
export class SpawnFailed extends Schema.TaggedError<SpawnFailed>()("SpawnFailed", {
  server: Schema.String,
  command: Schema.String,
  /** The errno name, e.g. `ENOENT`. */
  code: Schema.String,
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `server "${this.server}" did not start: ${this.command}: ${this.code}`
  }
}

/** A process did not answer `initialize` in time, or answered it with an error or nonsense. */
export class HandshakeFailed extends Schema.TaggedError<HandshakeFailed>()("HandshakeFailed", {
  server: Schema.String,
  /** Of the process; null where it runs elsewhere. */
  pid: Schema.NullOr(Schema.Int),
  /** It did not answer in time; otherwise its answer was wrong. */
  timedOut: Schema.Boolean,
  reason: Schema.String
}) {
  override get message(): string {
    return `server "${this.server}" failed its MCP handshake: ${this.reason}`
  }
}

/** A process that had shaken hands does not list the tools that it must have. */
export class PreflightFailed extends Schema.TaggedError<PreflightFailed>()("PreflightFailed", {
  server: Schema.String,
  /** Of the process; null where it runs elsewhere. */
  pid: Schema.NullOr(Schema.Int),
  /** Tools that are required, or that the process before it had. */
  missing: Schema.Array(Schema.String),
  /** Tools that it lists; null where it did not list any in time, or answered with an error. */
  listed: Schema.NullOr(Schema.Array(Schema.String)),
  /** It did not answer in time. */
  timedOut: Schema.Boolean
}) {
  override get message(): string {
    const missing = `${this.missing.length === 1 ? "tool" : "tools"} ${enumerate(this.missing)}`
    return this.listed === null
      ? `server "${this.server}" did not list its tools: ${missing} may be missing`
      : `server "${this.server}" lacks ${missing}; it has ${this.listed.length === 0 ? "none" : enumerate(this.listed)}`
  }
}

/** A process answered none of several health probes in a row, and used no CPU time meanwhile. */
export class ProbeFailed extends Schema.TaggedError<ProbeFailed>()("ProbeFailed", {
  server: Schema.String,
  /** Of the process; null where it runs elsewhere. */
  pid: Schema.NullOr(Schema.Int),
  /** How many in a row. */
  misses: Schema.Int,
  /** How long it had run, in milliseconds. */
  uptime: Schema.Finite
}) {
  override get message(): string {
    return `server "${this.server}" did not answer ${this.misses} health probes in a row`
  }
}

/** A process ended, or closed its stdout, without being asked to. */
export class ProcessExited extends Schema.TaggedError<ProcessExited>()("ProcessExited", {
  server: Schema.String,
  /** Of the process; null where it runs elsewhere. */
  pid: Schema.NullOr(Schema.Int),
  phase: Phase,
  /** Null where a signal ended it, or where it lives on without its pipes. */
  exitCode: Schema.NullOr(Schema.Int),
  signal: Schema.NullOr(Schema.String),
  /** How long it lived, in milliseconds. */
  uptime: Schema.Finite
}) {
  override get message(): string {
    const how =
      this.signal !== null
        ? `was ended by ${this.signal}`
        : this.exitCode !== null
          ? `exited with code ${this.exitCode}`
          : "closed its stdin or stdout"
    return `server "${this.server}" ${how}${this.phase === "handshake" ? " before it answered initialize" : ""}`
  }
}

/** Why a server is not to be had at its `url`. */
export const RemoteEnding = Schema.Literals([
  /** Nothing can be sent there. */
  "unreachable",
  /** It does not know its session any more. */
  "session-over",
  /** It wants OAuth, or another header. */
  "unauthorized",
  /** It points elsewhere, and the headers of the configuration are for where it is. */
  "redirected",
  /** It is the pool itself. */
  "loop"
])
export type RemoteEnding = typeof RemoteEnding.Type

/** A server with a `url` cannot be reached, has ended its session, or does not let the pool in. */
export class RemoteEnded extends Schema.TaggedError<RemoteEnded>()("RemoteEnded", {
  server: Schema.String,
  phase: Phase,
  ending: RemoteEnding,
  /** What happened, e.g. `HTTP 401`; never a header, and of a url no more than its origin. */
  reason: Schema.String,
  /** How long it was there, in milliseconds. */
  uptime: Schema.Finite
}) {
  override get message(): string {
    return `server "${this.server}" ${endings[this.ending]}: ${this.reason}`
  }
}

const endings: { readonly [E in RemoteEnding]: string } = {
  unreachable: "cannot be reached",
  "session-over": "has ended its session",
  unauthorized: "does not let the pool in",
  redirected: "is somewhere else",
  loop: "is the pool itself"
}

/** Bounded: a server may list thousands. */
const enumerate = (names: ReadonlyArray<string>): string =>
  names.length > maxNames
    ? `${names.slice(0, maxNames).join(", ")} and ${names.length - maxNames} more`
    : names.join(", ")

const maxNames = 20

/** Nothing can be asked of a server now: it is stopped, failed, in a crash loop or not configured as it should be. */
export class ServerUnavailable extends Schema.TaggedError<ServerUnavailable>()("ServerUnavailable", {
  server: Schema.String,
  state: Schema.String,
  /** What its last failure was classified as; null where it did not fail. */
  failure: Schema.NullOr(Schema.String),
  /** What a person can do about it. */
  hint: Schema.NullOr(Schema.String),
  /** ISO 8601; null when no attempt is planned. */
  nextAttemptAt: Schema.NullOr(Schema.String)
}) {
  override get message(): string {
    const failure = this.failure === null ? "" : ` (${this.failure})`
    const hint = this.hint === null ? "" : `: ${this.hint}`
    const next = this.nextAttemptAt === null ? "" : `; next attempt at ${this.nextAttemptAt}`
    return `server "${this.server}" ${inWords[this.state] ?? `is ${this.state}`}${failure}${hint}${next}`
  }
}

const inWords: { readonly [state: string]: string } = {
  "crash-loop": "is in a crash loop",
  failed: "cannot run",
  refusing: "refuses this call",
  removed: "is no longer configured"
}

/** No other process took over where one was asked for. */
export class RestartFailed extends Schema.TaggedError<RestartFailed>()("RestartFailed", {
  server: Schema.String,
  /** What the new process failed with. */
  reason: Schema.String,
  /** What a person can do about it, and whether the old process goes on. */
  hint: Schema.NullOr(Schema.String)
}) {
  override get message(): string {
    return `server "${this.server}" was not restarted: ${this.reason}${this.hint === null ? "" : `: ${this.hint}`}`
  }
}

/** The process ended while it held the request: it may have run, or not. */
export class OutcomeUnknown extends Schema.TaggedError<OutcomeUnknown>()("OutcomeUnknown", {
  server: Schema.String,
  /** What broke, e.g. `HTTP 502`, where the server is still there. */
  reason: Schema.optionalKey(Schema.String)
}) {
  override get message(): string {
    const what =
      this.reason === undefined ? "ended while it held this request" : `did not answer this request (${this.reason})`
    return `server "${this.server}" ${what}: it may have run, or not`
  }
}

/** The server did not answer within `requestTimeout`. */
export class RequestTimeout extends Schema.TaggedError<RequestTimeout>()("RequestTimeout", {
  server: Schema.String
}) {
  override get message(): string {
    return `server "${this.server}" did not answer within requestTimeout`
  }
}

/** The request waited for a process longer than `queueTimeout`; it was not sent. */
export class QueueTimeout extends Schema.TaggedError<QueueTimeout>()("QueueTimeout", {
  server: Schema.String
}) {
  override get message(): string {
    return `server "${this.server}" was not ready within queueTimeout: the request was not sent`
  }
}

/** The result is longer than `maxLine`. */
export class ResultTooLarge extends Schema.TaggedError<ResultTooLarge>()("ResultTooLarge", {
  server: Schema.String,
  /** Bytes. */
  maxLine: Schema.Int
}) {
  override get message(): string {
    return `the result of server "${this.server}" is longer than maxLine (${this.maxLine} bytes)`
  }
}

/** Too much is waiting; the request was not sent. */
export class Overloaded extends Schema.TaggedError<Overloaded>()("Overloaded", {
  server: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `server "${this.server}" takes no more now: ${this.reason}`
  }
}

/** A server asked its client something, and the pool cannot tell which client that concerns, or the client cannot be asked. */
export class QuestionNotAttributable extends Schema.TaggedError<QuestionNotAttributable>()("QuestionNotAttributable", {
  server: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `server "${this.server}" asked what no client may answer: ${this.reason}`
  }
}

/** A socket cannot be served at its path: somebody else's, not ours to replace, or not possible. */
export class SocketUnusable extends Schema.TaggedError<SocketUnusable>()("SocketUnusable", {
  path: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `cannot listen at ${this.path}: ${this.reason}`
  }
}

/** HTTP cannot be served as it was asked for. */
export class HttpUnusable extends Schema.TaggedError<HttpUnusable>()("HttpUnusable", {
  /** The address or the file. */
  what: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `cannot serve HTTP: ${this.what}: ${this.reason}`
  }
}

/** Another daemon serves the runtime directory, or is about to. */
export class DaemonRunning extends Schema.TaggedError<DaemonRunning>()("DaemonRunning", {
  runtimeDir: Schema.String
}) {
  override get message(): string {
    const flag = `--runtime-dir ${this.runtimeDir}`
    return `another daemon serves ${this.runtimeDir}: look with "mcp-pool status ${flag}", stop it with "mcp-pool shutdown ${flag}"`
  }
}

/** Why there is no process of a server, or none any more. */
export type ProcessError =
  | ServerConfigError
  | SpawnFailed
  | HandshakeFailed
  | PreflightFailed
  | ProbeFailed
  | ProcessExited
  | RemoteEnded

/** The errors that a session may answer a request with. */
export type RequestError =
  | ServerUnavailable
  | OutcomeUnknown
  | RequestTimeout
  | QueueTimeout
  | ResultTooLarge
  | Overloaded

/** The same error under another of the names that share a process. */
export const forServer = (error: RequestError, server: string): RequestError =>
  error.server === server
    ? error
    : (Object.create(error, { server: { value: server, enumerable: true } }) as RequestError)
