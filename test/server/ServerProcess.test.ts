import { assert, describe, it } from "@effect/vitest"
import { Effect, Queue, Stream } from "effect"
import { randomUUID } from "node:crypto"
import * as PoolConfig from "../../src/config/PoolConfig.ts"
import type { McpPool } from "../../src/McpPool.ts"
import * as Reaper from "../../src/server/Reaper.ts"
import * as ServerLog from "../../src/server/ServerLog.ts"
import * as ServerProcess from "../../src/server/ServerProcess.ts"
import * as TestPool from "../support/TestPool.ts"
import * as Tools from "../support/Tools.ts"

describe("ServerProcess", () => {
  it.live(
    "answers what is asked since the handshake and hands over the rest, also where a read ended within a line",
    () =>
      Effect.gen(function* () {
        const marker = `fixture-${randomUUID()}`
        const { server } = TestPool.fixtures(marker)
        const { servers } = yield* PoolConfig.fromServers({ one: server("one", {}, "early") })
        const [entry] = servers
        if (entry?._tag !== "Configured") return assert.fail("the server is configured")
        const process = yield* ServerProcess.make(entry.spec, ServerLog.make(), [])
        // The rest of what was read with the handshake comes before anybody is attached.
        yield* Effect.yieldNow
        const lines = yield* Queue.unbounded<string>()
        process.attach({
          onLine: (line) => Queue.offerUnsafe(lines, line.bytes.toString("utf8", line.start, line.end)),
          onLongLine: () => {}
        })
        const news = '{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"early"}}'
        assert.deepStrictEqual([yield* Queue.take(lines), yield* Queue.take(lines)], [news, news])
        const params = { name: "until", arguments: { list: "answers", count: 1 } }
        process.stdin.push(`${JSON.stringify({ jsonrpc: "2.0", id: 7, method: "tools/call", params })}\n`)
        assert.include(yield* Queue.take(lines), JSON.stringify(JSON.stringify(["early"])))
      }).pipe(Effect.provide(Reaper.layer()))
  )

  it.live("answers a ping that comes before the answer to initialize", () =>
    Effect.gen(function* () {
      const { connect, states } = yield* TestPool.make(({ bad }) => ({
        one: bad("pings", { startTimeout: "5 seconds", restart: "never" })
      }))
      yield* states.reached("one", "running")
      const client = yield* connect("one")
      assert.deepStrictEqual((yield* Tools.stats(client)).answers, ["early"])
    })
  )

  it.live("closes stdin first, and sends SIGTERM to one that does not end", () =>
    Effect.gen(function* () {
      const { pool } = yield* TestPool.make(({ bad, server }) => ({
        polite: server("polite"),
        lingers: bad("lingers", { stop: { stdin: "10 millis" } })
      }))
      yield* pool.stop("polite")
      yield* pool.stop("lingers")
      assert.deepStrictEqual(yield* stderrOf(pool, "polite"), [])
      assert.deepStrictEqual(yield* stderrOf(pool, "lingers"), ["ended by SIGTERM"])
    })
  )

  it.live("hears the last words of processes that end side by side", () =>
    Effect.gen(function* () {
      const names = Array.from({ length: 8 }, (_, index) => `server-${index}`)
      const { pool } = yield* TestPool.make(({ bad }) =>
        Object.fromEntries(
          names.map((name) => [name, { ...bad("lingers", { stop: { stdin: "10 millis" } }), env: { NAME: name } }])
        )
      )
      yield* pool.stopAll
      for (const name of names) assert.deepStrictEqual(yield* stderrOf(pool, name), ["ended by SIGTERM"], name)
    })
  )
})

/** What the pool kept of a server's stderr. */
const stderrOf = (pool: McpPool["Service"], name: string) =>
  Stream.runCollect(pool.logs(name, { follow: false })).pipe(
    Effect.map((entries) => entries.flatMap(({ source, text }) => (source === "stderr" ? [text] : [])))
  )
