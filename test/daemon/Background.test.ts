/** `serve --background` as `connect` starts it: as a process with nothing but HOME and a poor PATH. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as DaemonRecord from "../../src/daemon/DaemonRecord.ts"
import * as RuntimeDir from "../../src/RuntimeDir.ts"
import type { Found } from "../fixtures/environment.ts"
import { command } from "../cli/CommandLine.ts"
import * as HttpClient from "../support/HttpClient.ts"
import * as LineClient from "../support/LineClient.ts"
import * as Processes from "../support/Processes.ts"
import * as ServeProcess from "../support/ServeProcess.ts"
import * as TestPool from "../support/TestPool.ts"
import * as Tools from "../support/Tools.ts"

const poor = "/usr/bin:/bin"
const bin = fileURLToPath(new URL("../../src/bin.ts", import.meta.url))

interface Log {
  readonly message: string
}

/** Returns when somebody listens for `connect`. */
const listening = (runtimeDir: string): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const look = () => (fs.existsSync(RuntimeDir.connectSocket(runtimeDir)) ? resume(Effect.void) : undefined)
    const watcher = fs.watch(runtimeDir, look)
    look()
    return Effect.sync(() => watcher.close())
  })

const setUp = Effect.gen(function* () {
  const runtimeDir = yield* TestPool.temporaryDirectory
  const directory = yield* TestPool.temporaryDirectory
  const marker = `fixture-${randomUUID()}`
  const configFile = path.join(directory, "mcp.json")
  const args = [TestPool.fixture("environment.ts"), marker, "PATH", "CONFIG"]
  const shared = { command: process.execPath, args, env: { CONFIG: configFile } }
  fs.writeFileSync(configFile, JSON.stringify({ mcpServers: { shared } }))
  yield* Effect.addFinalizer(() =>
    Effect.tapError(Processes.gone(marker), () => Processes.killAll(marker)).pipe(Effect.orDie)
  )
  return {
    marker,
    runtimeDir,
    directory,
    configFile,
    record: Effect.sync(() => JSON.parse(fs.readFileSync(DaemonRecord.file(runtimeDir), "utf8")) as unknown),
    /** At which URL its daemon says that HTTP is served; null for none. */
    httpUrl: Effect.map(
      command(runtimeDir, "status", "--json"),
      ({ out }) => (JSON.parse(out) as { readonly http: { readonly url: string } | null }).http?.url ?? null
    ),
    /** With the flags, and the PATH. */
    serve: (flags: ReadonlyArray<string>, searchPath: string, cwd = directory) =>
      ServeProcess.start(["--runtime-dir", runtimeDir, ...flags], { cwd, env: { PATH: searchPath } }),
    dial: (server: string) =>
      Effect.gen(function* () {
        const client = yield* LineClient.connect(RuntimeDir.connectSocket(runtimeDir))
        yield* client.sendRaw(TestPool.openLine(server))
        return client
      })
  }
})

describe("serve", () => {
  it.live("leaves word of its configuration and its PATH, and a daemon in the background takes it up", () =>
    Effect.gen(function* () {
      const { configFile, dial, directory, marker, record, runtimeDir, serve } = yield* setUp
      const rich = `${directory}/bin:${poor}`
      const first = yield* serve(["--config", "mcp.json", "--strict"], rich)
      yield* first.serving
      const expected = { configFiles: [configFile], strict: true, watchConfig: false, http: null, path: rich }
      assert.deepStrictEqual(yield* record, expected)
      assert.strictEqual(fs.statSync(DaemonRecord.file(runtimeDir)).mode & 0o777, 0o600)
      yield* first.signal("SIGTERM")
      assert.strictEqual(yield* first.exited, 0)

      const second = yield* serve(["--background"], `${poor}:/of/the/host`)
      yield* second.serving
      const client = yield* dial("shared")
      yield* client.word("opened")
      // Nobody has asked anything of its servers yet.
      assert.deepStrictEqual(yield* Processes.withMarker(marker), [])
      yield* client.initialize
      yield* Tools.serves(client)
      const { out } = yield* command(runtimeDir, "logs", "shared")
      const { variables } = JSON.parse(/\{"variables".*/.exec(out)?.[0] ?? "{}") as Found
      assert.strictEqual(variables["PATH"], `${rich}:/of/the/host`)
      assert.deepStrictEqual(yield* record, expected)
      // It is in nobody's way.
      if (process.platform === "linux") assert.strictEqual(fs.readlinkSync(`/proc/${second.pid}/cwd`), "/")
      for (const line of second.log().trim().split("\n")) assert.isString((JSON.parse(line) as Log).message)
    })
  )

  it.live("in the background prefers the configuration that it is given, relative to where it was started", () =>
    Effect.gen(function* () {
      const { configFile, dial, record, runtimeDir, serve } = yield* setUp
      yield* DaemonRecord.write(runtimeDir, {
        configFiles: ["/none"],
        strict: false,
        watchConfig: false,
        http: null,
        path: poor
      })
      const daemon = yield* serve(["--background", "--config", "mcp.json"], poor)
      yield* daemon.serving
      yield* (yield* dial("shared")).word("opened")
      assert.deepInclude(yield* record, { configFiles: [configFile] })
    })
  )

  it.live("in the background needs no configuration, and in the foreground it does", () =>
    Effect.gen(function* () {
      const { dial, record, serve } = yield* setUp
      const inForeground = yield* serve([], poor)
      assert.strictEqual(yield* inForeground.exited, 2)
      const inBackground = yield* serve(["--background"], poor)
      yield* inBackground.serving
      const client = yield* dial("git")
      const refused = yield* client.word("refused")
      assert.deepInclude(refused as object, {
        kind: "ServerNotFound",
        message: 'no server "git": no server is configured'
      })
      assert.deepStrictEqual(yield* record, {
        configFiles: [],
        strict: false,
        watchConfig: false,
        http: null,
        path: poor
      })
    })
  )

  it.live("in the background fails with exit code 2 where the recorded configuration is gone", () =>
    Effect.gen(function* () {
      const { runtimeDir, serve } = yield* setUp
      const configFiles = ["/nowhere/mcp.json"]
      yield* DaemonRecord.write(runtimeDir, { configFiles, strict: false, watchConfig: false, http: null, path: poor })
      const daemon = yield* serve(["--background"], poor)
      assert.strictEqual(yield* daemon.exited, 2)
      assert.match(daemon.log(), /\/nowhere\/mcp\.json: .*no such file/)
    })
  )

  it.live("in the background is one, however many start at once", () =>
    Effect.gen(function* () {
      const { dial, serve } = yield* setUp
      const daemons = yield* Effect.forEach(
        [1, 2, 3, 4, 5],
        () => serve(["--background", "--config", "mcp.json"], poor),
        { concurrency: "unbounded" }
      )
      const outcomes = yield* Effect.forEach(daemons, ({ serving }) => Effect.exit(serving), {
        concurrency: "unbounded"
      })
      const losers = daemons.filter((_, index) => Exit.isFailure(outcomes[index]!))
      assert.strictEqual(losers.length, daemons.length - 1)
      for (const { exited, log } of losers) {
        assert.strictEqual(yield* exited, 1)
        assert.match(log(), /another daemon serves/)
      }
      yield* (yield* dial("shared")).word("opened")
    })
  )

  it.live("takes the turn away from a connect that started a daemon and ended", () =>
    Effect.gen(function* () {
      const { runtimeDir, serve } = yield* setUp
      const turn = RuntimeDir.wakingTurn(runtimeDir)
      fs.writeFileSync(turn, "1")
      yield* (yield* serve(["--background", "--config", "mcp.json"], poor)).serving
      assert.isFalse(fs.existsSync(turn))
    })
  )

  it.live("starts its log anew in the background where that has grown long, and keeps one", () =>
    Effect.gen(function* () {
      const { runtimeDir } = yield* setUp
      const log = path.join(runtimeDir, "daemon.log")
      const long = Buffer.alloc(10 * 1024 * 1024 + 1, "x\n")
      fs.writeFileSync(log, long, { mode: 0o600 })
      const fd = yield* Effect.acquireRelease(
        Effect.sync(() => fs.openSync(log, "a")),
        (fd) => Effect.sync(() => fs.closeSync(fd))
      )
      const child = yield* Effect.acquireRelease(
        Effect.sync(() =>
          spawn(process.execPath, [bin, "serve", "--background", "--runtime-dir", runtimeDir], {
            env: { HOME: "/nonexistent", PATH: poor },
            stdio: ["ignore", "ignore", fd]
          })
        ),
        (child) => Effect.sync(() => child.kill("SIGKILL"))
      )
      yield* listening(runtimeDir)
      // It says that it serves before it can be told to stop.
      yield* command(runtimeDir, "status")
      child.kill("SIGTERM")
      yield* Effect.callback<void>((resume) => void child.once("exit", () => resume(Effect.void)))
      assert.isTrue(fs.readFileSync(`${log}.1`).equals(long))
      assert.strictEqual(fs.statSync(`${log}.1`).mode & 0o777, 0o600)
      assert.match((JSON.parse(fs.readFileSync(log, "utf8")) as Log).message, /^mcp-pool .* serves 0 servers/)
    })
  )

  it.live(
    "in the background serves HTTP where the last daemon did, whatever became of that, until one serves none",
    () =>
      Effect.gen(function* () {
        const { httpUrl, record, runtimeDir, serve } = yield* setUp
        const flags = ["--config", "mcp.json"]
        const http = ["--http", "0", "--allowed-host", "Host.Docker.Internal", "--http-idle", "1min"]
        const first = yield* serve([...flags, ...http], poor)
        yield* first.serving
        const url = yield* httpUrl
        const port = Number(new URL(url ?? "").port)
        const expected = {
          address: { host: "127.0.0.1", port },
          auth: "token",
          allowedHosts: ["host.docker.internal"],
          idle: 60_000
        }
        assert.deepInclude((yield* record) as object, { http: { ...expected, waits: false } })
        const token = fs.readFileSync(RuntimeDir.httpTokenFile(runtimeDir), "utf8").trim()
        const headers = { authorization: `Bearer ${token}` }
        const session = yield* HttpClient.begin({ url: url! }, "shared", { headers })

        yield* command(runtimeDir, "shutdown", "--handover")
        assert.strictEqual(yield* first.exited, 0)
        const second = yield* serve(["--background"], poor)
        yield* second.serving
        assert.strictEqual(yield* httpUrl, url)
        assert.deepInclude((yield* record) as object, { http: { ...expected, waits: true } })
        // Its sessions went with the first one: a client learns that at once, and begins another.
        const gone = yield* session.call("echo", { text: "hi" })
        assert.strictEqual(gone.status, 404)
        const again = yield* HttpClient.begin({ url: url! }, "shared", { headers })
        assert.strictEqual((yield* again.call("stats")).status, 200)

        yield* second.signal("SIGKILL")
        yield* second.exited
        const third = yield* serve(["--background", ...flags], poor)
        yield* third.serving
        assert.strictEqual(yield* httpUrl, url)
        yield* third.signal("SIGTERM")
        yield* third.exited

        const fourth = yield* serve(flags, poor)
        yield* fourth.serving
        assert.isNull(yield* httpUrl)
        assert.deepInclude((yield* record) as object, { http: null })
        yield* fourth.signal("SIGTERM")
        yield* fourth.exited
        yield* (yield* serve(["--background"], poor)).serving
        assert.isNull(yield* httpUrl)
      })
  )

  it.live("in the background serves its sockets where another program has HTTP's address", () =>
    Effect.gen(function* () {
      const { configFile, dial, httpUrl, runtimeDir, serve } = yield* setUp
      const other = yield* Effect.acquireRelease(
        Effect.callback<net.Server>((resume) => {
          const server = net.createServer().listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.sync(() => server.close())
      )
      const { port } = other.address() as net.AddressInfo
      const flags = ["--config", "mcp.json", "--http", String(port)]
      const inForeground = yield* serve(flags, poor)
      assert.strictEqual(yield* inForeground.exited, 1)
      assert.include(
        inForeground.log(),
        `cannot serve HTTP: http://127.0.0.1:${port}: another program listens there: end it, or choose another port with --http`
      )
      assert.notInclude(inForeground.log(), " serves ")
      assert.isFalse(fs.existsSync(DaemonRecord.file(runtimeDir)), "a start that failed is no daemon's to take up")
      const address = { host: "127.0.0.1", port }
      const http = { address, auth: "token" as const, allowedHosts: [], idle: 60_000 }
      const told = { configFiles: [configFile], strict: false, watchConfig: false, http, path: poor }
      yield* DaemonRecord.write(runtimeDir, told)
      for (const way of [["--background"], [...flags, "--http-wait"]]) {
        const daemon = yield* serve(way, poor)
        yield* daemon.serving
        yield* (yield* dial("shared")).word("opened")
        assert.isNull(yield* httpUrl)
        assert.include(daemon.log(), "another program listens there")
        assert.isTrue(fs.existsSync(RuntimeDir.httpSocket(runtimeDir)))
        yield* daemon.signal("SIGTERM")
        assert.strictEqual(yield* daemon.exited, 0)
      }
    })
  )
})
