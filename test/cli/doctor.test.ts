import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import type { ServerOptions } from "../../src/config/ServerSpec.ts"
import type { Finding } from "../../src/doctor/Finding.ts"
import * as DaemonProcess from "../support/DaemonProcess.ts"
import * as Processes from "../support/Processes.ts"
import * as TestPool from "../support/TestPool.ts"
import * as Spawned from "./Spawned.ts"

/** A configuration in a directory of its own, and the doctor's word on it. */
const world = Effect.fnUntraced(function* (
  servers: (fixtures: TestPool.Fixtures) => Readonly<Record<string, ServerOptions>>
) {
  const directory = yield* TestPool.temporaryDirectory
  const marker = `fixture-${randomUUID()}`
  const file = path.join(directory, "mcp.json")
  const runtimeDir = path.join(directory, "run")
  fs.writeFileSync(file, JSON.stringify({ mcpServers: servers(TestPool.fixtures(marker)) }))
  const doctor = Effect.fnUntraced(function* (...args: ReadonlyArray<string>) {
    const before = seen(directory)
    const ended = yield* Spawned.run(["doctor", "--config", file, "--runtime-dir", runtimeDir, ...args])
    assert.deepStrictEqual(seen(directory), before, "the doctor has changed something")
    assert.deepStrictEqual(yield* Processes.withMarker(marker), [], "processes are left running")
    return ended
  })
  return { doctor, file, runtimeDir }
})

/** All that lies in a directory. */
const seen = (directory: string) =>
  fs.readdirSync(directory, { recursive: true, encoding: "utf8" }).map((name) => {
    const { mode, mtimeMs, size } = fs.lstatSync(path.join(directory, name))
    return [name, mode, mtimeMs, size]
  })

describe("doctor", () => {
  it.live("ends with 0 where nothing is wrong, with one line for each check", () =>
    Effect.gen(function* () {
      const { doctor, file, runtimeDir } = yield* world(({ server }) => ({ one: server("one") }))
      const { code, err, out } = yield* doctor("--start")
      assert.deepStrictEqual({ code, err }, { code: 0, err: "" })
      assert.deepStrictEqual(out.replace(/\d+\.\d\d s, \d+ tools/, "0.10 s, 4 tools").split("\n"), [
        `Node           ok       Node ${process.versions.node}`,
        `Configuration  ok       1 server in ${file}`,
        `Commands       ok       ${process.execPath}`,
        `Files          ok       ${runtimeDir}, ${file}`,
        `Daemon         ok       no daemon runs: mcp-pool serve --runtime-dir ${runtimeDir} --config ${file} starts one`,
        `Sockets        ok       ${runtimeDir}/servers/one/mcp.sock is free`,
        "Leftovers      ok       nothing is left of earlier daemons",
        "Starts         ok",
        "  one  ready in 0.10 s, 4 tools",
        "Hosts          ok       without a daemon connect --no-start ends with code 3 and says so",
        "",
        "nothing is wrong",
        ""
      ])
    })
  )

  it.live("ends with 1 where something is, and says what mends it", () =>
    Effect.gen(function* () {
      const { doctor } = yield* world(({ bad }) => ({
        fails: bad("exits"),
        lost: { command: "no-such-command" }
      }))
      const { code, err, out } = yield* doctor("--start")
      assert.deepStrictEqual({ code, err }, { code: 1, err: "mcp-pool: the doctor found 2 problems\n" })
      assert.match(
        out,
        /^Commands {7}problem {2}1 other is well\n {2}✗ lost: "no-such-command" is not on its PATH\n {4}mend: /m
      )
      assert.match(out, /^Starts {9}problem\n {2}✗ fails: .+ exited with code 3 .+\n {4}mend: /m)
      assert.notInclude(out, "nothing is wrong")
    })
  )

  it.live("prints every finding for programs, of the named servers only", () =>
    Effect.gen(function* () {
      const { doctor } = yield* world(({ server }) => ({ one: server("one"), lost: { command: "no-such-command" } }))
      const { code, out } = yield* doctor("--json", "one")
      assert.strictEqual(code, 0)
      const findings: ReadonlyArray<Finding> = JSON.parse(out)
      assert.isTrue(findings.every(({ mend, ok }) => ok === "ok" && mend === null))
      assert.deepStrictEqual(
        findings.map(({ check }) => check),
        ["node", "configuration", "commands", "files", "files", "daemon", "sockets", "leftovers", "connect"]
      )
      const all = yield* doctor("--json")
      assert.strictEqual(all.code, 1)
      const problem = (JSON.parse(all.out) as ReadonlyArray<Finding>).find(({ ok }) => ok === "problem")
      assert.deepStrictEqual(Object.keys(problem ?? {}), ["check", "subject", "ok", "message", "mend"])
      assert.strictEqual(problem?.subject, "lost")
    })
  )

  it.live("does not fail for warnings", () =>
    Effect.gen(function* () {
      const { doctor, runtimeDir } = yield* world(({ server }) => ({ one: server("one") }))
      fs.mkdirSync(runtimeDir, { mode: 0o755 })
      fs.chmodSync(runtimeDir, 0o755)
      const { code, out } = yield* doctor()
      assert.strictEqual(code, 0)
      assert.match(out, /\nnothing is wrong, 1 warning \(--start also starts each server for a moment\)\n$/)
    })
  )

  it.live("ends with 4 for a name that is not configured", () =>
    Effect.gen(function* () {
      const { doctor } = yield* world(({ server }) => ({ one: server("one") }))
      const { code, err, out } = yield* doctor("onee")
      assert.deepStrictEqual({ code, out }, { code: 4, out: "" })
      assert.strictEqual(err, 'mcp-pool: no server "onee": did you mean "one"? there are one\n')
    })
  )

  it.live("starts nothing that a running daemon has, and asks it as a host does", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const { configFile } = yield* DaemonProcess.start(runtimeDir)
      const args = ["doctor", "--config", configFile, "--runtime-dir", runtimeDir, "--start"]
      const { code, err, out } = yield* Spawned.run(args)
      assert.deepStrictEqual({ code, err }, { code: 0, err: "" })
      assert.match(out, /^Daemon {9}ok {7}a daemon of version .+: 1 of 1 servers run$/m)
      assert.match(out, /^ {2}shared {2}not started: the daemon has it running, pid \d+/m)
      assert.match(out, /^Hosts {10}ok {7}a host's connect shared is answered within \d+ ms$/m)
    })
  )
})
