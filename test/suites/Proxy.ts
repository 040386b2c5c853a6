/** What a proxy does, wherever its servers are: one suite for all layers. */
import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, type Layer, Queue, type Scope, Stream } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import type { ServerOptions } from "../../src/config/ServerSpec.ts"
import * as McpProxy from "../../src/McpProxy.ts"
import * as ToolCache from "../../src/ToolCache.ts"
import type * as ScriptedServers from "../support/ScriptedServers.ts"
import * as Spans from "../support/Spans.ts"
import * as TestPool from "../support/TestPool.ts"

export type Proxy = McpProxy.McpProxy["Service"]

/** Provides a proxy of such servers to a test, and asserts that nothing of them is left after it. */
export type Provide = (
  servers: ScriptedServers.Servers
) => Effect.Effect<Layer.Layer<McpProxy.McpProxy | ToolCache.ToolCache, unknown>, never, Scope.Scope>

/** Such servers as processes. */
export const processes = Effect.fnUntraced(function* (marker: string, servers: ScriptedServers.Servers) {
  const directory = yield* TestPool.temporaryDirectory
  return Object.fromEntries(
    Object.entries(servers).map(([name, tools]): [string, ServerOptions] => {
      if (tools === null) return [name, { command: "/no/such/command" }]
      const file = path.join(directory, name)
      fs.writeFileSync(file, JSON.stringify({ lists: [tools] }))
      return [name, { command: process.execPath, args: [TestPool.fixture("scripted.ts"), `${marker}-${name}`, file] }]
    })
  )
})

const everything = "echo sleep wake progress stats exit add_tool no_such reply refuse meta fail".split(" ")

export const suite = (provide: Provide): void => {
  const withProxy = (
    title: string,
    body: (proxy: Proxy) => Effect.Effect<void, unknown, Scope.Scope | ToolCache.ToolCache>,
    servers: ScriptedServers.Servers = { one: everything, two: ["echo", "other"] }
  ) =>
    it.live(title, () =>
      Effect.gen(function* () {
        const layer = yield* provide(servers)
        yield* Effect.flatMap(McpProxy.McpProxy, body).pipe(Effect.provide(layer))
      })
    )

  withProxy(
    "lists the tools of all servers under names of their own, in the order of the configuration and by name",
    (proxy) =>
      Effect.gen(function* () {
        const tools = yield* proxy.listTools
        assert.deepStrictEqual(
          tools.map(({ name }) => name),
          [...[...everything].sort().map((name) => `one__${name}`), "two__echo", "two__other"]
        )
        assert.strictEqual(yield* proxy.listTools, tools)
        assert.deepStrictEqual(tools.at(-1)?.tool, { name: "other", inputSchema: { type: "object" } })
      })
  )

  withProxy("executes a tool by its exposed name, and by its bare name where one server has it", (proxy) =>
    Effect.gen(function* () {
      for (const name of ["one__echo", "two__echo"])
        assert.strictEqual(textOf(yield* proxy.executeTool(name, { text: "hé" })), "hé")
      assert.include(textOf(yield* proxy.executeTool("stats")), '"pid"')
    })
  )

  withProxy("never guesses: an ambiguous name and an unknown one fail with what there is", (proxy) =>
    Effect.gen(function* () {
      const ambiguous = yield* Effect.flip(proxy.executeTool("echo"))
      if (ambiguous._tag !== "ToolAmbiguous") return assert.fail(ambiguous._tag)
      assert.deepStrictEqual(ambiguous.candidates, ["one__echo", "two__echo"])
      const unknown = yield* Effect.flip(proxy.executeTool("stat"))
      if (unknown._tag !== "ToolNotFound") return assert.fail(unknown._tag)
      assert.isNotEmpty(unknown.nearest)
      assert.include(unknown.message, "did you mean")
    })
  )

  withProxy(
    "looks at arguments first where it is asked to, and names what does not fit",
    (proxy) =>
      Effect.gen(function* () {
        const wrong = { text: 1, secret: "value" }
        const error = yield* Effect.flip(proxy.executeTool("echo", wrong, { validate: true }))
        if (error._tag !== "InvalidArguments") return assert.fail(error._tag)
        assert.deepStrictEqual(
          [...error.mistakes].sort((a, b) => a.path.length - b.path.length),
          [
            { path: "", reason: "must NOT have additional properties: secret" },
            { path: "/text", reason: "must be string" }
          ]
        )
        assert.notInclude(error.message, "value")
        assert.strictEqual(textOf(yield* proxy.executeTool("echo", { text: "fits" }, { validate: true })), "fits")
        assert.strictEqual(textOf(yield* proxy.executeTool("echo", wrong)), "1")
        assert.strictEqual(textOf(yield* proxy.executeTool("length", { text: "abc" }, { validate: true })), "3")
      }),
    {
      one: [
        {
          name: "echo",
          inputSchema: {
            type: "object",
            properties: { text: { type: "string" } },
            required: ["text"],
            additionalProperties: false
          }
        },
        { name: "length", inputSchema: { type: "no such type" } }
      ]
    }
  )

  withProxy("tells progress in order, before the result", (proxy) =>
    Effect.gen(function* () {
      const told: Array<number> = []
      const onProgress = ({ progress }: { readonly progress: number }) => void told.push(progress)
      yield* proxy.executeTool("progress", { count: 5, label: "x" }, { onProgress })
      assert.deepStrictEqual(told, [1, 2, 3, 4, 5])
      const events = yield* Stream.runCollect(proxy.streamTool("progress", { count: 3, label: "y" }))
      assert.deepStrictEqual(
        [...events].map((event) => (event._tag === "Progress" ? event.progress.progress : textOf(event.result))),
        [1, 2, 3, "y"]
      )
    })
  )

  withProxy("gives each of many calls its own answer", (proxy) =>
    Effect.gen(function* () {
      const texts = Array.from({ length: 200 }, (_, i) => `call ${i}`)
      const answers = yield* Effect.forEach(texts, (text) => proxy.executeTool("one__echo", { text }), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(answers.map(textOf), texts)
    })
  )

  withProxy("passes the server's own error on", (proxy) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(proxy.executeTool("no_such"))
      if (error._tag !== "RequestRejected") return assert.fail(error._tag)
      assert.strictEqual(error.server, "one")
      assert.strictEqual(error.code, -32602)
      assert.include(error.message, "no tool no_such")
      const given = { code: -32001, message: "not today", data: { after: ["a", 1, null], nested: { é: true } } }
      const refused = yield* Effect.flip(proxy.executeTool("refuse", { error: given }))
      if (refused._tag !== "RequestRejected") return assert.fail(refused._tag)
      assert.deepStrictEqual({ code: refused.code, message: refused.reason, data: refused.data }, given)
    })
  )

  withProxy("gives results as the specification has them, and as the server wrote them", (proxy) =>
    Effect.gen(function* () {
      const annotations = { audience: ["user"], priority: 0.5, lastModified: "2026-01-01T00:00:00Z" }
      const result = {
        content: [
          { type: "text", text: "hé\n漢", annotations },
          { type: "image", data: "iVBORw0KGgo=", mimeType: "image/png", _meta: { "example.org/width": 1 } },
          { type: "audio", data: "UklGRg==", mimeType: "audio/wav" },
          { type: "resource", resource: { uri: "file:///a", mimeType: "text/plain", text: "A" } },
          { type: "resource", resource: { uri: "file:///b", blob: "AAEC" } },
          { type: "resource_link", uri: "file:///c", name: "c", title: "C", description: "link", size: 12 },
          { type: "a kind of tomorrow's", value: null }
        ],
        structuredContent: { temperature: 21.5, list: [1, "two", null] },
        _meta: { "example.org/trace": "abc" },
        another: "key"
      }
      assert.deepStrictEqual(yield* proxy.executeTool("reply", { result }), result as object)
      // A tool that says that it failed has a result.
      const failed = { content: [{ type: "text", text: "sorry" }], isError: true }
      assert.deepStrictEqual(yield* proxy.executeTool("reply", { result: failed }), failed as object)
      assert.deepStrictEqual(yield* proxy.executeTool("reply", { result: { content: [] } }), { content: [] })
    })
  )

  withProxy("lists and reads what there is beside tools", (proxy) =>
    Effect.gen(function* () {
      const resources = yield* proxy.listResources("one")
      assert.deepStrictEqual(
        resources.map(({ uri }) => uri),
        ["file:///a", "file:///b"]
      )
      assert.strictEqual(yield* proxy.listResources("one"), resources)
      assert.deepStrictEqual(yield* proxy.listResourceTemplates("one"), [
        { uriTemplate: "file:///{name}", name: "file" }
      ])
      assert.deepStrictEqual(
        (yield* proxy.listPrompts("one")).map(({ name }) => name),
        ["greet"]
      )
      assert.deepStrictEqual(yield* proxy.readResource("one", "file:///a"), {
        contents: [{ uri: "file:///a", mimeType: "text/plain", text: "A" }]
      })
      assert.deepStrictEqual((yield* proxy.getPrompt("one", "greet", { who: "you" })).messages, [
        { role: "user", content: { type: "text", text: "hello you" } }
      ])
      const ref = { type: "ref/prompt", name: "greet" }
      assert.deepStrictEqual(yield* proxy.complete("one", { ref, argument: { name: "who", value: "y" } }), {
        values: ["y!"],
        hasMore: false
      })
      assert.strictEqual((yield* Effect.flip(proxy.getPrompt("one", "p")))._tag, "RequestRejected")
      assert.strictEqual((yield* Effect.flip(proxy.readResource("one", "file:///none")))._tag, "RequestRejected")
      assert.strictEqual((yield* Effect.flip(proxy.readResource("none", "file:///a")))._tag, "ServerNotFound")
      assert.strictEqual((yield* Effect.flip(proxy.listPrompts("none")))._tag, "ServerNotFound")
    })
  )

  withProxy("hears of other tools at once, and executes them", (proxy) =>
    Effect.gen(function* () {
      const told = yield* Queue.unbounded<unknown>()
      const { changes } = yield* ToolCache.ToolCache
      const watching = Stream.runForEach(changes, (change) => Queue.offer(told, change))
      yield* Effect.forkScoped(watching, { startImmediately: true })
      const before = yield* proxy.listTools
      yield* proxy.executeTool("add_tool", { name: "length" })
      assert.deepStrictEqual(yield* Queue.take(told), { server: "one", list: "tools" })
      const after = yield* proxy.listTools
      assert.strictEqual(after.length, before.length + 1)
      assert.strictEqual(textOf(yield* proxy.executeTool("length", { text: "four" })), "4")
    })
  )

  withProxy(
    "says which server cannot be asked, and goes on with the others",
    (proxy) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(proxy.executeTool("gone__echo"))
        if (error._tag !== "ServerUnavailable") return assert.fail(error._tag)
        assert.deepStrictEqual({ server: error.server, state: error.state }, { server: "gone", state: "failed" })
        assert.strictEqual(textOf(yield* proxy.executeTool("echo", { text: "hi" })), "hi")
        const notFound = yield* Effect.flip(proxy.executeTool("ecco"))
        if (notFound._tag !== "ToolNotFound") return assert.fail(notFound._tag)
        assert.deepStrictEqual([notFound.nearest, notFound.unknown], [["echo"], ["gone"]])
      }),
    { gone: null, one: everything }
  )

  withProxy("cancels the call at the server where its fiber is interrupted, and where its time is over", (proxy) =>
    Effect.gen(function* () {
      const began = yield* Deferred.make<void>()
      const onProgress = () => Deferred.doneUnsafe(began, Effect.void)
      const call = yield* Effect.forkChild(proxy.executeTool("sleep", { label: "a" }, { onProgress }))
      yield* Deferred.await(began)
      yield* Fiber.interrupt(call)
      const late = yield* Effect.flip(proxy.executeTool("sleep", { label: "b" }, { timeout: "20 millis" }))
      if (late._tag !== "ToolTimeout") return assert.fail(late._tag)
      assert.deepStrictEqual({ ...late }, { _tag: "ToolTimeout", server: "one", tool: "sleep", phase: "executing" })
      const stats = JSON.parse(textOf(yield* proxy.executeTool("stats"))) as {
        readonly cancellations: ReadonlyArray<{ readonly label: unknown }>
      }
      assert.deepStrictEqual(
        stats.cancellations.map(({ label }) => label),
        ["a", "b"]
      )
    })
  )

  withProxy("passes the trace on to the server where a tracer is there, and nothing where none is", (proxy) =>
    Effect.gen(function* () {
      assert.strictEqual(textOf(yield* proxy.executeTool("meta")), "null")
      const { spans, tracer } = Spans.collect()
      const told = yield* proxy.executeTool("meta", {}, { onProgress: () => {} }).pipe(Effect.withTracer(tracer))
      const [span] = spans
      const { traceparent } = JSON.parse(textOf(told)) as { readonly traceparent?: string }
      assert.strictEqual(traceparent, `00-${span!.traceId}-${span!.spanId}-01`)
      assert.lengthOf(spans, 1)
    })
  )

  withProxy("tells of a call that a crash cut off, and goes on with the next process", (proxy) =>
    Effect.gen(function* () {
      const before = textOf(yield* proxy.executeTool("one__echo", { text: "before" }))
      assert.strictEqual(before, "before")
      assert.strictEqual((yield* Effect.flip(proxy.executeTool("exit", { code: 1 })))._tag, "OutcomeUnknown")
      assert.strictEqual(textOf(yield* proxy.executeTool("one__echo", { text: "after" })), "after")
    })
  )
}

export const textOf = ({ content }: { readonly content: ReadonlyArray<object> }): string =>
  String((content[0] as { readonly text?: unknown } | undefined)?.text)
