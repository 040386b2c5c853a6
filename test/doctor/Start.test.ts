import { assert, describe, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { randomUUID } from "node:crypto"
import * as path from "node:path"
import * as PoolConfig from "../../src/config/PoolConfig.ts"
import type { ServerOptions } from "../../src/config/ServerSpec.ts"
import * as Daemon from "../../src/doctor/Daemon.ts"
import * as Shell from "../../src/Shell.ts"
import * as Start from "../../src/doctor/Start.ts"
import * as Harness from "../control/ControlHarness.ts"
import * as Processes from "../support/Processes.ts"
import * as TestPool from "../support/TestPool.ts"
import { commands, ill } from "./Say.ts"

/** Starts the servers; that nothing of them is left is asserted for every test. */
const check = Effect.fnUntraced(function* (
  servers: (fixtures: TestPool.Fixtures) => Readonly<Record<string, ServerOptions>>,
  runtimeDir?: string
): Effect.fn.Return<Effect.Success<ReturnType<typeof Start.check>>, never, Scope.Scope> {
  const marker = `fixture-${randomUUID()}`
  yield* Effect.addFinalizer(() => Effect.asVoid(Processes.killAll(marker)))
  const config = yield* Effect.orDie(PoolConfig.fromServers(servers(TestPool.fixtures(marker))))
  const specs = config.servers.flatMap((entry) => (entry._tag === "Configured" ? [entry.spec] : []))
  const daemon = yield* Daemon.ask(runtimeDir ?? path.join(yield* TestPool.temporaryDirectory, "none"))
  const findings = yield* Start.check({ specs, daemon, commands })
  assert.deepStrictEqual(yield* Processes.withMarker(marker), [], "processes are left running")
  return findings
})

describe("Start", () => {
  it.live("tells how long each took, and how many tools it has", () =>
    Effect.gen(function* () {
      const findings = yield* check(({ server }) => ({
        one: server("one"),
        strict: server("strict", { requiredTools: ["echo"] }),
        // The same process as the first.
        same: server("one")
      }))
      assert.deepStrictEqual(
        findings.map(({ message, ok, subject }) => [ok, subject, message.replace(/\d+\.\d+ s/, "0.10 s")]),
        ["one", "strict", "same"].map((name) => ["ok", name, findings[0]!.message.replace(/\d+\.\d+ s/, "0.10 s")])
      )
      assert.match(findings[0]!.message, /^ready in \d+\.\d\d s, \d+ tools$/)
    })
  )

  it.live("explains those that fail, with what they wrote last", () =>
    Effect.gen(function* () {
      const findings = yield* check(({ bad, server }) => ({
        well: server("well"),
        exits: bad("exits"),
        silent: bad("silent", { startTimeout: "200 millis" }),
        lacks: server("lacks", { requiredTools: ["echo", "fly"] }),
        speaks: {
          command: process.execPath,
          args: ["-e", "console.error('\\x1b[31mError: Cannot find module \\'left-pad\\'\\x1b[0m'); process.exit(1)"]
        },
        nowhere: { command: "no-such-command" }
      }))
      const said = new Map(ill(findings).map(([ok, subject, message, mend]) => [subject, { ok, message, mend }]))
      assert.deepStrictEqual([...said.keys()].sort(), ["exits", "lacks", "nowhere", "silent", "speaks"])
      assert.isTrue([...said.values()].every(({ ok }) => ok === "problem"))
      assert.include(said.get("exits")?.message, "exited with code 3 before it answered initialize")
      assert.include(said.get("silent")?.message, "(timeout)")
      assert.strictEqual(
        said.get("silent")?.mend,
        "raise pool.startTimeout if it only starts slowly, or see what it printed"
      )
      assert.include(said.get("lacks")?.message, "lacks tool fly")
      assert.include(said.get("lacks")?.mend, "pool.requiredTools")
      const [first, second] = said.get("speaks")?.message.split("\n") ?? []
      assert.include(first, "(missing-module)")
      assert.strictEqual(second, "Error: Cannot find module 'left-pad'")
      assert.strictEqual(
        said.get("speaks")?.mend,
        'install "left-pad" where it runs or reinstall the server, then run mcp-pool doctor --start speaks'
      )
      assert.include(said.get("nowhere")?.message, "(command-not-found)")
    })
  )

  it.live("leaves nothing of a server that starts others", () =>
    Effect.gen(function* () {
      const findings = yield* check(({ bad }) => ({
        parent: bad("parent", { stop: { stdin: "50 millis", term: "50 millis" } })
      }))
      assert.deepStrictEqual(ill(findings), [])
    })
  )

  it.live("does not start beside the daemon's own process", () =>
    Effect.gen(function* () {
      const servers = [Harness.server("one"), Harness.failed("two")]
      const { runtimeDir } = yield* Harness.serve({ servers })
      const findings = yield* check(({ bad, server }) => ({ one: bad("exits"), two: server("two") }), runtimeDir)
      assert.strictEqual(findings[0]?.message, "not started: the daemon has it running, pid 4711, 3 tools")
      assert.match(findings[1]?.message ?? "", /^ready in /)
    })
  )

  it("gives the hints of the daemon's failures in the doctor's words", () => {
    const own = Shell.commands({ runtimeDir: "/run/pool", configFiles: ["/my file"] })
    const words = (hint: string) => Start.inOtherWords(hint, "git", own)
    assert.strictEqual(words("see what it printed: mcp-pool logs git"), "see what it printed")
    assert.strictEqual(words("update it: mcp-pool logs git may tell more"), "update it: what it printed may tell more")
    assert.strictEqual(
      words("start Docker, then run mcp-pool restart git"),
      "start Docker, then run mcp-pool doctor --runtime-dir /run/pool --config '/my file' --start git"
    )
  })
})
