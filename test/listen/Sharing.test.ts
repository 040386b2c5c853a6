/** Many clients of one process, over real sockets: each has a server to itself, as far as it can tell. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { PoolOptions } from "../../src/config/PoolOptions.ts"
import * as LineClient from "../support/LineClient.ts"
import * as Processes from "../support/Processes.ts"
import * as TestPool from "../support/TestPool.ts"
import * as Tools from "../support/Tools.ts"

const setUp = (pool: PoolOptions = {}) => TestPool.make(({ server }) => ({ shared: server("shared", pool) }))

describe("clients of one process", () => {
  it.live("get their own answers and progress, 50 of them with equal ids and equal tokens", () =>
    Effect.gen(function* () {
      const { connect, marker } = yield* setUp()
      const clients = yield* Effect.forEach(Array.from({ length: 50 }), () => connect("shared"), {
        concurrency: "unbounded"
      })
      const token = (round: number) => (round % 2 === 0 ? round : String(round))
      yield* Effect.forEach(
        clients,
        (client, index) =>
          Effect.forEach(
            [1, 2, 3, 4],
            (round) =>
              client.call("progress", { count: 5, label: `${index}-${round}` }, { id: round, token: token(round) }),
            { concurrency: "unbounded" }
          ),
        { concurrency: "unbounded" }
      )
      // What went astray would have come before this.
      yield* Effect.forEach(clients, (client) => client.call("echo", { text: "last" }, { id: "last" }))
      for (const [index, client] of clients.entries()) {
        const received = client.received().slice(1, -1)
        assert.strictEqual(received.length, 4 * (5 + 1))
        for (const round of [1, 2, 3, 4]) {
          const label = `${index}-${round}`
          const mine = received.filter(({ id, params }) => id === round || params?.["message"] === label)
          const progress = [1, 2, 3, 4, 5].map((progress) => ({
            jsonrpc: "2.0",
            method: "notifications/progress",
            params: { progressToken: token(round), progress, total: 5, message: label }
          }))
          const answer = { jsonrpc: "2.0", id: round, result: { content: [{ type: "text", text: label }] } }
          assert.deepStrictEqual(mine, [...progress, answer] as ReadonlyArray<object>)
        }
      }
      const stats = yield* Tools.stats(clients[0]!)
      assert.strictEqual(stats.initializations, 1)
      assert.strictEqual((yield* Processes.withMarker(marker)).length, 1)
    })
  )

  it.live("get their ids back as they were", () =>
    Effect.gen(function* () {
      const { connect } = yield* setUp()
      const client = yield* connect("shared")
      const ids = [1, "1", 1.5, -3, null, "", 'a"b\\', "ü\n€", { a: [1, { b: null }] }, [true]]
      const answers = yield* Effect.forEach(ids, (id) => client.call("echo", { text: JSON.stringify(id) }, { id }), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(
        answers.map((answer) => [answer.id, LineClient.textOf(answer)]),
        ids.map((id) => [id, JSON.stringify(id)])
      )
    })
  )

  it.live("cancel their own calls and nobody else's", () =>
    Effect.gen(function* () {
      const { connect } = yield* setUp()
      const [one, two, idle] = [yield* connect("shared"), yield* connect("shared"), yield* connect("shared")]
      yield* Tools.startSleeping(one, "one", 1)
      yield* Tools.startSleeping(two, "two", 1)
      yield* Tools.startSleeping(two, "text", "1")
      yield* idle.notify("notifications/cancelled", { requestId: 1 })
      yield* two.notify("notifications/cancelled", { requestId: "1", reason: "enough" })
      yield* two.notify("notifications/cancelled", { requestId: 7 })
      yield* idle.call("echo")
      yield* two.call("echo")
      assert.deepStrictEqual(
        (yield* Tools.stats(one)).cancellations.map(({ label }) => label),
        ["text"]
      )
      yield* idle.call("wake", { label: "one" })
      yield* idle.call("wake", { label: "two" })
      assert.strictEqual(LineClient.textOf(yield* one.answer(1)), "woken")
      assert.strictEqual(LineClient.textOf(yield* two.answer(1)), "woken")
      yield* two.call("echo")
      assert.isFalse(two.received().some(({ id }) => id === "1"))
    })
  )

  it.live("are told the version that they asked for, from one handshake", () =>
    Effect.gen(function* () {
      const { dial } = yield* setUp()
      const versions = [
        ["2025-11-25", "2025-11-25"],
        ["2024-11-05", "2024-11-05"],
        ["2099-01-01", "2025-11-25"]
      ] as const
      for (const [wanted, spoken] of versions) {
        const client = yield* dial("shared")
        const { result } = yield* client.request("initialize", { protocolVersion: wanted, capabilities: {} })
        assert.strictEqual(result?.["protocolVersion"], spoken)
        assert.deepStrictEqual(result?.["serverInfo"], { name: "fixture", version: "1.0.0" })
      }
      const client = yield* dial("shared")
      assert.strictEqual((yield* Tools.stats(client)).initializations, 1)
    })
  )

  it.live("may use methods and notifications that the pool does not know", () =>
    Effect.gen(function* () {
      const { connect } = yield* setUp()
      const client = yield* connect("shared")
      const { error } = yield* client.request("future/method", { a: 1 })
      assert.deepStrictEqual(error, { code: -32601, message: "no method future/method" })
      yield* client.notify("notifications/future")
      yield* client.notify("notifications/roots/list_changed")
      yield* client.notify("notifications/progress", { progressToken: 1, progress: 1 })
      assert.deepStrictEqual((yield* Tools.stats(client)).notifications, ["notifications/future"])
    })
  )

  it.live("are each as verbose as they like; the server hears the most verbose level", () =>
    Effect.gen(function* () {
      const { connect } = yield* setUp()
      const one = yield* connect("shared")
      yield* setLevel(one, "warning")
      const two = yield* connect("shared")
      yield* setLevel(two, "error")
      yield* setLevel(two, "debug")
      yield* setLevel(one, "notice")
      // Until it asks, one that joins counts as `info`.
      const levels = ["warning", "info", "warning", "debug"]
      assert.deepStrictEqual((yield* Tools.stats(one)).levels, levels)
      yield* two.destroy
      assert.deepStrictEqual(yield* Tools.until(one, "levels", 5), [...levels, "notice"])
    })
  )

  it.live("count as info while one of them has set a level and they have not", () =>
    Effect.gen(function* () {
      const { connect } = yield* setUp()
      const [one, two] = [yield* connect("shared"), yield* connect("shared")]
      yield* setLevel(one, "error")
      yield* setLevel(two, "warning")
      assert.deepStrictEqual((yield* Tools.stats(one)).levels, ["info", "warning"])
    })
  )

  it.live("hear a log message that can only be theirs, from their level on", () =>
    Effect.gen(function* () {
      const { connect } = yield* setUp()
      const one = yield* connect("shared")
      const two = yield* connect("shared")
      yield* setLevel(one, "warning")
      yield* log(one, "info")
      yield* log(one, "error")
      yield* log(two, "info")
      // Two have calls in flight: it could be either's.
      yield* Tools.startSleeping(two, "two", "two")
      yield* log(one, "critical")
      assert.deepStrictEqual(yield* messages(one), ["error"])
      assert.deepStrictEqual(yield* messages(two), ["info"])
    })
  )

  it.live("all hear a log message that may be anybody's, with logMessages all", () =>
    Effect.gen(function* () {
      const { connect } = yield* setUp({ logMessages: "all" })
      const one = yield* connect("shared")
      const two = yield* connect("shared")
      yield* setLevel(one, "warning")
      yield* Tools.startSleeping(two, "two", "two")
      yield* log(one, "critical")
      yield* log(one, "info")
      assert.deepStrictEqual(yield* messages(one), ["critical"])
      assert.deepStrictEqual(yield* messages(two), ["critical", "info"])
    })
  )

  it.live("hear no log messages with logMessages none", () =>
    Effect.gen(function* () {
      const { connect } = yield* setUp({ logMessages: "none" })
      const client = yield* connect("shared")
      yield* log(client, "emergency")
      assert.deepStrictEqual(yield* messages(client), [])
    })
  )

  it.live("hear of what they subscribed to; the server is asked once and told when the last is gone", () =>
    Effect.gen(function* () {
      const { connect } = yield* setUp()
      const [one, two, other] = [yield* connect("shared"), yield* connect("shared"), yield* connect("shared")]
      const uri = "file:///ü"
      yield* Effect.all([subscribe(one, uri), subscribe(two, uri)], { concurrency: "unbounded" })
      yield* subscribe(other, "file:///other")
      yield* other.call("touch", { uri })
      for (const client of [one, two]) {
        assert.strictEqual((yield* client.notification("notifications/resources/updated")).params?.["uri"], uri)
      }
      yield* one.request("resources/unsubscribe", { uri })
      yield* other.call("touch", { uri })
      yield* two.notification("notifications/resources/updated")
      yield* two.destroy
      assert.deepStrictEqual(yield* Tools.until(other, "subscriptions", 3), [`+${uri}`, "+file:///other", `-${uri}`])
      yield* other.call("touch", { uri })
      yield* one.request("ping")
      assert.strictEqual(updates(one), 1)
      assert.strictEqual(updates(other), 0)
    })
  )

  it.live("are all refused a subscription that the server refuses, and may ask again", () =>
    Effect.gen(function* () {
      const { connect } = yield* setUp()
      const [one, two] = [yield* connect("shared"), yield* connect("shared")]
      const uri = "file:///refused"
      const answers = yield* Effect.all([subscribe(one, uri), subscribe(two, uri)], { concurrency: "unbounded" })
      for (const { error } of answers) assert.deepStrictEqual(error, { code: -32002, message: "refused" })
      assert.strictEqual((yield* subscribe(one, uri)).error?.code, -32002)
    })
  )

  it.live("that have initialised hear that a list has changed, and so does the pool", () =>
    Effect.gen(function* () {
      const { connect, dial, pool } = yield* setUp()
      const [one, two, mute] = [yield* connect("shared"), yield* connect("shared"), yield* dial("shared")]
      yield* one.call("add_tool", { name: "extra" })
      yield* one.notification("notifications/tools/list_changed")
      yield* two.notification("notifications/tools/list_changed")
      yield* mute.request("ping")
      assert.strictEqual(mute.received().length, 1)
      yield* pool.awaitSettled
      assert.strictEqual((yield* pool.status)[0]?.tools, 5)
    })
  )

  it.live("find their subscriptions and levels again after a restart, and hear that the tools are others", () =>
    Effect.gen(function* () {
      const { connect, states } = yield* setUp()
      const client = yield* connect("shared")
      yield* subscribe(client, "file:///a")
      yield* setLevel(client, "notice")
      yield* client.call("add_tool", { name: "extra" })
      yield* client.notification("notifications/tools/list_changed")
      yield* client.call("exit", { code: 1 })
      yield* states.reached("shared", "running", 2)
      assert.deepStrictEqual(yield* Tools.until(client, "subscriptions", 1), ["+file:///a"])
      assert.deepStrictEqual(yield* Tools.until(client, "levels", 1), ["notice"])
      yield* client.call("touch", { uri: "file:///a" })
      yield* client.notification("notifications/resources/updated")
      // The new process lists no extra tool.
      yield* client.notification("notifications/tools/list_changed")
    })
  )

  it.live("are not asked what they did not declare that they can be: the server is told so at once", () =>
    Effect.gen(function* () {
      const { connect } = yield* setUp()
      const client = yield* connect("shared")
      const undeclared = {
        "sampling/createMessage": "sampling",
        "elicitation/create": "elicitation",
        "roots/list": "roots"
      }
      for (const [method, capability] of Object.entries(undeclared)) {
        const { error, id } = JSON.parse(LineClient.textOf(yield* client.call("ask", { method }))) as LineClient.Message
        assert.strictEqual(id, "question")
        assert.strictEqual(error?.code, -32601)
        assert.include(error?.message ?? "", capability)
      }
      const pong = JSON.parse(LineClient.textOf(yield* client.call("ask", { method: "ping" }))) as LineClient.Message
      assert.deepStrictEqual(pong.result, {})
      assert.isFalse(client.received().some(({ method }) => method !== undefined))
    })
  )
})

describe("two names with the same fingerprint", () => {
  it.live("share one process, each at its own socket", () =>
    Effect.gen(function* () {
      const { connect, marker, pool } = yield* TestPool.make(({ server }) => ({
        one: server("same"),
        uno: server("same"),
        other: server("other")
      }))
      const [one, uno] = [yield* connect("one"), yield* connect("uno")]
      assert.strictEqual((yield* Tools.stats(one)).pid, (yield* Tools.stats(uno)).pid)
      assert.strictEqual((yield* Processes.withMarker(`${marker}-same`)).length, 1)
      const [first, second, third] = yield* pool.status
      assert.strictEqual(first?.pid, second?.pid)
      assert.strictEqual(first?.fingerprint, second?.fingerprint)
      assert.notStrictEqual(first?.socket, second?.socket)
      assert.notStrictEqual(first?.fingerprint, third?.fingerprint)
      assert.deepStrictEqual(
        [first, second, third].map((status) => status?.sessions),
        [1, 1, 0]
      )
    })
  )

  it.live("are told of what goes wrong under the name that they asked for", () =>
    Effect.gen(function* () {
      const { connect, pool } = yield* TestPool.make(({ server }) => ({ one: server("same"), uno: server("same") }))
      const clients = { one: yield* connect("one"), uno: yield* connect("uno") }
      const lost = yield* clients.uno.call("exit", { code: 1 })
      assert.deepStrictEqual(lost.error?.data, { kind: "OutcomeUnknown", server: "uno" })
      yield* pool.stop("one")
      for (const name of ["one", "uno"] as const) {
        const { error } = yield* clients[name].call("echo")
        assert.deepStrictEqual(error?.data, {
          kind: "ServerUnavailable",
          server: name,
          state: "stopped",
          hint: "start it: mcp-pool start one"
        })
        assert.include(error?.message ?? "", `server "${name}"`)
      }
    })
  )

  it.live("have each the socket that is configured for it", () =>
    Effect.gen(function* () {
      const directory = yield* TestPool.temporaryDirectory
      const socket = `${directory}/own.sock`
      const { connect, pool } = yield* TestPool.make(({ server }) => ({
        one: server("same", { socket }),
        uno: server("same")
      }))
      assert.strictEqual((yield* pool.socketPaths)["one"], socket)
      const [one, uno] = [yield* LineClient.connect(socket), yield* connect("uno")]
      assert.strictEqual((yield* Tools.stats(one)).pid, (yield* Tools.stats(uno)).pid)
    })
  )
})

const setLevel = (client: LineClient.LineClient, level: string) =>
  Effect.map(client.request("logging/setLevel", { level }), ({ result }) => assert.deepStrictEqual(result, {}))

const subscribe = (client: LineClient.LineClient, uri: string) => client.request("resources/subscribe", { uri })

/** Makes the server log a message with its level for its text. */
const log = (client: LineClient.LineClient, level: string) => client.call("log", { level, data: level })

/** The log messages so far. */
const messages = (client: LineClient.LineClient) =>
  Effect.map(client.request("ping"), () =>
    client.received().flatMap(({ method, params }) => (method === "notifications/message" ? [params?.["data"]] : []))
  )

const updates = (client: LineClient.LineClient) =>
  client.received().filter(({ method }) => method === "notifications/resources/updated").length
