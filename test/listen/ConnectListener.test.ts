import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Logger } from "effect"
import { TestClock } from "effect/testing"
import * as fs from "node:fs"
import * as path from "node:path"
import * as ConnectListener from "../../src/listen/ConnectListener.ts"
import * as ConnectSocket from "../../src/listen/ConnectSocket.ts"
import * as Opener from "../../src/listen/Opener.ts"
import * as McpPool from "../../src/McpPool.ts"
import * as RuntimeDir from "../../src/RuntimeDir.ts"
import { version } from "../../src/version.ts"
import * as LineClient from "../support/LineClient.ts"
import * as TestPool from "../support/TestPool.ts"
import * as Tools from "../support/Tools.ts"

const setUp = Effect.gen(function* () {
  const test = yield* TestPool.make(({ server }) => ({ shared: server("shared"), other: server("other") }))
  return { ...test, dial: LineClient.connect(RuntimeDir.connectSocket(test.runtimeDir)) }
})

/** The listener alone, with an opener of its own; its pool has no servers. */
const listen = Effect.fnUntraced(function* (
  make: (pool: McpPool.McpPool["Service"]) => Opener.Opener["Service"]["open"],
  servers: Parameters<typeof McpPool.layer>[0]["servers"] = {}
) {
  const runtimeDir = yield* TestPool.temporaryDirectory
  const opener = Layer.effect(
    Opener.Opener,
    Effect.map(McpPool.McpPool, (pool) => Opener.Opener.of({ open: make(pool) }))
  )
  yield* Layer.build(
    ConnectListener.layer.pipe(
      Layer.provide(opener),
      Layer.provide(ConnectSocket.layer({ runtimeDir })),
      Layer.provide(McpPool.layer({ servers, autoStart: false }))
    )
  )
  return LineClient.connect(RuntimeDir.connectSocket(runtimeDir))
})

describe("ConnectListener", () => {
  it.live("is there for its user alone", () =>
    Effect.gen(function* () {
      const { close, runtimeDir } = yield* setUp
      const socket = RuntimeDir.connectSocket(runtimeDir)
      assert.strictEqual(fs.lstatSync(socket).mode & 0o777, 0o600)
      assert.strictEqual(fs.statSync(path.dirname(socket)).mode & 0o777, 0o700)
      yield* close
      assert.isFalse(fs.existsSync(socket))
    })
  )

  for (const [what, put] of [
    ["a file", (socket: string) => fs.writeFileSync(socket, "precious")],
    ["a symbolic link", (socket: string) => fs.symlinkSync("/nowhere", socket)]
  ] as const) {
    it.live(`replaces no ${what.slice(2)} that is at its path`, () =>
      Effect.gen(function* () {
        const runtimeDir = yield* TestPool.temporaryDirectory
        const socket = RuntimeDir.connectSocket(runtimeDir)
        put(socket)
        const before = fs.lstatSync(socket).ino
        const listening = Layer.build(ConnectSocket.layer({ runtimeDir }))
        assert.strictEqual((yield* Effect.flip(listening))._tag, "SocketUnusable")
        assert.strictEqual(fs.lstatSync(socket).ino, before)
      })
    )
  }

  it.live("opens the server that is named, and answers what came in the same write", () =>
    Effect.gen(function* () {
      const { dial, pool } = yield* setUp
      const client = yield* dial
      const call = { jsonrpc: "2.0", id: "x", method: "tools/call", params: { name: "stats" } }
      yield* client.sendRaw(`${TestPool.openLine("other")}${JSON.stringify(call)}\n{"jsonrpc":"2.0","id":2,"met`)
      const { pid } = JSON.parse(LineClient.textOf(yield* client.answer("x"))) as Tools.Stats
      assert.strictEqual(pid, (yield* pool.status).find(({ name }) => name === "other")?.pid)
      assert.deepStrictEqual(client.received()[0] as object, {
        "mcp-pool": "opened",
        protocol: 1,
        version,
        server: "other"
      })
      yield* client.sendRaw('hod":"ping"}\n')
      assert.deepStrictEqual((yield* client.answer(2)).result, {})
    })
  )

  it.live("opens many at once, the line in pieces", () =>
    Effect.gen(function* () {
      const { dial, pool } = yield* setUp
      const clients = yield* Effect.forEach(Array.from({ length: 50 }), () => dial, { concurrency: "unbounded" })
      const line = TestPool.openLine("shared")
      for (const client of clients) yield* Effect.andThen(client.sendRaw(line.slice(0, 20)), client.flushed)
      for (const client of clients) yield* client.sendRaw(line.slice(20))
      yield* Effect.forEach(clients, (client) => Effect.andThen(client.word("opened"), Tools.serves(client)), {
        concurrency: "unbounded"
      })
      assert.strictEqual((yield* pool.sessions).length, 50)
    })
  )

  it.live("speaks the lower of two versions", () =>
    Effect.gen(function* () {
      const { dial } = yield* setUp
      const client = yield* dial
      const open = JSON.parse(TestPool.openLine("shared")) as object
      yield* client.sendRaw(`${JSON.stringify({ ...open, protocol: 7, more: true })}\n`)
      const opened = (yield* client.word("opened")) as { readonly protocol?: number }
      assert.strictEqual(opened.protocol, 1)
    })
  )

  it.live("says in words what is wrong with a name, and closes", () =>
    Effect.gen(function* () {
      const { dial } = yield* setUp
      const client = yield* dial
      yield* client.sendRaw(TestPool.openLine("sharde"))
      assert.deepStrictEqual((yield* client.word("refused")) as object, {
        "mcp-pool": "refused",
        kind: "ServerNotFound",
        code: 31001,
        message: 'no server "sharde": did you mean "shared"? there are shared, other',
        exitCode: 4
      })
      yield* client.closed
    })
  )

  for (const [what, bytes] of [
    ["what is no word", "open sesame\n"],
    ["MCP", '{"jsonrpc":"2.0","id":1,"method":"initialize"}\n'],
    ["another word", '{"mcp-pool":"paused"}\n'],
    ["no name", '{"mcp-pool":"open","protocol":1,"project":null}\n'],
    ["no version", '{"mcp-pool":"open","server":"shared","project":null}\n'],
    ["a project that is no absolute path", TestPool.openLine("shared", "some/where")],
    ["a project that no path can be", TestPool.openLine("shared", "/some\0where")],
    ["half a word", '{"mcp-pool":"open"\n'],
    ["a line without end", "x".repeat(64 * 1024 + 1)]
  ] as const) {
    it.live(`closes where it meets ${what}`, () =>
      Effect.gen(function* () {
        const dial = yield* listen(() => () => Effect.die("nothing is to be opened"))
        const client = yield* dial
        yield* client.sendRaw(bytes)
        yield* client.closed
        assert.deepStrictEqual(client.received(), [])
      })
    )
  }

  it.live("closes where the end comes before the line", () =>
    Effect.gen(function* () {
      const dial = yield* listen(() => () => Effect.die("nothing is to be opened"))
      const client = yield* dial
      yield* client.sendRaw(TestPool.openLine("shared").trimEnd())
      yield* client.halfClose
      yield* client.closed
      assert.deepStrictEqual(client.received(), [])
    })
  )

  it.effect("has some seconds of patience for the line", () =>
    Effect.gen(function* () {
      const dial = yield* listen(
        (pool) =>
          ({ server }) =>
            Effect.map(pool.endpoint(server), (endpoint) => ({ address: server, endpoint }))
      )
      const [mute, quick] = [yield* dial, yield* dial]
      yield* quick.sendRaw(TestPool.openLine("nobody"))
      yield* quick.word("refused")
      yield* TestClock.adjust("4 seconds")
      yield* mute.sendRaw('{"mcp')
      yield* mute.flushed
      const closed = yield* Effect.forkChild(mute.closed, { startImmediately: true })
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(closed)
    })
  )

  it.live("answers who half-closes, and then closes", () =>
    Effect.gen(function* () {
      const { dial } = yield* setUp
      const client = yield* dial
      yield* client.sendRaw(TestPool.openLine("shared"))
      // The last line without its line feed.
      yield* client.sendRaw(
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"x"}}}'
      )
      yield* client.halfClose
      assert.strictEqual(LineClient.textOf(yield* client.answer(1)), "x")
      yield* client.closed
    })
  )

  it.live("asks for the project too, and tells the address that was found", () =>
    Effect.gen(function* () {
      const wanted: Array<Opener.Wanted> = []
      const dial = yield* listen(
        (pool) => (it) => {
          wanted.push(it)
          return Effect.map(pool.endpoint("git@/project"), (endpoint) => ({ address: "git@/project", endpoint }))
        },
        { "git@/project": { command: "true" } }
      )
      const client = yield* dial
      yield* client.sendRaw(TestPool.openLine("git", "/home/../project/"))
      const opened = (yield* client.word("opened")) as { readonly server?: string }
      assert.strictEqual(opened.server, "git@/project")
      assert.deepStrictEqual(
        wanted.map(({ project, server }) => ({ project, server })),
        [{ project: "/project", server: "git" }]
      )
      const { error } = yield* client.call("echo")
      assert.match(error?.message ?? "", /^server "git@\/project" is stopped/)
    })
  )

  for (const [how, leave] of [
    ["leaves", (client: LineClient.LineClient) => client.destroy],
    [
      "leaves after a request",
      (client: LineClient.LineClient) => Effect.andThen(client.sendRaw("{}\n"), client.destroy)
    ]
  ] as const) {
    it.live(`does no more for a client that ${how} while it waits`, () =>
      Effect.gen(function* () {
        const [looking, interrupted] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        const dial = yield* listen(
          () => () =>
            Effect.andThen(Deferred.succeed(looking, void 0), Effect.never).pipe(
              Effect.onInterrupt(() => Deferred.succeed(interrupted, void 0))
            )
        )
        const client = yield* dial
        yield* client.sendRaw(TestPool.openLine("shared"))
        yield* Deferred.await(looking)
        yield* leave(client)
        yield* Deferred.await(interrupted)
      })
    )
  }

  it.live("says that it met a bug", () =>
    Effect.gen(function* () {
      const dial = yield* listen(() => () => Effect.die(new Error("oh")))
      const client = yield* dial
      yield* client.sendRaw(TestPool.openLine("shared"))
      const refused = (yield* client.word("refused")) as { readonly kind?: string; readonly exitCode?: number }
      assert.deepStrictEqual([refused.kind, refused.exitCode], ["Internal", 1])
      yield* client.closed
    }).pipe(Effect.provide(Logger.layer([])))
  )
})
