import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Result } from "effect"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import * as RuntimeClaim from "../../src/listen/RuntimeClaim.ts"
import * as SocketFile from "../../src/listen/SocketFile.ts"
import * as TestPool from "../support/TestPool.ts"

const newDirectory = Effect.map(TestPool.temporaryDirectory, (directory) => path.join(directory, "runtime"))

const claim = (runtimeDir: string) => RuntimeClaim.make(net.createServer(), runtimeDir)

describe("RuntimeClaim", () => {
  it.live("makes the directory for its user alone and listens at its control socket", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* newDirectory
      yield* claim(runtimeDir)
      assert.strictEqual(fs.statSync(runtimeDir).mode & 0o777, 0o700)
      assert.deepStrictEqual(fs.readdirSync(runtimeDir), ["control.sock"])
      assert.strictEqual(fs.lstatSync(path.join(runtimeDir, "control.sock")).mode & 0o777, 0o600)
    })
  )

  it.live("refuses a directory that another daemon serves, and says how to reach it", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* newDirectory
      yield* claim(runtimeDir)
      const error = yield* Effect.flip(claim(runtimeDir))
      assert.strictEqual(error._tag, "DaemonRunning")
      assert.include(error.message, `another daemon serves ${runtimeDir}: look with "mcp-pool status`)
      assert.isTrue(yield* SocketFile.isLive(path.join(runtimeDir, "control.sock")))
    })
  )

  it.live("is free again when its scope closes", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* newDirectory
      yield* Effect.scoped(claim(runtimeDir))
      assert.deepStrictEqual(fs.readdirSync(runtimeDir), [])
      yield* claim(runtimeDir)
    })
  )

  it.live("goes to one of two daemons that start at once", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* newDirectory
      const claims = yield* Effect.all([Effect.result(claim(runtimeDir)), Effect.result(claim(runtimeDir))], {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(claims.map(Result.isSuccess), [true, false])
    })
  )

  it.live("waits for no daemon that died while it started", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* newDirectory
      fs.mkdirSync(runtimeDir)
      const starting = path.join(runtimeDir, "starting")
      fs.writeFileSync(starting, String(process.pid))
      assert.strictEqual((yield* Effect.flip(claim(runtimeDir)))._tag, "DaemonRunning")
      fs.writeFileSync(starting, String(spawnSync(process.execPath, ["--version"]).pid))
      yield* claim(runtimeDir)
      assert.isFalse(fs.existsSync(starting))
    })
  )

  it.live("refuses a directory that others may write to", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* newDirectory
      fs.mkdirSync(runtimeDir)
      for (const mode of [0o770, 0o707]) {
        fs.chmodSync(runtimeDir, mode)
        const error = yield* Effect.flip(claim(runtimeDir))
        assert.strictEqual(
          error.message,
          `cannot listen at ${runtimeDir}: others may write to the directory: chmod go-w it`
        )
      }
      fs.chmodSync(runtimeDir, 0o755)
      assert.isTrue(Exit.isSuccess(yield* Effect.exit(claim(runtimeDir))))
    })
  )

  it.live("refuses what is no directory", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* newDirectory
      fs.writeFileSync(runtimeDir, "")
      assert.strictEqual((yield* Effect.flip(claim(runtimeDir)))._tag, "SocketUnusable")
    })
  )
})
