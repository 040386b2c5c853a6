import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { randomUUID } from "node:crypto"
import * as McpPool from "../src/McpPool.ts"
import * as McpProxy from "../src/McpProxy.ts"
import * as Proxy from "./suites/Proxy.ts"
import * as DaemonProcess from "./support/DaemonProcess.ts"
import * as Processes from "./support/Processes.ts"
import * as ScriptedServers from "./support/ScriptedServers.ts"
import * as TestPool from "./support/TestPool.ts"

/** Nothing of a test's servers may be left when its scope closes. */
const marked = Effect.gen(function* () {
  const marker = `fixture-${randomUUID()}`
  yield* Effect.addFinalizer(() =>
    Effect.map(Processes.killAll(marker), (pids) => assert.deepStrictEqual(pids, [], "processes are left running"))
  )
  return marker
})

describe("McpProxy.layer", () => {
  Proxy.suite(
    Effect.fnUntraced(function* (servers) {
      return McpProxy.layer({ servers: yield* Proxy.processes(yield* marked, servers) })
    })
  )

  it.live("runs where one server of several has started", () =>
    Effect.gen(function* () {
      const { server } = TestPool.fixtures(yield* marked)
      const layer = McpProxy.layer({ servers: { bad: { command: "/no/such/command" }, good: server("good") } })
      yield* Effect.gen(function* () {
        const proxy = yield* McpProxy.McpProxy
        assert.strictEqual(Proxy.textOf(yield* proxy.executeTool("echo", { text: "hi" })), "hi")
        const { message } = yield* Effect.flip(proxy.executeTool("ecco"))
        assert.include(message, "bad listed no tools")
      }).pipe(Effect.provide(layer))
    })
  )

  it.live("fails where none of several has started, with each failure", () =>
    Effect.gen(function* () {
      const { bad } = TestPool.fixtures(yield* marked)
      const servers = { gone: { command: "/no/such/command" }, exits: bad("exits", { restart: "never" }) }
      const error = yield* Effect.flip(Effect.provide(McpProxy.McpProxy, McpProxy.layer({ servers })))
      if (error._tag !== "AllServersFailed") return assert.fail(error._tag)
      assert.deepStrictEqual(
        error.failures.map(({ server }) => server),
        ["gone", "exits"]
      )
      for (const part of ["ENOENT", "exited with code 3"]) assert.include(error.message, part)
    })
  )

  it.live("has no tools where no server is configured", () =>
    Effect.gen(function* () {
      const tools = yield* Effect.flatMap(McpProxy.McpProxy, ({ listTools }) => listTools)
      assert.deepStrictEqual(tools, [])
    }).pipe(Effect.provide(McpProxy.layer({ servers: {} })))
  )
})

describe("McpProxy.layerPool", () => {
  Proxy.suite(
    Effect.fnUntraced(function* (servers) {
      const pool = McpPool.layer({ servers: yield* Proxy.processes(yield* marked, servers) })
      return McpProxy.layerPool().pipe(Layer.provide(pool))
    })
  )

  it.live("says how long a result may be where one is longer", () =>
    Effect.gen(function* () {
      const { one } = yield* Proxy.processes(yield* marked, { one: ["big", "echo"] })
      const pool = McpPool.layer({ servers: { one: { ...one, pool: { maxLine: "100 KiB" } } } })
      yield* Effect.gen(function* () {
        const proxy = yield* McpProxy.McpProxy
        const error = yield* Effect.flip(proxy.executeTool("big", { bytes: 200_000 }))
        if (error._tag !== "ResultTooLarge") return assert.fail(error._tag)
        assert.strictEqual(error.maxLine, 102_400)
        assert.strictEqual(Proxy.textOf(yield* proxy.executeTool("echo", { text: "hi" })), "hi")
      }).pipe(Effect.provide(McpProxy.layerPool().pipe(Layer.provide(pool))))
    })
  )

  it.live("waits for a server that starts as long as the caller's time allows, or the pool's", () =>
    Effect.gen(function* () {
      const { bad } = TestPool.fixtures(yield* marked)
      const servers = {
        patient: bad("silent"),
        short: bad("silent", { queueTimeout: "30 millis", extraEnv: { OF: "another process" } })
      }
      const pool = McpPool.layer({ servers, pool: { stop: { stdin: 0 } } })
      yield* Effect.gen(function* () {
        const proxy = yield* McpProxy.McpProxy
        for (const [server, timeout] of [
          ["patient", "30 millis"],
          ["short", "1 minute"]
        ] as const) {
          const error = yield* Effect.flip(proxy.executeTool(`${server}__echo`, {}, { timeout }))
          if (error._tag !== "ToolTimeout") return assert.fail(error._tag)
          assert.deepStrictEqual({ server: error.server, phase: error.phase }, { server, phase: "waiting" })
          assert.match(error.message, /was not ready in time: .*echo was not sent/)
        }
      }).pipe(Effect.provide(McpProxy.layerPool().pipe(Layer.provide(pool))))
    })
  )
})

describe("McpProxy.layerSocket", () => {
  Proxy.suite(
    Effect.fnUntraced(function* (servers) {
      const marker = `fixture-${randomUUID()}`
      yield* Effect.addFinalizer(() => Effect.orDie(Processes.gone(marker)))
      const options = yield* Proxy.processes(marker, servers)
      const runtimeDir = yield* TestPool.temporaryDirectory
      const daemon = yield* DaemonProcess.launch(runtimeDir, () => options)
      yield* daemon.ready
      return McpProxy.layerSocket({ runtimeDir })
    })
  )
})

describe("McpProxy.layerTest", () => {
  Proxy.suite((servers) => Effect.succeed(ScriptedServers.layer(servers)))
})
