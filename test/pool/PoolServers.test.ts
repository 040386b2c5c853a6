/** What a new configuration makes of a pool that runs, over real sockets and real processes. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Option, Stream } from "effect"
import * as PoolConfig from "../../src/config/PoolConfig.ts"
import * as LineClient from "../support/LineClient.ts"
import * as Processes from "../support/Processes.ts"
import * as TestPool from "../support/TestPool.ts"
import * as Tools from "../support/Tools.ts"

const toolsOf = ({ result }: LineClient.Message) => (result?.["tools"] ?? []) as ReadonlyArray<unknown>

const methodsOf = (client: LineClient.LineClient) =>
  client.received().flatMap(({ method }) => (method === undefined ? [] : [method]))

const entryOf = (server: Parameters<typeof PoolConfig.fromServers>[0]) =>
  Effect.map(Effect.orDie(PoolConfig.fromServers(server)), ({ servers }) => servers[0]!)

describe("reload", () => {
  it.live("leaves what is as before untouched", () =>
    Effect.gen(function* () {
      const { connect, pool, reload, states } = yield* TestPool.make(({ bad, server }) => ({
        one: server("one"),
        wrong: { command: "" },
        crashing: bad("exits", { budget: { max: 0 } })
      }))
      const client = yield* connect("one")
      const before = yield* pool.status
      const steps = states.steps("one").length
      const same = ({ bad, server }: TestPool.Fixtures) => ({
        one: server("one"),
        wrong: { command: "" },
        crashing: bad("exits", { budget: { max: 0 } })
      })
      assert.deepStrictEqual(yield* reload(same), { one: "unchanged", wrong: "unchanged", crashing: "unchanged" })
      const after = yield* pool.status
      assert.deepStrictEqual(
        after.map(({ name, pid, restarts, state }) => [name, pid, restarts, state]),
        before.map(({ name, pid, restarts, state }) => [name, pid, restarts, state])
      )
      assert.strictEqual(states.steps("one").length, steps)
      yield* Tools.serves(client)
    })
  )

  it.live("rotates what changed under a steady load: no call fails or is lost, no session ends", () =>
    Effect.gen(function* () {
      const { connect, pool, reload } = yield* TestPool.make(({ server }) => ({ one: server("old") }))
      const clients = yield* Effect.forEach([1, 2, 3, 4], () => connect("one"))
      const old = yield* Tools.stats(clients[0]!)
      const moved = yield* Deferred.make<void>()
      /** Calls without a pause until some have gone to the new process. */
      const load = (client: LineClient.LineClient) =>
        Effect.gen(function* () {
          const pids = new Set<number>()
          for (let after = 0, i = 0; after < 20; i++) {
            const [echo, { pid }] = yield* Effect.all([client.call("echo", { text: `${i}` }), Tools.stats(client)], {
              concurrency: 2
            })
            assert.strictEqual(LineClient.textOf(echo), `${i}`)
            pids.add(pid)
            if (yield* Deferred.isDone(moved)) after++
          }
          return pids
        })
      const loads = yield* Effect.forEach(clients, (client) => Effect.forkChild(load(client)))
      // What is in flight meanwhile is the old one's to answer.
      yield* Tools.startSleeping(clients[0]!, "long", "long")
      assert.deepStrictEqual(yield* reload(({ server }) => ({ one: server("new") })), { one: "changed" })
      yield* Deferred.succeed(moved, undefined)
      const fresh = yield* Tools.stats(clients[1]!)
      assert.notStrictEqual(fresh.pid, old.pid)
      for (const loading of loads) {
        const pids = yield* Fiber.join(loading)
        assert.deepStrictEqual(
          [...pids].filter((pid) => pid !== old.pid),
          [fresh.pid]
        )
      }
      const [status] = yield* pool.status
      assert.deepInclude(status, { state: "running", pid: fresh.pid, sessions: 4, inFlight: 1, restarts: 1 })
      assert.deepStrictEqual(
        status?.processes.map(({ draining, inFlight, pid }) => [pid, draining, inFlight]),
        [
          [fresh.pid, false, 0],
          [old.pid, true, 1]
        ]
      )
      yield* clients[0]!.notify("notifications/cancelled", { requestId: "long" })
      yield* Processes.gone(old.pid)
      yield* Tools.serves(clients[0]!)
      assert.strictEqual((yield* pool.status)[0]?.processes.length, 1)
    })
  )

  it.live("brings progress, questions and their answers to whichever process has the call", () =>
    Effect.gen(function* () {
      const { dial, reload } = yield* TestPool.make(({ server }) => ({ one: server("old") }))
      const client = yield* dial("one")
      yield* client.request("initialize", {
        protocolVersion: "2025-11-25",
        capabilities: { sampling: {} },
        clientInfo: { name: "c", version: "1" }
      })
      yield* client.notify("notifications/initialized")
      const ask = {
        name: "ask",
        arguments: { method: "sampling/createMessage", params: { messages: [], maxTokens: 1 } }
      }
      yield* client.send({ id: "a", method: "tools/call", params: ask })
      const first = yield* client.notification("sampling/createMessage")
      assert.deepStrictEqual(yield* reload(({ server }) => ({ one: server("new") })), { one: "changed" })
      yield* client.send({ id: "b", method: "tools/call", params: ask })
      const second = yield* client.notification("sampling/createMessage")
      assert.notStrictEqual(first.id, second.id)
      yield* client.send({ id: second.id, result: { role: "assistant", to: "second" } })
      yield* client.send({ id: first.id, result: { role: "assistant", to: "first" } })
      assert.include(LineClient.textOf(yield* client.answer("a")), '"to":"first"')
      assert.include(LineClient.textOf(yield* client.answer("b")), '"to":"second"')
    })
  )

  it.live("tells the new process the sessions' log level and what they watch", () =>
    Effect.gen(function* () {
      const { connect, reload } = yield* TestPool.make(({ server }) => ({ one: server("old") }))
      const [one, other] = [yield* connect("one"), yield* connect("one")]
      yield* one.request("logging/setLevel", { level: "debug" })
      yield* one.request("resources/subscribe", { uri: "file:///a" })
      yield* other.request("resources/subscribe", { uri: "file:///b" })
      yield* other.request("resources/unsubscribe", { uri: "file:///b" })
      assert.deepStrictEqual(yield* reload(({ server }) => ({ one: server("new") })), { one: "changed" })
      assert.deepStrictEqual(yield* Tools.until(one, "levels", 1), ["debug"])
      assert.deepStrictEqual(yield* Tools.until(one, "subscriptions", 1), ["+file:///a"])
      yield* one.call("touch", { uri: "file:///a" })
      yield* one.notification("notifications/resources/updated")
      yield* other.call("touch", { uri: "file:///b" })
      assert.notInclude(methodsOf(other), "notifications/resources/updated")
    })
  )

  it.live("announces lists only where they are others", () =>
    Effect.gen(function* () {
      const { connect, pool, reload } = yield* TestPool.make(({ server }) => ({ one: server("old") }))
      const client = yield* connect("one")
      yield* reload(({ server }) => ({ one: server("same") }))
      yield* pool.awaitSettled
      yield* Tools.serves(client)
      assert.notInclude(methodsOf(client), "notifications/tools/list_changed")
      // This one's process lists one tool more than the next one will.
      yield* client.call("add_tool", { name: "extra" })
      yield* client.notification("notifications/tools/list_changed")
      const listed = yield* client.request("tools/list")
      assert.strictEqual(toolsOf(listed).length, 5)
      yield* reload(({ server }) => ({ one: server("again") }))
      yield* client.notification("notifications/tools/list_changed")
      assert.strictEqual(toolsOf(yield* client.request("tools/list")).length, 4)
      assert.deepStrictEqual(
        methodsOf(client).filter((method) => method.endsWith("list_changed")),
        ["notifications/tools/list_changed", "notifications/tools/list_changed"]
      )
    })
  )

  it.live("leaves the old process where the new one does not start, and says why", () =>
    Effect.gen(function* () {
      const { connect, logged, marker, pool, reload } = yield* TestPool.make(({ server }) => ({ one: server("one") }))
      const client = yield* connect("one")
      const { pid } = yield* Tools.stats(client)
      const changes = yield* reload(({ bad }) => ({ one: bad("exits", { restart: "never" }) }))
      assert.match(changes["one"] ?? "", /^kept: server "one" exited with code 3/)
      assert.strictEqual((yield* Tools.stats(client)).pid, pid)
      assert.deepStrictEqual(yield* Processes.withMarker(marker), [pid])
      const [status] = yield* pool.status
      assert.deepInclude(status, { state: "running", pid })
      assert.deepInclude(status?.lastFailure, { kind: "ProcessExited", phase: "handshake" })
      assert.isTrue(logged().some(({ message }) => message.startsWith("one not replaced: ")))
      // What is wrong in the file does not stop it either.
      const wrong = yield* reload(() => ({ one: { command: "" } }))
      assert.match(wrong["one"] ?? "", /^kept: .*"command": is empty/)
      // Right again, it is as it was all the time.
      assert.deepStrictEqual(yield* reload(({ server }) => ({ one: server("one") })), { one: "unchanged" })
      assert.strictEqual((yield* Tools.stats(client)).pid, pid)
    })
  )

  it.live("replaces what does not run, and starts it unless it was stopped", () =>
    Effect.gen(function* () {
      const { connect, pool, reload } = yield* TestPool.make(({ bad, server }) => ({
        looping: bad("exits", { budget: { max: 0 } }),
        missing: { command: "/no/such/command" },
        wrong: { command: "" },
        stopped: server("stopped")
      }))
      yield* pool.stop("stopped")
      const changes = yield* reload(({ server }) => ({
        looping: server("a"),
        missing: server("b"),
        wrong: server("c"),
        stopped: server("d")
      }))
      assert.deepStrictEqual(changes, { looping: "changed", missing: "changed", wrong: "changed", stopped: "changed" })
      const states = (yield* pool.status).map(({ name, state }) => [name, state])
      assert.deepStrictEqual(states, [
        ["looping", "running"],
        ["missing", "running"],
        ["wrong", "running"],
        ["stopped", "stopped"]
      ])
      yield* Tools.serves(yield* connect("looping"))
      yield* pool.start("stopped")
      yield* Tools.serves(yield* connect("stopped"))
    })
  )

  it.live("what waits for a process that is being started waits for the new one", () =>
    Effect.gen(function* () {
      const { dial, pool, reload, states } = yield* TestPool.make(({ bad }) => ({ one: bad("silent") }), {
        start: false
      })
      yield* Effect.forkScoped(pool.startAll)
      yield* states.reached("one", "starting")
      const client = yield* dial("one")
      yield* client.send({ id: "i", method: "initialize", params: { protocolVersion: "2025-11-25" } })
      yield* client.send({ id: "c", method: "tools/call", params: { name: "echo", arguments: { text: "hi" } } })
      yield* client.request("ping")
      assert.deepStrictEqual(yield* reload(({ server }) => ({ one: server("new") })), { one: "changed" })
      assert.deepInclude((yield* client.answer("i")).result, { protocolVersion: "2025-11-25" })
      assert.strictEqual(LineClient.textOf(yield* client.answer("c")), "hi")
      const [status] = yield* pool.status
      assert.deepInclude(status, { state: "running", sessions: 1, inFlight: 0 })
    })
  )

  it.live("starts what is new, at a socket of its own", () =>
    Effect.gen(function* () {
      const { connect, pool, reload } = yield* TestPool.make(({ server }) => ({ one: server("one") }))
      const changes = yield* reload(({ bad, server }) => ({
        bad: bad("exits", { restart: "never" }),
        two: server("two"),
        one: server("one")
      }))
      assert.match(changes["bad"] ?? "", /^added: server "bad" exited with code 3/)
      assert.deepInclude(changes, { two: "added", one: "unchanged" })
      assert.deepStrictEqual(pool.names, ["bad", "two", "one"])
      yield* Tools.serves(yield* connect("two"))
      assert.strictEqual((yield* pool.tools(Option.some("two"))).length, 4)
      const logs = yield* Stream.runCollect(pool.logs("two", { follow: false }))
      assert.isTrue(logs.some(({ text }) => text === "running"))
    })
  )

  it.live("refuses what comes to a removed server, answers what it has, then ends its sessions and its process", () =>
    Effect.gen(function* () {
      const { connect, dial, pool, reload } = yield* TestPool.make(({ server }) => ({
        one: server("one"),
        two: server("two")
      }))
      const client = yield* connect("two")
      const idle = yield* connect("two")
      const { pid } = yield* Tools.stats(client)
      yield* Tools.startSleeping(client, "last", "last")
      assert.deepStrictEqual(yield* reload(({ server }) => ({ one: server("one") })), {
        one: "unchanged",
        two: "removed"
      })
      assert.deepStrictEqual(pool.names, ["one"])
      assert.match((yield* Effect.flip(dial("two"))).message, /ENOENT/)
      const refused = yield* idle.call("echo", { text: "hi" })
      assert.deepInclude(refused.error?.data, { kind: "ServerUnavailable", server: "two", state: "removed" })
      assert.match(refused.error?.message ?? "", /^server "two" is no longer configured: /)
      assert.isTrue(yield* Processes.isAlive(pid))
      process.kill(pid, "SIGUSR1")
      assert.strictEqual(LineClient.textOf(yield* client.answer("last")), "woken")
      yield* client.closed
      yield* idle.closed
      yield* Processes.gone(pid)
      const gone = yield* Effect.flip(pool.endpoint("two"))
      assert.strictEqual(gone.message, 'no server "two": there are one')
      // And it may come back.
      assert.deepInclude(yield* reload(({ server }) => ({ one: server("one"), two: server("two") })), { two: "added" })
      yield* Tools.serves(yield* connect("two"))
    })
  )

  it.live("names that have the same process share it, from when on they have and as long", () =>
    Effect.gen(function* () {
      const { connect, marker, reload } = yield* TestPool.make(({ server }) => ({ a: server("x"), b: server("y") }))
      const [a, b] = [yield* connect("a"), yield* connect("b")]
      const [x, y] = [yield* Tools.stats(a), yield* Tools.stats(b)]
      assert.notStrictEqual(x.pid, y.pid)
      const merged = yield* reload(({ server }) => ({ a: server("x"), b: server("x"), c: server("x") }))
      assert.deepStrictEqual(merged, { a: "unchanged", b: "changed", c: "added" })
      assert.strictEqual((yield* Tools.stats(b)).pid, x.pid)
      assert.strictEqual((yield* Tools.stats(yield* connect("c"))).pid, x.pid)
      yield* Processes.gone(y.pid)
      assert.deepStrictEqual(yield* Processes.withMarker(marker), [x.pid])
      // Whose process it was first may leave it to the others.
      const split = yield* reload(({ server }) => ({ a: server("z"), b: server("x") }))
      assert.deepStrictEqual(split, { a: "changed", b: "unchanged", c: "removed" })
      assert.strictEqual((yield* Tools.stats(b)).pid, x.pid)
      const { pid: z } = yield* Tools.stats(a)
      assert.notStrictEqual(z, x.pid)
      assert.sameMembers([...(yield* Processes.withMarker(marker))], [x.pid, z])
      // And both may go to another at once.
      const both = yield* reload(({ server }) => ({ a: server("both"), b: server("both") }))
      assert.deepStrictEqual(both, { a: "changed", b: "changed" })
      assert.strictEqual((yield* Tools.stats(a)).pid, (yield* Tools.stats(b)).pid)
      yield* Effect.forEach([x.pid, z], Processes.gone)
    })
  )

  it.live("other settings are another process, those of a socket alone are not", () =>
    Effect.gen(function* () {
      const { connect, pool, reload, runtimeDir } = yield* TestPool.make(({ server }) => ({ one: server("one") }))
      const client = yield* connect("one")
      const { pid } = yield* Tools.stats(client)
      const socket = `${runtimeDir}/elsewhere.sock`
      assert.deepStrictEqual(yield* reload(({ server }) => ({ one: server("one", { socket }) })), { one: "changed" })
      assert.deepStrictEqual(yield* pool.socketPaths, { one: socket })
      const other = yield* LineClient.connect(socket)
      yield* other.initialize
      assert.strictEqual((yield* Tools.stats(other)).pid, pid)
      assert.deepStrictEqual(yield* reload(({ server }) => ({ one: server("one", { maxConcurrency: 2 }) })), {
        one: "changed"
      })
      assert.notStrictEqual((yield* Tools.stats(client)).pid, pid)
      yield* Tools.serves(other)
    })
  )

  it.live("sessions move from one process for all to one for each, told who they are, and back", () =>
    Effect.gen(function* () {
      const { connect, pool, reload } = yield* TestPool.make(({ server }) => ({ one: server("one") }))
      const [first, second] = [yield* connect("one"), yield* connect("one")]
      const shared = yield* Tools.stats(first)
      const own = ({ server }: TestPool.Fixtures) => ({ one: server("one", { sharing: "per-session" as const }) })
      assert.deepStrictEqual(yield* reload(own), { one: "changed" })
      const [mine, theirs] = [yield* Tools.stats(first), yield* Tools.stats(second)]
      assert.strictEqual(new Set([shared.pid, mine.pid, theirs.pid]).size, 3)
      assert.strictEqual(mine.initializations, 1)
      // Its own process may ask it anything, and it is asked.
      yield* first.send({ id: "q", method: "tools/call", params: { name: "ask", arguments: { method: "custom/ask" } } })
      const question = yield* first.notification("custom/ask")
      yield* first.send({ id: question.id, result: { mine: true } })
      assert.include(LineClient.textOf(yield* first.answer("q")), '"mine":true')
      yield* Processes.gone(shared.pid)
      assert.deepStrictEqual(yield* reload(({ server }) => ({ one: server("one") })), { one: "changed" })
      const again = yield* Tools.stats(first)
      assert.strictEqual((yield* Tools.stats(second)).pid, again.pid)
      yield* Effect.forEach([mine.pid, theirs.pid], Processes.gone)
      assert.deepInclude((yield* pool.status)[0], { state: "running", pid: again.pid, sessions: 2 })
      // Where none gets ready, sessions stay where they are.
      const bad = yield* reload(({ bad }) => ({ one: bad("exits", { sharing: "per-session", restart: "never" }) }))
      assert.match(bad["one"] ?? "", /^kept: .*exited with code 3/)
      assert.strictEqual((yield* Tools.stats(first)).pid, again.pid)
    })
  )

  it.live("two at once are one after the other", () =>
    Effect.gen(function* () {
      const { connect, marker, pool, reload } = yield* TestPool.make(({ server }) => ({ one: server("one") }))
      const client = yield* connect("one")
      const both = yield* Effect.all(
        [reload(({ server }) => ({ one: server("two") })), reload(({ server }) => ({ one: server("three") }))],
        { concurrency: 2 }
      )
      assert.deepStrictEqual(both, [{ one: "changed" }, { one: "changed" }])
      const { pid } = yield* Tools.stats(client)
      assert.strictEqual((yield* pool.status)[0]?.pid, pid)
      assert.deepStrictEqual(yield* reload(({ server }) => ({ one: server("three") })), { one: "unchanged" })
      yield* Effect.forEach(
        (yield* Processes.withMarker(marker)).filter((other) => other !== pid),
        Processes.gone
      )
    })
  )

  it.live("ends with the pool, whatever it is about", () =>
    Effect.gen(function* () {
      const { close, connect, reload, states } = yield* TestPool.make(({ server }) => ({ one: server("one") }))
      const client = yield* connect("one")
      yield* Tools.startSleeping(client, "x", "x")
      yield* reload(({ server }) => ({ one: server("two") }))
      const reloading = yield* Effect.forkChild(
        reload(({ bad }) => ({ one: bad("silent"), two: { ...bad("silent"), env: { N: "2" } } }))
      )
      yield* states.reached("two", "starting")
      yield* close
      yield* Fiber.await(reloading)
      yield* client.closed
    })
  )

  it.live("in-process sessions follow, and those of a removed server are closed", () =>
    Effect.gen(function* () {
      const { pool, reload } = yield* TestPool.make(({ server }) => ({ one: server("one") }))
      const transport = yield* pool.transport("one")
      const closed = yield* Deferred.make<void>()
      const answered = yield* Deferred.make<unknown>()
      transport.onclose = () => Deferred.doneUnsafe(closed, Effect.void)
      transport.onmessage = (message) => Deferred.doneUnsafe(answered, Effect.succeed(message))
      yield* Effect.promise(transport.start)
      yield* reload(({ server }) => ({ one: server("two") }))
      const call = {
        jsonrpc: "2.0" as const,
        id: 1,
        method: "tools/call",
        params: { name: "echo", arguments: { text: "hi" } }
      }
      yield* Effect.promise(() => transport.send(call))
      assert.deepInclude(yield* Deferred.await(answered), { id: 1 })
      yield* reload(() => ({}))
      yield* Deferred.await(closed)
    })
  )
})

describe("put", () => {
  it.live("shares with what a reload is starting meanwhile", () =>
    Effect.gen(function* () {
      const { connect, marker, pool, reload } = yield* TestPool.make(({ server }) => ({ one: server("one") }))
      const client = yield* connect("one")
      const { server } = TestPool.fixtures(marker)
      const same = yield* entryOf({ "one@/a": server("new") })
      const reloading = yield* Effect.forkChild(
        reload(({ server }) => ({ one: server("new") })),
        { startImmediately: true }
      )
      assert.deepInclude(yield* pool.put(same), { outcome: "added" })
      assert.deepStrictEqual(yield* Fiber.join(reloading), { one: "changed" })
      const { pid } = yield* Tools.stats(client)
      assert.deepStrictEqual(
        (yield* pool.status).map((status) => status.pid),
        [pid, pid]
      )
      yield* Effect.forEach(
        (yield* Processes.withMarker(marker)).filter((other) => other !== pid),
        Processes.gone
      )
    })
  )

  it.live("adds servers that a reload leaves alone, and that share what is there", () =>
    Effect.gen(function* () {
      const { marker, pool, reload } = yield* TestPool.make(({ server }) => ({ one: server("one") }))
      const { server } = TestPool.fixtures(marker)
      const same = yield* entryOf({ "one@/a": server("one") })
      const other = yield* entryOf({ "one@/b": server("b") })
      assert.deepStrictEqual(yield* pool.put(same), { server: "one@/a", outcome: "added", reason: null })
      assert.deepStrictEqual(yield* pool.put(other, { start: false }), {
        server: "one@/b",
        outcome: "added",
        reason: null
      })
      assert.deepStrictEqual(pool.names, ["one", "one@/a", "one@/b"])
      const [one, a, b] = yield* pool.status
      assert.strictEqual(one?.pid, a?.pid)
      assert.strictEqual(b?.state, "stopped")
      assert.deepStrictEqual(yield* reload(({ server }) => ({ one: server("other") })), { one: "changed" })
      const after = yield* pool.status
      assert.strictEqual(after[1]?.pid, one?.pid)
      assert.notStrictEqual(after[0]?.pid, one?.pid)
      assert.deepInclude(yield* pool.put(yield* entryOf({ one: server("x") })), { outcome: "kept" })
      yield* pool.remove("one@/a")
      yield* Processes.gone(one?.pid ?? 0)
      assert.deepStrictEqual(pool.names, ["one", "one@/b"])
      assert.strictEqual((yield* Effect.flip(pool.remove("one@/a")))._tag, "ServerNotFound")
      // Put again, it changes as by a reload.
      yield* pool.start("one@/b")
      const [, before] = yield* pool.status
      assert.deepInclude(yield* pool.put(yield* entryOf({ "one@/b": server("c") })), { outcome: "changed" })
      assert.notStrictEqual((yield* pool.status)[1]?.pid, before?.pid)
      assert.deepInclude(yield* pool.put(yield* entryOf({ "one@/b": server("c") })), { outcome: "unchanged" })
    })
  )
})
