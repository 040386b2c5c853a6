import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import * as PoolConfig from "../../src/config/PoolConfig.ts"
import type { ServerOptions } from "../../src/config/ServerSpec.ts"
import * as Daemon from "../../src/doctor/Daemon.ts"
import * as Sockets from "../../src/doctor/Sockets.ts"
import * as RuntimeDir from "../../src/RuntimeDir.ts"
import * as Harness from "../control/ControlHarness.ts"
import * as TestPool from "../support/TestPool.ts"
import { commands, ill } from "./Say.ts"
import { listening, staleSocket } from "./Sockets.ts"

const check = Effect.fnUntraced(function* (runtimeDir: string, servers: Readonly<Record<string, ServerOptions>>) {
  const config = yield* PoolConfig.fromServers(servers)
  const daemon = yield* Daemon.ask(runtimeDir)
  return ill(yield* Sockets.check({ runtimeDir, servers: config.servers, daemon, commands }))
})

const one = { one: { command: "node" } }

describe("Sockets", () => {
  it.live("accepts free paths, and makes nothing there", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      assert.deepStrictEqual(yield* check(runtimeDir, { ...one, "my server": { command: "" } }), [])
      assert.deepStrictEqual(fs.readdirSync(runtimeDir), [])
    })
  )

  it.live("tells paths that are too long, and of what", () =>
    Effect.gen(function* () {
      const runtimeDir = path.join(yield* TestPool.temporaryDirectory, "x".repeat(80))
      const file = RuntimeDir.serverSocket(runtimeDir, "one")
      const excess = Buffer.byteLength(file) - RuntimeDir.maxSocketPath
      const said = yield* check(runtimeDir, one)
      assert.deepStrictEqual(said.at(-1), [
        "problem",
        "one",
        `the path of its socket is too long by ${excess} bytes: ${file}`,
        "give a shorter --runtime-dir, or set MCP_POOL_RUNTIME_DIR to one for all commands"
      ])
      const own = yield* check("/nonexistent", {
        one: { command: "node", pool: { socket: `/tmp/${"y".repeat(100)}` } }
      })
      assert.strictEqual(own[0]?.[3], 'give it a shorter "pool.socket"')
    })
  )

  it.live("tells what is in the way", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const file = RuntimeDir.serverSocket(runtimeDir, "one")
      fs.mkdirSync(path.dirname(file), { recursive: true })
      fs.writeFileSync(file, "")
      assert.deepStrictEqual(yield* check(runtimeDir, one), [
        ["problem", "one", `something that is no socket is in the way: ${file}`, `mv ${file} ${file}.old`]
      ])
      fs.rmSync(file)
      fs.symlinkSync("/nonexistent", file)
      assert.deepStrictEqual(yield* check(runtimeDir, one), [
        ["problem", "one", `a symbolic link is in the way: ${file}`, `rm ${file}`]
      ])
    })
  )

  it.live("tells a stale socket from one at which another process listens", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const [stale, live] = ["one", "two"].map((name) => RuntimeDir.serverSocket(runtimeDir, name))
      fs.mkdirSync(path.dirname(stale!), { recursive: true })
      yield* staleSocket(stale!)
      yield* listening(net.createServer(), live!)
      assert.deepStrictEqual(yield* check(runtimeDir, { ...one, two: { command: "node" } }), [
        [
          "problem",
          "two",
          `another process listens at its socket: ${live}`,
          `end what lsof ${live} shows, or give the server another "pool.socket"`
        ],
        ["warning", "one", "an earlier daemon left its socket: the next mcp-pool serve takes over", "mcp-pool serve"]
      ])
      assert.isTrue(fs.existsSync(stale!))
    })
  )

  it.live("tells servers that share a socket, and a directory that cannot be made", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const pool = { socket: path.join(runtimeDir, "mine.sock") }
      assert.deepStrictEqual(yield* check(runtimeDir, { one: { command: "a", pool }, two: { command: "b", pool } }), [
        ["problem", "two", `${pool.socket} is the socket of one too`, 'give it another "pool.socket"']
      ])
      const file = path.join(runtimeDir, "file")
      fs.writeFileSync(file, "")
      const below = { one: { command: "a", pool: { socket: path.join(file, "a/mine.sock") } } }
      assert.strictEqual((yield* check(runtimeDir, below))[0]?.[2], `${file} is not a directory`)
    })
  )

  it.live("misses the socket of a daemon that says it listens", () =>
    Effect.gen(function* () {
      const socket = path.join(yield* TestPool.temporaryDirectory, "mine.sock")
      const { runtimeDir } = yield* Harness.serve({ servers: [Harness.server("one", { socket })] })
      const servers = { one: { command: "node", pool: { socket } } }
      assert.deepStrictEqual(yield* check(runtimeDir, servers), [
        ["problem", "one", `the daemon's socket has been taken away: ${socket}`, "mcp-pool shutdown && mcp-pool serve"]
      ])
      yield* listening(net.createServer(), socket)
      assert.deepStrictEqual(yield* check(runtimeDir, servers), [])
    })
  )
})
