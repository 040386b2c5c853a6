/** What an HTTP listener does where another program has its address. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Logger, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as net from "node:net"
import { defaultIdle } from "../../src/http/HttpOptions.ts"
import * as HttpListener from "../../src/listen/HttpListener.ts"
import * as SocketSessions from "../../src/listen/SocketSessions.ts"
import * as McpPool from "../../src/McpPool.ts"
import * as RuntimeDir from "../../src/RuntimeDir.ts"
import * as HttpClient from "../support/HttpClient.ts"
import * as TestPool from "../support/TestPool.ts"

/** Another program, at a port of its own. */
const another = Effect.callback<net.Server>((resume) => {
  const server = net.createServer().listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
})

const isHealthy = (target: HttpClient.Target) =>
  Effect.map(HttpClient.ask(target, { path: "/health" }), ({ status }) => status === 200)

const setUp = Effect.gen(function* () {
  const { pool, runtimeDir } = yield* TestPool.make(() => ({}))
  const other = yield* Effect.acquireRelease(another, (server) => Effect.sync(() => server.close()))
  const { port } = other.address() as net.AddressInfo
  const said = { tried: yield* Deferred.make<void>(), listens: yield* Deferred.make<void>() }
  const logger = Logger.make(({ message }) => {
    if (/tried again/.test(String(message))) Deferred.doneUnsafe(said.tried, Effect.void)
    if (/HTTP at/.test(String(message))) Deferred.doneUnsafe(said.listens, Effect.void)
  })
  const listen = (waits: boolean) =>
    HttpListener.make({
      address: { host: "127.0.0.1", port },
      auth: "none",
      allowedHosts: [],
      idle: defaultIdle,
      waits,
      runtimeDir
    }).pipe(
      Effect.provideService(McpPool.McpPool, pool),
      Effect.provide([Logger.layer([logger]), SocketSessions.layer])
    )
  return { other, port, listen, said, socketPath: RuntimeDir.httpSocket(runtimeDir) }
})

describe("an HTTP listener whose address another program has", () => {
  it.effect("fails, and says what to do", () =>
    Effect.gen(function* () {
      const { listen, port } = yield* setUp
      assert.strictEqual(
        (yield* Effect.flip(listen(false))).message,
        `cannot serve HTTP: http://127.0.0.1:${port}: another program listens there: ` +
          "end it, or choose another port with --http"
      )
    })
  )

  it.effect("serves its socket meanwhile where it may wait, and the address once that is free", () =>
    Effect.gen(function* () {
      const { listen, other, port, said, socketPath } = yield* setUp
      const scope = yield* Scope.make()
      const listener = yield* listen(true).pipe(Scope.provide(scope))
      yield* Deferred.await(said.tried)
      assert.isFalse(listener.isListening())
      assert.isTrue(yield* isHealthy({ socketPath }))
      yield* Effect.callback<void>((resume) => void other.close(() => resume(Effect.void)))
      yield* TestClock.adjust("10 seconds")
      yield* Deferred.await(said.listens)
      assert.isTrue(listener.isListening())
      assert.deepInclude(listener, { port, url: `http://127.0.0.1:${port}` })
      assert.isTrue(yield* isHealthy(listener))
      yield* Scope.close(scope, Exit.void)
      assert.isFalse(listener.isListening())
    })
  )

  it.effect("ends while it waits", () =>
    Effect.gen(function* () {
      const { listen, said } = yield* setUp
      const listener = yield* Effect.scoped(Effect.tap(listen(true), () => Deferred.await(said.tried)))
      assert.isFalse(listener.isListening())
    })
  )
})
