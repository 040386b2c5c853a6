import { assert, describe, it } from "@effect/vitest"
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { Effect, Exit, Layer, Metric, Scope } from "effect"
import * as McpPool from "../src/McpPool.ts"
import * as McpProxy from "../src/McpProxy.ts"
import * as Metrics from "../src/Metrics.ts"
import { Traffic } from "../src/mux/Traffic.ts"
import * as TestConnections from "../src/TestConnections.ts"
import * as ToolCache from "../src/ToolCache.ts"
import * as TestPool from "./support/TestPool.ts"

/** With a registry of its own. */
const alone = <A, E, R>(body: Effect.Effect<A, E, R>) => Effect.provideService(body, Metric.MetricRegistry, new Map())

/** What the snapshot says now: values by name and attributes, histograms by their count, and only what is not zero. */
const shown = Effect.map(Metric.snapshot, (snapshot) =>
  Object.fromEntries(
    snapshot
      .filter(({ id }) => id.startsWith("mcp_pool_"))
      .map((one): [string, number] => {
        const attributes = Object.entries(one.attributes ?? {}).map(([name, value]) => `${name}=${value}`)
        const value =
          one.type === "Gauge" ? one.state.value : one.type === "Frequency" ? Number.NaN : Number(one.state.count)
        return [`${one.id.slice("mcp_pool_".length)} ${attributes.join(" ")}`, Number(value)]
      })
      .filter(([, value]) => value !== 0)
  )
)

const figures = (): Metrics.Figures => ({ traffic: new Traffic(), sessions: () => 2, restarts: () => 1 })

describe("Metrics", () => {
  it.live("tell of the calls of two clients of a pool, each server's apart, and are gone with it", () =>
    alone(
      Effect.gen(function* () {
        const test = yield* TestPool.make(({ server }) => ({ one: server("one"), two: server("two") }))
        const a = yield* test.connect("one")
        const b = yield* test.connect("one")
        yield* test.connect("two")
        yield* a.call("echo", { text: "hi" })
        yield* b.call("fail", { text: "no" })
        yield* b.call("unknown")
        yield* b.send({ id: "s", method: "tools/call", params: { name: "sleep", _meta: { progressToken: 1 } } })
        yield* b.notification("notifications/progress")
        const {
          "bytes_total server=one direction=answer": answers,
          "bytes_total server=one direction=request": requests,
          ...others
        } = yield* shown
        assert.deepStrictEqual(others, {
          "calls_total server=one outcome=ok": 1,
          "calls_total server=one outcome=tool-error": 1,
          "calls_total server=one outcome=rejected": 1,
          "calls_in_flight server=one": 1,
          "sessions server=one": 2,
          "sessions server=two": 1,
          "call_duration_seconds server=one": 3
        })
        assert.isAbove(answers!, 100)
        assert.isAbove(requests!, 200)
        yield* b.call("exit", { code: 1 })
        yield* test.states.reached("one", "running", 2)
        const after = yield* shown
        assert.strictEqual(after["restarts_total server=one"], 1)
        assert.strictEqual(after["calls_total server=one outcome=outcome-unknown"], 2)
        yield* test.close
        assert.deepStrictEqual(yield* shown, {})
      })
    )
  )

  it.live("of a process for each session are one sum, which keeps what sessions came to that have left", () =>
    alone(
      Effect.gen(function* () {
        const test = yield* TestPool.make(({ server }) => ({ own: server("own", { sharing: "per-session" }) }))
        const stays = yield* test.connect("own")
        yield* Effect.scoped(
          Effect.gen(function* () {
            const leaves = yield* test.connect("own")
            yield* leaves.call("echo", { text: "hi" })
            yield* leaves.call("exit", { code: 1 })
            yield* test.states.reached("own", "running", 4)
            yield* leaves.call("echo", { text: "again" })
            assert.strictEqual((yield* shown)["sessions server=own"], 2)
          })
        )
        yield* stays.call("echo", { text: "hi" })
        yield* stays.call("fail", { text: "no" })
        const { "bytes_total server=own direction=answer": answers, ...now } = yield* shown
        assert.isAbove(answers!, 200)
        assert.strictEqual(now["calls_total server=own outcome=ok"], 3)
        assert.strictEqual(now["calls_total server=own outcome=tool-error"], 1)
        assert.strictEqual(now["calls_total server=own outcome=outcome-unknown"], 1)
        assert.strictEqual(now["restarts_total server=own"], 1)
        assert.isUndefined(now["calls_in_flight server=own"])
        yield* test.pool.stop("own")
        yield* stays.call("echo", { text: "hi" })
        assert.strictEqual((yield* shown)["calls_total server=own outcome=unavailable"], 1)
      })
    )
  )

  it.live("tell of sessions in this process, and of lists that cost no message, as of any other session", () =>
    alone(
      Effect.gen(function* () {
        const test = yield* TestPool.make(({ server }) => ({ one: server("one") }))
        yield* test.pool.awaitSettled
        const client = new Client({ name: "sdk-client", version: "1.2.3" })
        const transport = yield* test.pool.transport("one")
        yield* Effect.promise(() => client.connect(transport))
        for (let i = 0; i < 2; i++) yield* Effect.promise(() => client.listTools())
        yield* Effect.promise(() => client.callTool({ name: "echo", arguments: { text: "hi" } }))
        const now = yield* shown
        assert.strictEqual(now["cache_hits_total server=one"], 2)
        assert.strictEqual(now["calls_total server=one outcome=ok"], 3)
        assert.strictEqual(now["sessions server=one"], 1)
        yield* Effect.promise(() => client.close())
        assert.isUndefined((yield* shown)["sessions server=one"])
      })
    )
  )

  it.live("tell of an application's own calls once it has their answers, and of lists that cost no message", () =>
    alone(
      Effect.gen(function* () {
        const pool = yield* TestPool.make(({ server }) => ({ one: server("one") }))
        const layer = McpProxy.layerPool().pipe(Layer.provide(Layer.succeed(McpPool.McpPool, pool.pool)))
        yield* Effect.gen(function* () {
          const proxy = yield* McpProxy.McpProxy
          yield* proxy.listTools
          for (let i = 0; i < 3; i++) yield* proxy.listTools
          yield* proxy.executeTool("one__echo", { text: "hi" })
          const now = yield* shown
          assert.strictEqual(now["cache_hits_total server=one"], 3)
          // The list and the call.
          assert.strictEqual(now["calls_total server=one outcome=ok"], 2)
          assert.isUndefined(now["calls_in_flight server=one"])
        }).pipe(Effect.provide(layer))
      })
    )
  )

  it.effect(
    "of two pools with a server of the same name are one series, their sum, unless attributes tell them apart",
    () =>
      alone(
        Effect.gen(function* () {
          const open = Effect.fnUntraced(function* (attributes: { readonly [name: string]: string } = {}) {
            const scope = yield* Scope.make()
            const mine = figures()
            yield* Metrics.register("git", mine).pipe(
              Scope.provide(scope),
              Effect.provideService(Metric.CurrentMetricAttributes, attributes)
            )
            mine.traffic.begin(10)
            mine.traffic.end("ok", 1500, 20)
            return { close: Scope.close(scope, Exit.void) }
          })
          const first = yield* open()
          const second = yield* open()
          const third = yield* open({ pool: "third" })
          const now = yield* shown
          assert.strictEqual(now["calls_total server=git outcome=ok"], 2)
          assert.strictEqual(now["sessions server=git"], 4)
          assert.strictEqual(now["calls_total server=git outcome=ok pool=third"], 1)
          yield* first.close
          assert.strictEqual((yield* shown)["calls_total server=git outcome=ok"], 1)
          yield* third.close
          yield* second.close
          assert.deepStrictEqual(yield* shown, {})
          assert.lengthOf(yield* Metric.snapshot, 0)
        })
      )
  )

  it.effect("have durations as a histogram in seconds, as Effect's own would", () =>
    alone(
      Effect.gen(function* () {
        const mine = figures()
        yield* Metrics.register("git", mine)
        const own = Metric.histogram("own", {
          boundaries: (yield* histogram("mcp_pool_call_duration_seconds")).buckets.map(([bound]) => bound)
        })
        assert.deepStrictEqual(yield* histogram("mcp_pool_call_duration_seconds"), yield* Metric.value(own))
        for (const millis of [0, 1, 7, 1000, 2500, 2501, 1_000_000]) {
          mine.traffic.begin(0)
          mine.traffic.end("ok", millis, 0)
          yield* Metric.update(own, millis / 1000)
        }
        assert.deepStrictEqual(yield* histogram("mcp_pool_call_duration_seconds"), yield* Metric.value(own))
      })
    )
  )

  it.effect("of a tool cache count servers that were asked for and fresh", () =>
    alone(
      Effect.gen(function* () {
        const tools = { t: { execute: () => Effect.never } }
        yield* Effect.gen(function* () {
          const cache = yield* ToolCache.ToolCache
          yield* cache.snapshot
          assert.deepStrictEqual(yield* shown, {})
          yield* cache.snapshot
          yield* cache.ofServer("one")
          assert.deepStrictEqual(yield* shown, { "cache_hits_total server=one": 2, "cache_hits_total server=two": 1 })
          const lists: ReadonlyArray<Effect.Effect<object, unknown>> = [
            cache.prompts("two"),
            cache.resources("two"),
            cache.resourceTemplates("two")
          ]
          for (const list of lists) yield* Effect.repeat(list, { times: 2 })
          assert.deepStrictEqual(yield* shown, { "cache_hits_total server=one": 2, "cache_hits_total server=two": 7 })
        }).pipe(
          Effect.provide(ToolCache.layer()),
          Effect.provide(TestConnections.layer({ servers: { one: { tools }, two: { tools } } }))
        )
      })
    )
  )
})

const histogram = (id: string) =>
  Effect.map(Metric.snapshot, (snapshot) => {
    const found = snapshot.find((one) => one.id === id)
    return found?.type === "Histogram" ? found.state : assert.fail(`no histogram ${id}`)
  })
