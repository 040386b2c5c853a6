import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import * as Daemon from "../../src/doctor/Daemon.ts"
import type { Owner } from "../../src/server/ProcessRecord.ts"
import { version } from "../../src/version.ts"
import * as Harness from "../control/ControlHarness.ts"
import * as TestPool from "../support/TestPool.ts"
import { commands, ill } from "./Say.ts"
import { listening, staleSocket } from "./Sockets.ts"

const check = Effect.fnUntraced(function* (runtimeDir: string, options: Partial<Daemon.Options> = {}) {
  const daemon = yield* Daemon.ask(runtimeDir)
  const findings = Daemon.check(daemon, {
    runtimeDir,
    commands,
    owner: { kind: "none" } satisfies Owner,
    configured: [],
    misconfigured: new Set(),
    isLookedAt: () => true,
    ...options
  })
  return { daemon, findings, said: ill(findings) }
})

describe("Daemon", () => {
  it.live("says how to start one where none runs", () =>
    Effect.gen(function* () {
      const { findings } = yield* check(yield* TestPool.temporaryDirectory)
      assert.deepStrictEqual(
        findings.map(({ message, ok }) => [ok, message]),
        [["ok", "no daemon runs: mcp-pool serve starts one"]]
      )
    })
  )

  it.live("tells a stale socket from what is in the way", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const socket = path.join(runtimeDir, "control.sock")
      yield* staleSocket(socket)
      const message =
        "no daemon runs, and the last one did not end by itself: the next mcp-pool serve takes over its socket"
      assert.deepStrictEqual((yield* check(runtimeDir)).said, [["warning", socket, message, "mcp-pool serve"]])
      fs.rmSync(socket)
      fs.writeFileSync(socket, "")
      assert.deepStrictEqual((yield* check(runtimeDir)).said, [
        ["problem", socket, "something that is no socket is in the way of the daemon", `rm ${socket}`]
      ])
      fs.rmSync(socket)
      fs.symlinkSync("/nonexistent", socket)
      assert.strictEqual((yield* check(runtimeDir)).said[0]?.[2], "a symbolic link is in the way of the daemon")
    })
  )

  it.live("tells something that listens and is no daemon", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const socket = path.join(runtimeDir, "control.sock")
      yield* listening(
        net.createServer((connection) => connection.resume().end("HTTP/1.1 400 Bad Request\r\n\r\n")),
        socket
      )
      const { said } = yield* check(runtimeDir)
      assert.deepStrictEqual(said, [
        [
          "problem",
          socket,
          "something listens there that does not answer as a daemon of this version does",
          `end what lsof ${socket} shows, then mcp-pool serve`
        ]
      ])
    })
  )

  it.live("names the process of a daemon that nobody can reach", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const { said } = yield* check(runtimeDir, { owner: { kind: "live", pid: 4711 } })
      assert.deepStrictEqual(said, [
        [
          "problem",
          path.join(runtimeDir, "control.sock"),
          "the daemon with process 4711 does not answer: ENOENT",
          "kill 4711, then mcp-pool serve"
        ]
      ])
    })
  )

  it.live("tells of another version, of servers it does not know, and of those that failed", () =>
    Effect.gen(function* () {
      const { runtimeDir } = yield* Harness.serve({ servers: [Harness.server("git"), Harness.failed("nope")] })
      const again = "mcp-pool shutdown && mcp-pool serve"
      const { said } = yield* check(runtimeDir, { configured: ["git", "new"] })
      assert.deepStrictEqual(said, [
        ["warning", "pid 4242", `the daemon has version 1.2.3, and this is ${version}`, again],
        [
          "warning",
          "pid 4242",
          "the daemon does not know new: it read its configuration before, or another one",
          again
        ],
        [
          "problem",
          "nope",
          'is failed: server "nope" did not start: nope: ENOENT (command-not-found)',
          "is nope on the PATH?"
        ]
      ])
      const only = yield* check(runtimeDir, { configured: ["git"], isLookedAt: (name) => name === "git" })
      assert.strictEqual(only.said.length, 1)
    })
  )
})
