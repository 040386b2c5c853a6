/** What a stranger, a browser's page or a broken program may send: the right status each, and the pool as it was. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger } from "effect"
import * as net from "node:net"
import { defaultIdle } from "../../src/http/HttpOptions.ts"
import * as HttpListener from "../../src/listen/HttpListener.ts"
import * as SocketSessions from "../../src/listen/SocketSessions.ts"
import * as McpPool from "../../src/McpPool.ts"
import * as HttpClient from "../support/HttpClient.ts"
import * as LineClient from "../support/LineClient.ts"
import * as TestPool from "../support/TestPool.ts"

const setUp = Effect.fnUntraced(function* (requestTimeout?: number) {
  const { pool, runtimeDir } = yield* TestPool.make(({ server }) => ({
    shared: server("shared"),
    "odd / näme": server("other")
  }))
  const address = { host: "127.0.0.1", port: 0 }
  const allowedHosts = ["host.docker.internal"]
  const options = { address, auth: "none", allowedHosts, idle: defaultIdle, runtimeDir, requestTimeout } as const
  const listener = yield* HttpListener.make(options).pipe(
    Effect.provideService(McpPool.McpPool, pool),
    Effect.provide([Logger.layer([]), SocketSessions.layer])
  )
  const session = yield* HttpClient.begin(listener, "shared")
  const serves = Effect.gen(function* () {
    assert.strictEqual(LineClient.textOf((yield* session.call("echo", { text: "hi" })).messages[0]!), "hi")
    assert.lengthOf(yield* pool.sessions, 1)
  })
  return { ...listener, pool, session, serves, ask: (asked: HttpClient.Asked) => HttpClient.ask(listener, asked) }
})

const path = "/servers/shared/mcp"
const initialize = HttpClient.initialize()
const ping = { jsonrpc: "2.0", id: 1, method: "ping" }

/** In a session of the server's; `undefined` as a header leaves it out. */
const cases: ReadonlyArray<
  readonly [
    what: string,
    status: number,
    asked: HttpClient.Asked & { readonly raw?: { readonly [name: string]: string | undefined } }
  ]
> = [
  ["another host", 403, { path, body: ping, raw: { host: "evil.example" } }],
  ["another host with our port", 403, { path, body: ping, raw: { host: "evil.example:8080" } }],
  ["a host that begins as ours does", 403, { path, body: ping, raw: { host: "localhost.evil.example" } }],
  ["a host with a user", 403, { path, body: ping, raw: { host: "localhost@evil.example" } }],
  ["another page", 403, { path, body: ping, raw: { origin: "http://evil.example" } }],
  ["a page from nowhere", 403, { path, body: ping, raw: { origin: "null" } }],
  ["a page of another scheme", 403, { path, body: ping, raw: { origin: "file://localhost" } }],
  ["a page whose host ends as ours does", 403, { path, body: ping, raw: { origin: "http://evil.localhost" } }],
  ["another page at the figures", 403, { path: "/metrics", raw: { origin: "http://evil.example" } }],
  ["another host at the health", 403, { path: "/health", raw: { host: "evil.example" } }],
  ["our host in capitals", 200, { path, body: ping, raw: { host: "LOCALHOST:1" } }],
  ["our host as IPv6", 200, { path, body: ping, raw: { host: "[::1]:80" } }],
  ["a host that was allowed", 200, { path, body: ping, raw: { host: "host.docker.internal:8080" } }],
  ["a page of our own", 200, { path, body: ping, raw: { origin: "http://localhost:6274" } }],
  ["no such path", 404, { path: "/mcp/servers", body: ping }],
  ["a path with more steps", 404, { path: "/servers/a/b/mcp", body: ping }],
  [
    "a path that climbs",
    404,
    { path: "/servers/%2e%2e%2fshared/mcp", body: initialize, raw: { "mcp-session-id": undefined } }
  ],
  ["a path that is no text", 404, { path: "/servers/%ff/mcp", body: ping }],
  ["no such server", 404, { path: "/servers/none/mcp", body: initialize, raw: { "mcp-session-id": undefined } }],
  [
    "a server called constructor",
    404,
    { path: "/servers/constructor/mcp", body: initialize, raw: { "mcp-session-id": undefined } }
  ],
  [
    "a server called __proto__",
    404,
    { path: "/servers/__proto__/mcp", body: initialize, raw: { "mcp-session-id": undefined } }
  ],
  ["PUT", 405, { path, method: "PUT", body: ping }],
  ["OPTIONS", 405, { path, method: "OPTIONS" }],
  ["HEAD", 405, { path, method: "HEAD" }],
  ["POST to the health", 405, { path: "/health", body: ping }],
  ["POST to the figures", 405, { path: "/metrics", body: ping }],
  ["a session called constructor", 404, { path, body: ping, raw: { "mcp-session-id": "constructor" } }],
  ["a session called __proto__", 404, { path, body: ping, raw: { "mcp-session-id": "__proto__" } }],
  [
    "a session that never was",
    404,
    { path, body: ping, raw: { "mcp-session-id": "3f1c1f5e-0000-4000-8000-000000000000" } }
  ],
  ["a session of another server", 404, { path: "/servers/odd%20%2F%20n%C3%A4me/mcp", body: ping }],
  ["the end of a session of another server", 404, { path: "/servers/odd%20%2F%20n%C3%A4me/mcp", method: "DELETE" }],
  ["no session", 400, { path, body: ping, raw: { "mcp-session-id": undefined } }],
  ["no session at GET", 400, { path, method: "GET", raw: { "mcp-session-id": undefined } }],
  ["no session at DELETE", 400, { path, method: "DELETE", raw: { "mcp-session-id": undefined } }],
  ["initialize in a batch", 400, { path, body: [initialize], raw: { "mcp-session-id": undefined } }],
  [
    "initialize without an id",
    400,
    { path, body: { ...initialize, id: undefined }, raw: { "mcp-session-id": undefined } }
  ],
  [
    "initialize with a disguised method",
    400,
    {
      path,
      body: '{"jsonrpc":"2.0","id":0,"method":"ping","\\u006dethod":"initialize","params":{}}',
      raw: { "mcp-session-id": undefined }
    }
  ],
  ["a revision of tomorrow", 400, { path, body: ping, raw: { "mcp-protocol-version": "2099-01-01" } }],
  ["a revision that is none", 400, { path, body: ping, raw: { "mcp-protocol-version": "toString" } }],
  ["no content type", 415, { path, body: ping, raw: { "content-type": undefined } }],
  ["text", 415, { path, body: ping, raw: { "content-type": "text/plain" } }],
  ["a form", 415, { path, body: ping, raw: { "content-type": "application/x-www-form-urlencoded" } }],
  ["what only looks like JSON", 415, { path, body: ping, raw: { "content-type": "application/jsonp" } }],
  ["JSON with a charset", 200, { path, body: ping, raw: { "content-type": "application/json; charset=utf-8" } }],
  ["who takes only JSON", 406, { path, body: ping, raw: { accept: "application/json" } }],
  ["who takes only events", 406, { path, body: ping, raw: { accept: "text/event-stream" } }],
  ["who takes nothing", 406, { path, body: ping, raw: { accept: undefined } }],
  ["who takes JSON not at all", 406, { path, body: ping, raw: { accept: "application/json;q=0, text/event-stream" } }],
  ["who takes anything", 200, { path, body: ping, raw: { accept: "*/*" } }],
  ["who listens and takes only JSON", 406, { path, method: "GET", raw: { accept: "application/json" } }],
  ["nothing", 400, { path, body: "" }],
  ["half a message", 400, { path, body: '{"jsonrpc":"2.0","id":1,"meth' }],
  ["what is no JSON", 400, { path, body: "hello" }],
  ["JSON that is no message", 400, { path, body: "42" }],
  ["an empty batch", 400, { path, body: "[]" }],
  ["a batch of very many", 400, { path, body: `[${"{},".repeat(1_000_000)}{}]` }],
  ["a batch of very many, one of them good", 400, { path, body: `[${JSON.stringify(ping)}${",1".repeat(1_000_000)}]` }],
  ["a message of no kind", 400, { path, body: '{"jsonrpc":"2.0"}' }],
  ["a request of JSON-RPC 1", 400, { path, body: '{"id":1,"method":"ping"}' }],
  ["bytes", 400, { path, body: Buffer.from([0, 1, 2, 0xff, 0xfe, 0x80]) }],
  ["bytes in a string", 400, { path, body: Buffer.from('{"jsonrpc":"2.0","id":1,"method":"p\xffing"}', "latin1") }],
  ["gzip", 400, { path, body: Buffer.from("1f8b0800000000000003", "hex"), raw: { "content-encoding": "gzip" } }],
  ["nesting", 400, { path, body: "[".repeat(100_000) }],
  ["a body that is too long", 413, { path, body: Buffer.alloc(4 * 1024 * 1024 + 1, 0x20) }],
  ["chunks that are too long", 413, { path, body: Array.from({ length: 65 }, () => Buffer.alloc(64 * 1024, 0x20)) }],
  [
    "a body that is just not too long",
    200,
    { path, body: Buffer.concat([Buffer.alloc(4 * 1024 * 1024 - 41, 0x20), Buffer.from(JSON.stringify(ping))]) }
  ]
]

describe("Gateway", () => {
  it.live("says what is wrong with each request, and goes on", () =>
    Effect.gen(function* () {
      const { ask, serves, session } = yield* setUp()
      for (const [what, status, { raw = {}, ...asked }] of cases) {
        const all: { [name: string]: string | undefined } = { ...session.headers }
        const isPost = asked.body !== undefined && asked.method !== "PUT"
        if (isPost) all["content-type"] = "application/json"
        all["accept"] = isPost ? "application/json, text/event-stream" : "text/event-stream"
        Object.assign(all, raw)
        const headers = Object.fromEntries(
          Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined)
        )
        const answer = yield* Effect.result(ask({ ...asked, headers, bare: true }))
        assert.strictEqual(answer._tag === "Success" ? answer.success.status : answer.failure.message, status, what)
      }
      yield* serves
    })
  )

  it.live("serves a server of any name", () =>
    Effect.gen(function* () {
      const { url } = yield* setUp()
      const session = yield* HttpClient.begin({ url }, encodeURIComponent("odd / näme"))
      assert.strictEqual((yield* session.call("echo", { text: "hi" })).status, 200)
    })
  )

  it.live("names the revisions that it knows to who speaks another", () =>
    Effect.gen(function* () {
      const { ask } = yield* setUp()
      const { messages } = yield* ask({ path, headers: { "mcp-protocol-version": "2099-01-01" }, body: ping })
      assert.deepStrictEqual(messages[0]?.error, {
        code: -32022,
        message: "Unsupported protocol version",
        data: {
          supported: ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05", "2024-10-07"],
          requested: "2099-01-01"
        }
      })
    })
  )

  for (const [what, bytes, status] of [
    ["headers that do not end", `POST ${path} HTTP/1.1\r\nhost: localhost\r\nx: `, "408"],
    ["a body that does not end", `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{`, "4"],
    ["headers that are too long", `GET /health HTTP/1.1\r\nhost: localhost\r\nx: ${"x".repeat(20_000)}\r\n\r\n`, "431"],
    [
      "two lengths",
      `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}`,
      "400"
    ],
    [
      "a length and chunks",
      `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
      "400"
    ],
    ["no HTTP", "hello\r\n\r\n", "400"],
    ["two hosts", "GET /health HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\nconnection: close\r\n\r\n", "400"],
    [
      "two tokens",
      "GET /health HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer a\r\nauthorization: Bearer b\r\nconnection: close\r\n\r\n",
      "400"
    ],
    [
      "a long body that waits to be asked for",
      `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\naccept: */*\r\nexpect: 100-continue\r\ncontent-length: 10000000\r\n\r\n`,
      "413"
    ],
    [
      "a body that waits to be asked for by another host",
      `POST ${path} HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n`,
      "403"
    ],
    ["an empty host", `GET /health HTTP/1.1\r\nhost:\r\nconnection: close\r\n\r\n`, "403"],
    ["no host", `GET /health HTTP/1.1\r\nconnection: close\r\n\r\n`, "403"],
    [
      "another host in the target",
      `GET http://evil.example/health HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n`,
      "403"
    ],
    ["TLS", Buffer.from("1603010200010001fc0303", "hex"), "400"]
  ] as const) {
    it.live(`lets go of ${what}`, () =>
      Effect.gen(function* () {
        const { serves, url } = yield* setUp(300)
        const said = yield* Effect.callback<string>((resume) => {
          const socket = net.connect(Number(new URL(url).port), "127.0.0.1", () => socket.write(bytes))
          let text = ""
          socket.on("data", (chunk) => (text += String(chunk)))
          socket.on("error", () => {})
          socket.on("close", () => resume(Effect.succeed(text)))
        })
        assert.include(said.split("\r\n")[0], `HTTP/1.1 ${status}`)
        yield* serves
      })
    )
  }
})
