/** What a proxy does, wherever its servers are: one suite for all layers. */
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, type Layer, type Scope, Stream } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import type { ServerOptions } from "../../src/config/ServerSpec.ts"
import * as McpProxy from "../../src/McpProxy.ts"
import * as TestPool from "../support/TestPool.ts"

export type Proxy = McpProxy.McpProxy["Service"]

/** Provides a proxy of running servers to a test, and asserts that nothing of them is left after it. */
export type Provide = (
  servers: (fixtures: TestPool.Fixtures) => Effect.Effect<Readonly<Record<string, ServerOptions>>, never, Scope.Scope>
) => Effect.Effect<Layer.Layer<McpProxy.McpProxy, unknown>, never, Scope.Scope>

/** A server that lists these tools, and runs those that the fixture has. */
const listing = Effect.fnUntraced(function* (marker: string, label: string, tools: ReadonlyArray<string | object>) {
  const file = path.join(yield* TestPool.temporaryDirectory, "scripts")
  fs.writeFileSync(file, JSON.stringify({ lists: [tools] }))
  return { command: process.execPath, args: [TestPool.fixture("scripted.ts"), `${marker}-${label}`, file] }
})

const everything = ["echo", "sleep", "wake", "progress", "stats", "exit", "add_tool", "no_such"]

export const suite = (provide: Provide): void => {
  const withProxy = (
    title: string,
    body: (proxy: Proxy) => Effect.Effect<void, unknown, Scope.Scope>,
    servers: Readonly<Record<string, ReadonlyArray<string | object>>> = { one: everything, two: ["echo", "other"] }
  ) =>
    it.live(title, () =>
      Effect.gen(function* () {
        const layer = yield* provide(({ marker }) =>
          Effect.all(
            Object.fromEntries(Object.entries(servers).map(([name, tools]) => [name, listing(marker, name, tools)]))
          )
        )
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
      assert.strictEqual((yield* Effect.flip(proxy.getPrompt("one", "p")))._tag, "RequestRejected")
      assert.strictEqual((yield* Effect.flip(proxy.readResource("none", "file:///a")))._tag, "ServerNotFound")
    })
  )

  withProxy("cancels the call at the server where its fiber is interrupted, and where its time is over", (proxy) =>
    Effect.gen(function* () {
      const began = yield* Effect.callback<Fiber.Fiber<unknown, unknown>>((resume) => {
        const fiber = Effect.runFork(
          proxy.executeTool("sleep", { label: "a" }, { onProgress: () => resume(Effect.succeed(fiber)) })
        )
      })
      yield* Fiber.interrupt(began)
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
