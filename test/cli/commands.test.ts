import { assert, describe, it } from "@effect/vitest"
import { Console, Effect, Fiber, Queue } from "effect"
import { codeOf } from "../../src/cli/runMain.ts"
import { run } from "../../src/cli/tree.ts"
import { RestartFailed } from "../../src/PoolError.ts"
import type { ToolStatus } from "../../src/PoolStatus.ts"
import * as Harness from "../control/ControlHarness.ts"
import { command, environment } from "./CommandLine.ts"

const tool = (server: string, name: string, description: string | null): ToolStatus => ({
  server,
  name,
  title: null,
  description,
  inputSchema: { type: "object" }
})

describe("commands", () => {
  it.live("say what to do where no daemon is, with exit code 3", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* Harness.temporaryDirectory
      for (const args of [
        ["status"],
        ["status", "--json"],
        ["status", "--watch"],
        ["status", "--wait", "60ms"],
        ["tools"],
        ["types"],
        ["sessions"],
        ["logs", "git"],
        ["start", "git"],
        ["stop", "git"],
        ["restart", "git"],
        ["shutdown"],
        ["config"],
        ["call", "git", "log"]
      ]) {
        assert.deepStrictEqual(yield* command(runtimeDir, ...args), {
          code: 3,
          out: "",
          err: `mcp-pool: no daemon at ${runtimeDir}: start one with "mcp-pool serve"`
        })
      }
    })
  )

  it.live("name the servers that exist where one does not, with exit code 4", () =>
    Effect.gen(function* () {
      const { runtimeDir } = yield* Harness.serve({ servers: [Harness.server("git"), Harness.server("time")] })
      for (const args of [
        ["tools", "got"],
        ["types", "got"],
        ["logs", "got"],
        ["start", "got"],
        ["stop", "got"],
        ["restart", "got"],
        ["call", "got", "log"]
      ]) {
        assert.deepStrictEqual(yield* command(runtimeDir, ...args), {
          code: 4,
          out: "",
          err: 'mcp-pool: no server "got": did you mean "git"? there are git, time'
        })
      }
    })
  )

  describe("status", () => {
    it.live("prints the document for programs", () =>
      Effect.gen(function* () {
        const servers = [Harness.server("git"), Harness.failed("nope")]
        const { runtimeDir } = yield* Harness.serve({ servers })
        const { code, out } = yield* command(runtimeDir, "status", "--json")
        assert.strictEqual(code, 0)
        assert.deepStrictEqual(JSON.parse(out), { ...Harness.facts(runtimeDir), servers })
      })
    )

    it.live("prints a table for people", () =>
      Effect.gen(function* () {
        const { runtimeDir } = yield* Harness.serve({ servers: [Harness.server("git")] })
        const { out } = yield* command(runtimeDir, "status")
        assert.match(out, /^mcp-pool 1\.2\.3 · pid 4242 · up .+\n\nSERVER .+\ngit +running +4711/)
      })
    )

    it.live("returns from --wait when the servers have settled", () =>
      Effect.gen(function* () {
        const { runtimeDir } = yield* Harness.serve({ servers: [Harness.server("git")] })
        const { code, out } = yield* command(runtimeDir, "status", "--wait", "30s", "--json")
        assert.strictEqual(code, 0)
        assert.strictEqual(JSON.parse(out).servers[0].state, "running")
      })
    )

    it.live("names those that have not settled in time, with exit code 1", () =>
      Effect.gen(function* () {
        const servers = [Harness.server("git"), Harness.server("slow", { state: "starting" })]
        const { runtimeDir } = yield* Harness.serve({ servers, unsettled: true })
        const { code, err } = yield* command(runtimeDir, "status", "--wait", "50 ms")
        assert.deepStrictEqual({ code, err }, { code: 1, err: "mcp-pool: not settled in time: slow" })
      })
    )

    it.live("prints the states and then each change until the daemon is gone", () =>
      Effect.gen(function* () {
        const daemon = yield* Harness.serve({ servers: [Harness.server("git")] })
        const lines = yield* Queue.unbounded<string>()
        const nextLine = Effect.map(Queue.take(lines), (line) => line.replace(/^\S+ /, ""))
        const watch = yield* run(["status", "--watch", "--runtime-dir", daemon.runtimeDir]).pipe(
          Effect.provideService(Console.Console, {
            ...globalThis.console,
            log: (line: string) => Queue.offerUnsafe(lines, line)
          }),
          Effect.provide(environment),
          Effect.flip,
          Effect.forkChild
        )
        assert.strictEqual(yield* nextLine, "git is running, pid 4711")
        yield* daemon.step("git", "restarting")
        assert.strictEqual(yield* nextLine, "git running -> restarting")
        yield* daemon.step("git", "running")
        assert.strictEqual(yield* nextLine, "git restarting -> running pid 4711")
        yield* daemon.close
        const error = yield* Fiber.join(watch)
        assert.strictEqual(codeOf(error), 3)
        assert.strictEqual(error.message, `the daemon at ${daemon.runtimeDir} closed the connection`)
      })
    )
  })

  describe("start, stop and restart", () => {
    it.live("print what became of the server", () =>
      Effect.gen(function* () {
        const { runtimeDir } = yield* Harness.serve({ servers: [Harness.server("git")] })
        assert.strictEqual((yield* command(runtimeDir, "stop", "git")).out, "git is stopped")
        assert.strictEqual((yield* command(runtimeDir, "start", "git")).out, "git is running, pid 4711")
        assert.strictEqual((yield* command(runtimeDir, "restart", "git")).out, "git is running, pid 4711")
      })
    )

    it.live("fail with exit code 4 where the server should run and has given up", () =>
      Effect.gen(function* () {
        const { runtimeDir } = yield* Harness.serve({ servers: [Harness.server("git")], becomes: "failed" })
        for (const verb of ["start", "restart"]) {
          const { code, out, err } = yield* command(runtimeDir, verb, "git")
          assert.deepStrictEqual({ code, out }, { code: 4, out: "" })
          assert.strictEqual(
            err,
            'mcp-pool: git is failed: server "git" did not start: nope: ENOENT (command-not-found): is nope on the PATH?'
          )
        }
      })
    )

    it.live("fail with exit code 1 where a new process did not come to pass and the old one goes on", () =>
      Effect.gen(function* () {
        const restartFails = new RestartFailed({ server: "git", reason: "it fell", hint: "pick it up" })
        const { runtimeDir } = yield* Harness.serve({ servers: [Harness.server("git")], restartFails })
        assert.deepStrictEqual(yield* command(runtimeDir, "restart", "git"), {
          code: 1,
          out: "",
          err: `mcp-pool: ${restartFails.message}`
        })
        assert.strictEqual((yield* command(runtimeDir, "restart", "git", "--now")).out, "git is running, pid 4711")
      })
    )
  })

  it.live("list tools as a table and as JSON, of one server or of all", () =>
    Effect.gen(function* () {
      const tools = [tool("git", "log", "Shows the log.\nAnd more."), tool("time", "now", null)]
      const { runtimeDir } = yield* Harness.serve({ servers: [Harness.server("git"), Harness.server("time")], tools })
      assert.strictEqual(
        (yield* command(runtimeDir, "tools")).out,
        ["SERVER  TOOL  DESCRIPTION", "git     log   Shows the log.", "time    now"].join("\n")
      )
      assert.deepStrictEqual(JSON.parse((yield* command(runtimeDir, "tools", "time", "--json")).out), [tools[1]])
    })
  )

  it.live("list sessions as a table and as JSON", () =>
    Effect.gen(function* () {
      const since = "2026-01-01T00:00:00.000Z"
      const sessions = [{ id: 3, server: "git", client: null, version: null, since, inFlight: 0, calls: 7 }]
      const { runtimeDir } = yield* Harness.serve({ servers: [Harness.server("git")], sessions })
      assert.match((yield* command(runtimeDir, "sessions")).out, /^ID +SERVER.+\n 3 +git +- +- +\S+ \S+ +0 +7$/)
      assert.deepStrictEqual(JSON.parse((yield* command(runtimeDir, "sessions", "--json")).out), sessions)
    })
  )

  it.live("print a server's log without what would steer a terminal", () =>
    Effect.gen(function* () {
      const at = "2026-01-01T00:00:00.000Z"
      const logs = [
        { at, source: "stderr" as const, pid: 7, text: "hello\x1b[2J" },
        { at, source: "pool" as const, pid: null, text: "stopped" }
      ]
      const { runtimeDir } = yield* Harness.serve({ servers: [Harness.server("git")], logs })
      assert.strictEqual((yield* command(runtimeDir, "logs", "git")).out, `${at} stderr 7 hello[2J\n${at} pool stopped`)
    })
  )

  it.live("print the entries of the daemon's servers, or of those named without a daemon", () =>
    Effect.gen(function* () {
      const { runtimeDir } = yield* Harness.serve({ servers: [Harness.server("git"), Harness.server("time")] })
      const all = JSON.parse((yield* command(runtimeDir, "config")).out)
      assert.deepStrictEqual(Object.keys(all.mcpServers), ["git", "time"])
      assert.strictEqual(all.mcpServers.git.command, process.execPath)
      assert.deepStrictEqual(all.mcpServers.git.args.slice(1), ["connect", "git", "--runtime-dir", runtimeDir])
      const elsewhere = yield* Harness.temporaryDirectory
      const one = yield* command(elsewhere, "config", "--for", "vscode", "other")
      assert.deepStrictEqual(Object.keys(JSON.parse(one.out).servers), ["other"])
    })
  )

  it.live("shut the daemon down and return when it is gone", () =>
    Effect.gen(function* () {
      const daemon = yield* Harness.serve({ servers: [] })
      yield* daemon.shutdown.requested.pipe(Effect.andThen(daemon.close), Effect.forkChild)
      const { code, out } = yield* command(daemon.runtimeDir, "shutdown")
      assert.deepStrictEqual({ code, out }, { code: 0, out: "the daemon has stopped, pid 4242" })
      assert.strictEqual((yield* command(daemon.runtimeDir, "status")).code, 3)
    })
  )

  it.live("hand the daemon over, and say what was drained and what was cut off", () =>
    Effect.gen(function* () {
      const cutOff = [
        { server: "git", client: "claude-code", calls: 2 },
        { server: "time", client: null, calls: 1 }
      ]
      const daemon = yield* Harness.serve({ servers: [], drained: { sessions: 3, calls: 4, cutOff } })
      yield* daemon.shutdown.requested.pipe(Effect.andThen(daemon.close), Effect.forkChild)
      const { code, out } = yield* command(daemon.runtimeDir, "shutdown", "--handover", "--timeout", "2s")
      assert.deepStrictEqual(
        { code, out: out.split("\n") },
        {
          code: 0,
          out: [
            "drained 3 sessions, 4 calls in flight",
            "cut off after 2s: 2 calls of claude-code to git",
            "cut off after 2s: 1 call of a client to time",
            "the daemon has stopped, pid 4242"
          ]
        }
      )
    })
  )

  it.live("refuse what they do not understand on one line, with exit code 2", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* Harness.temporaryDirectory
      const problems: ReadonlyArray<readonly [args: ReadonlyArray<string>, problem: string]> = [
        [["stauts"], 'unknown command "stauts", did you mean status or start?'],
        [["status", "--jsn"], "unknown flag --jsn, did you mean --json?"],
        [["status", "--wait", "soon"], 'invalid value for flag --wait: "soon". Expected: a duration such as 30s'],
        [["start"], "missing required argument: SERVER"],
        [["call", "git", "log", "--args", "[1]"], 'invalid value for flag --args: "[1]". Expected: a JSON object'],
        [["call", "git", "log", "--args", "{"], 'invalid value for flag --args: "{". Expected: a JSON object'],
        [["config", "--for", "emacs"], 'invalid value for flag --for: "emacs"']
      ]
      for (const [args, problem] of problems) {
        const { code, out, err } = yield* command(runtimeDir, ...args)
        assert.deepStrictEqual({ code, out }, { code: 2, out: "" })
        assert.include(err, `mcp-pool: ${problem}`)
        assert.notInclude(err, "\n")
      }
    })
  )
})
