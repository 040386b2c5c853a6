import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Logger, Option, Queue, Scope, Stream } from "effect"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as ControlClient from "../../src/control/ControlClient.ts"
import * as ControlServer from "../../src/control/ControlServer.ts"
import * as Shutdown from "../../src/control/Shutdown.ts"
import { RestartFailed } from "../../src/PoolError.ts"
import type { ToolStatus } from "../../src/PoolStatus.ts"
import * as RuntimeDir from "../../src/RuntimeDir.ts"
import * as Harness from "./ControlHarness.ts"

const tool = (server: string, name: string): ToolStatus => ({
  server,
  name,
  title: null,
  description: "Says it again.",
  inputSchema: { type: "object" }
})

describe("ControlServer and ControlClient", () => {
  it.live("answer with the daemon's facts and each server", () =>
    Effect.gen(function* () {
      const crashed = Harness.failure({
        classification: "port-in-use",
        signal: "SIGKILL",
        inFlight: 2,
        stderr: ["in use\u001b[0m", "漢"],
        nextAttemptAt: "2026-01-01T00:05:00.000Z"
      })
      const servers = [
        Harness.server("git"),
        Harness.failed("nope"),
        Harness.server("crashed", {
          state: "crash-loop",
          lastFailure: crashed,
          failures: [Harness.failure({ exitCode: null, uptime: null }), crashed]
        })
      ]
      const { runtimeDir } = yield* Harness.serve({ servers })
      const client = yield* ControlClient.make({ runtimeDir })
      assert.deepStrictEqual(yield* client.status, { ...Harness.facts(runtimeDir), servers })
    })
  )

  it.live("answer a client that connected before the server was there", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* Harness.temporaryDirectory
      const listener = yield* Harness.listen(runtimeDir)
      const client = yield* ControlClient.make({ runtimeDir })
      const status = yield* Effect.forkChild(client.status)
      const pool = yield* Harness.makePool({ servers: [Harness.server("git")] })
      yield* Layer.build(
        ControlServer.layer({ listener, daemon: () => Harness.facts(runtimeDir) }).pipe(
          Layer.provide([pool.layer, Shutdown.layer, Harness.layerReload()])
        )
      )
      assert.strictEqual((yield* Fiber.join(status)).servers[0]?.name, "git")
    })
  )

  it.live("stream the status first and then each step", () =>
    Effect.gen(function* () {
      const { runtimeDir, step } = yield* Harness.serve({ servers: [Harness.server("git")] })
      const client = yield* ControlClient.make({ runtimeDir })
      const events = yield* Stream.toQueue(client.watch, { capacity: 16 })
      const first = yield* Queue.take(events)
      assert.strictEqual(first._tag, "Status")
      yield* step("git", "restarting")
      yield* step("git", "running")
      const second = yield* Queue.take(events)
      const third = yield* Queue.take(events)
      assert.deepStrictEqual(
        [second, third].map((event) => event._tag === "Change" && event.change.to),
        ["restarting", "running"]
      )
    })
  )

  it.live("stop following when the client leaves", () =>
    Effect.gen(function* () {
      const { runtimeDir, idle } = yield* Harness.serve({ servers: [Harness.server("git")] })
      const scope = yield* Scope.make()
      const client = yield* ControlClient.make({ runtimeDir }).pipe(Scope.provide(scope))
      const events = yield* Stream.toQueue(client.watch, { capacity: 16 })
      yield* Queue.take(events)
      yield* Scope.close(scope, Exit.void)
      yield* idle.await
    })
  )

  it.live("name the servers that exist where one does not", () =>
    Effect.gen(function* () {
      const { runtimeDir } = yield* Harness.serve({ servers: [Harness.server("git"), Harness.server("time")] })
      const client = yield* ControlClient.make({ runtimeDir })
      for (const ask of [
        client.start("got"),
        client.stop("got"),
        client.restart("got", { now: false }),
        client.tools(Option.some("got")),
        Stream.runCollect(client.logs("got", { follow: false }))
      ]) {
        const error = yield* Effect.flip(ask as Effect.Effect<unknown, { readonly message: string }>)
        assert.strictEqual(error.message, 'no server "got": did you mean "git"? there are git, time')
      }
    })
  )

  it.live("answer start, stop and restart with what became of the server", () =>
    Effect.gen(function* () {
      const { runtimeDir } = yield* Harness.serve({ servers: [Harness.server("git")], becomes: "failed" })
      const client = yield* ControlClient.make({ runtimeDir })
      assert.strictEqual((yield* client.stop("git")).state, "stopped")
      assert.strictEqual((yield* client.start("git")).state, "failed")
      assert.strictEqual((yield* client.restart("git", { now: false })).state, "failed")
    })
  )

  it.live("answer a restart that did not come to pass with why, and one that stops first with what became of it", () =>
    Effect.gen(function* () {
      const restartFails = new RestartFailed({ server: "git", reason: "it fell", hint: "pick it up" })
      const { runtimeDir } = yield* Harness.serve({ servers: [Harness.server("git")], restartFails })
      const client = yield* ControlClient.make({ runtimeDir })
      const error = yield* Effect.flip(client.restart("git", { now: false }))
      assert.strictEqual(error._tag, "RestartFailed")
      assert.strictEqual(error.message, restartFails.message)
      assert.strictEqual((yield* client.restart("git", { now: true })).state, "running")
    })
  )

  it.live("carry more tools than one message may hold", () =>
    Effect.gen(function* () {
      const description = "x".repeat(32_768)
      const tools = Array.from({ length: 1_000 }, (_, i) => ({ ...tool("git", `tool-${i}`), description }))
      const { runtimeDir } = yield* Harness.serve({ servers: [Harness.server("git")], tools })
      const client = yield* ControlClient.make({ runtimeDir })
      const received = yield* client.tools(Option.none())
      assert.deepStrictEqual(
        received.map(({ name }) => name),
        tools.map(({ name }) => name)
      )
    })
  )

  it.live("carry logs and sessions as they are", () =>
    Effect.gen(function* () {
      const logs = [
        { at: "2026-01-01T00:00:00.000Z", source: "stderr" as const, pid: 1, text: "hello" },
        { at: "2026-01-01T00:00:01.000Z", source: "pool" as const, pid: null, text: "stopped" }
      ]
      const sessions = [
        { id: 1, server: "git", client: "claude", version: "2", since: logs[0]!.at, inFlight: 0, calls: 7 }
      ]
      const { runtimeDir } = yield* Harness.serve({ servers: [Harness.server("git")], logs, sessions })
      const client = yield* ControlClient.make({ runtimeDir })
      assert.deepStrictEqual(yield* Stream.runCollect(client.logs("git", { follow: false })), logs)
      assert.deepStrictEqual(yield* client.sessions, sessions)
    })
  )

  it.live("return from shutdown when the socket refuses", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { runtimeDir, shutdown } = yield* Harness.serve({ servers: [] }).pipe(Scope.provide(scope))
      const client = yield* ControlClient.make({ runtimeDir })
      yield* shutdown.requested.pipe(Effect.andThen(Scope.close(scope, Exit.void)), Effect.forkChild)
      yield* client.shutdown
      const error = yield* Effect.flip(ControlClient.make({ runtimeDir }))
      assert.strictEqual(error._tag, "DaemonNotRunning")
    })
  )
})

describe("ControlServer", () => {
  it.live("logs nothing for a client that leaves, resets or sends garbage", () =>
    Effect.gen(function* () {
      const logged: Array<unknown> = []
      const quiet = Logger.layer([Logger.make(({ message }) => logged.push(message))])
      const scope = yield* Scope.make()
      const { runtimeDir } = yield* Harness.serve({ servers: [Harness.server("git")] }).pipe(
        Scope.provide(scope),
        Effect.provide(quiet)
      )
      yield* left(runtimeDir, (socket) => socket.end())
      yield* left(runtimeDir, (socket) => socket.destroy())
      yield* left(runtimeDir, (socket) => socket.end("garbage\n"))
      yield* left(runtimeDir, (socket) =>
        socket.end('{"_tag":"Request","id":"1","tag":"Nope","payload":null,"headers":[]}\n')
      )
      const client = yield* ControlClient.make({ runtimeDir })
      assert.strictEqual((yield* client.status).servers.length, 1)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(logged, [])
    })
  )

  it.live("closes while a client follows, and while one does not read", () =>
    Effect.gen(function* () {
      const text = "x".repeat(65_536)
      const logs = Array.from({ length: 64 }, () => ({
        at: "2026-01-01T00:00:00.000Z",
        source: "stderr" as const,
        pid: 1,
        text
      }))
      const scope = yield* Scope.make()
      const { runtimeDir } = yield* Harness.serve({ servers: [Harness.server("git")], logs }).pipe(Scope.provide(scope))
      const client = yield* ControlClient.make({ runtimeDir })
      const events = yield* Stream.toQueue(client.watch, { capacity: 16 })
      yield* Queue.take(events)
      const deaf = yield* Effect.acquireRelease(
        Effect.sync(() => Net.connect(RuntimeDir.controlSocket(runtimeDir)).pause()),
        (socket) => Effect.sync(() => socket.destroy())
      )
      yield* Effect.callback<void>((resume) => {
        deaf.once("readable", () => resume(Effect.void))
        deaf.write('{"_tag":"Request","id":"1","tag":"Logs","payload":{"server":"git","follow":true},"headers":[]}\n')
      })
      yield* Scope.close(scope, Exit.void)
      const error = yield* Effect.flip(client.status)
      assert.strictEqual(error.message, `the daemon at ${runtimeDir} closed the connection`)
    })
  )
})

describe("ControlClient", () => {
  it.live("says what to do where no daemon is", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* Harness.temporaryDirectory
      const error = yield* Effect.flip(ControlClient.make({ runtimeDir }))
      assert.strictEqual(error.message, `no daemon at ${runtimeDir}: start one with "mcp-pool serve"`)
    })
  )

  it.live("takes a socket that nobody serves for no daemon", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* Harness.temporaryDirectory
      const stale = yield* Effect.scoped(
        Effect.gen(function* () {
          yield* Harness.listen(runtimeDir)
          return RuntimeDir.controlSocket(runtimeDir)
        })
      )
      yield* Effect.sync(() => Fs.writeFileSync(stale, ""))
      const error = yield* Effect.flip(ControlClient.make({ runtimeDir }))
      assert.strictEqual(error._tag, "DaemonNotRunning")
    })
  )
})

/** Connects, does something and returns when the connection has closed. */
const left = (runtimeDir: string, act: (socket: Net.Socket) => void) =>
  Effect.callback<void>((resume) => {
    const socket = Net.connect(RuntimeDir.controlSocket(runtimeDir), () => act(socket))
    socket.on("error", () => {})
    socket.on("close", () => resume(Effect.void))
    socket.resume()
  })
