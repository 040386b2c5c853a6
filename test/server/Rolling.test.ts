/** A restart without a gap: another process takes over when it is ready, and the one before ends what it has. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import type { Script } from "../fixtures/scripted.ts"
import * as LineClient from "../support/LineClient.ts"
import * as Processes from "../support/Processes.ts"
import type * as TestPool from "../support/TestPool.ts"
import * as Tools from "../support/Tools.ts"
import * as Supervision from "./Supervision.ts"

const { crash, inFlight, logged, pidOf, scripted, wayOf } = Supervision

/** The server `one`, started, and a session. */
const setUp = Effect.fnUntraced(function* (
  scripts: ReadonlyArray<Script> = [{}],
  pool: Parameters<typeof scripted>[1] = {}
) {
  const test = yield* scripted(scripts, { stop: { stdin: "50 millis", term: "2 seconds" }, ...pool })
  yield* test.pool.start("one")
  yield* test.pool.awaitSettled
  const client = yield* test.connect("one")
  return { ...test, client, pid: yield* pidOf(client) }
})

const statusOf = ({ pool }: Pick<TestPool.TestPool, "pool">) => Effect.map(pool.status, ([status]) => status!)

/** Wakes the calls of a process that gets no new ones. */
const wake = (pid: number): void => void process.kill(pid, "SIGUSR1")

/** Returns with the pid of the process that waits, once it does. */
const waiting = (test: TestPool.TestPool) =>
  Effect.map(
    logged(test, ({ text }) => text === "waiting"),
    ({ pid }) => pid ?? 0
  )

describe("a restart", () => {
  it.live("leaves a call in flight to the old process, which ends when it has answered", () =>
    Effect.gen(function* () {
      const test = yield* setUp()
      const { client, marker, pid, pool, states } = test
      const other = yield* test.connect("one")
      const call = yield* inFlight(client, "call")
      yield* pool.restart("one")

      const next = yield* pidOf(client)
      assert.notStrictEqual(next, pid)
      assert.strictEqual(yield* pidOf(other), next)
      const during = yield* statusOf(test)
      assert.strictEqual(during.state, "running")
      assert.strictEqual(during.pid, next)
      assert.deepStrictEqual(
        during.processes.map(({ draining, pid }) => ({ pid, draining })),
        [
          { pid: next, draining: false },
          { pid, draining: true }
        ]
      )
      assert.strictEqual(during.processes[1]?.inFlight, 1)
      assert.strictEqual(during.inFlight, 1)
      assert.strictEqual(during.sessions, 2)
      assert.strictEqual(during.restarts, 1)
      assert.isTrue(yield* Processes.isAlive(pid))

      wake(pid)
      assert.strictEqual(LineClient.textOf(yield* Fiber.join(call)), "woken")
      yield* Processes.gone(pid)
      assert.deepStrictEqual(yield* Processes.withMarker(marker), [next])
      const after = yield* statusOf(test)
      assert.deepStrictEqual(
        after.processes.map(({ pid }) => pid),
        [next]
      )
      assert.isNull(after.lastFailure)
      yield* Tools.serves(client)
      yield* Tools.serves(other)
      assert.deepStrictEqual(wayOf(states), ["starting", "running", "running"])
      assert.strictEqual(states.steps("one").at(-1)?.cause, "request")
      assert.strictEqual(states.steps("one").at(-1)?.pid, next)
    })
  )

  it.live("ends the old process at once where it has nothing to answer", () =>
    Effect.gen(function* () {
      const { client, pid, pool } = yield* setUp()
      yield* pool.restart("one")
      yield* Processes.gone(pid)
      assert.notStrictEqual(yield* pidOf(client), pid)
    })
  )

  it.live("does not wait for what only the pool has asked of the old process", () =>
    Effect.gen(function* () {
      const test = yield* scripted([{ lists: ["never"] }, {}], { stop: { stdin: "50 millis" } })
      const { connect, pool } = test
      yield* pool.start("one")
      yield* logged(test, ({ text }) => text === "asked for its tools")
      const client = yield* connect("one")
      const pid = yield* pidOf(client)
      yield* pool.restart("one")
      yield* Processes.gone(pid)
      assert.notStrictEqual(yield* pidOf(client), pid)
    })
  )

  it.live("lets the old process go where its last call is cancelled, or its client leaves", () =>
    Effect.gen(function* () {
      const { client, connect, pid, pool } = yield* setUp()
      const other = yield* connect("one")
      yield* Tools.startSleeping(client, "cancelled", "cancelled")
      yield* inFlight(other, "left")
      yield* pool.restart("one")
      yield* client.notify("notifications/cancelled", { requestId: "cancelled" })
      yield* Tools.serves(client)
      assert.isTrue(yield* Processes.isAlive(pid))
      yield* other.destroy
      yield* Processes.gone(pid)
      yield* Tools.serves(client)
      assert.isFalse(client.received().some(({ id }) => id === "cancelled"))
    })
  )

  it.live("asks the new process for subscriptions and the log level", () =>
    Effect.gen(function* () {
      const { client, pool } = yield* setUp()
      yield* client.request("resources/subscribe", { uri: "file:///a" })
      yield* client.request("logging/setLevel", { level: "notice" })
      yield* inFlight(client, "call")
      yield* pool.restart("one")
      assert.deepStrictEqual(yield* Tools.until(client, "subscriptions", 1), ["+file:///a"])
      assert.deepStrictEqual(yield* Tools.until(client, "levels", 1), ["notice"])
      yield* client.call("touch", { uri: "file:///a" })
      yield* client.notification("notifications/resources/updated")
    })
  )

  it.live("announces other tools, and says nothing where they are the same", () =>
    Effect.gen(function* () {
      const tools = ["stats", "echo"]
      const { client, pool } = yield* setUp([{ lists: [tools] }, { lists: [tools] }, { lists: [[...tools, "extra"]] }])
      yield* pool.restart("one")
      yield* pool.awaitSettled
      yield* client.request("ping")
      assert.isFalse(client.received().some(({ method }) => method !== undefined))
      yield* pool.restart("one")
      yield* client.notification("notifications/tools/list_changed")
      yield* pool.awaitSettled
      yield* client.request("ping")
      assert.strictEqual(client.received().filter(({ method }) => method !== undefined).length, 1)
      assert.strictEqual((yield* statusOf({ pool })).tools, 3)
    })
  )

  it.live("accepts a process that lists less than the one before only where that is ended first", () =>
    Effect.gen(function* () {
      const { client, pid, pool } = yield* setUp([{ lists: [["stats", "extra"]] }, { lists: [["stats"]] }])
      const { message } = yield* Effect.flip(pool.restart("one"))
      assert.include(message, "lacks tool extra; it has stats")
      assert.strictEqual(yield* pidOf(client), pid)
      yield* pool.restart("one", { now: true })
      assert.notStrictEqual(yield* pidOf(client), pid)
      yield* client.notification("notifications/tools/list_changed")
    })
  )

  it.live("gives a fresh budget", () =>
    Effect.gen(function* () {
      const { client, pool, states } = yield* setUp([{}], { budget: { max: 2, base: 0 } })
      yield* crash(client)
      yield* states.reached("one", "running", 2)
      yield* pool.restart("one")
      yield* crash(client)
      yield* states.reached("one", "running", 4)
      yield* Tools.serves(client)
      yield* crash(client)
      yield* states.reached("one", "crash-loop")
    })
  )

  it.live("started twice at once returns twice, and leaves one process", () =>
    Effect.gen(function* () {
      const test = yield* setUp()
      const { client, marker, pid, pool, states } = test
      const call = yield* inFlight(client, "call")
      yield* Effect.all([pool.restart("one"), pool.restart("one")], { concurrency: "unbounded", discard: true })
      const next = yield* pidOf(client)
      assert.notStrictEqual(next, pid)
      wake(pid)
      assert.strictEqual(LineClient.textOf(yield* Fiber.join(call)), "woken")
      const { processes } = yield* statusOf(test)
      assert.strictEqual(processes[0]?.pid, next)
      const others = (yield* Processes.withMarker(marker)).filter((other) => other !== next)
      yield* Effect.forEach(others, (other) => Processes.gone(other))
      yield* Tools.serves(client)
      assert.deepStrictEqual(new Set(wayOf(states).slice(1)), new Set(["running"]))
    })
  )

  it.live("can follow another whose old process still drains", () =>
    Effect.gen(function* () {
      const test = yield* setUp()
      const { client, pid: first, pool } = test
      const one = yield* inFlight(client, "one")
      yield* pool.restart("one")
      const second = yield* pidOf(client)
      const two = yield* inFlight(client, "two")
      yield* pool.restart("one")
      const third = yield* pidOf(client)
      const { processes } = yield* statusOf(test)
      assert.deepStrictEqual(
        processes.map(({ pid }) => pid),
        [third, first, second]
      )
      for (const { inFlight } of processes.slice(1)) assert.strictEqual(inFlight, 1)
      wake(second)
      assert.strictEqual(LineClient.textOf(yield* Fiber.join(two)), "woken")
      yield* Processes.gone(second)
      assert.isTrue(yield* Processes.isAlive(first))
      wake(first)
      assert.strictEqual(LineClient.textOf(yield* Fiber.join(one)), "woken")
      yield* Processes.gone(first)
    })
  )

  it.effect("waits an hour at most for the old process", () =>
    Effect.gen(function* () {
      const test = yield* setUp()
      const { client, pid, pool, states } = test
      yield* Tools.startSleeping(client, "call", "call")
      yield* pool.restart("one")
      const next = yield* pidOf(client)
      yield* TestClock.adjust("59 minutes")
      assert.isTrue(yield* Processes.isAlive(pid))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(LineClient.kindOf(yield* client.answer("call")), "OutcomeUnknown")
      assert.strictEqual(yield* pidOf(client), next)
      assert.deepStrictEqual(wayOf(states), ["starting", "running", "running"])
    })
  )
})

describe("a restart whose new process fails", () => {
  for (const { kind, name, phase, pool, scripts } of [
    {
      name: "its preflight",
      scripts: [{ lists: [["stats", "extra"]] }, { lists: [["stats"], ["stats"]] }],
      pool: { requiredTools: ["extra"] },
      kind: "PreflightFailed",
      phase: "preflight"
    },
    { name: "since the old one holds a lock", scripts: [{ locks: true }], kind: "ProcessExited", phase: "handshake" }
  ] satisfies ReadonlyArray<{
    readonly name: string
    readonly scripts: ReadonlyArray<Script>
    readonly pool?: Parameters<typeof scripted>[1]
    readonly kind: string
    readonly phase: string
  }>) {
    it.live(`${name} leaves the old one as it was, and says what to do`, () =>
      Effect.gen(function* () {
        const test = yield* setUp(scripts, pool)
        const { client, marker, pid, states } = test
        const call = yield* inFlight(client, "call")
        const error = yield* Effect.flip(test.pool.restart("one"))
        if (error._tag !== "RestartFailed") return assert.fail(error._tag)
        assert.strictEqual(error.server, "one")
        assert.include(error.message, "goes on")
        assert.strictEqual(error.message.split("mcp-pool restart one --now").length, 2, error.message)
        assert.strictEqual(yield* pidOf(client), pid)
        assert.deepStrictEqual(yield* Processes.withMarker(marker), [pid])

        const status = yield* statusOf(test)
        assert.strictEqual(status.state, "running")
        assert.strictEqual(status.pid, pid)
        assert.strictEqual(status.lastFailure?.kind, kind)
        assert.strictEqual(status.lastFailure?.phase, phase)
        assert.notStrictEqual(status.lastFailure?.pid, pid)
        assert.isNull(status.lastFailure?.nextAttemptAt)
        assert.include(status.lastFailure?.hint, "mcp-pool restart one --now")
        assert.include(error.reason, status.lastFailure?.message)
        assert.deepStrictEqual(wayOf(states), ["starting", "running", "running"])
        const step = states.steps("one").at(-1)
        assert.deepStrictEqual(step?.failure, status.lastFailure)
        assert.strictEqual(step?.pid, pid)

        wake(pid)
        assert.strictEqual(LineClient.textOf(yield* Fiber.join(call)), "woken")
        assert.strictEqual(yield* pidOf(client), pid)
      })
    )
  }

  it.live("succeeds with --now where the old one held a lock", () =>
    Effect.gen(function* () {
      const { client, pid, pool, states } = yield* setUp([{ locks: true }])
      yield* Effect.flip(pool.restart("one"))
      yield* pool.restart("one", { now: true })
      assert.notStrictEqual(yield* pidOf(client), pid)
      assert.deepStrictEqual(wayOf(states), ["starting", "running", "running", "restarting", "running"])
    })
  )

  it.live("can be tried again", () =>
    Effect.gen(function* () {
      const { client, pid, pool } = yield* setUp([{}, { start: "exits" }, {}])
      assert.strictEqual((yield* Effect.flip(pool.restart("one")))._tag, "RestartFailed")
      assert.strictEqual(yield* pidOf(client), pid)
      yield* pool.restart("one")
      assert.notStrictEqual(yield* pidOf(client), pid)
    })
  )

  it.live("says nothing to sessions: no list is announced, no subscription is asked for again", () =>
    Effect.gen(function* () {
      const { client, pool } = yield* setUp([{}, { start: "exits" }])
      yield* client.request("resources/subscribe", { uri: "file:///a" })
      yield* Effect.flip(pool.restart("one"))
      assert.deepStrictEqual((yield* Tools.stats(client)).subscriptions, ["+file:///a"])
      assert.isFalse(client.received().some(({ method }) => method !== undefined))
    })
  )
})

describe("while a new process starts", () => {
  it.live("calls go to the old one", () =>
    Effect.gen(function* () {
      const test = yield* setUp([{}, { start: "waits" }])
      const { client, pid, pool } = test
      const restarting = yield* Effect.forkChild(Effect.exit(pool.restart("one")))
      const next = yield* waiting(test)
      assert.strictEqual(yield* pidOf(client), pid)
      assert.strictEqual((yield* statusOf(test)).state, "running")
      process.kill(next, "SIGKILL")
      yield* Fiber.join(restarting)
      assert.strictEqual(yield* pidOf(client), pid)
    })
  )

  it.live("the old one may crash: the new one follows it, without another start", () =>
    Effect.gen(function* () {
      const test = yield* setUp([{}, { start: "slow" }, {}])
      const { client, marker, pool, states } = test
      const restarting = yield* Effect.forkChild(pool.restart("one"))
      const second = (yield* logged(test, ({ text }) => text.startsWith("still at it"))).pid ?? 0
      yield* crash(client)
      yield* Fiber.join(restarting)
      assert.strictEqual(yield* pidOf(client), second)
      assert.deepStrictEqual(yield* Processes.withMarker(marker), [second])
      assert.deepStrictEqual(wayOf(states), ["starting", "running", "restarting", "running"])
      assert.strictEqual((yield* statusOf(test)).restarts, 1)
    })
  )

  it.live("both may crash: a third takes over, and nothing of the second is left", () =>
    Effect.gen(function* () {
      const test = yield* setUp([{}, { start: "waits" }, {}])
      const { client, marker, pid, pool, states } = test
      const restarting = yield* Effect.forkChild(pool.restart("one"))
      const second = yield* waiting(test)
      yield* crash(client)
      process.kill(second, "SIGKILL")
      yield* Fiber.join(restarting)
      yield* states.reached("one", "running", 2)
      yield* Tools.serves(client)
      const third = yield* pidOf(client)
      assert.notInclude([pid, second], third)
      assert.deepStrictEqual(yield* Processes.withMarker(marker), [third])
      assert.deepStrictEqual(wayOf(states), ["starting", "running", "restarting", "restarting", "running"])
      assert.deepStrictEqual(
        (yield* statusOf(test)).failures.map((failure) => failure.pid),
        [pid, second]
      )
    })
  )

  it.live("the server can be stopped: neither is left, and the restart fails", () =>
    Effect.gen(function* () {
      const test = yield* setUp([{}, { start: "waits" }, {}])
      const { client, marker, pool, states } = test
      const call = yield* inFlight(client, "call")
      const restarting = yield* Effect.forkChild(pool.restart("one"))
      yield* waiting(test)
      yield* pool.stop("one")
      assert.deepStrictEqual(yield* Processes.withMarker(marker), [])
      assert.include((yield* Effect.flip(Fiber.join(restarting))).message, "it was stopped meanwhile")
      assert.strictEqual(LineClient.kindOf(yield* Fiber.join(call)), "OutcomeUnknown")
      assert.strictEqual(LineClient.kindOf(yield* client.call("echo")), "ServerUnavailable")
      yield* states.reached("one", "stopped")
      assert.deepStrictEqual(wayOf(states), ["starting", "running", "stopping", "stopped"])
      yield* pool.start("one")
      yield* Tools.serves(client)
    })
  )

  it.live("the server can be restarted now: neither of the two is left", () =>
    Effect.gen(function* () {
      const test = yield* setUp([{}, { start: "waits" }, {}])
      const { client, marker, pid, pool, states } = test
      const restarting = yield* Effect.forkChild(pool.restart("one"))
      const second = yield* waiting(test)
      yield* pool.restart("one", { now: true })
      yield* Effect.flip(Fiber.join(restarting))
      const third = yield* pidOf(client)
      assert.notInclude([pid, second], third)
      assert.deepStrictEqual(yield* Processes.withMarker(marker), [third])
      assert.deepStrictEqual(wayOf(states), ["starting", "running", "restarting", "running"])
    })
  )

  it.live("the pool can end: neither is left", () =>
    Effect.gen(function* () {
      const test = yield* setUp([{}, { start: "waits" }])
      const restarting = yield* Effect.forkChild(test.pool.restart("one"))
      yield* waiting(test)
      yield* test.close
      assert.deepStrictEqual(yield* Processes.withMarker(test.marker), [])
      yield* Effect.flip(Fiber.join(restarting))
    })
  )
})

describe("a process that drains", () => {
  it.live("still reports progress, and hears of cancellation", () =>
    Effect.gen(function* () {
      const { client, pid, pool } = yield* setUp()
      yield* Tools.startSleeping(client, "one", "one")
      const call = yield* inFlight(client, "call")
      yield* pool.restart("one")
      yield* client.notify("notifications/cancelled", { requestId: "one" })
      wake(pid)
      assert.strictEqual(LineClient.textOf(yield* Fiber.join(call)), "woken")
      yield* Processes.gone(pid)
      assert.isFalse(client.received().some(({ id }) => id === "one"))
    })
  )

  it.live("outlives the server's end for good", () =>
    Effect.gen(function* () {
      const { client, pid, pool, states } = yield* setUp()
      const call = yield* inFlight(client, "call")
      yield* pool.restart("one")
      yield* client.send({ id: "bye", method: "tools/call", params: { name: "exit", arguments: { code: 0 } } })
      yield* states.reached("one", "stopped")
      assert.deepStrictEqual(
        (yield* pool.status)[0]?.processes.map(({ draining, pid }) => ({ draining, pid })),
        [{ draining: true, pid }]
      )
      wake(pid)
      assert.strictEqual(LineClient.textOf(yield* Fiber.join(call)), "woken")
      yield* Processes.gone(pid)
    })
  )

  it.live("may crash: its calls have an unknown outcome, and the server runs on", () =>
    Effect.gen(function* () {
      const test = yield* setUp()
      const { client, pid, pool, states } = test
      const calls = [yield* inFlight(client, 1), yield* inFlight(client, 2)]
      yield* pool.restart("one")
      const next = yield* pidOf(client)
      process.kill(pid, "SIGKILL")
      for (const call of calls) assert.strictEqual(LineClient.kindOf(yield* Fiber.join(call)), "OutcomeUnknown")
      assert.strictEqual(yield* pidOf(client), next)
      const status = yield* statusOf(test)
      assert.strictEqual(status.restarts, 1)
      assert.strictEqual(status.lastFailure?.pid, pid)
      assert.strictEqual(status.lastFailure?.inFlight, 2)
      assert.deepStrictEqual(
        status.processes.map(({ pid }) => pid),
        [next]
      )
      assert.deepStrictEqual(wayOf(states), ["starting", "running", "running"])
    })
  )

  it.live("outlives a crash of the one that took over", () =>
    Effect.gen(function* () {
      const { client, pid, pool, states } = yield* setUp()
      const call = yield* inFlight(client, "call")
      yield* pool.restart("one")
      const second = yield* pidOf(client)
      process.kill(second, "SIGKILL")
      yield* states.reached("one", "running", 3)
      yield* Tools.serves(client)
      wake(pid)
      assert.strictEqual(LineClient.textOf(yield* Fiber.join(call)), "woken")
      yield* Processes.gone(pid)
    })
  )

  it.effect("is not replaced once more when it comes of age", () =>
    Effect.gen(function* () {
      const { client, pool, states } = yield* setUp([{}], { maxAge: "10 minutes" })
      yield* Tools.startSleeping(client, "call", "call")
      yield* TestClock.adjust("9 minutes")
      yield* pool.restart("one")
      yield* TestClock.adjust("1 minute")
      // Whatever else was wished for comes before this.
      yield* pool.restart("one")
      yield* Tools.serves(client)
      assert.deepStrictEqual(
        states.steps("one").map(({ cause, to }) => `${to}: ${cause}`),
        ["starting: request", "running: ready", "running: request", "running: request"]
      )
    })
  )

  it.live("ends when the server is stopped", () =>
    Effect.gen(function* () {
      const { client, marker, pool } = yield* setUp()
      const call = yield* inFlight(client, "call")
      yield* pool.restart("one")
      yield* pool.stop("one")
      assert.deepStrictEqual(yield* Processes.withMarker(marker), [])
      assert.strictEqual(LineClient.kindOf(yield* Fiber.join(call)), "OutcomeUnknown")
    })
  )
})

describe("a restart now", () => {
  it.live("ends the old process first; calls in flight have an unknown outcome, sessions stay", () =>
    Effect.gen(function* () {
      const test = yield* setUp()
      const { client, marker, pid, pool, states } = test
      const call = yield* inFlight(client, "call")
      yield* pool.restart("one", { now: true })
      assert.strictEqual(LineClient.kindOf(yield* Fiber.join(call)), "OutcomeUnknown")
      const next = yield* pidOf(client)
      assert.notStrictEqual(next, pid)
      assert.deepStrictEqual(yield* Processes.withMarker(marker), [next])
      const status = yield* statusOf(test)
      assert.strictEqual(status.sessions, 1)
      assert.strictEqual(status.restarts, 1)
      assert.deepStrictEqual(wayOf(states), ["starting", "running", "restarting", "running"])
      assert.strictEqual(states.steps("one").at(-2)?.cause, "request")
    })
  )

  it.live("whose new process fails leaves the server to its restart policy", () =>
    Effect.gen(function* () {
      const { client, pool, states } = yield* setUp([{}, { start: "exits" }, {}])
      yield* pool.restart("one", { now: true })
      yield* states.reached("one", "running", 2)
      yield* Tools.serves(client)
      assert.deepStrictEqual(wayOf(states), ["starting", "running", "restarting", "restarting", "running"])
    })
  )
})

describe("a restart of a server that does not run", () => {
  it.live("starts it where it is stopped", () =>
    Effect.gen(function* () {
      const { client, pool, states } = yield* setUp()
      yield* pool.stop("one")
      yield* pool.restart("one")
      yield* Tools.serves(client)
      assert.deepStrictEqual(wayOf(states), ["starting", "running", "stopping", "stopped", "starting", "running"])
    })
  )

  it.live("starts it anew where it is starting", () =>
    Effect.gen(function* () {
      const test = yield* scripted([{ start: "waits" }, {}], { stop: { stdin: "50 millis" } })
      const { connect, marker, pool, states } = test
      const starting = yield* Effect.forkChild(pool.start("one"))
      const first = yield* waiting(test)
      yield* pool.restart("one")
      yield* Fiber.join(starting)
      const pid = yield* pidOf(yield* connect("one"))
      assert.notStrictEqual(pid, first)
      assert.deepStrictEqual(yield* Processes.withMarker(marker), [pid])
      assert.deepStrictEqual(wayOf(states), ["starting", "restarting", "running"])
    })
  )
})
