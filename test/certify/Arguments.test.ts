import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as Arguments from "../../src/certify/Arguments.ts"
import { mistakesIn } from "../../src/proxy/Arguments.ts"

const wish: Arguments.Wish = { word: "kora", choice: 0, isFull: false, isBrief: false, attempt: 0 }
const other: Arguments.Wish = { ...wish, word: "zyxo", choice: 1, isFull: true }

const object = (properties: object, required: ReadonlyArray<string> = Object.keys(properties)) => ({
  type: "object",
  properties,
  required
})

/** Of one required property: what each of the two clients gives for it. */
const table: ReadonlyArray<readonly [string, unknown, unknown, unknown]> = [
  ["a text", { type: "string" }, "kora", "zyxo"],
  ["a short text", { type: "string", maxLength: 2 }, "ko", "zy"],
  ["a long text", { type: "string", minLength: 6 }, "korako", "zyxozy"],
  ["a number", { type: "number" }, 1, 2],
  ["a number from", { type: "integer", minimum: 5 }, 5, 6],
  ["a number above", { type: "integer", exclusiveMinimum: 5 }, 6, 7],
  ["a number below 1", { type: "number", exclusiveMaximum: 0 }, -1.5, -0.5],
  ["a number between", { type: "integer", minimum: 3, maximum: 3 }, 3, 3],
  ["a multiple", { type: "integer", multipleOf: 7, minimum: 1 }, 7, 14],
  ["yes or no", { type: "boolean" }, false, true],
  ["null", { type: "null" }, null, null],
  ["one of several", { enum: ["x", "y", "z"] }, "x", "y"],
  ["one of several with a default", { type: "string", enum: ["x", "y"], default: "y" }, "y", "x"],
  ["a constant", { const: { a: 1 } }, { a: 1 }, { a: 1 }],
  ["a default", { type: "integer", default: 10 }, 10, 10],
  ["a text with a default", { type: "string", default: "d" }, "d", "zyxo"],
  ["examples", { type: "string", examples: ["e", "f"] }, "e", "f"],
  ["a date", { type: "string", format: "date" }, "2026-01-01", "2026-01-02"],
  ["an address", { type: "string", format: "uri" }, "https://example.invalid/kora", "https://example.invalid/zyxo"],
  ["an unknown format", { type: "string", format: "phase-of-moon" }, "kora", "zyxo"],
  ["a pattern", { type: "string", pattern: "^[a-z]+$" }, "kora", "zyxo"],
  ["a pattern with counts", { type: "string", pattern: "^[A-Z]{3}-\\d{2}$" }, "AAA-00", "BBB-11"],
  ["a list", { type: "array", items: { type: "string" } }, [], ["zyxo"]],
  ["a list that is not empty", { type: "array", items: { type: "string" }, minItems: 2 }, ["kora", "korab"], undefined],
  [
    "a pair",
    { type: "array", prefixItems: [{ type: "string" }, { type: "integer" }], minItems: 2 },
    ["kora", 1],
    undefined
  ],
  ["null or a text", { type: ["null", "string"] }, "kora", "zyxo"],
  ["null or a number", { anyOf: [{ type: "null" }, { type: "integer" }] }, 1, undefined],
  ["all of", { allOf: [{ type: "integer", minimum: 2 }, { maximum: 3 }] }, 2, 3],
  [
    "a record",
    object({ a: { type: "string" }, b: { type: "string" } }, ["a"]),
    { a: "kora" },
    { a: "zyxo", b: "zyxo" }
  ],
  ["anything", {}, "kora", "zyxo"],
  ["anything, as true", true, "kora", "zyxo"]
]

const refused: ReadonlyArray<readonly [string, unknown, string]> = [
  ["nothing", false, 'argument "x" may have no value'],
  [
    "a file elsewhere",
    { $ref: "https://example.com/schema" },
    'argument "x" refers to something that is not in its schema'
  ],
  ["a circle", { $ref: "#/properties/x" }, 'argument "x" refers to itself'],
  ["a deep circle", { ...object({ x: { $ref: "#" } }) }, 'argument "x.x.x.x.x.x.x.x.x" is nested too deeply'],
  [
    "a hard pattern",
    { type: "string", pattern: "^(?:ab|cd)(?!x)[0-9]+z$" },
    'argument "x" has a pattern that is not simple'
  ],
  ["no pattern at all", { type: "string", pattern: "(" }, 'argument "x" has a pattern that is no regular expression'],
  ["no number between", { type: "integer", minimum: 3, maximum: 2 }, 'argument "x" has no number between its bounds'],
  ["many items", { type: "array", items: {}, minItems: 1e9 }, 'argument "x" needs 1000000000 items'],
  ["a very long text", { type: "string", minLength: 1e9 }, 'argument "x" needs a text of 1000000000 characters']
]

const made = (schema: unknown, wish: Arguments.Wish) => {
  const made = Arguments.make(schema, wish)
  return "value" in made ? made.value : assert.fail(made.reason)
}

describe("Arguments", () => {
  it.effect.each(table)("makes %s for each of two clients", ([, schema, first, second]) =>
    Effect.gen(function* () {
      const whole = object({ x: schema })
      assert.deepStrictEqual(made(whole, wish), { x: first })
      if (second !== undefined) assert.deepStrictEqual(made(whole, other), { x: second })
      for (const attempt of [0, 1, 2, 3]) {
        for (const of of [wish, other]) {
          // Anything goes where nothing is said; elsewhere each attempt fits too.
          assert.deepStrictEqual(yield* mistakesIn(whole, made(whole, { ...of, attempt })), [])
        }
      }
    })
  )

  it.each(refused)("says why %s cannot be made", (_, schema, reason) => {
    const whole = object({ x: schema })
    const target = reason.includes("x.x") ? schema : whole
    assert.deepStrictEqual(Arguments.make(target, wish), { reason })
  })

  it("leaves out what is optional, and what of that it cannot make", () => {
    const schema = object({ a: { type: "string" }, b: { type: "string" }, c: false }, ["a"])
    assert.deepStrictEqual(made(schema, wish), { a: "kora" })
    assert.deepStrictEqual(made(schema, { ...wish, isFull: true }), { a: "kora", b: "kora" })
  })

  it("follows references within the schema", () => {
    const schema = { ...object({ x: { $ref: "#/$defs/a~1b" } }), $defs: { "a/b": { type: "integer", minimum: 4 } } }
    assert.deepStrictEqual(made(schema, wish), { x: 4 })
  })

  it("takes no property of the prototype for one of the schema", () => {
    assert.deepStrictEqual(Arguments.make(object({ x: { $ref: "#/constructor" } }), wish), {
      reason: 'argument "x" refers to something that is not in its schema'
    })
    assert.deepStrictEqual(made({ type: "object", required: ["constructor"] }, wish), { constructor: "kora" })
  })

  it("makes what waits or repeats brief", () => {
    const schema = object({ seconds: { type: "number", default: 600 } })
    assert.deepStrictEqual(made(schema, wish), { seconds: 600 })
    assert.deepStrictEqual(made(schema, { ...wish, isBrief: true }), { seconds: 1 })
  })

  const whole = Schema.Int.check(Schema.isBetween({ minimum: -40, maximum: 40 }))
  it.effect.prop("keeps within bounds whatever they are", { low: whole, span: whole, multiple: whole }, (bounds) =>
    Effect.gen(function* () {
      const { low, multiple, span } = bounds
      const schema = object({
        x: {
          type: "integer",
          minimum: low,
          maximum: low + Math.abs(span),
          ...(multiple > 0 ? { multipleOf: multiple } : {})
        }
      })
      for (const of of [wish, other]) {
        const result = Arguments.make(schema, of)
        const possible = Array.from({ length: Math.abs(span) + 1 }, (_, i) => low + i).some(
          (n) => multiple <= 0 || n % multiple === 0
        )
        assert.strictEqual("value" in result, possible, JSON.stringify(bounds))
        if ("value" in result) assert.deepStrictEqual(yield* mistakesIn(schema, result.value), [])
      }
    })
  )
})
