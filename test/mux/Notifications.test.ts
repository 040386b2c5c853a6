import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import { logLevels } from "../../src/mux/LogLevel.ts"
import { turn } from "../lines/Turn.ts"
import { asked, methods, outcomes } from "./Messages.ts"
import { type Client, fakeTimers, makeShared, type Message, notification, request } from "./MuxHarness.ts"

const logging = { capabilities: { logging: {} } }

describe("Notifications", () => {
  describe("log levels", () => {
    it.effect("are merged to the most verbose, and the server is told when that changes", () =>
      Effect.gen(function* () {
        const { clients, server } = makeShared(2, {}, logging)
        const [one, other] = clients as [Client, Client]
        const setLevel = Effect.fnUntraced(function* (client: Client, level: string) {
          client.send(request(1, "logging/setLevel", { level }))
          const told = yield* server.told
          for (const ask of told) server.answer(ask)
          assert.deepStrictEqual(yield* client.told, [{ jsonrpc: "2.0", id: 1, result: {} }])
          return told.map(({ method, params }) => [method, params?.["level"]])
        })
        // Who never asked is taken to want `info`.
        assert.deepStrictEqual(yield* setLevel(one, "error"), [["logging/setLevel", "info"]])
        assert.deepStrictEqual(yield* setLevel(other, "warning"), [["logging/setLevel", "warning"]])
        assert.deepStrictEqual(yield* setLevel(one, "debug"), [["logging/setLevel", "debug"]])
        assert.deepStrictEqual(yield* setLevel(other, "critical"), [])
        one.session.close()
        assert.deepStrictEqual(asked(yield* server.told), [["logging/setLevel", { level: "critical" }]])
      })
    )

    it.effect("are told to the next process too", () =>
      Effect.gen(function* () {
        const { clients, mux, server } = makeShared(1, {}, logging)
        clients[0]!.send(request(1, "logging/setLevel", { level: "notice" }))
        for (const ask of yield* server.told) server.answer(ask)
        mux.detach()
        const next = mux.attach(logging)
        assert.deepStrictEqual(asked(yield* next.told), [["logging/setLevel", { level: "notice" }]])
      })
    )

    it.effect("that are none, and of servers without logging, are refused", () =>
      Effect.gen(function* () {
        const { clients, server } = makeShared(1, {}, logging)
        const [client] = clients as [Client]
        client.send(
          request(1, "logging/setLevel", { level: "loud" }),
          request(2, "logging/setLevel", { level: 1 }),
          request(3, "logging/setLevel")
        )
        assert.deepStrictEqual(outcomes(yield* client.told), [
          [1, -32602],
          [2, -32602],
          [3, -32602]
        ])
        assert.deepStrictEqual(yield* server.told, [])
        const silent = makeShared(1)
        silent.clients[0]!.send(request(1, "logging/setLevel", { level: "info" }))
        assert.deepStrictEqual(outcomes(yield* silent.clients[0]!.told), [[1, -32601]])
      })
    )

    it.effect("are answered with the server's error where it has one", () =>
      Effect.gen(function* () {
        const { clients, server } = makeShared(1, {}, logging)
        const error = { code: -32000, message: "no é", data: { a: 1 } }
        clients[0]!.send(request("x", "logging/setLevel", { level: "info" }))
        const [ask] = yield* server.told
        server.say({ jsonrpc: "2.0", id: ask!.id, error })
        assert.deepStrictEqual(yield* clients[0]!.told, [{ jsonrpc: "2.0", id: "x", error }])
      })
    )
  })

  describe("log messages", () => {
    const message = (level: string) => notification("notifications/message", { level, data: level })

    const levelsOf = (messages: ReadonlyArray<Message>) => messages.map(({ params }) => params?.["level"])

    it.effect("of a server with one client at work are that client's", () =>
      Effect.gen(function* () {
        for (const logMessages of ["owner", "all"] as const) {
          const { clients, server } = makeShared(2, { logMessages }, logging)
          const [one, other] = clients as [Client, Client]
          one.send(request(1, "a"), request(2, "b"))
          for (const level of logLevels) server.say(message(level))
          assert.deepStrictEqual(levelsOf(yield* one.told), [...logLevels])
          assert.deepStrictEqual(yield* other.told, [])
        }
      })
    )

    it.effect("are a client's beside others' lists, and nobody's beside what else may have said them", () =>
      Effect.gen(function* () {
        const { clients, server } = makeShared(2, {}, logging)
        const [one, other] = clients as [Client, Client]
        one.send(request(1, "tools/call", { name: "a" }))
        other.send(request(1, "tools/list", { cursor: undefined, _meta: { x: 1 } }))
        const heard = Effect.fnUntraced(function* () {
          server.say(message("info"))
          return [(yield* one.told).length, (yield* other.told).length]
        })
        assert.deepStrictEqual(yield* heard(), [1, 0])
        other.send(request(2, "completion/complete"))
        assert.deepStrictEqual(yield* heard(), [0, 0])
        for (const ask of yield* server.told) if (ask.method === "completion/complete") server.answer(ask)
        yield* other.told
        assert.deepStrictEqual(yield* heard(), [1, 0])
      })
    )

    it.effect(
      "are nobody's for a minute after another gave up what may say them, unless the server has answered it",
      () =>
        Effect.gen(function* () {
          yield* fakeTimers
          const { clients, server } = makeShared(2, {}, logging)
          const [one, other] = clients as [Client, Client]
          const heard = Effect.fnUntraced(function* () {
            server.say(message("info"))
            return [(yield* one.told).length, (yield* other.told).length]
          })
          one.send(request(1, "tools/call", { name: "a" }))
          for (const isAnswered of [false, true]) {
            other.send(request(1, "tools/call", { name: "b" }))
            const given = (yield* server.told).at(-1)!
            other.send(notification("notifications/cancelled", { requestId: 1 }))
            assert.deepStrictEqual(yield* heard(), [0, 0])
            if (isAnswered) server.answer(given)
            else vi.advanceTimersByTime(60_000)
            assert.deepStrictEqual(yield* heard(), [1, 0])
          }
          one.send(request(2, "tools/call", { name: "c" }), notification("notifications/cancelled", { requestId: 2 }))
          assert.deepStrictEqual(yield* heard(), [1, 0])
        })
    )

    it.effect("are nobody's while another's task may say them", () =>
      Effect.gen(function* () {
        const { clients, server } = makeShared(2, {}, { capabilities: { logging: {}, tasks: {} } })
        const [one, other] = clients as [Client, Client]
        other.send(request(1, "tools/call", { name: "a", task: {} }))
        const [made] = yield* server.told
        server.answer(made!, { task: { taskId: "t", status: "working" } })
        one.send(request(1, "tools/call", { name: "a" }))
        server.say(message("info"))
        assert.deepStrictEqual(yield* one.told, [])
        server.say(notification("notifications/tasks/status", { taskId: "t", status: "completed" }))
        server.say(message("error"))
        assert.deepStrictEqual(levelsOf(yield* one.told), ["error"])
      })
    )

    it.effect("of a server with several at work, or none, are everybody's or nobody's as configured", () =>
      Effect.gen(function* () {
        for (const logMessages of ["owner", "all", "none"] as const) {
          const { clients, mux, server } = makeShared(2, { logMessages }, logging)
          const early = mux.client()
          server.say(message("info"))
          for (const client of clients) client.send(request(1, "a"))
          server.say(message("error"))
          for (const client of clients) {
            assert.deepStrictEqual(levelsOf(yield* client.told), logMessages === "all" ? ["info", "error"] : [])
          }
          assert.deepStrictEqual(yield* early.told, [])
        }
      })
    )

    it.effect("are nobody's where they are switched off, even with one client at work", () =>
      Effect.gen(function* () {
        const { clients, server } = makeShared(1, { logMessages: "none" }, logging)
        clients[0]!.send(request(1, "a"))
        server.say(message("emergency"))
        assert.deepStrictEqual(yield* clients[0]!.told, [])
      })
    )

    it.effect("are filtered by each client's own level", () =>
      Effect.gen(function* () {
        const { clients, server } = makeShared(3, { logMessages: "all" }, logging)
        clients[0]!.send(request(1, "logging/setLevel", { level: "debug" }))
        clients[1]!.send(request(1, "logging/setLevel", { level: "error" }))
        for (const ask of yield* server.told) server.answer(ask)
        for (const client of clients) yield* client.told
        for (const level of logLevels) server.say(message(level))
        assert.deepStrictEqual(levelsOf(yield* clients[0]!.told), [...logLevels])
        assert.deepStrictEqual(levelsOf(yield* clients[1]!.told), ["error", "critical", "alert", "emergency"])
        // Who never asked is taken to want `info` once another has asked.
        assert.deepStrictEqual(levelsOf(yield* clients[2]!.told), logLevels.slice(1))
      })
    )
  })

  describe("notifications of a server", () => {
    it.effect("that a list changed go to every client that is initialized", () =>
      Effect.gen(function* () {
        const { clients, mux, server } = makeShared(2)
        const early = mux.client()
        const changes = ["tools", "prompts", "resources"].map((list) => `notifications/${list}/list_changed`)
        for (const method of changes) server.say(notification(method))
        for (const client of clients) assert.deepStrictEqual(methods(yield* client.told), changes)
        assert.deepStrictEqual(yield* early.told, [])
        early.send(notification("notifications/initialized"))
        server.say(notification(changes[1]!))
        assert.deepStrictEqual(methods(yield* early.told), [changes[1]])
      })
    )

    it.effect("of unknown methods go to the one client at work, or else to all", () =>
      Effect.gen(function* () {
        const { clients, server } = makeShared(2)
        const [one, other] = clients as [Client, Client]
        const text = '{"jsonrpc":"2.0", "method":"notifications/future","params":{"é":1.0}}'
        server.say(text)
        yield* turn
        assert.deepStrictEqual(one.inbox.lines(), [text])
        assert.deepStrictEqual(other.inbox.lines(), [text])
        other.send(request(1, "m"))
        server.say(text)
        yield* turn
        assert.deepStrictEqual(one.inbox.lines(), [])
        assert.deepStrictEqual(other.inbox.lines(), [text])
      })
    )
  })
})
