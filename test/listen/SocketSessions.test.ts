/** How sessions end that `connect` will take elsewhere, and those of clients that speak MCP alone. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import * as RuntimeDir from "../../src/RuntimeDir.ts"
import * as LineClient from "../support/LineClient.ts"
import * as TestPool from "../support/TestPool.ts"
import * as Tools from "../support/Tools.ts"

const setUp = Effect.gen(function* () {
  const test = yield* TestPool.make(({ server }) => ({ shared: server("shared"), other: server("other") }))
  const [shared] = yield* test.pool.status
  return {
    ...test,
    /** Answers the calls of `sleep`. */
    wake: Effect.sync(() => void process.kill(shared!.pid!, "SIGUSR1")),
    drain: Effect.forkChild(test.sessions.drain({ reason: "handover", deadline: "20 seconds" }), {
      startImmediately: true
    })
  }
})

const paused = (client: LineClient.LineClient) =>
  Effect.andThen(client.word("pause"), client.sendRaw('{"mcp-pool":"paused"}\n'))

/** What was received, in short: words by their name, answers by their id. */
const seen = (client: LineClient.LineClient) =>
  client.received().map((message) => message["mcp-pool"] ?? message.method ?? message.id)

const reasonOf = ({ reason }: LineClient.Message) => reason

describe("SocketSessions", () => {
  it.live("drains a session of connect: what was asked before it paused is answered, and then it is told the end", () =>
    Effect.gen(function* () {
      const { close, drain, open, wake } = yield* setUp
      const client = yield* open("shared")
      yield* Tools.startSleeping(client, "asleep", "in flight")
      const drained = yield* drain
      yield* client.word("pause")
      // On its way when the pause came.
      yield* client.sendRaw(
        '{"jsonrpc":"2.0","id":"crossing","method":"tools/call","params":{"name":"echo"}}\n{"mcp-pool":"paused"}\n'
      )
      yield* client.answer("crossing")
      assert.isUndefined(drained.pollUnsafe())
      yield* wake
      assert.strictEqual(LineClient.textOf(yield* client.answer("in flight")), "woken")
      assert.deepStrictEqual(yield* Fiber.join(drained), { sessions: 1, calls: 1, cutOff: [] })
      yield* close
      yield* client.closed
      assert.deepStrictEqual(seen(client), [
        "opened",
        0,
        "notifications/progress",
        "pause",
        "crossing",
        "in flight",
        "closing"
      ])
      assert.strictEqual(reasonOf(client.received().at(-1)!), "handover")
    })
  )

  it.live("keeps an idle session of connect until the daemon ends", () =>
    Effect.gen(function* () {
      const { close, drain, open } = yield* setUp
      const [idle, other] = [yield* open("shared"), yield* open("other")]
      const drained = yield* drain
      yield* paused(idle)
      yield* paused(other)
      assert.deepStrictEqual(yield* Fiber.join(drained), { sessions: 2, calls: 0, cutOff: [] })
      yield* close
      for (const client of [idle, other]) {
        assert.strictEqual(reasonOf(yield* client.word("closing")), "handover")
        yield* client.closed
      }
    })
  )

  it.live("lets answers to questions, progress and cancellations through during a drain, and no request", () =>
    Effect.gen(function* () {
      const { drain, open } = yield* setUp
      const [asked, cancelling] = [yield* open("shared", { elicitation: {} }), yield* open("shared")]
      const params = { name: "ask", arguments: { method: "elicitation/create", params: { message: "?" } } }
      yield* asked.send({ id: "ask", method: "tools/call", params })
      const question = yield* asked.notification("elicitation/create")
      yield* Tools.startSleeping(cancelling, "asleep", "sleep")
      const drained = yield* drain
      yield* paused(asked)
      yield* paused(cancelling)
      const { error } = yield* asked.call("echo", {}, { id: "late" })
      assert.strictEqual(
        error?.message,
        'server "shared" is stopping: this connection is about to close: ask again over a new one'
      )
      assert.strictEqual(error?.code, 31001)
      yield* cancelling.notify("notifications/cancelled", { requestId: "sleep" })
      assert.isUndefined(drained.pollUnsafe())
      yield* asked.send({ id: question.id, result: { action: "accept" } })
      assert.match(LineClient.textOf(yield* asked.answer("ask")), /"action":"accept"/)
      assert.deepStrictEqual(yield* Fiber.join(drained), { sessions: 2, calls: 2, cutOff: [] })
    })
  )

  it.effect("waits some seconds for a connect that does not say that it has paused", () =>
    Effect.gen(function* () {
      const { close, drain, open } = yield* setUp
      const client = yield* open("shared")
      const drained = yield* drain
      yield* client.word("pause")
      yield* TestClock.adjust("4 seconds")
      assert.isUndefined(drained.pollUnsafe())
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Fiber.join(drained), { sessions: 1, calls: 0, cutOff: [] })
      yield* close
      yield* client.word("closing")
    })
  )

  it.effect("cuts off at the deadline what is not answered, which the server's end then answers", () =>
    Effect.gen(function* () {
      const { close, connect, drain, open, pool } = yield* setUp
      const [client, plain] = [yield* open("shared"), yield* connect("shared")]
      yield* Tools.startSleeping(client, "asleep", "sleep")
      yield* Tools.startSleeping(plain, "too", "sleep")
      const drained = yield* drain
      yield* paused(client)
      yield* TestClock.adjust("20 seconds")
      assert.deepStrictEqual(yield* Fiber.join(drained), {
        sessions: 2,
        calls: 2,
        cutOff: [
          { server: "shared", client: null, calls: 1 },
          { server: "shared", client: "line-client", calls: 1 }
        ]
      })
      yield* pool.stopAll
      assert.strictEqual(LineClient.kindOf(yield* client.answer("sleep")), "OutcomeUnknown")
      assert.strictEqual(LineClient.kindOf(yield* plain.answer("sleep")), "OutcomeUnknown")
      yield* plain.closed
      yield* close
      assert.strictEqual(reasonOf(yield* client.word("closing")), "handover")
    })
  )

  it.live("closes other clients each as it is answered, and refuses what they ask meanwhile", () =>
    Effect.gen(function* () {
      const { connect, dial, drain, wake } = yield* setUp
      const [idle, busy] = [yield* connect("shared"), yield* connect("shared")]
      yield* Tools.startSleeping(busy, "asleep", "sleep")
      const drained = yield* drain
      yield* idle.closed
      const { error } = yield* busy.call("echo")
      assert.strictEqual(error?.code, 31001)
      yield* (yield* dial("shared")).closed
      yield* wake
      assert.strictEqual(LineClient.textOf(yield* busy.answer("sleep")), "woken")
      yield* busy.closed
      assert.deepStrictEqual(yield* Fiber.join(drained), { sessions: 2, calls: 1, cutOff: [] })
      assert.notInclude(seen(busy), "closing")
    })
  )

  it.live("does not wait for clients that leave, or have sent their last", () =>
    Effect.gen(function* () {
      const { drain, open, wake } = yield* setUp
      const [leaving, half] = [yield* open("shared"), yield* open("shared")]
      yield* Tools.startSleeping(leaving, "asleep", "sleep")
      yield* Tools.startSleeping(half, "too", "sleep")
      const drained = yield* drain
      yield* half.halfClose
      yield* leaving.destroy
      yield* wake
      assert.strictEqual(LineClient.textOf(yield* half.answer("sleep")), "woken")
      assert.deepStrictEqual((yield* Fiber.join(drained)).cutOff, [])
    })
  )

  it.live("keeps a connect that comes while the daemon ends, and tells it why", () =>
    Effect.gen(function* () {
      const { close, drain, runtimeDir } = yield* setUp
      yield* Fiber.join(yield* drain)
      const late = yield* LineClient.connect(RuntimeDir.connectSocket(runtimeDir))
      yield* late.sendRaw(TestPool.openLine("shared"))
      const refused = yield* LineClient.connect(RuntimeDir.connectSocket(runtimeDir))
      yield* refused.sendRaw(TestPool.openLine("nobody"))
      yield* refused.word("refused")
      assert.deepStrictEqual(late.received(), [])
      yield* close
      assert.strictEqual(reasonOf(yield* late.word("closing")), "handover")
      yield* late.closed
    })
  )

  it.live("holds what hosts ask while the daemon stops, and tells it at the end", () =>
    Effect.gen(function* () {
      const { close, connect, open, sessions } = yield* setUp
      const [client, plain] = [yield* open("shared"), yield* connect("shared")]
      yield* sessions.hold
      yield* paused(client)
      yield* Tools.serves(plain)
      yield* close
      assert.strictEqual(reasonOf(yield* client.word("closing")), "shutdown")
      yield* client.closed
      yield* plain.closed
    })
  )

  it.live("closes the sessions of a server that is removed, and nobody else's", () =>
    Effect.gen(function* () {
      const { connect, open, pool, wake } = yield* setUp
      const [client, plain, other] = [yield* open("shared"), yield* connect("shared"), yield* open("other")]
      yield* Tools.startSleeping(client, "asleep", "sleep")
      yield* pool.remove("shared")
      assert.strictEqual((yield* client.call("echo")).error?.code, 31001)
      yield* wake
      assert.strictEqual(LineClient.textOf(yield* client.answer("sleep")), "woken")
      yield* plain.closed
      yield* paused(client)
      assert.strictEqual(reasonOf(yield* client.word("closing")), "removed")
      yield* client.closed
      yield* Tools.serves(other)
      assert.notInclude(seen(other), "pause")
    })
  )

  it.live("takes a word that nobody asked for, and leaves words to connect", () =>
    Effect.gen(function* () {
      const { connect, open } = yield* setUp
      const [client, plain] = [yield* open("shared"), yield* connect("shared")]
      yield* client.sendRaw('{"mcp-pool":"paused"}\n{"mcp-pool":"of tomorrow"}\n')
      yield* Tools.serves(client)
      assert.isFalse(client.received().some(({ error }) => error !== undefined))
      yield* plain.sendRaw('{"mcp-pool":"paused"}\n')
      assert.strictEqual((yield* plain.answer(null)).error?.code, -32600)
    })
  )
})
