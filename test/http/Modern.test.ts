/** Requests of 2026-07-28 over HTTP, and clients of both eras of SDK 2. */
import { assert, describe, it } from "@effect/vitest"
import { Client, type ClientOptions, StreamableHTTPClientTransport } from "@modelcontextprotocol/client"
import { Effect, Exit, Logger, Scope } from "effect"
import { TestClock } from "effect/testing"
import { defaultIdle } from "../../src/http/HttpOptions.ts"
import * as HttpListener from "../../src/listen/HttpListener.ts"
import * as SocketSessions from "../../src/listen/SocketSessions.ts"
import * as McpPool from "../../src/McpPool.ts"
import * as EraClient from "../support/EraClient.ts"
import * as HttpClient from "../support/HttpClient.ts"
import * as LineClient from "../support/LineClient.ts"
import * as TestPool from "../support/TestPool.ts"
import type { Stats } from "../support/Tools.ts"

const setUp = Effect.gen(function* () {
  const { pool, runtimeDir } = yield* TestPool.make(({ marker, server }) => ({
    shared: server("shared"),
    marked: EraClient.fixture("legacy", marker),
    own: server("own", { sharing: "per-session" })
  }))
  const address = { host: "127.0.0.1", port: 0 }
  const scope = yield* Scope.fork(yield* Effect.scope)
  const listener = yield* HttpListener.make({
    address,
    auth: "none",
    allowedHosts: [],
    idle: defaultIdle,
    runtimeDir
  }).pipe(
    Scope.provide(scope),
    Effect.provideService(McpPool.McpPool, pool),
    Effect.provide([Logger.layer([]), SocketSessions.layer])
  )
  return { ...listener, pool, runtimeDir, close: Scope.close(scope, Exit.void) }
})

const path = "/servers/shared/mcp"
const key = (name: string) => `io.modelcontextprotocol/${name}`
const meta = { [key("protocolVersion")]: "2026-07-28", [key("clientCapabilities")]: {} }

/** A request of a tool as it should be, with what is given in its place; undefined leaves a header out. */
const asked = (
  name: string,
  args: object = {},
  more: {
    readonly headers?: { readonly [name: string]: string | undefined }
    readonly meta?: object
    readonly method?: string
    readonly path?: string
  } = {}
): HttpClient.Asked => {
  const method = more.method ?? "tools/call"
  const params = { name, arguments: args, _meta: { ...meta, ...more.meta } }
  const headers = { "mcp-protocol-version": "2026-07-28", "mcp-method": method, "mcp-name": name, ...more.headers }
  return {
    path: more.path ?? path,
    headers: Object.fromEntries(
      Object.entries(headers).filter((entry): entry is [string, string] => entry[1] !== undefined)
    ),
    body: { jsonrpc: "2.0", id: "q", method, params }
  }
}

const stats = (target: HttpClient.Target) =>
  Effect.map(
    HttpClient.ask(target, asked("stats")),
    ({ messages }) => JSON.parse(LineClient.textOf(messages[0]!)) as Stats
  )

describe("ModernPosts", () => {
  for (const [what, versionNegotiation] of [
    ["as it comes", undefined],
    ["that looks for the newest", { mode: "auto" }],
    ["of 2026-07-28 alone", { mode: { pin: "2026-07-28" } }]
  ] as ReadonlyArray<readonly [string, ClientOptions["versionNegotiation"]]>) {
    it.live(`serves a client of SDK 2 ${what}`, () =>
      Effect.gen(function* () {
        const { url } = yield* setUp
        const options = versionNegotiation === undefined ? {} : { versionNegotiation }
        const client = yield* Effect.acquireRelease(
          Effect.sync(() => new Client({ name: "http-test", version: "1" }, options)),
          (client) => Effect.promise(() => client.close())
        )
        yield* Effect.promise(() => client.connect(new StreamableHTTPClientTransport(new URL(`${url}${path}`))))
        const { tools } = yield* Effect.promise(() => client.listTools())
        assert.deepStrictEqual(
          tools.map(({ name }) => name),
          ["echo", "sleep", "progress", "stats"]
        )
        const progress: Array<number> = []
        const { content } = yield* Effect.promise(() =>
          client.callTool(
            { name: "progress", arguments: { count: 5, label: "done" } },
            { onprogress: (it) => progress.push(it.progress) }
          )
        )
        assert.deepStrictEqual(content as object, [{ type: "text", text: "done" }])
        assert.deepStrictEqual(progress, [1, 2, 3, 4, 5])
      })
    )
  }

  it.live("answers with JSON, and with events where something comes before", () =>
    Effect.gen(function* () {
      const target = yield* setUp
      const one = yield* HttpClient.ask(target, asked("echo", { text: "hi" }))
      assert.strictEqual(one.status, 200)
      assert.strictEqual(one.headers["content-type"], "application/json")
      assert.isUndefined(one.headers["mcp-session-id"])
      assert.strictEqual(one.messages[0]?.id, "q")
      assert.strictEqual(one.messages[0]?.result?.["resultType"], "complete")
      const call = asked("progress", { count: 2, label: "x" }, { meta: { progressToken: 0 } })
      const more = yield* HttpClient.ask(target, call)
      assert.strictEqual(more.headers["content-type"], "text/event-stream")
      assert.notInclude(more.text, "id: ")
      assert.deepStrictEqual(
        more.messages.map(({ id, params }) => [id, params?.["progressToken"]]),
        [
          [undefined, 0],
          [undefined, 0],
          ["q", undefined]
        ]
      )
    })
  )

  it.live("cancels what its client goes from", () =>
    Effect.gen(function* () {
      const target = yield* setUp
      const call = asked("sleep", { label: "gone" }, { meta: { progressToken: 0 } })
      const calling = yield* HttpClient.open(target, call)
      yield* calling.event
      yield* calling.cut
      const until = asked("until", { list: "cancellations", count: 1 })
      const { messages } = yield* HttpClient.ask(target, until)
      const [cancelled] = JSON.parse(LineClient.textOf(messages[0]!)) as Stats["cancellations"]
      assert.strictEqual(cancelled?.label, "gone")
    }).pipe(Effect.scoped)
  )

  it.effect("lets go of who reads nothing of an answer", () =>
    Effect.gen(function* () {
      const target = yield* setUp
      const bytes = 10_000_000
      const deaf = yield* HttpClient.open(target, asked("big", { bytes }))
      yield* deaf.pause
      yield* TestClock.adjust("2 minutes")
      yield* deaf.resume
      yield* deaf.ended
      assert.isBelow(deaf.text().length, bytes)
    }).pipe(Effect.scoped)
  )

  it.live("tells who listens of a list that has changed, until they go", () =>
    Effect.gen(function* () {
      const target = yield* setUp
      const params = { notifications: { toolsListChanged: true }, _meta: meta }
      const headers = { "mcp-protocol-version": "2026-07-28", "mcp-method": "subscriptions/listen" }
      const body = { jsonrpc: "2.0", id: 7, method: "subscriptions/listen", params }
      const listening = yield* HttpClient.open(target, { path, headers, body })
      assert.strictEqual(listening.headers["content-type"], "text/event-stream")
      assert.strictEqual((yield* listening.message).method, "notifications/subscriptions/acknowledged")
      yield* HttpClient.ask(target, asked("add_tool", { name: "new" }))
      const changed = yield* listening.message
      assert.strictEqual(changed.method, "notifications/tools/list_changed")
      assert.deepStrictEqual(changed.params?.["_meta"], { [key("subscriptionId")]: 7 })
    }).pipe(Effect.scoped)
  )

  it.live("ends what listens by its last answer, where the server is removed, and where the listener ends", () =>
    Effect.gen(function* () {
      const last = { resultType: "complete", _meta: { [key("subscriptionId")]: 7 } }
      for (const end of ["removed", "closed"] as const) {
        const target = yield* setUp
        const params = { notifications: { toolsListChanged: true }, _meta: meta }
        const headers = { "mcp-protocol-version": "2026-07-28", "mcp-method": "subscriptions/listen" }
        const body = { jsonrpc: "2.0", id: 7, method: "subscriptions/listen", params }
        const listening = yield* HttpClient.open(target, { path, headers, body })
        yield* listening.message
        yield* end === "removed" ? target.pool.remove("shared") : target.close
        assert.deepStrictEqual((yield* listening.message).result, last)
        yield* listening.ended
      }
    }).pipe(Effect.scoped)
  )

  it.live("names the Unix socket of a server that has a process for each session", () =>
    Effect.gen(function* () {
      const target = yield* setUp
      const { messages } = yield* HttpClient.ask(target, asked("echo", {}, { path: "/servers/own/mcp" }))
      assert.include(JSON.stringify(messages[0]?.error?.data), `${target.runtimeDir}/servers/own/mcp.sock`)
    })
  )

  it.live("refuses a call whose headers say another of its marked arguments than its body", () =>
    Effect.gen(function* () {
      const target = yield* setUp
      const good = [200, undefined]
      const bad = [400, -32020]
      const listing = asked("", {}, { method: "tools/list", path: "/servers/marked/mcp" })
      assert.strictEqual((yield* HttpClient.ask(target, listing)).status, 200)
      for (const [path, tool] of [
        ["/servers/marked/mcp", "test_header_parameter"],
        ["/mcp", "marked__test_header_parameter"]
      ] as const) {
        const calling = (args: object, headers: { readonly [name: string]: string } = {}) =>
          Effect.map(HttpClient.ask(target, asked(tool, args, { path, headers })), ({ messages, status }) => [
            status,
            messages[0]?.error?.code
          ])
        assert.deepStrictEqual(yield* calling({ region: "eu" }, { "Mcp-Param-Region": "eu" }), good)
        assert.deepStrictEqual(yield* calling({ region: "é" }, { "mcp-param-region": "=?base64?w6k=?=" }), good)
        assert.deepStrictEqual(yield* calling({ region: "eu" }), bad)
        assert.deepStrictEqual(yield* calling({ region: "eu" }, { "mcp-param-region": "us" }), bad)
        assert.deepStrictEqual(yield* calling({ region: "é" }, { "mcp-param-region": "=?base64?w6k?=" }), bad)
      }
    })
  )

  it.live("says what is wrong with each request, and goes on", () =>
    Effect.gen(function* () {
      const target = yield* setUp
      const version = (value: string) => ({ [key("protocolVersion")]: value })
      const cases: ReadonlyArray<readonly [string, HttpClient.Asked, status: number, code: number | undefined]> = [
        ["no version", asked("echo", {}, { headers: { "mcp-protocol-version": undefined } }), 400, -32020],
        ["another version", asked("echo", {}, { headers: { "mcp-protocol-version": "2025-11-25" } }), 400, -32020],
        ["no method", asked("echo", {}, { headers: { "mcp-method": undefined } }), 400, -32020],
        ["another method", asked("echo", {}, { headers: { "mcp-method": "tools/list" } }), 400, -32020],
        ["no name", asked("echo", {}, { headers: { "mcp-name": undefined } }), 400, -32020],
        ["another name", asked("echo", {}, { headers: { "mcp-name": "stats" } }), 400, -32020],
        ["a name that is no base64", asked("echo", {}, { headers: { "mcp-name": "=?base64?*?=" } }), 400, -32020],
        ["a name in base64", asked("echo", {}, { headers: { "mcp-name": "=?base64?ZWNobw==?=" } }), 200, undefined],
        ["a body of tomorrow", asked("echo", {}, { meta: version("2099-01-01") }), 400, -32020],
        [
          "tomorrow",
          asked("echo", {}, { headers: { "mcp-protocol-version": "2099-01-01" }, meta: version("2099-01-01") }),
          400,
          -32022
        ],
        ["no capabilities", asked("echo", {}, { meta: { [key("clientCapabilities")]: undefined } }), 400, -32602],
        ["what is gone", asked("x", {}, { method: "ping" }), 404, -32601],
        ["what never was", asked("x", {}, { method: "tools/none" }), 404, -32601],
        ["initialize", { ...asked("x", {}, { method: "initialize" }) }, 404, -32601],
        ["a batch", { ...asked("echo"), body: [asked("echo").body as object] }, 400, -32600],
        ["initialize as it was", { ...asked("x"), body: HttpClient.initialize() }, 400, -32020],
        ["GET", { path, method: "GET", headers: { "mcp-protocol-version": "2026-07-28" } }, 405, -32600],
        ["DELETE", { path, method: "DELETE", headers: { "mcp-protocol-version": "2026-07-28" } }, 405, -32600],
        ["no server", asked("echo", {}, { path: "/servers/none/mcp" }), 404, -32600]
      ]
      for (const [what, its, status, code] of cases) {
        const answer = yield* HttpClient.ask(target, its)
        assert.deepStrictEqual([answer.status, answer.messages[0]?.error?.code], [status, code], what)
      }
      const notice = { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 1, _meta: meta } }
      assert.strictEqual((yield* HttpClient.ask(target, { ...asked("x"), headers: {}, body: notice })).status, 202)
      assert.strictEqual((yield* stats(target)).calls, 2)
    })
  )
})
