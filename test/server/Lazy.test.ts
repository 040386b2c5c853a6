import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { randomUUID } from "node:crypto"
import * as PoolConfig from "../../src/config/PoolConfig.ts"
import * as RuntimeDir from "../../src/RuntimeDir.ts"
import * as LineClient from "../support/LineClient.ts"
import * as TestPool from "../support/TestPool.ts"
import * as Tools from "../support/Tools.ts"
import { pidOf, wayOf } from "./Supervision.ts"

const lists = ["tools/list", "resources/list", "resources/templates/list"]

const stateOf = ({ pool }: TestPool.TestPool) =>
  Effect.map(pool.status, ([one]) => [one?.state, one?.asleep, one?.processes.length, one?.restarts])

/** A pool of one lazy server that knows it: another one has run it before, on the same directory. */
const known = Effect.fnUntraced(function* (
  before: (client: LineClient.LineClient) => Effect.Effect<unknown, LineClient.NothingCame> = () => Effect.void
) {
  const runtimeDir = yield* TestPool.temporaryDirectory
  const first = yield* TestPool.make(({ server }) => ({ one: server("one") }), { runtimeDir, remembers: true })
  const client = yield* first.connect("one")
  yield* before(client)
  const answers = yield* Effect.forEach(lists, (method) => client.request(method))
  const handshake = yield* (yield* first.dial("one")).initialize
  yield* first.close
  const { marker } = first
  const options = { runtimeDir, remembers: true, marker }
  const second = yield* TestPool.make(({ server }) => ({ one: server("one", { start: "lazy" }) }), options)
  return { second, answers: answers.map(({ result }) => result), handshake: handshake.result }
})

describe("a lazy server", () => {
  it.live("is started once by the first of many calls at once, and is asleep until then", () =>
    Effect.gen(function* () {
      const test = yield* TestPool.make(({ server }) => ({ one: server("one") }), { pool: { start: "lazy" } })
      assert.deepStrictEqual(yield* stateOf(test), ["stopped", true, 0, 0])
      const clients = yield* Effect.forEach(Array.from({ length: 50 }), () => test.dial("one"))
      const pids = yield* Effect.forEach(clients, pidOf, { concurrency: "unbounded" })
      assert.lengthOf(new Set(pids), 1)
      assert.deepStrictEqual(yield* stateOf(test), ["running", false, 1, 0])
      assert.deepStrictEqual(wayOf(test.states), ["starting", "running"])
    })
  )

  it.live("that is not known is started by initialize", () =>
    Effect.gen(function* () {
      const test = yield* TestPool.make(({ server }) => ({ one: server("one") }), { pool: { start: "lazy" } })
      yield* test.connect("one")
      assert.deepStrictEqual(wayOf(test.states), ["starting", "running"])
    })
  )

  it.live("that is known answers initialize, its lists and a log level without any process", () =>
    Effect.gen(function* () {
      const { answers, handshake, second } = yield* known()
      const client = yield* second.dial("one")
      assert.deepStrictEqual((yield* client.initialize).result, handshake)
      const [tools, resources, templates] = yield* Effect.forEach(lists, (method) => client.request(method))
      assert.deepStrictEqual([tools?.result, templates?.result], [answers[0], answers[2]])
      // All pages are one.
      const items = resources?.result?.["resources"] as ReadonlyArray<{ readonly name: string }> | undefined
      const names = items?.map(({ name }) => name)
      assert.deepStrictEqual([names, resources?.result?.["nextCursor"]], [["b", "a"], undefined])
      assert.deepStrictEqual((yield* client.request("logging/setLevel", { level: "debug" })).result, {})
      assert.deepStrictEqual(wayOf(second.states), [])
      assert.deepStrictEqual(yield* stateOf(second), ["stopped", true, 0, 0])
      assert.strictEqual((yield* second.pool.status)[0]?.tools, 4)
      // What the process is told once it is there.
      assert.deepStrictEqual((yield* Tools.stats(client)).levels, ["debug"])
    })
  )

  it.live("that is known gives the very bytes that its process gave", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const marker = `fixture-${randomUUID()}`
      const reply = '{ "tools":[{"name":"é漢\\u00e9","inputSchema":{"type" : "object"},"n":1.0}],"more":[ ] }'
      const source = `
        require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
          const { id, method } = JSON.parse(line)
          const result = method === "initialize"
            ? '{"protocolVersion":"2025-11-25","capabilities":{"tools":{}}}'
            : ${JSON.stringify(reply)}
          if (id !== undefined) console.log('{"jsonrpc":"2.0","id":' + id + ',"result":' + result + '}')
        })`
      const said: Array<ReadonlyArray<string>> = []
      for (const start of ["eager", "lazy"] as const) {
        const one = { command: process.execPath, args: ["-e", source, marker], pool: { start } }
        const test = yield* TestPool.make(() => ({ one }), { runtimeDir, remembers: true, marker })
        yield* test.pool.awaitSettled
        said.push(yield* LineClient.rawAnswers(RuntimeDir.serverSocket(runtimeDir, "one"), ["tools/list", "ping"]))
        assert.lengthOf(test.states.steps("one"), start === "eager" ? 2 : 0)
        yield* test.close
      }
      assert.include(said[0]?.[0], reply)
      assert.deepStrictEqual(said[1], said[0])
    })
  )

  it.live("is no news where its process lists what was known, and once where it lists something else", () =>
    Effect.gen(function* () {
      for (const isChanged of [false, true]) {
        const { second } = yield* known((client) =>
          isChanged ? client.call("add_tool", { name: "more" }) : Effect.void
        )
        const client = yield* second.connect("one")
        const other = yield* second.connect("one")
        const names = yield* client.request("tools/list")
        assert.lengthOf(names.result?.["tools"] as ReadonlyArray<unknown>, isChanged ? 5 : 4)
        yield* Tools.serves(client)
        const told = () => client.received().filter(({ method }) => method?.endsWith("/list_changed"))
        if (isChanged) {
          for (const each of [client, other]) yield* each.notification("notifications/tools/list_changed")
        }
        // By now every list has been read.
        yield* client.request("prompts/list")
        yield* second.pool.awaitSettled
        yield* client.request("resources/list")
        assert.lengthOf(told(), isChanged ? 1 : 0)
        assert.lengthOf((yield* client.request("tools/list")).result?.["tools"] as ReadonlyArray<unknown>, 4)
        yield* second.close
      }
    })
  )

  it.live("that fails answers its calls so, the first one and those after it", () =>
    Effect.gen(function* () {
      const test = yield* TestPool.make(({ bad }) => ({ one: bad("exits", { restart: "never" }) }), {
        pool: { start: "lazy" }
      })
      const client = yield* test.dial("one")
      for (let i = 0; i < 2; i++) {
        const answer = yield* client.call("echo")
        assert.strictEqual(LineClient.kindOf(answer), "ServerUnavailable")
      }
      assert.deepStrictEqual(wayOf(test.states), ["starting", "failed"])
    })
  )

  it.live("that crashes as it starts is started again within its budget, for the call that waits", () =>
    Effect.gen(function* () {
      const pool = { start: "lazy", budget: { max: 2, base: 0 } } as const
      const test = yield* TestPool.make(({ bad }) => ({ one: bad("exits", pool) }))
      const client = yield* test.dial("one")
      assert.strictEqual(LineClient.kindOf(yield* client.call("echo")), "ServerUnavailable")
      assert.deepStrictEqual(wayOf(test.states), ["starting", "restarting", "crash-loop"])
      assert.strictEqual(LineClient.kindOf(yield* client.call("echo")), "ServerUnavailable")
    })
  )

  it.live("is stopped for good by hand, asleep or not, and started by hand", () =>
    Effect.gen(function* () {
      const { second } = yield* known()
      const { pool } = second
      const client = yield* second.connect("one")
      yield* pool.stop("one")
      assert.strictEqual(LineClient.kindOf(yield* client.call("echo")), "ServerUnavailable")
      assert.strictEqual(LineClient.kindOf(yield* client.request("tools/list")), "ServerUnavailable")
      assert.isUndefined((yield* (yield* second.dial("one")).initialize).error)
      assert.deepStrictEqual(yield* stateOf(second), ["stopped", false, 0, 0])
      yield* pool.start("one")
      yield* Tools.serves(client)
      yield* pool.stop("one")
      assert.strictEqual(LineClient.kindOf(yield* client.call("echo")), "ServerUnavailable")
      assert.deepStrictEqual(wayOf(second.states), ["starting", "running", "stopping", "stopped"])
    })
  )

  it.live("goes back to sleep where its process ends itself in order", () =>
    Effect.gen(function* () {
      const test = yield* TestPool.make(({ server }) => ({ one: server("one") }), { pool: { start: "lazy" } })
      const client = yield* test.connect("one")
      const ended = yield* client.call("exit", { code: 0 })
      assert.strictEqual(LineClient.kindOf(ended), "OutcomeUnknown")
      yield* test.states.reached("one", "stopped")
      assert.deepStrictEqual((yield* stateOf(test)).slice(0, 2), ["stopped", true])
      yield* Tools.serves(client)
    })
  )

  it.live("that another takes the place of is lazy still, and one that runs is left alone", () =>
    Effect.gen(function* () {
      const test = yield* TestPool.make(({ server }) => ({ one: server("one") }), { pool: { start: "lazy" } })
      const client = yield* test.dial("one")
      const reload = Effect.fnUntraced(function* (label: string, ...names: ReadonlyArray<string>) {
        const options = TestPool.fixtures(test.marker).server(label)
        const servers = Object.fromEntries(names.map((name) => [name, options]))
        const config = yield* PoolConfig.fromServers(servers, { pool: { start: "lazy" } })
        return (yield* test.pool.reload(config.servers)).map(({ outcome }) => outcome)
      })
      assert.deepStrictEqual(yield* reload("two", "one"), ["changed"])
      assert.deepStrictEqual((yield* stateOf(test)).slice(0, 3), ["stopped", true, 0])
      const pid = yield* pidOf(client)
      assert.deepStrictEqual(yield* reload("two", "one", "same"), ["unchanged", "added"])
      assert.strictEqual(yield* pidOf(client), pid)
      assert.deepStrictEqual((yield* stateOf(test)).slice(0, 3), ["running", false, 1])
      yield* test.pool.stop("one")
      assert.deepStrictEqual(yield* reload("three", "one"), ["changed", "removed"])
      assert.strictEqual(LineClient.kindOf(yield* client.call("echo")), "ServerUnavailable")
    })
  )

  it.live("with a mistake in its configuration says so at once", () =>
    Effect.gen(function* () {
      const test = yield* TestPool.make(() => ({ one: { command: "" } }), { pool: { start: "lazy" } })
      assert.deepStrictEqual((yield* stateOf(test)).slice(0, 2), ["failed", false])
    })
  )

  it.live("with a process for each session is started by the first session that says who it is", () =>
    Effect.gen(function* () {
      const pool = { start: "lazy", sharing: "per-session" } as const
      const test = yield* TestPool.make(({ server }) => ({ one: server("one", pool) }))
      const client = yield* test.dial("one")
      assert.deepStrictEqual(yield* stateOf(test), ["stopped", true, 0, 0])
      assert.isUndefined((yield* client.initialize).error)
      const other = yield* test.connect("one")
      assert.notStrictEqual(yield* pidOf(client), yield* pidOf(other))
      yield* test.pool.stop("one")
      assert.strictEqual(LineClient.kindOf(yield* client.call("echo")), "ServerUnavailable")
    })
  )
})

describe("idleStop", () => {
  it.live("ends a process that nobody uses; sessions stay, lists are known, and the next call starts another", () =>
    Effect.gen(function* () {
      const test = yield* TestPool.make(({ server }) => ({ one: server("one", { idleStop: "1 second" }) }))
      const client = yield* test.connect("one")
      const pid = yield* pidOf(client)
      const { result } = yield* client.request("tools/list")
      const { cause } = yield* test.states.reached("one", "stopped")
      assert.strictEqual(cause, "idle")
      assert.deepStrictEqual(yield* stateOf(test), ["stopped", true, 0, 0])
      assert.deepStrictEqual((yield* client.request("tools/list")).result, result)
      assert.isUndefined((yield* (yield* test.dial("one")).initialize).error)
      assert.lengthOf(test.states.steps("one"), 4)
      const pids = yield* Effect.all([pidOf(client), pidOf(client)], { concurrency: 2 })
      assert.strictEqual(pids[0], pids[1])
      assert.notStrictEqual(pids[0], pid)
      assert.deepStrictEqual(yield* stateOf(test), ["running", false, 1, 0])
      assert.deepStrictEqual(wayOf(test.states), ["starting", "running", "stopping", "stopped", "starting", "running"])
      assert.deepStrictEqual(
        client.received().filter(({ method }) => method?.endsWith("list_changed")),
        []
      )
    })
  )

  it.live("lets a call wait that comes while the process ends", () =>
    Effect.gen(function* () {
      const test = yield* TestPool.make(({ bad }) => ({
        one: bad("stubborn", { idleStop: "300 millis", stop: { stdin: "100 millis", term: "100 millis" } })
      }))
      const client = yield* test.connect("one")
      const pid = yield* pidOf(client)
      yield* test.states.reached("one", "stopping")
      const call = yield* Effect.forkChild(pidOf(client))
      assert.notStrictEqual(yield* Fiber.join(call), pid)
    })
  )
})
