/** Servers with a `url` that do what the specification does not foresee: what is one request's trouble stays that. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { ServerOptions } from "../../../src/config/ServerSpec.ts"
import * as LineClient from "../../support/LineClient.ts"
import * as RemoteServer from "../../support/RemoteServer.ts"
import * as TestPool from "../../support/TestPool.ts"

const { kindOf, textOf } = LineClient

const setUp = Effect.fnUntraced(function* (
  prepare: (remote: RemoteServer.RemoteServer) => void = () => {},
  entry: ServerOptions = {}
) {
  const remote = yield* RemoteServer.make()
  prepare(remote)
  const world = yield* TestPool.make(() => ({ far: { url: remote.url, ...entry } }))
  return { remote, status: Effect.map(world.pool.status, ([far]) => far!), ...world }
})

/** A server of 2026-07-28. */
const modern = (remote: RemoteServer.RemoteServer) => {
  remote.answer("initialize", ({ json }) => json({ error: { code: -32601, message: "no such method" } }))
  remote.answer("server/discover", ({ result }) =>
    result({
      resultType: "complete",
      supportedVersions: ["2026-07-28"],
      capabilities: { tools: {} },
      serverInfo: { name: "remote", version: "1" }
    })
  )
}

describe("a session of a remote server", () => {
  it.live("goes on where the server has no stream for what it says unasked, and says 404 in place of 405", () =>
    Effect.gen(function* () {
      const { connect, remote, status } = yield* setUp((remote) => remote.answer("GET", ({ status }) => status(404)))
      const client = yield* connect("far")
      yield* remote.next("GET")
      assert.strictEqual(textOf(yield* client.call("echo")), "echo {}")
      assert.strictEqual(textOf(yield* client.call("echo")), "echo {}")
      assert.strictEqual((yield* status).restarts, 0)
      assert.lengthOf(remote.of("initialize"), 1)
    })
  )

  it.live("goes on where one call alone is answered with 404", () =>
    Effect.gen(function* () {
      const { connect, status } = yield* setUp((remote) => remote.answer("missing", ({ status }) => status(404)))
      const client = yield* connect("far")
      for (let i = 0; i < 8; i++) {
        const answer = yield* client.call("missing")
        assert.deepStrictEqual([answer.error?.message, kindOf(answer)], ["HTTP 404", "Internal"])
      }
      assert.strictEqual(textOf(yield* client.call("echo")), "echo {}")
      const { restarts, state } = yield* status
      assert.deepStrictEqual([state, restarts], ["running", 0])
    })
  )

  it.live("ends with 404 though what comes with it never ends", () =>
    Effect.gen(function* () {
      const { connect, remote } = yield* setUp()
      const client = yield* connect("far")
      const dead = "session-1"
      for (const name of ["echo", "ping"]) {
        remote.answer(name, ({ headers, response, result }) => {
          if (headers["mcp-session-id"] !== dead) return result({ content: [{ type: "text", text: "there" }] })
          response.writeHead(404, { "content-type": "text/html" })
          response.write("<html>")
        })
      }
      assert.strictEqual(textOf(yield* client.call("echo")), "there")
      assert.lengthOf(remote.of("initialize"), 2)
    })
  )
})

describe("a call whose headers its server finds wrong", () => {
  const declaring = ({ result }: RemoteServer.Exchange) =>
    result({
      resultType: "complete",
      ttlMs: 1_000_000,
      cacheScope: "public",
      tools: [
        {
          name: "where",
          inputSchema: { type: "object", properties: { region: { type: "string", "x-mcp-header": "Region" } } }
        }
      ]
    })
  const mismatch = ({ message, status }: RemoteServer.Exchange) =>
    status(400, {}, JSON.stringify({ jsonrpc: "2.0", id: message?.id, error: { code: -32020, message: "mismatch" } }))

  it.live("is made once more when the tools have been listed again", () =>
    Effect.gen(function* () {
      const { connect, remote } = yield* setUp(modern)
      const client = yield* connect("far")
      assert.isUndefined((yield* client.request("tools/list")).error)
      // Since then.
      remote.answer("tools/list", declaring)
      remote.answer("where", (exchange) => {
        if (exchange.headers["mcp-param-region"] !== "eu") return mismatch(exchange)
        exchange.result({ resultType: "complete", content: [{ type: "text", text: "in eu" }] })
      })
      assert.strictEqual(textOf(yield* client.call("where", { region: "eu" })), "in eu")
      assert.lengthOf(remote.of("where"), 2)
      assert.strictEqual(textOf(yield* client.call("where", { region: "eu" })), "in eu")
      assert.lengthOf(remote.of("where"), 3)
    })
  )

  it.live("is made no third time, and not while the list does not come", () =>
    Effect.gen(function* () {
      const { connect, remote } = yield* setUp(modern)
      const client = yield* connect("far")
      remote.answer("where", mismatch)
      const first = yield* client.call("where", { region: "eu" })
      assert.deepStrictEqual([first.error?.code, remote.of("where").length], [-32020, 2])
      remote.answer("tools/list", ({ status }) => status(500))
      const second = yield* client.call("where", { region: "eu" })
      assert.deepStrictEqual([second.error?.code, remote.of("where").length], [-32020, 3])
    })
  )

  it.live("is not made again where it is cancelled meanwhile", () =>
    Effect.gen(function* () {
      const { connect, remote } = yield* setUp(modern)
      const client = yield* connect("far")
      yield* client.request("tools/list")
      remote.answer("where", mismatch)
      remote.answer("tools/list", () => {})
      yield* client.send({ id: 7, method: "tools/call", params: { name: "where", arguments: { region: "eu" } } })
      yield* remote.next("where")
      const listing = remote.of("tools/list").length
      assert.isAbove(listing, 0)
      yield* client.notify("notifications/cancelled", { requestId: 7 })
      assert.strictEqual(textOf(yield* client.call("echo")), "echo {}")
      assert.lengthOf(remote.of("where"), 1)
    })
  )
})
