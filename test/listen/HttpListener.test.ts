import { assert, describe, it } from "@effect/vitest"
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js"
import { Deferred, Effect, Exit, Fiber, Logger } from "effect"
import { TestClock } from "effect/testing"
import * as fs from "node:fs"
import { defaultIdle, type HttpOptions } from "../../src/http/HttpOptions.ts"
import * as HttpListener from "../../src/listen/HttpListener.ts"
import * as SocketSessions from "../../src/listen/SocketSessions.ts"
import * as McpPool from "../../src/McpPool.ts"
import * as RuntimeDir from "../../src/RuntimeDir.ts"
import * as HttpClient from "../support/HttpClient.ts"
import * as LineClient from "../support/LineClient.ts"
import * as Memory from "../support/Memory.ts"
import * as TestPool from "../support/TestPool.ts"
import type { Stats } from "../support/Tools.ts"

const usual: HttpOptions = {
  address: { host: "127.0.0.1", port: 0 },
  auth: "none",
  allowedHosts: [],
  idle: defaultIdle
}

const listen = (
  pool: McpPool.McpPool["Service"],
  options: Partial<HttpListener.Options> & { readonly runtimeDir: string },
  ...loggers: ReadonlyArray<Logger.Logger<unknown, unknown>>
) =>
  HttpListener.make({ ...usual, ...options }).pipe(
    Effect.provideService(McpPool.McpPool, pool),
    Effect.provide([Logger.layer(loggers), SocketSessions.layer])
  )

const setUp = Effect.fnUntraced(function* (
  options: Partial<HttpListener.Options> = {},
  servers: Parameters<typeof TestPool.make>[0] = ({ server }) => ({
    shared: server("shared"),
    other: server("other")
  })
) {
  const test = yield* TestPool.make(servers)
  const listener = yield* listen(test.pool, { runtimeDir: test.runtimeDir, ...options })
  const begin = (server = "shared", more?: Parameters<typeof HttpClient.begin>[2]) =>
    HttpClient.begin(listener, server, more)
  return { ...test, ...listener, begin, ask: (asked: HttpClient.Asked) => HttpClient.ask(listener, asked) }
})

/** A client of SDK 1 in a session with the server. */
const connect1 = Effect.fnUntraced(function* (url: string, server = "shared") {
  const transport = new StreamableHTTPClientTransport(new URL(`${url}/servers/${server}/mcp`))
  const client = yield* Effect.acquireRelease(
    Effect.sync(() => new Client({ name: "http-test", version: "1" })),
    (client) => Effect.promise(() => client.close())
  )
  yield* Effect.promise(() => client.connect(transport))
  return { client, transport }
})

const textOf = ({ messages }: HttpClient.Answer): string => LineClient.textOf(messages.at(-1)!)
const path = "/servers/shared/mcp"

describe("HttpListener", () => {
  it.live("serves a client of SDK 1, its progress before its answer", () =>
    Effect.gen(function* () {
      const { pool, url } = yield* setUp()
      const { client, transport } = yield* connect1(url)
      assert.deepStrictEqual(
        (yield* Effect.promise(() => client.listTools())).tools.map(({ name }) => name),
        ["echo", "sleep", "progress", "stats"]
      )
      const progress: Array<number> = []
      yield* Effect.promise(() =>
        client.callTool({ name: "progress", arguments: { count: 20, label: "ü" } }, undefined, {
          onprogress: (it) => progress.push(it.progress)
        })
      )
      assert.deepStrictEqual(
        progress,
        Array.from({ length: 20 }, (_, i) => i + 1)
      )
      assert.deepStrictEqual(
        (yield* pool.sessions).map(({ client, server }) => [client, server]),
        [["http-test", "shared"]]
      )
      yield* Effect.promise(() => transport.terminateSession())
      assert.deepStrictEqual(yield* pool.sessions, [])
    })
  )

  it.live("answers with JSON where one message answers, and with events where more do", () =>
    Effect.gen(function* () {
      const { begin } = yield* setUp()
      const session = yield* begin()
      const one = yield* session.call("echo", { text: "hällo" })
      assert.strictEqual(one.headers["content-type"], "application/json")
      assert.strictEqual(textOf(one), "hällo")
      const more = yield* session.call("progress", { count: 3, label: "l" }, "a \\ \u00fc")
      assert.strictEqual(more.headers["content-type"], "text/event-stream")
      assert.deepStrictEqual(
        more.messages.map(({ id, params }) => [id, params?.["progressToken"], params?.["progress"]]),
        [1, 2, 3]
          .map((progress): Array<unknown> => [undefined, 'token "a \\\\ \u00fc"', progress])
          .concat([["a \\ \u00fc", undefined, undefined]])
      )
    })
  )

  it.live("keeps apart sessions that use the same ids, and ids of other types", () =>
    Effect.gen(function* () {
      const { begin } = yield* setUp()
      const sessions = yield* Effect.all([begin(), begin(), begin("other")])
      const answers = yield* Effect.forEach(
        sessions.flatMap((session, index) => [1, "1"].map((id) => ({ session, id, text: `${index} ${typeof id}` }))),
        ({ id, session, text }) => Effect.map(session.call("echo", { text }, id), (answer) => ({ answer, id, text })),
        { concurrency: "unbounded" }
      )
      for (const { answer, id, text } of answers) {
        assert.strictEqual(textOf(answer), text)
        assert.strictEqual(answer.messages[0]?.id, id)
      }
    })
  )

  it.live("refuses a second request under an id that is not answered yet", () =>
    Effect.gen(function* () {
      const { begin } = yield* setUp()
      const session = yield* begin()
      const sleeping = yield* session.postOpen(HttpClient.callOf("sleep", { label: "x" }, 7))
      const again = yield* session.call("echo", { text: "no" }, 7)
      assert.strictEqual(again.status, 400)
      assert.deepStrictEqual(
        again.messages.map(({ error, id }) => [id, error?.code]),
        [[7, -32600]]
      )
      yield* session.call("wake", { label: "x" }, 8)
      yield* sleeping.event
      yield* sleeping.message
      assert.strictEqual(LineClient.textOf(yield* sleeping.message), "woken")
    }).pipe(Effect.scoped)
  )

  it.live("asks its questions over the stream of their call, and takes the answer from another POST", () =>
    Effect.gen(function* () {
      const { begin } = yield* setUp()
      const session = yield* begin("shared", { capabilities: { sampling: {} } })
      const params = { messages: [], maxTokens: 1 }
      const calling = yield* session.postOpen(HttpClient.callOf("ask", { method: "sampling/createMessage", params }))
      assert.strictEqual((yield* calling.event).data, "")
      const question = yield* calling.message
      assert.strictEqual(question.method, "sampling/createMessage")
      const result = { role: "assistant", model: "m", content: { type: "text", text: "Paris" } }
      const taken = yield* session.post({ jsonrpc: "2.0", id: question.id, result })
      assert.strictEqual(taken.status, 202)
      assert.strictEqual(taken.text, "")
      assert.include(LineClient.textOf(yield* calling.message), "Paris")
      yield* calling.ended
    }).pipe(Effect.scoped)
  )

  it.live("sends what belongs to no call to the GET stream, and keeps it until there is one", () =>
    Effect.gen(function* () {
      const { begin } = yield* setUp()
      const [one, two] = yield* Effect.all([begin(), begin()])
      const listening = yield* one.listen()
      assert.strictEqual((yield* listening.event).data, "")
      yield* one.call("add_tool", { name: "new" })
      assert.strictEqual((yield* listening.message).method, "notifications/tools/list_changed")
      const late = yield* two.listen()
      assert.deepStrictEqual(yield* late.event, { id: "0-0", retry: "1000", data: "" })
      assert.strictEqual((yield* late.message).method, "notifications/tools/list_changed")
    }).pipe(Effect.scoped)
  )

  it.live("lets the newest GET stream take over", () =>
    Effect.gen(function* () {
      const { begin } = yield* setUp()
      const session = yield* begin()
      const first = yield* session.listen()
      const second = yield* session.listen()
      yield* first.ended
      yield* session.call("add_tool", { name: "new" })
      yield* second.event
      assert.strictEqual((yield* second.message).method, "notifications/tools/list_changed")
    }).pipe(Effect.scoped)
  )

  it.live("goes on with a call's stream after the event that its client had last", () =>
    Effect.gen(function* () {
      const { begin, url } = yield* setUp()
      const session = yield* begin()
      const calling = yield* session.postOpen(HttpClient.callOf("sleep", { label: "x" }, 5))
      const primed = yield* calling.event
      assert.strictEqual(primed.data, "")
      const progress = yield* calling.event
      yield* calling.cut
      yield* session.call("wake", { label: "x" }, 6)
      // The first one went out before: it is not seen again, or seen again.
      const resumed = yield* session.listen({ "last-event-id": progress.id! })
      yield* resumed.event
      const answer = yield* resumed.message
      assert.strictEqual(answer.id, 5)
      assert.strictEqual(LineClient.textOf(answer), "woken")
      yield* resumed.ended
      const again = yield* session.listen({ "last-event-id": primed.id! })
      yield* again.event
      assert.strictEqual((yield* again.event).id, progress.id)
      assert.deepStrictEqual(yield* again.message, answer)
      for (const id of ["7-1", "1-99", "-1-1", "nonsense", "0-x", "__proto__"]) {
        const headers = { ...session.headers, "last-event-id": id }
        const refused = yield* HttpClient.ask({ url }, { method: "GET", path, headers })
        assert.strictEqual(refused.status, 400, id)
      }
    }).pipe(Effect.scoped)
  )

  it.live("does not take a lost connection for a cancellation, and ends the POST of what is cancelled", () =>
    Effect.gen(function* () {
      const { begin } = yield* setUp()
      const session = yield* begin()
      const lost = yield* session.postOpen(HttpClient.callOf("sleep", { label: "lost" }, 1))
      yield* lost.event
      yield* lost.cut
      const calling = yield* session.postOpen(HttpClient.callOf("sleep", { label: "cancelled" }, 2))
      yield* calling.event
      yield* session.post({ jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 2 } })
      yield* calling.ended
      const { cancellations } = JSON.parse(textOf(yield* session.call("stats", {}, 3))) as Stats
      assert.deepStrictEqual(
        cancellations.map(({ label }) => label),
        ["cancelled"]
      )
    }).pipe(Effect.scoped)
  )

  it.live("splits a batch", () =>
    Effect.gen(function* () {
      const { begin } = yield* setUp()
      const session = yield* begin("shared", { version: "2025-03-26" })
      const ping = (id: unknown) => ({ jsonrpc: "2.0", id, method: "ping" })
      const both = yield* session.post([ping(1), HttpClient.callOf("echo", { text: "hi" }, 2)])
      assert.strictEqual(both.headers["content-type"], "text/event-stream")
      assert.deepStrictEqual(both.messages.map(({ id }) => id).sort(), [1, 2])
      const one = yield* session.post([ping(3), { jsonrpc: "2.0", method: "notifications/initialized" }])
      assert.strictEqual(one.headers["content-type"], "application/json")
      assert.strictEqual(one.messages[0]?.id, 3)
      const none = yield* session.post([{ jsonrpc: "2.0", method: "notifications/initialized" }])
      assert.strictEqual(none.status, 202)
    })
  )

  it.live("takes a message in many lines", () =>
    Effect.gen(function* () {
      const { begin } = yield* setUp()
      const session = yield* begin()
      const body = JSON.stringify(HttpClient.callOf("echo", { text: "a\nb" }), null, 2).replaceAll("\n", "\r\n")
      assert.strictEqual(textOf(yield* session.post(`${body}\r\n`)), "a\nb")
    })
  )

  it.live("ends a session with its DELETE, and what waits in it", () =>
    Effect.gen(function* () {
      const { begin, pool } = yield* setUp()
      const session = yield* begin()
      const listening = yield* session.listen()
      const calling = yield* session.postOpen(HttpClient.callOf("sleep", { label: "x" }, 1))
      yield* calling.event
      assert.strictEqual((yield* session.end).status, 200)
      yield* Effect.all([listening.ended, calling.ended])
      assert.deepStrictEqual(yield* pool.sessions, [])
      assert.strictEqual((yield* session.call("echo", { text: "no" })).status, 404)
      assert.strictEqual((yield* session.end).status, 404)
    }).pipe(Effect.scoped)
  )

  it.live("begins no session where initialize is refused", () =>
    Effect.gen(function* () {
      const { ask, pool } = yield* setUp({}, ({ bad, server }) => ({
        shared: server("shared"),
        bad: bad("exits", { restart: "never" })
      }))
      const refused = yield* ask({ path: "/servers/bad/mcp", body: HttpClient.initialize() })
      assert.strictEqual(refused.status, 200)
      assert.isDefined(refused.messages[0]?.error)
      assert.isUndefined(refused.headers["mcp-session-id"])
      assert.deepStrictEqual(yield* pool.sessions, [])
    })
  )

  it.live("ends the sessions of a server that is configured no more", () =>
    Effect.gen(function* () {
      const { begin, reload } = yield* setUp()
      const session = yield* begin("other")
      const listening = yield* session.listen()
      yield* reload(({ server }) => ({ shared: server("shared") }))
      yield* listening.ended
      assert.strictEqual((yield* session.call("echo", { text: "no" })).status, 404)
    }).pipe(Effect.scoped)
  )

  it.effect("ends a session that nobody has used for long, and none that somebody listens to", () =>
    Effect.gen(function* () {
      const { begin, pool } = yield* setUp({ idle: 60_000 })
      const used = yield* begin()
      yield* used.listen()
      const unused = yield* begin()
      yield* TestClock.adjust("50 seconds")
      assert.lengthOf(yield* pool.sessions, 2)
      yield* TestClock.adjust("20 seconds")
      assert.lengthOf(yield* pool.sessions, 1)
      assert.strictEqual((yield* unused.call("echo", { text: "no" })).status, 404)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(textOf(yield* used.call("echo", { text: "yes" })), "yes")
    }).pipe(Effect.scoped)
  )

  it.effect("says now and then that it is there, to who listens and to who waits", () =>
    Effect.gen(function* () {
      const { begin } = yield* setUp()
      const session = yield* begin()
      const listening = yield* session.listen()
      const params = { name: "sleep", arguments: { label: "x" } }
      const calling = yield* Effect.forkScoped(
        session.postOpen({ jsonrpc: "2.0", id: 1, method: "tools/call", params }),
        { startImmediately: true }
      )
      // It comes after the other in each step of its way.
      yield* session.call("echo", {}, 9)
      yield* TestClock.adjust("40 seconds")
      yield* session.call("add_tool", { name: "new" }, 2)
      yield* listening.event
      assert.strictEqual((yield* listening.message).method, "notifications/tools/list_changed")
      assert.include(listening.text(), "\n\n:\n\n")
      const waiting = yield* Fiber.join(calling)
      assert.strictEqual(waiting.headers["content-type"], "text/event-stream")
      yield* session.call("wake", { label: "x" }, 3)
      yield* waiting.event
      assert.strictEqual(LineClient.textOf(yield* waiting.message), "woken")
      assert.include(waiting.text(), "\n\n:\n\n")
    }).pipe(Effect.scoped)
  )

  it.live("gives http.sock to its user alone, who needs no token there", () =>
    Effect.gen(function* () {
      const { ask, runtimeDir } = yield* setUp({ auth: "token" })
      const socketPath = RuntimeDir.httpSocket(runtimeDir)
      assert.strictEqual(fs.lstatSync(socketPath).mode & 0o777, 0o600)
      const session = yield* HttpClient.begin({ socketPath }, "shared")
      assert.strictEqual(textOf(yield* session.call("echo", { text: "hi" })), "hi")
      assert.strictEqual((yield* HttpClient.ask({ socketPath }, { path: "/metrics" })).status, 200)
      assert.strictEqual((yield* ask({ path, headers: session.headers, body: HttpClient.callOf("echo") })).status, 401)
    })
  )

  it.live("wants the token of its file, which is there for its user alone and stays", () =>
    Effect.gen(function* () {
      const { ask, begin, runtimeDir } = yield* setUp({ auth: "token" })
      const file = RuntimeDir.httpTokenFile(runtimeDir)
      assert.strictEqual(fs.lstatSync(file).mode & 0o777, 0o600)
      const token = fs.readFileSync(file, "utf8").trim()
      const session = yield* begin("shared", { headers: { authorization: `Bearer ${token}` } })
      assert.strictEqual(textOf(yield* session.call("echo", { text: "hi" })), "hi")
      const { authorization: _, ...without } = session.headers
      for (const wrong of [
        undefined,
        "",
        token,
        "Bearer",
        "Bearer ",
        `Bearer ${token}x`,
        `Bearer ${token.slice(0, -1)}`,
        `Bearer ${"x".repeat(10_000)}`,
        `Basic ${token}`,
        `Bearer ${token} ${token}`,
        `Bearer ${token}, Bearer ${token}`
      ]) {
        const headers = wrong === undefined ? without : { ...without, authorization: wrong }
        for (const asked of [
          { path, body: HttpClient.callOf("echo") },
          { path, method: "GET" },
          { path, method: "DELETE" },
          { path: "/servers/unknown/mcp", body: HttpClient.initialize() },
          { path: "/metrics" },
          { path: "/nowhere" }
        ]) {
          const { headers: answered, status } = yield* ask({ ...asked, headers })
          assert.deepStrictEqual([status, answered["www-authenticate"]], [401, 'Bearer realm="mcp-pool"'])
        }
      }
      assert.deepStrictEqual((yield* ask({ path: "/health" })).text, '{"status":"ok"}')
    })
  )

  it.live("makes its token once, and another where there was none", () =>
    Effect.gen(function* () {
      const { pool, runtimeDir } = yield* TestPool.make(() => ({}))
      const file = RuntimeDir.httpTokenFile(runtimeDir)
      yield* Effect.scoped(listen(pool, { auth: "token", runtimeDir }))
      const token = fs.readFileSync(file, "utf8")
      fs.chmodSync(file, 0o644)
      yield* Effect.scoped(listen(pool, { auth: "token", runtimeDir }))
      assert.strictEqual(fs.readFileSync(file, "utf8"), token)
      assert.strictEqual(fs.lstatSync(file).mode & 0o777, 0o600)
      fs.rmSync(file)
      yield* Effect.scoped(listen(pool, { auth: "token", runtimeDir }))
      assert.notStrictEqual(fs.readFileSync(file, "utf8"), token)
    })
  )

  for (const [what, why, put] of [
    ["a link", "a plain file of this user", (file: string) => fs.symlinkSync("/etc/hostname", file)],
    ["a link to nowhere", "a plain file of this user", (file: string) => fs.symlinkSync(`${file}.none`, file)],
    ["a directory", "a plain file of this user", (file: string) => fs.mkdirSync(file)],
    ["a long file", "a plain file of this user", (file: string) => fs.writeFileSync(file, "x".repeat(10_000))],
    ["an empty file", "at least 16 characters", (file: string) => fs.writeFileSync(file, "\n")],
    ["a short word", "at least 16 characters", (file: string) => fs.writeFileSync(file, "secret")]
  ] as const) {
    it.live(`does not take ${what} for its token`, () =>
      Effect.gen(function* () {
        const runtimeDir = yield* TestPool.temporaryDirectory
        put(RuntimeDir.httpTokenFile(runtimeDir))
        const { pool } = yield* TestPool.make(() => ({}))
        const error = yield* Effect.flip(listen(pool, { auth: "token", runtimeDir }))
        assert.strictEqual(error._tag, "HttpUnusable")
        assert.include(error.message, why)
      })
    )
  }

  it.live("listens beyond this machine only with a token", () =>
    Effect.gen(function* () {
      const { pool, runtimeDir } = yield* TestPool.make(() => ({}))
      const error = yield* Effect.flip(listen(pool, { address: { host: "0.0.0.0", port: 0 }, runtimeDir }))
      assert.include(error.message, "--http-auth none")
    })
  )

  it.live("fails where another program listens", () =>
    Effect.gen(function* () {
      const { pool, url } = yield* setUp()
      const address = { host: "127.0.0.1", port: Number(new URL(url).port) }
      const error = yield* Effect.flip(listen(pool, { address, runtimeDir: yield* TestPool.temporaryDirectory }))
      assert.include(error.message, "another program listens there")
    })
  )

  it.effect("gives back what a thousand sessions took that were begun, used and left", () =>
    Effect.gen(function* () {
      const { begin, pool } = yield* setUp({ idle: 60_000 })
      const round = Effect.gen(function* () {
        yield* Effect.forEach(
          Array.from({ length: 500 }),
          () =>
            Effect.scoped(
              Effect.gen(function* () {
                const session = yield* begin()
                yield* session.call("progress", { count: 1, label: "x".repeat(1000) })
                yield* Effect.andThen(session.listen(), ({ event }) => event)
              })
            ),
          { concurrency: 20 }
        )
        assert.lengthOf(yield* pool.sessions, 500)
        yield* TestClock.adjust("2 minutes")
        assert.lengthOf(yield* pool.sessions, 0)
        return { memory: yield* Memory.live, descriptors: fs.readdirSync("/dev/fd").length }
      })
      const first = yield* round
      const second = yield* round
      assert.isAtMost(second.descriptors, first.descriptors + 5)
      assert.isBelow(second.memory - first.memory, 500 * 1000)
    })
  )

  it.live("ends a session whose client reads nothing", () =>
    Effect.gen(function* () {
      const { pool, runtimeDir } = yield* TestPool.make(({ server }) => ({
        shared: server("shared", { maxUnread: "1 MiB" })
      }))
      const closed = yield* Deferred.make<string>()
      const logger = Logger.make(({ message }) => {
        if (String(message).startsWith("session closed")) Deferred.doneUnsafe(closed, Exit.succeed(String(message)))
      })
      const listener = yield* listen(pool, { runtimeDir }, logger)
      const session = yield* HttpClient.begin(listener, "shared")
      const deaf = yield* session.postOpen(HttpClient.callOf("progress", { count: 40_000, label: "x".repeat(1000) }))
      yield* deaf.pause
      assert.include(yield* Deferred.await(closed), "it does not read")
      assert.deepStrictEqual(yield* pool.sessions, [])
      assert.strictEqual((yield* session.call("echo")).status, 404)
    }).pipe(Effect.scoped)
  )

  it.live("shows its figures", () =>
    Effect.gen(function* () {
      const { ask, begin } = yield* setUp()
      const session = yield* begin()
      yield* session.call("echo", { text: "hi" })
      const { headers, text } = yield* ask({ path: "/metrics" })
      assert.include(headers["content-type"], "text/plain; version=0.0.4")
      assert.match(text, /^mcp_pool_calls_total\{.*server="shared".*\} 1$/m)
      assert.match(text, /^mcp_pool_sessions\{server="shared"\} 1$/m)
    })
  )
})
