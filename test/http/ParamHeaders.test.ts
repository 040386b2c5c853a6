import { assert, describe, it } from "@effect/vitest"
import * as ParamHeaders from "../../src/http/ParamHeaders.ts"

const of = (properties: object) =>
  ParamHeaders.markedOf([{ name: "tool", inputSchema: { type: "object", properties: properties as never } }], "tool")

const marked = (type: string, name: unknown = "It") => ({ type, "x-mcp-header": name })

/** Whether a call with these arguments and headers, by their names in lower case, is refused. */
const isRefused = (properties: object, args: unknown, headers: { readonly [name: string]: string } = {}): boolean => {
  const refusal = ParamHeaders.mismatch(of(properties), args, (name) => headers[name])
  if (refusal !== null) assert.propertyVal(refusal, "code", -32020)
  return refusal !== null
}

const header = "mcp-param-it"

describe("ParamHeaders", () => {
  it("wants what the body has of a marked argument, as text, in its header", () => {
    for (const [type, value, said] of [
      ["string", "eu", "eu"],
      ["string", "", ""],
      ["string", "é", "=?base64?w6k=?="],
      ["string", "=?base64?w6k=", "=?base64?w6k="],
      ["integer", 42, "42"],
      ["integer", 42, "42.0"],
      ["number", 0.5, "0.50"],
      ["boolean", false, "false"]
    ] as const) {
      assert.isFalse(isRefused({ a: marked(type) }, { a: value }, { [header]: said }), said)
      assert.isTrue(isRefused({ a: marked(type) }, { a: value }), said)
      assert.isTrue(isRefused({ a: marked(type) }, { a: value }, { [header]: `${said}x` }), said)
    }
    assert.isTrue(isRefused({ a: marked("string") }, { a: "Hello" }, { [header]: "=?base64?SGVsbG8?=" }))
    assert.isTrue(isRefused({ a: marked("string") }, { a: "42" }, { [header]: "42.0" }))
  })

  it("wants nothing of what the body does not have, or that no header can say", () => {
    for (const args of [undefined, null, {}, { a: null }, { a: {} }, { a: 2 ** 60 }, []]) {
      assert.isFalse(isRefused({ a: marked("integer") }, args))
      assert.isFalse(isRefused({ a: marked("integer") }, args, { [header]: "7" }))
    }
  })

  it("finds what is marked at any depth, by properties alone", () => {
    const nested = { outer: { type: "object", properties: { inner: marked("string") } } }
    assert.isTrue(isRefused(nested, { outer: { inner: "x" } }))
    assert.isFalse(isRefused(nested, { outer: { inner: "x" } }, { [header]: "x" }))
    assert.isFalse(isRefused(nested, { outer: "x" }))
    assert.isEmpty(of({ a: { type: "array", items: marked("string") } }))
  })

  it("takes no mark that is none", () => {
    for (const name of ["", "a b", 7, null, "a\r\n"]) assert.isEmpty(of({ a: marked("string", name) }))
    for (const type of ["object", "array", "null"]) assert.isEmpty(of({ a: marked(type) }))
    assert.isEmpty(of({ a: marked("string", "One"), b: marked("string", "oNE") }))
    assert.isEmpty(ParamHeaders.markedOf([], "constructor"))
  })
})
