import { assert, describe, it } from "@effect/vitest"
import { camelCase, take } from "../../src/codegen/Identifiers.ts"

describe("Identifiers", () => {
  it("makes camel case of what servers and tools are called", () => {
    const names = {
      echo: "echo",
      "get-sum": "getSum",
      read_text_file: "readTextFile",
      LIST_FILES: "listFiles",
      GetUser: "getUser",
      "issues/create.comment": "issuesCreateComment",
      "2fa": "_2fa",
      "v2-get": "v2Get",
      __proto__: "proto",
      "名前-取得": "名前取得",
      "e\u0301tat": "\u00e9tat",
      "a\u200db": "aB",
      "🎉": "tool",
      "": "tool"
    }
    for (const [name, identifier] of Object.entries(names)) assert.strictEqual(camelCase(name, "tool"), identifier)
    assert.strictEqual(camelCase("__proto__", "tool"), "proto")
  })

  it("numbers what would be called the same, past what is there", () => {
    const taken = new Set(["sum2"])
    assert.deepStrictEqual(
      ["sum", "sum", "sum", "sum2"].map((name) => take(name, taken)),
      ["sum", "sum3", "sum4", "sum22"]
    )
  })
})
