/** What goes over the wire between modern clients and servers of both eras, in memory. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import { turn } from "../../lines/Turn.ts"
import * as Harness from "../MuxHarness.ts"

const claim = (capabilities: object = {}, more: object = {}) => ({
  _meta: {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": { name: "modern", version: "1" },
    "io.modelcontextprotocol/clientCapabilities": capabilities,
    ...more
  }
})

/** What each answer says of the legacy server that gives it. */
const signed = { _meta: { "io.modelcontextprotocol/serverInfo": { name: "s", version: "1" } } }

const call = (id: unknown, name: string, capabilities: object = {}, params: object = {}) =>
  Harness.request(id, "tools/call", { ...claim(capabilities), name, ...params })

/** A legacy server with a process, and one modern client. */
const made = (options?: Parameters<typeof Harness.makeMux>[0], process?: object) => {
  const mux = Harness.makeMux(options)
  const server = mux.attach({ capabilities: { tools: {}, resources: {} }, isEmpty: true, ...process })
  return { mux, server, client: mux.client() }
}

const capabilities = { elicitation: {} }

/** The server asks within a call, and the client hears of it by its result. */
const held = Effect.fnUntraced(function* (world: ReturnType<typeof made>, id: unknown = 1) {
  const { client, server } = world
  yield* server.told
  client.send(call(id, "ask", capabilities))
  const [request] = yield* server.told
  server.say({ jsonrpc: "2.0", id: "q", method: "elicitation/create", params: { message: "Who?", mode: "form" } })
  yield* turn
  const [asked] = yield* client.told
  const result = asked!.result as {
    readonly inputRequests: { readonly [key: string]: object }
    readonly requestState: string
  }
  const [key = ""] = Object.keys(result.inputRequests)
  return { request: request!, asked: asked!, result, key }
})

describe("a modern request of a legacy server", () => {
  it.effect("says in its answer what the server does not", () =>
    Effect.gen(function* () {
      const { client, server } = made()
      yield* server.told
      client.send(call("a", "echo"))
      const [request] = yield* server.told
      assert.strictEqual(request?.params?.["name"], "echo")
      server.answer(request!, {})
      assert.deepStrictEqual((yield* client.told)[0], {
        jsonrpc: "2.0",
        id: "a",
        result: { resultType: "complete", ...signed }
      })
      client.send(Harness.request(2, "resources/read", { ...claim(), uri: "x:y" }))
      const [read] = yield* server.told
      server.answer(read!, { contents: [] })
      assert.deepStrictEqual((yield* client.told)[0]?.result, {
        resultType: "complete",
        ttlMs: 0,
        cacheScope: "private",
        ...signed,
        contents: []
      })
    })
  )

  it.effect("says of the server no more than that says itself, and nothing at length", () =>
    Effect.gen(function* () {
      const icons = [{ src: "x".repeat(5000) }]
      const made = Harness.makeMux()
      const server = made.attach({
        capabilities: { tools: {} },
        isEmpty: true,
        result: { serverInfo: { name: "é", version: "1", icons } }
      })
      const client = made.client()
      yield* server.told
      const answered = Effect.fnUntraced(function* (result: object, piece?: number) {
        client.send(call(1, "echo"))
        const [request] = yield* server.told
        server.say({ jsonrpc: "2.0", id: request!.id, result }, piece)
        return (yield* client.told)[0]?.result
      })
      const _meta = { "io.modelcontextprotocol/serverInfo": { name: "é", version: "1" } }
      assert.deepStrictEqual(yield* answered({ content: [] }), { resultType: "complete", _meta, content: [] })
      const own = { content: [], _meta: { own: true } }
      assert.deepStrictEqual(yield* answered(own), { resultType: "complete", ...own })
      const long = { ...own, content: [{ type: "text", text: "x".repeat(100_000) }] }
      assert.deepStrictEqual(yield* answered(long, 65_536), { resultType: "complete", ...long })
    })
  )

  it.effect("gets lists from the cache, and long answers in pieces, complete", () =>
    Effect.gen(function* () {
      const { client, server } = made()
      const [list] = yield* server.told
      const tools = Array.from({ length: 300 }, (_, index) => ({ name: `tool-${index}`, inputSchema: {} }))
      server.answer(list!, { tools })
      yield* server.told
      for (const id of [7, "seven"]) {
        client.send(Harness.request(id, "tools/list", claim()))
        const [answer] = yield* client.told
        assert.strictEqual(answer?.id, id)
        assert.deepStrictEqual(answer?.result, {
          resultType: "complete",
          ttlMs: 300_000,
          cacheScope: "private",
          ...signed,
          tools
        })
      }
      assert.isEmpty(yield* server.told)
      for (const id of [8, "eight"]) {
        client.send(call(id, "echo"))
        const [request] = yield* server.told
        const text = "é".repeat(200_000)
        server.say({ jsonrpc: "2.0", id: request!.id, result: { content: [{ type: "text", text }] } }, 65_536)
        const [answer] = yield* client.told
        assert.strictEqual(answer?.id, id)
        assert.deepStrictEqual(answer?.result, { resultType: "complete", ...signed, content: [{ type: "text", text }] })
      }
    })
  )

  it.effect("is refused where it does not say who asks, or says it in another version", () =>
    Effect.gen(function* () {
      const { client, server } = made()
      yield* server.told
      const codes = Effect.fnUntraced(function* (...messages: ReadonlyArray<object>) {
        client.send(...messages)
        return (yield* client.told).map(({ error }) => error?.code)
      })
      const meta = claim()._meta
      const { "io.modelcontextprotocol/clientCapabilities": _, ...incapable } = meta
      assert.deepStrictEqual(
        yield* codes(
          Harness.request(1, "server/discover"),
          Harness.request(2, "tools/list", { _meta: incapable }),
          Harness.request(3, "tools/list", {
            _meta: { ...meta, "io.modelcontextprotocol/protocolVersion": "2027-01-01" }
          }),
          Harness.request(4, "tools/list"),
          Harness.request(5, "ping", { _meta: meta }),
          Harness.request(6, "resources/subscribe", { _meta: meta, uri: "x:y" }),
          Harness.request(7, "tasks/list", { _meta: meta }),
          Harness.request(8, "subscriptions/listen", { _meta: meta }),
          Harness.request(9, "tools/call", {
            _meta: { ...meta, "io.modelcontextprotocol/logLevel": "loud" },
            name: "x"
          })
        ),
        [-32602, -32602, -32022, -32602, -32601, -32601, -32601, -32602, -32602]
      )
      client.send(
        Harness.request(3, "tools/list", {
          _meta: { ...meta, "io.modelcontextprotocol/protocolVersion": "2027-01-01" }
        })
      )
      const [{ error } = {}] = yield* client.told
      assert.include(error?.data?.["supported"], "2026-07-28")
      assert.strictEqual(error?.data?.["requested"], "2027-01-01")
      assert.isEmpty(yield* server.told)
    })
  )

  it.effect("has its errors as the modern era numbers them", () =>
    Effect.gen(function* () {
      const { client, server } = made()
      yield* server.told
      const answered = Effect.fnUntraced(function* (error: object, capabilities: object = {}) {
        client.send(call(1, "x", capabilities))
        const [request] = yield* server.told
        server.say({ jsonrpc: "2.0", id: request!.id, error })
        return (yield* client.told)[0]!
      })
      const gone = yield* answered({ code: -32002, message: "not there", data: { uri: "x" } })
      assert.deepStrictEqual(gone.error, { code: -32602, message: "not there", data: { uri: "x" } })
      const own = yield* answered({ code: -7, message: "é" })
      assert.deepStrictEqual(own.error, { code: -7, message: "é" })
      const page = { mode: "url", elicitationId: "e", message: "Sign in", url: "https://example.com" }
      const data = { elicitations: [page] }
      const opens = yield* answered({ code: -32042, message: "sign in", data }, { elicitation: { url: {} } })
      assert.deepStrictEqual(opens.result, {
        resultType: "input_required",
        inputRequests: { "page-0": { method: "elicitation/create", params: page } },
        ...signed
      })
      const cannot = yield* answered({ code: -32042, message: "sign in", data })
      assert.strictEqual(cannot.error?.code, -32021)
    })
  )

  it.effect("is cancelled by its id, and with its connection", () =>
    Effect.gen(function* () {
      const { client, mux, server } = made()
      yield* server.told
      client.send(call(1, "slow"), call("1", "slow"))
      const [first, second] = yield* server.told
      client.send(Harness.notification("notifications/cancelled", { requestId: 1 }))
      const [cancelled] = yield* server.told
      assert.deepInclude(cancelled, { method: "notifications/cancelled" })
      assert.strictEqual(cancelled?.params?.["requestId"], first?.id)
      assert.strictEqual(client.session.inFlight, 1)
      server.answer(first!)
      assert.isEmpty(yield* client.told)
      client.session.close()
      assert.strictEqual((yield* server.told)[0]?.params?.["requestId"], second?.id)
      assert.strictEqual(mux.sharing.clients.size, 0)
    })
  )
})

describe("a call that is held", () => {
  it.effect("is resumed by its retry, under the new id", () =>
    Effect.gen(function* () {
      const world = made()
      const { client, server } = world
      const { asked, key, request, result } = yield* held(world)
      assert.deepInclude(asked, { id: 1 })
      assert.deepStrictEqual(result.inputRequests[key], {
        method: "elicitation/create",
        params: { message: "Who?", mode: "form" }
      })
      assert.strictEqual(client.session.inFlight, 0)
      const answer = { action: "accept", content: { name: "é" } }
      client.send(
        call("again", "ask", capabilities, { inputResponses: { [key]: answer }, requestState: result.requestState })
      )
      const [given] = yield* server.told
      assert.deepStrictEqual(given, { jsonrpc: "2.0", id: "q", result: answer })
      server.answer(request, { content: [] })
      assert.deepStrictEqual((yield* client.told)[0], {
        jsonrpc: "2.0",
        id: "again",
        result: { resultType: "complete", ...signed, content: [] }
      })
    })
  )

  it.effect("gives the answer that came meanwhile", () =>
    Effect.gen(function* () {
      const world = made()
      const { client, server } = world
      const { request, result } = yield* held(world)
      server.answer(request, { content: [] })
      assert.isEmpty(yield* client.told)
      client.send(call(2, "ask", capabilities, { inputResponses: {}, requestState: result.requestState }))
      assert.deepStrictEqual((yield* client.told)[0], {
        jsonrpc: "2.0",
        id: 2,
        result: { resultType: "complete", ...signed, content: [] }
      })
    })
  )

  it.effect("asks again for what was left out, and takes each state once", () =>
    Effect.gen(function* () {
      const world = made()
      const { client, server } = world
      const { key, result } = yield* held(world)
      client.send(call(2, "ask", capabilities, { inputResponses: { other: {} }, requestState: result.requestState }))
      const [again] = yield* client.told
      assert.deepStrictEqual(again?.result?.["inputRequests"], result.inputRequests)
      const inputResponses = { [key]: { action: "decline" } }
      const used = { inputResponses, requestState: result.requestState }
      client.send(call(3, "ask", capabilities, used))
      assert.strictEqual((yield* client.told)[0]?.error?.code, -32602)
      const fresh = { inputResponses, requestState: again?.result?.["requestState"] }
      client.send(call(4, "other", capabilities, fresh))
      assert.strictEqual((yield* client.told)[0]?.error?.code, -32602)
      const stranger = world.mux.client()
      stranger.send(call(4, "ask", capabilities, fresh))
      assert.strictEqual((yield* stranger.told)[0]?.error?.code, -32602)
      assert.isEmpty(yield* server.told)
      client.send(call(5, "ask", capabilities, fresh))
      assert.deepStrictEqual((yield* server.told)[0]?.result, { action: "decline" })
    })
  )

  it.effect("is cancelled after a minute, and with its connection", () =>
    Effect.gen(function* () {
      yield* Harness.fakeTimers
      const world = made()
      const { client, server } = world
      const first = yield* held(world)
      vi.advanceTimersByTime(59_000)
      assert.isEmpty(yield* server.told)
      vi.advanceTimersByTime(1_001)
      const cancelled = yield* server.told
      assert.include(
        cancelled.map(({ params }) => params?.["requestId"]),
        first.request.id
      )
      client.send(call(2, "ask", capabilities, { inputResponses: {}, requestState: first.result.requestState }))
      assert.strictEqual((yield* client.told)[0]?.error?.code, -32602)
      const second = yield* held(made())
      assert.strictEqual(second.asked.id, 1)
      const other = made()
      const third = yield* held(other)
      other.client.session.close()
      assert.include(
        (yield* other.server.told).map(({ params }) => params?.["requestId"]),
        third.request.id
      )
    })
  )

  it.effect("keeps its lane: what asks too waits, and is not asked instead", () =>
    Effect.gen(function* () {
      const asker = { method: "tools/call", name: "ask", isCertain: true }
      const world = made({ askers: [asker] })
      const { client, mux, server } = world
      const first = yield* held(world)
      const other = mux.client()
      other.send(call(1, "ask", capabilities))
      client.send(call("other", "ask", capabilities))
      assert.isEmpty(yield* server.told)
      const inputResponses = { [first.key]: { action: "decline" } }
      client.send(call(2, "ask", capabilities, { inputResponses, requestState: first.result.requestState }))
      assert.strictEqual((yield* server.told)[0]?.id, "q")
      server.answer(first.request, {})
      const [next] = yield* server.told
      assert.strictEqual(next?.method, "tools/call")
    })
  )

  it.effect("is refused what its request does not declare, and told so if the call fails by that", () =>
    Effect.gen(function* () {
      const { client, server } = made()
      yield* server.told
      client.send(call(1, "ask", { sampling: {} }))
      const [request] = yield* server.told
      server.say({ jsonrpc: "2.0", id: "q", method: "elicitation/create", params: { message: "Who?" } })
      assert.strictEqual((yield* server.told)[0]?.error?.code, -32601)
      server.answer(request!, { isError: true, content: [] })
      assert.deepInclude((yield* client.told)[0]?.error, {
        code: -32021,
        data: { requiredCapabilities: { elicitation: { form: {} } } }
      })
    })
  )
})

describe("a modern request of a modern server", () => {
  const modern = {
    era: "modern" as const,
    capabilities: { tools: {} },
    result: { resultType: "complete", supportedVersions: ["2026-07-28"], capabilities: { tools: {} } }
  }

  it.effect("passes as it is, but for its id and its token", () =>
    Effect.gen(function* () {
      const { client, server } = made({}, modern)
      yield* server.told
      const params = { ...claim({}, { progressToken: "t", traceparent: "00-x" }), name: "x", requestState: "theirs" }
      client.send(Harness.request("mine", "tools/call", params))
      const [request] = yield* server.told
      assert.deepStrictEqual(request?.params, {
        ...params,
        _meta: { ...params._meta, progressToken: request?.id }
      })
      server.say(Harness.notification("notifications/progress", { progressToken: request!.id, progress: 1 }))
      const result = { resultType: "input_required", requestState: "theirs", inputRequests: {} }
      server.answer(request!, result)
      assert.deepStrictEqual(yield* client.told, [
        { jsonrpc: "2.0", method: "notifications/progress", params: { progressToken: "t", progress: 1 } },
        { jsonrpc: "2.0", id: "mine", result }
      ])
    })
  )
})
