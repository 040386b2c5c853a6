import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as Comparison from "../../src/certify/Comparison.ts"

const text = (text: string) => ({ result: { content: [{ type: "text", text }] } })
const at = "result.content[0].text"

/** What each time was answered before, and after; what of it is a difference. */
const table: ReadonlyArray<
  readonly [
    string,
    ReadonlyArray<unknown>,
    ReadonlyArray<unknown>,
    ReadonlyArray<readonly [string, string | null, string | null]>
  ]
> = [
  ["nothing", [text("a"), text("a")], [text("a"), text("a")], []],
  ["a text", [text("a"), text("a")], [text("b"), text("c")], [[at, '"a"', '"b"']]],
  ["a text that differs once only", [text("a"), text("a")], [text("b"), text("a")], []],
  ["a text that varies by itself", [text("took 1 ms"), text("took 2 ms")], [text("took 3 ms"), text("took 4 ms")], []],
  [
    "a word beside one that varies",
    [text("took 1 ms, 1 call"), text("took 2 ms, 1 call")],
    [text("took 3 ms, 2 call"), text("took 4 ms, 2 call")],
    [[at, '"took 1 ms, 1 call"', '"took 3 ms, 2 call"']]
  ],
  [
    "a word more beside one that varies",
    [text("a 1"), text("a 2")],
    [text("a 3 b"), text("a 4 b")],
    [[at, '"a 1"', '"a 3 b"']]
  ],
  ["texts of varying words", [text("a"), text("a b")], [text("c d e"), text("f")], []],
  [
    "JSON within a text",
    [text('{"at": 1, "n": 1}'), text('{"at": 2, "n": 1}')],
    [text('{"at": 3, "n": 2}'), text('{"at": 4, "n": 3}')],
    [[`${at}.n`, "1", "2"]]
  ],
  [
    "an item more",
    [{ all: ["a"] }, { all: ["a"] }],
    [{ all: ["a", "b"] }, { all: ["a", "b"] }],
    [
      ["all[1]", null, '"b"'],
      ["all.length", "1", "2"]
    ]
  ],
  [
    "items of a list that varies",
    [{ all: ["a"] }, { all: ["a", "x"] }],
    [{ all: ["b", "y", "z"] }, { all: ["b", "y", "z"] }],
    []
  ],
  [
    "a key more",
    [{ a: 1 }, { a: 1 }],
    [
      { a: 1, b: null },
      { a: 1, b: null }
    ],
    [["b", null, "null"]]
  ],
  ["a key less", [{ a: 1, b: 2 }], [{ a: 1 }], [["b", "2", null]]],
  [
    "an answer that does not come",
    [text("a")],
    [null],
    [
      ["", null, "null"],
      ["result.content[0].type", '"text"', null],
      [at, '"a"', null],
      ["result.content.length", "1", null]
    ]
  ],
  ["nothing to compare with", [], [text("a")], []]
]

describe("Comparison", () => {
  it.each(table)("tells %s", (_, before, after, expected) => {
    const found = Comparison.differences(before, after)
    assert.deepStrictEqual(
      found.map(({ after, before, path }) => [path, before, after] as const),
      expected
    )
  })

  it("shows where long values begin to differ, and is bounded", () => {
    const long = "x".repeat(1000)
    const [found] = Comparison.differences([text(`${long}a${long}`)], [text(`${long}b${long}`)])
    assert.strictEqual(found?.before, `…${"x".repeat(20)}a${"x".repeat(59)}…`)
    assert.strictEqual(found?.after, `…${"x".repeat(20)}b${"x".repeat(59)}…`)
    const deep = Array.from({ length: 100_000 }).reduce<unknown>((inner) => [inner], 1)
    assert.isBelow(Comparison.leavesOf(deep).size, 30)
    assert.isBelow(Comparison.leavesOf(Array.from({ length: 100_000 }, () => 1)).size, 20_002)
  })

  it("escapes what it shows", () => {
    const [found] = Comparison.differences([text("a")], [text("\u001b[31mred\n")])
    assert.strictEqual(found?.after, '"\\u001b[31mred\\n"')
  })

  it("finds a word in whatever case, in keys' values and in JSON within texts", () => {
    assert.deepStrictEqual(Comparison.placeOf(text('{"who": "the ZYXO"}'), "zyxo"), {
      path: `${at}.who`,
      text: '"the ZYXO"'
    })
    assert.isNull(Comparison.placeOf(text("nobody"), "zyxo"))
  })

  it.effect.prop(
    "finds nothing between what is the same, or was seen to vary",
    { a: Schema.Json, b: Schema.Json },
    ({ a, b }) =>
      Effect.sync(() => {
        assert.deepStrictEqual(Comparison.differences([a, a], [a]), [])
        assert.deepStrictEqual(Comparison.differences([a, b], [a]), [])
        assert.deepStrictEqual(Comparison.differences([a, b], [b]), [])
      })
  )
})
