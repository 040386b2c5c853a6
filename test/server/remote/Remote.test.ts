/** Servers with a `url`: a session over HTTP that all clients share, supervised as a process is. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import * as path from "node:path"
import type { ServerOptions } from "../../../src/config/ServerSpec.ts"
import * as Fixture from "../../fixtures/conformance/http.ts"
import * as LineClient from "../../support/LineClient.ts"
import * as RemoteServer from "../../support/RemoteServer.ts"
import * as TestPool from "../../support/TestPool.ts"

const setUp = Effect.fnUntraced(function* (
  entry: ServerOptions = {},
  prepare: (remote: RemoteServer.RemoteServer) => void = () => {}
) {
  const remote = yield* RemoteServer.make()
  prepare(remote)
  const world = yield* TestPool.make(() => ({ far: { url: remote.url, ...entry } }))
  const status = Effect.map(world.pool.status, ([far]) => far!)
  return { remote, status, ...world }
})

const textOf = LineClient.textOf
const kindOf = LineClient.kindOf

describe("a server with a url", () => {
  it.live("answers many clients over one session, whose notifications come before what follows", () =>
    Effect.gen(function* () {
      const { connect, remote, status } = yield* setUp()
      const one = yield* connect("far")
      const other = yield* connect("far")
      assert.strictEqual(textOf(yield* one.call("echo", { a: 1 })), 'echo {"a":1}')
      assert.strictEqual(textOf(yield* other.call("echo", { a: 2 })), 'echo {"a":2}')
      assert.strictEqual(remote.of("initialize").length, 1)
      const [first, second, ...rest] = remote.exchanges()
      assert.strictEqual(first?.message?.method, "initialize")
      assert.strictEqual(second?.message?.method, "notifications/initialized")
      for (const exchange of [second, ...rest]) {
        assert.strictEqual(exchange?.headers["mcp-session-id"], "session-1")
        assert.strictEqual(exchange?.headers["mcp-protocol-version"], "2025-11-25")
      }
      const { host, pid, processes, state, tools } = yield* status
      assert.deepStrictEqual([state, pid, host, tools], ["running", null, `127.0.0.1:${remote.port}`, 1])
      assert.deepStrictEqual(
        processes.map(({ memory, pid }) => [pid, memory]),
        [[null, null]]
      )
    })
  )

  for (const era of ["legacy", "modern"] as const) {
    it.live(`works with an SDK's server of the ${era} era`, () =>
      Effect.gen(function* () {
        const { url } = yield* Effect.acquireRelease(
          Effect.promise(() => Fixture.serve(era)),
          ({ close }) => Effect.promise(close)
        )
        const world = yield* TestPool.make(() => ({ far: { url } }))
        const client = yield* world.open("far", { elicitation: { form: {} } })
        assert.strictEqual(
          textOf(yield* client.call("test_simple_text")),
          "This is a simple text response for testing."
        )
        const done = yield* client.call("test_tool_with_progress", {}, { token: "t" })
        assert.isUndefined(done.error)
        const progress = client.received().filter(({ method }) => method === "notifications/progress")
        assert.deepStrictEqual(
          progress.map(({ params }) => [params?.["progressToken"], params?.["progress"]]),
          [0, 50, 100].map((at) => ["t", at])
        )
        assert.strictEqual(
          textOf(yield* client.call("test_header_parameter", { region: "Köln" })),
          "The region is Köln"
        )
        const name = era === "legacy" ? "test_elicitation" : "test_input_required_result_elicitation"
        const asking = yield* Effect.forkChild(client.call(name, { message: "?" }), { startImmediately: true })
        const { id } = yield* client.notification("elicitation/create")
        yield* client.send({
          id,
          result: { action: "accept", content: { name: "Ada", username: "ada", email: "a@b.c" } }
        })
        assert.isUndefined((yield* Fiber.join(asking)).error)
        yield* client.call("test_trigger_tool_change")
        yield* client.notification("notifications/tools/list_changed")
        if (era === "legacy") {
          assert.strictEqual(textOf(yield* client.call("test_reconnection")), "The answer after a reconnection")
        }
      })
    )
  }

  it.live("sends the configuration's headers and the transport's own, and nothing of a client's", () =>
    Effect.gen(function* () {
      const { connect, remote } = yield* setUp({
        headers: { Authorization: "Bearer t0ken-of-the-pool", "X-Team": "a" }
      })
      const client = yield* connect("far")
      yield* client.call("echo", { Authorization: "mine" })
      const { rawHeaders } = yield* remote.next("echo")
      const headers = Object.fromEntries(
        rawHeaders.flatMap((name, i) => (i % 2 === 0 ? [[name.toLowerCase(), rawHeaders[i + 1]]] : []))
      )
      const { "content-length": _, host: _host, ...rest } = headers
      assert.deepStrictEqual(rest, {
        accept: "application/json, text/event-stream",
        authorization: "Bearer t0ken-of-the-pool",
        connection: "keep-alive",
        "content-type": "application/json",
        "mcp-protocol-version": "2025-11-25",
        "mcp-session-id": "session-1",
        "x-team": "a"
      })
    })
  )

  it.live("has progress in order, questions to the client that is concerned, and changes of lists", () =>
    Effect.gen(function* () {
      const { open, remote } = yield* setUp({}, (remote) => {
        remote.answer(
          "GET",
          ({ response }) => void response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders()
        )
      })
      const client = yield* open("far", { elicitation: {} })
      const calling = yield* Effect.forkChild(client.call("ask", {}, { token: "t" }))
      remote.answer("ask", () => {})
      const call = yield* remote.next("ask")
      const { progressToken } = (call.message?.params?.["_meta"] ?? {}) as { readonly progressToken?: unknown }
      for (const progress of [1, 2, 3]) {
        call.event({ method: "notifications/progress", params: { progressToken, progress } })
      }
      call.event({ id: "q", method: "elicitation/create", params: { message: "?", requestedSchema: {} } })
      const question = yield* client.notification("elicitation/create")
      yield* client.send({ id: question.id, result: { action: "accept", content: {} } })
      const { message } = yield* remote.next("answer")
      assert.deepStrictEqual([message?.id, message?.result?.["action"]], ["q", "accept"])
      call.event({ id: call.message?.id, result: { content: [{ type: "text", text: "asked" }] } })
      call.response.end()
      assert.strictEqual(textOf(yield* Fiber.join(calling)), "asked")
      const seen = client.received().filter(({ method }) => method === "notifications/progress")
      assert.deepStrictEqual(
        seen.map(({ params }) => params?.["progress"]),
        [1, 2, 3]
      )
      const listening = yield* remote.next("GET")
      listening.event({ method: "notifications/tools/list_changed" })
      yield* client.notification("notifications/tools/list_changed")
    })
  )

  it.live("tells its server of what is cancelled, and does not wait for an answer", () =>
    Effect.gen(function* () {
      const { connect, remote } = yield* setUp()
      const client = yield* connect("far")
      remote.answer("slow", () => {})
      yield* client.send({ id: "mine", method: "tools/call", params: { name: "slow" } })
      const call = yield* remote.next("slow")
      yield* client.notify("notifications/cancelled", { requestId: "mine" })
      const { message } = yield* remote.next("notifications/cancelled")
      assert.strictEqual(message?.params?.["requestId"], call.message?.id)
      assert.strictEqual(textOf(yield* client.call("echo")), "echo {}")
    })
  )

  it.live("ends the stream of what is cancelled where its server is modern", () =>
    Effect.gen(function* () {
      const { connect, remote } = yield* setUp({}, (remote) => {
        remote.answer("initialize", ({ json }) => json({ error: { code: -32601, message: "no such method" } }))
        remote.answer("server/discover", ({ result }) =>
          result({
            resultType: "complete",
            supportedVersions: ["2026-07-28"],
            capabilities: { tools: {} },
            serverInfo: {}
          })
        )
        remote.answer("slow", ({ event }) =>
          event({ method: "notifications/message", params: { level: "info", data: 1 } })
        )
      })
      const client = yield* connect("far")
      yield* client.send({ id: 7, method: "tools/call", params: { name: "slow" } })
      const { headers, response } = yield* remote.next("slow")
      assert.deepStrictEqual(
        [headers["mcp-protocol-version"], headers["mcp-method"], headers["mcp-name"]],
        ["2026-07-28", "tools/call", "slow"]
      )
      const closed = Effect.callback<void>((resume) => void response.once("close", () => resume(Effect.void)))
      const closing = yield* Effect.forkChild(closed, { startImmediately: true })
      yield* client.notify("notifications/cancelled", { requestId: 7 })
      yield* Fiber.join(closing)
      assert.deepStrictEqual(remote.of("notifications/cancelled"), [])
      // A name that no header can hold goes in another form.
      yield* client.call("größe")
      const named = remote.of("tools/call").at(-1)
      assert.strictEqual(named?.headers["mcp-name"], `=?base64?${Buffer.from("größe").toString("base64")}?=`)
    })
  )

  it.live("has more requests than connections answered, and a question's answer waits for none of them", () =>
    Effect.gen(function* () {
      const { open, remote } = yield* setUp({ pool: { maxInFlight: 400 } })
      const client = yield* open("far", { elicitation: {} })
      const held: Array<RemoteServer.Exchange> = []
      remote.answer("held", (exchange) => void held.push(exchange))
      const calls = Array.from({ length: 300 }, (_, i) => ({
        id: `c${i}`,
        method: "tools/call",
        params: { name: "held" }
      }))
      for (const call of calls) yield* client.send(call)
      yield* Effect.all(Array.from({ length: 256 }, () => remote.next("held")))
      assert.strictEqual(held.length, 256)
      held[0]!.event({ id: "q", method: "elicitation/create", params: { message: "?", requestedSchema: {} } })
      const { id } = yield* client.notification("elicitation/create")
      yield* client.send({ id, result: { action: "decline" } })
      yield* remote.next("answer")
      remote.answer("held", ({ result }) => result({ content: [] }))
      for (const [i, exchange] of held.entries()) {
        if (i > 0) exchange.result({ content: [] })
        else exchange.event({ id: exchange.message?.id, result: { content: [] } })
      }
      for (const { id } of calls) assert.isUndefined((yield* client.answer(id)).error)
    })
  )

  it.live("has a session of its own for each client where that is asked for", () =>
    Effect.gen(function* () {
      const { connect, remote } = yield* setUp({ pool: { sharing: "per-session" } })
      const one = yield* connect("far")
      const other = yield* connect("far")
      yield* one.call("echo")
      yield* other.call("echo")
      const sessions = remote.of("echo").map(({ headers }) => headers["mcp-session-id"])
      assert.strictEqual(new Set(sessions).size, 2)
      yield* one.destroy
      const { headers } = yield* remote.next("DELETE")
      assert.strictEqual(headers["mcp-session-id"], sessions[0])
      assert.strictEqual(textOf(yield* other.call("echo")), "echo {}")
    })
  )

  it.live("is spoken to at a Unix socket", () =>
    Effect.gen(function* () {
      const file = path.join(yield* TestPool.temporaryDirectory, "s.sock")
      const remote = yield* RemoteServer.make(file)
      const world = yield* TestPool.make(() => ({ far: { url: `unix://${file}#/deep/mcp` } }))
      const client = yield* world.connect("far")
      assert.strictEqual(textOf(yield* client.call("echo")), "echo {}")
      assert.strictEqual(remote.exchanges()[0]?.path, "/deep/mcp")
      assert.strictEqual((yield* world.pool.status)[0]?.host, "s.sock")
    })
  )
})

describe("the end of a remote session", () => {
  it.live("is asked for when the server is stopped, and waited for a bounded time", () =>
    Effect.gen(function* () {
      const { pool, remote } = yield* setUp({ pool: { stop: { stdin: "100 millis" } } })
      yield* pool.stop("far")
      const { headers } = yield* remote.next("DELETE")
      assert.strictEqual(headers["mcp-session-id"], "session-1")
      yield* pool.start("far")
      // It never answers.
      remote.answer("DELETE", () => {})
      yield* pool.stop("far")
      yield* remote.next("DELETE")
    })
  )

  it.live("comes with 404: another takes its place, and what was refused goes there", () =>
    Effect.gen(function* () {
      const { connect, pool, remote } = yield* setUp()
      const client = yield* connect("far")
      for (const refuse of [
        ({ status }: RemoteServer.Exchange) => status(404),
        // As many examples answer.
        ({ status }: RemoteServer.Exchange) =>
          status(400, {}, '{"jsonrpc":"2.0","error":{"code":-32000,"message":"No valid session ID"},"id":null}')
      ]) {
        const session = `session-${remote.of("initialize").length}`
        const usual = ({ message, result }: RemoteServer.Exchange) =>
          result({ content: [{ type: "text", text: String(message?.params?.["name"]) }] })
        for (const name of ["echo", "ping"]) {
          remote.answer(name, (exchange) =>
            exchange.headers["mcp-session-id"] === session ? refuse(exchange) : usual(exchange)
          )
        }
        assert.strictEqual(textOf(yield* client.call("echo")), "echo")
      }
      const [far] = yield* pool.status
      assert.strictEqual(far?.restarts, 2)
      assert.strictEqual(far?.lastFailure?.kind, "RemoteEnded")
      assert.include(far?.lastFailure?.message, "has ended its session: HTTP 400")
    })
  )

  it.live("is seen where its server dies while nobody asks it anything", () =>
    Effect.gen(function* () {
      const { connect, remote, states } = yield* setUp(
        { pool: { budget: { base: "10 millis", max: 100 } } },
        (remote) =>
          remote.answer("GET", ({ response }) => {
            response.writeHead(200, { "content-type": "text/event-stream" })
            response.write("retry: 10\n\n")
          })
      )
      const client = yield* connect("far")
      yield* remote.next("GET")
      yield* remote.down
      yield* states.reached("far", "restarting")
      yield* remote.up
      assert.strictEqual(textOf(yield* client.call("echo")), "echo {}")
      assert.strictEqual(remote.of("initialize").length, 2)
    })
  )

  it.live(
    "comes with its server's death: what it held may have run, each is told so once, and it is started again",
    () =>
      Effect.gen(function* () {
        const { connect, remote, states, status } = yield* setUp({ pool: { budget: { base: "10 millis", max: 100 } } })
        const clients = yield* Effect.all([connect("far"), connect("far")])
        remote.answer("slow", () => {})
        for (const client of clients) {
          yield* client.send({ id: "s", method: "tools/call", params: { name: "slow" } })
          yield* remote.next("slow")
        }
        yield* remote.down
        for (const client of clients) assert.strictEqual(kindOf(yield* client.answer("s")), "OutcomeUnknown")
        // Nobody is there: it waits for another session.
        yield* clients[0].send({ id: "w", method: "tools/call", params: { name: "echo" } })
        yield* states.reached("far", "restarting")
        yield* remote.up
        assert.strictEqual(textOf(yield* clients[0].answer("w")), "echo {}")
        assert.strictEqual(textOf(yield* clients[1].call("echo")), "echo {}")
        for (const client of clients) {
          assert.strictEqual(client.received().filter(({ id }) => id === "s").length, 1)
        }
        const { lastFailure } = yield* status
        assert.include(lastFailure?.message, "cannot be reached: ECONNREFUSED")
      })
  )
})

describe("a remote server that does not let the pool in", () => {
  for (const [what, refuse] of [
    ["401", ({ status }) => status(401, { "www-authenticate": 'Bearer resource_metadata="https://x/.well-known"' })],
    ["403", ({ status }) => status(403)]
  ] as ReadonlyArray<[string, (exchange: RemoteServer.Exchange) => void]>) {
    it.live(`is failed at once, and the hint names mcp-remote: ${what}`, () =>
      Effect.gen(function* () {
        const { dial, pool, remote, status } = yield* setUp({}, (remote) => remote.answer("initialize", refuse))
        const { lastFailure, state } = yield* status
        assert.strictEqual(state, "failed")
        assert.include(lastFailure?.message, `does not let the pool in: HTTP ${what}`)
        assert.strictEqual(lastFailure?.classification, "permission")
        assert.include(lastFailure?.hint, '"npx", "args": ["-y", "mcp-remote"')
        assert.strictEqual(remote.exchanges().length, 1)
        const client = yield* dial("far")
        const { error } = yield* client.initialize
        assert.include(error?.message, "mcp-remote")
        remote.answer("initialize", null)
        yield* pool.start("far")
        assert.strictEqual((yield* status).state, "running")
      })
    )
  }

  it.live("is failed where its token has expired, and nothing is lost that was not taken", () =>
    Effect.gen(function* () {
      const { connect, remote, status } = yield* setUp()
      const client = yield* connect("far")
      remote.answer("echo", ({ status }) => status(401))
      assert.strictEqual(kindOf(yield* client.call("echo")), "ServerUnavailable")
      assert.strictEqual((yield* status).state, "failed")
      assert.strictEqual(remote.of("initialize").length, 1)
    })
  )

  it.live("follows where it points within its origin, and sends its headers to no other", () =>
    Effect.gen(function* () {
      const other = yield* RemoteServer.make()
      const { connect, remote } = yield* setUp({}, (remote) =>
        remote.answer("POST", (exchange) => {
          if (exchange.path === "/mcp") return exchange.status(307, { location: "/mcp/" })
          if (exchange.message?.method === "initialize") return exchange.result(RemoteServer.hello)
          return exchange.message?.id === undefined ? exchange.status(202) : exchange.result({ content: [] })
        })
      )
      const client = yield* connect("far")
      yield* client.call("echo")
      assert.deepStrictEqual(
        remote.of("POST").map(({ path }) => path),
        [
          "/mcp",
          ...remote
            .of("POST")
            .slice(1)
            .map(() => "/mcp/")
        ]
      )
      const away = yield* setUp({ headers: { Authorization: "Bearer s3cret" } }, (remote) =>
        remote.answer("initialize", ({ status }) => status(307, { location: `${other.url}?token=s3cret` }))
      )
      const { lastFailure, state } = yield* away.status
      assert.strictEqual(state, "failed")
      assert.include(lastFailure?.message, `is somewhere else: HTTP 307 to http://127.0.0.1:${other.port}`)
      assert.notInclude(JSON.stringify(lastFailure), "s3cret")
      assert.deepStrictEqual(other.exchanges(), [])
    })
  )
})

describe("a remote server that answers badly", () => {
  const cases: ReadonlyArray<[string, (exchange: RemoteServer.Exchange) => void, unknown, string]> = [
    ["with its own error", ({ json }) => json({ error: { code: -32602, message: "no" } }), undefined, "no"],
    [
      "with 400 and its own error, which names no request",
      ({ status }) => status(400, {}, '{"jsonrpc":"2.0","error":{"code":-32602,"message":"no"},"id":null}'),
      undefined,
      "no"
    ],
    ["with 400", ({ status }) => status(400, {}, "<html>"), "Internal", "HTTP 400"],
    ["with 403", ({ status }) => status(403), "Internal", "HTTP 403"],
    ["with 413", ({ status }) => status(413), "Internal", "HTTP 413"],
    ["with 429", ({ status }) => status(429), "Overloaded", "HTTP 429"],
    ["with 500", ({ status }) => status(500, {}, "oh"), "OutcomeUnknown", "may have run"],
    [
      "with 502",
      ({ status }) => status(502),
      "OutcomeUnknown",
      "did not answer this request (HTTP 502): it may have run"
    ],
    ["with 202", ({ status }) => status(202), "OutcomeUnknown", "may have run"],
    ["with a page", ({ status }) => status(200, { "content-type": "text/html" }, "<html>"), "OutcomeUnknown", "may"],
    [
      "with garbage",
      ({ status }) => status(200, { "content-type": "application/json" }, '{"jsonrpc"'),
      "OutcomeUnknown",
      "may have run"
    ],
    ["with nothing", ({ status }) => status(200, { "content-type": "application/json" }), "OutcomeUnknown", "may"],
    [
      "with garbage as an event",
      ({ status }) => status(200, { "content-type": "text/event-stream" }, "data: {]\n\n"),
      "OutcomeUnknown",
      "may have run"
    ],
    ["with the answer to another", ({ json }) => json({ id: 999_999, result: {} }), "OutcomeUnknown", "may have run"],
    ["not at all: the connection breaks", ({ reset }) => reset(), "OutcomeUnknown", "may have run"],
    [
      "in part: the connection breaks",
      ({ response }) => {
        response.writeHead(200, { "content-type": "application/json", "content-length": 100 })
        response.write('{"jsonrpc":"2.0",', () => response.destroy())
      },
      "OutcomeUnknown",
      "may have run"
    ],
    [
      "with a stream that breaks",
      ({ event, response }) => {
        event({ method: "notifications/message", params: { level: "info", data: 1 } })
        response.write("data: {", () => response.destroy())
      },
      "OutcomeUnknown",
      "may have run"
    ],
    [
      "at too great length",
      ({ result }) => result({ content: [], x: "x".repeat(200_000) }),
      "ResultTooLarge",
      "longer than maxLine"
    ],
    [
      "at too great length in an event",
      ({ event, message, response }) => {
        event({ result: { content: [], x: "x".repeat(200_000) }, id: message?.id })
        response.end()
      },
      "ResultTooLarge",
      "longer than maxLine"
    ]
  ]
  for (const [what, answer, kind, text] of cases) {
    it.live(`${what}: that request is told, and the others go on`, () =>
      Effect.gen(function* () {
        const { connect, remote, status } = yield* setUp({ pool: { maxLine: "100 KiB" } })
        const client = yield* connect("far")
        remote.answer("bad", answer)
        remote.answer("slow", () => {})
        yield* client.send({ id: "slow", method: "tools/call", params: { name: "slow" } })
        const slow = yield* remote.next("slow")
        const said = yield* client.call("bad")
        assert.strictEqual(kindOf(said), kind)
        assert.include(said.error?.message, text)
        slow.result({ content: [{ type: "text", text: "done" }] })
        assert.strictEqual(textOf(yield* client.answer("slow")), "done")
        assert.strictEqual(textOf(yield* client.call("echo")), "echo {}")
        const { restarts, state } = yield* status
        assert.deepStrictEqual([state, restarts], ["running", 0])
      })
    )
  }

  it.live("not at all: it is told when the request's time is over", () =>
    Effect.gen(function* () {
      const { connect, remote } = yield* setUp({ pool: { requestTimeout: "100 millis" } })
      const client = yield* connect("far")
      remote.answer("bad", () => {})
      assert.strictEqual(kindOf(yield* client.call("bad")), "RequestTimeout")
      const { message } = yield* remote.next("notifications/cancelled")
      assert.strictEqual(message?.params?.["requestId"], remote.of("bad")[0]?.message?.id)
    })
  )

  it.live("with a stream that breaks and can be taken up: nothing is lost, nothing comes twice", () =>
    Effect.gen(function* () {
      const { connect, remote } = yield* setUp()
      const client = yield* connect("far")
      remote.answer("long", ({ message, response }) => {
        const { progressToken } = (message?.params?.["_meta"] ?? {}) as { readonly progressToken?: unknown }
        const params = { progressToken, progress: 1 }
        response.writeHead(200, { "content-type": "text/event-stream" })
        response.write("id: e0\nretry: 10\ndata:\n\n")
        const text = JSON.stringify({ jsonrpc: "2.0", method: "notifications/progress", params })
        response.write(`id: e1\ndata: ${text}\n\n`, () => response.destroy())
      })
      const calling = yield* Effect.forkChild(client.call("long", {}, { token: 1 }), { startImmediately: true })
      const { message } = yield* remote.next("long")
      const resumed = Effect.callback<RemoteServer.Exchange>((resume) => {
        remote.answer("GET", (exchange) => {
          if (exchange.headers["last-event-id"] === "e1") resume(Effect.succeed(exchange))
          else exchange.status(405)
        })
      })
      const stream = yield* resumed
      stream.event({ id: message?.id, result: { content: [{ type: "text", text: "whole" }] } }, "e2")
      assert.strictEqual(textOf(yield* Fiber.join(calling)), "whole")
      assert.strictEqual(client.received().filter(({ method }) => method === "notifications/progress").length, 1)
    })
  )

  it.live("to the handshake: it is told what came", () =>
    Effect.gen(function* () {
      for (const [answer, said] of [
        [({ status }) => status(404), "HTTP 404"],
        [({ status }) => status(503), "HTTP 503"],
        [({ status }) => status(200, { "content-type": "text/html" }, "<html>"), "HTTP 200 with text/html"],
        [({ reset }) => reset(), "ECONNRESET"],
        [() => {}, "no answer to initialize within 200ms"]
      ] as ReadonlyArray<[(exchange: RemoteServer.Exchange) => void, string]>) {
        // One that says nothing is not waited for long; the others have all the time.
        const startTimeout = said.startsWith("no answer") ? "200 millis" : "30 seconds"
        const { status } = yield* setUp({ pool: { restart: "never", startTimeout } }, (remote) =>
          remote.answer("POST", answer)
        )
        const { lastFailure, state } = yield* status
        assert.strictEqual(state, "failed")
        assert.include(lastFailure?.message, said)
      }
    })
  )

  it.live("with what is a secret: nothing of it is told anywhere", () =>
    Effect.gen(function* () {
      const secret = "s3cret-0f-the-pool"
      const remote = yield* RemoteServer.make()
      const url = `http://user:${secret}@127.0.0.1:${remote.port}/${secret}?key=${secret}`
      const world = yield* TestPool.make(() => ({ far: { url, headers: { "X-Key": secret } } }))
      const client = yield* world.connect("far")
      for (const answer of [
        ({ status }: RemoteServer.Exchange) => status(500, {}, secret),
        ({ status }: RemoteServer.Exchange) => status(400, {}, secret),
        ({ status }: RemoteServer.Exchange) => status(200, { "content-type": secret }, secret),
        ({ reset }: RemoteServer.Exchange) => reset(),
        ({ status }: RemoteServer.Exchange) => status(302, { location: `http://x.example/${secret}` })
      ]) {
        remote.answer("bad", answer)
        yield* client.call("bad")
      }
      assert.strictEqual(remote.exchanges()[0]?.headers["x-key"], secret)
      assert.strictEqual(remote.exchanges()[0]?.headers.authorization, `Basic ${btoa(`user:${secret}`)}`)
      const logs = yield* Stream.runCollect(world.pool.logs("far", { follow: false }))
      const all = JSON.stringify([yield* world.pool.status, logs, world.logged(), client.received()])
      assert.include(all, "HTTP 500")
      assert.notInclude(all, secret)
      assert.notInclude(all, btoa(`user:${secret}`))
    })
  )
})
