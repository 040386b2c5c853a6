import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import type { Answer } from "../../src/mux/LocalClient.ts"
import * as Kinds from "../../src/together/Kinds.ts"
import { ServerList } from "../../src/together/ServerList.ts"
import { fakeTimers } from "../mux/MuxHarness.ts"

const make = () => {
  const asked: Array<(answer: Answer) => void> = []
  const list = new ServerList({
    kind: Kinds.tools,
    server: "a",
    isOffered: () => true,
    ttl: () => 300_000,
    ask: (_, onAnswer) => asked.push(onAnswer),
    onChanged: () => {}
  })
  let count = 0
  /** The server answers as often as it is asked, each time something else; says how often. */
  const readings = (isChanging = true) => {
    const before = count
    while (asked.length > 0) {
      assert.isBelow(count - before, 100)
      if (isChanging) list.outdate()
      asked.shift()!({ kind: "result", value: { tools: [{ name: String(++count) }] } })
    }
    return count - before
  }
  /** What somebody is shown who asks now, once that is there. */
  const shown: Array<string | undefined> = []
  const show = () => list.whenFresh(() => shown.push(list.items?.[0]?.own))
  return { asked, list, readings, show, shown }
}

describe("ServerList", () => {
  it.effect(
    "that changes whenever it is read is read a few times at once, then once in a second and for who asks",
    () =>
      Effect.gen(function* () {
        yield* fakeTimers
        const { asked, readings, show, shown } = make()
        show()
        assert.deepStrictEqual([readings(), shown], [5, ["1"]])
        vi.advanceTimersByTime(500)
        assert.strictEqual(readings(), 0)
        show()
        assert.deepStrictEqual([readings(), shown.at(-1)], [1, "6"])
        vi.advanceTimersByTime(499)
        assert.strictEqual(readings(), 0)
        vi.advanceTimersByTime(1)
        assert.strictEqual(readings(), 1)
        vi.advanceTimersByTime(1000)
        assert.strictEqual(readings(false), 1)
        vi.advanceTimersByTime(10_000)
        show()
        assert.deepStrictEqual([asked.length, shown.at(-1)], [0, "8"])
      })
  )

  it.effect("is not read for a change once nobody asks any more", () =>
    Effect.gen(function* () {
      yield* fakeTimers
      const { asked, list, readings, show } = make()
      show()
      readings()
      list.rest()
      vi.advanceTimersByTime(10_000)
      assert.deepStrictEqual(asked, [])
    })
  )
})
