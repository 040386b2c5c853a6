import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { randomUUID } from "node:crypto"
import { type Request, SystemCommand } from "../../src/service/SystemCommand.ts"
import * as Processes from "../support/Processes.ts"

const run = (request: Request) => Effect.flatMap(SystemCommand, (run) => run(request))
const sh = (script: string, ...args: ReadonlyArray<string>) => ["/bin/sh", "-c", script, ...args] as const

describe("SystemCommand", () => {
  it.live("tells how a command ended and what it wrote", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* run({ argv: sh("echo out; echo err >&2; exit 3") }), {
        code: 3,
        out: "out",
        err: "err"
      })
      const missing = yield* run({ argv: ["/nonexistent/systemctl"] })
      assert.strictEqual(missing.code, null)
      assert.include(missing.err, "ENOENT")
      assert.strictEqual((yield* run({ argv: sh("kill -9 $$") })).code, null)
    })
  )

  it.live("adds to the environment, or gives nothing else", () =>
    Effect.gen(function* () {
      const script = sh('echo "$A:${HOME:+home}"')
      assert.strictEqual((yield* run({ argv: script, env: { add: { A: "1" } } })).out, "1:home")
      assert.strictEqual((yield* run({ argv: script, env: { only: { A: "1" } } })).out, "1:")
    })
  )

  it.live("ends one that takes too long, with what it started, though that holds its output", () =>
    Effect.gen(function* () {
      const marker = `fixture-${randomUUID()}`
      const script = `echo begun; sh -c 'sleep 600; : "$0"' "$0" & sleep 600; echo done`
      const { code, err, out } = yield* run({ argv: sh(script, marker), patience: 200 })
      assert.deepStrictEqual({ code, err, out }, { code: null, err: "no end within 0.2 s", out: "begun" })
      yield* Processes.gone(marker)
    })
  )

  it.live("ends it when nobody waits any more", () =>
    Effect.gen(function* () {
      const marker = `fixture-${randomUUID()}`
      const fiber = yield* Effect.forkChild(run({ argv: sh(`: ${marker}; exec sleep 600`, marker) }), {
        startImmediately: true
      })
      yield* Fiber.interrupt(fiber)
      yield* Processes.gone(marker)
    })
  )
})
