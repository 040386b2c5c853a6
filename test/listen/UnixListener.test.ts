import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Daemon from "../../src/Daemon.ts"
import * as RuntimeDir from "../../src/RuntimeDir.ts"
import * as DaemonProcess from "../support/DaemonProcess.ts"
import * as LineClient from "../support/LineClient.ts"
import * as Processes from "../support/Processes.ts"
import * as TestPool from "../support/TestPool.ts"
import * as Tools from "../support/Tools.ts"

const setUp = (options: Parameters<typeof TestPool.make>[1] = {}) =>
  TestPool.make(({ server }) => ({ shared: server("shared") }), options)

const modeOf = (file: string) => fs.lstatSync(file).mode & 0o777

describe("UnixListener", () => {
  it.live("serves each server at a socket of its own, for its user alone", () =>
    Effect.gen(function* () {
      const { pool, runtimeDir } = yield* TestPool.make(
        ({ server }) => ({ one: server("one"), "../odd name": server("two") }),
        { start: false }
      )
      const sockets = yield* pool.socketPaths
      assert.strictEqual(sockets["one"], path.join(runtimeDir, "servers/one/mcp.sock"))
      assert.match(sockets["../odd name"] ?? "", /\/servers\/odd-name-[0-9a-f]{8}\/mcp\.sock$/)
      for (const socket of Object.values(sockets)) {
        assert.strictEqual(modeOf(socket), 0o600)
        assert.strictEqual(modeOf(path.dirname(socket)), 0o700)
      }
    })
  )

  it.live("lets others reach a socket that they may use", () =>
    Effect.gen(function* () {
      const { pool } = yield* TestPool.make(({ server }) => ({ shared: server("shared", { socketMode: "0666" }) }), {
        start: false
      })
      const socket = (yield* pool.socketPaths)["shared"] ?? ""
      assert.strictEqual(modeOf(socket), 0o666)
      assert.strictEqual(modeOf(path.dirname(socket)), 0o711)
    })
  )

  it.live("serves a server at the path that is configured, and leaves word of it in its directory", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const socket = path.join(yield* TestPool.temporaryDirectory, "own.sock")
      const word = RuntimeDir.socketPathFile(runtimeDir, "shared")
      const elsewhere = yield* TestPool.make(({ server }) => ({ shared: server("shared", { socket }) }), { runtimeDir })
      const client = yield* LineClient.connect(socket)
      yield* client.initialize
      yield* Tools.serves(client)
      assert.strictEqual(fs.readFileSync(word, "utf8"), socket)
      yield* elsewhere.close
      assert.isFalse(fs.existsSync(socket))
      yield* setUp({ runtimeDir, start: false })
      assert.isFalse(fs.existsSync(word))
    })
  )

  it.live("answers initialize for a stopped server as before, and says of calls what the matter is", () =>
    Effect.gen(function* () {
      const { dial, pool } = yield* setUp()
      yield* pool.stop("shared")
      const client = yield* dial("shared")
      assert.deepStrictEqual((yield* client.initialize).result?.["serverInfo"], { name: "fixture", version: "1.0.0" })
      assert.deepStrictEqual((yield* client.request("ping")).result, {})
      const { error } = yield* client.call("echo")
      assert.strictEqual(error?.code, 31001)
      assert.deepStrictEqual(error?.data, {
        kind: "ServerUnavailable",
        server: "shared",
        state: "stopped",
        hint: "start it: mcp-pool start shared"
      })
      assert.strictEqual(error?.message, 'server "shared" is stopped: start it: mcp-pool start shared')
    })
  )

  it.live("keeps open sessions, and ends as usual, where its directory is removed", () =>
    Effect.gen(function* () {
      const { close, connect, dial, marker, runtimeDir } = yield* setUp()
      const client = yield* connect("shared")
      fs.rmSync(path.join(runtimeDir, "servers"), { recursive: true })
      yield* Tools.serves(client)
      assert.match((yield* Effect.flip(dial("shared"))).message, /ENOENT/)
      yield* close
      yield* client.closed
      assert.deepStrictEqual(yield* Processes.withMarker(marker), [])
    })
  )

  it.live("ends every connection when it ends", () =>
    Effect.gen(function* () {
      const { close, connect, dial } = yield* setUp()
      const [idle, unread] = [yield* connect("shared"), yield* connect("shared")]
      const mute = yield* dial("shared")
      yield* unread.pause
      yield* unread.send({ id: 1, method: "tools/call", params: { name: "big", arguments: { bytes: 4_000_000 } } })
      yield* Tools.serves(idle)
      yield* close
      yield* idle.closed
      yield* mute.closed
      yield* unread.resume
      yield* unread.closed
    })
  )
})

describe("Daemon", () => {
  it.live("is refused a runtime directory that another one serves, which goes on", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const first = yield* DaemonProcess.start(runtimeDir)
      const client = yield* LineClient.connect(RuntimeDir.serverSocket(runtimeDir, "shared"))
      yield* client.initialize
      const error = yield* Effect.flip(daemon(runtimeDir, first.configFile))
      assert.strictEqual(error._tag, "DaemonRunning")
      yield* Tools.serves(client)
      assert.strictEqual((yield* Processes.withMarker(`${first.marker}-shared`)).length, 1)
      const late = yield* LineClient.connect(RuntimeDir.serverSocket(runtimeDir, "shared"))
      yield* Tools.serves(late)
    })
  )

  it.live("answers what is in flight before it ends, and leaves only its directories and what it knows", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const { exited, marker, signal } = yield* DaemonProcess.start(runtimeDir)
      const client = yield* LineClient.connect(RuntimeDir.serverSocket(runtimeDir, "shared"))
      yield* client.initialize
      const call = yield* Effect.forkChild(client.call("sleep", {}, { token: 1 }))
      yield* client.notification("notifications/progress")
      yield* signal("SIGTERM")
      assert.strictEqual(LineClient.kindOf(yield* Fiber.join(call)), "OutcomeUnknown")
      yield* client.closed
      yield* exited
      assert.deepStrictEqual(yield* Processes.withMarker(marker), [])
      const left = fs
        .readdirSync(runtimeDir, { recursive: true })
        .map((name) => String(name).replace(/[0-9a-f]{16}/, "N"))
      assert.deepStrictEqual(left.sort(), [
        "daemon.json",
        "handshakes",
        "handshakes/N.json",
        "servers",
        "servers/shared"
      ])
    })
  )

  it.live("takes over what a killed one left, in the same directories", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const directory = RuntimeDir.serverDir(runtimeDir, "shared")
      const killed = yield* DaemonProcess.start(runtimeDir)
      const { ino } = fs.statSync(directory)
      yield* killed.signal("SIGKILL")
      assert.strictEqual(yield* killed.exited, "SIGKILL")
      assert.isTrue(fs.existsSync(RuntimeDir.serverSocket(runtimeDir, "shared")))
      yield* DaemonProcess.start(runtimeDir)
      assert.strictEqual(fs.statSync(directory).ino, ino)
      const client = yield* LineClient.connect(RuntimeDir.serverSocket(runtimeDir, "shared"))
      yield* client.initialize
      yield* Tools.serves(client)
    })
  )

  it.live("starts no process where a socket cannot be served", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const started = path.join(runtimeDir, "started")
      const configFile = path.join(runtimeDir, "mcp.json")
      const socket = RuntimeDir.serverSocket(runtimeDir, "second")
      fs.mkdirSync(path.dirname(socket), { recursive: true })
      fs.writeFileSync(socket, "precious")
      const first = { command: "/bin/sh", args: ["-c", `echo > ${started}`] }
      fs.writeFileSync(configFile, JSON.stringify({ mcpServers: { first, second: { command: "true" } } }))
      const error = yield* Effect.flip(daemon(runtimeDir, configFile))
      assert.strictEqual(error._tag, "SocketUnusable")
      assert.isFalse(fs.existsSync(started))
      assert.strictEqual(fs.readFileSync(socket, "utf8"), "precious")
    })
  )
})

/** A daemon that has no chance to start. */
const daemon = (runtimeDir: string, configFile: string) =>
  Daemon.run({ configFiles: [configFile], runtimeDir, strict: false, logFormat: "json" })
