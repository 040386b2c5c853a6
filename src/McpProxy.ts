/**
 * The tools, resources and prompts of all servers as one service: lists them under names of their own and executes them
 * with typed errors. Lives as long as its layer's scope. After the seed's `MCPProxyService`, without its faults.
 */
import type {
  CallToolResult,
  CompleteResult,
  GetPromptResult,
  Prompt,
  ReadResourceResult,
  Resource,
  ResourceTemplate
} from "@modelcontextprotocol/sdk/types.js"
import { Context, Duration, Effect, Layer, Queue, type Schema, Stream } from "effect"
import { type ConnectionError, Connections, type Progress } from "./Connections.ts"
import * as Arguments from "./proxy/Arguments.ts"
import * as McpPool from "./McpPool.ts"
import type { PoolOptions } from "./config/PoolOptions.ts"
import type { ServerOptions } from "./config/ServerSpec.ts"
import type { DaemonNotRunning } from "./control/ControlClient.ts"
import type { ProxyTool } from "./proxy/KnownTools.ts"
import * as PoolConnections from "./proxy/PoolConnections.ts"
import type { ConfigFileError, ServerConfigError, ServerNotFound } from "./PoolError.ts"
import * as TestConnections from "./TestConnections.ts"
import type * as SocketConnections from "./proxy/SocketConnections.ts"
import {
  AllServersFailed,
  type ExecutionError,
  InvalidArguments,
  type InvalidResult,
  type ToolError,
  type ToolFailed,
  type ToolTimeout,
  toToolError
} from "./proxy/ToolError.ts"
import * as ToolFinder from "./proxy/ToolFinder.ts"
import * as ToolSpan from "./proxy/ToolSpan.ts"
import * as ToolSchemas from "./proxy/ToolSchemas.ts"
import * as ToolCache from "./ToolCache.ts"

export {
  AllServersFailed,
  type ExecutionError,
  InvalidArguments,
  InvalidResult,
  Mistakes,
  ToolAmbiguous,
  type ToolError,
  ToolFailed,
  ToolNotFound,
  ToolTimeout
} from "./proxy/ToolError.ts"

export type { ProxyTool } from "./proxy/KnownTools.ts"

/** How a tool is executed. */
export interface ExecuteOptions {
  /** For waiting and executing together: 30 seconds; `Duration.infinity` for none. */
  readonly timeout?: Duration.Input | undefined
  /** Arguments are looked at first, and fail with `InvalidArguments` where they do not fit the tool's `inputSchema`. */
  readonly validate?: boolean | undefined
  /** Called in the order in which the server reports, before the result. */
  readonly onProgress?: ((progress: Progress) => void) | undefined
}

/** What `streamTool` tells. */
export type ToolEvent =
  | { readonly _tag: "Progress"; readonly progress: Progress }
  | { readonly _tag: "Result"; readonly result: CallToolResult }

/**
 * The servers of a pool as one. After the seed's `MCPProxyService`: lists are kept for 300 seconds, a call has 30, a
 * list that cannot be read again is served as it was, and a server that fails is no reason for the others to.
 */
export class McpProxy extends Context.Service<
  McpProxy,
  {
    /**
     * The tools of all servers that have listed any, in the order of the configuration and by name; the same value as
     * long as nothing changes. What is not fresh is read first (`tools/list`, all pages); a server that fails is left
     * out.
     */
    readonly listTools: Effect.Effect<ReadonlyArray<ProxyTool>>
    /**
     * Executes a tool (`tools/call`) under its exposed name, as `server__tool`, or under its bare name where only one
     * server has it. The result is as the server gave it; a tool that failed is a value (`isError`). Interrupting it
     * cancels the call at the server (`notifications/cancelled`).
     *
     * Fails before anything is sent with `ToolNotFound`, `ToolAmbiguous`, `InvalidArguments`, `ServerUnavailable`,
     * `Overloaded`, or `ToolTimeout` of the phase `waiting`; after that with `RequestRejected` (the server's own
     * error), `ResultTooLarge` (`pool.maxLine`), `ToolTimeout` of the phase `executing`, or `OutcomeUnknown` where the
     * process ended meanwhile.
     */
    readonly executeTool: (
      name: string,
      args?: { readonly [key: string]: unknown },
      options?: ExecuteOptions
    ) => Effect.Effect<CallToolResult, ToolError>
    /**
     * The same as a stream: its progress, then its result. A reader that falls behind by 1,024 loses the oldest
     * progress.
     */
    readonly streamTool: (
      name: string,
      args?: { readonly [key: string]: unknown },
      options?: Omit<ExecuteOptions, "onProgress">
    ) => Stream.Stream<ToolEvent, ToolError>
    /** One server's resources, by URI, from the cache while they are fresh; empty where it has none. */
    readonly listResources: (server: string) => Effect.Effect<ReadonlyArray<Resource>, ConnectionError>
    /** One server's resource templates, by URI, likewise. */
    readonly listResourceTemplates: (server: string) => Effect.Effect<ReadonlyArray<ResourceTemplate>, ConnectionError>
    /** One server's prompts, by name, likewise. */
    readonly listPrompts: (server: string) => Effect.Effect<ReadonlyArray<Prompt>, ConnectionError>
    /** One resource's contents, as the server gives them now (`resources/read`). */
    readonly readResource: (server: string, uri: string) => Effect.Effect<ReadResourceResult, ConnectionError>
    /** A prompt with its arguments filled in by the server (`prompts/get`). */
    readonly getPrompt: (
      server: string,
      name: string,
      args?: { readonly [key: string]: string }
    ) => Effect.Effect<GetPromptResult, ConnectionError>
    /**
     * Completion of an argument (https://modelcontextprotocol.io/specification/2025-11-25/server/utilities/completion).
     */
    readonly complete: (
      server: string,
      params: { readonly [key: string]: unknown }
    ) => Effect.Effect<CompleteResult["completion"], ConnectionError>
  }
>()("effect-mcp-pool/McpProxy") {}

/**
 * A tool as a function that encodes its arguments and decodes its result. Arguments may be left out where none is required.
 */
export interface TypedTool<A extends ToolSchemas.ArgumentsSchema, Result, E, R> {
  (
    ...input: {} extends A["Type"]
      ? [args?: A["Type"], options?: ExecuteOptions]
      : [args: A["Type"], options?: ExecuteOptions]
  ): Effect.Effect<Result, ToolError | ToolFailed | E, McpProxy | A["EncodingServices"] | R>
}

/**
 * A typed function for a tool, of any name that `executeTool` takes; made at module level, it asks for `McpProxy` when
 * it is called. `mcp-pool types` prints them.
 *
 * Arguments that the Schema does not encode, or does not know, are `InvalidArguments`, and nothing is sent. A tool that
 * says that it failed is `ToolFailed`. `result` decodes the `structuredContent`, else the text (so that it may be
 * `Schema.String`, or `Schema.fromJsonString` where the text is JSON), else undefined, and fails with `InvalidResult`;
 * without `result`, the function returns the whole `CallToolResult`.
 */
export function tool<A extends ToolSchemas.ArgumentsSchema, R extends Schema.Top>(
  name: string,
  schemas: { readonly arguments: A; readonly result: R }
): TypedTool<A, R["Type"], InvalidResult, R["DecodingServices"]>
export function tool<A extends ToolSchemas.ArgumentsSchema>(
  name: string,
  schemas: { readonly arguments: A }
): TypedTool<A, CallToolResult, never, never>
export function tool(
  name: string,
  schemas: { readonly arguments: ToolSchemas.ArgumentsSchema; readonly result?: Schema.Top }
): TypedTool<ToolSchemas.ArgumentsSchema, unknown, InvalidResult, unknown> {
  const encode = ToolSchemas.encoder(name, schemas.arguments)
  const decode = schemas.result === undefined ? Effect.succeed : ToolSchemas.decoder(name, schemas.result)
  return Effect.fnUntraced(function* (args: unknown = {}, options?: ExecuteOptions) {
    const { executeTool } = yield* McpProxy
    const result = yield* executeTool(name, yield* encode(args), options)
    return yield* decode(yield* ToolSchemas.successOf(name, result))
  })
}

/** The proxy of the connections and the cache in its context. */
export const make = Effect.gen(function* () {
  const connections = yield* Connections
  const cache = yield* ToolCache.ToolCache
  const { find, findNow, tools } = ToolFinder.make(connections, cache)

  const executeTool: McpProxy["Service"]["executeTool"] = (name, args = {}, options = {}) =>
    Effect.withFiber((fiber) =>
      ToolSpan.isTraced(fiber)
        ? ToolSpan.around(name, (span) => executeNamed(name, args, options, span))
        : executeNamed(name, args, options, null)
    )

  const executeNamed = (
    name: string,
    args: { readonly [key: string]: unknown },
    options: ExecuteOptions,
    span: ToolSpan.ToolSpan
  ): Effect.Effect<CallToolResult, ToolError> => {
    const found = findNow(name)
    if (found !== null) return execute(found, args, options, span)
    return Effect.flatMap(find(name, options.timeout ?? defaultTimeout), (found) => execute(found, args, options, span))
  }

  const checked = Effect.fnUntraced(function* ({ server, tool }: ToolFinder.Target, args: unknown) {
    const { list } = yield* tools
    const found = list.find((one) => one.server === server && one.tool.name === tool)
    const mistakes = found === undefined ? [] : yield* Arguments.mistakesIn(found.tool.inputSchema, args)
    if (mistakes.length > 0) return yield* new InvalidArguments({ server, tool, mistakes })
  })

  const execute = (
    target: ToolFinder.Target,
    args: { readonly [key: string]: unknown },
    options: ExecuteOptions,
    span: ToolSpan.ToolSpan
  ): Effect.Effect<CallToolResult, ToolError> => {
    ToolSpan.found(span, target)
    return options.validate === true
      ? Effect.andThen(checked(target, args), send(target, args, options, span))
      : send(target, args, options, span)
  }

  const send = (
    { server, tool }: ToolFinder.Target,
    args: { readonly [key: string]: unknown },
    { onProgress, timeout = defaultTimeout }: ExecuteOptions,
    span: ToolSpan.ToolSpan
  ): Effect.Effect<CallToolResult, ToolTimeout | ServerNotFound | ExecutionError> =>
    Effect.mapError(
      // The cast: a server's result is passed on as it came.
      connections.request(server, "tools/call", ToolSpan.carried(span, { name: tool, arguments: args }), {
        onProgress,
        timeout: Duration.toMillis(timeout)
      }) as Effect.Effect<CallToolResult, ConnectionError>,
      (error) => toToolError(error, server, tool)
    )

  // The casts below: results are passed on as they came.
  return McpProxy.of({
    listTools: Effect.map(tools, ({ list }) => list),
    executeTool,
    streamTool: (name, args = {}, options = {}) =>
      Stream.callback<ToolEvent, ToolError>(
        (queue) =>
          executeTool(name, args, {
            ...options,
            onProgress: (progress) => void Queue.offerUnsafe(queue, { _tag: "Progress", progress })
          }).pipe(
            Effect.matchCauseEffect({
              onFailure: (cause) => Queue.failCause(queue, cause),
              onSuccess: (result) => Effect.andThen(Queue.offer(queue, { _tag: "Result", result }), Queue.end(queue))
            })
          ),
        { bufferSize: maxUnreadProgress, strategy: "sliding" }
      ),
    listResources: (server) => Effect.map(cache.resources(server), itemsOf),
    listResourceTemplates: (server) => Effect.map(cache.resourceTemplates(server), itemsOf),
    listPrompts: (server) => Effect.map(cache.prompts(server), itemsOf),
    readResource: (server, uri) =>
      Effect.map(connections.request(server, "resources/read", { uri }), (result) => result as ReadResourceResult),
    getPrompt: (server, name, args = {}) =>
      Effect.map(
        connections.request(server, "prompts/get", { name, arguments: args }),
        (result) => result as GetPromptResult
      ),
    complete: (server, params) =>
      Effect.map(
        connections.request(server, "completion/complete", params),
        (result) => (result as CompleteResult).completion
      )
  })
})

/** The proxy of given connections, and its tool cache. */
export const layerConnections = (
  options?: ToolCache.Options
): Layer.Layer<McpProxy | ToolCache.ToolCache, never, Connections> =>
  Layer.effect(McpProxy, make).pipe(Layer.provideMerge(ToolCache.layer(options)))

/**
 * The proxy of servers that a test scripts, without any process, and what to script them with: see `TestConnections`.
 */
export const layerTest = (
  options: TestConnections.Options & ToolCache.Options
): Layer.Layer<McpProxy | ToolCache.ToolCache | Connections | TestConnections.TestConnections> =>
  layerConnections(options).pipe(Layer.provideMerge(TestConnections.layer(options)))

/** The proxy of the pool in the context, which owns the processes; nothing waits for their start but what asks them. */
export const layerPool = (
  options?: ToolCache.Options
): Layer.Layer<McpProxy | ToolCache.ToolCache, never, McpPool.McpPool> =>
  layerConnections(options).pipe(Layer.provide(PoolConnections.layer))

/**
 * The proxy of a running daemon's servers, over its sockets. Fails with `DaemonNotRunning` where there is none; where
 * it ends later, calls fail with `ServerUnavailable` or `OutcomeUnknown` until another one serves the same directory.
 */
export const layerSocket = (
  options: ToolCache.Options & SocketConnections.Options = {}
): Layer.Layer<McpProxy | ToolCache.ToolCache, DaemonNotRunning> => {
  // Loaded by who needs it: it brings the daemon's whole protocol along.
  const loaded = Effect.map(
    Effect.promise(() => import("./proxy/SocketConnections.ts")),
    (module) => module.layer(options)
  )
  return layerConnections(options).pipe(Layer.provide(Layer.unwrap(loaded)))
}

/**
 * The proxy of a pool of its own: ready when each server has run or failed once, side by side. Closing the layer's
 * scope ends every process. As in the seed, one server that runs is enough; where some are configured and none does, it
 * fails with `AllServersFailed`, and with `ConfigFileError` where the settings for all are wrong.
 */
export const layer = (
  options: ToolCache.Options & {
    readonly servers: Readonly<Record<string, ServerOptions>>
    /** Settings for all of them. */
    readonly pool?: PoolOptions | undefined
    /** Where the accepted tools of servers with `pool.pin` stand. */
    readonly lockFile?: string | undefined
  }
): Layer.Layer<McpProxy | ToolCache.ToolCache, ConfigFileError | ServerConfigError | AllServersFailed> =>
  Layer.effectDiscard(started).pipe(
    Layer.provideMerge(layerPool(options)),
    Layer.provide(
      McpPool.layer({ servers: options.servers, pool: options.pool, lockFile: options.lockFile, autoStart: false })
    )
  )

const started = Effect.gen(function* () {
  const pool = yield* McpPool.McpPool
  yield* pool.startAll
  const status = yield* pool.status
  if (status.length === 0 || status.some(({ state }) => state === "running")) return
  const failures = status.map(({ lastFailure, name, state }) => ({
    server: name,
    reason: lastFailure === null ? `it is ${state}` : lastFailure.message
  }))
  return yield* new AllServersFailed({ failures })
})

const itemsOf = <A>({ items }: ToolCache.ServerList<A>): ReadonlyArray<A> => items

const defaultTimeout = Duration.seconds(30)
const maxUnreadProgress = 1024
