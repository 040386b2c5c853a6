import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import * as Path from "node:path"
import type { ServerOptions } from "../../src/config/ServerSpec.ts"
import * as ControlServer from "../../src/control/ControlServer.ts"
import * as Shutdown from "../../src/control/Shutdown.ts"
import { McpPool } from "../../src/McpPool.ts"
import * as Harness from "../control/ControlHarness.ts"
import * as LineClient from "../support/LineClient.ts"
import * as Processes from "../support/Processes.ts"
import * as TestPool from "../support/TestPool.ts"
import * as Tools from "../support/Tools.ts"
import { command } from "./CommandLine.ts"

/** A real pool of one server, with a control socket. */
const serve = Effect.fnUntraced(function* (server: (fixtures: TestPool.Fixtures) => ServerOptions) {
  const test = yield* TestPool.make((fixtures) => ({ one: server(fixtures) }))
  const listener = yield* Harness.listen(test.runtimeDir)
  yield* Layer.build(
    ControlServer.layer({ listener, daemon: () => Harness.facts(test.runtimeDir) }).pipe(
      Layer.provide([Layer.succeed(McpPool, test.pool), Shutdown.layer, Harness.layerReload()])
    )
  )
  return test
})

/** A server that cannot run twice at a time. */
const serveOnce = Effect.gen(function* () {
  const lockFile = Path.join(yield* TestPool.temporaryDirectory, "lock")
  return yield* serve(({ marker }) => ({
    command: process.execPath,
    args: [TestPool.fixture("once.ts"), marker, lockFile]
  }))
})

describe("restart", () => {
  it.live("fails with exit code 1 where the new process does, and leaves the old one as it was", () =>
    Effect.gen(function* () {
      const { connect, marker, pool, runtimeDir } = yield* serveOnce
      const client = yield* connect("one")
      const { pid } = yield* Tools.stats(client)
      const sleeping = yield* Effect.forkScoped(client.call("sleep", { label: "x" }, { token: 1 }))
      yield* client.notification("notifications/progress")

      const { code, err, out } = yield* command(runtimeDir, "restart", "one")
      assert.deepStrictEqual({ code, out }, { code: 1, out: "" })
      assert.match(err, /^mcp-pool: server "one" was not restarted: /)
      for (const part of ["exited with code 1", "mcp-pool restart one --now"]) assert.include(err, part)
      assert.notInclude(err, "\n")

      assert.deepStrictEqual(yield* Processes.withMarker(marker), [pid])
      assert.strictEqual(LineClient.textOf(yield* client.call("wake", { label: "x" })), "done")
      assert.strictEqual(LineClient.textOf(yield* Fiber.join(sleeping)), "woken")
      const [status] = yield* pool.status
      assert.deepInclude(status, { state: "running", pid })
      assert.deepInclude(status?.lastFailure, {
        kind: "ProcessExited",
        phase: "handshake",
        uptime: null,
        inFlight: 0,
        stderr: ["once: another process holds the lock"],
        nextAttemptAt: null
      })
      assert.notStrictEqual(status?.lastFailure?.pid, pid)

      const shown = (yield* command(runtimeDir, "status")).out
      assert.match(shown, /^one +running/m)
      assert.include(shown, "\n  │ once: another process holds the lock\n  hint: ")
      const logged = (yield* command(runtimeDir, "logs", "one")).out
      assert.match(logged, / stderr \d+ once: another process holds the lock$/m)
      assert.match(logged, / pool \d+ .*exited with code 1 before it answered initialize/m)
    })
  )

  it.live("ends the old process first where it is told to, and keeps its sessions", () =>
    Effect.gen(function* () {
      const { connect, marker, runtimeDir } = yield* serveOnce
      const client = yield* connect("one")
      const before = yield* Tools.stats(client)
      const sleeping = yield* Effect.forkScoped(client.call("sleep", {}, { token: 1 }))
      yield* client.notification("notifications/progress")
      const { code, err, out } = yield* command(runtimeDir, "restart", "one", "--now")
      const { pid } = yield* Tools.stats(client)
      assert.deepStrictEqual({ code, err, out }, { code: 0, err: "", out: `one is running, pid ${pid}` })
      assert.notStrictEqual(pid, before.pid)
      assert.deepStrictEqual(yield* Processes.withMarker(marker), [pid])
      assert.strictEqual(LineClient.kindOf(yield* Fiber.join(sleeping)), "OutcomeUnknown")
    })
  )

  it.live("lets the old process end what it has, which status shows meanwhile", () =>
    Effect.gen(function* () {
      const { connect, runtimeDir } = yield* serve(({ server }) => server("one"))
      const client = yield* connect("one")
      const before = yield* Tools.stats(client)
      yield* Effect.forkScoped(client.call("sleep", {}, { id: "sleeper", token: 1 }))
      yield* client.notification("notifications/progress")
      const { code, out } = yield* command(runtimeDir, "restart", "one")
      const { pid } = yield* Tools.stats(client)
      assert.deepStrictEqual({ code, out }, { code: 0, out: `one is running, pid ${pid}` })
      assert.notStrictEqual(pid, before.pid)
      const [head, row, draining, ...others] = (yield* command(runtimeDir, "status")).out.split("\n").slice(2)
      assert.deepStrictEqual(others, [])
      assert.match(row ?? "", new RegExp(`^one +running +${pid} `))
      assert.match(draining ?? "", new RegExp(`^└ draining +${before.pid} +\\d+s +1 +\\d+ MB$`))
      assert.strictEqual(draining?.length, head?.length)

      yield* client.notify("notifications/cancelled", { requestId: "sleeper" })
      yield* Processes.gone(before.pid)
      assert.strictEqual(LineClient.textOf(yield* client.call("echo", { text: "hi" })), "hi")
    })
  )
})
