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

  it("shows where HTTP is served beside the daemon", () => {
    const [head] = statusLines({ ...status(), http: { url: "http://127.0.0.1:8080" } }, plain)
    assert.strictEqual(head, "mcp-pool 1.2.3 · pid 4242 · up 3m 12s · http://127.0.0.1:8080 · /run/pool")
  })

  it("shows a project's server with ~ for the home directory", () => {
    const server = Harness.server("git@/home/ada/site")
    const rows = (home: string) => statusLines(status(server), { ...plain, home }).slice(3)
    assert.match(rows("/home/ada")[0]!, /^git@~\/site  running/)
    assert.match(rows("/home/bob")[0]!, /^git@\/home\/ada\/site  running/)
  })

  it("shows why a server failed, and what to do, below its row", () => {
    const [, , , row, failure, hint] = statusLines(status(Harness.failed("nope")), plain)
    assert.strictEqual(row, "nope    failed    -       -         0         0          0      -       -")
    assert.strictEqual(failure, '  server "nope" did not start: nope: ENOENT (command-not-found), 3m 12s ago')
    assert.strictEqual(hint, "  hint: is nope on the PATH?")
  })

  it("shows what a failure was classified as, what was lost, and the last lines that the process wrote", () => {
    const lastFailure = Harness.failure({
      classification: "port-in-use",
      inFlight: 2,
      stderr: ["first", "second", "\tat \x1b[31mlisten\x1b[0m\x1b[2J (net.js)", "漢字".repeat(20)],
      hint: "end what holds the port",
      nextAttemptAt: "2026-01-01T00:08:12.500Z"
    })
    const server = Harness.server("git", { state: "crash-loop", processes: [], lastFailure })
    assert.deepStrictEqual(statusLines(status(server), { ...plain, width: 40 }).slice(4), [
      '  server "git" exited with code 3 (port-in-use), 2 requests lost, 3m 12s ago',
      "  │ second",
      "  │ at listen[2J (net.js)",
      `  │ ${"漢字".repeat(8)}漢…`,
      "  hint: end what holds the port",
      "  next attempt in 5m 0s"
    ])
  })

  it("shows one line for a failure that a server which runs has left behind", () => {
    const below = (state: ServerStatus["state"], at: string) => {
      const lastFailure = Harness.failure({ at, inFlight: 1, stderr: ["trace"], hint: "a hint" })
      const server = Harness.server("git", { state, lastFailure, processes: [] })
      return statusLines(status(server), { now, paint: paint(true) }).slice(4)
    }
    const long = ["\x1b[2m│ trace\x1b[0m", "hint: a hint"]
    assert.deepStrictEqual(below("running", "2025-12-31T23:53:12.400Z"), [
      '  \x1b[2mserver "git" exited with code 3, 1 request lost, 10m 0s ago\x1b[0m'
    ])
    for (const lines of [
      below("running", "2025-12-31T23:53:12.500Z"),
      below("restarting", "2025-12-31T00:00:00.000Z"),
      below("stopped", "2025-12-31T00:00:00.000Z")
    ]) {
      assert.deepStrictEqual(
        lines.slice(1).map((line) => line.trim()),
        long
      )
    }
  })

  it("shows a row for each process that ends what it has", () => {
    const process = (pid: number, inFlight: number, seconds: number, draining = true) => ({
      pid,
      draining,
      startedAt: new Date(now - seconds * 1000).toISOString(),
      memory: 20_000_000,
      inFlight
    })
    const [newest, older, oldest] = [process(30, 1, 5, false), process(20, 2, 70), process(10, 0, 7500)]
    const rolling = Harness.server("git", {
      inFlight: 3,
      processes: [newest, older, oldest],
      lastFailure: Harness.failure({ at: "2025-12-31T00:00:00.000Z" })
    })
    const crashed = Harness.server("time", { state: "restarting", pid: 20, processes: [older], inFlight: 2 })
    assert.deepStrictEqual(statusLines(status(rolling, crashed), plain).slice(2), [
      "SERVER      STATE       PID  UPTIME  RESTARTS  SESSIONS  IN FLIGHT  TOOLS  MEMORY",
      "git         running      30      5s         0         2          3      3   60 MB",
      "└ draining               20  1m 10s                              2          20 MB",
      "└ draining               10   2h 5m                              0          20 MB",
      '  server "git" exited with code 3, 1d 0h ago',
      "time        restarting    -       -         0         2          2      3   20 MB",
      "└ draining               20  1m 10s                              2          20 MB"
    ])
  })

  it("shows when the next attempt is, while it lies ahead", () => {
    const { lastFailure } = Harness.failed("git")
    const at = (nextAttemptAt: string) =>
      statusLines(status(Harness.server("git", { lastFailure: { ...lastFailure!, nextAttemptAt } })), plain).join("\n")
    assert.include(at("2026-01-01T00:03:20.500Z"), "next attempt in 8s")
    assert.notInclude(at("2026-01-01T00:03:12.000Z"), "next attempt")
  })

  it("adds up the memory of several processes, where it is known", () => {
    const process = (memory: number | null) => ({
      pid: 1,
      startedAt: "2026-01-01T00:00:00.000Z",
      memory,
      inFlight: 0,
      draining: false
    })
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
    const asleep = Harness.server("git", { state: "stopped", asleep: true })
    assert.strictEqual(line(asleep), "git is stopped, and starts with its next call")
    assert.strictEqual(statusLines(status(asleep), { now, paint: paint(false) }).at(-1), "  starts with its next call")
    assert.strictEqual(
      line(Harness.failed("nope")),
      'nope is failed: server "nope" did not start: nope: ENOENT (command-not-found): is nope on the PATH?'
    )
  })

  it("says each step on a line", () => {
    const step = {
      server: "git",
      from: "running",
      at: "2026-01-01T00:00:00.000Z",
      pid: null,
      cause: "failure",
      place: 0,
      failure: null
    } as const
    assert.strictEqual(
      changeLine({ ...step, to: "restarting", failure: Harness.failed("git").lastFailure }, paint(false)),
      '2026-01-01T00:00:00.000Z git running -> restarting: server "git" did not start: nope: ENOENT (command-not-found): is nope on the PATH?'
    )
    const end = Harness.failure({ hint: "see what it printed" })
    assert.strictEqual(
      changeLine({ ...step, to: "crash-loop", failure: end }, paint(false)),
      '2026-01-01T00:00:00.000Z git running -> crash-loop: server "git" exited with code 3: see what it printed'
    )
    assert.strictEqual(
      changeLine({ ...step, from: "restarting", to: "running", pid: 7 }, paint(false)),
      "2026-01-01T00:00:00.000Z git restarting -> running pid 7"
    )
    assert.strictEqual(
      changeLine({ ...step, cause: "age", to: "running", pid: 8 }, paint(false)),
      "2026-01-01T00:00:00.000Z git running -> running pid 8"
    )
    assert.strictEqual(
      changeLine({ ...step, to: "running", pid: 8, failure: Harness.failure() }, paint(false)),
      '2026-01-01T00:00:00.000Z git stays running pid 8, was not replaced: server "git" exited with code 3'
    )
  })
})
