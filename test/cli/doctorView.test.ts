import { assert, describe, it } from "@effect/vitest"
import { findingLines } from "../../src/cli/doctorView.ts"
import { paint } from "../../src/cli/Text.ts"
import { of } from "../../src/doctor/Finding.ts"

const plain = { paint: paint(false), width: Infinity }

describe("findingLines", () => {
  it("tells in full what is not well, below one line for its check", () => {
    const { ok, problem, warning } = of("sockets")
    assert.deepStrictEqual(
      findingLines(
        [ok("a", "free"), ok("b", "free"), problem("c", "in the way\nline 1", "rm c"), warning("d", "old", null)],
        plain
      ),
      ["Sockets        problem  2 others are well", "  ✗ c: in the way", "    │ line 1", "    mend: rm c", "  ! d: old"]
    )
  })

  it("counts warnings where nothing is wrong", () => {
    assert.deepStrictEqual(findingLines([of("node").warning("Node", "is odd", null)], plain).slice(-2), [
      "",
      "nothing is wrong, 1 warning"
    ])
  })

  it("cuts lists and what processes wrote to the screen, and never what mends", () => {
    const { ok } = of("commands")
    const mend = "m".repeat(80)
    const lines = findingLines(
      [
        ...Array.from({ length: 20 }, (_, i) => ok(`server-${i}`, "/bin/true")),
        of("starts").problem("x", `failed\n${"y".repeat(80)}`, mend)
      ],
      { ...plain, width: 60 }
    )
    assert.strictEqual(lines[0]?.length, 60)
    assert.strictEqual(lines[3]?.length, 60)
    assert.strictEqual(lines[4], `    mend: ${mend}`)
  })

  it("colours the verdict, and lets nobody steer the terminal", () => {
    const lines = findingLines([of("starts").problem("\x1b[2Jx", "\x1b[31mred\x1b[0m", "y\x07")], {
      paint: paint(true),
      width: 80
    })
    assert.include(lines[0], "\x1b[31mproblem\x1b[0m")
    assert.strictEqual(lines[1], "  \x1b[31m✗\x1b[0m \x1b[1m[2Jx\x1b[0m: red")
    assert.strictEqual(lines[2], "    mend: y")
  })
})
