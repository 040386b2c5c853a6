import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Envelope, Key, Shape } from "../../src/message/Envelope.ts"
import * as OwnRequest from "../../src/mux/OwnRequest.ts"
import * as Choices from "../lines/Choices.ts"

const text = (choices: Choices.Choices): string =>
  choices.of([
    "a",
    "",
    "name",
    '"name"',
    '"_meta":{"progressToken":1}',
    'b"',
    "\\",
    '\\"',
    "é",
    "\u{1f600}",
    "\ud800",
    "\n"
  ])

const value = (choices: Choices.Choices, depth: number): unknown => {
  const kind = choices.below(depth > 0 ? 6 : 4)
  if (kind < 3) return text(choices)
  if (kind === 3) return choices.of([0, null, undefined, true, 1e300])
  return kind === 4 ? choices.some(2, (inner) => value(inner, depth - 1)) : object(choices, depth - 1)
}

const object = (choices: Choices.Choices, depth: number): object =>
  Object.fromEntries(
    choices.some(4, (inner) => [
      inner.of(["name", "arguments", "_meta", "progressToken", "toJSON", text(inner)]),
      value(inner, depth)
    ])
  )

/** What an upstream reads of a request. */
const keys = [Key.jsonrpc, Key.id, Key.method, Key.params, Key.name, Key.token]

const spansOf = (envelope: Envelope) =>
  keys.map((key) => (envelope.has(key) ? [envelope.start[key], envelope.end[key]] : null))

const check = (id: number, method: string, params: object): void => {
  const written = new Envelope()
  // As the last line left it.
  written.start.fill(7)
  written.irregular = true
  const line = OwnRequest.write(written, id, method, params)
  const scanned = new Envelope()
  assert.strictEqual(scanned.scan(line.bytes, line.start, line.end), Shape.message)
  assert.deepStrictEqual(spansOf(written), spansOf(scanned))
  assert.strictEqual(written.irregular, scanned.irregular)
  const sent = JSON.parse(line.bytes.toString("utf8", line.start, line.end)) as unknown
  assert.deepStrictEqual(sent, JSON.parse(JSON.stringify({ jsonrpc: "2.0", id, method, params })))
  if (line.text !== null) assert.strictEqual(line.text, line.bytes.toString("latin1"))
}

describe("OwnRequest", () => {
  it.effect.prop(
    "knows of what it writes what a scan finds",
    {
      request: Choices.from((choices) => ({
        id: choices.of([1, 10, 4095, 1_000_000]),
        method: choices.of(["tools/call", "prompts/get", "é", '"']),
        params: object(choices, 2)
      }))
    },
    ({ request }) => Effect.sync(() => check(request.id, request.method, request.params)),
    { arbitrary: { runs: 2000 } }
  )

  it("knows it of long lines too", () => {
    check(1, "tools/call", { name: "a", arguments: { text: "x".repeat(100_000) } })
  })
})
