import { assert, describe, it } from "@effect/vitest"
import type { CallToolResult } from "@modelcontextprotocol/sdk/types.js"
import { Context, Effect, Queue, Schema, SchemaGetter } from "effect"
import { McpProxy, TestConnections } from "../../src/index.ts"

const text = (...texts: ReadonlyArray<string>): CallToolResult => ({
  content: texts.map((text) => ({ type: "text", text }))
})

/** A server whose tools give what they are told to, and one that gives back its arguments. */
const layer = (results: { readonly [tool: string]: CallToolResult } = {}) =>
  McpProxy.layerTest({
    servers: {
      one: {
        tools: {
          ...Object.fromEntries(
            Object.entries(results).map(([name, result]) => [name, { execute: () => Effect.succeed(result) }])
          ),
          mirror: { execute: (args) => Effect.succeed({ content: [], structuredContent: args }) }
        }
      }
    }
  })

class Prefix extends Context.Service<Prefix, string>()("test/Prefix") {}

const nothing = Schema.Record(Schema.String, Schema.Never)

/** What was called, as it was sent. */
const calls = Effect.gen(function* () {
  const { requests } = yield* TestConnections.TestConnections
  return (yield* Queue.clear(requests)).filter(({ method }) => method === "tools/call").map(({ params }) => params)
})

describe("McpProxy.tool", () => {
  it.effect("encodes the arguments and decodes structured content", () =>
    Effect.gen(function* () {
      const Meeting = Schema.Struct({ at: Schema.DateFromString, note: Schema.optionalKey(Schema.String) })
      const mirror = McpProxy.tool("one__mirror", { arguments: Meeting, result: Meeting })
      const at = new Date("2026-01-02T03:04:05.000Z")
      assert.deepStrictEqual(yield* mirror({ at }), { at })
      assert.deepStrictEqual(yield* calls, [{ name: "mirror", arguments: { at: at.toISOString() } }])
    }).pipe(Effect.provide(layer()))
  )

  it.effect("asks its Schemas' services of who calls it", () =>
    Effect.gen(function* () {
      const Prefixed = Schema.String.pipe(
        Schema.decodeTo(Schema.String, {
          decode: SchemaGetter.transformEffect((text: string) => Effect.map(Prefix, (prefix) => prefix + text)),
          encode: SchemaGetter.passthrough()
        })
      )
      const say = McpProxy.tool("say", { arguments: nothing, result: Prefixed })
      const said: Effect.Effect<string, unknown, McpProxy.McpProxy | Prefix> = say()
      assert.strictEqual(yield* Effect.provideService(said, Prefix, "> "), "> hi")
    }).pipe(Effect.provide(layer({ say: text("hi") })))
  )

  it.effect("decodes text where there is no structured content, and undefined where there is none of both", () =>
    Effect.gen(function* () {
      const asText = McpProxy.tool("lines", { arguments: nothing, result: Schema.String })
      assert.strictEqual(yield* asText(), "one\ntwo")
      const Json = Schema.fromJsonString(Schema.Struct({ n: Schema.Finite }))
      assert.deepStrictEqual(yield* McpProxy.tool("json", { arguments: nothing, result: Json })(), { n: 5 })
      assert.isUndefined(yield* McpProxy.tool("image", { arguments: nothing, result: Schema.Void })())
      assert.isUndefined(yield* McpProxy.tool("bare", { arguments: nothing, result: Schema.Undefined })())
    }).pipe(
      Effect.provide(
        layer({
          lines: text("one", "two"),
          json: text('{"n":5}'),
          image: { content: [{ type: "image", data: "", mimeType: "image/png" }] },
          // As some servers answer, though they must not.
          bare: {} as CallToolResult
        })
      )
    )
  )

  it.effect("gives the whole result where no Schema is given for it", () =>
    Effect.gen(function* () {
      const call = McpProxy.tool("lines", { arguments: nothing })
      assert.deepStrictEqual(yield* call(), text("one", "two"))
    }).pipe(Effect.provide(layer({ lines: text("one", "two") })))
  )

  it.effect("fails with ToolFailed where the tool says that it failed", () =>
    Effect.gen(function* () {
      const details = { code: "E_DISK" }
      const fails = McpProxy.tool("fails", { arguments: nothing, result: Schema.Struct({ n: Schema.Finite }) })
      const error = yield* Effect.flip(fails())
      if (error._tag !== "ToolFailed") return assert.fail(error._tag)
      assert.deepStrictEqual(error.structuredContent, details)
      assert.strictEqual(error.message, "fails failed: no room\nat all")
      const whole = yield* Effect.flip(McpProxy.tool("fails", { arguments: nothing })())
      assert.strictEqual(whole._tag, "ToolFailed")
      const silent = yield* Effect.flip(McpProxy.tool("one__silent", { arguments: nothing })())
      assert.strictEqual(silent.message, "one__silent failed")
    }).pipe(
      Effect.provide(
        layer({
          fails: { ...text("no room", "at all"), structuredContent: { code: "E_DISK" }, isError: true },
          silent: { content: [], isError: true }
        })
      )
    )
  )

  it.effect("fails with InvalidResult where the result does not fit, and names every place but no value", () =>
    Effect.gen(function* () {
      const mirror = McpProxy.tool("mirror", {
        arguments: Schema.Record(Schema.String, Schema.Json),
        result: Schema.Struct({ "a/b": Schema.Array(Schema.Finite), c: Schema.Literal("x"), d: Schema.String })
      })
      const error = yield* Effect.flip(mirror({ "a/b": [1, "secret"], c: "secret" }))
      if (error._tag !== "InvalidResult") return assert.fail(error._tag)
      assert.deepStrictEqual(error.mistakes, [
        { path: "/a~1b/1", reason: "expected number" },
        { path: "/c", reason: 'expected "x"' },
        { path: "/d", reason: "missing key" }
      ])
      assert.include(error.message, "the result of mirror does not fit its schema: /a~1b/1 expected number; /c")
      assert.notInclude(JSON.stringify(error), "secret")
    }).pipe(Effect.provide(layer()))
  )

  it.effect("refuses arguments that do not encode, or that its Schema does not know, and sends nothing", () =>
    Effect.gen(function* () {
      const Named = Schema.Struct({ name: Schema.String.check(Schema.isMinLength(3)) })
      const mirror = McpProxy.tool("one__mirror", { arguments: Schema.Struct({ list: Schema.Array(Named) }) })
      const wider = { name: "long enough", secret: "value" }
      const error = yield* Effect.flip(mirror({ list: [{ name: "x" }, wider] }))
      if (error._tag !== "InvalidArguments") return assert.fail(error._tag)
      assert.deepStrictEqual(error.mistakes, [
        { path: "/list/0/name", reason: "expected a value with a length of at least 3" },
        { path: "/list/1/secret", reason: "expected no excess property" }
      ])
      assert.include(error.message, "the arguments of one__mirror do not fit its schema")
      assert.notInclude(JSON.stringify(error), 'value"')
      assert.deepStrictEqual(yield* calls, [])
    }).pipe(Effect.provide(layer()))
  )

  it.effect("fails as executeTool does, and takes its options", () =>
    Effect.gen(function* () {
      const { fail } = yield* TestConnections.TestConnections
      const missing = yield* Effect.flip(McpProxy.tool("one__mirrow", { arguments: nothing })())
      assert.strictEqual(missing._tag, "ToolNotFound")
      const mirror = McpProxy.tool("one__mirror", { arguments: nothing, result: Schema.Unknown })
      yield* mirror()
      yield* fail("one", "crash")
      assert.strictEqual((yield* Effect.flip(mirror({})))._tag, "OutcomeUnknown")
      yield* fail("one", "hang")
      const late = yield* Effect.flip(mirror({}, { timeout: "0 millis" }))
      assert.strictEqual(late._tag, "ToolTimeout")
    }).pipe(Effect.provide(layer()))
  )
})
