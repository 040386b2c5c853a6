/** One daemon after another, as processes, and what a session over `connect.sock` meets between them. */
import { assert, describe, it } from "@effect/vitest"
import { StreamableHTTPClientTransport as StreamableHTTPClientTransport2 } from "@modelcontextprotocol/client"
import {
  StreamableHTTPClientTransport,
  type StreamableHTTPError
} from "@modelcontextprotocol/sdk/client/streamableHttp.js"
import { Effect, Fiber } from "effect"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import * as RuntimeDir from "../../src/RuntimeDir.ts"
import { command } from "../cli/CommandLine.ts"
import * as EraClient from "../support/EraClient.ts"
import * as LineClient from "../support/LineClient.ts"
import * as Processes from "../support/Processes.ts"
import * as ServeProcess from "../support/ServeProcess.ts"
import * as TestPool from "../support/TestPool.ts"
import * as Tools from "../support/Tools.ts"

const setUp = Effect.gen(function* () {
  const runtimeDir = yield* TestPool.temporaryDirectory
  const marker = `fixture-${randomUUID()}`
  const configFile = path.join(yield* TestPool.temporaryDirectory, "mcp.json")
  fs.writeFileSync(configFile, JSON.stringify({ mcpServers: { shared: TestPool.fixtures(marker).server("shared") } }))
  yield* Effect.addFinalizer(() =>
    Effect.tapError(Processes.gone(marker), () => Processes.killAll(marker)).pipe(Effect.orDie)
  )
  const open = Effect.gen(function* () {
    const client = yield* LineClient.connect(RuntimeDir.connectSocket(runtimeDir))
    yield* client.sendRaw(TestPool.openLine("shared"))
    yield* client.word("opened")
    yield* client.initialize
    return client
  })
  const handOver = (...args: ReadonlyArray<string>) =>
    Effect.forkChild(command(runtimeDir, "shutdown", "--handover", ...args))
  return {
    serve: Effect.tap(
      ServeProcess.start(["--runtime-dir", runtimeDir, "--config", configFile]),
      ({ serving }) => serving
    ),
    serveHttp: Effect.fnUntraced(function* (http: string) {
      const flags = ["--http", http, "--http-auth", "none"]
      const daemon = yield* ServeProcess.start(["--runtime-dir", runtimeDir, "--config", configFile, ...flags])
      yield* daemon.serving
      const { out } = yield* command(runtimeDir, "status", "--json", "--wait", "20s")
      return { ...daemon, url: (JSON.parse(out) as { readonly http: { readonly url: string } }).http.url }
    }),
    open,
    handOver,
    runtimeDir
  }
})

const paused = (client: LineClient.LineClient) =>
  Effect.andThen(client.word("pause"), client.sendRaw('{"mcp-pool":"paused"}\n'))

describe("shutdown --handover", () => {
  it.live("answers what is in flight, says that another comes, and leaves the directory to it", () =>
    Effect.gen(function* () {
      const { handOver, open, runtimeDir, serve } = yield* setUp
      const first = yield* serve
      const [busy, idle] = [yield* open, yield* open]
      const { pid } = yield* Tools.stats(idle)
      yield* Tools.startSleeping(busy, "asleep", "sleep")
      const command = yield* handOver()
      yield* paused(busy)
      yield* paused(idle)
      // Whoever comes now is told at the end.
      const late = yield* LineClient.connect(RuntimeDir.connectSocket(runtimeDir))
      yield* late.sendRaw(TestPool.openLine("shared"))
      const later = yield* LineClient.connect(RuntimeDir.connectSocket(runtimeDir))
      yield* later.sendRaw(TestPool.openLine("nobody"))
      yield* later.word("refused")
      process.kill(pid, "SIGUSR1")
      assert.strictEqual(LineClient.textOf(yield* busy.answer("sleep")), "woken")
      for (const client of [busy, idle, late]) {
        assert.deepInclude(yield* client.word("closing"), { reason: "handover" })
        yield* client.closed
      }
      assert.deepStrictEqual(yield* Fiber.join(command), {
        code: 0,
        out: `drained 2 sessions, 1 call in flight\nthe daemon has stopped, pid ${first.pid}`,
        err: ""
      })
      assert.strictEqual(yield* first.exited, 0)
      yield* serve
      yield* Tools.serves(yield* open)
    })
  )

  it.live("cuts off at the deadline what is not answered", () =>
    Effect.gen(function* () {
      const { handOver, open, serve } = yield* setUp
      const { exited } = yield* serve
      const client = yield* open
      yield* Tools.startSleeping(client, "asleep", "sleep")
      const command = yield* handOver("--timeout", "100ms")
      yield* paused(client)
      assert.strictEqual(LineClient.kindOf(yield* client.answer("sleep")), "OutcomeUnknown")
      assert.deepInclude(yield* client.word("closing"), { reason: "handover" })
      const { code, out } = yield* Fiber.join(command)
      assert.strictEqual(code, 0)
      assert.include(out, "cut off after 100ms: 1 call of line-client to shared")
      assert.strictEqual(yield* exited, 0)
    })
  )

  it.live("leaves HTTP's port to the next daemon, where sessions begin again and modern clients just go on", () =>
    Effect.gen(function* () {
      const { handOver, serveHttp } = yield* setUp
      const first = yield* serveHttp("0")
      const endpoint = new URL(`${first.url}/servers/shared/mcp`)
      const connect1 = Effect.suspend(() => EraClient.connect1(new StreamableHTTPClientTransport(endpoint)))
      const echo = (client: {
        callTool(params: { name: string; arguments: { [name: string]: unknown } }): Promise<object>
      }) =>
        Effect.tryPromise({
          try: () => client.callTool({ name: "echo", arguments: { text: "hi" } }),
          catch: (cause) => cause as StreamableHTTPError
        })
      const legacy = yield* connect1
      const modern = yield* EraClient.connect2(new StreamableHTTPClientTransport2(endpoint), "modern")
      assert.strictEqual((yield* Fiber.join(yield* handOver())).code, 0)
      assert.strictEqual(yield* first.exited, 0)

      const second = yield* serveHttp(new URL(first.url).port)
      assert.strictEqual(second.url, first.url)
      assert.strictEqual((yield* Effect.flip(echo(legacy))).code, 404)
      assert.strictEqual(EraClient.textOf(yield* echo(yield* connect1)), "hi")
      assert.strictEqual(EraClient.textOf(yield* echo(modern)), "hi")
    })
  )

  it.live("goes through though nobody waits for it any more", () =>
    Effect.gen(function* () {
      const { handOver, open, serve } = yield* setUp
      const { exited } = yield* serve
      const client = yield* open
      const command = yield* handOver()
      yield* client.word("pause")
      yield* Fiber.interrupt(command)
      yield* client.sendRaw('{"mcp-pool":"paused"}\n')
      assert.deepInclude(yield* client.word("closing"), { reason: "handover" })
      assert.strictEqual(yield* exited, 0)
    })
  )
})

describe("an ordinary stop", () => {
  it.live("pauses, answers what was in flight, and says that nobody comes", () =>
    Effect.gen(function* () {
      const { open, serve } = yield* setUp
      const { exited, signal } = yield* serve
      const client = yield* open
      yield* Tools.startSleeping(client, "asleep", "sleep")
      yield* signal("SIGTERM")
      yield* client.word("pause")
      assert.strictEqual(LineClient.kindOf(yield* client.answer("sleep")), "OutcomeUnknown")
      assert.deepInclude(yield* client.word("closing"), { reason: "shutdown" })
      yield* client.closed
      assert.strictEqual(yield* exited, 0)
    })
  )
})
