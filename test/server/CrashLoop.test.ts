/** What becomes of a server that ends again and again. Only the pool's own waits are virtual; the processes are real. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Fiber, Layer, Logger, Schedule } from "effect"
import { TestClock } from "effect/testing"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import * as McpPool from "../../src/McpPool.ts"
import type { StateChange } from "../../src/server/ServerState.ts"
import * as LineClient from "../support/LineClient.ts"
import * as Processes from "../support/Processes.ts"
import * as States from "../support/States.ts"
import * as TestPool from "../support/TestPool.ts"
import * as Tools from "../support/Tools.ts"
import * as Supervision from "./Supervision.ts"

const { crash, scripted, wayOf } = Supervision

/** A budget of so many starts, without delays between them. */
const starts = (max: number) => ({ budget: { max, base: 0 } })

describe("a server that spends its budget", () => {
  it.effect("is in a crash loop, and tells callers at once what the matter is and when it is tried again", () =>
    Effect.gen(function* () {
      const { connect, dial, pool, states } = yield* scripted([{}, { start: "exits" }], starts(2))
      yield* pool.start("one")
      const client = yield* connect("one")
      yield* crash(client)
      const { at, failure } = yield* states.reached("one", "crash-loop")
      assert.strictEqual(waitOf(failure?.nextAttemptAt, at), fiveMinutes)
      assert.strictEqual(failure?.exitCode, 3)
      assert.strictEqual(failure?.phase, "handshake")
      assert.deepStrictEqual(failure?.stderr, ["precious words"])
      const [status] = yield* pool.status
      assert.strictEqual(status?.state, "crash-loop")
      assert.isNull(status?.pid)
      assert.deepStrictEqual(status?.lastFailure, failure)
      assert.strictEqual(status?.sessions, 1)

      const late = yield* dial("one")
      assert.isDefined((yield* late.initialize).result)
      for (const { error } of [yield* client.call("echo"), yield* late.call("echo")]) {
        assert.strictEqual(error?.code, 31001)
        assert.deepStrictEqual(error?.data, {
          kind: "ServerUnavailable",
          server: "one",
          state: "crash-loop",
          failure: { kind: "unknown", hint: "see what it printed: mcp-pool logs one" },
          nextAttemptAt: failure?.nextAttemptAt ?? null
        })
        const text = JSON.stringify(error)
        for (const secret of ["precious words", "scripted.ts", "exited with"]) assert.notInclude(text, secret)
      }
    })
  )

  it.effect("is tried once after five minutes, and not again before another five", () =>
    Effect.gen(function* () {
      const { marker, pool, states } = yield* scripted([{ start: "exits" }], starts(1))
      yield* pool.start("one")
      let last = yield* states.reached("one", "crash-loop")
      for (const times of [1, 2, 3]) {
        yield* TestClock.adjust("299 seconds")
        assert.strictEqual(states.steps("one").length, 2 * times)
        assert.deepStrictEqual(yield* Processes.withMarker(marker), [])
        yield* TestClock.adjust("1 second")
        const attempt = yield* states.reached("one", "restarting", times)
        assert.strictEqual(attempt.cause, "attempt")
        assert.strictEqual(attempt.at, last.failure?.nextAttemptAt)
        last = yield* states.reached("one", "crash-loop", times + 1)
        assert.strictEqual(waitOf(last.failure?.nextAttemptAt, last.at), fiveMinutes)
      }
      assert.strictEqual((yield* pool.status)[0]?.restarts, 3)
      assert.deepStrictEqual(wayOf(states).slice(-2), ["restarting", "crash-loop"])
    })
  )

  it.effect("lets calls wait for the attempt, and answers them when it fails", () =>
    Effect.gen(function* () {
      const test = yield* scripted([{}, { start: "waits" }, { start: "exits" }], starts(1))
      const { connect, pool, states } = test
      yield* pool.start("one")
      const client = yield* connect("one")
      yield* crash(client)
      yield* states.reached("one", "crash-loop")
      yield* TestClock.adjust("5 minutes")
      const { pid } = yield* Supervision.logged(test, ({ text }) => text === "waiting")
      yield* client.send({ id: "waits", method: "tools/call", params: { name: "echo", arguments: { text: "hi" } } })
      // Its answer comes before that of what was sent after it, were there one by now.
      yield* client.request("ping")
      assert.isFalse(client.received().some(({ id }) => id === "waits"))
      process.kill(pid ?? 0, "SIGKILL")
      assert.strictEqual(LineClient.kindOf(yield* client.answer("waits")), "ServerUnavailable")
      assert.deepStrictEqual(wayOf(states), ["starting", "running", "crash-loop", "restarting", "crash-loop"])
    })
  )

  it.effect("runs again where the attempt succeeds, and its sessions with it", () =>
    Effect.gen(function* () {
      const { connect, pool, states } = yield* scripted([{}], starts(1))
      yield* pool.start("one")
      const client = yield* connect("one")
      yield* crash(client)
      yield* states.reached("one", "crash-loop")
      yield* TestClock.adjust("5 minutes")
      yield* states.reached("one", "running", 2)
      yield* Tools.serves(client)
      // One start in this minute: the budget has room for none beside it.
      yield* crash(client)
      yield* states.reached("one", "crash-loop", 2)
      yield* TestClock.adjust("5 minutes")
      yield* states.reached("one", "running", 3)
      yield* Tools.serves(client)
      assert.strictEqual(
        wayOf(states).join(" "),
        "starting running crash-loop restarting running crash-loop restarting running"
      )
    })
  )

  for (const how of ["start", "restart"] as const) {
    it.effect(`is ${how}ed at once when somebody asks, with a fresh budget`, () =>
      Effect.gen(function* () {
        const { connect, pool, states } = yield* scripted([{ start: "exits" }, { start: "exits" }, {}], starts(2))
        yield* pool.start("one")
        yield* states.reached("one", "crash-loop")
        yield* pool[how]("one")
        const client = yield* connect("one")
        yield* crash(client)
        yield* states.reached("one", "running", 2)
        yield* Tools.serves(client)
        yield* crash(client)
        yield* states.reached("one", "crash-loop", 2)
        assert.strictEqual(
          wayOf(states).join(" "),
          `starting restarting crash-loop ${how}ing running restarting running crash-loop`
        )
        assert.strictEqual((yield* pool.status)[0]?.restarts, 3)
      })
    )
  }

  it.effect("stays stopped when it is told to stop", () =>
    Effect.gen(function* () {
      const { connect, pool, states } = yield* scripted([{}], starts(1))
      yield* pool.start("one")
      const client = yield* connect("one")
      yield* crash(client)
      yield* states.reached("one", "crash-loop")
      yield* pool.stop("one")
      assert.strictEqual((yield* states.reached("one", "stopped")).cause, "request")
      yield* TestClock.adjust("1 hour")
      const { error } = yield* client.call("echo")
      assert.deepStrictEqual(error?.data, {
        kind: "ServerUnavailable",
        server: "one",
        state: "stopped",
        hint: "start it: mcp-pool start one"
      })
      assert.deepStrictEqual(wayOf(states), ["starting", "running", "crash-loop", "stopped"])
      yield* pool.start("one")
      yield* Tools.serves(client)
    })
  )

  it.effect("can be stopped while it is tried", () =>
    Effect.gen(function* () {
      const test = yield* scripted([{ start: "exits" }, { start: "waits" }], starts(1))
      const { marker, pool, states } = test
      yield* pool.start("one")
      yield* states.reached("one", "crash-loop")
      yield* TestClock.adjust("5 minutes")
      yield* Supervision.logged(test, ({ text }) => text === "waiting")
      yield* pool.stop("one")
      assert.deepStrictEqual(yield* Processes.withMarker(marker), [])
      yield* states.reached("one", "stopped")
      assert.deepStrictEqual(wayOf(states), ["starting", "crash-loop", "restarting", "stopping", "stopped"])
    })
  )

  it.effect("has the whole of it again once its starts lie a window back", () =>
    Effect.gen(function* () {
      const { connect, pool, states } = yield* scripted([{}], { budget: { max: 2, window: "1 minute", base: 0 } })
      yield* pool.start("one")
      const client = yield* connect("one")
      for (const times of [2, 3, 4]) {
        yield* crash(client)
        yield* states.reached("one", "running", times)
        yield* TestClock.adjust("1 minute")
      }
      yield* Tools.serves(client)
    })
  )

  it.effect("waits longer from one restart of a streak to the next", () =>
    Effect.gen(function* () {
      const { pool, states } = yield* scripted([{ start: "exits" }], {
        budget: { max: 4, base: "2 seconds", cap: "3 seconds" }
      })
      const starting = yield* Effect.forkChild(pool.start("one"))
      const first = yield* states.reached("one", "restarting", 1)
      assert.strictEqual(waitOf(first.failure?.nextAttemptAt, first.at), 0)
      const second = yield* states.reached("one", "restarting", 2)
      assert.isTrue(isWithin(waitOf(second.failure?.nextAttemptAt, second.at), 1600, 2000))
      yield* TestClock.adjust("2 seconds")
      const third = yield* states.reached("one", "restarting", 3)
      assert.isTrue(isWithin(waitOf(third.failure?.nextAttemptAt, third.at), 2400, 3000))
      yield* TestClock.adjust("3 seconds")
      yield* states.reached("one", "crash-loop")
      yield* Fiber.join(starting)
      assert.deepStrictEqual(wayOf(states), ["starting", "restarting", "restarting", "restarting", "crash-loop"])
    })
  )
})

describe("budget.lifetime", () => {
  it.effect("is how often a server is restarted in all; then it is failed until somebody restarts it", () =>
    Effect.gen(function* () {
      const { connect, pool, states } = yield* scripted([{}], { budget: { max: 10, base: 0, lifetime: 2 } })
      yield* pool.start("one")
      const client = yield* connect("one")
      for (const round of [1, 2]) {
        for (let i = 0; i < 3; i++) {
          yield* Tools.serves(client)
          yield* crash(client)
        }
        const { failure } = yield* states.reached("one", "failed", round)
        const hint = failure?.hint ?? ""
        assert.include(hint, "it was restarted 2 times (budget.lifetime): mcp-pool restart one")
        assert.isNull(failure?.nextAttemptAt)
        const { error } = yield* client.call("echo")
        assert.deepStrictEqual(error?.data, {
          kind: "ServerUnavailable",
          server: "one",
          state: "failed",
          failure: { kind: "unknown", hint },
          nextAttemptAt: null
        })
        yield* TestClock.adjust("1 hour")
        assert.strictEqual((yield* pool.status)[0]?.state, "failed")
        yield* pool.restart("one")
      }
      yield* Tools.serves(client)
      const way = wayOf(states).join(" ")
      assert.match(way, /^starting running restarting running restarting running failed/)
      assert.match(way, /running restarting running restarting running failed (starting|restarting) running$/)
    })
  )

  it.effect("counts the attempts out of a crash loop too", () =>
    Effect.gen(function* () {
      const { pool, states } = yield* scripted([{ start: "exits" }], { budget: { max: 1, lifetime: 2 } })
      yield* pool.start("one")
      yield* states.reached("one", "crash-loop")
      yield* TestClock.adjust("5 minutes")
      yield* Effect.raceFirst(states.reached("one", "crash-loop", 2), states.reached("one", "failed"))
      yield* TestClock.adjust("5 minutes")
      yield* Effect.raceFirst(states.reached("one", "crash-loop", 3), states.reached("one", "failed"))
      assert.strictEqual(wayOf(states).join(" "), "starting crash-loop restarting crash-loop restarting failed")
      assert.strictEqual((yield* pool.status)[0]?.restarts, 2)
    })
  )
})

describe("a restart Schedule of the user's own", () => {
  it.effect("drives the restarts, and its end is a crash loop", () =>
    Effect.gen(function* () {
      const { pool, states } = yield* poolWith(Schedule.recurs(1))
      yield* pool.start("one")
      kill(yield* states.reached("one", "running"))
      kill(yield* states.reached("one", "running", 2))
      const { at, failure } = yield* states.reached("one", "crash-loop")
      assert.strictEqual(waitOf(failure?.nextAttemptAt, at), fiveMinutes)
      yield* TestClock.adjust("5 minutes")
      kill(yield* states.reached("one", "running", 3))
      yield* states.reached("one", "crash-loop", 2)
      yield* pool.start("one")
      kill(yield* states.reached("one", "running", 4))
      yield* states.reached("one", "running", 5)
      const first = "starting running restarting running crash-loop"
      const attempt = "restarting running crash-loop"
      assert.strictEqual(wayOf(states).join(" "), `${first} ${attempt} starting running restarting running`)
    })
  )

  it.effect("says how long to wait", () =>
    Effect.gen(function* () {
      const { pool, states } = yield* poolWith(Schedule.spaced("1 minute"))
      yield* pool.start("one")
      for (const times of [1, 2, 3]) {
        kill(yield* states.reached("one", "running", times))
        const { at, failure } = yield* states.reached("one", "restarting", times)
        assert.strictEqual(waitOf(failure?.nextAttemptAt, at), 60_000)
        yield* TestClock.adjust("1 minute")
      }
      const running = yield* states.reached("one", "running", 4)
      assert.strictEqual(Date.parse(running.at), 3 * 60_000)
    })
  )

  it.effect("may wait longer than a clock can", () =>
    Effect.gen(function* () {
      const { pool, states } = yield* poolWith(Schedule.spaced(Duration.infinity))
      yield* pool.start("one")
      kill(yield* states.reached("one", "running"))
      assert.isNotNull((yield* states.reached("one", "restarting")).failure?.nextAttemptAt)
      yield* pool.restart("one")
      yield* states.reached("one", "running", 2)
    })
  )

  it.effect("that is broken leaves its server failed, and says that it is a bug", () =>
    Effect.gen(function* () {
      const lines: Array<string> = []
      const keep = Logger.make(({ message }) => void lines.push(String(message)))
      const broken = Schedule.fromStep(Effect.succeed(() => Effect.die("broken")))
      const { pool, states } = yield* Effect.provide(poolWith(broken), Logger.layer([keep]))
      yield* pool.start("one")
      kill(yield* states.reached("one", "running"))
      yield* states.reached("one", "failed")
      assert.include(lines.join(" "), "this is a bug")
      yield* pool.start("one")
      yield* states.reached("one", "running", 2)
    })
  )
})

describe("a server that cannot be spawned", () => {
  for (const { classification, code, command } of [
    { command: "/no/such/command", code: "ENOENT", classification: "command-not-found" },
    { command: "plain-file", code: "EACCES", classification: "permission" }
  ]) {
    it.effect(`is failed at once and not tried again: ${classification}`, () =>
      Effect.gen(function* () {
        const directory = yield* TestPool.temporaryDirectory
        fs.writeFileSync(path.join(directory, "plain-file"), "#!/bin/sh\n", { mode: 0o644 })
        const { dial, pool, states } = yield* TestPool.make(() => ({
          one: { command: path.resolve(directory, command) }
        }))
        const { failure } = yield* states.reached("one", "failed")
        assert.strictEqual(failure?.kind, "SpawnFailed")
        assert.strictEqual(failure?.phase, "spawn")
        assert.strictEqual(failure?.classification, classification)
        assert.match(failure?.message ?? "", new RegExp(`${code}$`))
        assert.isNull(failure?.pid)
        assert.isNull(failure?.nextAttemptAt)
        yield* TestClock.adjust("1 hour")
        assert.deepStrictEqual(wayOf(states), ["starting", "failed"])
        const [status] = yield* pool.status
        assert.strictEqual(status?.restarts, 0)
        const { error } = yield* (yield* dial("one")).initialize
        assert.deepStrictEqual(error?.data, {
          kind: "ServerUnavailable",
          server: "one",
          state: "failed",
          failure: { kind: classification, hint: failure?.hint },
          nextAttemptAt: null
        })
      })
    )
  }

  it.effect("runs once somebody has mended it and starts it", () =>
    Effect.gen(function* () {
      const file = path.join(yield* TestPool.temporaryDirectory, "server")
      fs.writeFileSync(file, `#!/bin/sh\nexec "$@"\n`, { mode: 0o644 })
      const { connect, pool, states } = yield* TestPool.make(({ server }) => {
        const { args = [], command } = server("one") as { readonly args?: ReadonlyArray<string>; command: string }
        return { one: { command: file, args: [command, ...args] } }
      })
      yield* states.reached("one", "failed")
      fs.chmodSync(file, 0o755)
      yield* pool.start("one")
      yield* Tools.serves(yield* connect("one"))
      assert.deepStrictEqual(wayOf(states), ["starting", "failed", "starting", "running"])
    })
  )
})

/** A pool as an application makes it, with a Schedule of its own; not started. */
const poolWith = Effect.fnUntraced(function* (restartSchedule: Schedule.Schedule<unknown>) {
  const marker = `fixture-${randomUUID()}`
  const servers = { one: TestPool.fixtures(marker).server("one") }
  yield* Effect.addFinalizer(() =>
    Effect.map(Processes.killAll(marker), (pids) => assert.deepStrictEqual(pids, [], "processes are left running"))
  )
  const context = yield* Layer.build(McpPool.layer({ servers, restartSchedule, autoStart: false }))
  const pool = Context.get(context, McpPool.McpPool)
  return { pool, states: yield* States.watch(pool) }
})

const kill = ({ pid }: StateChange): void => void process.kill(pid ?? 0, "SIGKILL")

/** Milliseconds from one time to another. */
const waitOf = (until: string | null | undefined, from: string): number => Date.parse(until ?? "") - Date.parse(from)

const isWithin = (value: number, least: number, most: number): boolean => value >= least && value <= most

const fiveMinutes = 5 * 60_000
