/** The bodies of a remote server's answers, which come side by side. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import type { IncomingMessage } from "node:http"
import { PassThrough } from "node:stream"
import { Inbox } from "../../../src/server/remote/RemoteBody.ts"

/** So much of it as is looked at. */
const bodyOf = () => Object.assign(new PassThrough({ highWaterMark: 1 }), { complete: true })

const asResponse = (body: PassThrough) => body as unknown as IncomingMessage

const setUp = (maxLine: number, maxHeld: number) => {
  const lines: Array<string> = []
  const tooLong: Array<number> = []
  const inbox = new Inbox({
    maxLine,
    maxHeld,
    receiver: {
      onLine: ({ bytes, end, start }) => void lines.push(bytes.toString("latin1", start, end)),
      onLongLine: ({ length }) => void tooLong.push(length)
    },
    onHeard: () => {}
  })
  const read = () => {
    const body = bodyOf()
    const ended = Effect.callback<void>((resume) =>
      inbox.readJson(asResponse(body), inbox.receiver, () => resume(Effect.void))
    )
    return { body, ended }
  }
  return { inbox, lines, tooLong, read }
}

/** All that can be taken of it now has been. */
const turn = Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void)))

describe("Inbox", () => {
  it.live("reads on one of those alone that have begun where they are much together, until there is room", () =>
    Effect.gen(function* () {
      const { inbox, lines, read } = setUp(1000, 100)
      const [one, other, third] = [read(), read(), read()]
      const ends = yield* Effect.forkChild(Effect.all([one.ended, other.ended, third.ended], { concurrency: 3 }), {
        startImmediately: true
      })
      const paused = () => [one, other, third].map(({ body }) => body.isPaused())
      for (const piece of ["a", "b".repeat(40)]) {
        for (const { body } of [one, other]) body.write(piece)
        yield* turn
      }
      assert.deepStrictEqual(paused(), [false, false, false])
      other.body.write("c".repeat(40))
      yield* turn
      // The one that is nearest to its end, or to its bound.
      assert.deepStrictEqual(paused(), [true, false, true])
      inbox.pause()
      assert.deepStrictEqual(paused(), [true, true, true])
      inbox.resume()
      assert.deepStrictEqual(paused(), [true, false, true])
      for (const { body } of [third, one, other]) body.end("}")
      yield* Fiber.join(ends)
      assert.deepStrictEqual(
        lines.map(({ length }) => length),
        [82, 42, 1]
      )
    }).pipe(Effect.timeout("5 seconds"))
  )

  it.live("goes on with the others where one is too long, of which nothing is kept", () =>
    Effect.gen(function* () {
      const { lines, read, tooLong } = setUp(5000, 4000)
      const [one, other] = [read(), read()]
      const ends = yield* Effect.forkChild(Effect.all([one.ended, other.ended], { concurrency: 2 }), {
        startImmediately: true
      })
      for (let i = 0; i < 100; i++) one.body.write("x".repeat(100))
      other.body.end("{}")
      yield* turn
      for (let i = 0; i < 100; i++) one.body.write("x".repeat(100))
      one.body.end()
      yield* Fiber.join(ends)
      assert.deepStrictEqual([lines, tooLong], [["{}"], [20_000]])
    }).pipe(Effect.timeout("5 seconds"))
  )
})
