import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Context, Deferred, Effect, Exit, Fiber, Layer, Queue, Scope, Stream } from "effect"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"
import { Connections, type ListChange, type Progress, RequestRejected } from "../../src/Connections.ts"
import * as ControlClient from "../../src/control/ControlClient.ts"
import {
  OutcomeUnknown,
  Overloaded,
  QueueTimeout,
  type RequestError,
  RequestTimeout,
  ResultTooLarge,
  ServerNotFound,
  ServerUnavailable
} from "../../src/PoolError.ts"
import { toWire } from "../../src/WireError.ts"
import * as RuntimeDir from "../../src/RuntimeDir.ts"
import * as SocketConnections from "../../src/proxy/SocketConnections.ts"
import { version } from "../../src/version.ts"
import * as Harness from "../control/ControlHarness.ts"
import * as DaemonProcess from "../support/DaemonProcess.ts"
import { type Message, textOf } from "../support/LineClient.ts"
import * as TestPool from "../support/TestPool.ts"

const connect = (runtimeDir: string) =>
  Effect.map(Layer.build(SocketConnections.layer({ runtimeDir })), Context.get(Connections))

/** A daemon with the fixture as `shared`, and the connections to it. */
const serving = Effect.gen(function* () {
  const runtimeDir = yield* TestPool.temporaryDirectory
  const daemon = yield* DaemonProcess.start(runtimeDir)
  return { daemon, runtimeDir, connections: yield* connect(runtimeDir) }
})

type Service = Connections["Service"]

const call = (
  { request }: Service,
  name: string,
  args: object = {},
  onProgress?: ((progress: Progress) => void) | undefined
) =>
  Effect.map(request("shared", "tools/call", { name, arguments: args }, { onProgress }), (result) =>
    textOf({ jsonrpc: "2.0", result: result as NonNullable<Message["result"]> })
  )

/** A call that stays in flight, once the server has it. */
const sleeping = Effect.fnUntraced(function* (connections: Service, label: string) {
  const asleep = yield* Deferred.make<void>()
  const onProgress = () => Deferred.doneUnsafe(asleep, Effect.void)
  const fiber = yield* Effect.forkScoped(call(connections, "sleep", { label }, onProgress))
  yield* Deferred.await(asleep)
  return fiber
})

const unavailable = (error: unknown): ServerUnavailable => {
  assert.instanceOf(error, ServerUnavailable)
  return error as ServerUnavailable
}

/** What is published from now on. */
const watch = Effect.fnUntraced(function* ({ changes }: Service) {
  const seen = yield* Queue.unbounded<ListChange>()
  yield* changes.pipe(
    Stream.runForEach((change) => Queue.offer(seen, change)),
    Effect.forkScoped({ startImmediately: true })
  )
  return seen
})

describe("SocketConnections of a daemon", () => {
  it.live("asks a server and gives its result as it came", () =>
    Effect.gen(function* () {
      const { connections } = yield* serving
      assert.deepStrictEqual(connections.names, ["shared"])
      yield* connections.ready
      const result = yield* connections.request("shared", "tools/call", {
        name: "echo",
        arguments: { text: "häł\n漢" }
      })
      assert.deepStrictEqual(result, { content: [{ type: "text", text: "häł\n漢" }] })
    })
  )

  it.live("finds the daemon where the command line does", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      yield* DaemonProcess.start(runtimeDir)
      const { names } = yield* SocketConnections.make().pipe(
        Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env: { MCP_POOL_RUNTIME_DIR: runtimeDir } })))
      )
      assert.deepStrictEqual(names, ["shared"])
    })
  )

  it.live("fails where no daemon is", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const error = yield* Effect.flip(connect(runtimeDir))
      assert.deepStrictEqual(error, new ControlClient.DaemonNotRunning({ runtimeDir, code: "ENOENT" }))
    })
  )

  it.live("knows no other servers than the daemon's", () =>
    Effect.gen(function* () {
      const { connections } = yield* serving
      const error = yield* Effect.flip(connections.request("share", "ping", {}))
      assert.deepStrictEqual(error, new ServerNotFound({ server: "share", names: ["shared"] }))
    })
  )

  it.live("tells of progress in order, before the result", () =>
    Effect.gen(function* () {
      const { connections } = yield* serving
      const seen: Array<Progress> = []
      const text = yield* call(connections, "progress", { count: 50, label: "x" }, (progress) => seen.push(progress))
      assert.strictEqual(text, "x")
      assert.deepStrictEqual(
        seen,
        Array.from({ length: 50 }, (_, i) => ({ progress: i + 1, total: 50, message: "x" }))
      )
    })
  )

  it.live("has many requests in flight over one connection", () =>
    Effect.gen(function* () {
      const { connections, runtimeDir } = yield* serving
      const sleepers = yield* Effect.all(
        Array.from({ length: 60 }, () => sleeping(connections, "many")),
        { concurrency: "unbounded" }
      )
      const { sessions } = yield* ControlClient.make({ runtimeDir })
      assert.deepStrictEqual(
        (yield* sessions).map(({ client, inFlight, version }) => ({ client, inFlight, version })),
        [{ client: "effect-mcp-pool", inFlight: 60, version }]
      )
      const words = Array.from({ length: 100 }, (_, i) => `word ${i}`)
      const echoes = words.map((text) => call(connections, "echo", { text }))
      assert.deepStrictEqual(yield* Effect.all(echoes, { concurrency: "unbounded" }), words)
      yield* call(connections, "wake", { label: "many" })
      const woken = yield* Effect.forEach(sleepers, (sleeper) => Fiber.join(sleeper))
      assert.deepStrictEqual(new Set(woken), new Set(["woken"]))
    })
  )

  it.live("cancels an interrupted request at the server, and no other", () =>
    Effect.gen(function* () {
      const { connections } = yield* serving
      const other = yield* sleeping(connections, "other")
      yield* Fiber.interrupt(yield* sleeping(connections, "mine"))
      const cancellations = JSON.parse(yield* call(connections, "until", { list: "cancellations", count: 1 }))
      assert.deepStrictEqual(
        cancellations.map(({ label }: { readonly label: unknown }) => label),
        ["mine"]
      )
      yield* call(connections, "wake", { label: "other" })
      assert.strictEqual(yield* Fiber.join(other), "woken")
    })
  )

  it.live("cancels a request that has no answer in time, and no other", () =>
    Effect.gen(function* () {
      const { connections } = yield* serving
      const other = yield* sleeping(connections, "other")
      const params = { name: "sleep", arguments: { label: "late" } }
      const error = yield* Effect.flip(connections.request("shared", "tools/call", params, { timeout: 1 }))
      assert.deepStrictEqual(error, new RequestTimeout({ server: "shared" }))
      const cancellations = JSON.parse(yield* call(connections, "until", { list: "cancellations", count: 1 }))
      assert.deepStrictEqual(
        cancellations.map(({ label }: { readonly label: unknown }) => label),
        ["late"]
      )
      yield* call(connections, "wake", { label: "other" })
      assert.strictEqual(yield* Fiber.join(other), "woken")
    })
  )

  it.live("fails with the server's own error", () =>
    Effect.gen(function* () {
      const { connections } = yield* serving
      const error = yield* Effect.flip(call(connections, "nope"))
      assert.deepStrictEqual(error, new RequestRejected({ server: "shared", code: -32602, reason: "no tool nope" }))
    })
  )

  it.live("does not know what became of a request whose process crashed, and goes on with the next", () =>
    Effect.gen(function* () {
      const { connections } = yield* serving
      const error = yield* Effect.flip(call(connections, "exit", { code: 3 }))
      assert.deepStrictEqual(error, new OutcomeUnknown({ server: "shared" }))
      assert.strictEqual(yield* call(connections, "echo", { text: "again" }), "again")
    })
  )

  it.live("says that a server is stopped, and how to start it", () =>
    Effect.gen(function* () {
      const { connections, runtimeDir } = yield* serving
      assert.strictEqual(yield* call(connections, "echo", { text: "before" }), "before")
      const { start, stop } = yield* ControlClient.make({ runtimeDir })
      yield* stop("shared")
      const error = unavailable(yield* Effect.flip(call(connections, "echo")))
      assert.deepStrictEqual(
        { ...error },
        {
          ...new ServerUnavailable({
            server: "shared",
            state: "stopped",
            failure: null,
            hint: "start it: mcp-pool start shared",
            nextAttemptAt: null
          })
        }
      )
      yield* start("shared")
      assert.strictEqual(yield* call(connections, "echo", { text: "after" }), "after")
    })
  )

  it.live("says why a server that never ran cannot be asked", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      yield* DaemonProcess.start(runtimeDir, () => ({ command: "no-such-command", args: [] }))
      const connections = yield* connect(runtimeDir)
      const { failure, hint, state } = unavailable(yield* Effect.flip(call(connections, "echo")))
      assert.deepStrictEqual({ failure, state }, { failure: "command-not-found", state: "failed" })
      assert.isNotNull(hint)
    })
  )

  it.live("fails with typed errors once the daemon is gone, and finds the next one", () =>
    Effect.gen(function* () {
      const { connections, daemon, runtimeDir } = yield* serving
      const changes = yield* watch(connections)
      const held = yield* sleeping(connections, "held")
      yield* daemon.signal("SIGKILL")
      assert.deepStrictEqual(yield* Effect.flip(Fiber.join(held)), new OutcomeUnknown({ server: "shared" }))
      yield* daemon.exited
      const error = unavailable(yield* Effect.flip(call(connections, "echo")))
      const hint = `is its daemon there? mcp-pool status --runtime-dir ${runtimeDir}`
      assert.strictEqual(error.message, `server "shared" is unreachable (ECONNREFUSED): ${hint}`)
      yield* connections.ready
      const again = yield* Effect.flip(connect(runtimeDir))
      assert.strictEqual(again.code, "ECONNREFUSED")

      yield* DaemonProcess.start(runtimeDir)
      assert.strictEqual(yield* call(connections, "echo", { text: "again" }), "again")
      // It may list other things.
      const lists = (yield* Queue.takeN(changes, 3)).map(({ list }) => list)
      assert.deepStrictEqual(lists, ["tools", "prompts", "resources"])
    })
  )

  it.live("tells when a server's list may have changed", () =>
    Effect.gen(function* () {
      const { connections } = yield* serving
      const changes = yield* watch(connections)
      yield* call(connections, "add_tool", { name: "new" })
      assert.deepStrictEqual(yield* Queue.take(changes), { server: "shared", list: "tools" })
    })
  )

  it.live("leaves nothing pending when its scope closes", () =>
    Effect.gen(function* () {
      const { connections, runtimeDir } = yield* serving
      const scope = yield* Scope.make()
      const mine = yield* Scope.provide(connect(runtimeDir), scope)
      const held = yield* sleeping(mine, "left")
      yield* Scope.close(scope, Exit.void)
      assert.instanceOf(yield* Effect.flip(Fiber.join(held)), OutcomeUnknown)
      assert.strictEqual(unavailable(yield* Effect.flip(call(mine, "echo"))).failure, "closed")
      const cancellations = JSON.parse(yield* call(connections, "until", { list: "cancellations", count: 1 }))
      assert.strictEqual(cancellations[0].label, "left")
    })
  )
})

interface Peer {
  readonly connections: Service
  /** What has come, in order. */
  readonly received: Queue.Queue<Message>
  readonly send: (message: object) => void
  readonly hangUp: () => void
}

/** A daemon whose server `shared` says what the test makes it say; unless `handshake` is false, it answers `initialize`. */
const scripted = Effect.fnUntraced(function* (options: { readonly handshake?: boolean } = {}) {
  const { runtimeDir } = yield* Harness.serve({ servers: [Harness.server("shared")] })
  const received = yield* Queue.unbounded<Message>()
  let socket: Net.Socket | undefined
  const send = (message: object) => void socket?.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`)
  const file = RuntimeDir.serverSocket(runtimeDir, "shared")
  yield* Effect.acquireRelease(
    Effect.callback<Net.Server>((resume) => {
      Fs.mkdirSync(Path.dirname(file), { recursive: true })
      const server = Net.createServer((connection) => {
        socket = connection.on("error", () => {})
        let text = ""
        connection.setEncoding("utf8").on("data", (chunk) => {
          const lines = (text + chunk).split("\n")
          text = lines.pop()!
          for (const line of lines) {
            const message = JSON.parse(line) as Message
            Queue.offerUnsafe(received, message)
            if (message.method === "initialize" && options.handshake !== false) send({ id: message.id, result: {} })
          }
        })
      }).listen(file, () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        socket?.destroy()
      })
  )
  return { connections: yield* connect(runtimeDir), received, send, hangUp: () => void socket?.end() } satisfies Peer
})

/** Such a server whose connection has a request in flight. */
const asked = Effect.fnUntraced(function* (
  params: { readonly [key: string]: unknown } = {},
  onProgress?: ((progress: Progress) => void) | undefined
) {
  const peer = yield* scripted()
  const fiber = yield* Effect.forkChild(peer.connections.request("shared", "tools/call", params, { onProgress }))
  const [, , request] = yield* Queue.takeN(peer.received, 3)
  return { ...peer, fiber, request: request! }
})

describe("SocketConnections", () => {
  it.live("shakes hands before it asks", () =>
    Effect.gen(function* () {
      const peer = yield* scripted()
      yield* Effect.forkChild(peer.connections.request("shared", "tools/call", { name: "x" }))
      const messages = yield* Queue.takeN(peer.received, 3)
      assert.deepStrictEqual(
        messages.map(({ method, params }) => ({ method, params })),
        [
          {
            method: "initialize",
            params: {
              protocolVersion: "2025-11-25",
              capabilities: {},
              clientInfo: { name: "effect-mcp-pool", version }
            }
          },
          { method: "notifications/initialized", params: undefined },
          { method: "tools/call", params: { name: "x" } }
        ]
      )
    })
  )

  it.live("answers a ping, and that it supports nothing else", () =>
    Effect.gen(function* () {
      const { received, send } = yield* asked()
      send({ id: "a", method: "ping" })
      send({ id: 7, method: "roots/list" })
      const [pong, refusal] = yield* Queue.takeN(received, 2)
      assert.deepStrictEqual(pong, { jsonrpc: "2.0", id: "a", result: {} })
      assert.strictEqual(refusal!.id, 7)
      assert.strictEqual(refusal!.error?.code, -32601)
    })
  )

  for (const error of [
    new ServerUnavailable({
      server: "shared",
      state: "crash-loop",
      failure: "port-in-use",
      hint: "free the port",
      nextAttemptAt: "2026-01-01T00:05:00.000Z"
    }),
    new ServerUnavailable({ server: "shared", state: "failed", failure: "unknown", hint: null, nextAttemptAt: null }),
    new ServerUnavailable({
      server: "shared",
      state: "refusing",
      failure: null,
      hint: "ask less",
      nextAttemptAt: null
    }),
    new ServerUnavailable({ server: "shared", state: "stopping", failure: null, hint: null, nextAttemptAt: null }),
    new OutcomeUnknown({ server: "shared" }),
    new RequestTimeout({ server: "shared" }),
    new QueueTimeout({ server: "shared" }),
    new ResultTooLarge({ server: "shared", maxLine: 1234 }),
    new Overloaded({ server: "shared", reason: "enough" })
  ] satisfies ReadonlyArray<RequestError>) {
    it.live(`gives back the pool's own error: ${error.message}`, () =>
      Effect.gen(function* () {
        const { fiber, request, send } = yield* asked()
        send({ id: request.id, error: JSON.parse(toWire(error)) })
        const failure = yield* Effect.flip(Fiber.join(fiber))
        assert.strictEqual(failure._tag, error._tag)
        assert.deepStrictEqual({ ...failure }, { ...error })
        assert.strictEqual(failure.message, error.message)
      })
    )
  }

  for (const data of [{ kind: "Other", server: "shared" }, { kind: "QueueTimeout", server: "another" }, 42]) {
    it.live(`leaves another's error as it is, with data ${JSON.stringify(data)}`, () =>
      Effect.gen(function* () {
        const { fiber, request, send } = yield* asked()
        send({ id: request.id, error: { code: 1, message: "no", data } })
        assert.deepStrictEqual(
          yield* Effect.flip(Fiber.join(fiber)),
          new RequestRejected({ server: "shared", code: 1, reason: "no", data })
        )
      })
    )
  }

  for (const answer of [{}, { error: "no" }]) {
    it.live(`fails where the answer is ${JSON.stringify(answer)}`, () =>
      Effect.gen(function* () {
        const { fiber, request, send } = yield* asked()
        send({ id: request.id, ...answer })
        const error = yield* Effect.flip(Fiber.join(fiber))
        assert.instanceOf(error, RequestRejected)
        assert.strictEqual((error as RequestRejected).code, -32603)
      })
    )
  }

  it.live("asks for progress under a token of its own, and passes on no other", () =>
    Effect.gen(function* () {
      const _meta = { progressToken: "theirs", "a.b/c": 1 }
      const quiet = yield* asked({ _meta })
      assert.deepStrictEqual(quiet.request.params, { _meta: { "a.b/c": 1 } })
      const loud = yield* asked({ _meta }, () => {})
      assert.deepStrictEqual(loud.request.params, { _meta: { "a.b/c": 1, progressToken: loud.request.id } })
    })
  )

  it.live("outlives a listener to progress that throws", () =>
    Effect.gen(function* () {
      const bug = new Error("a bug")
      const { connections, fiber, received, request, send } = yield* asked({}, () => {
        throw bug
      })
      send({ method: "notifications/progress", params: { progressToken: request.id, progress: 1 } })
      assert.deepStrictEqual(yield* Fiber.await(fiber), Exit.die(bug))
      const cancelled = yield* Queue.take(received)
      assert.strictEqual(cancelled.method, "notifications/cancelled")
      assert.strictEqual(cancelled.params?.["requestId"], request.id)
      const next = yield* Effect.forkChild(connections.request("shared", "tools/list", {}))
      send({ id: (yield* Queue.take(received)).id, result: 1 })
      assert.strictEqual(yield* Fiber.join(next), 1)
    })
  )

  it.live("ignores what is no message, and answers to nobody", () =>
    Effect.gen(function* () {
      const { fiber, request, send } = yield* asked()
      send({ id: 4711, result: {} })
      send({ id: String(request.id), result: {} })
      send({ method: 1 })
      send({ method: "notifications/progress", params: { progressToken: request.id } })
      send({ id: request.id, result: { ok: true } })
      assert.deepStrictEqual(yield* Fiber.join(fiber), { ok: true })
    })
  )

  it.live("dies of params that are no JSON, alone", () =>
    Effect.gen(function* () {
      const { connections, fiber, request, send } = yield* asked()
      const exit = yield* Effect.exit(connections.request("shared", "x", { n: 1n }))
      assert.isTrue(Exit.hasDies(exit))
      send({ id: request.id, result: 1 })
      assert.strictEqual(yield* Fiber.join(fiber), 1)
    })
  )

  it.live("takes 4,096 requests at once and no more", () =>
    Effect.gen(function* () {
      const { connections, request, send } = yield* asked()
      const ask = connections.request("shared", "tools/call", {})
      yield* Effect.forEach(Array(4095), () => Effect.forkChild(ask, { startImmediately: true }))
      const error = yield* Effect.flip(ask)
      const reason = "4096 requests are not answered yet"
      assert.deepStrictEqual(error, new Overloaded({ server: "shared", reason }))
      send({ id: request.id, result: {} })
    })
  )

  it.live("sends nothing of a request that is interrupted during the handshake", () =>
    Effect.gen(function* () {
      const { connections, received, send } = yield* scripted({ handshake: false })
      const ask = (method: string) =>
        Effect.forkChild(connections.request("shared", method, {}), { startImmediately: true })
      const first = yield* ask("first")
      const second = yield* ask("second")
      const { id } = yield* Queue.take(received)
      yield* Fiber.interrupt(first)
      send({ id, result: {} })
      const [, request] = yield* Queue.takeN(received, 2)
      assert.strictEqual(request!.method, "second")
      send({ id: request!.id, result: 2 })
      assert.strictEqual(yield* Fiber.join(second), 2)
    })
  )

  it.live("sends nothing of a request whose time is over during the handshake", () =>
    Effect.gen(function* () {
      const { connections, received, send } = yield* scripted({ handshake: false })
      const error = yield* Effect.flip(connections.request("shared", "first", {}, { timeout: 1 }))
      assert.deepStrictEqual(error, new RequestTimeout({ server: "shared" }))
      yield* Effect.forkChild(connections.request("shared", "second", {}), { startImmediately: true })
      send({ id: (yield* Queue.take(received)).id, result: {} })
      const [, request] = yield* Queue.takeN(received, 2)
      assert.strictEqual(request!.method, "second")
    })
  )

  it.live("was not heard where the connection closes during the handshake, and tries again", () =>
    Effect.gen(function* () {
      const { connections, hangUp, received, send } = yield* scripted({ handshake: false })
      const first = yield* Effect.forkChild(connections.request("shared", "first", {}))
      yield* Queue.take(received)
      hangUp()
      const { failure, state } = unavailable(yield* Effect.flip(Fiber.join(first)))
      assert.deepStrictEqual({ failure, state }, { failure: "it closed the connection", state: "unreachable" })
      const second = yield* Effect.forkChild(connections.request("shared", "second", {}))
      send({ id: (yield* Queue.take(received)).id, result: {} })
      const [, request] = yield* Queue.takeN(received, 2)
      send({ id: request!.id, result: 2 })
      assert.strictEqual(yield* Fiber.join(second), 2)
    })
  )

  it.live("fails as the handshake does", () =>
    Effect.gen(function* () {
      const { connections, received, send } = yield* scripted({ handshake: false })
      const fiber = yield* Effect.forkChild(connections.request("shared", "first", {}))
      const error = new QueueTimeout({ server: "shared" })
      send({ id: (yield* Queue.take(received)).id, error: JSON.parse(toWire(error)) })
      assert.deepStrictEqual(yield* Effect.flip(Fiber.join(fiber)), error)
    })
  )
})
