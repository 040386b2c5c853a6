/** What counts as passed in `npm run conformance`: nothing that did not run, and nothing that was left over. */
import { assert, describe, it } from "@effect/vitest"
import * as Table from "../conformance/table.ts"

const good = { name: "ping", failure: undefined, passed: 2, failed: 0 }
const bad = { name: "tools-list", failure: "no\n  tools", passed: 1, failed: 1 }
const run = (...scenarios: ReadonlyArray<typeof good | typeof bad>) => ({ scenarios, others: [], trouble: undefined })
const row: Table.Row = {
  suite: "a suite",
  count: 2,
  atOnce: 2,
  target: "mcp-pool",
  mustPass: true,
  hasOneProcess: true,
  runs: [run(good, good), run(good, good)],
  processes: 1,
  took: 1,
  trouble: undefined
}

describe("conformance/table", () => {
  it("passes where every run passed all that it has to, on one process", () => {
    assert.isTrue(Table.passes(row))
    assert.isTrue(Table.passes({ ...row, hasOneProcess: false, processes: 3 }))
    assert.deepStrictEqual(Table.failures([row]), [])
  })

  it("fails where a scenario failed or did not run, a run is missing, another process was there, or anything was left", () => {
    const failing: ReadonlyArray<Partial<Table.Row>> = [
      { runs: [run(good, good), run(good, bad)] },
      { runs: [run(good, good), run(good)] },
      { runs: [run(good, good), { ...run(good, good), trouble: "no end after 1 s" }] },
      { runs: [run(good, good)] },
      { runs: [] },
      { processes: 2 },
      { processes: 0 },
      { trouble: "still alive: 1" }
    ]
    for (const part of failing) assert.isFalse(Table.passes({ ...row, ...part }), JSON.stringify(part))
  })

  it("says how many passed at least and at most, and which failed how often and why", () => {
    const mixed = { ...row, runs: [run(good, good), run(good, bad)] }
    assert.include(Table.line(mixed), "2 x 1-2/2  7/8")
    assert.deepStrictEqual(Table.failures([mixed]), ["mcp-pool, a suite, 2 at once:\n  tools-list (1 of 2): no tools"])
  })
})
