import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Switch } from "../../src/mux/Switch.ts"
import type { Client as UpstreamClient } from "../../src/mux/Upstream.ts"
import * as Vacancy from "../../src/mux/Vacancy.ts"
import { type Client, fakeTimers, makeMux, type Message, type Mux, notification, request } from "./MuxHarness.ts"

const capabilities = { tools: { listChanged: true }, resources: { subscribe: true }, logging: {}, tasks: {} }
const call = (id: unknown, name = "echo") => request(id, "tools/call", { name, arguments: {} })

/** A server whose process lists nothing but tools. */
const makeServer = (tools: ReadonlyArray<string> = ["echo"], options?: Parameters<typeof makeMux>[0]) => {
  const mux = makeMux(options)
  const process = mux.attach({
    capabilities,
    isEmpty: true,
    tools: tools.map((name) => ({ name, inputSchema: { type: "object" as const } }))
  })
  return { mux, process }
}

/** A name with its server and so many clients, and how it gets another. */
const make = (count: number, options?: Parameters<typeof makeMux>[0]) => {
  const old = makeServer(["echo"], options)
  const upstream = new Switch(old.mux.sharing)
  const clients = Array.from({ length: count }, () => old.mux.client({ upstream, initialized: true }))
  /** Which servers it has left for good: the first is 0. */
  const left: Array<number> = []
  const servers = [old.mux]
  let current = 0
  const moveTo = (next: Mux) => {
    const before = current
    if (!servers.includes(next)) servers.push(next)
    current = servers.indexOf(next)
    upstream.moveTo(next.sharing, () => left.push(before))
  }
  return { old, upstream, clients, moveTo, left }
}

const ids = (messages: ReadonlyArray<Message>) => messages.map(({ id, method }) => id ?? method)
const sessionsOf = ({ sharing }: Mux): ReadonlyArray<UpstreamClient> => [...sharing.clients]
const named = (messages: ReadonlyArray<Message>, method: string) =>
  messages.filter((message) => message.method === method)

describe("Switch", () => {
  it.effect(
    "what a process has it answers, what comes goes to the next, and then the session leaves the one before",
    () =>
      Effect.gen(function* () {
        const { clients, left, moveTo, old } = make(1)
        const [client] = clients as [Client]
        client.send(call("old"))
        const [held] = named(yield* old.process.told, "tools/call")
        const next = makeServer()
        moveTo(next.mux)
        client.send(call("new"))
        const [fresh] = named(yield* next.process.told, "tools/call")
        assert.deepStrictEqual(named(yield* old.process.told, "tools/call"), [])
        next.process.answer(fresh!)
        assert.deepStrictEqual(ids(yield* client.told), ["new"])
        assert.deepStrictEqual([left, sessionsOf(next.mux).length, client.session.inFlight], [[], 1, 1])
        old.process.answer(held!)
        assert.deepStrictEqual(ids(yield* client.told), ["old"])
        assert.deepStrictEqual(left, [0])
        assert.strictEqual(client.session.inFlight, 0)
      })
  )

  it.effect("what no process has seen goes on with the next, in its order", () =>
    Effect.gen(function* () {
      const { clients, left, moveTo, old } = make(1, { maxInFlight: 1 })
      const [client] = clients as [Client]
      client.send(call(1), call(2), call(3))
      const [held, ...others] = named(yield* old.process.told, "tools/call")
      assert.deepStrictEqual(others, [])
      const next = makeServer()
      moveTo(next.mux)
      const passed = named(yield* next.process.told, "tools/call")
      assert.strictEqual(passed.length, 2)
      assert.strictEqual(client.session.inFlight, 3)
      for (const message of passed) next.process.answer(message)
      old.process.answer(held!)
      assert.deepStrictEqual(ids(yield* client.told), [2, 3, 1])
      assert.deepStrictEqual(left, [0])
      assert.strictEqual(old.mux.account.trafficOf("git").inFlight, 0)
      assert.strictEqual(old.mux.account.trafficOf("git").outcomes.ok, 1)
    })
  )

  it.effect("what waits without a process goes on with the next: initialize, a level, a subscription, a call", () =>
    Effect.gen(function* () {
      const starting = makeMux()
      const upstream = new Switch(starting.sharing)
      const client = starting.client({ upstream })
      client.send(
        request("i", "initialize", { protocolVersion: "2025-11-25", capabilities: {} }),
        request("l", "logging/setLevel", { level: "debug" }),
        request("s", "resources/subscribe", { uri: "file:///a" }),
        call("c")
      )
      assert.deepStrictEqual(yield* client.told, [])
      const next = makeServer()
      const left: Array<string> = []
      upstream.moveTo(next.mux.sharing, () => left.push("left"))
      assert.deepStrictEqual(left, ["left"])
      const told = yield* next.process.told
      for (const message of told) if (message.id !== undefined) next.process.answer(message)
      assert.deepStrictEqual(
        ["logging/setLevel", "resources/subscribe", "tools/call"].map((method) => named(told, method).length),
        [1, 1, 1]
      )
      assert.deepStrictEqual(ids(yield* client.told).sort(), ["c", "i", "l", "s"])
      assert.strictEqual(client.session.inFlight, 0)
      // What the one before would say to that is not heard.
      starting.attach({ capabilities, isEmpty: true })
      assert.deepStrictEqual(yield* client.told, [])
    })
  )

  it.effect("the one before says nothing more but to what it has", () =>
    Effect.gen(function* () {
      const { clients, moveTo, old } = make(2)
      const [client, other] = clients as [Client, Client]
      client.send(request("s", "resources/subscribe", { uri: "file:///a" }))
      for (const message of named(yield* old.process.told, "resources/subscribe")) old.process.answer(message)
      client.send({ ...request("c", "tools/call", { name: "echo", _meta: { progressToken: "t" } }) })
      const [held] = named(yield* old.process.told, "tools/call")
      yield* client.told
      const next = makeServer()
      moveTo(next.mux)
      const [subscribed] = named(yield* next.process.told, "resources/subscribe")
      assert.deepStrictEqual(subscribed?.params, { uri: "file:///a" })
      next.process.answer(subscribed!)
      // Nobody watches it there any more.
      assert.strictEqual(named(yield* old.process.told, "resources/unsubscribe").length, 1)
      old.process.say(notification("notifications/resources/updated", { uri: "file:///a" }))
      old.process.say(notification("notifications/tools/list_changed"))
      old.process.say(notification("notifications/progress", { progressToken: held!.id, progress: 1 }))
      old.process.say(notification("notifications/message", { level: "error", data: "its call's" }))
      assert.deepStrictEqual(ids(yield* client.told), ["notifications/progress", "notifications/message"])
      assert.deepStrictEqual(yield* other.told, [])
      next.process.say(notification("notifications/resources/updated", { uri: "file:///a" }))
      assert.deepStrictEqual(ids(yield* client.told), ["notifications/resources/updated"])
    })
  )

  it.effect("lists are announced where they are others, to who was there", () =>
    Effect.gen(function* () {
      const { clients, moveTo } = make(1)
      const [client] = clients as [Client]
      const same = makeServer(["echo"])
      moveTo(same.mux)
      yield* same.process.told
      assert.deepStrictEqual(yield* client.told, [])
      // Before these are compared, others come: what the session was given counts.
      const slow = makeMux()
      moveTo(slow)
      const next = makeServer(["echo", "more"])
      moveTo(next.mux)
      for (let i = 0; i < 4; i++) yield* next.process.told
      assert.deepStrictEqual(ids(yield* client.told), ["notifications/tools/list_changed"])
      const back = makeMux()
      moveTo(back)
      const late = back.attach({ capabilities, isEmpty: true, tools: [] })
      for (let i = 0; i < 4; i++) yield* late.told
      assert.deepStrictEqual(ids(yield* client.told), ["notifications/tools/list_changed"])
    })
  )

  it.effect("answers to questions and cancellations reach whichever has them", () =>
    Effect.gen(function* () {
      const { old, upstream } = make(0)
      const client = old.mux.client({ upstream })
      client.send(
        request("i", "initialize", { protocolVersion: "2025-11-25", capabilities: { sampling: {} } }),
        notification("notifications/initialized"),
        call("asks"),
        call("long")
      )
      const [asks, long] = named(yield* old.process.told, "tools/call")
      old.process.say(request("q", "sampling/createMessage", { messages: [] }))
      const next = makeServer()
      upstream.moveTo(next.mux.sharing, () => {})
      client.send(call("asks too"))
      const [fresh] = named(yield* next.process.told, "tools/call")
      next.process.say(request("q", "sampling/createMessage", { messages: [] }))
      const questions = named(yield* client.told, "sampling/createMessage")
      assert.strictEqual(new Set(questions.map(({ id }) => id)).size, 2)
      for (const [i, { id }] of questions.entries()) client.send({ jsonrpc: "2.0", id, result: { i } })
      client.send(notification("notifications/cancelled", { requestId: "long" }))
      const [answered, cancelled] = yield* old.process.told
      assert.deepStrictEqual([answered?.id, answered?.result], ["q", { i: 0 }])
      assert.deepStrictEqual(cancelled?.params?.["requestId"], long!.id)
      assert.deepInclude((yield* next.process.told)[0], { id: "q", result: { i: 1 } })
      old.process.answer(asks!)
      next.process.answer(fresh!)
      assert.deepStrictEqual(ids(yield* client.told), ["asks", "asks too"])
    })
  )

  it.effect("a task is asked about where it runs, until it is over", () =>
    Effect.gen(function* () {
      yield* fakeTimers
      const { clients, left, moveTo, old } = make(1)
      const [client] = clients as [Client]
      client.send(request("t", "tools/call", { name: "echo", task: {} }))
      const [made] = named(yield* old.process.told, "tools/call")
      old.process.answer(made!, { task: { taskId: "1", status: "working" } })
      yield* client.told
      const next = makeServer()
      moveTo(next.mux)
      assert.deepStrictEqual(left, [])
      client.send(request("g", "tasks/get", { taskId: "1" }), request("x", "tasks/get", { taskId: "2" }))
      const [get] = named(yield* old.process.told, "tasks/get")
      assert.deepStrictEqual(get?.params, { taskId: "1" })
      assert.strictEqual((yield* client.told)[0]?.error?.code, -32602)
      client.send(request("r", "tasks/result", { taskId: "1" }))
      const [result] = named(yield* old.process.told, "tasks/result")
      old.process.answer(get!, { taskId: "1", status: "completed" })
      assert.deepStrictEqual(left, [])
      old.process.answer(result!)
      assert.deepStrictEqual(ids(yield* client.told), ["g", "r"])
      assert.deepStrictEqual(left, [0])
    })
  )

  it.effect("a crash of the one before sends on what may be run twice, and tells of the rest", () =>
    Effect.gen(function* () {
      const { clients, left, moveTo, old } = make(1)
      const [client] = clients as [Client]
      client.send(call("once"), request("reads", "resources/read", { uri: "file:///a" }))
      yield* old.process.told
      const between = makeServer()
      moveTo(between.mux)
      const next = makeServer()
      moveTo(next.mux)
      assert.deepStrictEqual(left, [1])
      old.mux.detach()
      const [read] = named(yield* next.process.told, "resources/read")
      assert.deepStrictEqual(named(yield* between.process.told, "resources/read"), [])
      next.process.answer(read!)
      const [once, reads] = yield* client.told
      assert.deepInclude(once?.error?.data, { kind: "OutcomeUnknown" })
      assert.strictEqual(reads?.id, "reads")
      assert.deepStrictEqual(left, [1, 0])
      assert.strictEqual(client.session.inFlight, 0)
    })
  )

  it.effect("sessions may come back before they have left, and leave while something is under way", () =>
    Effect.gen(function* () {
      const { clients, left, moveTo, old } = make(2)
      const [client, gone] = clients as [Client, Client]
      client.send(call("a"))
      gone.send(call("b"))
      const held = named(yield* old.process.told, "tools/call")
      const next = makeServer()
      moveTo(next.mux)
      gone.session.close()
      assert.strictEqual(named(yield* old.process.told, "notifications/cancelled").length, 1)
      moveTo(old.mux)
      // Of the first move, which is undone, and of the second.
      assert.deepStrictEqual(left, [0, 1])
      client.send(call("c"))
      const [fresh] = named(yield* old.process.told, "tools/call")
      old.process.answer(fresh!)
      old.process.answer(held[0]!)
      assert.deepStrictEqual(ids(yield* client.told), ["c", "a"])
      assert.deepStrictEqual(sessionsOf(old.mux), [client.session])
      assert.deepStrictEqual(sessionsOf(next.mux), [])
    })
  )

  it.effect("behind a name without a server everything is refused, and what is under way is answered", () =>
    Effect.gen(function* () {
      const { clients, old, upstream } = make(1)
      const [client] = clients as [Client]
      client.send(call("a"))
      const [held] = named(yield* old.process.told, "tools/call")
      const left: Array<string> = []
      upstream.moveTo(Vacancy.make("git", old.mux.account), () => left.push("left"))
      client.send(
        call("c"),
        request("t", "tools/list"),
        request("i", "initialize", { protocolVersion: "2025-11-25" }),
        request("l", "logging/setLevel", { level: "info" }),
        request("s", "resources/subscribe", { uri: "file:///a" }),
        request("p", "ping")
      )
      const answers = yield* client.told
      assert.deepStrictEqual(ids(answers), ["c", "t", "i", "l", "s", "p"])
      for (const { error, id } of answers)
        assert.strictEqual(error?.data?.["state"], id === "p" ? undefined : "removed")
      assert.deepStrictEqual(left, [])
      old.process.answer(held!)
      assert.deepStrictEqual(ids(yield* client.told), ["a"])
      assert.deepStrictEqual(left, ["left"])
    })
  )
})
