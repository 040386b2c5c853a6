import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Queue, type Scope } from "effect"
import { TestClock } from "effect/testing"
import { Connections } from "../src/Connections.ts"
import * as McpProxy from "../src/McpProxy.ts"
import { Overloaded } from "../src/PoolError.ts"
import * as TestConnections from "../src/TestConnections.ts"
import { textOf } from "./suites/Proxy.ts"

type Handle = TestConnections.TestConnections["Service"]

const saying = (text: string) => Effect.succeed({ content: [{ type: "text" as const, text }] })

const echo: TestConnections.TestTool = {
  description: "Says it again",
  inputSchema: { type: "object", properties: { text: { type: "string" } } },
  annotations: { readOnlyHint: true },
  execute: ({ text }) => saying(String(text))
}

const options: TestConnections.Options = {
  servers: {
    one: {
      tools: { echo, plain: { execute: () => saying("plain") } },
      resources: { "file:///a": "A", "file:///b": "B" }
    },
    two: { tools: { other: { execute: () => saying("other") } } }
  }
}

const withProxy = (
  title: string,
  body: (
    proxy: McpProxy.McpProxy["Service"],
    servers: Handle
  ) => Effect.Effect<void, unknown, Scope.Scope | Connections>,
  using: TestConnections.Options = options
) =>
  it.effect(title, () =>
    Effect.gen(function* () {
      yield* body(yield* McpProxy.McpProxy, yield* TestConnections.TestConnections)
    }).pipe(Effect.provide(McpProxy.layerTest(using)))
  )

/** The methods that servers have been asked for since the last look. */
const methods = ({ requests }: Handle) =>
  Effect.map(Queue.clear(requests), (all) => all.map(({ method, server }) => `${server} ${method}`))

describe("McpProxy", () => {
  withProxy("waits for no other server where a name says whose tool it is", (proxy, servers) =>
    Effect.gen(function* () {
      yield* servers.fail("two", "hang")
      assert.strictEqual(textOf(yield* proxy.executeTool("one__plain")), "plain")
      const fiber = yield* Effect.forkChild(Effect.flip(proxy.executeTool("plain", {}, { timeout: "3 seconds" })))
      yield* TestClock.adjust("3 seconds")
      const error = yield* Fiber.join(fiber)
      if (error._tag !== "ToolTimeout") return assert.fail(error._tag)
      assert.strictEqual(error.phase, "waiting")
      assert.strictEqual(error.message, "a server was not ready in time: plain was not sent")
    })
  )

  withProxy("asks nobody for a fresh list, and each server once for 100 that want a stale one", (proxy, servers) =>
    Effect.gen(function* () {
      const tools = yield* proxy.listTools
      yield* proxy.listResources("one")
      yield* methods(servers)
      for (let i = 0; i < 100; i++) assert.strictEqual(yield* proxy.listTools, tools)
      yield* proxy.listResources("one")
      assert.deepStrictEqual(yield* methods(servers), [])
      yield* TestClock.adjust("300 seconds")
      const lists = Effect.all([proxy.listTools, proxy.listResources("one")], { concurrency: "unbounded" })
      yield* Effect.all(
        Array.from({ length: 100 }, () => lists),
        { concurrency: "unbounded" }
      )
      assert.sameMembers([...(yield* methods(servers))], ["one tools/list", "two tools/list", "one resources/list"])
    })
  )

  withProxy(
    "never takes a name for another server's bare one while it may be that of its own",
    (proxy, servers) =>
      Effect.gen(function* () {
        yield* servers.fail("one", "unavailable")
        const error = yield* Effect.flip(proxy.executeTool("one__run"))
        assert.deepStrictEqual([error._tag, "server" in error ? error.server : ""], ["ServerUnavailable", "one"])
        // By its shown name it is never in doubt.
        assert.strictEqual(textOf(yield* proxy.executeTool("two__one__run")), "two's")
        yield* servers.recover("one")
        yield* TestClock.adjust("5 seconds")
        assert.strictEqual(textOf(yield* proxy.executeTool("one__run")), "one's")
        yield* Queue.clear(servers.requests)
        yield* servers.setTools("one", {})
        yield* Queue.take(servers.requests)
        assert.strictEqual(textOf(yield* proxy.executeTool("one__run")), "two's")
      }),
    {
      servers: {
        one: { tools: { run: { execute: () => saying("one's") } } },
        two: { tools: { one__run: { execute: () => saying("two's") } } }
      }
    }
  )

  withProxy(
    "takes a name for the tool that is shown under it, whatever the order of the servers",
    (proxy) =>
      Effect.gen(function* () {
        const tools = yield* proxy.listTools
        assert.strictEqual(tools[1]?.name, "a__b__c")
        for (const { name, server } of tools) assert.strictEqual(textOf(yield* proxy.executeTool(name)), server)
      }),
    {
      servers: {
        a__b: { tools: { c: { execute: () => saying("a__b") } } },
        a: { tools: { b__c: { execute: () => saying("a") } } }
      }
    }
  )
})

describe("TestConnections", () => {
  withProxy("lists scripted tools as a server would, and runs them", (proxy, servers) =>
    Effect.gen(function* () {
      const tools = yield* proxy.listTools
      assert.deepStrictEqual(
        tools.map(({ name }) => name),
        ["one__echo", "one__plain", "two__other"]
      )
      const { execute: _, ...listed } = echo
      assert.deepStrictEqual({ ...tools[0]?.tool }, { name: "echo", ...listed } as object)
      assert.deepStrictEqual(tools[1]?.tool, { name: "plain", inputSchema: { type: "object" } })
      yield* Queue.clear(servers.requests)
      assert.strictEqual(textOf(yield* proxy.executeTool("echo", { text: "hé" })), "hé")
      assert.deepStrictEqual(yield* Queue.take(servers.requests), {
        server: "one",
        method: "tools/call",
        params: { name: "echo", arguments: { text: "hé" } }
      })
    })
  )

  withProxy("gives a tool's failure to its caller", (proxy, servers) =>
    Effect.gen(function* () {
      yield* servers.setTools("two", {
        busy: { execute: () => Effect.fail(new Overloaded({ server: "two", reason: "busy" })) },
        sorry: { execute: () => Effect.succeed({ content: [], isError: true }) }
      })
      assert.strictEqual((yield* Effect.flip(proxy.executeTool("busy")))._tag, "Overloaded")
      assert.isTrue((yield* proxy.executeTool("sorry")).isError)
    })
  )

  withProxy("refuses servers, tools, methods, resources and cursors that there are not", (proxy) =>
    Effect.gen(function* () {
      const { request } = yield* Connections
      const codeOf = Effect.fnUntraced(function* (method: string, params: { readonly [key: string]: unknown }) {
        const error = yield* Effect.flip(request("one", method, params))
        return error._tag === "RequestRejected" ? error.code : error._tag
      })
      assert.strictEqual(yield* codeOf("tools/call", { name: "toString" }), -32602)
      assert.strictEqual(yield* codeOf("tools/list", { cursor: "1" }), -32602)
      assert.strictEqual(yield* codeOf("prompts/get", { name: "echo" }), -32601)
      assert.strictEqual(yield* codeOf("resources/read", { uri: "file:///c" }), -32002)
      assert.strictEqual((yield* Effect.flip(proxy.executeTool("nothing")))._tag, "ToolNotFound")
      assert.strictEqual((yield* Effect.flip(proxy.readResource("three", "file:///a")))._tag, "ServerNotFound")
    })
  )

  withProxy(
    "lists in pages of the size that is asked for",
    (proxy, servers) =>
      Effect.gen(function* () {
        assert.lengthOf(yield* proxy.listTools, 3)
        assert.deepStrictEqual(yield* methods(servers), ["one tools/list", "one tools/list", "two tools/list"])
        const resources = yield* proxy.listResources("one")
        assert.deepStrictEqual(
          resources.map(({ uri }) => uri),
          ["file:///a", "file:///b"]
        )
        assert.deepStrictEqual(yield* methods(servers), ["one resources/list", "one resources/list"])
        assert.deepStrictEqual(yield* proxy.readResource("one", "file:///b"), {
          contents: [{ uri: "file:///b", text: "B" }]
        })
      }),
    { ...options, pageSize: 1 }
  )

  withProxy("has other tools when it is told to, and says so", (proxy, servers) =>
    Effect.gen(function* () {
      yield* proxy.executeTool("one__plain")
      yield* proxy.executeTool("plain")
      yield* methods(servers)
      yield* servers.setTools("one", { echo })
      // The cache has heard of it: what is asked now waits for its answer.
      assert.strictEqual((yield* Queue.take(servers.requests)).method, "tools/list")
      assert.deepStrictEqual(
        (yield* proxy.listTools).map(({ name }) => name),
        ["one__echo", "two__other"]
      )
      for (const name of ["one__plain", "plain"]) {
        assert.strictEqual((yield* Effect.flip(proxy.executeTool(name)))._tag, "ToolNotFound")
      }
    })
  )

  withProxy("is unavailable until it recovers, and the others are not", (proxy, servers) =>
    Effect.gen(function* () {
      yield* proxy.listTools
      yield* servers.fail("one", "unavailable")
      const error = yield* Effect.flip(proxy.executeTool("plain"))
      assert.strictEqual(error._tag, "ServerUnavailable")
      assert.strictEqual(error.message, 'server "one" cannot run')
      assert.strictEqual(textOf(yield* proxy.executeTool("other")), "other")
      yield* servers.recover("one")
      assert.strictEqual(textOf(yield* proxy.executeTool("plain")), "plain")
    })
  )

  withProxy("loses one call in a crash, without running its tool", (proxy, servers) =>
    Effect.gen(function* () {
      let runs = 0
      yield* servers.setTools("two", { count: { execute: () => Effect.suspend(() => saying(String(++runs))) } })
      yield* servers.fail("two", "crash")
      // The list is read first, and no crash is spent on it.
      assert.strictEqual((yield* Effect.flip(proxy.executeTool("count")))._tag, "OutcomeUnknown")
      assert.strictEqual(textOf(yield* proxy.executeTool("count")), "1")
    })
  )

  withProxy("hangs until the caller's time is over", (proxy, servers) =>
    Effect.gen(function* () {
      yield* proxy.listTools
      yield* servers.fail("one", "hang")
      const call = yield* Effect.forkChild(Effect.flip(proxy.executeTool("plain")), { startImmediately: true })
      yield* TestClock.adjust("29 seconds")
      assert.isUndefined(call.pollUnsafe())
      yield* TestClock.adjust("1 seconds")
      const error = yield* Fiber.join(call)
      if (error._tag !== "ToolTimeout") return assert.fail(error._tag)
      assert.strictEqual(error.message, 'server "one" did not answer plain in time')
    })
  )

  withProxy("answers what still waits when it hangs no more, as it is then", (proxy, servers) =>
    Effect.gen(function* () {
      yield* proxy.listTools
      yield* servers.fail("one", "hang")
      const call = yield* Effect.forkChild(proxy.executeTool("plain"), { startImmediately: true })
      yield* servers.recover("one")
      assert.strictEqual(textOf(yield* Fiber.join(call)), "plain")
      yield* servers.fail("one", "hang")
      const other = yield* Effect.forkChild(Effect.flip(proxy.executeTool("plain")), { startImmediately: true })
      yield* servers.fail("one", "unavailable")
      assert.strictEqual((yield* Fiber.join(other))._tag, "ServerUnavailable")
    })
  )

  withProxy("interrupts a tool whose call is interrupted", (proxy, servers) =>
    Effect.gen(function* () {
      const hasBegun = yield* Deferred.make<void>()
      const isInterrupted = yield* Deferred.make<void>()
      const execute = () =>
        Effect.andThen(Deferred.succeed(hasBegun, undefined), Effect.never).pipe(
          Effect.onInterrupt(() => Deferred.succeed(isInterrupted, undefined))
        )
      yield* servers.setTools("two", { slow: { execute } })
      const call = yield* Effect.forkChild(proxy.executeTool("slow"))
      yield* Deferred.await(hasBegun)
      yield* Fiber.interrupt(call)
      yield* Deferred.await(isInterrupted)
    })
  )

  withProxy("dies where a test names a server that there is not", (_, servers) =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(servers.fail("three", "hang"))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
    })
  )
})
