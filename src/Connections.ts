/**
 * Servers that can be asked, wherever they are: in a pool of this process, behind a daemon's sockets, or in a test. What
 * `McpProxy` and `ToolCache` stand on. Lives as long as its layer's scope.
 */
import { Context, type Effect, Schema, type Stream } from "effect"
import type { RequestError, ServerNotFound } from "./PoolError.ts"

/** How far a request has come (https://modelcontextprotocol.io/specification/2025-11-25/basic/utilities/progress). */
export const Progress = Schema.Struct({
  /** Grows with each report; what it counts is the server's own. */
  progress: Schema.Finite,
  /** What `progress` is at the end, where the server knows. */
  total: Schema.optionalKey(Schema.Finite),
  message: Schema.optionalKey(Schema.String)
})
export type Progress = typeof Progress.Type

/** The server answered with an error of its own (https://www.jsonrpc.org/specification#error_object). */
export class RequestRejected extends Schema.TaggedError<RequestRejected>()("RequestRejected", {
  server: Schema.String,
  /** JSON-RPC's. */
  code: Schema.Finite,
  reason: Schema.String,
  /** As the server gave it; absent where it gave none. */
  data: Schema.optionalKey(Schema.Unknown)
}) {
  override get message(): string {
    return `server "${this.server}" answered with error ${this.code}: ${this.reason}`
  }
}

/** Why a request has no result. */
export type ConnectionError = ServerNotFound | RequestError | RequestRejected

/** A list of a server that may have changed. */
export interface ListChange {
  readonly server: string
  readonly list: "tools" | "prompts" | "resources"
}

/** The notifications that tell of list changes, and of which. */
export const listChanges: ReadonlyMap<string, ListChange["list"]> = new Map([
  ["notifications/tools/list_changed", "tools"],
  ["notifications/prompts/list_changed", "prompts"],
  ["notifications/resources/list_changed", "resources"]
])

/** How a request is made. */
export interface RequestOptions {
  /** Called for each report, in the server's order and before the result; without it none is asked for. */
  readonly onProgress?: ((progress: Progress) => void) | undefined
  /** Milliseconds; none unless given. */
  readonly timeout?: number | undefined
}

/** The servers of a proxy: whom they are, what they answer, and when their lists change. */
export class Connections extends Context.Service<
  Connections,
  {
    /** In the order of the configuration. Another value once another server is there, or one is gone. */
    readonly names: ReadonlyArray<string>
    /**
     * Asks one server; the result is as the server gave it. Interrupting it cancels the request at the server. Waits for a
     * process as sessions do (`pool.queueTimeout`); with `timeout`, in milliseconds, it is cancelled then and fails with
     * `RequestTimeout`, at most a twentieth of a second late.
     */
    readonly request: (
      server: string,
      method: string,
      params: { readonly [key: string]: unknown },
      options?: RequestOptions
    ) => Effect.Effect<unknown, ConnectionError>
    /** What servers say of their lists, and the pool where another process lists other things. */
    readonly changes: Stream.Stream<ListChange>
    /** Returns when each server that was told to start has run or failed once. */
    readonly ready: Effect.Effect<void>
  }
>()("effect-mcp-pool/Connections") {}
