/**
 * Servers that an application's own tests script: they answer as `McpProxy` and `ToolCache` ask, fail when they are
 * told to, and no process is started. All time is that of the `Clock`. Lives as long as its layer's scope.
 */
import type { CallToolResult, Tool, ToolAnnotations } from "@modelcontextprotocol/sdk/types.js"
import { Context, Duration, Effect, Latch, Layer, Queue } from "effect"
import { type ConnectionError, Connections, type ListChange, type Progress, RequestRejected } from "./Connections.ts"
import { OutcomeUnknown, RequestTimeout, ServerNotFound, ServerUnavailable } from "./PoolError.ts"
import { invalidParams, methodNotFound } from "./WireError.ts"
import * as Feed from "./server/Feed.ts"

/** A tool and what it does. */
export interface TestTool {
  readonly description?: string | undefined
  /** An object of any shape unless given. */
  readonly inputSchema?: Tool["inputSchema"] | undefined
  readonly annotations?: ToolAnnotations | undefined
  /** Run for each call, and interrupted where the call is cancelled. A failure is what the caller gets. */
  readonly execute: (args: Params, call: TestCall) => Effect.Effect<CallToolResult, ConnectionError>
}

/** An object of JSON. */
export interface Params {
  readonly [key: string]: unknown
}

/** What a running tool can do for its caller. */
export interface TestCall {
  /** Tells how far it has come; nobody hears it where nobody asked for it. */
  readonly progress: (progress: Progress) => Effect.Effect<void>
}

/** The tools of a server, by name, in the order in which it lists them. */
export interface TestTools {
  readonly [tool: string]: TestTool
}

/** What a server answers to one method. */
export type Answer = (params: Params) => Effect.Effect<unknown, ConnectionError>

/** What one server has. */
export interface TestServer {
  readonly tools: TestTools
  /** Texts by URI, for `resources/list` and `resources/read`. */
  readonly resources?: { readonly [uri: string]: string } | undefined
  /** What it answers to other methods, such as `prompts/list`; a failure is what the caller gets. */
  readonly answers?: { readonly [method: string]: Answer } | undefined
  /** What the server says of its lists as `ttlMs`; nothing unless given. */
  readonly ttl?: Duration.Input | undefined
}

/** What is scripted. */
export interface Options {
  readonly servers: { readonly [name: string]: TestServer }
  /** The most tools or resources in one page: all of them unless given. */
  readonly pageSize?: number | undefined
}

/**
 * What can be wrong with a server, until `recover`:
 *
 * - `unavailable`: every request fails with `ServerUnavailable`.
 * - `hang`: no request is answered. Those that still wait when it is over are answered then.
 * - `crash`: the next `tools/call` fails with `OutcomeUnknown`, and its tool is not run. All is well after it.
 */
export type Fault = "unavailable" | "hang" | "crash"

/** A request as a server got it. */
export interface Request {
  readonly server: string
  readonly method: string
  readonly params: Params
}

/** The other side of the servers. Naming one that there is not is a defect. */
export class TestConnections extends Context.Service<
  TestConnections,
  {
    /** The server has these tools instead, and says that its list has changed, even where it has not. */
    readonly setTools: (server: string, tools: TestTools) => Effect.Effect<void>
    /** The server says that a list of its has changed, even where it has not. */
    readonly announce: (server: string, list: ListChange["list"]) => Effect.Effect<void>
    /** From now on the server fails so, and in no other way. */
    readonly fail: (server: string, fault: Fault) => Effect.Effect<void>
    /** From now on the server answers. */
    readonly recover: (server: string) => Effect.Effect<void>
    /**
     * Each request once, as it comes, whatever becomes of it: `Queue.take` waits for one, `Queue.clear` takes those
     * that have come. Where 10,000 are not taken, the oldest are lost.
     */
    readonly requests: Queue.Dequeue<Request>
  }
>()("effect-mcp-pool/TestConnections") {}

/** Both sides of scripted servers. */
export const make = Effect.fnUntraced(function* ({ pageSize = Infinity, servers }: Options) {
  const requests = yield* Queue.sliding<Request>(maxRequests)
  const changes = Feed.make<ListChange>(maxChanges)
  const names = Object.keys(servers)
  const states = new Map(
    Object.entries(servers).map(([name, { answers = {}, resources = {}, tools, ttl }]): [string, State] => [
      name,
      { name, tools, resources, answers, ttl, fault: null, isAnswering: Latch.makeUnsafe(true) }
    ])
  )

  const page = (state: State, key: string, all: ReadonlyArray<object>, cursor: unknown) => {
    const start = cursor === undefined ? 0 : Number(cursor)
    // Only what has been given as `nextCursor` is one.
    if (cursor !== undefined && !(start > 0 && start < all.length && start % pageSize === 0))
      return Effect.fail(rejected(state, invalidParams, "invalid cursor"))
    const end = start + pageSize
    return Effect.succeed({
      [key]: all.slice(start, end),
      ...(end < all.length ? { nextCursor: String(end) } : {}),
      ...(state.ttl === undefined ? {} : { ttlMs: Duration.toMillis(state.ttl) })
    })
  }

  const answer = (state: State, request: Request, call: TestCall): Effect.Effect<unknown, ConnectionError> => {
    const { answers, fault, name, resources, tools } = state
    const { method, params } = request
    if (fault === "hang") return Effect.flatMap(state.isAnswering.await, () => answer(state, request, call))
    if (fault === "unavailable") {
      return Effect.fail(
        new ServerUnavailable({ server: name, state: "failed", failure: null, hint: null, nextAttemptAt: null })
      )
    }
    const scripted = own(answers, method)
    if (scripted !== undefined) return scripted(params)
    switch (method) {
      case "tools/list":
        return page(state, "tools", Object.entries(tools).map(toTool), params["cursor"])
      case "tools/call": {
        if (fault === "crash") {
          state.fault = null
          return Effect.fail(new OutcomeUnknown({ server: name }))
        }
        const tool = own(tools, params["name"])
        if (tool === undefined) return Effect.fail(rejected(state, invalidParams, `no tool ${String(params["name"])}`))
        return tool.execute((params["arguments"] ?? {}) as Params, call)
      }
      case "resources/list": {
        const all = Object.keys(resources).map((uri) => ({ uri, name: uri }))
        return page(state, "resources", all, params["cursor"])
      }
      case "resources/read": {
        const text = own(resources, params["uri"])
        return text === undefined
          ? Effect.fail(rejected(state, resourceNotFound, `no resource ${String(params["uri"])}`))
          : Effect.succeed({ contents: [{ uri: params["uri"], text }] })
      }
      default:
        return Effect.fail(rejected(state, methodNotFound, `no method ${method}`))
    }
  }

  const connections = Connections.of({
    names,
    request: (server, method, params, { onProgress, timeout } = {}) =>
      Effect.suspend(() => {
        const state = states.get(server)
        if (state === undefined) return Effect.fail(new ServerNotFound({ server, names }))
        const request = { server, method, params }
        Queue.offerUnsafe(requests, request)
        const answered = answer(state, request, {
          progress: (progress) => Effect.sync(() => onProgress?.(progress))
        })
        if (timeout === undefined) return answered
        const orElse = () => Effect.fail(new RequestTimeout({ server }))
        return Effect.timeoutOrElse(answered, { duration: timeout, orElse })
      }),
    changes: changes.stream,
    ready: Effect.void
  })

  const change = (server: string, f: (state: State) => void) =>
    Effect.suspend(() => {
      const state = states.get(server)
      if (state === undefined) return Effect.die(new ServerNotFound({ server, names }))
      f(state)
      return Effect.void
    })
  const suffer = (server: string, fault: Fault | null) =>
    change(server, (state) => {
      state.fault = fault
      if (fault === "hang") state.isAnswering.closeUnsafe()
      else state.isAnswering.openUnsafe()
    })

  const handle = TestConnections.of({
    setTools: (server, tools) =>
      change(server, (state) => {
        state.tools = tools
        changes.publish({ server, list: "tools" })
      }),
    announce: (server, list) => change(server, () => changes.publish({ server, list })),
    fail: suffer,
    recover: (server) => suffer(server, null),
    requests
  })
  return Context.make(Connections, connections).pipe(Context.add(TestConnections, handle))
})

/**
 * Scripted servers as `Connections`, in the order in which they are given, and `TestConnections` to change them with.
 *
 * They answer `tools/list`, `tools/call`, `resources/list`, `resources/read` and what `answers` has. An unknown server
 * is `ServerNotFound`, an unknown tool `RequestRejected` with -32602, and any other method `RequestRejected` with
 * -32601.
 */
export const layer = (options: Options): Layer.Layer<Connections | TestConnections> =>
  Layer.effectContext(make(options))

/** What is kept of one server. */
interface State {
  readonly name: string
  tools: TestTools
  readonly resources: { readonly [uri: string]: string }
  readonly answers: NonNullable<TestServer["answers"]>
  readonly ttl: Duration.Input | undefined
  fault: Fault | null
  /** Closed while it hangs. */
  readonly isAnswering: Latch.Latch
}

const toTool = ([name, { annotations, description, inputSchema = anyObject }]: [string, TestTool]): Tool => ({
  name,
  ...(description === undefined ? {} : { description }),
  inputSchema,
  ...(annotations === undefined ? {} : { annotations })
})

const own = <A>(record: { readonly [key: string]: A }, key: unknown): A | undefined =>
  typeof key === "string" && Object.hasOwn(record, key) ? record[key] : undefined

const rejected = ({ name }: State, code: number, reason: string) => new RequestRejected({ server: name, code, reason })

const anyObject: Tool["inputSchema"] = { type: "object" }

/** MCP's own code (https://modelcontextprotocol.io/specification/2025-11-25/server/resources#error-handling). */
const resourceNotFound = -32002
const maxRequests = 10_000
const maxChanges = 1024
