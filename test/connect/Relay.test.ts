import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Wire from "../../src/connect/Wire.ts"
import * as RuntimeDir from "../../src/RuntimeDir.ts"
import * as TestPool from "../support/TestPool.ts"
import * as HostProcess from "./HostProcess.ts"
import { handshake, hello } from "./Scene.ts"
import * as ScriptedDaemon from "./ScriptedDaemon.ts"

const call = (id: unknown) => ({ jsonrpc: "2.0", id, method: "tools/call", params: { name: "echo" } })
const result = (id: unknown) => ({ jsonrpc: "2.0", id, result: { content: [] } })
const unknown = (id: unknown) => ({ jsonrpc: "2.0", id, error: Wire.outcomeUnknown("git") })

/** A daemon, and a host that has shaken hands with it. */
const scene = Effect.gen(function* () {
  const runtimeDir = yield* TestPool.temporaryDirectory
  const daemon = yield* ScriptedDaemon.listenAt(runtimeDir)
  const { connection, host } = yield* HostProcess.greeted(daemon, ["git", "--no-start", "--runtime-dir", runtimeDir])
  return { runtimeDir, daemon, connection, host }
})

/** A host where no daemon is: each one that its `connect` starts connects to `starts`, and dies when it is told something. */
const startScene = Effect.gen(function* () {
  const runtimeDir = yield* TestPool.temporaryDirectory
  const file = path.join(runtimeDir, "starts.sock")
  const starts = yield* ScriptedDaemon.listen(file)
  const script = `if (process.argv[2] === "serve") await new Promise(() => process.getBuiltinModule("node:net")
    .connect(${JSON.stringify(file)}).on("data", () => process.kill(process.pid, "SIGKILL")).on("close", () => process.exit()))`
  const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(script)}` }
  const host = yield* HostProcess.start(["git", "--runtime-dir", runtimeDir], { env })
  return { runtimeDir, starts, host }
})

describe("connect and a daemon that speaks with it", () => {
  it.live("says which server for which project, and relays until its host ends", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const daemon = yield* ScriptedDaemon.listenAt(runtimeDir)
      const host = yield* HostProcess.start(["git", "--runtime-dir", runtimeDir], {
        env: { CLAUDE_PROJECT_DIR: "/home/ada/a" }
      })
      const connection = yield* daemon.next
      const { version: _, ...open } = yield* connection.heard
      assert.deepStrictEqual(open as object, {
        "mcp-pool": "open",
        protocol: 1,
        server: "git",
        project: "/home/ada/a"
      })
      // What comes with the answer is relayed as well; a lower protocol is one that it speaks.
      yield* connection.sayRaw(
        '{"mcp-pool":"opened","protocol":0,"version":"0.0.1","server":"git@/home/ada/a"}\n{"jsonrpc":"2.0","method":"notifications/x"}\n'
      )
      assert.strictEqual((yield* host.heard).method, "notifications/x")
      yield* host.say(call(1))
      yield* host.end
      assert.deepStrictEqual((yield* connection.heard).id, 1)
      yield* connection.ended
      yield* connection.say(result(1))
      yield* connection.kill
      const { code, err, out } = yield* host.ended
      assert.deepStrictEqual({ code, err }, { code: 0, err: "" })
      assert.isTrue(out.endsWith(`${JSON.stringify(result(1))}\n`))
    })
  )

  it.live("outlives a daemon that is killed within a line and between request and answer, twice in a row", () =>
    Effect.gen(function* () {
      const { connection, daemon, host } = yield* scene
      yield* host.say(call(1), call(2))
      yield* connection.heard
      yield* connection.heard
      yield* connection.sayRaw(`${JSON.stringify(result(2))}\n{"jsonrpc":"2.0","id":1,"resu`)
      yield* connection.kill
      assert.deepStrictEqual(yield* host.heard, result(2))
      assert.deepStrictEqual(yield* host.heard, unknown(1))
      // The next one dies before it has answered anything.
      const second = yield* HostProcess.welcome(daemon)
      yield* second.heard
      yield* host.say(call(3))
      yield* second.kill
      const third = yield* HostProcess.welcome(daemon)
      yield* HostProcess.greet(third)
      assert.strictEqual((yield* third.heard).method, "notifications/initialized")
      assert.deepStrictEqual(yield* third.heard, call(3) as never)
      yield* third.say(result(3))
      assert.deepStrictEqual(yield* host.heard, result(3))
      assert.isNull(host.child.exitCode)
    })
  )

  it.live("pauses, and takes what it held back to the next daemon", () =>
    Effect.gen(function* () {
      const { connection, daemon, host } = yield* scene
      yield* host.say(call(1))
      yield* connection.heard
      yield* connection.say({ "mcp-pool": "pause" })
      assert.deepStrictEqual(yield* connection.heard, { "mcp-pool": "paused" } as never)
      yield* host.say(call(2))
      yield* connection.say(result(1))
      assert.deepStrictEqual(yield* host.heard, result(1))
      yield* connection.say({ "mcp-pool": "closing", reason: "handover" })
      yield* connection.kill
      const next = yield* HostProcess.welcome(daemon)
      yield* HostProcess.greet(next)
      yield* next.heard
      assert.deepStrictEqual(yield* next.heard, call(2) as never)
      yield* next.say(result(2))
      assert.deepStrictEqual(yield* host.heard, result(2))
    })
  )

  it.live("takes to the next daemon, in order, more than it holds: the rest waits in the pipe", () =>
    Effect.gen(function* () {
      const { connection, daemon, host, runtimeDir } = yield* scene
      yield* daemon.close
      yield* connection.kill
      const text = "x".repeat(1024 * 1024)
      const ids = Array.from({ length: 24 }, (_, i) => i + 1)
      for (const id of ids) yield* host.say({ id, method: "tools/call", params: { name: "echo", text } })
      const next = yield* HostProcess.welcome(yield* ScriptedDaemon.listenAt(runtimeDir))
      yield* HostProcess.greet(next)
      yield* next.heard
      for (const id of ids) assert.strictEqual((yield* next.heard).id, id)
    })
  )

  it.live("ends with 0 where its host asks nothing more, whatever became of the daemon", () =>
    Effect.gen(function* () {
      const { connection, host } = yield* scene
      yield* host.say(call(1))
      yield* host.end
      yield* connection.heard
      yield* connection.ended
      yield* connection.kill
      assert.deepStrictEqual(yield* host.heard, unknown(1))
      assert.strictEqual((yield* host.ended).code, 0)
    })
  )

  it.live("tells the first request why it is refused, and ends as the daemon says", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const daemon = yield* ScriptedDaemon.listenAt(runtimeDir)
      const host = yield* HostProcess.start(["git", "--runtime-dir", runtimeDir])
      const connection = yield* daemon.next
      const message = "trust it: mcp-pool trust /home/ada/ü"
      yield* connection.say({ "mcp-pool": "refused", kind: "ProjectNotTrusted", code: 31001, message, exitCode: 2 })
      yield* host.say(hello)
      const data = { kind: "ProjectNotTrusted", server: "git" }
      assert.deepStrictEqual(yield* host.heard, { jsonrpc: "2.0", id: 0, error: { code: 31001, message, data } })
      const { code, err } = yield* host.ended
      assert.deepStrictEqual({ code, err }, { code: 2, err: `mcp-pool: ${message}\n` })
    })
  )

  it.live("answers with a refusal of the next daemon, and asks it again", () =>
    Effect.gen(function* () {
      const { connection, daemon, host } = yield* scene
      yield* connection.say({ "mcp-pool": "closing", reason: "removed" })
      yield* connection.kill
      const next = yield* daemon.next
      const refused = { kind: "ServerNotFound", code: 31001, message: 'no server "git"', exitCode: 4 }
      yield* next.say({ "mcp-pool": "refused", ...refused })
      yield* next.ended
      yield* host.say(call(1))
      const data = { kind: "ServerNotFound", server: "git" }
      const { code, message } = refused
      assert.deepStrictEqual(yield* host.heard, { jsonrpc: "2.0", id: 1, error: { code, message, data } })
      const again = yield* HostProcess.welcome(daemon)
      yield* HostProcess.greet(again)
      yield* again.heard
      yield* host.say(call(2))
      assert.deepStrictEqual(yield* again.heard, call(2) as never)
    })
  )

  it.live("opens at the next daemon where one ends before it answers", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const daemon = yield* ScriptedDaemon.listenAt(runtimeDir)
      const host = yield* HostProcess.start(["git", "--runtime-dir", runtimeDir])
      const first = yield* daemon.next
      yield* first.say({ "mcp-pool": "closing", reason: "handover" })
      const second = yield* HostProcess.welcome(daemon)
      yield* host.say(hello)
      yield* HostProcess.greet(second)
      assert.deepStrictEqual((yield* host.heard).result, handshake)
    })
  )

  it.live("says that a daemon speaks what it does not know", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const daemon = yield* ScriptedDaemon.listenAt(runtimeDir)
      const host = yield* HostProcess.start(["git", "--runtime-dir", runtimeDir])
      const connection = yield* daemon.next
      yield* connection.sayRaw("hello\n")
      yield* host.end
      const { code, err } = yield* host.ended
      assert.strictEqual(code, 1)
      assert.match(err, /^mcp-pool: the daemon speaks what mcp-pool \S+ does not know: end it with /)
    })
  )

  it.live("ends by SIGTERM without a word, while no daemon is there", () =>
    Effect.gen(function* () {
      const { connection, daemon, host } = yield* scene
      yield* host.say(call(1))
      yield* connection.heard
      yield* daemon.close
      yield* connection.kill
      yield* host.heard
      host.child.kill("SIGTERM")
      assert.strictEqual((yield* host.ended).signal, "SIGTERM")
    })
  )
})

describe("connect and an older daemon", () => {
  it.live("takes the server's own socket, says what that leaves out, and outlives that daemon, too", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const project = yield* TestPool.temporaryDirectory
      const daemon = yield* ScriptedDaemon.listen(RuntimeDir.serverSocket(runtimeDir, "git"))
      const host = yield* HostProcess.start(["git", "--project", project, "--runtime-dir", runtimeDir])
      const first = yield* daemon.next
      yield* host.say(hello)
      yield* HostProcess.greet(first)
      yield* host.heard
      yield* host.say({ method: "notifications/initialized" }, call(1))
      yield* first.heard
      yield* first.heard
      yield* first.kill
      assert.deepStrictEqual(yield* host.heard, unknown(1))
      const second = yield* daemon.next
      yield* HostProcess.greet(second)
      assert.strictEqual((yield* second.heard).method, "notifications/initialized")
      yield* host.say(call(2))
      assert.deepStrictEqual(yield* second.heard, call(2) as never)
      yield* second.say(result(2))
      assert.deepStrictEqual(yield* host.heard, result(2))
      yield* host.end
      yield* second.ended
      yield* second.kill
      const { code, err } = yield* host.ended
      assert.strictEqual(code, 0)
      const [about, gone, ...others] = err.trim().split("\n")
      assert.include(about, `mcp-pool: ${project} is not looked at for a configuration of its own`)
      assert.include(gone, "the daemon is gone; 1 of its calls may have run, or not")
      assert.deepStrictEqual(others, [])
    })
  )
})

describe("connect without a daemon", () => {
  it.live("tells what a daemon said that ended at its start, and keeps its log to the user", () =>
    Effect.gen(function* () {
      const home = yield* TestPool.temporaryDirectory
      const config = path.join(home, ".config/mcp-pool/config.json")
      fs.mkdirSync(path.dirname(config), { recursive: true })
      fs.writeFileSync(config, "{ no JSON")
      const host = yield* HostProcess.start(["git"], { home })
      yield* host.say(hello)
      const { error, id } = yield* host.heard
      assert.deepStrictEqual([id, error?.code], [0, 31001])
      assert.include(error?.message, `the daemon ended at its start (code 2): ${config}:1:3: `)
      const { code, err } = yield* host.ended
      assert.deepStrictEqual({ code, err }, { code: 3, err: `mcp-pool: ${error?.message}\n` })
      const runtimeDir = RuntimeDir.resolve({ flag: undefined, env: {}, home })
      assert.strictEqual(fs.statSync(runtimeDir).mode & 0o777, 0o700)
      assert.strictEqual(fs.statSync(path.join(runtimeDir, "daemon.log")).mode & 0o777, 0o600)
      assert.isFalse(fs.existsSync(path.join(runtimeDir, "waking")))
    })
  )

  it.live("starts another where what it started was killed or asked to stop, and its host sees nothing of it", () =>
    Effect.gen(function* () {
      const { host, runtimeDir, starts } = yield* startScene
      yield* (yield* starts.next).say({ die: true })
      yield* (yield* starts.next).kill
      yield* starts.next
      const connection = yield* HostProcess.welcome(yield* ScriptedDaemon.listenAt(runtimeDir))
      yield* host.say(hello)
      yield* HostProcess.greet(connection)
      assert.deepStrictEqual((yield* host.heard).result, handshake)
    })
  )

  it.live(
    "starts the next soon, however often daemons go as soon as they have come",
    () =>
      Effect.gen(function* () {
        const { host, runtimeDir, starts } = yield* startScene
        for (const id of [0, 1, 2, 3, 4]) {
          const start = yield* starts.next
          const daemon = yield* ScriptedDaemon.listenAt(runtimeDir)
          const connection = yield* HostProcess.welcome(daemon)
          if (id === 0) yield* host.say(hello)
          yield* HostProcess.greet(connection)
          if (id === 0) yield* host.heard
          yield* host.say(call(id))
          assert.deepStrictEqual(yield* connection.heard, call(id) as never)
          yield* daemon.close
          yield* start.say({ die: true })
          yield* connection.kill
          assert.deepStrictEqual(yield* host.heard, unknown(id))
        }
      }),
    10_000
  )

  it.live("has the service start it where one is installed, and not before its host asks after a shutdown", () =>
    Effect.gen(function* () {
      const { connection, daemon, host, runtimeDir } = yield* Effect.gen(function* () {
        const runtimeDir = yield* TestPool.temporaryDirectory
        const daemon = yield* ScriptedDaemon.listenAt(runtimeDir)
        return { runtimeDir, daemon, ...(yield* HostProcess.greeted(daemon, ["git", "--runtime-dir", runtimeDir])) }
      })
      const service = yield* ScriptedDaemon.listen(path.join(runtimeDir, "service.sock"))
      const script = `require("net").connect(process.argv[1]).end("{}\\n").resume()`
      const start = [process.execPath, "-e", script, path.join(runtimeDir, "service.sock")]
      fs.writeFileSync(path.join(runtimeDir, "service.json"), JSON.stringify({ start }))
      yield* daemon.close
      yield* connection.say({ "mcp-pool": "closing", reason: "shutdown" })
      yield* connection.kill
      yield* host.say(call(1))
      const started = yield* service.next
      const next = yield* ScriptedDaemon.listenAt(runtimeDir)
      yield* started.heard
      const opened = yield* HostProcess.welcome(next)
      yield* HostProcess.greet(opened)
      yield* opened.heard
      assert.deepStrictEqual(yield* opened.heard, call(1) as never)
      yield* opened.say(result(1))
      assert.deepStrictEqual(yield* host.heard, result(1))
      yield* started.kill
    })
  )
})
