/** What is not accepted is offered in no way that there is. */
import { assert, describe, it } from "@effect/vitest"
import { Client as ModernClient, StreamableHTTPClientTransport } from "@modelcontextprotocol/client"
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { Effect, Layer, Logger, Queue, Stream } from "effect"
import { randomUUID } from "node:crypto"
import { defaultIdle } from "../../src/http/HttpOptions.ts"
import * as HttpListener from "../../src/listen/HttpListener.ts"
import * as SocketSessions from "../../src/listen/SocketSessions.ts"
import * as McpPool from "../../src/McpPool.ts"
import * as McpProxy from "../../src/McpProxy.ts"
import * as ToolCache from "../../src/ToolCache.ts"
import * as HttpClient from "../support/HttpClient.ts"
import * as LineClient from "../support/LineClient.ts"
import * as TestPool from "../support/TestPool.ts"
import * as PinnedPool from "./PinnedPool.ts"

const { tool } = PinnedPool

/** A server that has changed one tool since another was accepted, and added one; and how else it can be reached. */
const setUp = Effect.gen(function* () {
  const test = yield* PinnedPool.make({
    servers: (server) => ({ pin: server(), own: server({ pin: "block", sharing: "per-session" }, "own") })
  })
  const { change, connect, pool, runtimeDir } = test
  // Its list is pinned with the first process that anybody gets.
  const owner = yield* connect("own")
  yield* owner.call("calls")
  const socket = yield* connect("pin")
  yield* change(socket, [tool("echo", "poisoned"), tool("calls"), tool("fresh")])
  const http = yield* HttpListener.make({
    address: { host: "127.0.0.1", port: 0 },
    auth: "none",
    allowedHosts: [],
    idle: defaultIdle,
    runtimeDir
  }).pipe(Effect.provideService(McpPool.McpPool, pool), Effect.provide([Logger.layer([]), SocketSessions.layer]))
  return { ...test, socket, http }
})

const meta = {
  "io.modelcontextprotocol/protocolVersion": "2026-07-28",
  "io.modelcontextprotocol/clientCapabilities": {}
}
const names = (tools: ReadonlyArray<{ readonly name: string }>) => tools.map(({ name }) => name)
const refused = (call: () => Promise<unknown>) =>
  Effect.map(
    Effect.flip(Effect.tryPromise({ try: call, catch: (cause) => cause as { readonly code?: number } })),
    (error) => assert.strictEqual(error.code, -32602)
  )

describe("tools that are not accepted", () => {
  it.live("are not offered over HTTP, nor of a process that a session has there", () =>
    Effect.gen(function* () {
      const { http, socket } = yield* setUp
      for (const server of ["pin", "own"]) {
        const session = yield* HttpClient.begin(http, server)
        const { messages } = yield* session.post({ jsonrpc: "2.0", id: "l", method: "tools/list" })
        assert.deepStrictEqual(PinnedPool.namesOf(messages.at(-1)!), ["calls"])
        for (const name of ["echo", "fresh"]) {
          const [answer] = (yield* session.call(name)).messages
          assert.strictEqual(PinnedPool.kindOf(answer?.error), "ToolNotAccepted")
        }
        yield* session.end
      }
      assert.strictEqual(LineClient.textOf(yield* socket.call("calls")), "")
    })
  )

  it.live("are not offered to clients of 2026-07-28, over HTTP and over a socket", () =>
    Effect.gen(function* () {
      const { dial, http, socket } = yield* setUp
      const client = yield* Effect.acquireRelease(
        Effect.sync(
          () => new ModernClient({ name: "t", version: "1" }, { versionNegotiation: { mode: { pin: "2026-07-28" } } })
        ),
        (client) => Effect.promise(() => client.close())
      )
      const transport = new StreamableHTTPClientTransport(new URL(`${http.url}/servers/pin/mcp`))
      yield* Effect.promise(() => client.connect(transport))
      assert.deepStrictEqual(names((yield* Effect.promise(() => client.listTools())).tools), ["calls"])
      yield* refused(() => client.callTool({ name: "fresh", arguments: {} }))
      const line = yield* dial("pin")
      assert.deepStrictEqual(PinnedPool.namesOf(yield* line.request("tools/list", { _meta: meta })), ["calls"])
      const { error } = yield* line.request("tools/call", { name: "echo", _meta: meta })
      assert.strictEqual(PinnedPool.kindOf(error), "ToolNotAccepted")
      assert.strictEqual(LineClient.textOf(yield* socket.call("calls")), "")
    })
  )

  it.live("are not offered among those of all servers, in either era", () =>
    Effect.gen(function* () {
      const { http, pool, socket } = yield* setUp
      const session = yield* HttpClient.begin(http, "", { path: "/mcp" })
      const stream = yield* session.listen()
      yield* stream.event
      const list = Effect.map(session.post({ jsonrpc: "2.0", id: "l", method: "tools/list" }), ({ messages }) =>
        PinnedPool.namesOf(messages.at(-1)!)
      )
      assert.deepStrictEqual(yield* list, ["pin__calls", "own__calls"])
      for (const name of ["pin__echo", "own__echo", "pin__fresh", "own__fresh"]) {
        const [answer] = (yield* session.call(name)).messages
        assert.strictEqual(PinnedPool.kindOf(answer?.error), "ToolNotAccepted")
      }
      const client = yield* Effect.acquireRelease(
        Effect.sync(
          () => new ModernClient({ name: "t", version: "1" }, { versionNegotiation: { mode: { pin: "2026-07-28" } } })
        ),
        (client) => Effect.promise(() => client.close())
      )
      yield* Effect.promise(() => client.connect(new StreamableHTTPClientTransport(new URL(`${http.url}/mcp`))))
      assert.deepStrictEqual(names((yield* Effect.promise(() => client.listTools())).tools), ["pin__calls"])
      for (const name of ["pin__echo", "pin__fresh"]) yield* refused(() => client.callTool({ name, arguments: {} }))
      assert.strictEqual(LineClient.textOf(yield* socket.call("calls")), "")
      yield* pool.acceptPins(["pin"])
      assert.strictEqual((yield* stream.message).method, "notifications/tools/list_changed")
      assert.deepStrictEqual(yield* list, ["pin__echo", "pin__calls", "pin__fresh", "own__calls"])
      assert.strictEqual(LineClient.textOf((yield* session.call("pin__fresh")).messages[0]!), "ran fresh")
    })
  )

  it.live("are not offered to connect, nor to an SDK's client in the process", () =>
    Effect.gen(function* () {
      const { open, pool } = yield* setUp
      const bridged = yield* open("pin")
      assert.deepStrictEqual(yield* PinnedPool.offered(bridged), ["calls"])
      assert.strictEqual(PinnedPool.kindOf((yield* bridged.call("fresh")).error), "ToolNotAccepted")
      const client = yield* Effect.acquireRelease(
        Effect.sync(() => new Client({ name: "t", version: "1" })),
        (client) => Effect.promise(() => client.close())
      )
      const transport = yield* pool.transport("pin")
      yield* Effect.promise(() => client.connect(transport))
      assert.deepStrictEqual(names((yield* Effect.promise(() => client.listTools())).tools), ["calls"])
      yield* refused(() => client.callTool({ name: "echo", arguments: {} }))
    })
  )

  it.live("are not offered by McpProxy, which hears of what is accepted", () =>
    Effect.gen(function* () {
      const { pool } = yield* setUp
      const layer = McpProxy.layerPool().pipe(Layer.provide(Layer.succeed(McpPool.McpPool, pool)))
      yield* Effect.gen(function* () {
        const proxy = yield* McpProxy.McpProxy
        const ofPin = Effect.map(proxy.listTools, (tools) => names(tools).filter((name) => name.startsWith("pin__")))
        assert.deepStrictEqual(yield* ofPin, ["pin__calls"])
        const error = yield* Effect.flip(proxy.executeTool("pin__fresh", {}))
        assert.strictEqual(error._tag, "ToolNotFound")
        const { changes } = yield* ToolCache.ToolCache
        const heard = yield* Stream.toQueue(changes, { capacity: 16 })
        yield* Effect.yieldNow
        yield* pool.acceptPins(["pin"])
        yield* Queue.take(heard)
        assert.deepStrictEqual(yield* ofPin, ["pin__calls", "pin__echo", "pin__fresh"])
        yield* proxy.executeTool("pin__fresh", {})
      }).pipe(Effect.provide(layer))
    })
  )

  it.live("are not offered while there is no process, by what an earlier daemon has left", () =>
    Effect.gen(function* () {
      const directory = yield* TestPool.temporaryDirectory
      const runtimeDir = yield* TestPool.temporaryDirectory
      const marker = `fixture-${randomUUID()}`
      const options = { directory, runtimeDir, marker, remembers: true }
      yield* Effect.scoped(
        Effect.gen(function* () {
          const { change, connect } = yield* PinnedPool.make(options)
          const client = yield* connect("pin")
          yield* change(client, [tool("echo", "poisoned"), tool("calls"), tool("fresh")])
          assert.deepStrictEqual(yield* PinnedPool.offered(client), ["calls"])
        })
      )
      const lazy = { pin: "block", start: "lazy" } as const
      const { connect, list, pool } = yield* PinnedPool.make({
        ...options,
        servers: (server) => ({ pin: server(lazy) })
      })
      list("never")
      const client = yield* connect("pin")
      assert.deepStrictEqual(yield* PinnedPool.offered(client), ["calls"])
      assert.strictEqual((yield* pool.status)[0]?.pid, null)
    })
  )
})
