/** What one client can take of the gateway, and when: what waits for it, and what it may still begin. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger, Queue } from "effect"
import * as net from "node:net"
import type { PoolOptions } from "../../src/config/PoolOptions.ts"
import { defaultIdle } from "../../src/http/HttpOptions.ts"
import * as HttpListener from "../../src/listen/HttpListener.ts"
import * as SocketSessions from "../../src/listen/SocketSessions.ts"
import * as McpPool from "../../src/McpPool.ts"
import * as HttpClient from "../support/HttpClient.ts"
import * as TestPool from "../support/TestPool.ts"

const setUp = Effect.fnUntraced(function* (options: PoolOptions = {}) {
  const test = yield* TestPool.make(({ server }) => ({ shared: server("shared", options) }))
  const address = { host: "127.0.0.1", port: 0 }
  const { runtimeDir } = test
  const listener = yield* HttpListener.make({
    address,
    auth: "none",
    allowedHosts: [],
    idle: defaultIdle,
    runtimeDir
  }).pipe(
    Effect.provideService(McpPool.McpPool, test.pool),
    Effect.provideService(SocketSessions.SocketSessions, test.sessions),
    Effect.provide(Logger.layer([]))
  )
  return { ...test, ...listener }
})

const path = "/servers/shared/mcp"

describe("Gateway", () => {
  it.live("ends a session whose batch has more answers than may wait", () =>
    Effect.gen(function* () {
      const { pool, url } = yield* setUp({ maxUnread: "64 KiB" })
      const session = yield* HttpClient.begin({ url }, "shared")
      yield* session.post({ jsonrpc: "2.0", id: 1, method: "tools/list" })
      const batch = Array.from({ length: 2000 }, (_, id) => ({ jsonrpc: "2.0", id, method: "tools/list" }))
      assert.strictEqual((yield* session.post(batch)).status, 404)
      assert.deepStrictEqual(yield* pool.sessions, [])
    })
  )

  it.live("lets go of a connection that reads nothing of a stream which another has taken over", () =>
    Effect.gen(function* () {
      const session = yield* HttpClient.begin(yield* setUp(), "shared")
      const { text } = yield* session.call("progress", { count: 900, label: "x".repeat(10_000) })
      const from = { "last-event-id": /^id: (.*)$/m.exec(text)![1]! }
      const deaf = yield* session.listen(from)
      yield* deaf.pause
      const other = yield* session.listen(from)
      yield* other.ended
      assert.include(other.text(), '"result"')
      yield* deaf.resume
      yield* deaf.ended
      assert.isBelow(deaf.text().length, text.length)
    }).pipe(Effect.scoped)
  )

  it.live("begins no session for a body that was on its way when the pool was about to end", () =>
    Effect.gen(function* () {
      const { pool, sessions, url } = yield* setUp()
      const body = JSON.stringify(HttpClient.initialize())
      const head = ["host: localhost", "content-type: application/json", "accept: */*", "expect: 100-continue"]
      const said = yield* Queue.unbounded<string>()
      const socket = yield* Effect.acquireRelease(
        Effect.sync(() => net.connect(Number(new URL(url).port), "127.0.0.1")),
        (socket) => Effect.sync(() => socket.destroy())
      )
      socket.setEncoding("latin1").on("data", (text: string) => void Queue.offerUnsafe(said, text))
      socket.write([`POST ${path} HTTP/1.1`, ...head, `content-length: ${body.length}`, "", ""].join("\r\n"))
      assert.include(yield* Queue.take(said), "100 Continue")
      yield* sessions.drain({ reason: "handover", deadline: "20 seconds" })
      socket.write(body)
      assert.include(yield* Queue.take(said), "HTTP/1.1 503")
      assert.deepStrictEqual(yield* pool.sessions, [])
    })
  )
})
