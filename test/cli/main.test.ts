import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { version } from "../../src/version.ts"
import * as Harness from "../control/ControlHarness.ts"
import * as Spawned from "./Spawned.ts"

describe("mcp-pool", () => {
  it.live("prints its version", () =>
    Effect.gen(function* () {
      const { code, out } = yield* Spawned.run(["--version"])
      assert.deepStrictEqual({ code, out }, { code: 0, out: `mcp-pool v${version}\n` })
    })
  )

  it.live("prints help that names every command", () =>
    Effect.gen(function* () {
      const { code, out, err } = yield* Spawned.run(["--help"])
      assert.deepStrictEqual({ code, err }, { code: 0, err: "" })
      for (const name of "serve status logs start stop restart shutdown connect config call tools sessions".split(
        " "
      )) {
        assert.match(out, new RegExp(`^  ${name} `, "m"))
      }
    })
  )

  it.live("prints completions", () =>
    Effect.gen(function* () {
      const { code, out } = yield* Spawned.run(["--completions", "bash"])
      assert.strictEqual(code, 0)
      assert.include(out, "mcp-pool")
    })
  )

  it.live("ends with 2 for what it does not understand, and says so on one line", () =>
    Effect.gen(function* () {
      const { code, out, err } = yield* Spawned.run(["stauts"])
      assert.deepStrictEqual({ code, out }, { code: 2, out: "" })
      assert.strictEqual(
        err,
        'mcp-pool: unknown command "stauts", did you mean status or start? (see "mcp-pool --help")\n'
      )
    })
  )

  it.live("ends with 3 where no daemon is", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* Harness.temporaryDirectory
      const { code, out, err } = yield* Spawned.run(["status", "--runtime-dir", runtimeDir])
      assert.deepStrictEqual({ code, out }, { code: 3, out: "" })
      assert.strictEqual(err, `mcp-pool: no daemon at ${runtimeDir}: start one with "mcp-pool serve"\n`)
    })
  )

  it.live("writes all of a long output before it ends with an error", () =>
    Effect.gen(function* () {
      const text = "x".repeat(1024 * 1024)
      const at = "2026-01-01T00:00:00.000Z"
      const { runtimeDir, close } = yield* Harness.serve({
        servers: [Harness.server("git")],
        logs: [{ at, source: "stderr", pid: null, text }]
      })
      const { ended, line } = yield* Spawned.start(["logs", "git", "--follow", "--runtime-dir", runtimeDir])
      yield* line
      yield* close
      const { code, out } = yield* ended
      assert.strictEqual(code, 3)
      assert.strictEqual(out, `${at} stderr ${text}\n`)
    })
  )

  it.live("ends quietly when nobody reads its output any more", () =>
    Effect.gen(function* () {
      const logs = Array.from({ length: 2000 }, () => ({
        at: "2026-01-01T00:00:00.000Z",
        source: "stderr" as const,
        pid: 1,
        text: "x".repeat(1000)
      }))
      const { runtimeDir } = yield* Harness.serve({ servers: [Harness.server("git")], logs })
      const { child, ended } = yield* Spawned.start(["logs", "git", "--follow", "--runtime-dir", runtimeDir])
      child.stdout.destroy()
      const { code, err } = yield* ended
      assert.deepStrictEqual({ code, err }, { code: 0, err: "" })
    })
  )

  it.live("ends by SIGINT and SIGTERM with the code that shells give them", () =>
    Effect.gen(function* () {
      const logs = [{ at: "2026-01-01T00:00:00.000Z", source: "stderr" as const, pid: 1, text: "hello" }]
      const { runtimeDir } = yield* Harness.serve({ servers: [Harness.server("git")], logs })
      for (const [signal, expected] of [
        ["SIGINT", 130],
        ["SIGTERM", 143]
      ] as const) {
        const { child, ended, line } = yield* Spawned.start(["logs", "git", "-f", "--runtime-dir", runtimeDir])
        yield* line
        child.kill(signal)
        assert.strictEqual((yield* ended).code, expected)
      }
    })
  )
})
