/** Why a tool has no result, or a proxy no servers: the typed errors of `McpProxy`. */
import { Schema } from "effect"
import type { ConnectionError, RequestRejected } from "../Connections.ts"
import type { OutcomeUnknown, Overloaded, ResultTooLarge, ServerNotFound, ServerUnavailable } from "../PoolError.ts"

/** No server has a tool of that name. The seed's `ToolNotFoundError`. */
export class ToolNotFound extends Schema.TaggedError<ToolNotFound>()("ToolNotFound", {
  name: Schema.String,
  /** Names like it that there are. */
  nearest: Schema.Array(Schema.String),
  /** Servers whose tools are not known, since they have not listed any. */
  unknown: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const hint = this.nearest.length === 0 ? "" : `: did you mean ${this.nearest.join(" or ")}?`
    const unknown = this.unknown.length === 0 ? "" : ` (${this.unknown.join(", ")} listed no tools)`
    return `no tool "${this.name}"${hint}${unknown}`
  }
}

/** Several servers have a tool of that bare name; in the seed the last of them was called in silence. */
export class ToolAmbiguous extends Schema.TaggedError<ToolAmbiguous>()("ToolAmbiguous", {
  name: Schema.String,
  /** The names that say which. */
  candidates: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `several servers have a tool "${this.name}": ${this.candidates.join(", ")}`
  }
}

/**
 * A tool was not executed within `timeout`, or within the pool's `queueTimeout` or `requestTimeout`. Where it was
 * `executing`, it was cancelled at the server, and may have had effects. The seed's `ToolExecutionTimeout`.
 */
export class ToolTimeout extends Schema.TaggedError<ToolTimeout>()("ToolTimeout", {
  server: Schema.String,
  tool: Schema.String,
  /**
   * `waiting` for a process or for lists of tools, and so never sent; or `executing`, or waiting and then executing.
   */
  phase: Schema.Literals(["waiting", "executing"])
}) {
  override get message(): string {
    const server = this.server === "" ? "a server" : `server "${this.server}"`
    return this.phase === "waiting"
      ? `${server} was not ready in time: ${this.tool} was not sent`
      : `server "${this.server}" did not answer ${this.tool} in time`
  }
}

/** Where something does not fit a schema, as JSON Pointers, and how; never a value. */
export const Mistakes = Schema.Array(Schema.Struct({ path: Schema.String, reason: Schema.String }))
export type Mistakes = typeof Mistakes.Type

/** The arguments do not fit the tool's `inputSchema`, or the Schema of a typed tool; they were not sent. */
export class InvalidArguments extends Schema.TaggedError<InvalidArguments>()("InvalidArguments", {
  /** Empty where a typed tool refused them: no server was looked for. */
  server: Schema.String,
  /** As the server calls it; of a typed tool, the name that it was made with. */
  tool: Schema.String,
  mistakes: Mistakes
}) {
  override get message(): string {
    return `the arguments of ${this.tool} do not fit its schema: ${inWords(this.mistakes)}`
  }
}

/** A typed tool ran and says that it failed (https://modelcontextprotocol.io/specification/2025-11-25/server/tools#error-handling). */
export class ToolFailed extends Schema.TaggedError<ToolFailed>()("ToolFailed", {
  /** The name that the typed tool was made with. */
  name: Schema.String,
  /** Its text, as the server gave it; empty where it gave none. */
  reason: Schema.String,
  /** As the server gave it; absent where it gave none. */
  structuredContent: Schema.optionalKey(Schema.Unknown)
}) {
  override get message(): string {
    return this.reason === "" ? `${this.name} failed` : `${this.name} failed: ${this.reason}`
  }
}

/** The result of a typed tool does not fit its Schema. The tool ran. */
export class InvalidResult extends Schema.TaggedError<InvalidResult>()("InvalidResult", {
  /** The name that the typed tool was made with. */
  name: Schema.String,
  mistakes: Mistakes
}) {
  override get message(): string {
    return `the result of ${this.name} does not fit its schema: ${inWords(this.mistakes)}`
  }
}

/** At least one server is configured, and none has started: each with its reason, in the order of the configuration. */
export class AllServersFailed extends Schema.TaggedError<AllServersFailed>()("AllServersFailed", {
  failures: Schema.Array(Schema.Struct({ server: Schema.String, reason: Schema.String }))
}) {
  override get message(): string {
    return `no server has started:\n${this.failures.map(({ reason, server }) => `  ${server}: ${reason}`).join("\n")}`
  }
}

/** Why a tool that is there has no result. */
export type ExecutionError = ServerUnavailable | OutcomeUnknown | ResultTooLarge | Overloaded | RequestRejected

/** Why `executeTool` has no result. */
export type ToolError = ToolNotFound | ToolAmbiguous | InvalidArguments | ToolTimeout | ServerNotFound | ExecutionError

/** Why a request for a tool has no result. */
export const toToolError = (
  error: ConnectionError,
  server: string,
  tool: string
): ToolTimeout | ServerNotFound | ExecutionError => {
  switch (error._tag) {
    case "QueueTimeout":
      return new ToolTimeout({ server, tool, phase: "waiting" })
    case "RequestTimeout":
      return new ToolTimeout({ server, tool, phase: "executing" })
    default:
      return error
  }
}
const inWords = (mistakes: Mistakes): string =>
  mistakes.map(({ path, reason }) => (path === "" ? reason : `${path} ${reason}`)).join("; ")
