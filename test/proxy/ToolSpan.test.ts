import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Queue, Tracer } from "effect"
import { RequestRejected } from "../../src/Connections.ts"
import * as McpProxy from "../../src/McpProxy.ts"
import * as TestConnections from "../../src/TestConnections.ts"
import * as Spans from "../support/Spans.ts"

const secret = "hunter2"
const text = (text: string) => ({ content: [{ type: "text" as const, text }] })

const layer = McpProxy.layerTest({
  servers: {
    git: {
      tools: {
        log: { execute: () => Effect.succeed(text(secret)) },
        fails: { execute: () => Effect.succeed({ ...text(secret), isError: true }) },
        picky: {
          inputSchema: { type: "object", properties: { n: { type: "number" } } },
          execute: () => Effect.succeed(text(""))
        },
        refuses: {
          execute: () =>
            Effect.fail(new RequestRejected({ server: "git", code: -32602, reason: `no ${secret}`, data: { secret } }))
        },
        waits: { execute: () => Effect.never }
      }
    },
    other: { tools: { log: { execute: () => Effect.succeed(text("")) } } }
  }
})

/** What a span says of itself, and all that it holds as text. */
const told = (span: Tracer.NativeSpan): { readonly [fact: string]: unknown } => {
  assert.strictEqual(span.status._tag, "Ended")
  const exit = span.status._tag === "Ended" ? span.status.exit : Exit.void
  const failure = Exit.isSuccess(exit) ? null : Cause.pretty(exit.cause)
  const value = Exit.isSuccess(exit) ? exit.value : null
  const all = JSON.stringify([span.name, [...span.attributes], span.events, span.links, failure, value])
  assert.notInclude(all, secret)
  return { name: span.name, kind: span.kind, ...Object.fromEntries(span.attributes), isFailure: failure !== null }
}

describe("ToolSpan", () => {
  const args = { password: secret }
  const executions: ReadonlyArray<
    readonly [title: string, name: string, options: McpProxy.ExecuteOptions, told: object]
  > = [
    ["a result", "git__log", {}, { server: "git", tool: "log", outcome: "ok", isFailure: false }],
    ["a bare name", "fails", {}, { server: "git", tool: "fails", outcome: "tool-error", isFailure: false }],
    ["the server's own error", "refuses", {}, { server: "git", tool: "refuses", outcome: "rejected", isFailure: true }],
    [
      "a time that is over",
      "waits",
      { timeout: 0 },
      { server: "git", tool: "waits", outcome: "request-timeout", isFailure: true }
    ],
    ["an unknown name", "none", {}, { tool: "none", outcome: "tool-not-found", isFailure: true }],
    ["an ambiguous name", "log", {}, { tool: "log", outcome: "tool-ambiguous", isFailure: true }]
  ]
  for (const [title, name, options, expected] of executions) {
    it.live(`tells server, tool and outcome of ${title}, and nothing of what was said`, () =>
      Effect.gen(function* () {
        const { executeTool } = yield* McpProxy.McpProxy
        const { spans, tracer } = Spans.collect()
        yield* Effect.exit(executeTool(name, args, options)).pipe(Effect.withTracer(tracer))
        assert.deepStrictEqual(spans.map(told), [{ name: "McpProxy.executeTool", kind: "client", ...expected }])
      }).pipe(Effect.provide(layer))
    )
  }

  it.effect("names no argument that does not fit", () =>
    Effect.gen(function* () {
      const { executeTool, listTools } = yield* McpProxy.McpProxy
      yield* listTools
      const { spans, tracer } = Spans.collect()
      const execution = executeTool("picky", { n: secret, [secret]: 1 }, { validate: true })
      const error = yield* Effect.flip(execution).pipe(Effect.withTracer(tracer))
      assert.strictEqual(error._tag, "InvalidArguments")
      assert.include(told(spans[0]!), { outcome: "invalid-arguments", isFailure: true })
    }).pipe(Effect.provide(layer))
  )

  it.effect("ends as cancelled where its fiber is interrupted", () =>
    Effect.gen(function* () {
      const { executeTool, listTools } = yield* McpProxy.McpProxy
      yield* listTools
      const { spans, tracer } = Spans.collect()
      const fiber = yield* Effect.forkChild(executeTool("waits").pipe(Effect.withTracer(tracer)), {
        startImmediately: true
      })
      yield* Fiber.interrupt(fiber)
      assert.include(told(spans[0]!), { outcome: "cancelled", isFailure: true })
    }).pipe(Effect.provide(layer))
  )

  it.effect("is a child of the caller's span, and the server's work belongs to it", () =>
    Effect.gen(function* () {
      const { executeTool } = yield* McpProxy.McpProxy
      const { spans, tracer } = Spans.collect()
      const inner = Effect.asVoid(executeTool("git__log"))
      yield* inner.pipe(Effect.withSpan("outer"), Effect.withTracer(tracer))
      const [outer, span] = spans
      assert.strictEqual(span!.traceId, outer!.traceId)
      const { requests } = yield* TestConnections.TestConnections
      const calls = (yield* Queue.clear(requests)).filter(({ method }) => method === "tools/call")
      assert.deepStrictEqual(
        calls.map(({ params }) => params["_meta"]),
        [{ traceparent: `00-${outer!.traceId}-${span!.spanId}-01` }]
      )
    }).pipe(Effect.provide(layer))
  )

  it.effect("passes nothing on where propagation is off, nor what is no trace id", () =>
    Effect.gen(function* () {
      const { executeTool } = yield* McpProxy.McpProxy
      const odd = Tracer.make({
        span: (options) => Object.assign(new Tracer.NativeSpan(options), { _traceId: "0".repeat(32) })
      })
      yield* executeTool("git__log").pipe(Effect.withTracer(odd))
      yield* executeTool("git__log").pipe(Effect.withTracerEnabled(false), Effect.withTracer(Spans.collect().tracer))
      const { requests } = yield* TestConnections.TestConnections
      const calls = (yield* Queue.clear(requests)).filter(({ method }) => method === "tools/call")
      assert.lengthOf(calls, 2)
      for (const { params } of calls) assert.notProperty(params, "_meta")
    }).pipe(Effect.provide(layer))
  )
})
