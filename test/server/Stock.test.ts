import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { TestClock } from "effect/testing"
import { randomUUID } from "node:crypto"
import * as PoolConfig from "../../src/config/PoolConfig.ts"
import * as Reaper from "../../src/server/Reaper.ts"
import * as ServerLog from "../../src/server/ServerLog.ts"
import * as Stock from "../../src/server/Stock.ts"
import { turn } from "../lines/Turn.ts"
import * as Processes from "../support/Processes.ts"
import * as TestPool from "../support/TestPool.ts"

const setUp = Effect.gen(function* () {
  const marker = `fixture-${randomUUID()}`
  const entry = TestPool.fixtures(marker).server("stocked", { stop: { stdin: "50 millis", term: "50 millis" } })
  const { servers } = yield* PoolConfig.fromServers({ stocked: entry })
  const [configured] = servers
  assert(configured?._tag === "Configured")
  return { marker, stock: yield* Stock.make(configured.spec, ServerLog.make()) }
})

describe("Stock", () => {
  it.effect("keeps one, gives it to who takes it, and makes another", () =>
    Effect.gen(function* () {
      const { marker, stock } = yield* setUp
      yield* stock.fill
      yield* stock.fill
      const [kept, ...others] = yield* Processes.withMarker(marker)
      assert.deepStrictEqual(others, [])
      const scope = yield* Scope.make()
      const { pid } = yield* Scope.provide(stock.take, scope)
      assert.strictEqual(pid, kept)
      yield* Scope.close(scope, Exit.void)
      assert.isFalse(yield* Processes.isAlive(pid!))
      yield* stock.drain
      assert.deepStrictEqual(yield* Processes.withMarker(marker), [])
    }).pipe(Effect.provide(Reaper.layer()))
  )

  it.effect("ends one that nobody takes for ten minutes, and spawns when somebody does", () =>
    Effect.gen(function* () {
      const { marker, stock } = yield* setUp
      yield* stock.fill
      const [kept] = yield* Processes.withMarker(marker)
      yield* TestClock.adjust("9 minutes")
      assert.isTrue(yield* Processes.isAlive(kept!))
      yield* TestClock.adjust("1 minute")
      yield* TestClock.withLive(Processes.gone(kept!))
      const { pid } = yield* stock.take
      assert.isTrue(yield* Processes.isAlive(pid!))
    }).pipe(Effect.provide(Reaper.layer()))
  )

  it.effect("does not give one that has died", () =>
    Effect.gen(function* () {
      const { marker, stock } = yield* setUp
      yield* stock.fill
      const [dead] = yield* Processes.withMarker(marker)
      yield* Effect.callback<void>((resume) => {
        process.once("SIGCHLD", () => resume(Effect.void))
        process.kill(dead!, "SIGKILL")
      })
      // Node learns of it within the same turn.
      yield* turn
      const { pid } = yield* stock.take
      assert.notStrictEqual(pid, dead)
      assert.isTrue(yield* Processes.isAlive(pid!))
    }).pipe(Effect.provide(Reaper.layer()))
  )
})
