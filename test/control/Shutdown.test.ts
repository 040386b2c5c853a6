import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { TestClock } from "effect/testing"
import type * as Net from "node:net"
import * as ControlClient from "../../src/control/ControlClient.ts"
import * as Shutdown from "../../src/control/Shutdown.ts"
import { SocketSessions } from "../../src/listen/SocketSessions.ts"
import type { Drained } from "../../src/PoolStatus.ts"
import * as Harness from "./ControlHarness.ts"

const nobody: Drained = { sessions: 0, calls: 0, cutOff: [] }

/** A shutdown over sessions that are drained when the test says so. */
const make = Effect.gen(function* () {
  const answered = yield* Deferred.make<Drained>()
  const drains: Array<unknown> = []
  const sessions = Layer.mock(SocketSessions, {
    accept: () => {},
    drain: (options) => {
      drains.push(options)
      return Deferred.await(answered)
    }
  })
  const context = yield* Layer.build(Layer.effect(Shutdown.Shutdown, Shutdown.make).pipe(Layer.provide(sessions)))
  const shutdown = Context.get(context, Shutdown.Shutdown)
  return { answered, drains, shutdown, requested: yield* Effect.forkChild(shutdown.requested) }
})

describe("Shutdown", () => {
  it.effect("hands over once, whoever asks and however often, and stops a second later by itself", () =>
    Effect.gen(function* () {
      const { answered, drains, requested, shutdown } = yield* make
      const gone = yield* Effect.forkChild(shutdown.handover("5 seconds"), { startImmediately: true })
      yield* Fiber.interrupt(gone)
      const asked = yield* Effect.forkChild(shutdown.handover("1 minute"), { startImmediately: true })
      yield* Deferred.succeed(answered, nobody)
      assert.deepStrictEqual(yield* Fiber.join(asked), nobody)
      assert.deepStrictEqual(drains, [{ reason: "handover", deadline: "5 seconds" }])
      assert.isUndefined(requested.pollUnsafe())
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(requested)
    })
  )

  it.effect("does not wait longer than it is told to", () =>
    Effect.gen(function* () {
      const { requested, shutdown } = yield* make
      yield* Effect.forkChild(shutdown.handover("5 seconds"), { startImmediately: true })
      yield* shutdown.request
      yield* Fiber.join(requested)
    })
  )
})

describe("ControlClient", () => {
  it.live("returns from a handover when the socket refuses, with what came of it", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const drained = { sessions: 2, calls: 1, cutOff: [{ server: "git", client: null, calls: 1 }] }
      const daemon = yield* Harness.serve({ servers: [], drained }).pipe(Scope.provide(scope))
      const client = yield* ControlClient.make(daemon)
      yield* daemon.shutdown.requested.pipe(Effect.andThen(Scope.close(scope, Exit.void)), Effect.forkChild)
      assert.deepStrictEqual(yield* client.handover({ timeout: "1 second" }), drained)
      assert.strictEqual((yield* Effect.flip(ControlClient.make(daemon)))._tag, "DaemonNotRunning")
    })
  )

  it.live("says so where the daemon knows no handover", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* Harness.temporaryDirectory
      const listener = yield* Harness.listen(runtimeDir)
      // As a daemon of before answers.
      listener.onConnection((socket: Net.Socket) => {
        socket.once("data", (line) => {
          const { id } = JSON.parse(String(line)) as { readonly id: string }
          const cause = [{ _tag: "Die", defect: "Unknown request tag: Handover" }]
          socket.write(`${JSON.stringify({ _tag: "Exit", requestId: id, exit: { _tag: "Failure", cause } })}\n`)
        })
        socket.resume()
      })
      const client = yield* ControlClient.make({ runtimeDir })
      const error = yield* Effect.flip(client.handover({ timeout: "1 second" }))
      assert.strictEqual(
        error.message,
        `the daemon at ${runtimeDir} is too old to hand over: stop it with "mcp-pool shutdown"`
      )
    })
  )
})
