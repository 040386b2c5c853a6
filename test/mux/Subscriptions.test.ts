import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { turn } from "../lines/Turn.ts"
import { asked, methods, outcomes } from "./Messages.ts"
import { type Client, makeMux, makeShared, type Message, notification, request } from "./MuxHarness.ts"

const resources = { capabilities: { resources: { subscribe: true } }, isEmpty: true }

describe("Subscriptions", () => {
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

    it.effect("that were being asked for when the process ended are asked of the next, once", () =>
      Effect.gen(function* () {
        for (const isWritten of [true, false]) {
          const { clients, mux, server } = makeShared(1, {}, resources)
          const client = clients[0]!
          client.send(subscribe(1))
          if (isWritten) yield* server.told
          mux.detach()
          assert.deepStrictEqual(yield* client.told, [])
          const next = mux.attach(resources)
          const asks = (yield* next.told).filter(({ method }) => method === "resources/subscribe")
          assert.lengthOf(asks, 1)
          client.send(subscribe(2))
          mux.detach()
          assert.deepStrictEqual(outcomes(yield* client.told), [
            [1, "OutcomeUnknown"],
            [2, "OutcomeUnknown"]
          ])
        }
      })
    )
  })
})
