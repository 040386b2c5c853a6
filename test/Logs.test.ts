import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Logs from "../src/Logs.ts"

/** What is written to stderr from here on, and to nowhere else until the scope closes. */
const captured = Effect.acquireRelease(
  Effect.sync(() => {
    const { write } = process.stderr
    const written: Array<string> = []
    process.stderr.write = (chunk: string | Uint8Array) => written.push(String(chunk)) > 0
    return { write, written }
  }),
  ({ write }) => Effect.sync(() => void (process.stderr.write = write))
)

const hostile = {
  message: "git said:\r\nline \u001b[31mred\u001b[0m\n\ttwo",
  annotations: {
    client: "agent\n12:00:00 ERROR forged\u202e\u001b]0;title\u0007\u009b2J",
    hint: "look\n\u001b[2Jhere"
  }
}

const logged = (format: Logs.Format) =>
  Effect.gen(function* () {
    const { written } = yield* captured
    yield* Effect.annotateLogs(Effect.logInfo(hostile.message), hostile.annotations).pipe(
      Effect.provide(Logs.layer({ format, level: "Info" }))
    )
    return written
  }).pipe(Effect.scoped)

describe("Logs", () => {
  it.effect(
    "writes a pretty line as one line without escape sequences, whatever others called themselves or said",
    () =>
      Effect.gen(function* () {
        const [line = "", ...others] = yield* logged("pretty")
        assert.deepStrictEqual(others, [])
        assert.match(line, /^\d\d:\d\d:\d\d INFO {2}git said: line red two \(client=agent .*\) — look .*here\n$/)
        // oxlint-disable-next-line no-control-regex
        assert.notMatch(line.slice(0, -1), /[\x00-\x1f\x7f-\x9f\u202e]/)
      })
  )

  it.effect("writes a JSON line as one line with everything as it was", () =>
    Effect.gen(function* () {
      const [line = "", ...others] = yield* logged("json")
      assert.deepStrictEqual(others, [])
      // oxlint-disable-next-line no-control-regex
      assert.notMatch(line.slice(0, -1), /[\x00-\x1f]/)
      const { level, message, ...rest } = JSON.parse(line) as { readonly [key: string]: unknown }
      assert.strictEqual(level, "info")
      assert.strictEqual(message, hostile.message)
      assert.deepInclude(rest, hostile.annotations)
    })
  )
})
