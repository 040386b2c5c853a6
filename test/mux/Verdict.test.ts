import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Envelope, Key, Shape } from "../../src/message/Envelope.ts"
import { verdictOf } from "../../src/mux/Verdict.ts"
import * as Choices from "../lines/Choices.ts"
import * as JsonText from "./JsonText.ts"

const whole = (text: string): string => {
  const bytes = Buffer.from(text)
  const envelope = new Envelope()
  assert.strictEqual(envelope.scan(bytes, 0, bytes.length), Shape.message, text)
  return verdictOf(bytes, envelope)
}

/** As a line that is too long to be scanned as a whole, in one piece and in several. */
const fromItsEnds = (text: string): ReadonlyArray<string> => {
  const bytes = Buffer.from(text)
  return [[bytes], [bytes.subarray(0, 300), bytes.subarray(300)], [bytes.subarray(0, -26), bytes.subarray(-26)]].map(
    (pieces) => {
      const envelope = new Envelope()
      return envelope.scanResponsePieces(pieces) === null ? "unread" : verdictOf(pieces[0]!, envelope)
    }
  )
}

const content = (length: number) => `"content":[{"type":"text","text":"${"x".repeat(length)}","isError":true}]`

describe("verdictOf", () => {
  const results: ReadonlyArray<readonly [result: string, verdict: string]> = [
    ["{}", "ok"],
    [`{${content(5)}}`, "ok"],
    [`{${content(5)},"isError":false}`, "ok"],
    [`{${content(5)},"isError":true}`, "tool-error"],
    [`{ "isError" : true , ${content(5)} }`, "tool-error"],
    [`{${content(5)},"isError":true,"structuredContent":{"a":[1]}}`, "tool-error"],
    ['{"structuredContent":{"isError":true}}', "ok"],
    ['{"text":"\\"isError\\":true"}', "ok"],
    ['{"isError":"true"}', "ok"],
    ['{"isError":true,"isError":false}', "ok"],
    ["[]", "ok"],
    ["null", "ok"]
  ]
  for (const [result, verdict] of results) {
    it(`of the result ${result} is ${verdict}`, () => {
      assert.strictEqual(whole(`{"jsonrpc":"2.0","id":1,"result":${result}}`), verdict)
      assert.strictEqual(whole(`{"result" : ${result} ,"id":1,"jsonrpc":"2.0"}`), verdict)
    })
  }

  it("of an error is rejected, and an error that is null is none", () => {
    assert.strictEqual(whole('{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"","isError":true}}'), "rejected")
    assert.strictEqual(whole('{"id":1, "error" : {"code":1,"message":""}}'), "rejected")
    assert.strictEqual(whole('{"id":1,"result":{"isError":true},"error":null}'), "tool-error")
  })

  it("of a long response is read from its ends: isError counts as its first and as its last key", () => {
    const isAll = (text: string, verdict: string) =>
      assert.deepStrictEqual(fromItsEnds(text), [verdict, verdict, verdict], text.slice(0, 60))
    for (const tail of ["}", ',"id":7}', ',"jsonrpc":"2.0","id":7}', ',"id":7,"jsonrpc":"2.0"}']) {
      const head = tail === "}" ? '{"jsonrpc":"2.0","id":7,"result":' : '{"result":'
      isAll(`${head}{${content(5000)}}${tail}`, "ok")
      isAll(`${head}{${content(5000)},"isError":false}${tail}`, "ok")
      isAll(`${head}{${content(5000)}, "isError": true }${tail}`, "tool-error")
      isAll(`${head}{"isError":true,${content(5000)}}${tail}`, "tool-error")
      isAll(`${head}{"structuredContent":{"a":"${"x".repeat(5000)}","isError":true}}${tail}`, "ok")
    }
    isAll(`{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":"${"x".repeat(5000)}"}}`, "rejected")
    isAll(`{"error": null,"result":{${content(5000)}},"id":7}`, "ok")
  })

  it.effect.prop(
    "of any response is what JSON.parse says of it",
    { line: Choices.from(JsonText.response) },
    ({ line }) =>
      Effect.sync(() => {
        const bytes = Buffer.from(line)
        const envelope = new Envelope()
        if (envelope.scan(bytes, 0, bytes.length) !== Shape.message || envelope.irregular) return
        // `isError` counts as it is written.
        if (!envelope.has(Key.outcome) || /\\u00[4-7]/i.test(line)) return
        const { error, result } = JSON.parse(line) as { readonly [key: string]: unknown }
        if (error !== undefined && result !== undefined) return
        const isError = (result as { readonly isError?: unknown } | null | undefined)?.isError === true
        const expected = error !== undefined && error !== null ? "rejected" : isError ? "tool-error" : "ok"
        assert.strictEqual(verdictOf(bytes, envelope), expected, line)
      }),
    { arbitrary: { runs: 2000, size: 40 } }
  )
})
