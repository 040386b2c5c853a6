import { assert, describe, it } from "@effect/vitest"
import { changeLine, stateLine, statusLines } from "../../src/cli/statusView.ts"
import { paint } from "../../src/cli/Text.ts"
import type { DaemonStatus } from "../../src/control/ControlApi.ts"
import type { ServerStatus } from "../../src/PoolStatus.ts"
import * as Harness from "../control/ControlHarness.ts"

const now = Date.parse("2026-01-01T00:03:12.500Z")
const plain = { now, paint: paint(false) }
const status = (...servers: ReadonlyArray<ServerStatus>): DaemonStatus => ({ ...Harness.facts("/run/pool"), servers })

describe("statusView", () => {
  it("shows the daemon on a line and each server in a row", () => {
    assert.deepStrictEqual(
      statusLines(status(Harness.server("git"), Harness.server("time", { sessions: 10 })), plain),
      [
        "mcp-pool 1.2.3 · pid 4242 · up 3m 12s · /run/pool",
        "",
        "SERVER  STATE     PID  UPTIME  RESTARTS  SESSIONS  IN FLIGHT  TOOLS  MEMORY",
        "git     running  4711  3m 12s         0         2          1      3   50 MB",
        "time    running  4711  3m 12s         0        10          1      3   50 MB"
      ]
    )
  })

  it("shows why a server failed, and what to do, below its row", () => {
    const [, , , row, failure, hint] = statusLines(status(Harness.failed("nope")), plain)
    assert.strictEqual(row, "nope    failed    -       -         0         0          0      -       -")
    assert.strictEqual(failure, '  server "nope" did not start: nope: ENOENT, 3m 12s ago')
    assert.strictEqual(hint, "  hint: is nope on the PATH?")
  })

  it("shows when the next attempt is, while it lies ahead", () => {
    const { lastFailure } = Harness.failed("git")
    const at = (nextAttemptAt: string) =>
      statusLines(status(Harness.server("git", { lastFailure: { ...lastFailure!, nextAttemptAt } })), plain).join("\n")
    assert.include(at("2026-01-01T00:03:20.500Z"), "next attempt in 8s")
    assert.notInclude(at("2026-01-01T00:03:12.000Z"), "next attempt")
  })

  it("adds up the memory of several processes, where it is known", () => {
    const process = (memory: number | null) => ({ pid: 1, startedAt: "2026-01-01T00:00:00.000Z", memory, inFlight: 0 })
    const shown = (...memory: ReadonlyArray<number | null>) =>
      statusLines(status(Harness.server("git", { processes: memory.map(process) })), plain)[3]!
        .split(/ {2,}/)
        .at(-1)
    assert.strictEqual(shown(10_000_000, 20_000_000), "30 MB")
    assert.strictEqual(shown(10_000_000, null), "10 MB")
    assert.strictEqual(shown(null), "-")
  })

  it("says so where no server is configured", () => {
    assert.strictEqual(statusLines(status(), plain).at(-1), "no server is configured")
  })

  it("colours states", () => {
    const colours = { now, paint: paint(true) }
    const lines = statusLines(status(Harness.server("git"), Harness.failed("nope")), colours).join("\n")
    assert.include(lines, "\x1b[32mrunning\x1b[0m")
    assert.include(lines, "\x1b[31mfailed\x1b[0m")
  })

  it("says what became of a server", () => {
    const line = (server: ServerStatus) => stateLine(server, paint(false))
    assert.strictEqual(line(Harness.server("git")), "git is running, pid 4711")
    assert.strictEqual(line(Harness.server("git", { state: "stopped" })), "git is stopped")
    assert.strictEqual(
      line(Harness.failed("nope")),
      'nope is failed: server "nope" did not start: nope: ENOENT (is nope on the PATH?)'
    )
  })

  it("says each step on a line", () => {
    const step = { server: "git", from: "running", at: "2026-01-01T00:00:00.000Z", pid: null, failure: null } as const
    assert.strictEqual(
      changeLine({ ...step, to: "restarting", failure: Harness.failed("git").lastFailure }, paint(false)),
      '2026-01-01T00:00:00.000Z git running -> restarting: server "git" did not start: nope: ENOENT (is nope on the PATH?)'
    )
    assert.strictEqual(
      changeLine({ ...step, from: "restarting", to: "running", pid: 7 }, paint(false)),
      "2026-01-01T00:00:00.000Z git restarting -> running pid 7"
    )
  })
})
