/** Server-sent events, however they are cut. */
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Schema } from "effect"
import { EventReader } from "../../../src/server/remote/EventReader.ts"

const read = (chunks: ReadonlyArray<Buffer>, maxLine = 1024 * 1024) => {
  const said: Array<string> = []
  const reader = new EventReader({
    maxLine,
    receiver: {
      onLine: (line) => void said.push(line.bytes.toString("utf8", line.start, line.end)),
      onLongLine: ({ length }) => void said.push(`${length} bytes`)
    },
    onId: (id) => void said.push(`id ${id}`),
    onRetry: (millis) => void said.push(`retry ${millis}`)
  })
  for (const chunk of chunks) reader.feed(chunk)
  return said
}

/** In pieces of so many bytes. */
const inPieces = (text: string, sizes: ReadonlyArray<number>): ReadonlyArray<Buffer> => {
  const bytes = Buffer.from(text)
  const chunks: Array<Buffer> = []
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = 1 + (sizes[i % Math.max(1, sizes.length)] ?? 7)
    chunks.push(Buffer.from(bytes.subarray(at, at + size)))
    at += size
  }
  return chunks
}

describe("EventReader", () => {
  it("gives messages, ids and delays, and nothing else", () => {
    const text = [
      ": a comment",
      "",
      "id: 1",
      "retry: 500",
      "data:",
      "",
      "event: message",
      "id: 2",
      'data: {"a":1}',
      "",
      'data:{"b":2}',
      "id:3",
      "",
      "data: {",
      'data:  "c": 3',
      "data: }",
      "",
      `event: ${"x".repeat(5000)}`,
      "datum: 5",
      "data: without an end"
    ].join("\n")
    const expected = ["id 1", "retry 500", "id 2", '{"a":1}', '{"b":2}', "id 3", '{  "c": 3 }']
    for (const end of ["\n", "\r\n"]) {
      const said = read([Buffer.from(text.replaceAll("\n", end))]).map((one) => one.replaceAll("\r", ""))
      // A message that is whole is given before what follows it in its event.
      assert.deepStrictEqual([...said].sort(), [...expected].sort())
    }
  })

  it("bounds a message, and goes on after it", () => {
    const text = `data: ${"x".repeat(5000)}\n\ndata: y\n\n`
    for (const sizes of [[100_000], [0], [999]]) {
      assert.deepStrictEqual(read(inPieces(text, sizes), 1000), ["5000 bytes", "y"])
    }
  })

  const Messages = Arbitrary.schema(Schema.Array(Schema.Array(Schema.String)))
  const Sizes = Arbitrary.schema(Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 40 }))))
  it.effect.prop(
    "does not depend on how the bytes are cut",
    { messages: Messages, sizes: Sizes },
    ({ messages, sizes }) =>
      Effect.sync(() => {
        const lines = messages.map((parts) => parts.map((part) => JSON.stringify(part)).join("\n"))
        const text = lines
          .map((line, i) => `id: ${i}\n${line.replaceAll(/^/gm, i % 2 === 0 ? "data: " : "data:")}\n\n`)
          .join("")
        const expected = lines.flatMap((line, i) => [`id ${i}`, ...(line === "" ? [] : [line.replaceAll("\n", " ")])])
        assert.deepStrictEqual(read([Buffer.from(text)]), expected)
        assert.deepStrictEqual(read(inPieces(text, sizes)), expected)
        assert.deepStrictEqual(read(inPieces(text, [0])), expected)
      })
  )
})
