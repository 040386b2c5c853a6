import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { canonical, sha256 } from "../../src/pin/Definition.ts"
import { type Choices, many } from "../lines/Choices.ts"
import * as JsonText from "../mux/JsonText.ts"

/** The same value, its keys in another order wherever it has some. */
const shuffled = (choices: Choices, value: unknown): unknown => {
  if (typeof value !== "object" || value === null) return value
  if (Array.isArray(value)) return value.map((item) => shuffled(choices, item))
  const entries = Object.entries(value).map(([key, item]): [string, unknown] => [key, shuffled(choices, item)])
  return Object.fromEntries(choices.shuffle(entries))
}

/** Another value for one thing in there. */
const altered = (choices: Choices, value: unknown): unknown => {
  if (Array.isArray(value) && value.length > 0) {
    const at = choices.below(value.length)
    return value.map((item, i) => (i === at ? altered(choices, item) : item))
  }
  if (typeof value === "object" && value !== null && Object.keys(value).length > 0) {
    const key = choices.of(Object.keys(value))
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, k === key ? altered(choices, v) : v]))
  }
  return value === "other" ? "another" : "other"
}

describe("the hash of a definition", () => {
  it.effect.prop(
    "is the same whatever the order of its keys, and another one for any other value",
    {
      cases: many({ minimum: 30, maximum: 30 }, (choices) => {
        const value = JSON.parse(JsonText.value(choices)) as unknown
        if (sha256(value) === null) return { value: 0, same: 0, other: 1 }
        return { value, same: shuffled(choices, value), other: altered(choices, value) }
      })
    },
    ({ cases }) =>
      Effect.sync(() => {
        for (const { other, same, value } of cases) {
          assert.strictEqual(canonical(same), canonical(value))
          assert.deepStrictEqual(JSON.parse(canonical(value)), JSON.parse(JSON.stringify(value)))
          assert.deepStrictEqual(JSON.parse(canonical(value, "  ")), JSON.parse(JSON.stringify(value)))
          assert.strictEqual(sha256(same), sha256(value))
          assert.notStrictEqual(sha256(other), sha256(value))
        }
      }),
    { arbitrary: { runs: 30 } }
  )

  it("is SHA-256 of the text without whitespace, which others can make too", () => {
    const text =
      '{"annotations":{"readOnlyHint":true},"description":"é","inputSchema":{"10":1,"9":2,"a":[]},"name":"x"}'
    const tool = JSON.parse(
      '{"name":"x","inputSchema":{"a":[],"9":2,"10":1},"description":"é","annotations":{"readOnlyHint":true}}'
    ) as object
    assert.strictEqual(canonical(tool), text)
    assert.strictEqual(sha256(tool), "418b5189df1a261e42978bd64b0532c12b43557e3219fc9fdf6768389e7cd4f4")
  })

  it("covers all that a server says of a tool, and is none where that is nested too deeply", () => {
    const tool = { name: "x", inputSchema: {} }
    const others = ["title", "icons", "outputSchema", "execution", "_meta", "later"].map((key) =>
      sha256({ ...tool, [key]: {} })
    )
    assert.strictEqual(new Set([sha256(tool), ...others]).size, 7)
    const deep = JSON.parse(`${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`) as object
    assert.isNull(sha256({ ...tool, deep }))
  })
})
