import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { maxBatch } from "../../src/message/Envelope.ts"
import { turn } from "../lines/Turn.ts"
import { outcomes } from "./Messages.ts"
import { type Client, makeShared, type Message, notification, request } from "./MuxHarness.ts"

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

    it.effect("in a batch of too many is none, and that is logged", () =>
      Effect.gen(function* () {
        const { clients, mux, server } = makeShared(1)
        clients[0]!.send(request("c", "m"))
        const [call] = yield* server.told
        const answer = JSON.stringify({ jsonrpc: "2.0", id: call!.id, result: {} })
        server.say(`[${answer}${",1".repeat(maxBatch)}]`)
        assert.lengthOf(mux.strays, 1)
        assert.deepStrictEqual(yield* clients[0]!.told, [])
        server.say(`[${answer}${",1".repeat(maxBatch - 1)}]`)
        assert.deepStrictEqual(
          (yield* clients[0]!.told).map(({ id }) => id),
          ["c"]
        )
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
          mux.calls.map((call) => {
            assert.isAtLeast(call.millis, 0)
            assert.strictEqual(call.client, client.session)
            return [call.method, call.tool, call.outcome]
          }),
          [
            ["tools/call", "echo", "ok"],
            ["tools/list", null, "rejected"],
            ["a", null, "cancelled"],
            ["b", null, "outcome-unknown"]
          ]
        )
      })
    )
  })
})
