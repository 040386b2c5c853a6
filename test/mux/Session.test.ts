import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { protocolVersions } from "../../src/server/Era.ts"
import { MemoryWritable } from "../lines/MemoryWritable.ts"
import { turn } from "../lines/Turn.ts"
import { makeMux, type Message, notification, request, unavailable } from "./MuxHarness.ts"

const initialize = (id: unknown, protocolVersion: unknown = "2025-11-25"): object =>
  request(id, "initialize", { protocolVersion, capabilities: {}, clientInfo: { name: "agent", version: "2.1" } })

const refusals = (messages: ReadonlyArray<Message>): ReadonlyArray<readonly [id: unknown, code: number | undefined]> =>
  messages.map(({ error, id }) => [id, error?.code])

const methods = (messages: ReadonlyArray<Message>): ReadonlyArray<string | undefined> =>
  messages.map(({ method }) => method)

describe("Session", () => {
  describe("initialize", () => {
    it.effect("is answered with the server's own answer, without asking it", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const server = mux.attach({
          capabilities: { logging: {}, prompts: { listChanged: true }, experimental: { "x/y": { z: 1 } } },
          result: { instructions: "Ask é 漢 politely.", _meta: { a: 1 }, future: true },
          isEmpty: true
        })
        const client = mux.client()
        client.send(initialize(0))
        assert.deepStrictEqual(yield* client.told, [
          { jsonrpc: "2.0", id: 0, result: { ...server.process.handshake.result } }
        ])
        assert.deepStrictEqual(yield* server.told, [])
      })
    )

    it.effect("keeps a version that is known, and answers the newest to one that is not", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        mux.attach()
        const versions = [...protocolVersions, "2026-07-28", "1.0", ""]
        const client = mux.client()
        client.send(...versions.map((version, id) => initialize(id, version)))
        assert.deepStrictEqual(
          (yield* client.told).map(({ result }) => result?.["protocolVersion"]),
          [...protocolVersions, "2025-11-25", "2025-11-25", "2025-11-25"]
        )
      })
    )

    it.effect("presents tasks without their list, which would be everybody's", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        mux.attach({ capabilities: { tasks: { list: {}, cancel: {} }, completions: {} } })
        const client = mux.client()
        client.send(initialize(1))
        assert.deepStrictEqual((yield* client.inbox.next).result?.["capabilities"], {
          completions: {},
          tasks: { cancel: {} }
        })
      })
    )

    it.effect("is answered even where the server describes itself deeper than a stack of calls", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const depth = 50_000
        mux.attach({ result: { _meta: JSON.parse(`${"[".repeat(depth)}${"]".repeat(depth)}`) as object } })
        const client = mux.client()
        client.send(initialize(1))
        yield* turn
        const lines = client.inbox.lines()
        assert.lengthOf(lines, 1)
        assert.strictEqual((JSON.parse(lines[0]!) as Message).id, 1)
      })
    )

    it.effect("waits for the first process", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const client = mux.client()
        client.send(initialize("a"))
        assert.deepStrictEqual(yield* client.told, [])
        assert.strictEqual(client.session.inFlight, 1)
        mux.attach()
        const answer = yield* client.inbox.next
        assert.strictEqual(answer.id, "a")
        assert.isObject(answer.result)
        assert.strictEqual(client.session.inFlight, 0)
      })
    )

    it.effect("is refused where no process comes, unless one has been there", () =>
      Effect.gen(function* () {
        const mux = makeMux({ isComing: false })
        const client = mux.client()
        client.send(initialize(1))
        assert.deepStrictEqual((yield* client.inbox.next).error?.data, {
          kind: "ServerUnavailable",
          server: "git",
          state: "failed",
          failure: { kind: "unknown", hint: "it fell" },
          nextAttemptAt: null
        })
        mux.attach()
        mux.detach()
        mux.replica.setUnavailable(unavailable)
        client.send(initialize(2))
        assert.isObject((yield* client.inbox.next).result)
      })
    )

    it.effect("never reaches the server, in whatever disguise", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const server = mux.attach()
        const client = mux.client()
        const params = '"params":{"protocolVersion":"2025-11-25"}'
        const disguises = [
          `{"jsonrpc":"2.0","id":1,"method":"initialize",${params}}`,
          `{"jsonrpc":"2.0","id":1,"method":"initi\\u0061lize",${params}}`,
          `{"jsonrpc":"2.0","id":1,"\\u006dethod":"initialize",${params}}`,
          `{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"initialize",${params}}`,
          `{"jsonrpc":"2.0","id":1,"method":"tools/list","me\\u0074hod":"\\u0069nitialize",${params}}`,
          ` { "method" : "initialize" , ${params} , "id" : 1 , "jsonrpc" : "2.0" } `,
          `[{"jsonrpc":"2.0","id":1,"method":"initi\\u0061lize",${params}}]`
        ]
        for (const text of disguises) {
          client.send(text)
          const answer = yield* client.inbox.next
          assert.strictEqual(answer.id, 1, text)
          assert.strictEqual(answer.result?.["protocolVersion"], "2025-11-25", text)
        }
        assert.deepStrictEqual(yield* server.told, [])
      })
    )

    it.effect("is refused without a version", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        mux.attach()
        const client = mux.client()
        client.send(request(1, "initialize"), initialize(2, 3), { jsonrpc: "2.0", id: 3, method: "initialize" })
        assert.deepStrictEqual(refusals(yield* client.told), [
          [1, -32602],
          [2, -32602],
          [3, -32602]
        ])
      })
    )

    it.effect("tells who the client is", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        mux.attach()
        const client = mux.client()
        assert.deepStrictEqual(client.session.clientInfo, { name: null, version: null })
        client.send(initialize(1))
        assert.deepStrictEqual(client.session.clientInfo, { name: "agent", version: "2.1" })
        const clientInfo = { name: "x".repeat(1000), version: 7 }
        client.send(request(2, "initialize", { protocolVersion: "2025-11-25", clientInfo }))
        assert.deepStrictEqual(client.session.clientInfo, { name: "x".repeat(100), version: null })
        client.send(request(3, "initialize", { protocolVersion: "2025-11-25", clientInfo: null }))
        assert.deepStrictEqual(client.session.clientInfo, { name: null, version: null })
      })
    )
  })

  describe("what stays with the pool", () => {
    it.effect("ping is answered at once, with a process or without", () =>
      Effect.gen(function* () {
        const mux = makeMux({ isComing: false })
        const client = mux.client()
        client.send(request("p", "ping"))
        assert.deepStrictEqual(yield* client.told, [{ jsonrpc: "2.0", id: "p", result: {} }])
        const server = mux.attach()
        client.send(request("p", "ping"), '{"jsonrpc":"2.0","id":2,"method":"p\\u0069ng"}')
        assert.deepStrictEqual(yield* client.told, [
          { jsonrpc: "2.0", id: "p", result: {} },
          { jsonrpc: "2.0", id: 2, result: {} }
        ])
        assert.deepStrictEqual(yield* server.told, [])
      })
    )

    it.effect("notifications of a session's own life do not reach the server", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const server = mux.attach()
        const client = mux.client()
        assert.isFalse(client.session.initialized)
        client.send(
          notification("notifications/initialized"),
          notification("notifications/roots/list_changed"),
          notification("notifications/progress", { progressToken: 1, progress: 1 }),
          notification("notifications/cancelled", { requestId: 1 }),
          notification("notifications/cancelled")
        )
        assert.isTrue(client.session.initialized)
        assert.deepStrictEqual(yield* server.told, [])
        assert.deepStrictEqual(yield* client.told, [])
      })
    )

    it.effect("a response that nobody asked for is dropped", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const server = mux.attach()
        const client = mux.client()
        client.send({ jsonrpc: "2.0", id: 1, result: {} }, { jsonrpc: "2.0", id: "x", error: { code: 1, message: "" } })
        assert.deepStrictEqual(yield* server.told, [])
        assert.deepStrictEqual(yield* client.told, [])
      })
    )
  })

  describe("what passes through", () => {
    it.effect("requests of any method, with nothing changed but the id and the token", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const server = mux.attach()
        const client = mux.client()
        client.send(
          '{ "params":{"é":"\\u00e9\\/", "_meta" : {"progressToken":"t","traceparent":"00-1"}},"x":1.50,"method":"future/thing","id" : [1.0] ,"jsonrpc":"2.0"}'
        )
        yield* turn
        const [line] = server.inbox.lines()
        const { id } = JSON.parse(line!) as Message
        assert.strictEqual(
          line,
          `{ "params":{"é":"\\u00e9\\/", "_meta" : {"progressToken":${id},"traceparent":"00-1"}},"x":1.50,"method":"future/thing","id" : ${id} ,"jsonrpc":"2.0"}`
        )
        server.say(`{"jsonrpc":"2.0", "extra":"é","id":${id},"result":{"a":1.0}}`)
        yield* turn
        assert.deepStrictEqual(client.inbox.lines(), ['{"jsonrpc":"2.0", "extra":"é","id":[1.0],"result":{"a":1.0}}'])
      })
    )

    it.effect("notifications of any method, as they are", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const server = mux.attach()
        const client = mux.client()
        const text = '{"method":"notifications/é","params": {"a" :1.0},"jsonrpc":"2.0"}'
        client.send(text)
        yield* turn
        assert.deepStrictEqual(server.inbox.lines(), [text])
      })
    )

    it.effect("requests with an id that is in flight, each answered as its own", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const server = mux.attach()
        const client = mux.client()
        client.send(request(1, "a"), request(1, "b"))
        const [a, b] = yield* server.told
        assert.notStrictEqual(a!.id, b!.id)
        server.answer(b!, { of: "b" })
        server.answer(a!, { of: "a" })
        assert.deepStrictEqual(yield* client.told, [
          { jsonrpc: "2.0", id: 1, result: { of: "b" } },
          { jsonrpc: "2.0", id: 1, result: { of: "a" } }
        ])
      })
    )

    it.effect("ids of each JSON type, returned as they came", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const server = mux.attach()
        const client = mux.client()
        const ids = [
          "1",
          '"1"',
          "1.0",
          "1e2",
          "-0",
          "null",
          "true",
          '"\\u00e9é漢"',
          "12345678901234567890",
          '{"a":[1, 2]}',
          '""'
        ]
        for (const id of ids) client.send(`{"jsonrpc":"2.0","id":${id},"method":"m"}`)
        for (const asked of yield* server.told) server.answer(asked)
        yield* turn
        assert.deepStrictEqual(
          client.inbox.lines(),
          ids.map((id) => `{"jsonrpc":"2.0","id":${id},"result":{}}`)
        )
      })
    )

    it.effect("ids of messages with a duplicate key, returned as they came", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const server = mux.attach()
        const client = mux.client()
        const ids = ["12345678901234567890", "1.0", "-0", '"\\u00e9é漢"', '{"a":[1, 2]}']
        for (const id of ids) client.send(`{"jsonrpc":"2.0","id":${id},"method":"a","method":"b"}`)
        client.send('{"jsonrpc":"2.0","id":1,"method":"c","id":12345678901234567890}')
        client.send('{"jsonrpc":"2.0","id":12345678901234567890,"method":"m","method":"ping"}')
        const asked = yield* server.told
        assert.deepStrictEqual(methods(asked), [...ids.map(() => "b"), "c"])
        for (const one of asked) server.answer(one)
        yield* turn
        assert.deepStrictEqual(
          client.inbox.lines().sort(),
          [...ids, "12345678901234567890", "12345678901234567890"]
            .map((id) => `{"jsonrpc":"2.0","id":${id},"result":{}}`)
            .sort()
        )
      })
    )

    it.effect("messages with escapes, duplicates and look-alikes in their keys", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const server = mux.attach()
        const client = mux.client()
        client.send(
          '{"jsonrpc":"2.0","i\\u0064":1,"method":"a"}',
          '{"jsonrpc":"2.0","id":1,"id":2,"method":"a","method":"b"}',
          '{"jsonrpc":"2.0","id":3,"method":"c","params":{"id":7,"arguments":{"id":8,"method":"d","progressToken":9}}}',
          '{"jsonrpc":"2.0","id":4,"method":"e","params":{"_meta":{"progress\\u0054oken":5}}}'
        )
        const asked = yield* server.told
        assert.deepStrictEqual(methods(asked), ["a", "b", "c", "e"])
        assert.deepStrictEqual(asked[2]!.params, { id: 7, arguments: { id: 8, method: "d", progressToken: 9 } })
        assert.deepStrictEqual(asked[3]!.params, { _meta: { progressToken: asked[3]!.id } })
        for (const one of asked) server.answer(one)
        assert.deepStrictEqual(
          (yield* client.told).map(({ id }) => id),
          [1, 2, 3, 4]
        )
      })
    )

    it.effect("a message with a quote, a backslash or a control character in a key", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const server = mux.attach()
        const client = mux.client()
        const text = '{"jsonrpc":"2.0","id":1,"method":"m","params":{"say \\"hi\\"":1,"C:\\\\temp":2,"line\\nfeed":3}}'
        client.send(text)
        const [asked] = yield* server.told
        assert.deepStrictEqual(asked?.params, { 'say "hi"': 1, "C:\\temp": 2, "line\nfeed": 3 })
      })
    )

    it.effect("a message nested deeper than a stack of calls", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const server = mux.attach()
        const client = mux.client()
        const deep = `${"[".repeat(50_000)}${"]".repeat(50_000)}`
        client.send(`{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":${deep}}}`)
        assert.lengthOf(yield* server.told, 1)
      })
    )
  })

  describe("batches", () => {
    it.effect("are split, and each element goes its own way", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const server = mux.attach()
        const client = mux.client()
        client.send([
          request(1, "tools/call"),
          notification("notifications/x"),
          request("p", "ping"),
          7,
          [request(2, "nested")],
          request(2, "tools/list"),
          { jsonrpc: "2.0", id: 9, result: {} }
        ])
        const asked = yield* server.told
        assert.deepStrictEqual(methods(asked), ["tools/call", "notifications/x", "tools/list"])
        assert.deepStrictEqual(refusals(yield* client.told), [
          ["p", undefined],
          [null, -32600],
          [null, -32600]
        ])
        server.answer(asked[2]!)
        server.answer(asked[0]!)
        assert.deepStrictEqual(
          (yield* client.told).map(({ id }) => id),
          [2, 1]
        )
      })
    )

    it.effect("that are empty are refused", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const client = mux.client()
        client.send("[]", " [ ] ")
        assert.deepStrictEqual(refusals(yield* client.told), [
          [null, -32600],
          [null, -32600]
        ])
      })
    )
  })

  describe("what is no valid message", () => {
    it.effect("is refused with the code of its mistake, and reaches nobody", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const server = mux.attach()
        const client = mux.client()
        const mistakes = [
          ["hello", null, -32700],
          ['{"jsonrpc":"2.0","id":1,"method":"m"', null, -32700],
          ["tru", null, -32700],
          ["true", null, -32600],
          ["1", null, -32600],
          ['"hello"', null, -32600],
          ['{"jsonrpc":"2.0","id":1,"method":"m",}', null, -32700],
          ["{}", null, -32600],
          ['{"jsonrpc":"2.0"}', null, -32600],
          ['{"jsonrpc":"2.0","id":"x"}', "x", -32600],
          ['{"id":2,"method":"m"}', 2, -32600],
          ['{"jsonrpc":"1.0","id":3,"method":"m"}', 3, -32600],
          ['{"jsonrpc":2.0,"id":4,"method":"m"}', 4, -32600],
          ['{"jsonrpc":"2.0","id":5,"method":7}', 5, -32600],
          ['{"jsonrpc":"2.0","id":6,"method":null}', 6, -32600],
          ['{"jsonrpc":"2.0","id":7,"method":"m","params":[1]}', 7, -32602],
          ['{"jsonrpc":"2.0","id":8,"method":"m","params":"x"}', 8, -32602]
        ] as const
        for (const [text, id, code] of mistakes) {
          client.send(text)
          assert.deepStrictEqual(refusals(yield* client.told), [[id, code]], text)
        }
        // A notification has no answer.
        client.send(
          '{"method":"notifications/x"}',
          '{"jsonrpc":"2.0","method":7}',
          '{"jsonrpc":"2.0","method":"n","params":1}'
        )
        assert.deepStrictEqual(yield* client.told, [])
        assert.deepStrictEqual(yield* server.told, [])
        client.send(request(1, "m"))
        assert.lengthOf(yield* server.told, 1)
      })
    )

    it.effect("is refused under its own id where it is longer than maxLine and shows one", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const server = mux.attach()
        const client = mux.client({ maxLine: 5000 })
        const params = `{"x":"${"y".repeat(20_000)}"}`
        client.send(
          `{"jsonrpc":"2.0","id":"a","method":"m","params":${params}}`,
          `{"method":"m","params":${params},"jsonrpc":"2.0","id":7}`,
          `{"jsonrpc":"2.0","method":"m","id":8,"params":${params}}`,
          `{"method":"m","id":"b","params":${params},"jsonrpc":"2.0"}`,
          `{"method":"m","params":${params},"id":9,"jsonrpc":"2.0"}`,
          `{"jsonrpc":"2.0","method":"m","params":${params}}`,
          request(1, "ping")
        )
        assert.deepStrictEqual(refusals(yield* client.told), [
          ["a", -32600],
          [7, -32600],
          [8, -32600],
          ["b", -32600],
          [9, -32600],
          [null, -32600],
          [1, undefined]
        ])
        assert.deepStrictEqual(yield* server.told, [])
      })
    )

    it.effect("leaves the pool whole where it claims to be both a result and an error", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        mux.attach()
        const client = mux.client()
        client.send({ jsonrpc: "2.0", id: 1, result: {}, error: { code: 1, message: "" } }, request(2, "ping"))
        assert.deepStrictEqual((yield* client.told).at(-1), { jsonrpc: "2.0", id: 2, result: {} })
      })
    )

    it.effect("leaves the pool whole where it is irregular and nested deeper than a stack of calls", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        mux.attach()
        const client = mux.client()
        const deep = `${"[".repeat(50_000)}${"]".repeat(50_000)}`
        client.send(`{"jsonrpc":"2.0","i\\u0064":1,"method":"m","params":{"a":${deep}}}`, request(2, "ping"))
        assert.deepStrictEqual((yield* client.told).at(-1), { jsonrpc: "2.0", id: 2, result: {} })
      })
    )

    it.effect("leaves the pool whole where the id it cancels is nested deeper than a stack of calls", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        mux.attach()
        const client = mux.client()
        const deep = `${"[".repeat(50_000)}${"]".repeat(50_000)}`
        client.send(
          request(1, "m"),
          `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":${deep}}}`,
          request(2, "ping")
        )
        assert.deepStrictEqual((yield* client.told).at(-1), { jsonrpc: "2.0", id: 2, result: {} })
      })
    )
  })

  describe("cancelling", () => {
    it.effect("reaches the server with its own id, and no answer follows", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const server = mux.attach()
        const [one, other] = [mux.client(), mux.client()]
        one.send(request(1, "m"))
        other.send(request(1, "m"))
        const [mine, theirs] = yield* server.told
        one.send('{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"reason":"é","requestId":1}}')
        yield* turn
        assert.deepStrictEqual(server.inbox.lines(), [
          `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"reason":"é","requestId":${mine!.id}}}`
        ])
        assert.strictEqual(one.session.inFlight, 0)
        server.answer(mine!)
        server.answer(theirs!)
        assert.deepStrictEqual(yield* one.told, [])
        assert.lengthOf(yield* other.told, 1)
        // A second time there is nothing to cancel.
        one.send(notification("notifications/cancelled", { requestId: 1 }))
        assert.deepStrictEqual(yield* server.told, [])
      })
    )

    it.effect("takes ids for equal as JSON values, however they are written", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const server = mux.attach()
        const client = mux.client()
        const cancelled = Effect.fnUntraced(function* (id: string, cancelledId: string) {
          client.send(`{"jsonrpc":"2.0","id":${id},"method":"m"}`)
          const [asked] = yield* server.told
          client.send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":${cancelledId}}}`)
          const cancels = (yield* server.told).map(({ params }) => params?.["requestId"])
          server.answer(asked!)
          assert.lengthOf(yield* client.told, 1 - cancels.length)
          assert.deepStrictEqual(cancels, cancels.length === 0 ? [] : [asked!.id])
          return cancels.length === 1
        })
        assert.isTrue(yield* cancelled("1", "1.0"))
        assert.isTrue(yield* cancelled('"a"', '"\\u0061"'))
        assert.isTrue(yield* cancelled("10", "1e1"))
        assert.isFalse(yield* cancelled("1", '"1"'))
        assert.isFalse(yield* cancelled("1", "2"))
        assert.isFalse(yield* cancelled('"null"', "null"))
      })
    )

    it.effect("takes ids for equal beyond ASCII too", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const server = mux.attach()
        const client = mux.client()
        client.send(
          '{"jsonrpc":"2.0","id":"é","method":"m"}',
          '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"\\u00e9"}}'
        )
        assert.deepStrictEqual(methods(yield* server.told), ["m", "notifications/cancelled"])
      })
    )

    it.effect("takes back what still waits for a process", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const client = mux.client()
        client.send(request(1, "a"), request(2, "b"), notification("notifications/cancelled", { requestId: 1 }))
        assert.strictEqual(client.session.inFlight, 1)
        const server = mux.attach()
        assert.deepStrictEqual(methods(yield* server.told), ["b"])
      })
    )

    it.effect("is what happens to the calls of a client that leaves", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const server = mux.attach()
        const [one, other] = [mux.client(), mux.client()]
        one.send(request(1, "a"), request(2, "b"))
        other.send(request(1, "c"))
        const [a, b, c] = yield* server.told
        one.session.close()
        const cancels = yield* server.told
        assert.deepStrictEqual(methods(cancels), ["notifications/cancelled", "notifications/cancelled"])
        assert.deepStrictEqual(
          cancels.map(({ params }) => params?.["requestId"]),
          [a!.id, b!.id]
        )
        for (const asked of [a!, b!, c!]) server.answer(asked)
        assert.deepStrictEqual(yield* one.told, [])
        assert.lengthOf(yield* other.told, 1)
      })
    )
  })

  describe("a connection", () => {
    it.effect("is told each time its last request is answered", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const server = mux.attach()
        const client = mux.client()
        client.send(request(1, "a"), request(2, "b"))
        const [a, b] = yield* server.told
        server.answer(a!)
        assert.deepStrictEqual(client.events, [])
        server.answer(b!)
        assert.deepStrictEqual(client.events, ["idle"])
        client.send(request(3, "c"), notification("notifications/cancelled", { requestId: 3 }))
        assert.deepStrictEqual(client.events, ["idle", "idle"])
      })
    )

    it.effect("is closed where it leaves more than maxUnread lying, and delays nobody", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const server = mux.attach()
        const out = new MemoryWritable({ highWaterMark: 1 })
        out.hold()
        const [lazy, busy] = [mux.client({ out, maxUnread: 10_000 }), mux.client()]
        lazy.send(request(1, "m"), request(2, "m"), request(3, "m"))
        busy.send(request(1, "m"))
        const [first, second, third, other] = yield* server.told
        // One message always has room.
        server.answer(first!, { text: "x".repeat(50_000) })
        yield* turn
        assert.deepStrictEqual(lazy.events, [])
        server.answer(second!)
        assert.match(lazy.events.at(-1)!, /^close: /)
        server.answer(other!)
        assert.lengthOf(yield* busy.told, 1)
        lazy.session.close()
        assert.deepStrictEqual(
          (yield* server.told).map(({ params }) => params?.["requestId"]),
          [third!.id]
        )
      })
    )

    it.effect("that is closed is written to no more, and asks no more", () =>
      Effect.gen(function* () {
        const mux = makeMux()
        const server = mux.attach()
        const client = mux.client({ initialized: true })
        client.send(request(1, "m"), request(2, "ping"))
        client.session.close()
        client.session.close()
        client.send(request(3, "m"), request(4, "ping"), notification("notifications/x"))
        const told = yield* server.told
        assert.deepStrictEqual(methods(told), ["m", "notifications/cancelled"])
        server.answer(told[0]!)
        server.say(notification("notifications/prompts/list_changed"))
        assert.deepStrictEqual(yield* client.told, [])
        assert.strictEqual(mux.sharing.clients.size, 0)
      })
    )
  })
})
