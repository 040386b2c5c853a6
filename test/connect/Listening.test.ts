/** A modern host that listens through `connect`, while the daemons behind it come and go. */
import { assert, describe, it } from "@effect/vitest"
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio"
import { Effect, Queue } from "effect"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { command } from "../cli/CommandLine.ts"
import { watched } from "../fixtures/conformance/content.ts"
import * as EraClient from "../support/EraClient.ts"
import * as Processes from "../support/Processes.ts"
import * as ServeProcess from "../support/ServeProcess.ts"
import * as TestPool from "../support/TestPool.ts"

const bin = fileURLToPath(new URL("../../src/bin.ts", import.meta.url))
const updated = "notifications/resources/updated"

/** A host of SDK 2 over `connect`, to a server of an era that a daemon has. */
const setUp = Effect.fnUntraced(function* (era: "legacy" | "modern") {
  const runtimeDir = yield* TestPool.temporaryDirectory
  const marker = `fixture-${randomUUID()}`
  const configFile = path.join(yield* TestPool.temporaryDirectory, "mcp.json")
  fs.writeFileSync(configFile, JSON.stringify({ mcpServers: { server: EraClient.fixture(era, marker) } }))
  yield* Effect.addFinalizer(() =>
    Effect.tapError(Processes.gone(marker), () => Processes.killAll(marker)).pipe(Effect.orDie)
  )
  const serve = Effect.tap(
    ServeProcess.start(["--runtime-dir", runtimeDir, "--config", configFile]),
    ({ serving }) => serving
  )
  const first = yield* serve
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [bin, "connect", "server", "--no-start", "--runtime-dir", runtimeDir],
    env: { HOME: runtimeDir, PATH: process.env["PATH"] ?? "" },
    stderr: "pipe"
  })
  const client = yield* EraClient.connect2(transport, "modern")
  const updates = yield* Queue.unbounded<string>()
  client.setNotificationHandler(updated, () => void Queue.offerUnsafe(updates, updated))
  const listen = Effect.promise(() => client.listen({ resourceSubscriptions: [watched] }))
  const hears = Effect.gen(function* () {
    yield* Effect.promise(() => client.callTool({ name: "test_trigger_resource_change" }))
    assert.strictEqual(yield* Queue.take(updates), updated)
  })
  return { first, hears, listen, runtimeDir, serve }
})

describe.each(["legacy", "modern"] as const)("a host that listens to a %s server through connect", (era) => {
  it.live("is told that its subscription has ended where the daemon is killed, and listens again", () =>
    Effect.gen(function* () {
      const { first, hears, listen, serve } = yield* setUp(era)
      const subscription = yield* listen
      yield* hears
      yield* first.signal("SIGKILL")
      yield* first.exited
      assert.strictEqual(yield* Effect.promise(() => subscription.closed), "graceful")
      yield* serve
      yield* listen
      yield* hears
    })
  )

  for (const [what, args] of [
    ["stops", []],
    ["hands over", ["--handover"]]
  ] as const) {
    it.live(`is told the same where the daemon ${what}, without delay`, () =>
      Effect.gen(function* () {
        const { first, hears, listen, runtimeDir, serve } = yield* setUp(era)
        const subscription = yield* listen
        const { code, out } = yield* command(runtimeDir, "shutdown", ...args)
        assert.strictEqual(code, 0)
        assert.notInclude(out, "cut off")
        yield* first.exited
        assert.strictEqual(yield* Effect.promise(() => subscription.closed), "graceful")
        yield* serve
        yield* listen
        yield* hears
      })
    )
  }
})
