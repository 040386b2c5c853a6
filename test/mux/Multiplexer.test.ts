import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import { logLevels } from "../../src/mux/LogLevel.ts"
import { turn } from "../lines/Turn.ts"
import {
  asked,
  type Client,
  fakeTimers,
  makeMux,
  makeShared,
  type Message,
  methods,
  type Mux,
  notification,
  outcomes,
  type Process,
  request,
  unavailable
} from "./MuxHarness.ts"

const logging = { capabilities: { logging: {} } }

const resources = { capabilities: { resources: { subscribe: true } }, isEmpty: true }

describe("Multiplexer", () => {
  describe("progress", () => {
    it.effect("goes to its owner alone, under the owner's own token, and not after the answer", () =>
      Effect.gen(function* () {
        const { clients, server } = makeShared(3)
        const tokens = ["1", '"1"', '{"a": 1}']
        for (const [i, client] of clients.entries()) {
          client.send(
            `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{"progressToken":${tokens[i]}}}}`
          )
        }
        const calls = yield* server.told
        for (const { params } of calls) {
          const progressToken = (params?.["_meta"] as Message["params"])?.["progressToken"]
          server.say(notification("notifications/progress", { progressToken, progress: 1 }))
        }
        yield* turn
        for (const [i, client] of clients.entries()) {
          assert.deepStrictEqual(client.inbox.lines(), [
            `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":${tokens[i]},"progress":1}}`
          ])
        }
        server.answer(calls[0]!)
        server.say(notification("notifications/progress", { progressToken: calls[0]!.id, progress: 2 }))
        assert.deepStrictEqual(outcomes(yield* clients[0]!.told), [[1, null]])
      })
    )

    it.effect("with a token that nobody gave is dropped", () =>
      Effect.gen(function* () {
        const { clients, server } = makeShared(1)
        const [client] = clients as [Client]
        client.send(request(1, "m"))
        const [call] = yield* server.told
        for (const progressToken of [call!.id, String(call!.id), 0, -1, 1.5, null, 99_999, [call!.id]]) {
          server.say(notification("notifications/progress", { progressToken, progress: 1 }))
        }
        server.say(notification("notifications/progress"))
        assert.deepStrictEqual(yield* client.told, [])
      })
    )
  })

  describe("a process that ends", () => {
    it.effect("leaves each request that it held with an unknown outcome, and its late answers are dropped", () =>
      Effect.gen(function* () {
        const { clients, mux, server } = makeShared(2)
        const [one, other] = clients as [Client, Client]
        one.send(request(1, "a"), request("b", "b"))
        other.send(request(1, "c"))
        const held = yield* server.told
        mux.detach()
        assert.deepStrictEqual(outcomes(yield* one.told), [
          [1, "OutcomeUnknown"],
          ["b", "OutcomeUnknown"]
        ])
        assert.deepStrictEqual(outcomes(yield* other.told), [[1, "OutcomeUnknown"]])
        assert.strictEqual(mux.inFlight(), 0)
        const next = mux.attach()
        one.send(request(1, "a"))
        const [again] = yield* next.told
        for (const call of held) server.answer(call)
        // Each process has ids of its own.
        assert.strictEqual(again!.id, held[0]!.id)
        assert.deepStrictEqual(yield* one.told, [])
        next.answer(again!)
        assert.deepStrictEqual(outcomes(yield* one.told), [[1, null]])
      })
    )

    it.effect("lets the next one have what was asked meanwhile, in order", () =>
      Effect.gen(function* () {
        const { clients, mux } = makeShared(2)
        const [one, other] = clients as [Client, Client]
        mux.detach()
        one.send(request(1, "a"), notification("notifications/lost"))
        other.send(request(1, "b"))
        one.send(request(2, "c", { text: "é漢", _meta: { progressToken: "t" } }))
        const server = mux.attach()
        const calls = yield* server.told
        assert.deepStrictEqual(methods(calls), ["a", "b", "c"])
        assert.deepStrictEqual(calls[2]!.params, { text: "é漢", _meta: { progressToken: calls[2]!.id } })
        for (const call of calls) server.answer(call)
        assert.deepStrictEqual(outcomes(yield* one.told), [
          [1, null],
          [2, null]
        ])
      })
    )

    it.effect("for good answers what waits, and what is asked from then on", () =>
      Effect.gen(function* () {
        const { clients, mux } = makeShared(1)
        const [client] = clients as [Client]
        mux.detach()
        client.send(request(1, "a"))
        mux.sharing.setUnavailable(unavailable)
        assert.strictEqual(client.session.inFlight, 0)
        client.send(request(2, "a"))
        assert.deepStrictEqual(outcomes(yield* client.told), [
          [1, "ServerUnavailable"],
          [2, "ServerUnavailable"]
        ])
        mux.sharing.setUnavailable(null)
        client.send(request(3, "a"))
        assert.deepStrictEqual(yield* client.told, [])
        const server = mux.attach()
        assert.deepStrictEqual(methods(yield* server.told), ["a"])
      })
    )
  })

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

  describe("subscriptions", () => {
    const subscribe = (id: unknown, uri: unknown = "file:///a") => request(id, "resources/subscribe", { uri })
    const unsubscribe = (id: unknown, uri: unknown = "file:///a") => request(id, "resources/unsubscribe", { uri })
    const updated = (uri: unknown) => notification("notifications/resources/updated", { uri })

    it.effect("reach the server when the first comes and the last goes", () =>
      Effect.gen(function* () {
        const { clients, server } = makeShared(2, {}, resources)
        const [one, other] = clients as [Client, Client]
        one.send(subscribe(1))
        const [ask] = yield* server.told
        assert.deepStrictEqual(asked([ask!]), [["resources/subscribe", { uri: "file:///a" }]])
        assert.deepStrictEqual(yield* one.told, [])
        server.answer(ask!)
        other.send(subscribe("x"))
        one.send(subscribe(2))
        assert.deepStrictEqual(yield* one.told, [
          { jsonrpc: "2.0", id: 1, result: {} },
          { jsonrpc: "2.0", id: 2, result: {} }
        ])
        assert.deepStrictEqual(yield* other.told, [{ jsonrpc: "2.0", id: "x", result: {} }])
        one.send(unsubscribe(3), unsubscribe(4))
        assert.deepStrictEqual(outcomes(yield* one.told), [
          [3, null],
          [4, null]
        ])
        assert.deepStrictEqual(yield* server.told, [])
        other.send(unsubscribe("y"))
        assert.deepStrictEqual(asked(yield* server.told), [["resources/unsubscribe", { uri: "file:///a" }]])
        assert.deepStrictEqual(outcomes(yield* other.told), [["y", null]])
      })
    )

    it.effect("that come while the server is being asked share its answer", () =>
      Effect.gen(function* () {
        const { clients, server } = makeShared(2, {}, resources)
        const [one, other] = clients as [Client, Client]
        one.send(subscribe(1))
        other.send(subscribe("x"))
        const asks = yield* server.told
        assert.lengthOf(asks, 1)
        server.answer(asks[0]!, { a: 1 })
        assert.deepStrictEqual(yield* one.told, [{ jsonrpc: "2.0", id: 1, result: { a: 1 } }])
        assert.deepStrictEqual(yield* other.told, [{ jsonrpc: "2.0", id: "x", result: { a: 1 } }])
        server.say(updated("file:///a"))
        assert.deepStrictEqual(methods(yield* one.told), ["notifications/resources/updated"])
        assert.deepStrictEqual(methods(yield* other.told), ["notifications/resources/updated"])
      })
    )

    it.effect("that come while no process is there are answered to those who stay", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const [one, other, third] = [mux.client(), mux.client(), mux.client()]
        one.send(subscribe(1))
        other.send(subscribe("x"))
        one.session.close()
        third.send(subscribe("y"))
        const server = mux.attach(resources)
        const asks = yield* server.told
        assert.deepStrictEqual(asked(asks), [["resources/subscribe", { uri: "file:///a" }]])
        server.answer(asks[0]!)
        assert.deepStrictEqual(yield* one.told, [])
        assert.deepStrictEqual(outcomes(yield* other.told), [["x", null]])
        assert.deepStrictEqual(outcomes(yield* third.told), [["y", null]])
        const late = mux.client()
        late.send(subscribe("z"))
        assert.deepStrictEqual(outcomes(yield* late.told), [["z", null]])
        server.say(updated("file:///a"))
        for (const client of [other, third, late]) assert.lengthOf(yield* client.told, 1)
      })
    )

    it.effect("that are refused are refused to all, and asked for again by the next", () =>
      Effect.gen(function* () {
        const { clients, server } = makeShared(2, {}, resources)
        const [one, other] = clients as [Client, Client]
        const error = { code: -32002, message: "no such resource" }
        one.send(subscribe(1))
        other.send(subscribe("x"))
        const [ask] = yield* server.told
        server.say({ jsonrpc: "2.0", id: ask!.id, error })
        assert.deepStrictEqual(yield* one.told, [{ jsonrpc: "2.0", id: 1, error }])
        assert.deepStrictEqual(yield* other.told, [{ jsonrpc: "2.0", id: "x", error }])
        server.say(updated("file:///a"))
        assert.deepStrictEqual(yield* one.told, [])
        one.send(subscribe(2))
        assert.deepStrictEqual(methods(yield* server.told), ["resources/subscribe"])
      })
    )

    it.effect("that are given up while the server is being asked have one answer each", () =>
      Effect.gen(function* () {
        const { clients, server } = makeShared(2, {}, resources)
        const [one, other] = clients as [Client, Client]
        one.send(subscribe(1))
        other.send(subscribe("x"))
        one.send(unsubscribe(2))
        const [ask] = yield* server.told
        server.answer(ask!)
        assert.deepStrictEqual(outcomes(yield* one.told), [
          [1, null],
          [2, null]
        ])
        assert.deepStrictEqual(outcomes(yield* other.told), [["x", null]])
        server.say(updated("file:///a"))
        assert.deepStrictEqual(yield* one.told, [])
        assert.lengthOf(yield* other.told, 1)
      })
    )

    it.effect("are answered with the server's error as it is, whatever it is made of", () =>
      Effect.gen(function* () {
        const { clients, server } = makeShared(1, {}, resources)
        const error = { code: -32000, message: "no", _tag: "OutcomeUnknown", server: "mine" }
        clients[0]!.send(subscribe(1))
        const [ask] = yield* server.told
        server.say({ jsonrpc: "2.0", id: ask!.id, error })
        assert.deepStrictEqual(yield* clients[0]!.told, [{ jsonrpc: "2.0", id: 1, error }])
      })
    )

    it.effect("have an answer even where the server's is nested deeper than a stack of calls", () =>
      Effect.gen(function* () {
        const deep = `${"[".repeat(50_000)}${"]".repeat(50_000)}`
        for (const outcome of [`"result":{"a":${deep}}`, `"error":{"code":1,"message":"","data":${deep}}`]) {
          const { clients, server } = makeShared(1, {}, resources)
          clients[0]!.send(subscribe(1))
          const [ask] = yield* server.told
          server.say(`{"jsonrpc":"2.0","id":${String(ask!.id)},${outcome}}`)
          yield* turn
          const lines = clients[0]!.inbox.lines()
          assert.lengthOf(lines, 1)
          assert.strictEqual((JSON.parse(lines[0]!) as Message).id, 1)
        }
      })
    )

    it.effect("without a uri are refused", () =>
      Effect.gen(function* () {
        const { clients, server } = makeShared(1, {}, resources)
        const [client] = clients as [Client]
        client.send(subscribe(1, 7), unsubscribe(2, null), request(3, "resources/subscribe"))
        assert.deepStrictEqual(outcomes(yield* client.told), [
          [1, -32602],
          [2, -32602],
          [3, -32602]
        ])
        assert.deepStrictEqual(yield* server.told, [])
      })
    )

    it.effect("decide who is told of an update, of the resource or a part of it", () =>
      Effect.gen(function* () {
        const { clients, server } = makeShared(3, {}, resources)
        const [one, other, none] = clients as [Client, Client, Client]
        one.send(subscribe(1, "file:///a"))
        other.send(subscribe(1, "file:///b/"))
        for (const ask of yield* server.told) server.answer(ask)
        for (const client of clients) yield* client.told
        for (const uri of ["file:///a", "file:///a/x", "file:///ab", "file:///b/y", "file:///b", "file:///", 7]) {
          server.say(updated(uri))
        }
        server.say(
          '{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"file:\\/\\/\\/\\u0061"}}'
        )
        const uris = (messages: ReadonlyArray<Message>) => messages.map(({ params }) => params?.["uri"])
        assert.deepStrictEqual(uris(yield* one.told), ["file:///a", "file:///a/x", "file:///a"])
        assert.deepStrictEqual(uris(yield* other.told), ["file:///b/y"])
        assert.deepStrictEqual(yield* none.told, [])
      })
    )

    it.effect("to a resource and to a part of it are both told of the part, and who has both is told once", () =>
      Effect.gen(function* () {
        const { clients, server } = makeShared(3, {}, resources)
        const [whole, part, both] = clients as [Client, Client, Client]
        whole.send(subscribe(1, "file:///a"))
        part.send(subscribe(1, "file:///a/x"))
        both.send(subscribe(1, "file:///a"), subscribe(2, "file:///a/x"))
        for (const ask of yield* server.told) server.answer(ask)
        for (const client of clients) yield* client.told
        server.say(updated("file:///a/x"))
        for (const client of clients) {
          assert.deepStrictEqual(asked(yield* client.told), [
            ["notifications/resources/updated", { uri: "file:///a/x" }]
          ])
        }
        server.say(updated("file:///a"))
        assert.lengthOf(yield* whole.told, 1)
        assert.deepStrictEqual(yield* part.told, [])
      })
    )

    it.effect("end with their client", () =>
      Effect.gen(function* () {
        const { clients, server } = makeShared(2, {}, resources)
        const [one, other] = clients as [Client, Client]
        one.send(subscribe(1, "a"), subscribe(2, "b"))
        other.send(subscribe(1, "b"))
        for (const ask of yield* server.told) server.answer(ask)
        one.session.close()
        assert.deepStrictEqual(asked(yield* server.told), [["resources/unsubscribe", { uri: "a" }]])
      })
    )

    it.effect("that their client left while the server was being asked are taken back", () =>
      Effect.gen(function* () {
        const { clients, server } = makeShared(1, {}, resources)
        clients[0]!.send(subscribe(1))
        const [ask] = yield* server.told
        clients[0]!.session.close()
        server.answer(ask!)
        assert.deepStrictEqual(methods(yield* server.told), ["resources/unsubscribe"])
      })
    )

    it.effect("are made again at the next process", () =>
      Effect.gen(function* () {
        const { clients, mux, server } = makeShared(2, {}, resources)
        const [one, other] = clients as [Client, Client]
        one.send(subscribe(1, "a"), subscribe(2, "b"))
        for (const ask of yield* server.told) server.answer(ask)
        mux.detach()
        one.send(unsubscribe(3, "a"))
        other.send(subscribe(1, "c"))
        yield* one.told
        const next = mux.attach(resources)
        const told = asked(yield* next.told)
        assert.deepStrictEqual(
          told.filter(([method]) => method === "resources/subscribe"),
          [
            ["resources/subscribe", { uri: "b" }],
            ["resources/subscribe", { uri: "c" }]
          ]
        )
        next.say(updated("b"))
        assert.deepStrictEqual(methods(yield* one.told), ["notifications/resources/updated"])
      })
    )

    it.effect("that were being asked for when the process ended are answered", () =>
      Effect.gen(function* () {
        const { clients, mux } = makeShared(1, {}, resources)
        clients[0]!.send(subscribe(1))
        mux.detach()
        assert.deepStrictEqual(outcomes(yield* clients[0]!.told), [[1, "OutcomeUnknown"]])
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

    it.effect("that belong to one session go to the one client at work, or to nobody", () =>
      Effect.gen(function* () {
        const { clients, server } = makeShared(2)
        const [one, other] = clients as [Client, Client]
        const say = () => {
          server.say(notification("notifications/tasks/status"))
          server.say(notification("notifications/elicitation/complete"))
          server.say(notification("notifications/cancelled", { requestId: 1 }))
        }
        say()
        one.send(request(1, "m"))
        assert.deepStrictEqual([yield* one.told, yield* other.told], [[], []])
        say()
        assert.deepStrictEqual(methods(yield* one.told), [
          "notifications/tasks/status",
          "notifications/elicitation/complete"
        ])
        assert.deepStrictEqual(yield* other.told, [])
      })
    )
  })

  describe("tools", () => {
    const withTools = { capabilities: { tools: {} } }
    const listed = (mux: Mux) => mux.sharing.lists.tools?.map(({ name }) => name) ?? null
    const tool = (name: string) => ({ name, inputSchema: { type: "object" } })

    it.effect("are read when a process is there, page by page, and when they change", () =>
      Effect.gen(function* () {
        const { mux, server } = makeShared(1, {}, withTools)
        const [first] = yield* server.told
        assert.strictEqual(listed(mux), null)
        server.answer(first!, { tools: [tool("a"), { nameless: true }, null], nextCursor: "c" })
        const [second] = yield* server.told
        assert.deepStrictEqual(asked([first!, second!]), [
          ["tools/list", {}],
          ["tools/list", { cursor: "c" }]
        ])
        server.answer(second!, { tools: [tool("b")] })
        assert.deepStrictEqual(listed(mux), ["a", "b"])
        server.say(notification("notifications/tools/list_changed"))
        const [third] = yield* server.told
        server.answer(third!, { tools: [tool("c")] })
        assert.deepStrictEqual(listed(mux), ["c"])
      })
    )

    it.effect("are read once more where they change while they are read, however often", () =>
      Effect.gen(function* () {
        const { mux, server } = makeShared(1, {}, withTools)
        for (let i = 0; i < 3; i++) server.say(notification("notifications/tools/list_changed"))
        const early = yield* server.told
        assert.lengthOf(early, 1)
        server.answer(early[0]!, { tools: [tool("early")] })
        const late = yield* server.told
        assert.lengthOf(late, 1)
        server.answer(late[0]!, { tools: [tool("late")] })
        assert.deepStrictEqual(listed(mux), ["late"])
        assert.deepStrictEqual(yield* server.told, [])
      })
    )

    it.effect("that differ at the next process are news to every client", () =>
      Effect.gen(function* () {
        const { clients, mux, server } = makeShared(1, {}, withTools)
        const early = mux.client()
        const list = Effect.fnUntraced(function* (server: Process, name: string) {
          for (const ask of yield* server.told) server.answer(ask, { tools: [tool(name)] })
          return methods(yield* clients[0]!.told)
        })
        assert.deepStrictEqual(yield* list(server, "a"), [])
        mux.detach()
        assert.deepStrictEqual(yield* list(mux.attach(withTools), "a"), [])
        mux.detach()
        assert.deepStrictEqual(yield* list(mux.attach(withTools), "b"), ["notifications/tools/list_changed"])
        assert.deepStrictEqual(yield* early.told, [])
      })
    )

    it.effect("are known to be none where the server has none", () =>
      Effect.gen(function* () {
        const { mux, server } = makeShared(1)
        assert.deepStrictEqual(listed(mux), [])
        assert.deepStrictEqual(yield* server.told, [])
      })
    )

    it.effect("may be described deeper than a stack of calls", () =>
      Effect.gen(function* () {
        const { clients, server } = makeShared(1, {}, withTools)
        const [ask] = yield* server.told
        const deep = `${"[".repeat(50_000)}${"]".repeat(50_000)}`
        server.say(`{"jsonrpc":"2.0","id":${String(ask!.id)},"result":{"tools":[{"name":"a","inputSchema":${deep}}]}}`)
        clients[0]!.send(request(1, "m"))
        assert.lengthOf(yield* server.told, 1)
      })
    )
  })

  describe("questions of a server", () => {
    it.effect("are answered with an error, and reach no client", () =>
      Effect.gen(function* () {
        const { clients, server } = makeShared(1)
        const [client] = clients as [Client]
        client.send(request(1, "m"))
        const [call] = yield* server.told
        server.say(request(call!.id, "sampling/createMessage"))
        server.say('{"jsonrpc":"2.0","method":"roots/list","id":"é"}')
        server.say(request("p", "ping"))
        const answers = yield* server.told
        assert.deepStrictEqual(outcomes(answers), [
          [call!.id, -32601],
          ["é", -32601],
          ["p", null]
        ])
        assert.deepStrictEqual(yield* client.told, [])
        server.answer(call!)
        assert.deepStrictEqual(outcomes(yield* client.told), [[1, null]])
      })
    )

    it.effect("are no answers, however long they are and wherever their id stands", () =>
      Effect.gen(function* () {
        const { clients, server } = makeShared(1)
        const [client] = clients as [Client]
        client.send(request(1, "m"))
        const [call] = yield* server.told
        // As the official SDK writes them.
        const messages = [{ role: "user", content: { type: "text", text: "x".repeat(10_000) } }]
        server.say({ method: "sampling/createMessage", params: { messages }, jsonrpc: "2.0", id: call!.id })
        assert.deepStrictEqual(yield* client.told, [])
        assert.deepStrictEqual(outcomes(yield* server.told), [[call!.id, -32601]])
        server.answer(call!)
        assert.deepStrictEqual(outcomes(yield* client.told), [[1, null]])
      })
    )
  })

  describe("what a server says", () => {
    it.effect("and is no message is counted, and reaches nobody", () =>
      Effect.gen(function* () {
        const { clients, mux, server } = makeShared(1)
        const [client] = clients as [Client]
        client.send(request(1, "m"))
        const [call] = yield* server.told
        const strays = [
          "Listening on port 3000",
          "{}",
          '{"jsonrpc":"2.0","id":1',
          "7",
          `${"é".repeat(600)}…`,
          '{"id":1}'
        ]
        for (const stray of strays) server.say(stray)
        assert.deepStrictEqual(yield* client.told, [])
        assert.strictEqual(mux.strays.length, strays.length)
        assert.deepStrictEqual(mux.strays.slice(0, 4), strays.slice(0, 4))
        assert.isAtMost(Math.max(...mux.strays.map(({ length }) => length)), 1000)
        server.answer(call!)
        assert.lengthOf(yield* client.told, 1)
      })
    )

    it.effect("twice, or to nobody, is dropped", () =>
      Effect.gen(function* () {
        const { clients, server } = makeShared(1)
        const [client] = clients as [Client]
        client.send(request(1, "m"), request(2, "m"))
        const [call] = yield* server.told
        server.answer(call!, { first: true })
        server.answer(call!, { first: false })
        for (const id of [0, 999, -1, 1.5, null, "x", String(call!.id), {}])
          server.say({ jsonrpc: "2.0", id, result: {} })
        assert.deepStrictEqual(yield* client.told, [{ jsonrpc: "2.0", id: 1, result: { first: true } }])
      })
    )

    it.effect("under an id or a token that only begins like one of the pool's is dropped", () =>
      Effect.gen(function* () {
        const { clients, server } = makeShared(1)
        const [client] = clients as [Client]
        for (let id = 0; id < 200; id++) client.send(request(id, "m", { _meta: { progressToken: id } }))
        for (const id of ["1.5", "10.0", "1e1", "0x1", "-1", "+1", '"1"', "[1]", "01", "1/", "9:", "1 1"]) {
          server.say(`{"jsonrpc":"2.0","id":${id},"result":{}}`)
          server.say(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":${id}}}`)
        }
        assert.deepStrictEqual(yield* client.told, [])
      })
    )

    it.effect("that is irregular and nested deeper than a stack of calls is counted, and reaches nobody", () =>
      Effect.gen(function* () {
        const { clients, mux, server } = makeShared(1)
        clients[0]!.send(request(1, "m"))
        const [call] = yield* server.told
        const deep = `${"[".repeat(50_000)}${"]".repeat(50_000)}`
        server.say(`{"jsonrpc":"2.0","i\\u0064":${String(call!.id)},"result":{"a":${deep}}}`)
        assert.lengthOf(mux.strays, 1)
        assert.deepStrictEqual(yield* clients[0]!.told, [])
      })
    )

    it.effect("in a batch is taken apart", () =>
      Effect.gen(function* () {
        const { clients, server } = makeShared(2)
        for (const [i, client] of clients.entries()) client.send(request(`c${i}`, "m"))
        const [one, other] = yield* server.told
        server.say([
          { jsonrpc: "2.0", id: other!.id, result: { b: 1 } },
          7,
          notification("notifications/prompts/list_changed"),
          { jsonrpc: "2.0", id: one!.id, error: { code: 1, message: "" } }
        ])
        assert.deepStrictEqual(yield* clients[0]!.told, [
          notification("notifications/prompts/list_changed", undefined) as Message,
          { jsonrpc: "2.0", id: "c0", error: { code: 1, message: "" } }
        ])
        assert.lengthOf(yield* clients[1]!.told, 2)
      })
    )

    it.effect("with its id in disguise or twice finds its owner", () =>
      Effect.gen(function* () {
        for (const pad of ["", "x".repeat(10_000)]) {
          const { clients, server } = makeShared(1)
          const [client] = clients as [Client]
          client.send(request("a", "m"), request("b", "m"), request("c", "m"))
          const [a, b, c] = (yield* server.told).map(({ id }) => String(id))
          server.say(`{"jsonrpc":"2.0","i\\u0064":${a},"result":{"id":${b},"pad":"${pad}"}}`)
          server.say(`{"jsonrpc":"2.0","id":${a},"result":{"pad":"${pad}"},"\\u0069d":${b}}`)
          server.say(`{"id":${a},"jsonrpc":"2.0","result":{"pad":"${pad},\\"id\\":${b}}"},"id":${c}}`)
          assert.deepStrictEqual(
            (yield* client.told).map(({ id }) => id),
            ["a", "b", "c"]
          )
        }
      })
    )

    it.effect("that is longer than maxLine is answered ResultTooLarge under its own id", () =>
      Effect.gen(function* () {
        const { clients, mux, server } = makeShared(2, { maxLine: 5000 }, { maxLine: 5000 })
        const [one, other] = clients as [Client, Client]
        one.send(request("a", "m"), request("b", "m"), request("c", "m"))
        other.send(request("a", "m"))
        const [a, b, c, d] = (yield* server.told).map(({ id }) => String(id))
        const result = `{"text":"${"x".repeat(20_000)}"}`
        server.say(`{"jsonrpc":"2.0","id":${a},"result":${result}}`)
        server.say(`{"result":${result},"jsonrpc":"2.0","id":${b}}`)
        server.say(`{"jsonrpc":"2.0","result":${result},"id":99999}`)
        server.say(`{"jsonrpc":"2.0","method":"notifications/x","params":${result}}`)
        server.say(`{"jsonrpc":"2.0","id":${c},"result":{}}`)
        assert.deepStrictEqual(outcomes(yield* one.told), [
          ["a", "ResultTooLarge"],
          ["b", "ResultTooLarge"],
          ["c", null]
        ])
        assert.strictEqual(mux.strays.length, 2)
        server.say(`{"jsonrpc":"2.0","result":${result},"id":${d}}`)
        assert.deepStrictEqual(outcomes(yield* other.told), [["a", "ResultTooLarge"]])
        assert.strictEqual(mux.inFlight(), 0)
      })
    )

    it.effect("that is longer than maxLine is known by its id beside the version, first or last", () =>
      Effect.gen(function* () {
        const { clients, mux, server } = makeShared(1, { maxLine: 5000 }, { maxLine: 5000 })
        const [client] = clients as [Client]
        client.send(request("a", "m"), request("b", "m"), request("c", "m"), request("d", "m"))
        const [a, b, c, d] = (yield* server.told).map(({ id }) => String(id))
        const result = `{"text":"${"x".repeat(20_000)}"}`
        server.say(`{"id":${a},"jsonrpc":"2.0","result":${result}}`)
        server.say(`{"result":${result},"id":${b},"jsonrpc":"2.0"}`)
        server.say(`{ "id": ${c}, "jsonrpc": "2.0", "error": {"code":1,"message":"","data":${result}} }`)
        server.say(`{ "error": {"code":1,"message":"","data":${result}}, "id": ${d}, "jsonrpc": "2.0" }`)
        assert.deepStrictEqual(outcomes(yield* client.told), [
          ["a", "ResultTooLarge"],
          ["b", "ResultTooLarge"],
          ["c", "ResultTooLarge"],
          ["d", "ResultTooLarge"]
        ])
        assert.deepStrictEqual(mux.strays, [])
        assert.strictEqual(mux.inFlight(), 0)
      })
    )

    it.effect("that is both a result and an error is one answer", () =>
      Effect.gen(function* () {
        const { clients, server } = makeShared(1)
        clients[0]!.send(request(1, "m"))
        const [call] = yield* server.told
        server.say({ jsonrpc: "2.0", id: call!.id, result: {}, error: { code: 1, message: "" } })
        assert.deepStrictEqual(
          (yield* clients[0]!.told).map(({ id }) => id),
          [1]
        )
      })
    )

    it.effect("with a quote or a backslash in a key finds its owner", () =>
      Effect.gen(function* () {
        const { clients, server } = makeShared(1)
        clients[0]!.send(request(1, "m"))
        const [call] = yield* server.told
        server.say(`{"jsonrpc":"2.0","id":${String(call!.id)},"result":{},"say \\"hi\\"":1}`)
        assert.deepStrictEqual(outcomes(yield* clients[0]!.told), [[1, null]])
      })
    )

    it.effect("as an error that is no object is an answer all the same", () =>
      Effect.gen(function* () {
        for (const error of ["boom", 7, false, []]) {
          const { clients, server } = makeShared(1, {}, resources)
          clients[0]!.send(request(1, "resources/subscribe", { uri: "a" }))
          const [ask] = yield* server.told
          server.say({ jsonrpc: "2.0", id: ask!.id, error })
          assert.deepStrictEqual(
            (yield* clients[0]!.told).map(({ id }) => id),
            [1]
          )
        }
      })
    )

    it.effect("and only looks like an answer to the pool's own request leaves the pool whole", () =>
      Effect.gen(function* () {
        const { clients, server } = makeShared(1, {}, { capabilities: { tools: {} } })
        const [ask] = yield* server.told
        server.say(`warning: ${"x".repeat(10_000)} {"jsonrpc":"2.0","result":{},"id":${String(ask!.id)}}`)
        clients[0]!.send(request(1, "m"))
        assert.lengthOf(yield* server.told, 1)
      })
    )
  })

  describe("limits", () => {
    it.effect("a client with 4096 requests unanswered is refused more, and another is not", () =>
      Effect.gen(function* () {
        const { clients, server } = makeShared(2)
        const [one, other] = clients as [Client, Client]
        for (let id = 0; id < 4097; id++) one.send(request(id, "m"))
        assert.deepStrictEqual(outcomes(yield* one.told), [[4096, "Overloaded"]])
        other.send(request(1, "m"))
        const calls = yield* server.told
        assert.lengthOf(calls, 4097)
        server.answer(calls[0]!)
        one.send(request("again", "m"))
        assert.deepStrictEqual(outcomes(yield* one.told), [[0, null]])
      })
    )

    it.effect("a client with 4096 subscriptions unanswered is refused more", () =>
      Effect.gen(function* () {
        for (const process of ["there", "coming"]) {
          const mux = makeMux()
          if (process === "there") mux.attach(resources)
          const client = mux.client()
          for (let id = 0; id < 4097; id++) client.send(request(id, "resources/subscribe", { uri: `file:///${id}` }))
          assert.deepStrictEqual(outcomes(yield* client.told).at(-1), [4096, "Overloaded"], process)
        }
      })
    )

    it.effect("a client with 1024 requests waiting for a process is refused more, and another is not", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const [one, other] = [mux.client(), mux.client()]
        for (let id = 0; id < 1025; id++) one.send(request(id, "m"))
        other.send(request(1, "m"))
        assert.deepStrictEqual(outcomes(yield* one.told), [[1024, "Overloaded"]])
        assert.strictEqual(one.session.inFlight, 1024)
        assert.lengthOf(yield* mux.attach().told, 1025)
      })
    )

    it.effect("a client with 16 MiB waiting for a process is refused more, but never its first request", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const client = mux.client()
        const [large, larger] = ["x".repeat(9 * 1024 * 1024), "x".repeat(17 * 1024 * 1024)]
        client.send(request(1, "m", { text: large }), request(2, "m", { text: large }), request(3, "m"))
        assert.deepStrictEqual(outcomes(yield* client.told), [[2, "Overloaded"]])
        const other = mux.client({ maxLine: 20 * 1024 * 1024 })
        other.send(request(1, "m", { text: larger }))
        assert.deepStrictEqual(yield* other.told, [])
        assert.deepStrictEqual(
          (yield* mux.attach().told).map(({ params }) => params !== undefined && "text" in params),
          [true, false, true]
        )
      })
    )
  })

  describe("timeouts", () => {
    it.effect("a request that waited for a process longer than queueTimeout is answered, and not sent", () =>
      Effect.gen(function* () {
        const mux = makeMux({ queueTimeout: 1 })
        const client = mux.client()
        client.send(request(1, "m"), request("i", "initialize", { protocolVersion: "2025-11-25" }))
        assert.deepStrictEqual(outcomes([yield* client.inbox.next, yield* client.inbox.next]), [
          [1, "QueueTimeout"],
          ["i", "QueueTimeout"]
        ])
        assert.strictEqual(client.session.inFlight, 0)
        assert.deepStrictEqual(yield* mux.attach().told, [])
      })
    )

    it.effect("a request that the server holds longer than requestTimeout is cancelled and answered", () =>
      Effect.gen(function* () {
        const { clients, mux, server } = makeShared(1, { requestTimeout: 1 })
        const [client] = clients as [Client]
        client.send(request(1, "m"))
        const [call] = yield* server.told
        assert.deepStrictEqual(outcomes([yield* client.inbox.next]), [[1, "RequestTimeout"]])
        const [cancel] = yield* server.told
        assert.strictEqual(cancel!.method, "notifications/cancelled")
        assert.strictEqual(cancel!.params?.["requestId"], call!.id)
        server.answer(call!)
        assert.deepStrictEqual(yield* client.told, [])
        assert.strictEqual(mux.inFlight(), 0)
      })
    )

    it.effect("the time that a request waited for a process is not the server's", () =>
      Effect.gen(function* () {
        yield* fakeTimers
        const mux = makeMux({ queueTimeout: 30_000, requestTimeout: 10_000 })
        const client = mux.client()
        client.send(request(1, "m"))
        vi.advanceTimersByTime(20_000)
        mux.attach()
        vi.advanceTimersByTime(5000)
        assert.deepStrictEqual(yield* client.told, [])
        vi.advanceTimersByTime(6000)
        assert.deepStrictEqual(outcomes(yield* client.told), [[1, "RequestTimeout"]])
      })
    )

    it.effect("a request that the pool makes of the server for a client is bounded too", () =>
      Effect.gen(function* () {
        yield* fakeTimers
        const capabilities = { logging: {}, resources: { subscribe: true } }
        const { clients } = makeShared(1, { requestTimeout: 10_000 }, { capabilities })
        const [client] = clients as [Client]
        client.send(request(1, "resources/subscribe", { uri: "a" }), request(2, "logging/setLevel", { level: "debug" }))
        vi.advanceTimersByTime(11_000)
        assert.deepStrictEqual(outcomes(yield* client.told), [
          [1, "RequestTimeout"],
          [2, "RequestTimeout"]
        ])
      })
    )

    it.effect("nothing is awaited once nothing is open", () =>
      Effect.gen(function* () {
        yield* fakeTimers
        const { clients, mux, server } = makeShared(1, { requestTimeout: 10_000 })
        assert.strictEqual(vi.getTimerCount(), 0)
        clients[0]!.send(request(1, "m"))
        for (const call of yield* server.told) server.answer(call)
        vi.advanceTimersByTime(1000)
        assert.strictEqual(vi.getTimerCount(), 0)
        mux.detach()
        clients[0]!.send(request(2, "m"), notification("notifications/cancelled", { requestId: 2 }))
        vi.advanceTimersByTime(1000)
        assert.strictEqual(vi.getTimerCount(), 0)
      })
    )
  })

  describe("calls", () => {
    it.effect("are reported with their tool and how they ended", () =>
      Effect.gen(function* () {
        const { clients, mux, server } = makeShared(1)
        const [client] = clients as [Client]
        const params = { name: "echo", arguments: { name: "secret" } }
        client.send(request(1, "tools/call", params), request(2, "tools/list"), request(3, "a"), request(4, "b"))
        const calls = yield* server.told
        server.answer(calls[0]!)
        server.say({ jsonrpc: "2.0", id: calls[1]!.id, error: { code: 1, message: "" } })
        client.send(notification("notifications/cancelled", { requestId: 3 }))
        mux.detach()
        assert.deepStrictEqual(
          mux.calls.map(({ method, millis, outcome, tool, ...who }) => {
            assert.isAtLeast(millis, 0)
            assert.deepStrictEqual(who, { session: client.session.id, server: "git" })
            return [method, tool, outcome]
          }),
          [
            ["tools/call", "echo", "answered"],
            ["tools/list", null, "answered"],
            ["a", null, "cancelled"],
            ["b", null, "OutcomeUnknown"]
          ]
        )
      })
    )
  })
})
