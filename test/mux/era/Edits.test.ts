/** What is spliced into lines is what would have been written if they had been read and written again. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Line } from "../../../src/lines/LineReader.ts"
import { Envelope, Key, Shape } from "../../../src/message/Envelope.ts"
import * as Edits from "../../../src/mux/era/Edits.ts"
import * as Presented from "../../../src/mux/era/Presented.ts"
import * as Choices from "../../lines/Choices.ts"
import * as JsonText from "../JsonText.ts"

type Json = { readonly [key: string]: unknown }

const isRecord = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value)

/** Null where it is no single message with each key that matters once. */
const scanned = (text: string): { readonly line: Line; readonly envelope: Envelope } | null => {
  const line = Line.of(Buffer.from(text))
  const envelope = new Envelope()
  if (envelope.scan(line.bytes, line.start, line.end) !== Shape.message || envelope.irregular) return null
  return { line, envelope }
}

const written = (write: (out: { push: (piece: string | Buffer) => void }) => void): unknown => {
  const pieces: Array<Buffer> = []
  write({ push: (piece) => pieces.push(typeof piece === "string" ? Buffer.from(piece, "latin1") : piece) })
  const text = Buffer.concat(pieces).toString("utf8")
  assert.isTrue(text.endsWith("\n"))
  return JSON.parse(text) as unknown
}

/** Of the requests that were made up, those that were requests. */
let checked = 0

const meta = '"a/b":"2026","a/c":{}'

describe("Edits", () => {
  it.effect.prop(
    "params: a request has another id and token, and says in its _meta what it is told to",
    { given: Choices.from((choices) => ({ hasOthers: choices.chance(50), text: JsonText.message(choices) })) },
    ({ given: { hasOthers, text } }) =>
      Effect.sync(() => {
        const found = scanned(text)
        if (found === null) return
        const { envelope, line } = found
        const before = JSON.parse(text) as Json
        if (typeof before["method"] !== "string" || !("id" in before)) return
        if (before["params"] !== undefined && !isRecord(before["params"])) return
        const others = !hasOthers ? "" : '"inputResponses":{"x":1}'
        const after = written((out) =>
          Edits.write(out, line, [...Edits.ids(envelope, 77), ...Edits.params(line, envelope, meta, others)])
        )
        const params = (before["params"] ?? {}) as Json
        checked++
        const said = isRecord(params["_meta"]) ? params["_meta"] : {}
        const token = "progressToken" in said ? { progressToken: 77 } : {}
        assert.deepStrictEqual(after, {
          ...before,
          id: 77,
          params: {
            ...params,
            _meta: { ...said, ...token, "a/b": "2026", "a/c": {} },
            ...(others === "" ? {} : { inputResponses: { x: 1 } })
          }
        })
      }),
    { arbitrary: { runs: 2000 } }
  )

  it("params: was looked at often enough", () => {
    assert.isAbove(checked, 100)
  })

  it.effect.prop(
    "completed: a result lacks nothing, and says the rest as it did, in one piece or in several",
    { given: Choices.from((choices) => ({ at: choices.below(100_000), text: JsonText.response(choices) })) },
    ({ given: { at, text } }) =>
      Effect.sync(() => {
        const found = scanned(text)
        if (found === null) return
        const { envelope, line } = found
        const before = JSON.parse(text) as Json
        if (!isRecord(before["result"]) || "error" in before || !envelope.has(Key.id)) return
        const members = Presented.lacking("tools/list", 5)
        const id = { from: envelope.start[Key.id]!, to: envelope.end[Key.id]!, text: '"me"' }
        const edits = [id, ...Presented.completed(line, Presented.resultStart(line, envelope), members)]
        const lacking = { resultType: "complete", ttlMs: 5, cacheScope: "private" }
        const expected = { ...before, id: "me", result: { ...lacking, ...before["result"] } }
        assert.deepStrictEqual(
          written((out) => Edits.write(out, line, edits)),
          expected
        )
        const cut = at % (line.end + 1)
        if (edits.some(({ from, to }) => from < cut && cut < to)) return
        const pieces = [line.bytes.subarray(0, cut), line.bytes.subarray(cut)].filter(({ length }) => length > 0)
        assert.deepStrictEqual(
          written((out) => Edits.writePieces(out, pieces, edits)),
          expected
        )
      }),
    { arbitrary: { runs: 1000 } }
  )
})
