import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as LineClient from "../support/LineClient.ts"
import * as Processes from "../support/Processes.ts"
import * as TestPool from "../support/TestPool.ts"
import * as Tools from "../support/Tools.ts"
import * as Supervision from "./Supervision.ts"

const { crash, inFlight, pidOf, wayOf } = Supervision

/** One server that has been started, unless told otherwise. */
const setUp = (
  pool: Parameters<TestPool.Fixtures["server"]>[1] = {},
  options: Parameters<typeof TestPool.make>[1] = {}
) => TestPool.make(({ server }) => ({ one: server("one", pool) }), options)

describe("Supervisor", () => {
  it.live("goes through legal states as it is told to start, stop and restart", () =>
    Effect.gen(function* () {
      const { pool, states } = yield* setUp({}, { start: false })
      yield* pool.start("one")
      const first = yield* states.reached("one", "running")
      yield* pool.start("one")
      yield* pool.stop("one")
      assert.isFalse(yield* Processes.isAlive(first.pid ?? 0))
      yield* pool.stop("one")
      yield* pool.start("one")
      yield* pool.restart("one")
      yield* pool.restart("one", { now: true })
      yield* states.reached("one", "running", 4)
      assert.strictEqual(
        wayOf(states).join(" "),
        "starting running stopping stopped starting running running restarting running"
      )
      for (const { failure } of states.steps("one")) assert.isNull(failure)
    })
  )

  it.live("starts one process where two ask at once", () =>
    Effect.gen(function* () {
      const { marker, pool, states } = yield* setUp({}, { start: false })
      yield* Effect.all([pool.start("one"), pool.start("one"), pool.startAll], { concurrency: "unbounded" })
      yield* states.reached("one", "running")
      assert.deepStrictEqual(wayOf(states), ["starting", "running"])
      assert.strictEqual((yield* Processes.withMarker(marker)).length, 1)
    })
  )

  it.live("keeps sessions over a restart that ends the old process first", () =>
    Effect.gen(function* () {
      const { connect, pool } = yield* setUp()
      const client = yield* connect("one")
      const before = yield* pidOf(client)
      yield* pool.restart("one", { now: true })
      assert.notStrictEqual(yield* pidOf(client), before)
      assert.isFalse(yield* Processes.isAlive(before))
      const [status] = yield* pool.status
      assert.strictEqual(status?.sessions, 1)
      assert.strictEqual(status?.restarts, 1)
    })
  )

  it.live("answers the calls in flight when it is told to stop", () =>
    Effect.gen(function* () {
      const { connect, pool } = yield* setUp()
      const client = yield* connect("one")
      const call = yield* inFlight(client, "call")
      yield* pool.stop("one")
      assert.strictEqual(LineClient.kindOf(yield* Fiber.join(call)), "OutcomeUnknown")
      assert.strictEqual(LineClient.kindOf(yield* client.call("echo")), "ServerUnavailable")
      yield* pool.start("one")
      yield* Tools.serves(client)
    })
  )

  it.live("stops a server that is still starting", () =>
    Effect.gen(function* () {
      const { marker, pool, states } = yield* TestPool.make(({ bad }) => ({ one: bad("silent") }), { start: false })
      const starting = yield* Effect.forkChild(pool.start("one"))
      yield* states.reached("one", "starting")
      yield* pool.stop("one")
      assert.deepStrictEqual(yield* Processes.withMarker(marker), [])
      yield* Fiber.join(starting)
      yield* states.reached("one", "stopped")
      assert.deepStrictEqual(wayOf(states), ["starting", "stopping", "stopped"])
    })
  )

  describe("of a process that ends by itself", () => {
    it.live("answers each call in flight with OutcomeUnknown, keeps the sessions, and starts it again", () =>
      Effect.gen(function* () {
        const { connect, pool, states } = yield* TestPool.make(({ server }) => ({
          one: server("one"),
          other: server("other")
        }))
        const [first, second] = [yield* connect("one"), yield* connect("one")]
        const other = yield* connect("other")
        const elsewhere = yield* inFlight(other, "elsewhere")
        const calls = [yield* inFlight(first, 1), yield* inFlight(first, 2), yield* inFlight(second, 1)]
        const before = yield* pidOf(first)
        const crash = yield* first.call("exit", { code: 7 })
        for (const answer of [crash, ...(yield* Effect.forEach(calls, (call) => Fiber.join(call)))]) {
          assert.strictEqual(answer.error?.code, 31002)
          assert.deepStrictEqual(answer.error?.data, { kind: "OutcomeUnknown", server: "one" })
        }
        // Sent before the next process is there, or after: both are answered by it.
        assert.notStrictEqual(yield* pidOf(first), before)
        yield* Tools.serves(second)

        const { failure } = yield* states.reached("one", "restarting")
        assert.strictEqual(failure?.kind, "ProcessExited")
        assert.strictEqual(failure?.phase, "running")
        assert.strictEqual(failure?.exitCode, 7)
        assert.isNotNull(failure?.nextAttemptAt)
        assert.deepStrictEqual(wayOf(states), ["starting", "running", "restarting", "running"])
        const [status] = yield* pool.status
        assert.strictEqual(status?.restarts, 1)
        assert.deepStrictEqual(status?.lastFailure, failure)

        yield* other.call("wake", { label: "elsewhere" })
        assert.strictEqual(LineClient.textOf(yield* Fiber.join(elsewhere)), "woken")
      })
    )

    it.live("answers them before the next process is there", () =>
      Effect.gen(function* () {
        const { connect, pool, states } = yield* Supervision.scripted([{}, { start: "waits" }], { stop: { stdin: 50 } })
        yield* pool.start("one")
        const client = yield* connect("one")
        yield* crash(client)
        yield* states.reached("one", "restarting")
        assert.deepStrictEqual(wayOf(states), ["starting", "running", "restarting"])
      })
    )

    for (const signal of ["SIGKILL", "SIGSEGV"]) {
      it.live(`tells that ${signal} ended it`, () =>
        Effect.gen(function* () {
          const { connect, states } = yield* setUp()
          const client = yield* connect("one")
          assert.strictEqual(LineClient.kindOf(yield* client.call("signal", { signal })), "OutcomeUnknown")
          const { failure } = yield* states.reached("one", "restarting")
          assert.strictEqual(failure?.signal, signal)
          assert.isNull(failure?.exitCode)
          assert.strictEqual(failure?.message, `server "one" was ended by ${signal}`)
          yield* Tools.serves(client)
        })
      )
    }

    it.live("delivers what it answered just before", () =>
      Effect.gen(function* () {
        const { connect } = yield* setUp()
        const client = yield* connect("one")
        const call = yield* inFlight(client, "call")
        assert.strictEqual(LineClient.textOf(yield* client.call("farewell")), "farewell")
        assert.strictEqual(LineClient.kindOf(yield* Fiber.join(call)), "OutcomeUnknown")
        yield* Tools.serves(client)
      })
    )

    it.live("refuses calls with QueueTimeout where the next one does not come in time", () =>
      Effect.gen(function* () {
        const { connect, pool, states } = yield* setUp({ queueTimeout: "100 millis", budget: { base: "1 minute" } })
        const client = yield* connect("one")
        // The first restart comes at once.
        yield* client.call("exit", { code: 1 })
        yield* states.reached("one", "running", 2)
        yield* client.call("exit", { code: 1 })
        yield* states.reached("one", "restarting", 2)
        const { error } = yield* client.call("echo", { text: "late" })
        assert.strictEqual(error?.code, 31004)
        assert.deepStrictEqual(error?.data, { kind: "QueueTimeout", server: "one" })
        // Nobody has to wait for the delay to pass.
        yield* pool.restart("one")
        yield* Tools.serves(client)
      })
    )

    it.live("can be stopped while it waits to start it again", () =>
      Effect.gen(function* () {
        const { connect, pool, states } = yield* setUp({ budget: { base: "1 minute" } })
        const client = yield* connect("one")
        yield* client.call("exit", { code: 1 })
        yield* Tools.serves(client)
        yield* client.call("exit", { code: 1 })
        yield* states.reached("one", "restarting", 2)
        const waiting = yield* Effect.forkChild(client.call("echo"))
        yield* client.request("ping")
        yield* pool.stop("one")
        assert.strictEqual(LineClient.kindOf(yield* Fiber.join(waiting)), "ServerUnavailable")
        yield* states.reached("one", "stopped")
        assert.deepStrictEqual(wayOf(states).slice(-3), ["restarting", "stopping", "stopped"])
      })
    )

    it.live("leaves it stopped where it exited with code 0, unless it is told always to restart", () =>
      Effect.gen(function* () {
        const { connect, states } = yield* TestPool.make(({ server }) => ({
          one: server("one"),
          always: server("always", { restart: "always" })
        }))
        const client = yield* connect("one")
        yield* client.call("exit", { code: 0 })
        yield* states.reached("one", "stopped")
        const { error } = yield* client.call("echo")
        assert.deepStrictEqual(error?.data, {
          kind: "ServerUnavailable",
          server: "one",
          state: "stopped",
          hint: "start it: mcp-pool start one"
        })
        assert.deepStrictEqual(wayOf(states), ["starting", "running", "stopped"])
        const other = yield* connect("always")
        yield* other.call("exit", { code: 0 })
        yield* states.reached("always", "running", 2)
        yield* Tools.serves(other)
      })
    )

    it.live("leaves it failed where it is told never to restart", () =>
      Effect.gen(function* () {
        const { connect, states } = yield* setUp({ restart: "never" })
        const client = yield* connect("one")
        yield* client.call("exit", { code: 1 })
        yield* states.reached("one", "failed")
        const { error } = yield* client.call("echo")
        assert.deepStrictEqual(error?.data, {
          kind: "ServerUnavailable",
          server: "one",
          state: "failed",
          failure: { kind: "unknown", hint: "see what it printed: mcp-pool logs one" },
          nextAttemptAt: null
        })
        assert.deepStrictEqual(wayOf(states), ["starting", "running", "failed"])
      })
    )
  })
})
