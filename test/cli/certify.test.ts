import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import type { Report } from "../../src/certify/Report.ts"
import type { ServerOptions } from "../../src/config/ServerSpec.ts"
import * as Processes from "../support/Processes.ts"
import * as TestPool from "../support/TestPool.ts"
import * as Spawned from "./Spawned.ts"

/** A configuration in a directory of its own, and the command on it. */
const world = Effect.gen(function* () {
  const directory = yield* TestPool.temporaryDirectory
  const marker = `fixture-${randomUUID()}`
  yield* Effect.addFinalizer(() => Effect.asVoid(Processes.killAll(marker)))
  const file = path.join(directory, "mcp.json")
  const runtimeDir = path.join(directory, "run")
  const listener = path.join(directory, "s")
  const shared = (manner: string): ServerOptions => ({
    command: process.execPath,
    args: [TestPool.fixture("shared.ts"), manner, marker, listener]
  })
  const servers = {
    asks: shared("asks"),
    clean: shared("clean"),
    stuck: { ...shared("stuck"), pool: { stop: { stdin: "50 millis", term: "1 second" } } },
    lost: { command: "no-such-command" },
    speaks: { command: process.execPath, args: ["-e", "console.error('no licence'); process.exit(1)"] },
    remote: { type: "sse", url: "http://127.0.0.1:9/sse" }
  }
  fs.writeFileSync(file, JSON.stringify({ mcpServers: servers }))
  const args = (...args: ReadonlyArray<string>) => ["certify", "--config", file, "--runtime-dir", runtimeDir, ...args]
  const certify = Effect.fnUntraced(function* (...more: ReadonlyArray<string>) {
    const ended = yield* Spawned.run(args(...more))
    assert.deepStrictEqual(yield* Processes.withMarker(marker), [], "processes are left running")
    return ended
  })
  return { args, certify, listener, marker, runtimeDir }
})

describe.concurrent("certify", () => {
  it.live("prints what was looked at and the policy that follows, and changes nothing", () =>
    Effect.gen(function* () {
      const { certify, runtimeDir } = yield* world
      const { code, err, out } = yield* certify("clean")
      assert.deepStrictEqual({ code, err }, { code: 0, err: "" })
      assert.match(out, /^clean [0-9a-f]{16}, 10 scratch processes\n\nStart {9}ok {7}ready in /)
      assert.include(out, "\nTools         ok       3 of 3 tools exercised\n")
      assert.match(
        out,
        /\nrecommended: shared\n {2}each of 3 tools was exercised, .+\n {2}"pool": \{"sharing":"shared"\}\n$/
      )
      assert.isFalse(fs.existsSync(runtimeDir))
    })
  )

  it.live("remembers what asks, for a daemon with the same runtime directory", () =>
    Effect.gen(function* () {
      const { certify, runtimeDir } = yield* world
      const { code, out } = yield* certify("asks", "--json")
      const report = JSON.parse(out) as Report
      assert.deepStrictEqual([code, report.policy], [0, "lanes"])
      const file = path.join(runtimeDir, "askers", `${report.fingerprint}.json`)
      assert.deepStrictEqual(JSON.parse(fs.readFileSync(file, "utf8")), [
        { method: "tools/call", name: "form", isCertain: true },
        { method: "tools/call", name: "sample", isCertain: true }
      ])
    })
  )

  it.live("says why there is nothing to be looked at", () =>
    Effect.gen(function* () {
      const { certify } = yield* world
      const unknown = yield* certify("cleam")
      assert.strictEqual(unknown.code, 4)
      assert.include(unknown.err, 'no server "cleam": did you mean "clean"?')
      const lost = yield* certify("lost")
      assert.strictEqual(lost.code, 4)
      assert.match(lost.err, /^mcp-pool: lost does not start: .*\(command-not-found\)/)
      const speaks = yield* certify("speaks")
      assert.match(speaks.err, /^mcp-pool: speaks does not start: .+ exited with code 1 .+\n {2}\| no licence\n/)
      assert.notInclude(speaks.err, "mcp-pool logs")
      const remote = yield* certify("remote")
      assert.strictEqual(remote.code, 2)
      assert.include(remote.err, "mcp-remote")
    })
  )

  it.live("leaves nothing when it is interrupted", () =>
    Effect.gen(function* () {
      const { args, listener, marker } = yield* world
      const called = yield* Deferred.make<number>()
      yield* Effect.acquireRelease(
        Effect.sync(() =>
          net
            .createServer((socket) => {
              socket.on("data", (pid) => Deferred.doneUnsafe(called, Effect.succeed(Number(pid))))
            })
            .listen(listener)
        ),
        (server) => Effect.sync(() => server.close())
      )
      const { child, ended } = yield* Spawned.start(args("stuck"))
      const pid = yield* Deferred.await(called)
      assert.isTrue(yield* Processes.isAlive(pid))
      child.kill("SIGINT")
      const { code, out } = yield* ended
      assert.deepStrictEqual({ code, out }, { code: 130, out: "" })
      assert.isFalse(yield* Processes.isAlive(pid))
      assert.deepStrictEqual(yield* Processes.withMarker(marker), [])
    })
  )
})
