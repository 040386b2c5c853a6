/** What ends a command with an exit code other than 0, where it is not an error of the pool's own. */
import { Runtime, Schema } from "effect"

/** Exit codes of every command; scripts rely on them. */
export const exitCode = { failure: 1, usage: 2, noDaemon: 3, unavailable: 4, toolError: 5 } as const

/** `status --wait` ran out of time. */
export class NotSettled extends Schema.TaggedError<NotSettled>()("NotSettled", {
  /** Those that have neither run nor failed. */
  servers: Schema.Array(Schema.String)
}) {
  override readonly [Runtime.errorExitCode] = exitCode.failure
  override get message(): string {
    return this.servers.length === 0 ? "not settled in time" : `not settled in time: ${this.servers.join(", ")}`
  }
}

/** Not all of a new configuration has taken effect; what has been printed says why. */
export class KeptBack extends Schema.TaggedError<KeptBack>()("KeptBack", {
  /** Those that go on as before. */
  servers: Schema.Array(Schema.String)
}) {
  override readonly [Runtime.errorExitCode] = exitCode.failure
  override get message(): string {
    const what = this.servers.length === 0 ? "" : `: ${this.servers.join(", ")}`
    return `not all of the configuration has taken effect${what}`
  }
}

/** Tools are not as they were accepted, or nobody can tell; what has been printed says which. */
export class PinsDiffer extends Schema.TaggedError<PinsDiffer>()("PinsDiffer", {
  servers: Schema.Array(Schema.String)
}) {
  override readonly [Runtime.errorExitCode] = exitCode.failure
  override get message(): string {
    return `not as accepted: ${this.servers.join(", ")}`
  }
}

/** No answer within `--timeout`. */
export class CallTimeout extends Schema.TaggedError<CallTimeout>()("CallTimeout", {
  server: Schema.String,
  tool: Schema.String,
  /** In words, e.g. `30s`. */
  timeout: Schema.String
}) {
  override readonly [Runtime.errorExitCode] = exitCode.failure
  override get message(): string {
    return `no answer from ${this.server} ${this.tool} within ${this.timeout}: cancelled`
  }
}

/** The tool ran and says that it failed. */
export class ToolError extends Schema.TaggedError<ToolError>()("ToolError", {
  server: Schema.String,
  tool: Schema.String,
  text: Schema.String
}) {
  override readonly [Runtime.errorExitCode] = exitCode.toolError
  override get message(): string {
    return `${this.server} ${this.tool} failed: ${this.text}`
  }
}

/** A server that should run does not. */
export class ServerDown extends Schema.TaggedError<ServerDown>()("ServerDown", {
  /** Its state, and why, as `status` says it. */
  line: Schema.String
}) {
  override readonly [Runtime.errorExitCode] = exitCode.unavailable
  override get message(): string {
    return this.line
  }
}

/** A server was started to be looked at, and did not get ready. */
export class CannotStart extends Schema.TaggedError<CannotStart>()("CannotStart", {
  server: Schema.String,
  reason: Schema.String,
  /** What it wrote there last. */
  stderr: Schema.Array(Schema.String),
  hint: Schema.NullOr(Schema.String)
}) {
  override readonly [Runtime.errorExitCode] = exitCode.unavailable
  override get message(): string {
    const lines = [`${this.server} does not start: ${this.reason}`, ...this.stderr.map((line) => `  | ${line}`)]
    return [...lines, ...(this.hint === null ? [] : [`  ${this.hint}`])].join("\n")
  }
}

/** The server's socket does not answer, or closed before it had. */
export class ConnectionFailed extends Schema.TaggedError<ConnectionFailed>()("ConnectionFailed", {
  server: Schema.String,
  socket: Schema.String,
  reason: Schema.String
}) {
  override readonly [Runtime.errorExitCode] = exitCode.unavailable
  override get message(): string {
    return `server "${this.server}" cannot be reached at ${this.socket}: ${this.reason}`
  }
}

/** The server, or the pool for it, answered with a JSON-RPC error. */
export class RequestFailed extends Schema.TaggedError<RequestFailed>()("RequestFailed", {
  code: Schema.Finite,
  reason: Schema.String,
  /** The pool's own kind of error; null where it is the server's. */
  kind: Schema.NullOr(Schema.String)
}) {
  override get [Runtime.errorExitCode](): number {
    return this.kind === null ? exitCode.toolError : (codes[this.kind] ?? exitCode.failure)
  }
  override get message(): string {
    return this.reason === "" ? `JSON-RPC error ${this.code}` : this.reason
  }
}

const codes: Readonly<Record<string, number>> = {
  ServerUnavailable: exitCode.unavailable,
  QueueTimeout: exitCode.unavailable
}

/** A directory that was named as a project is none. */
export class NoProject extends Schema.TaggedError<NoProject>()("NoProject", {
  directory: Schema.String,
  reason: Schema.String
}) {
  override readonly [Runtime.errorExitCode] = exitCode.usage
  override get message(): string {
    return `${this.directory} ${this.reason}`
  }
}

/** Flags that are understood each, and not together. */
export class FlagsDisagree extends Schema.TaggedError<FlagsDisagree>()("FlagsDisagree", { reason: Schema.String }) {
  override readonly [Runtime.errorExitCode] = exitCode.usage
  override get message(): string {
    return this.reason
  }
}

/** The daemon serves no HTTP, and the last one did not. */
export class NoHttp extends Schema.TaggedError<NoHttp>()("NoHttp", { runtimeDir: Schema.String }) {
  override readonly [Runtime.errorExitCode] = exitCode.failure
  override get message(): string {
    return `no HTTP is served at ${this.runtimeDir}: "mcp-pool serve --http PORT" serves it, and so does "mcp-pool service install --http PORT"`
  }
}

/** A host cannot be pointed at a URL, or not as it was asked for. */
export class NotOverHttp extends Schema.TaggedError<NotOverHttp>()("NotOverHttp", {
  host: Schema.String,
  reason: Schema.String
}) {
  override readonly [Runtime.errorExitCode] = exitCode.usage
  override get message(): string {
    return `${this.reason}: "mcp-pool config --for ${this.host}" prints entries that run mcp-pool connect instead`
  }
}

/** Entries that were rewritten do not answer. */
export class NotAnswering extends Schema.TaggedError<NotAnswering>()("NotAnswering", { entries: Schema.Int }) {
  override readonly [Runtime.errorExitCode] = exitCode.unavailable
  override get message(): string {
    const what = this.entries === 1 ? "1 entry does" : `${this.entries} entries do`
    return `${what} not answer: see "mcp-pool doctor", or take it back with "mcp-pool adopt --undo"`
  }
}

/** Entries would run a script that may be gone tomorrow. */
export class InCache extends Schema.TaggedError<InCache>()("InCache", { script: Schema.String }) {
  override readonly [Runtime.errorExitCode] = exitCode.failure
  override get message(): string {
    return `${this.script} is in npx's cache, which npm clears, and the entries would run it: npm i -g effect-mcp-pool first`
  }
}
