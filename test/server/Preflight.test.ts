/** What a new process has to show before sessions are let in. Where time is virtual, only the pool's own waits are. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import type { LogEntry } from "../../src/server/LogEntry.ts"
import type { Script } from "../fixtures/scripted.ts"
import * as Processes from "../support/Processes.ts"
import type * as TestPool from "../support/TestPool.ts"
import * as Tools from "../support/Tools.ts"
import * as Supervision from "./Supervision.ts"

const { crash, logged, scripted, wayOf } = Supervision

/** The tools that tests call. */
const tools = ["echo", "sleep", "stats", "exit"]
/** A list that stays without the tool `extra` when the server says that it changed: there is nothing to wait for. */
const withoutExtra: Script = { lists: [tools, tools] }
const withExtra: Script = { lists: [[...tools, "extra"]] }

/** No retries, unless told otherwise. */
const requiring = (...requiredTools: ReadonlyArray<string>) => ({ requiredTools, restart: "never" }) as const

describe("a server with required tools", () => {
  it.live("runs where it lists them all", () =>
    Effect.gen(function* () {
      const { connect, pool, states } = yield* scripted([withExtra], requiring("extra", "echo"))
      yield* pool.start("one")
      yield* states.reached("one", "running")
      assert.deepStrictEqual(wayOf(states), ["starting", "running"])
      yield* Tools.serves(yield* connect("one"))
      assert.strictEqual((yield* pool.status)[0]?.tools, tools.length + 1)
    })
  )

  it.live("fails where one is missing after two seconds, and names it beside those that are there", () =>
    Effect.gen(function* () {
      const { dial, marker, pool, states } = yield* scripted(
        [{ lists: [["echo", "exit"]] }],
        requiring("extra", "echo", "other")
      )
      yield* pool.start("one")
      const { failure } = yield* states.reached("one", "failed")
      assert.strictEqual(failure?.kind, "PreflightFailed")
      assert.strictEqual(failure?.phase, "preflight")
      assert.strictEqual(failure?.classification, "missing-tools")
      assert.strictEqual(failure?.message, 'server "one" lacks tools extra, other; it has echo, exit')
      assert.isNotNull(failure?.pid)
      assert.isNull(failure?.uptime)
      assert.deepStrictEqual(yield* Processes.withMarker(marker), [])
      assert.deepStrictEqual(wayOf(states), ["starting", "failed"])
      const { error } = yield* (yield* dial("one")).initialize
      assert.deepStrictEqual(error?.data, {
        kind: "ServerUnavailable",
        server: "one",
        state: "failed",
        failure: { kind: "missing-tools", hint: failure?.hint },
        nextAttemptAt: null
      })
    })
  )

  it.live("fails where they are still missing when it has said that they changed", () =>
    Effect.gen(function* () {
      const { marker, pool, states } = yield* scripted([withoutExtra], requiring("extra"))
      yield* pool.start("one")
      const { failure } = yield* states.reached("one", "failed")
      assert.strictEqual(failure?.message, 'server "one" lacks tool extra; it has echo, sleep, stats, exit')
      assert.deepStrictEqual(yield* Processes.withMarker(marker), [])
    })
  )

  for (const says of ["later", "before", "after"] as const) {
    const how = says === "later" ? "a write of its own" : `one write with the list, ${says} it`
    it.live(`runs where it registers them after the handshake and says so in ${how}`, () =>
      Effect.gen(function* () {
        const { connect, pool, states } = yield* scripted(
          [{ lists: [tools, [...tools, "extra"]], says }],
          requiring("extra")
        )
        yield* pool.start("one")
        yield* Effect.raceFirst(states.reached("one", "running"), states.reached("one", "failed"))
        assert.deepStrictEqual(wayOf(states), ["starting", "running"])
        yield* Tools.serves(yield* connect("one"))
        assert.strictEqual((yield* pool.status)[0]?.tools, tools.length + 1)
      })
    )
  }

  it.live("fails where it answers tools/list with an error", () =>
    Effect.gen(function* () {
      const { pool, states } = yield* scripted([{ lists: ["error", "error"] }], requiring("extra"))
      yield* pool.start("one")
      const { failure } = yield* states.reached("one", "failed")
      assert.strictEqual(failure?.kind, "PreflightFailed")
      assert.strictEqual(failure?.message, 'server "one" did not list its tools: tool extra may be missing')
    })
  )

  it.live("fails where it exits in the preflight, and the restart policy applies", () =>
    Effect.gen(function* () {
      const { connect, marker, pool, states } = yield* scripted([{ lists: ["exits"] }, withExtra], {
        requiredTools: ["extra"]
      })
      yield* pool.start("one")
      const { failure } = yield* states.reached("one", "restarting")
      assert.strictEqual(failure?.kind, "ProcessExited")
      assert.strictEqual(failure?.phase, "preflight")
      assert.strictEqual(failure?.exitCode, 3)
      assert.isNull(failure?.uptime)
      yield* states.reached("one", "running")
      yield* Tools.serves(yield* connect("one"))
      assert.strictEqual((yield* Processes.withMarker(marker)).length, 1)
      assert.deepStrictEqual(wayOf(states), ["starting", "restarting", "running"])
    })
  )

  it.effect("fails where it never answers tools/list: a timeout", () =>
    Effect.gen(function* () {
      const test = yield* scripted([{ lists: ["never"] }], { ...requiring("extra"), startTimeout: "10 seconds" })
      const { marker, pool, states } = test
      const starting = yield* Effect.forkChild(pool.start("one"))
      yield* logged(test, ({ text }) => text === "asked for its tools")
      // One period in which it said something, and one of silence.
      yield* TestClock.adjust("10 seconds")
      yield* TestClock.adjust("10 seconds")
      const { failure } = yield* states.reached("one", "failed")
      assert.strictEqual(failure?.classification, "timeout")
      assert.include(failure?.message, "did not list its tools: tool extra may be missing")
      assert.deepStrictEqual(yield* Processes.withMarker(marker), [])
      yield* Fiber.join(starting)
    })
  )
})

describe("a process that follows a crash", () => {
  it.live("must list what the one before listed by itself, or the restart policy applies", () =>
    Effect.gen(function* () {
      const { connect, marker, pool, states } = yield* scripted([withExtra, withoutExtra, withoutExtra, withExtra], {
        budget: { max: 4, base: 0 }
      })
      yield* pool.start("one")
      yield* pool.awaitSettled
      const client = yield* connect("one")
      yield* crash(client)
      for (const times of [2, 3]) {
        const { failure } = yield* states.reached("one", "restarting", times)
        assert.strictEqual(failure?.kind, "PreflightFailed")
        assert.strictEqual(failure?.message, 'server "one" lacks tool extra; it has echo, sleep, stats, exit')
        assert.include(failure?.hint, "a restart with --now accepts a new list")
      }
      yield* states.reached("one", "running", 2)
      yield* Tools.serves(client)
      assert.strictEqual((yield* Processes.withMarker(marker)).length, 1)
      assert.strictEqual(wayOf(states).join(" "), "starting running restarting restarting restarting running")
    })
  )

  for (const now of [false, true]) {
    it.live(`may list less once a person restarts it${now ? " now" : ""}, also after a crash`, () =>
      Effect.gen(function* () {
        const { connect, pool, states } = yield* scripted([withExtra, withoutExtra], { budget: { max: 2, base: 0 } })
        yield* pool.start("one")
        yield* pool.awaitSettled
        const client = yield* connect("one")
        yield* crash(client)
        const { failure } = yield* states.reached("one", "crash-loop")
        assert.strictEqual(failure?.classification, "missing-tools")
        yield* pool.restart("one", { now })
        yield* states.reached("one", "running", 2)
        yield* pool.awaitSettled
        assert.strictEqual((yield* pool.status)[0]?.tools, tools.length)
        // What it has to list from now on is the new list.
        yield* crash(client)
        yield* states.reached("one", "running", 3)
        yield* Tools.serves(client)
      })
    )
  }

  it.live("may list more, and may miss what was only registered later", () =>
    Effect.gen(function* () {
      const more = { lists: [["echo", "sleep", "progress", "stats", "extra"]] }
      const { connect, pool, states } = yield* scripted([{}, more])
      yield* pool.start("one")
      yield* pool.awaitSettled
      const client = yield* connect("one")
      yield* client.call("add_tool", { name: "later" })
      yield* client.notification("notifications/tools/list_changed")
      yield* crash(client)
      yield* states.reached("one", "running", 2)
      yield* client.notification("notifications/tools/list_changed")
      yield* Tools.serves(client)
      assert.strictEqual((yield* pool.status)[0]?.tools, 5)
      assert.deepStrictEqual(wayOf(states), ["starting", "running", "restarting", "running"])
    })
  )
})

describe("startTimeout", () => {
  it.effect("begins anew while the server writes to stderr", () =>
    Effect.gen(function* () {
      const test = yield* scripted([{ start: "slow" }], { startTimeout: "400 millis" })
      const { connect, pool, states } = test
      const starting = yield* Effect.forkChild(pool.start("one"))
      for (let period = 0; period < 4; period++) {
        yield* talked(test)
        assert.deepStrictEqual(wayOf(states), ["starting"])
        yield* TestClock.adjust("400 millis")
      }
      const { at } = yield* states.reached("one", "running")
      assert.strictEqual(Date.parse(at), 1600)
      yield* Fiber.join(starting)
      yield* Tools.serves(yield* connect("one"))
      assert.isNull((yield* pool.status)[0]?.lastFailure)
    })
  )

  it.effect("ends one that writes and never answers, after ten of them", () =>
    Effect.gen(function* () {
      const test = yield* scripted([{ start: "talks" }], { startTimeout: "400 millis", restart: "never" })
      const { marker, pool, states } = test
      const starting = yield* Effect.forkChild(pool.start("one"))
      for (let period = 1; period <= 10; period++) {
        yield* talked(test)
        assert.deepStrictEqual(wayOf(states), ["starting"])
        yield* TestClock.adjust("400 millis")
      }
      const { at, failure } = yield* states.reached("one", "failed")
      assert.strictEqual(Date.parse(at), 4000)
      assert.strictEqual(failure?.kind, "HandshakeFailed")
      assert.strictEqual(failure?.classification, "timeout")
      assert.include(
        failure?.message,
        "no answer to initialize within 400ms (pool.startTimeout), though it has written to stderr for 10 times as long"
      )
      assert.deepStrictEqual(yield* Processes.withMarker(marker), [])
      yield* Fiber.join(starting)
    })
  )

  it.effect("ends one after the first in which it wrote nothing", () =>
    Effect.gen(function* () {
      const test = yield* scripted([{ start: "waits" }], { startTimeout: "400 millis", restart: "never" })
      const { marker, pool, states } = test
      const starting = yield* Effect.forkChild(pool.start("one"))
      yield* logged(test, ({ text }) => text === "waiting")
      yield* TestClock.adjust("400 millis")
      assert.deepStrictEqual(wayOf(states), ["starting"])
      yield* TestClock.adjust("400 millis")
      const { failure } = yield* states.reached("one", "failed")
      assert.include(failure?.message, "for 2 times as long")
      assert.deepStrictEqual(yield* Processes.withMarker(marker), [])
      yield* Fiber.join(starting)
    })
  )
})

/** Returns when the server has written to stderr since this was called. */
const talked = Effect.fnUntraced(function* (test: TestPool.TestPool) {
  const isSaid = ({ source }: LogEntry) => source === "stderr"
  const before = (yield* Stream.runCollect(test.pool.logs("one", { follow: false }))).filter(isSaid).length
  let lines = 0
  yield* logged(test, (entry) => isSaid(entry) && ++lines > before)
})
