/** The fixture `server.ts` without a process: servers of `McpProxy.layerTest` that do what it does. */
import type { CallToolResult, Tool } from "@modelcontextprotocol/sdk/types.js"
import { Deferred, Effect, Layer, Queue } from "effect"
import { RequestRejected } from "../../src/Connections.ts"
import * as McpProxy from "../../src/McpProxy.ts"
import { OutcomeUnknown } from "../../src/PoolError.ts"
import * as TestConnections from "../../src/TestConnections.ts"
import type * as ToolCache from "../../src/ToolCache.ts"
import { offers } from "../fixtures/offers.ts"

/** By name: what each lists as its tools, in that order; null for one that cannot be asked. */
export type Servers = Readonly<Record<string, ReadonlyArray<string | object> | null>>

export const layer = (servers: Servers): Layer.Layer<McpProxy.McpProxy | ToolCache.ToolCache> => {
  const handles: Array<TestConnections.TestConnections["Service"]> = []
  const handle = Effect.suspend(() => Effect.fromNullishOr(handles[0])).pipe(Effect.orDie)
  const scripted = Object.entries(servers).map(([name, tools]): [string, TestConnections.TestServer] => [
    name,
    serverOf(name, tools ?? [], handle)
  ])
  const prepared = Effect.gen(function* () {
    const handle = yield* TestConnections.TestConnections
    handles.push(handle)
    for (const [name, tools] of Object.entries(servers)) if (tools === null) yield* handle.fail(name, "unavailable")
  })
  return Layer.effectDiscard(prepared).pipe(
    Layer.provideMerge(McpProxy.layerTest({ servers: Object.fromEntries(scripted) }))
  )
}

const serverOf = (
  server: string,
  tools: ReadonlyArray<string | object>,
  handle: Effect.Effect<TestConnections.TestConnections["Service"]>
): TestConnections.TestServer => {
  const sleeping = new Map<unknown, Deferred.Deferred<void>>()
  const cancellations: Array<{ readonly label: unknown }> = []
  const rejected = (error: { readonly code: number; readonly message: string; readonly data?: unknown }) => {
    const { message, ...rest } = error
    return Effect.fail(new RequestRejected({ server, reason: message, ...rest }))
  }
  const listed: Record<string, TestConnections.TestTool> = {}
  const runs: { readonly [tool: string]: TestConnections.TestTool["execute"] } = {
    echo: ({ text }) => saying(text),
    length: ({ text }) => saying(String(text).length),
    stats: () => saying(JSON.stringify({ cancellations, pid: null })),
    sleep: ({ label }, { progress }) => {
      const woken = Deferred.makeUnsafe<void>()
      sleeping.set(label, woken)
      return progress({ progress: 0, message: "sleeping" }).pipe(
        Effect.andThen(Deferred.await(woken)),
        Effect.andThen(saying("woken")),
        Effect.onInterrupt(() => Effect.sync(() => void cancellations.push({ label })))
      )
    },
    progress: ({ count, label }, { progress }) =>
      Effect.andThen(
        Effect.forEach(
          Array.from({ length: Number(count) }, (_, i) => i + 1),
          (i) => progress({ progress: i, total: Number(count), message: String(label) }),
          { discard: true }
        ),
        saying(label)
      ),
    add_tool: ({ name }) => {
      list(String(name))
      return handle.pipe(
        Effect.flatMap(({ announce }) => announce(server, "tools")),
        Effect.andThen(saying("added"))
      )
    },
    // It is run as soon as its request has come.
    meta: () =>
      handle.pipe(
        Effect.flatMap(({ requests }) => Queue.clear(requests)),
        Effect.flatMap((asked) => saying(JSON.stringify(asked.at(-1)?.params["_meta"] ?? null)))
      ),
    fail: ({ text }) => Effect.succeed({ content: [{ type: "text", text: String(text) }], isError: true }),
    reply: ({ result }) => Effect.succeed(result as CallToolResult),
    refuse: ({ error }) => rejected(error as Parameters<typeof rejected>[0]),
    exit: () => Effect.fail(new OutcomeUnknown({ server }))
  }
  const list = (tool: string | object) => {
    const { name, inputSchema } = (typeof tool === "string" ? { name: tool } : tool) as Partial<Tool>
    const execute = runs[name ?? ""] ?? (() => rejected({ code: -32602, message: `no tool ${name}` }))
    listed[name ?? ""] = { execute, inputSchema }
  }
  for (const tool of tools) list(tool)
  const answers = Object.entries(offers).map(([method, offer]): [string, TestConnections.Answer] => [
    method,
    (params) => {
      const result = offer(params)
      return result === null ? rejected({ code: -32602, message: "there is none" }) : Effect.succeed(result)
    }
  ])
  return { tools: listed, answers: Object.fromEntries(answers) }
}

const saying = (text: unknown) => Effect.succeed({ content: [{ type: "text" as const, text: String(text) }] })
