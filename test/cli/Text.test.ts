import { assert, describe, it } from "@effect/vitest"
import { printable } from "../../src/printable.ts"
import { firstLine, paint, size, span, table } from "../../src/cli/Text.ts"

describe("Text", () => {
  it("writes a time span in its two largest units", () => {
    const seconds = [0, 0.9, 59, 60, 192, 3600, 7500, 86_400, 356_400]
    assert.deepStrictEqual(
      seconds.map((n) => span(n * 1000)),
      ["0s", "0s", "59s", "1m 0s", "3m 12s", "1h 0m", "2h 5m", "1d 0h", "4d 3h"]
    )
  })

  it("writes no negative time span where clocks differ", () => {
    assert.strictEqual(span(-5000), "0s")
  })

  it("writes a size in decimal units", () => {
    const bytes = [0, 712, 999, 1000, 12_345, 999_600, 48_200_000, 1_240_000_000]
    assert.deepStrictEqual(bytes.map(size), ["0 B", "712 B", "999 B", "1 kB", "12 kB", "1 MB", "48 MB", "1.2 GB"])
  })

  it("takes away what would steer a terminal", () => {
    assert.strictEqual(printable("a\x1b[31mred\x1b[0m\x1b]0;title\x07\tb\r\n\x9bc"), "ared]0;title\tb\nc")
  })

  it("takes away what would turn the direction of writing, and leaves what is written from right to left", () => {
    assert.strictEqual(printable("agent\u202egnp.exe\u202c \u2067x\u2069\u200f שלום"), "agentgnp.exe x שלום")
  })

  it("cuts a text to the first line and a width in columns", () => {
    assert.strictEqual(firstLine("one\ntwo", 80), "one")
    assert.strictEqual(firstLine("  \n one", 80), "one")
    assert.strictEqual(firstLine("abcdef", 6), "abcdef")
    assert.strictEqual(firstLine("abcdefg", 6), "abcde…")
    assert.strictEqual(firstLine("日本語です", 6), "日本…")
  })

  it("aligns columns by what is seen, not by what is written", () => {
    const rows = [
      { name: "git", count: "7" },
      { name: "日本", count: "12" }
    ]
    const columns = [
      { head: "NAME", text: ({ name }: (typeof rows)[0]) => name, style: paint(true).red },
      { head: "N", text: ({ count }: (typeof rows)[0]) => count, right: true }
    ]
    assert.deepStrictEqual(table(rows, columns, paint(false)), [
      "NAME   N",
      "\x1b[31mgit\x1b[0m    7",
      "\x1b[31m日本\x1b[0m  12"
    ])
  })

  it("paints nothing without colours", () => {
    const { bold, dim, red, green, yellow } = paint(false)
    assert.strictEqual([bold, dim, red, green, yellow].map((style) => style("x")).join(""), "xxxxx")
  })
})
