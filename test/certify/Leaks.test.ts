import { assert, describe, it } from "@effect/vitest"
import * as Leaks from "../../src/certify/Leaks.ts"
import type { Told } from "../../src/certify/Play.ts"

const step = { method: "tools/call", name: "tell", params: {} }

/** What A was told the first and the second time; undefined where nothing came. */
const told = (...results: ReadonlyArray<unknown>): ReadonlyArray<Told> =>
  results.map((result, index) => ({
    step,
    when: index === 0 ? "first" : "second",
    trace: result === undefined ? null : { result, progress: [], log: [] }
  }))

/** One answer for each performance: alone twice, apart twice, together twice. */
const found = (...answers: ReadonlyArray<unknown>) => {
  const [a, b, c, d, e, f] = answers.map((answer) => told(answer))
  const { history, leaks, once, outside } = Leaks.find({ alone: [a!, b!], apart: [c!, d!], together: [e!, f!] }, "zyxo")
  const paths = (leaks: ReadonlyArray<Leaks.Leak>) => leaks.map(({ kind, path }) => `${kind} ${path}`)
  return { leaks: paths(leaks), once: paths(once), outside: paths(outside), history: paths(history) }
}

const none = { leaks: [], once: [], outside: [], history: [] }

const table: ReadonlyArray<readonly [string, ReadonlyArray<unknown>, Partial<ReturnType<typeof found>>]> = [
  ["nothing", ["x", "x", "x", "x", "x", "x"], {}],
  ["what is otherwise on one process, each time", ["x", "x", "x", "x", "y", "z"], { leaks: ["difference result"] }],
  ["what is otherwise on one process, once", ["x", "x", "x", "x", "y", "x"], { once: ["difference result"] }],
  ["what differs by itself", ["1", "2", "3", "4", "5", "6"], {}],
  ["a clock that goes on", ["1", "2", "1", "2", "1", "2"], {}],
  ["the other's word on one process", ["x", "x", "x", "x", "a ZYXO", "x"], { leaks: ["word result"] }],
  ["the other's word on both", ["x", "x", "zyxo", "zyxo", "zyxo", "zyxo"], { outside: ["word result"] }],
  [
    "the other's word from an earlier performance",
    ["x", "zyxo", "x", "zyxo", "x", "zyxo"],
    { outside: ["word result"] }
  ],
  ["what comes only alone", ["x", "x", "x", "x", undefined, undefined], { leaks: ["difference silence"] }]
]

describe("Leaks", () => {
  it.each(table)("tells %s", (_, answers, expected) => {
    const { leaks, ...others } = found(...answers)
    const wanted = { ...none, ...expected }
    assert.deepStrictEqual({ ...others, leaks: leaks.slice(0, wanted.leaks.length) }, wanted)
    assert.strictEqual(leaks.length > 0, wanted.leaks.length > 0)
  })

  it("takes nothing for a leak that was not repeated, but the other's word", () => {
    const alone = [told("x"), told("x")]
    const once = Leaks.find({ alone, apart: [], together: [told("y")] }, "zyxo")
    assert.deepStrictEqual([once.leaks.length, once.once.length], [0, 1])
    const word = Leaks.find({ alone, apart: [], together: [told("zyxo")] }, "zyxo")
    assert.deepStrictEqual([word.leaks.length, word.once.length], [1, 0])
  })

  it("tells what the process remembers, unless it is a leak already", () => {
    const alone = [told("new", "known"), told("new", "known")]
    const remembers = Leaks.find({ alone, apart: alone, together: alone }, "zyxo")
    assert.deepStrictEqual(
      remembers.history.map(({ after, before, when }) => [before, after, when]),
      [['"new"', '"known"', "second"]]
    )
    const leaks = Leaks.find({ alone, apart: alone, together: [told("new", "2"), told("new", "2")] }, "zyxo")
    assert.deepStrictEqual([leaks.leaks.length, leaks.history.length], [1, 0])
  })
})
