/** A process for each session, over real sockets and real processes. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { fileURLToPath } from "node:url"
import * as LineClient from "../support/LineClient.ts"
import * as Processes from "../support/Processes.ts"
import * as TestPool from "../support/TestPool.ts"
import * as Tools from "../support/Tools.ts"

const setUp = TestPool.make(({ server }) => ({ own: server("own", { sharing: "per-session" }) }))

const hello = (capabilities: object, name: string) => ({
  method: "initialize",
  params: { protocolVersion: "2025-06-18", capabilities, clientInfo: { name, version: "1" } }
})

describe("per-session", () => {
  it.live("each session has a process of its own, told what its client says of itself", () =>
    Effect.gen(function* () {
      const { dial } = yield* setUp
      const [one, other] = [yield* dial("own"), yield* dial("own")]
      const first = yield* one.request("initialize", hello({ roots: { listChanged: true } }, "one").params)
      assert.strictEqual((first.result as { readonly protocolVersion: string }).protocolVersion, "2025-06-18")
      yield* one.send({ method: "notifications/initialized" })
      yield* other.request("initialize", hello({}, "other").params)
      const [mine, theirs] = [yield* Tools.stats(one), yield* Tools.stats(other)]
      assert.notStrictEqual(mine.pid, theirs.pid)
      assert.deepStrictEqual([mine.initializations, theirs.initializations], [1, 1])
    })
  )

  it.live("what a process asks, its session is asked, whatever it is", () =>
    Effect.gen(function* () {
      const { connect } = yield* setUp
      const [one, other] = [yield* connect("own"), yield* connect("own")]
      for (const method of ["roots/list", "sampling/createMessage", "custom/question"]) {
        yield* one.send({ id: method, method: "tools/call", params: { name: "ask", arguments: { method } } })
        const question = yield* one.notification(method)
        yield* one.send({ id: question.id, result: { roots: [] } })
        const answer = JSON.parse(LineClient.textOf(yield* one.answer(method))) as LineClient.Message
        assert.deepStrictEqual([answer.id, answer.result], ["question", { roots: [] }])
      }
      assert.isFalse(other.received().some(({ method }) => method !== undefined))
    })
  )

  it.live("one process is spawned and waits; status, tools and health checks take none", () =>
    Effect.gen(function* () {
      const { connect, marker, pool } = yield* setUp
      assert.strictEqual((yield* Processes.withMarker(marker)).length, 1)
      assert.isTrue(yield* pool.healthCheck("own"))
      const [status] = yield* pool.status
      assert.deepStrictEqual([status?.state, status?.processes, status?.tools], ["running", [], null])
      assert.strictEqual((yield* Processes.withMarker(marker)).length, 1)
      const client = yield* connect("own")
      const { pid } = yield* Tools.stats(client)
      assert.deepStrictEqual(
        (yield* pool.status)[0]?.processes.map((process) => process.pid),
        [pid]
      )
    })
  )

  it.live("a session that leaves takes its process with it", () =>
    Effect.gen(function* () {
      const { connect, marker } = yield* setUp
      const stays = yield* connect("own")
      const gone = yield* Effect.scoped(Effect.flatMap(connect("own"), Tools.stats))
      yield* Processes.gone(gone.pid)
      yield* Tools.serves(stays)
      assert.isAtMost((yield* Processes.withMarker(marker)).length, 2)
    })
  )

  it.live("a process that dies is started again for its session, as the session said who it is", () =>
    Effect.gen(function* () {
      const { connect, states } = yield* setUp
      const [one, other] = [yield* connect("own"), yield* connect("own")]
      const [mine, theirs] = [yield* Tools.stats(one), yield* Tools.stats(other)]
      process.kill(mine.pid, "SIGKILL")
      yield* states.reached("own", "restarting")
      const again = yield* Tools.stats(one)
      assert.notStrictEqual(again.pid, mine.pid)
      assert.strictEqual(again.initializations, 1)
      assert.strictEqual((yield* Tools.stats(other)).pid, theirs.pid)
    })
  )

  it.live("stop ends all, and start serves those that stayed", () =>
    Effect.gen(function* () {
      const { connect, marker, pool } = yield* setUp
      const client = yield* connect("own")
      yield* Tools.serves(client)
      yield* pool.stop("own")
      assert.deepStrictEqual(yield* Processes.withMarker(marker), [])
      assert.strictEqual(LineClient.kindOf(yield* client.call("echo", { text: "x" })), "ServerUnavailable")
      yield* pool.start("own")
      yield* Tools.serves(client)
    })
  )
})

describe("replicas", () => {
  it.live("sessions are spread over them, and stay where they are", () =>
    Effect.gen(function* () {
      const { connect, marker } = yield* TestPool.make(({ server }) => ({
        set: server("set", { sharing: { replicas: 2 } })
      }))
      const clients = yield* Effect.forEach([1, 2, 3, 4], () => connect("set"))
      const pids = yield* Effect.forEach(clients, (client) => Effect.map(Tools.stats(client), ({ pid }) => pid))
      const again = yield* Effect.forEach(clients, (client) => Effect.map(Tools.stats(client), ({ pid }) => pid))
      assert.deepStrictEqual(pids, again)
      assert.strictEqual(new Set(pids).size, 2)
      for (const pid of new Set(pids))
        assert.lengthOf(
          pids.filter((other) => other === pid),
          2
        )
      assert.lengthOf(yield* Processes.withMarker(marker), 2)
    })
  )

  it.live("more are started for more sessions, up to max", () =>
    Effect.gen(function* () {
      const { connect, pool } = yield* TestPool.make(({ server }) => ({
        set: server("set", { sharing: { replicas: { min: 1, max: 2 } } })
      }))
      const count = Effect.map(pool.status, ([status]) => status?.processes.length)
      assert.strictEqual(yield* count, 1)
      const clients = yield* Effect.forEach([1, 2, 3], () => connect("set"))
      const pids = yield* Effect.forEach(clients, (client) => Effect.map(Tools.stats(client), ({ pid }) => pid))
      assert.strictEqual(new Set(pids).size, 2)
      assert.strictEqual(yield* count, 2)
    })
  )

  it.live("a server that was stopped and starts again serves the sessions of each", () =>
    Effect.gen(function* () {
      const { connect, pool } = yield* TestPool.make(({ server }) => ({
        set: server("set", { sharing: { replicas: { min: 1, max: 2 } } })
      }))
      const clients = yield* Effect.forEach([1, 2], () => connect("set"))
      const pids = yield* Effect.forEach(clients, (client) => Effect.map(Tools.stats(client), ({ pid }) => pid))
      assert.strictEqual(new Set(pids).size, 2)
      yield* pool.stop("set")
      yield* pool.start("set")
      yield* Effect.forEach(clients, (client) => Tools.serves(client))
    })
  )
})

describe("roots", () => {
  it.live("of the pool are what a server is told that asks as it starts, whatever its clients have", () =>
    Effect.gen(function* () {
      const [given, rooted] = [yield* TestPool.temporaryDirectory, yield* TestPool.temporaryDirectory]
      const server = fileURLToPath(import.meta.resolve("@modelcontextprotocol/server-filesystem/dist/index.js"))
      const files = { command: process.execPath, args: [server, given], pool: { roots: [rooted] } }
      const { dial, pool } = yield* TestPool.make(() => ({ files }))
      yield* pool.logs("files", { follow: true }).pipe(
        Stream.filter(({ text }) => text.startsWith("Updated allowed directories")),
        Stream.runHead
      )
      const client = yield* dial("files")
      yield* client.request("initialize", hello({ roots: { listChanged: true } }, "one").params)
      yield* client.notify("notifications/initialized")
      yield* client.notify("notifications/roots/list_changed")
      const told = LineClient.textOf(yield* client.call("list_allowed_directories"))
      assert.include(told, rooted)
      assert.notInclude(told, given)
      assert.isFalse(client.received().some(({ method }) => method === "roots/list"))
    })
  )
})
