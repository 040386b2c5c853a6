import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { LineWriter } from "../../src/lines/LineWriter.ts"
import * as Choices from "./Choices.ts"
import { MemoryWritable, narrow } from "./MemoryWritable.ts"
import { turn, turns } from "./Turn.ts"

type Step =
  | { readonly _tag: "Push"; readonly piece: string | Buffer }
  | { readonly _tag: "Turn" | "Hold" | "Take" | "Release" }

const steps = Choices.from((choices) =>
  choices.some(40, (c): Step => {
    if (c.below(10) < 6) return { _tag: "Push", piece: piece(c) }
    return { _tag: c.of(["Turn", "Hold", "Take", "Release"] as const) }
  })
)

const piece = (choices: Choices.Choices): string | Buffer => {
  const text = choices.of(["a\n", "", "é\n", '{"id":1}\n', "x".repeat(choices.below(5000)), "y".repeat(200_000)])
  return choices.chance(40) ? Buffer.from(text) : text
}

const bytesOf = (piece: string | Buffer): Buffer => (typeof piece === "string" ? Buffer.from(piece, "latin1") : piece)

const lineFeed = 0x0a

describe("LineWriter", () => {
  it.effect.prop(
    "writes every piece once and in order, whatever the stream takes and when",
    { steps, isNarrow: Choices.from((choices) => choices.chance(70)) },
    ({ isNarrow, steps }) =>
      Effect.gen(function* () {
        const stream = isNarrow ? narrow() : new MemoryWritable()
        const writer = new LineWriter(stream)
        const pushed: Array<Buffer> = []
        let drains = 0
        writer.onDrain = () => {
          assert.strictEqual(writer.unread, 0)
          drains++
        }
        const total = () => pushed.reduce((sum, bytes) => sum + bytes.length, 0)
        for (const step of steps) {
          if (step._tag === "Push") {
            pushed.push(bytesOf(step.piece))
            writer.push(step.piece)
          } else if (step._tag === "Hold") stream.hold()
          else if (step._tag === "Take") stream.takeOne()
          else if (step._tag === "Release") stream.release()
          else yield* turns(3)
          // What is unread is what the stream did not say it took; it says so a moment after it did.
          if (isNarrow) assert.isAtLeast(writer.unread, total() - stream.taken)
          assert.isAtMost(writer.unread, total())
          assert.strictEqual(writer.waitingSince > 0, writer.blocked)
        }
        stream.release()
        yield* turns(4 + Math.ceil(total() / (128 * 1024)) + pushed.length)
        assert.isTrue(Buffer.concat(stream.writes).equals(Buffer.concat(pushed)))
        assert.strictEqual(writer.unread, 0)
        assert.isFalse(writer.blocked)
        assert.strictEqual(writer.waitingSince, 0)
        assert.strictEqual(drains > 0, pushed.length > 0)
      }),
    { arbitrary: { runs: 300, size: 80 } }
  )

  it.effect("writes what is pushed in one turn at once, and nothing before its end", () =>
    Effect.gen(function* () {
      const stream = new MemoryWritable()
      const writer = new LineWriter(stream)
      for (let i = 0; i < 100; i++) writer.push(`${i}\n`)
      assert.strictEqual(stream.writes.length, 0)
      yield* turn
      assert.strictEqual(stream.writes.length, 1)
      writer.push("next\n")
      yield* turn
      assert.deepStrictEqual(stream.writes[1], Buffer.from("next\n"))
    })
  )

  it.effect("writes strings as latin-1 and buffers as they are", () =>
    Effect.gen(function* () {
      const stream = new MemoryWritable()
      const writer = new LineWriter(stream)
      writer.push('{"a":"')
      writer.push(Buffer.from("漢").toString("latin1"))
      writer.push(Buffer.from("é"))
      writer.push('"}\n')
      yield* turn
      assert.strictEqual(stream.text, '{"a":"漢é"}\n')
    })
  )

  it.effect("counts as unread what the stream has not taken", () =>
    Effect.gen(function* () {
      const stream = narrow()
      const writer = new LineWriter(stream)
      assert.strictEqual(writer.unread, 0)
      stream.hold()
      writer.push("12345")
      writer.push(Buffer.from("678"))
      assert.strictEqual(writer.unread, 8)
      assert.isFalse(writer.blocked)
      yield* turn
      assert.strictEqual(writer.unread, 8)
      assert.isTrue(writer.blocked)
      writer.push("90")
      assert.strictEqual(writer.unread, 10)
      stream.takeOne()
      yield* turn
      assert.strictEqual(writer.unread, 5)
      assert.isTrue(writer.blocked)
      stream.release()
      yield* turns(3)
      assert.strictEqual(writer.unread, 0)
      assert.isFalse(writer.blocked)
      assert.strictEqual(stream.text, "1234567890")
    })
  )

  it.effect("hands a stream that takes little one slice after the other", () =>
    Effect.gen(function* () {
      const stream = narrow()
      const writer = new LineWriter(stream)
      const large = Buffer.alloc(1_000_000, "0123456789")
      stream.hold()
      writer.push(large)
      writer.push("x".repeat(300_000))
      yield* turn
      let left = 1_300_000
      while (left > 0) {
        assert.strictEqual(writer.unread, left)
        assert.isAtMost(stream.writes.at(-1)!.length, 128 * 1024)
        left -= stream.writes.at(-1)!.length
        stream.takeOne()
        yield* turn
      }
      assert.isFalse(writer.blocked)
      assert.isTrue(Buffer.concat(stream.writes).subarray(0, large.length).equals(large))
      assert.isTrue(Buffer.concat(stream.writes).subarray(large.length).equals(Buffer.alloc(300_000, "x")))
    })
  )

  it.effect("knows since when something waits, anew with each slice that is taken", () =>
    Effect.gen(function* () {
      const stream = narrow()
      const writer = new LineWriter(stream)
      assert.strictEqual(writer.waitingSince, 0)
      stream.hold()
      writer.push(Buffer.alloc(100_000))
      assert.strictEqual(writer.waitingSince, 0)
      const before = Date.now()
      yield* turn
      assert.isAtLeast(writer.waitingSince, before)
      assert.isAtMost(writer.waitingSince, Date.now())
      writer.waitingSince = before - 500
      stream.takeOne()
      yield* turn
      assert.isAtLeast(writer.waitingSince, before)
      stream.takeOne()
      yield* turn
      assert.strictEqual(writer.waitingSince, 0)
    })
  )

  it.effect("hands small slices to a reader that takes longer than a second for one", () =>
    Effect.gen(function* () {
      const stream = narrow()
      const writer = new LineWriter(stream)
      const large = Buffer.alloc(300_000, "0123456789")
      stream.hold()
      writer.push(large)
      yield* turn
      assert.isAbove(stream.writes[0]!.length, 32 * 1024)
      for (let i = 1; i <= 3; i++) {
        writer.waitingSince -= 1500
        stream.takeOne()
        yield* turn
        assert.lengthOf(stream.writes, i + 1)
        assert.isAtMost(stream.writes[i]!.length, 4 * 1024)
      }
      stream.release()
      yield* turns(20)
      assert.strictEqual(writer.unread, 0)
      assert.isTrue(Buffer.concat(stream.writes).equals(large))
    })
  )

  it.effect("says when everything has been taken", () =>
    Effect.gen(function* () {
      const stream = narrow()
      const writer = new LineWriter(stream)
      let drains = 0
      writer.onDrain = () => {
        drains++
      }
      stream.hold()
      writer.push("a\n")
      yield* turn
      writer.push(Buffer.from("b\n"))
      stream.takeOne()
      yield* turn
      assert.strictEqual(drains, 0)
      stream.takeOne()
      yield* turn
      assert.strictEqual(drains, 1)
    })
  )

  it.effect("writes what waits before it ends the stream, and takes no more", () =>
    Effect.gen(function* () {
      const stream = narrow()
      const writer = new LineWriter(stream)
      stream.hold()
      writer.push("a\n")
      yield* turn
      writer.push(Buffer.from("b\n"))
      writer.push("c\n")
      writer.end()
      writer.push("lost\n")
      yield* turn
      assert.isFalse(stream.writableEnded)
      stream.release()
      yield* turns(4)
      assert.strictEqual(stream.text, "a\nb\nc\n")
      assert.isTrue(stream.writableFinished)
      writer.end()
      writer.push("lost\n")
      yield* turn
      assert.strictEqual(stream.text, "a\nb\nc\n")
    })
  )

  it.effect("ends at once where nothing waits", () =>
    Effect.gen(function* () {
      const stream = new MemoryWritable()
      const writer = new LineWriter(stream)
      writer.push("a\n")
      writer.end()
      assert.isTrue(stream.writableEnded)
      yield* turn
      assert.strictEqual(stream.text, "a\n")
    })
  )

  it.effect("forgets what waits where it is told to", () =>
    Effect.gen(function* () {
      const stream = narrow()
      const writer = new LineWriter(stream)
      stream.hold()
      writer.push("a\n")
      yield* turn
      writer.push("lost\n")
      writer.push(Buffer.from("lost\n"))
      writer.discard()
      assert.strictEqual(writer.unread, 0)
      assert.strictEqual(writer.waitingSince, 0)
      assert.isFalse(writer.blocked)
      writer.push("lost\n")
      stream.release()
      yield* turns(3)
      assert.strictEqual(stream.text, "a\n")
    })
  )

  it.effect("writes nothing to a stream that was destroyed", () =>
    Effect.gen(function* () {
      const stream = new MemoryWritable()
      const writer = new LineWriter(stream)
      writer.push("a\n")
      stream.destroy()
      writer.push("b\n")
      yield* turn
      writer.end()
      yield* turn
      assert.strictEqual(stream.text, "")
    })
  )

  describe("takeUnwritten", () => {
    const line = (choices: Choices.Choices): ReadonlyArray<string | Buffer> => {
      const pieces = choices.some(3, (c): string | Buffer => {
        const text = c.of(["a", "", '{"id":1}', "x".repeat(c.below(5000)), "y".repeat(100_000)])
        return c.chance(50) ? Buffer.from(text) : text
      })
      return [...pieces, choices.of(["\n", "}\n", Buffer.from("\n"), Buffer.from("é\n")])]
    }

    type Step =
      | { readonly _tag: "Push"; readonly line: ReadonlyArray<string | Buffer> }
      | { readonly _tag: "Turn" | "Hold" | "Take" | "Release" | "Break" | "Destroy" }

    const steps = Choices.from((choices) =>
      choices.some(40, (c): Step =>
        c.below(10) < 5
          ? { _tag: "Push", line: line(c) }
          : { _tag: c.of(["Turn", "Turn", "Turn", "Hold", "Take", "Take", "Release", "Break", "Destroy"] as const) }
      )
    )

    it.effect.prop(
      "takes every line of which no byte was written and no other, in order, whatever became of the stream",
      { steps, isNarrow: Choices.from((choices) => choices.chance(70)) },
      ({ isNarrow, steps }) =>
        Effect.gen(function* () {
          const stream = isNarrow ? narrow() : new MemoryWritable()
          const writer = new LineWriter(stream)
          const pushed: Array<Buffer> = []
          for (const step of steps) {
            if (step._tag === "Push") {
              for (const piece of step.line) {
                pushed.push(bytesOf(piece))
                writer.push(piece)
              }
            } else if (step._tag === "Hold") stream.hold()
            else if (step._tag === "Take") stream.takeOne()
            else if (step._tag === "Release") stream.release()
            else if (step._tag === "Break") stream.break()
            else if (step._tag === "Destroy") stream.destroy()
            else yield* turns(2)
          }
          const all = Buffer.concat(pushed)
          const written = Buffer.concat(stream.writes).length
          const unwritten = writer.takeUnwritten()
          const isWithinLine = written > 0 && all[written - 1] !== lineFeed
          const from = isWithinLine ? all.indexOf(lineFeed, written) + 1 : written
          assert.strictEqual(unwritten.toString("latin1"), all.toString("latin1", from))
          assert.deepStrictEqual([writer.unread, writer.blocked, writer.waitingSince], [0, false, 0])
          stream.release()
          writer.push("late\n")
          yield* turns(3)
          assert.isTrue(Buffer.concat(stream.writes).equals(all.subarray(0, written)))
          assert.lengthOf(writer.takeUnwritten(), 0)
        }),
      { arbitrary: { runs: 500, size: 80 } }
    )

    it.effect("takes what was refused within the call, not what fails later", () =>
      Effect.gen(function* () {
        for (const isWaiting of [false, true]) {
          const stream = narrow()
          const writer = new LineWriter(stream)
          if (isWaiting) stream.hold()
          else stream.break()
          writer.push("a\n")
          writer.push("b\n")
          yield* turn
          writer.push("c\n")
          stream.break()
          yield* turns(3)
          writer.push("d\n")
          assert.strictEqual(writer.takeUnwritten().toString(), isWaiting ? "c\nd\n" : "a\nb\nc\nd\n")
        }
      })
    )

    it.live("takes what a process was given that had closed its stdin", () =>
      Effect.gen(function* () {
        const child = yield* Effect.acquireRelease(
          Effect.sync(() => spawn("sh", ["-c", "exec 0<&-; echo ready; exec sleep 60"], { stdio: "pipe" })),
          (child) => Effect.sync(() => child.kill("SIGKILL"))
        )
        child.stdin.on("error", () => {})
        yield* Effect.callback<void>((resume) => {
          child.stdout.once("data", () => resume(Effect.void))
        })
        const writer = new LineWriter(child.stdin)
        writer.push("a\n")
        yield* turn
        writer.push("b\n")
        yield* turns(3)
        assert.strictEqual(writer.takeUnwritten().toString(), "a\nb\n")
      })
    )

    it.effect("takes what comes after the slices of a line that were written", () =>
      Effect.gen(function* () {
        const stream = narrow()
        const writer = new LineWriter(stream)
        stream.hold()
        writer.push("a\n")
        writer.push(Buffer.alloc(300_000, "x"))
        writer.push("\nb\n")
        yield* turn
        for (let taken = 0; taken < 3; taken++) {
          stream.takeOne()
          yield* turn
        }
        assert.isAbove(stream.text.length, 100_000)
        assert.strictEqual(writer.takeUnwritten().toString(), "b\n")
      })
    )

    it.effect("takes all that waits for a stream that was destroyed, and what was pushed before the end", () =>
      Effect.gen(function* () {
        const stream = narrow()
        const writer = new LineWriter(stream)
        writer.push("a\n")
        stream.destroy()
        yield* turn
        writer.push(Buffer.from("b\n"))
        writer.end()
        writer.push("late\n")
        assert.strictEqual(writer.takeUnwritten().toString(), "a\nb\n")
      })
    )
  })
})
