/** Servers with a `url` between daemons: the gateway of one is the server of another. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import type { ServerOptions } from "../src/config/ServerSpec.ts"
import * as RuntimeDir from "../src/RuntimeDir.ts"
import { command } from "./cli/CommandLine.ts"
import * as LineClient from "./support/LineClient.ts"
import * as Processes from "./support/Processes.ts"
import * as RemoteServer from "./support/RemoteServer.ts"
import * as ServeProcess from "./support/ServeProcess.ts"
import * as TestPool from "./support/TestPool.ts"

const serve = Effect.fnUntraced(function* (
  runtimeDir: string,
  mcpServers: Readonly<Record<string, ServerOptions>>,
  ...flags: ReadonlyArray<string>
) {
  const configFile = path.join(yield* TestPool.temporaryDirectory, "mcp.json")
  fs.writeFileSync(configFile, JSON.stringify({ mcpServers }))
  const daemon = yield* ServeProcess.start(["--runtime-dir", runtimeDir, "--config", configFile, ...flags])
  yield* daemon.serving
  const { out } = yield* command(runtimeDir, "status", "--json", "--wait", "20s")
  const { http, servers } = JSON.parse(out) as {
    readonly http: { readonly url: string } | null
    readonly servers: ReadonlyArray<{
      readonly state: string
      readonly sessions: number
      readonly lastFailure: { readonly message: string; readonly hint: string } | null
    }>
  }
  return { daemon, url: http?.url ?? "", servers }
})

const marked = Effect.gen(function* () {
  const marker = `fixture-${randomUUID()}`
  yield* Effect.addFinalizer(() =>
    Effect.tapError(Processes.gone(marker), () => Processes.killAll(marker)).pipe(Effect.orDie)
  )
  return TestPool.fixtures(marker)
})

describe("a daemon whose server is another daemon's", () => {
  it.live("shares one session there, passes on what belongs to calls, and goes on after kill -9", () =>
    Effect.gen(function* () {
      const { server } = yield* marked
      const runtimeDir = yield* TestPool.temporaryDirectory
      const shared = { shared: server("shared") }
      const { daemon, url } = yield* serve(runtimeDir, shared, "--http", "0")
      const token = fs.readFileSync(RuntimeDir.httpTokenFile(runtimeDir), "utf8").trim()
      const front = yield* TestPool.make(() => ({
        far: {
          url: `${url}/servers/shared/mcp`,
          headers: { Authorization: `Bearer ${token}` },
          pool: { budget: { max: 100, base: "50 millis", cap: "100 millis" } }
        }
      }))
      const clients = yield* Effect.all([front.connect("far"), front.connect("far")])
      for (const [i, client] of clients.entries()) {
        const done = yield* client.call("progress", { count: 5, label: String(i) }, { token: "t" })
        assert.isUndefined(done.error)
        const seen = client.received().filter(({ method }) => method === "notifications/progress")
        assert.deepStrictEqual(
          seen.map(({ params }) => [params?.["progressToken"], params?.["progress"], params?.["message"]]),
          [1, 2, 3, 4, 5].map((at) => ["t", at, String(i)])
        )
      }
      const there = JSON.parse((yield* command(runtimeDir, "sessions", "--json")).out) as ReadonlyArray<unknown>
      assert.lengthOf(there, 1)

      for (const client of clients) {
        yield* client.send({
          id: "s",
          method: "tools/call",
          params: { name: "sleep", arguments: { label: "x" }, _meta: { progressToken: "s" } }
        })
        yield* client.notification("notifications/progress")
      }
      yield* daemon.signal("SIGKILL")
      for (const client of clients) assert.strictEqual(LineClient.kindOf(yield* client.answer("s")), "OutcomeUnknown")
      yield* daemon.exited
      const again = yield* serve(runtimeDir, shared, "--http", new URL(url).port)
      for (const client of clients) {
        assert.strictEqual(LineClient.textOf(yield* client.call("echo", { text: "again" })), "again")
        assert.lengthOf(
          client.received().filter(({ id }) => id === "s"),
          1
        )
      }
      yield* front.close
      yield* again.daemon.signal("SIGTERM")
      assert.strictEqual(yield* again.daemon.exited, 0)
    })
  )

  it.live("refuses one that is itself", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const url = `unix://${RuntimeDir.httpSocket(runtimeDir)}#/servers/self/mcp`
      const { daemon, servers } = yield* serve(runtimeDir, { self: { url, pool: { start: "lazy" } } }, "--http", "0")
      assert.strictEqual(servers[0]?.state, "stopped")
      const client = yield* LineClient.connect(RuntimeDir.serverSocket(runtimeDir, "self"))
      const { error } = yield* client.initialize
      assert.include(error?.message, "the server's own")
      yield* daemon.signal("SIGTERM")
      yield* daemon.exited
    })
  )

  it.live("ends soon, and its session there with it, where that answers nothing more", () =>
    Effect.gen(function* () {
      const remote = yield* RemoteServer.make()
      const runtimeDir = yield* TestPool.temporaryDirectory
      const pool = { stop: { stdin: "100 millis" } } as const
      const { daemon } = yield* serve(runtimeDir, { far: { url: remote.url, pool } })
      const client = yield* LineClient.connect(RuntimeDir.serverSocket(runtimeDir, "far"))
      yield* client.initialize
      remote.answer("echo", () => {})
      remote.answer("DELETE", () => {})
      const calling = yield* Effect.forkChild(client.call("echo"))
      yield* remote.next("echo")
      const from = performance.now()
      yield* daemon.signal("SIGTERM")
      yield* remote.next("DELETE")
      assert.strictEqual(LineClient.kindOf(yield* Fiber.join(calling)), "OutcomeUnknown")
      assert.strictEqual(yield* daemon.exited, 0)
      // A tenth of a second on a machine that has little else to do.
      assert.isBelow(performance.now() - from, 2000)
    })
  )
})

describe("a server behind TLS", () => {
  const fileOf = (name: string) => fileURLToPath(new URL(`./fixtures/tls/${name}`, import.meta.url))
  const remoteServer = RemoteServer.make(undefined, {
    key: fs.readFileSync(fileOf("key.pem"), "utf8"),
    cert: fs.readFileSync(fileOf("cert.pem"), "utf8")
  })

  it.live("is told nothing where its certificate is nobody's whom the daemon trusts", () =>
    Effect.gen(function* () {
      const remote = yield* remoteServer
      const world = yield* TestPool.make(() => ({
        far: { url: remote.url, headers: { "X-Key": "s3cret" }, pool: { budget: { max: 1 } } }
      }))
      const [far] = yield* world.pool.status
      assert.strictEqual(far?.state, "crash-loop")
      assert.match(far?.lastFailure?.message ?? "", /cannot be reached: (DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED)/)
      assert.include(far?.lastFailure?.hint, "NODE_EXTRA_CA_CERTS")
      assert.deepStrictEqual(remote.exchanges(), [])
    })
  )

  it.live("answers where the daemon was started with its authority", () =>
    Effect.gen(function* () {
      const remote = yield* remoteServer
      const runtimeDir = yield* TestPool.temporaryDirectory
      const configFile = path.join(yield* TestPool.temporaryDirectory, "mcp.json")
      fs.writeFileSync(configFile, JSON.stringify({ mcpServers: { far: { url: remote.url } } }))
      const daemon = yield* ServeProcess.start(["--runtime-dir", runtimeDir, "--config", configFile], {
        env: { NODE_EXTRA_CA_CERTS: fileOf("cert.pem") }
      })
      yield* daemon.serving
      const client = yield* LineClient.connect(RuntimeDir.serverSocket(runtimeDir, "far"))
      yield* client.initialize
      assert.strictEqual(LineClient.textOf(yield* client.call("echo", { a: 1 })), 'echo {"a":1}')
      assert.strictEqual(LineClient.textOf(yield* client.call("echo", { a: 2 })), 'echo {"a":2}')
      // One connection, which is kept, beside that of the stream that is not there.
      assert.isAtMost(remote.connections(), 2)
      yield* daemon.signal("SIGTERM")
      assert.strictEqual(yield* daemon.exited, 0)
    })
  )
})
