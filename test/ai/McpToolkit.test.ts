import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer, Queue, Stream } from "effect"
import { Chat, LanguageModel, type Prompt, type Response, Tool } from "effect/ai"
import { TestClock } from "effect/testing"
import { toolkit } from "../../src/ai/index.ts"
import * as McpProxy from "../../src/McpProxy.ts"
import { ResultTooLarge, ServerUnavailable } from "../../src/PoolError.ts"
import * as TestConnections from "../../src/TestConnections.ts"

const returning = (content: ReadonlyArray<unknown>, more: object = {}): TestConnections.TestTool => ({
  // The cast: servers answer as they please.
  execute: () => Effect.succeed({ content, ...more } as never)
})
const text = (text: unknown) => ({ type: "text", text })

const servers: TestConnections.Options["servers"] = {
  files: {
    tools: {
      read: {
        description: "Reads a file",
        inputSchema: { type: "object", properties: { path: { type: "string" } }, required: ["path"] },
        annotations: { title: "Read", readOnlyHint: true, destructiveHint: false, idempotentHint: true },
        execute: ({ path }) => Effect.succeed({ content: [{ type: "text", text: `content of ${String(path)}` }] })
      },
      write: returning([text("disk full"), text("3 bytes left")], { isError: true })
    }
  },
  web: { tools: { fetch: returning([text("page")]), "weird.name*": returning([text("weird")]) } }
}

/** A model that says these things in turn, and what it was given each time. */
const scripted = Effect.fnUntraced(function* (...replies: ReadonlyArray<ReadonlyArray<Response.PartEncoded>>) {
  const given = yield* Queue.unbounded<LanguageModel.ProviderOptions>()
  let next = 0
  const generate = (options: LanguageModel.ProviderOptions) => {
    Queue.offerUnsafe(given, options)
    return Effect.succeed([...(replies[next++] ?? [])])
  }
  const layer = Layer.effect(
    LanguageModel.LanguageModel,
    LanguageModel.make({ generateText: generate, streamText: () => Stream.die("not asked for") })
  )
  return { given, layer }
})

const calling = (name: string, params: unknown = {}): Response.PartEncoded => ({
  type: "tool-call",
  id: `call-${name}`,
  name,
  params
})

const withServers = <A, E>(
  body: Effect.Effect<A, E, McpProxy.McpProxy | TestConnections.TestConnections>,
  using: TestConnections.Options["servers"] = servers
) => body.pipe(Effect.provide(McpProxy.layerTest({ servers: using })))

/** What comes of one call. */
const resultOf = Effect.fnUntraced(function* (name: string, params?: unknown) {
  const { layer } = yield* scripted([calling(name, params)])
  const { toolResults } = yield* LanguageModel.generateText({ prompt: "do it", toolkit: toolkit() }).pipe(
    Effect.provide(layer)
  )
  assert.lengthOf(toolResults, 1)
  return toolResults[0]!
})

const failureOf = (name: string, params?: unknown) =>
  Effect.map(resultOf(name, params), ({ isFailure, modelOutput, result }) => {
    assert.isTrue(isFailure)
    assert.isUndefined(modelOutput)
    return result as { readonly kind: string; readonly message: string; readonly hint: string | null }
  })

/** What the model reads of a result. */
const partsOf = (content: ReadonlyArray<unknown>, more?: object) =>
  withServers(
    Effect.map(resultOf("one__tool"), ({ isFailure, modelOutput = [] }) => {
      assert.isFalse(isFailure)
      return modelOutput.map((part) =>
        part.type === "text" ? part.text : [part.mediaType, part.data, ...(part.fileName ? [part.fileName] : [])]
      )
    }),
    { one: { tools: { tool: returning(content, more) } } }
  )

describe("toolkit", () => {
  describe("its tools", () => {
    const namesOf = (options?: Parameters<typeof toolkit>[0]) =>
      Effect.map(toolkit(options), ({ tools }) => Object.keys(tools))

    it.effect("are all that there are, as their servers describe them", () =>
      withServers(
        Effect.gen(function* () {
          const { tools } = yield* toolkit()
          const names = (yield* (yield* McpProxy.McpProxy).listTools).map(({ name }) => name)
          assert.deepStrictEqual(Object.keys(tools), names)
          const read = tools["files__read"]!
          assert.strictEqual(Tool.getDescription(read), "Reads a file")
          assert.deepStrictEqual(Tool.getJsonSchema(read), {
            type: "object",
            properties: { path: { type: "string" } },
            required: ["path"]
          })
          assert.deepStrictEqual(
            [Tool.Readonly, Tool.Destructive, Tool.Idempotent, Tool.OpenWorld].map((hint) =>
              Context.get(read.annotations, hint)
            ),
            [true, false, true, true]
          )
          assert.strictEqual(Context.getUnsafe(read.annotations, Tool.Title), "Read")
          assert.isFalse(Tool.getStrictMode(read))
        })
      )
    )

    it.effect("are chosen by name and by pattern, and exclude wins", () =>
      withServers(
        Effect.gen(function* () {
          const weird = (yield* namesOf()).find((name) => name.startsWith("web__weird"))!
          assert.deepStrictEqual(yield* namesOf({ include: ["files__read"] }), ["files__read"])
          assert.deepStrictEqual(yield* namesOf({ include: ["files__*"] }), ["files__read", "files__write"])
          assert.deepStrictEqual(yield* namesOf({ include: ["*__fetch", "*write"] }), ["files__write", "web__fetch"])
          assert.deepStrictEqual(yield* namesOf({ exclude: ["files__*", weird] }), ["web__fetch"])
          assert.deepStrictEqual(yield* namesOf({ include: ["web__*"], exclude: ["*fetch"] }), [weird])
          for (const include of [[], ["read"], ["files__rea"], ["files.*"], ["files__rea."], ["FILES__READ"]]) {
            assert.deepStrictEqual(yield* namesOf({ include }), [], include.join())
          }
        })
      )
    )

    it.effect("are those of the moment of the call", () =>
      withServers(
        Effect.gen(function* () {
          const one = yield* scripted([], [])
          const generate = LanguageModel.generateText({ prompt: "hi", toolkit: toolkit({ include: ["web__*"] }) }).pipe(
            Effect.provide(one.layer)
          )
          yield* generate
          const { requests, setTools } = yield* TestConnections.TestConnections
          yield* Queue.clear(requests)
          yield* setTools("web", { search: returning([]) })
          // The list is read anew from here on.
          yield* Queue.take(requests)
          yield* generate
          const given = (yield* Queue.takeAll(one.given)).map(({ tools }) => tools.map(({ name }) => name))
          assert.isTrue(given[0]?.includes("web__fetch"))
          assert.deepStrictEqual(given[1], ["web__search"])
        })
      )
    )
  })

  describe("a call", () => {
    it.effect("runs at its server, and the model reads what it returned", () =>
      withServers(
        Effect.gen(function* () {
          const { given, layer } = yield* scripted(
            [calling("files__read", { path: "a.txt" })],
            [{ type: "text", text: "It says: content" }]
          )
          const chat = yield* Chat.empty
          const ask = (prompt: Prompt.RawInput) =>
            chat.generateText({ prompt, toolkit: toolkit() }).pipe(Effect.provide(layer))
          const first = yield* ask("what is in a.txt?")
          const [result] = first.toolResults
          assert.isFalse(result?.isFailure)
          assert.deepStrictEqual(result?.result, { content: [{ type: "text", text: "content of a.txt" }] })
          assert.strictEqual((yield* ask([])).text, "It says: content")
          assert.include(yield* chat.exportJson, "content of a.txt")
          const [, second] = yield* Queue.takeAll(given)
          const read = second!.prompt.content.flatMap(({ content, role }) => (role === "tool" ? content : []))
          assert.lengthOf(read, 1)
          assert.deepInclude(read[0], { type: "tool-result", name: "files__read", isFailure: false })
        })
      )
    )

    it.effect("may leave its arguments out", () =>
      withServers(
        Effect.gen(function* () {
          assert.isFalse((yield* resultOf("web__fetch", null)).isFailure)
        })
      )
    )

    it.effect("is cancelled where generateText is interrupted", () =>
      Effect.gen(function* () {
        const began = yield* Deferred.make<void>()
        const cancelled = yield* Deferred.make<void>()
        const execute = () =>
          Deferred.succeed(began, undefined).pipe(
            Effect.andThen(Effect.never),
            Effect.onInterrupt(() => Deferred.succeed(cancelled, undefined))
          )
        const fiber = yield* Effect.forkChild(
          withServers(resultOf("one__sleep"), { one: { tools: { sleep: { execute } } } })
        )
        yield* Deferred.await(began)
        yield* Fiber.interrupt(fiber)
        yield* Deferred.await(cancelled)
      })
    )
  })

  describe("a failure is a value that the model reads", () => {
    it.effect("where the tool says that it failed", () =>
      withServers(
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* failureOf("files__write"), {
            kind: "ToolFailed",
            message: "disk full\n3 bytes left",
            hint: null
          })
        })
      )
    )

    it.effect("where the arguments do not fit, which are not sent", () =>
      withServers(
        Effect.gen(function* () {
          const wrong = yield* failureOf("files__read", { path: 1 })
          assert.strictEqual(wrong.kind, "InvalidArguments")
          assert.include(wrong.message, "/path must be string")
          assert.include(wrong.hint, "call it again")
          const none = yield* failureOf("files__read", "a.txt")
          assert.deepInclude(none, {
            kind: "InvalidArguments",
            message: "the arguments of files__read must be an object"
          })
          const { requests } = yield* TestConnections.TestConnections
          const methods = (yield* Queue.clear(requests)).map(({ method }) => method)
          assert.notInclude(methods, "tools/call")
        })
      )
    )

    it.effect("where its server is not there, with what to do about it", () => {
      const error = new ServerUnavailable({
        server: "one",
        state: "crash-loop",
        failure: "exited",
        hint: "set TOKEN",
        nextAttemptAt: null
      })
      return withServers(
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* failureOf("one__tool"), {
            kind: "ServerUnavailable",
            message: error.message,
            hint: "set TOKEN"
          })
        }),
        { one: { tools: { tool: { execute: () => Effect.fail(error) } } } }
      )
    })

    it.effect("where it crashed its server, is too large, or is refused", () =>
      withServers(
        Effect.gen(function* () {
          const { fail } = yield* TestConnections.TestConnections
          // Lists first: a crash is the next call's.
          yield* toolkit()
          yield* fail("one", "crash")
          const crashed = yield* failureOf("one__large")
          assert.deepInclude(crashed, {
            kind: "OutcomeUnknown",
            hint: "it may have had effects: look before it is called again"
          })
          assert.deepInclude(yield* failureOf("one__large"), { kind: "ResultTooLarge", hint: "ask for less" })
        }),
        { one: { tools: { large: { execute: () => Effect.fail(new ResultTooLarge({ server: "one", maxLine: 1 })) } } } }
      )
    )

    it.effect("where it takes too long", () =>
      Effect.gen(function* () {
        const began = yield* Deferred.make<void>()
        const execute = () => Effect.andThen(Deferred.succeed(began, undefined), Effect.never)
        const fiber = yield* Effect.forkChild(
          withServers(failureOf("one__sleep"), { one: { tools: { sleep: { execute } } } })
        )
        yield* Deferred.await(began)
        yield* TestClock.adjust("30 seconds")
        const late = yield* Fiber.join(fiber)
        assert.strictEqual(late.kind, "ToolTimeout")
        assert.include(late.hint, "it may have had effects")
      })
    )
  })

  describe("what the model reads of a result", () => {
    const image = { type: "image", data: "aGk=", mimeType: "image/png" }

    it.effect("is its texts, and its images, audio and files as files", () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(
          yield* partsOf([
            text("a"),
            image,
            { type: "audio", data: "aGk=", mimeType: "audio/wav" },
            { type: "resource", resource: { uri: "file:///a", mimeType: "text/plain", text: "A" } },
            { type: "resource", resource: { uri: "file:///b", mimeType: "application/pdf", blob: "aGk=" } },
            { type: "resource", resource: { uri: "file:///c", blob: "aGk=" } },
            { type: "resource_link", uri: "file:///d", name: "d.txt", description: "About d" }
          ]),
          [
            "a",
            ["image/png", "aGk="],
            ["audio/wav", "aGk="],
            "file:///a\nA",
            ["application/pdf", "aGk=", "file:///b"],
            ["application/octet-stream", "aGk=", "file:///c"],
            "file:///d\nd.txt\nAbout d"
          ]
        )
      })
    )

    it.effect("has its structured content once", () =>
      Effect.gen(function* () {
        const structuredContent = { a: 1, b: [true, null] }
        const json = '{"a":1,"b":[true,null]}'
        assert.deepStrictEqual(yield* partsOf([], { structuredContent }), [json])
        assert.deepStrictEqual(yield* partsOf([text("two")], { structuredContent }), ["two", json])
        const other = '{ "b": [true, null], "a": 1 }'
        assert.deepStrictEqual(yield* partsOf([text(other), image], { structuredContent }), [
          other,
          ["image/png", "aGk="]
        ])
      })
    )

    it.effect("is never nothing, and what is not as MCP has it is text", () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* partsOf([]), ["(nothing was returned)"])
        assert.deepStrictEqual(
          yield* partsOf([null, 1, {}, text(1), { type: "image", data: 1 }, { type: "resource" }, { type: "video" }]),
          [
            "null",
            "1",
            "{}",
            '{"type":"text","text":1}',
            '{"type":"image","data":1}',
            '{"type":"resource"}',
            '{"type":"video"}'
          ]
        )
        assert.deepStrictEqual(yield* partsOf("no list" as never), ["(nothing was returned)"])
      })
    )
  })
})
