import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import * as ServerLog from "../../src/server/ServerLog.ts"

const texts = (log: ServerLog.ServerLog) => log.entries().map(({ text }) => text)

describe("ServerLog", () => {
  it("keeps lines with their time, source and pid", () => {
    const log = ServerLog.make()
    log.add("stderr", 42, "hello")
    log.add("pool", null, "stopped")
    const [first, second] = log.entries()
    assert.deepInclude(first, { source: "stderr", pid: 42, text: "hello" })
    assert.deepInclude(second, { source: "pool", pid: null, text: "stopped" })
    assert.match(first?.at ?? "", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  })

  it("keeps at least the last 1,000 lines, and not many more", () => {
    const log = ServerLog.make()
    for (let i = 1; i <= 10_500; i++) {
      log.add("stderr", 1, String(i))
      assert.isAtMost(log.entries().length, 2000)
    }
    assert.isAtLeast(log.entries().length, 1000)
    const first = 10_501 - log.entries().length
    assert.deepStrictEqual(
      texts(log),
      Array.from({ length: log.entries().length }, (_, index) => String(first + index))
    )
  })

  it("keeps less of lines that are long, and cuts each", () => {
    const log = ServerLog.make()
    for (let i = 0; i < 1000; i++) {
      log.add("stderr", 1, `${i} ${"x".repeat(100_000)}`)
      const kept = log.entries().reduce((sum, { text }) => sum + text.length, 0)
      assert.isAtMost(kept, 2 * 256 * 1024 + 5000)
    }
    const last = texts(log).at(-1) ?? ""
    assert.strictEqual(last.length, 4097)
    assert.isTrue(last.startsWith("999 xxx") && last.endsWith("x…"))
  })

  it.live("follows: first the lines it has, then those that come", () =>
    Effect.gen(function* () {
      const log = ServerLog.make()
      log.add("pool", null, "past")
      const seen = yield* log.follow.pipe(
        Stream.take(3),
        Stream.runCollect,
        Effect.forkChild({ startImmediately: true })
      )
      yield* Effect.yieldNow
      log.add("pool", null, "next")
      log.add("pool", null, "last")
      const entries = yield* Fiber.join(seen)
      assert.deepStrictEqual(
        entries.map(({ text }) => text),
        ["past", "next", "last"]
      )
    })
  )

  it.live("follows without a gap: what is added while the past is being read comes too", () =>
    Effect.gen(function* () {
      const log = ServerLog.make()
      log.add("pool", null, "past")
      const seen = yield* log.follow.pipe(
        Stream.tap(({ text }) => Effect.sync(() => text === "past" && log.add("pool", null, "meanwhile"))),
        Stream.take(2),
        Stream.runCollect,
        Effect.timeout("1 second")
      )
      assert.deepStrictEqual(
        seen.map(({ text }) => text),
        ["past", "meanwhile"]
      )
    })
  )

  it.live("lets a reader that falls behind lose the oldest, and never waits for it", () =>
    Effect.gen(function* () {
      const log = ServerLog.make()
      const reader = yield* log.follow.pipe(
        Stream.takeUntil(({ text }) => text === "5000"),
        Stream.runCollect,
        Effect.forkChild({ startImmediately: true })
      )
      for (let i = 1; i <= 5000; i++) log.add("stderr", 1, String(i))
      const entries = yield* Fiber.join(reader)
      assert.isBelow(entries.length, 1100)
    })
  )
})
