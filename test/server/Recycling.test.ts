import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Latch, type Scope } from "effect"
import { TestClock } from "effect/testing"
import { spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import { once } from "node:events"
import type { PoolOptions } from "../../src/config/PoolOptions.ts"
import * as Recycling from "../../src/server/Recycling.ts"
import * as LineClient from "../support/LineClient.ts"
import * as Processes from "../support/Processes.ts"
import * as TestPool from "../support/TestPool.ts"
import * as Tools from "../support/Tools.ts"
import { pidOf, scripted } from "./Supervision.ts"

const mebibyte = 1024 * 1024

/** The server `one` that is large, alone or with its children. */
const heavy = (mebibytes: number, children: number, pool: PoolOptions) =>
  TestPool.make(({ marker }) => ({
    one: {
      command: process.execPath,
      args: [TestPool.fixture("heavy.ts"), `${marker}-one`, String(mebibytes), String(children)],
      pool
    }
  }))

describe("Recycling", () => {
  it.effect("never asks for another process where there is no limit", () =>
    Effect.gen(function* () {
      const due = yield* Effect.forkChild(
        Recycling.due({ maxAge: undefined, maxMemory: undefined }, { pid: 7, startedAt: 0 })
      )
      yield* TestClock.adjust("1000 days")
      assert.isUndefined(due.pollUnsafe())
    })
  )

  it.effect("asks for another at the given age, not before", () =>
    Effect.gen(function* () {
      const due = yield* Effect.forkChild(
        Recycling.due({ maxAge: Duration.hours(1), maxMemory: undefined }, { pid: 7, startedAt: 0 })
      )
      yield* TestClock.adjust(60 * 60_000 - 1)
      assert.isUndefined(due.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* Fiber.join(due), "age")
    })
  )

  it.effect("asks for another at once where it is past that age", () =>
    Effect.gen(function* () {
      yield* TestClock.adjust("2 hours")
      const limits = { maxAge: Duration.hours(1), maxMemory: undefined }
      assert.strictEqual(yield* Recycling.due(limits, { pid: 7, startedAt: 0 }), "age")
    })
  )

  it.effect("asks for another where what a group uses together is too much", () =>
    Effect.gen(function* () {
      const pid = yield* largeGroup
      const due = yield* Effect.forkChild(
        Recycling.due({ maxAge: undefined, maxMemory: 200 * mebibyte }, { pid, startedAt: 0 })
      )
      yield* TestClock.adjust(4999)
      assert.isUndefined(due.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* Fiber.join(due), "memory")
    })
  )
})

describe("a recycled server", () => {
  it.effect("hands over to another process at maxAge, and no call fails", () =>
    Effect.gen(function* () {
      const it = yield* TestPool.make(({ server }) => ({ one: server("one", { maxAge: "1 hour" }) }))
      const clients = yield* Effect.all([it.connect("one"), it.connect("one"), it.connect("one")])
      const before = yield* pidOf(clients[0]!)
      // Held over the change: the old process answers it.
      yield* Tools.startSleeping(clients[0]!, "held", 100)
      const calls = yield* TestClock.withLive(busy(clients))
      yield* calls.hasBegun
      yield* TestClock.adjust("1 hour")
      const step = yield* it.states.reached("one", "running", 2)
      assert.deepInclude(step, { cause: "age", from: "running", failure: null })
      assert.strictEqual(step.at, new Date(60 * 60_000).toISOString())
      assert.notStrictEqual(step.pid, before)
      assert.isAbove(yield* calls.end, clients.length)
      assert.strictEqual(yield* pidOf(clients[1]!), step.pid)
      const [status] = yield* it.pool.status
      const [current, draining, ...others] = status?.processes ?? []
      assert.deepStrictEqual([current?.pid, draining?.pid, others], [step.pid, before, []])
      assert.strictEqual(draining?.inFlight, 1)
      process.kill(before, "SIGUSR1")
      yield* clients[0]!.answer(100)
      yield* TestClock.withLive(Processes.gone(before))
      assert.deepStrictEqual((yield* it.pool.status)[0]?.failures, [])
      assert.strictEqual((yield* it.pool.status)[0]?.restarts, 1)
    })
  )

  it.effect("hands over again and again, never within five minutes", () =>
    Effect.gen(function* () {
      const it = yield* TestPool.make(({ server }) => ({ one: server("one", { maxAge: "1 minute" }) }))
      yield* TestClock.adjust("1 minute")
      yield* it.states.reached("one", "running", 2)
      for (const times of [3, 4]) {
        yield* TestClock.adjust("5 minutes")
        const { at, cause } = yield* it.states.reached("one", "running", times)
        assert.deepStrictEqual({ at, cause }, { at: new Date((5 * times - 9) * 60_000).toISOString(), cause: "age" })
      }
    })
  )

  it.effect("hands over to another process where it has grown above maxMemory", () =>
    Effect.gen(function* () {
      const it = yield* heavy(250, 0, { maxMemory: "200 MiB" })
      const { pid } = yield* it.states.reached("one", "running")
      yield* TestClock.adjust("5 seconds")
      const step = yield* it.states.reached("one", "running", 2)
      assert.deepInclude(step, { cause: "memory", failure: null, at: new Date(5000).toISOString() })
      yield* TestClock.withLive(Processes.gone(pid ?? 0))
      const client = yield* it.connect("one")
      yield* Tools.serves(client)
    })
  )

  it.effect("counts what its children use", () =>
    Effect.gen(function* () {
      // No process of it is larger than the limit.
      const it = yield* heavy(80, 2, { maxMemory: "240 MiB" })
      const [status] = yield* it.pool.status
      assert.isAbove(status?.processes[0]?.memory ?? 0, 240 * mebibyte)
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* it.states.reached("one", "running", 2)).cause, "memory")
    })
  )

  it.effect("stays, and serves, where its replacement fails, which is not tried again for five minutes", () =>
    Effect.gen(function* () {
      const it = yield* scripted([{ locks: true }], { maxMemory: 1 })
      yield* it.pool.start("one")
      const client = yield* it.connect("one")
      const before = yield* pidOf(client)
      yield* Tools.startSleeping(client, "held", 100)
      yield* TestClock.adjust("5 seconds")
      const first = yield* it.states.reached("one", "running", 2)
      assert.deepInclude(first, { cause: "failure", from: "running", pid: before })
      assert.deepInclude(first.failure, { kind: "ProcessExited", phase: "handshake", exitCode: 3, nextAttemptAt: null })
      assert.notStrictEqual(first.failure?.pid, before)
      yield* Tools.serves(client)
      yield* TestClock.adjust(5 * 60_000 - 1)
      assert.lengthOf(it.states.steps("one"), 3)
      yield* TestClock.adjust(1)
      yield* TestClock.adjust("5 seconds")
      const second = yield* it.states.reached("one", "running", 3)
      assert.deepInclude(second, { cause: "failure", pid: before })
      assert.strictEqual(Date.parse(second.at) - Date.parse(first.at), 5 * 60_000 + 5000)
      assert.strictEqual(yield* pidOf(client), before)
      yield* client.call("wake", { label: "held" })
      assert.strictEqual(LineClient.textOf(yield* client.answer(100)), "woken")
      assert.strictEqual((yield* it.pool.status)[0]?.state, "running")
    })
  )

  it.effect(
    "that is too old still is when its replacement failed: another is tried after five minutes",
    () =>
      Effect.gen(function* () {
        const it = yield* scripted([{ locks: true }], { maxAge: "1 day" })
        yield* it.pool.start("one")
        yield* TestClock.adjust("1 day")
        const first = yield* it.states.reached("one", "running", 2)
        assert.strictEqual(first.failure?.kind, "ProcessExited")
        yield* TestClock.adjust("5 minutes")
        const second = yield* it.states.reached("one", "running", 3)
        assert.strictEqual(Date.parse(second.at) - Date.parse(first.at), 5 * 60_000)
      }),
    5000
  )
})

/** Clients that call without a pause; `end` returns with how many answers they got, each of them good. */
const busy = Effect.fnUntraced(function* (clients: ReadonlyArray<LineClient.LineClient>) {
  let answers = 0
  let isOver = false
  const hasBegun = yield* Latch.make()
  const fibers = yield* Effect.forEach(clients, (client) =>
    Tools.serves(client).pipe(
      Effect.andThen(Effect.suspend(() => (++answers === clients.length ? hasBegun.open : Effect.void))),
      Effect.repeat({ until: () => isOver }),
      Effect.forkChild
    )
  )
  return {
    hasBegun: hasBegun.await,
    end: Effect.gen(function* () {
      isOver = true
      yield* Effect.forEach(fibers, (fiber) => Fiber.join(fiber))
      return answers
    })
  }
})

/** A group of two processes that use more than 200 MiB together, and neither of them alone. */
const largeGroup: Effect.Effect<number, never, Scope.Scope> = Effect.gen(function* () {
  const marker = `fixture-${randomUUID()}`
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, [TestPool.fixture("heavy.ts"), marker, "80", "1"], {
        detached: true,
        stdio: ["pipe", "pipe", "ignore"]
      })
    ),
    (child) =>
      Effect.sync(() => process.kill(-(child.pid ?? 0), "SIGKILL")).pipe(
        Effect.andThen(TestClock.withLive(Effect.orDie(Processes.gone(marker))))
      )
  )
  // It is complete when it serves.
  child.stdin.write('{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
  yield* Effect.promise(() => once(child.stdout, "data"))
  return child.pid ?? 0
})
