import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { LineReader, Line } from "../../src/lines/LineReader.ts"
import * as Choices from "./Choices.ts"

/** What a reader hands over, as text of one character a byte. */
type Read =
  | { readonly line: string }
  | { readonly long: { readonly head: string; readonly tail: string; readonly length: number } }

const latin1 = (bytes: Buffer): string => bytes.toString("latin1")

const readAll = (maxLine: number, chunks: Iterable<Buffer>): ReadonlyArray<Read> => {
  const read: Array<Read> = []
  const reader = new LineReader({
    maxLine,
    receiver: {
      onLine: (line) => {
        const text = latin1(line.bytes.subarray(line.start, line.end))
        if (line.text !== null) assert.strictEqual(line.text.slice(line.start, line.end), text)
        const cut = line.cut(line.start, line.end)
        assert.strictEqual(typeof cut === "string" ? cut : latin1(cut), text)
        assert.strictEqual(line.copy(line.start, line.end), text)
        assert.strictEqual(latin1(line.copyBytes()), text)
        read.push({ line: text })
      },
      onLongLine: ({ head, length, tail }) => {
        read.push({ long: { head: latin1(head), tail: latin1(tail), length } })
      }
    }
  })
  for (const chunk of chunks) reader.feed(chunk)
  return read
}

/** The lines of a stream of bytes, the plain way. */
const expected = (maxLine: number, bytes: Buffer): ReadonlyArray<Read> =>
  latin1(bytes)
    .split("\n")
    .slice(0, -1)
    .map((raw): Read => {
      if (raw.length <= maxLine) return { line: raw.replace(/\r$/, "") }
      return { long: { head: raw.slice(0, 4096), tail: raw.slice(-256), length: raw.length } }
    })
    .filter((read) => !("line" in read) || read.line !== "")

const splitAt = (bytes: Buffer, sizes: ReadonlyArray<number>): ReadonlyArray<Buffer> => {
  const chunks: Array<Buffer> = []
  let at = 0
  for (let i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length]!
    chunks.push(Buffer.from(bytes.subarray(at, at + size)))
    at += size
  }
  return chunks
}

const piece = (choices: Choices.Choices): string =>
  choices.of(["a", "\n", "\n", "\r\n", "\r", "é", "漢", "😀", '{"id":1}', "", "\n\n", "\r\r\n"])

const stream = Choices.from((choices) => {
  const bytes = Buffer.from(choices.some(60, piece).join(""))
  // Half of a character is still bytes.
  return choices.chance(20) ? bytes.subarray(choices.below(3)) : bytes
})

/** Streams with lines around the bound, and longer ones by far. */
const longStream = (maxLine: number) =>
  Choices.from((choices) =>
    Buffer.from(
      choices
        .some(6, (c) => {
          const length = c.of([0, 1, maxLine - 1, maxLine, maxLine + 1, 2 * maxLine, maxLine + c.below(3 * maxLine)])
          return `${c.of(["ab", "é", "0123456789", "\r"]).repeat(length).slice(0, length)}${c.of(["\n", "\r\n"])}`
        })
        .join("")
    )
  )

const sizes = Choices.from((choices) => [1 + choices.below(9), ...choices.some(20, (c) => 1 + c.below(9))])
const largeSizes = Choices.from((choices) => [
  1 + choices.below(300),
  ...choices.some(20, (c) => c.of([1, 100, 4095, 4096, 4097, 1 + c.below(20_000)]))
])

describe("LineReader", () => {
  it.effect.prop(
    "reads the same lines however the bytes are split",
    { bytes: stream, sizes },
    ({ bytes, sizes }) =>
      Effect.sync(() => {
        const lines = expected(1024, bytes)
        assert.deepStrictEqual(readAll(1024, [bytes]), lines)
        assert.deepStrictEqual(readAll(1024, splitAt(bytes, [1])), lines)
        assert.deepStrictEqual(readAll(1024, splitAt(bytes, sizes)), lines)
      }),
    { arbitrary: { runs: 1000, size: 100 } }
  )

  it.effect.prop(
    "reports a line that is too long once, with its ends and its length, and reads on",
    { bytes: longStream(4096), sizes: largeSizes },
    ({ bytes, sizes }) =>
      Effect.sync(() => {
        const lines = expected(4096, bytes)
        assert.deepStrictEqual(readAll(4096, [bytes]), lines)
        assert.deepStrictEqual(readAll(4096, splitAt(bytes, sizes)), lines)
      }),
    { arbitrary: { runs: 300, size: 60 } }
  )

  it.effect.prop(
    "keeps to a bound of a few bytes",
    { bytes: longStream(8), sizes },
    ({ bytes, sizes }) =>
      Effect.sync(() => {
        const lines = expected(8, bytes)
        const read = readAll(8, splitAt(bytes, sizes))
        assert.strictEqual(read.length, lines.length)
        for (const [i, line] of lines.entries()) {
          const found = read[i]!
          if ("line" in line || "line" in found) assert.deepStrictEqual(found, line)
          else {
            // What came before the bound was passed is all that was kept.
            assert.isAbove(found.long.head.length, 8)
            assert.isTrue(line.long.head.startsWith(found.long.head))
            assert.strictEqual(found.long.tail, line.long.tail)
            assert.strictEqual(found.long.length, line.long.length)
          }
        }
      }),
    { arbitrary: { runs: 500, size: 60 } }
  )

  it("reads lines of any length made of chunks of any size", () => {
    const lines = [10, 4095, 4096, 65_535, 65_536, 65_537, 300_000].map((length) =>
      "x1é".repeat(length).slice(0, length)
    )
    const bytes = Buffer.from(`${lines.join("\n")}\n`)
    for (const size of [1, 7, 4095, 4096, 5000, 65_536, 1_000_000]) {
      const read = readAll(1_000_000, splitAt(bytes, [size]))
      assert.strictEqual(read.length, lines.length)
      for (const [i, line] of read.entries()) {
        // Not through `assert`, which would print it.
        const isSame = "line" in line && Buffer.from(line.line, "latin1").toString() === lines[i]
        assert.isTrue(isSame, `line ${i} in chunks of ${size}`)
      }
    }
  })

  it("keeps the last line until its line feed has come", () => {
    const read: Array<string> = []
    const reader = new LineReader({
      maxLine: 100,
      receiver: {
        onLine: (line) => {
          read.push(line.copy(line.start, line.end))
        },
        onLongLine: () => {}
      }
    })
    reader.feed(Buffer.from('{"id":1}\n{"id":'))
    assert.deepStrictEqual(read, ['{"id":1}'])
    reader.feed(Buffer.from("2}"))
    assert.deepStrictEqual(read, ['{"id":1}'])
    reader.feed(Buffer.from("\n"))
    assert.deepStrictEqual(read, ['{"id":1}', '{"id":2}'])
  })

  it("hands over lines whose copies outlive the chunk", () => {
    const copies: Array<Buffer> = []
    const reader = new LineReader({
      maxLine: 100,
      receiver: {
        onLine: (line) => {
          copies.push(line.copyBytes())
        },
        onLongLine: () => {}
      }
    })
    const chunk = Buffer.from("first\nsecond\n")
    reader.feed(chunk)
    chunk.fill(0)
    assert.deepStrictEqual(copies.map(latin1), ["first", "second"])
  })

  it.effect("looks at each byte once and copies it at most twice, whatever the chunks", () =>
    Effect.gen(function* () {
      const work = yield* countWork
      const total = 400_000
      for (const maxLine of [1_000_000, 100_000]) {
        for (const size of [16, 1000, 4096, 50_000]) {
          work.searched = 0
          work.copied = 0
          const chunks = splitAt(Buffer.from(`${"x".repeat(total)}\n`), [size]).map((chunk) => work.watch(chunk))
          const read = readAll(maxLine, chunks)
          assert.strictEqual(read.length, 1)
          assert.strictEqual(work.searched, total + 1)
          // A line that is thrown away costs its last bytes for each chunk, and no more.
          const ends = maxLine < total ? 512 * chunks.length : 0
          assert.isAtMost(work.copied, 2 * (total + 1) + ends, `${total} bytes in chunks of ${size}`)
        }
      }
    })
  )
})

describe("Line", () => {
  it("of bytes is all of them", () => {
    const line = Line.of(Buffer.from('{"é":1}'))
    assert.strictEqual(line.copyBytes().toString(), '{"é":1}')
    assert.strictEqual(line.copy(2, 4), Buffer.from("é").toString("latin1"))
    assert.strictEqual((line.cut(2, 4) as Buffer).toString(), "é")
  })
})

/** Counts the bytes that are searched for line feeds, and those that are copied to put lines together. */
const countWork = Effect.gen(function* () {
  const work = {
    searched: 0,
    copied: 0,
    watch: (chunk: Buffer): Buffer => {
      const search = chunk.indexOf.bind(chunk)
      const copy = chunk.copy.bind(chunk)
      chunk.indexOf = (value: string | number | Uint8Array, from?: number | BufferEncoding) => {
        const start = typeof from === "number" ? from : 0
        const at = search(value as number, start)
        work.searched += (at === -1 ? chunk.length : at + 1) - start
        return at
      }
      chunk.copy = (target, ...rest) => {
        const copied = copy(target, ...rest)
        work.copied += copied
        return copied
      }
      return chunk
    }
  }
  const concat = Buffer.concat
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      Buffer.concat = (list, length) => {
        const all = concat(list, length)
        work.copied += all.length
        return all
      }
    }),
    () =>
      Effect.sync(() => {
        Buffer.concat = concat
      })
  )
  return work
})
