import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { methods } from "./Messages.ts"
import { type Client, makeMux, makeShared, type Message, notification, request } from "./MuxHarness.ts"

const capable = request("i", "initialize", {
  protocolVersion: "2025-11-25",
  capabilities: { sampling: {} },
  clientInfo: { name: "t", version: "1" }
})

/** Two clients that can be asked, at a server that has tasks. */
const makeTwo = Effect.fnUntraced(function* () {
  const { clients, server } = makeShared(2, {}, { capabilities: { tasks: { requests: {} } } })
  const [one, other] = clients as [Client, Client]
  for (const client of [one, other]) {
    client.send(capable)
    yield* client.told
  }
  return { one, other, server }
})

const call = (id: unknown, name: string, params: object = {}) => request(id, "tools/call", { name, ...params })

const aboutTask = (id: unknown, method: string) => request(id, method, { taskId: "t" })

const working = { task: { taskId: "t", status: "working" } }

const sampling = request("q", "sampling/createMessage", { messages: [] })

const kinds = (messages: ReadonlyArray<Message>) =>
  messages.map(({ error }) => (error === undefined ? null : (error.data?.["kind"] ?? error.code)))

describe("Tasks", () => {
  it.effect("are their maker's alone", () =>
    Effect.gen(function* () {
      const { one, other, server } = yield* makeTwo()
      one.send(call(1, "slow", { task: {} }))
      server.answer((yield* server.told)[0]!, working)
      yield* one.told
      other.send(aboutTask(1, "tasks/get"), aboutTask(2, "tasks/result"), aboutTask(3, "tasks/cancel"))
      other.send(aboutTask(4, "tasks/list"))
      assert.deepStrictEqual(kinds(yield* other.told), [-32602, -32602, -32602, -32601])
      assert.deepStrictEqual(yield* server.told, [])
      server.say(notification("notifications/tasks/status", { taskId: "t", status: "working" }))
      assert.deepStrictEqual(methods(yield* one.told), ["notifications/tasks/status"])
      assert.deepStrictEqual(yield* other.told, [])
    })
  )

  it.effect("are known though they were asked for before there was a process", () =>
    Effect.gen(function* () {
      const mux = makeMux()
      const client = mux.client({ initialized: true })
      client.send(call(1, "slow", { task: {} }))
      const server = mux.attach({ capabilities: { tasks: { requests: {} } } })
      server.answer((yield* server.told)[0]!, working)
      client.send(aboutTask(2, "tasks/get"))
      assert.deepStrictEqual(methods(yield* server.told), ["tasks/get"])
    })
  )

  for (const [how, method, error] of [
    ["told its result", "tasks/result", null],
    ["told its server's own error", "tasks/result", { code: -1, message: "failed" }],
    ["told that there is none", "tasks/get", { code: -32602, message: "expired" }]
  ] as const) {
    it.effect(`are over once their maker is ${how}: then others are asked again`, () =>
      Effect.gen(function* () {
        const { one, other, server } = yield* makeTwo()
        one.send(call(1, "slow", { task: {} }))
        server.answer((yield* server.told)[0]!, working)
        other.send(call(1, "ask"))
        yield* server.told
        server.say(sampling)
        assert.deepStrictEqual(kinds(yield* server.told), ["QuestionNotAttributable"])
        one.send(aboutTask(2, method))
        const [asked] = yield* server.told
        server.say({ jsonrpc: "2.0", id: asked!.id, ...(error === null ? { result: { content: [] } } : { error }) })
        server.say(sampling)
        assert.deepStrictEqual(methods(yield* other.told), ["sampling/createMessage"])
      })
    )
  }

  it.effect("that are made for a call that was cancelled are cancelled, and may ask nobody else until they are", () =>
    Effect.gen(function* () {
      const { one, other, server } = yield* makeTwo()
      one.send(call(1, "slow", { task: {} }), notification("notifications/cancelled", { requestId: 1 }))
      const [made] = yield* server.told
      other.send(call(1, "ask"))
      yield* server.told
      server.answer(made!, working)
      server.say(sampling)
      const [cancel, refused] = yield* server.told
      assert.deepStrictEqual([cancel?.method, cancel?.params], ["tasks/cancel", { taskId: "t" }])
      assert.deepStrictEqual(kinds([refused!]), ["QuestionNotAttributable"])
      server.answer(cancel!, { taskId: "t", status: "cancelled" })
      server.say(sampling)
      assert.deepStrictEqual(methods(yield* other.told), ["sampling/createMessage"])
      assert.deepStrictEqual(yield* one.told, [])
    })
  )
})
