/** What is pure of all servers as one. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Line } from "../../src/lines/LineReader.ts"
import { Envelope, Key, Shape } from "../../src/message/Envelope.ts"
import { exposed } from "../../src/proxy/ToolNames.ts"
import { replaced } from "../../src/together/Edit.ts"
import * as Names from "../../src/together/Names.ts"
import { settle } from "../../src/together/Settle.ts"
import { matches } from "../../src/together/Templates.ts"
import * as Choices from "../lines/Choices.ts"
import * as JsonText from "../mux/JsonText.ts"

const thorough = { arbitrary: { runs: 1000, size: 150 } }

/** A name of a server or of a tool. */
const partOf = (choices: Choices.Choices): string =>
  choices.some(4, (choices) => choices.of(["a", "_", "__", "git", ".", "é", "_0badcafe"])).join("")

describe("Names", () => {
  it.effect.prop(
    "say what they mean, or nothing",
    { named: Choices.from((choices) => ({ server: partOf(choices), name: partOf(choices) })) },
    ({ named }) =>
      Effect.sync(() => {
        const shown = exposed(named.server, named.name)
        const meant = Names.plain(shown)
        if (shown === `${named.server}__${named.name}`)
          assert.deepStrictEqual(meant, named.server === "" ? null : named)
        else assert.isNull(meant)
      }),
    thorough
  )
})

describe("Edit", () => {
  it.effect.prop(
    "puts another value in place of one, and the envelope is the new line's",
    {
      given: Choices.from((choices) => ({
        text: JsonText.message(choices),
        before: " ".repeat(choices.below(3)),
        key: choices.of([Key.id, Key.method, Key.params, Key.name]),
        value: choices.of(['"x"', "17", `"${"long".repeat(20)}"`, "{}"]),
        isText: choices.chance(50)
      }))
    },
    ({ given: { before, isText, key, text, value } }) =>
      Effect.sync(() => {
        const bytes = Buffer.from(`${before}${text}`)
        const line = Line.of(bytes)
        line.start = before.length
        if (isText) line.text = bytes.toString("latin1")
        const envelope = new Envelope()
        if (envelope.scan(line.bytes, line.start, line.end) !== Shape.message || !envelope.has(key)) return
        const start = envelope.start[key]! - before.length
        const end = envelope.end[key]! - before.length
        const isInside = (other: number) =>
          envelope.start[other]! > start + before.length && envelope.end[other]! <= end + before.length
        const inside = Object.values(Key).filter((other) => other !== key && envelope.has(other) && isInside(other))
        const whole = Buffer.from(text)
        const expected = Buffer.concat([whole.subarray(0, start), Buffer.from(value), whole.subarray(end)])
        const next = replaced(line, envelope, key, value)
        assert.strictEqual(next.bytes.toString("utf8", next.start, next.end), expected.toString("utf8"))
        const scanned = new Envelope()
        if (scanned.scan(next.bytes, next.start, next.end) !== Shape.message) return
        for (const other of Object.values(Key)) {
          // What stood within the value is gone with it.
          if (inside.includes(other) || !scanned.has(other)) continue
          assert.deepStrictEqual(
            [envelope.start[other], envelope.end[other]],
            [scanned.start[other], scanned.end[other]]
          )
        }
      }),
    thorough
  )
})

describe("Templates", () => {
  for (const [template, uri, matched] of [
    ["x:1", "x:1", true],
    ["x:1", "x:12", false],
    ["x:{id}", "x:12", true],
    ["x:{id}/end", "x:12/end", true],
    ["x:{id}/end", "x:/en", false],
    ["x:{a}-{b}", "x:1-2", true],
    ["x:{a}-{b}", "x:12", false],
    ["{+all}", "anything:at/all", true],
    ["x:{open", "x:{open", true],
    ["ab{x}ba", "aba", false]
  ] as const) {
    it(`${uri} is ${matched ? "" : "not "}of ${template}`, () => assert.strictEqual(matches(template, uri), matched))
  }

  it("take no longer for a template that is made for it", () => {
    const template = "{a}x".repeat(10_000)
    assert.isFalse(matches(template, "x".repeat(9999)))
  })
})

describe("settle", () => {
  it("is done at once where all are, and only once", () => {
    const ends: Array<boolean> = []
    settle([(done) => done(), (done) => done()], 10, (isWhole) => ends.push(isWhole))
    settle([], 10, (isWhole) => ends.push(isWhole))
    assert.deepStrictEqual(ends, [true, true])
  })

  it("is done where it is enough, and hears of nothing more", () => {
    const ends: Array<string> = []
    const later: Array<() => void> = []
    let isEnough = false
    const tasks = Array.from({ length: 3 }, () => (done: () => void) => later.push(done))
    settle(
      tasks,
      10_000,
      () => ends.push("enough"),
      () => isEnough
    )
    later[0]!()
    assert.deepStrictEqual(ends, [])
    isEnough = true
    later[1]!()
    later[2]!()
    const giveUp = settle(tasks, 10_000, () => ends.push("never"))
    giveUp()
    for (const done of later) done()
    assert.deepStrictEqual(ends, ["enough"])
  })
})
