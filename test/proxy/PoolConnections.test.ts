/** A proxy over a pool whose servers change. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Queue, Stream } from "effect"
import { McpPool } from "../../src/McpPool.ts"
import * as McpProxy from "../../src/McpProxy.ts"
import { ToolCache } from "../../src/ToolCache.ts"
import * as Proxy from "../suites/Proxy.ts"
import * as TestPool from "../support/TestPool.ts"

describe("PoolConnections", () => {
  it.live("sees servers that come, forgets those that go, and asks the one that is there now", () =>
    Effect.gen(function* () {
      const { pool, reload } = yield* TestPool.make(({ server }) => ({ one: server("one") }))
      yield* Effect.gen(function* () {
        const proxy = yield* McpProxy.McpProxy
        const names = Effect.map(proxy.listTools, (tools) => [...new Set(tools.map(({ server }) => server))])
        const pidOf = (server: string) =>
          Effect.map(proxy.executeTool(`${server}__stats`), (result) => {
            const { pid } = JSON.parse(Proxy.textOf(result)) as { readonly pid: number }
            return pid
          })
        assert.deepStrictEqual(yield* names, ["one"])
        const before = yield* pidOf("one")
        yield* reload(({ server }) => ({ two: server("two"), one: server("other") }))
        assert.deepStrictEqual(yield* names, ["two", "one"])
        assert.notStrictEqual(yield* pidOf("one"), before)
        const two = yield* pidOf("two")
        yield* reload(({ server }) => ({ one: server("other") }))
        assert.deepStrictEqual(yield* names, ["one"])
        const gone = yield* Effect.flip(proxy.executeTool("two__echo", { text: "hi" }))
        assert.strictEqual(gone._tag, "ToolNotFound")
        // One of the same name is another.
        yield* reload(({ server }) => ({ one: server("other"), two: server("new") }))
        assert.deepStrictEqual(yield* names, ["one", "two"])
        assert.notStrictEqual(yield* pidOf("two"), two)
      }).pipe(Effect.provide(McpProxy.layerPool().pipe(Layer.provide(Layer.succeed(McpPool, pool)))))
      assert.deepStrictEqual(yield* pool.sessions, [])
    })
  )

  it.live("hears of lists that another process has others of", () =>
    Effect.gen(function* () {
      const { connect, pool, reload } = yield* TestPool.make(({ server }) => ({ one: server("one") }))
      const client = yield* connect("one")
      yield* Effect.gen(function* () {
        const proxy = yield* McpProxy.McpProxy
        const cache = yield* ToolCache
        const news = yield* Stream.toQueue(cache.changes, { capacity: 16 })
        assert.strictEqual((yield* proxy.listTools).length, 4)
        yield* client.call("add_tool", { name: "extra" })
        assert.deepStrictEqual(yield* Queue.take(news), { server: "one", list: "tools" })
        assert.strictEqual((yield* proxy.listTools).length, 5)
        yield* reload(({ server }) => ({ one: server("two") }))
        assert.deepStrictEqual(yield* Queue.take(news), { server: "one", list: "tools" })
        assert.strictEqual((yield* proxy.listTools).length, 4)
      }).pipe(Effect.provide(McpProxy.layerPool().pipe(Layer.provide(Layer.succeed(McpPool, pool)))))
    })
  )
})
