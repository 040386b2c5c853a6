/** What goes over the wire between modern clients and servers of both eras, in memory. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import * as Harness from "../MuxHarness.ts"
import { call, claim, made, signed } from "./ModernMessages.ts"

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
      const deep = Harness.makeMux()
      const nested = JSON.parse("[".repeat(20_000) + "]".repeat(20_000)) as unknown
      const itself = deep.attach({ capabilities: { tools: {} }, isEmpty: true, result: { serverInfo: { nested } } })
      const other = deep.client()
      yield* itself.told
      other.send(call(1, "echo"))
      itself.answer((yield* itself.told)[0]!)
      assert.include(JSON.stringify((yield* other.told)[0]?.result), "mcp-pool")
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

  it.effect("that listens has its last answer when the server is to end, and others are refused from then on", () =>
    Effect.gen(function* () {
      const { client, server } = made({}, { capabilities: { tools: { listChanged: true } } })
      yield* server.told
      client.send(
        Harness.request("l", "subscriptions/listen", { ...claim(), notifications: { toolsListChanged: true } })
      )
      assert.deepStrictEqual(
        (yield* client.told).map(({ method }) => method),
        ["notifications/subscriptions/acknowledged"]
      )
      client.session.refusal = Harness.unavailable
      const _meta = { "io.modelcontextprotocol/subscriptionId": "l" }
      assert.deepStrictEqual(yield* client.told, [
        { jsonrpc: "2.0", id: "l", result: { resultType: "complete", _meta } }
      ])
      client.send(call(1, "echo"))
      assert.strictEqual((yield* client.told)[0]?.error?.data?.["kind"], "ServerUnavailable")
      server.say(Harness.notification("notifications/tools/list_changed"))
      assert.isEmpty(yield* client.told)
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

  describe("that makes a task", () => {
    const extension = { extensions: { "io.modelcontextprotocol/tasks": {} } }
    const offering = { ...modern, capabilities: { tools: {}, ...extension } }
    const about = (id: unknown, method: string, params: object = { taskId: "t" }) =>
      Harness.request(id, method, { ...claim(extension), ...params })

    /** A client's call has become the task `t`. */
    const tasked = Effect.fnUntraced(function* (process: object = offering) {
      const world = made({}, process)
      const { client, server } = world
      yield* server.told
      client.send(call("made", "slow", extension))
      const [request] = yield* server.told
      const task = { resultType: "task", taskId: "t", status: "working", ttlMs: 60_000 }
      server.answer(request!, task)
      assert.deepStrictEqual((yield* client.told)[0]?.result, task)
      return world
    })

    it.effect("goes on with it at its owner's requests alone, long after", () =>
      Effect.gen(function* () {
        yield* Harness.fakeTimers
        const { client, mux, server } = yield* tasked()
        // The client at the upstream that made it has left.
        vi.advanceTimersByTime(5000)
        for (const [id, method] of ["tasks/get", "tasks/update", "tasks/cancel"].entries()) {
          const params = { taskId: "t", inputResponses: { x: {} } }
          client.send(about(id, method, params))
          const [request] = yield* server.told
          assert.deepStrictEqual([request?.method, request?.params], [method, { ...claim(extension), ...params }])
          server.answer(request!, { resultType: "complete", taskId: "t", status: "working" })
          assert.deepInclude((yield* client.told)[0]?.result, { resultType: "complete" })
        }
        const stranger = mux.client()
        stranger.send(about(1, "tasks/get"), about(2, "tasks/cancel"), about(3, "tasks/update", {}))
        const legacy = mux.client()
        legacy.send(
          Harness.request("i", "initialize", { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: {} })
        )
        yield* legacy.told
        legacy.send(Harness.request(1, "tasks/get", { taskId: "t" }))
        const refused = [...(yield* stranger.told), ...(yield* legacy.told)]
        assert.deepStrictEqual(
          refused.map(({ error }) => error?.code),
          [-32602, -32602, -32602, -32602]
        )
        client.send(about(8, "tasks/list"), about(9, "tasks/result"))
        assert.deepStrictEqual(
          (yield* client.told).map(({ error }) => error?.code),
          [-32601, -32601]
        )
        assert.isEmpty(yield* server.told)
      })
    )

    it.effect("has it cancelled where nobody waits for it any more", () =>
      Effect.gen(function* () {
        const { client, server } = made({}, offering)
        yield* server.told
        client.send(call(1, "slow", extension))
        const [request] = yield* server.told
        client.send(Harness.notification("notifications/cancelled", { requestId: 1 }))
        yield* server.told
        server.answer(request!, { resultType: "task", taskId: "t", status: "working" })
        const [cancel] = yield* server.told
        assert.deepInclude(cancel, { method: "tasks/cancel" })
        assert.deepInclude(cancel?.params, { taskId: "t" })
        const said = cancel?.params?.["_meta"] as { readonly [key: string]: unknown }
        assert.deepStrictEqual(said["io.modelcontextprotocol/clientCapabilities"], extension)
        assert.isEmpty(yield* client.told)
      })
    )

    it.effect("holds back no process, and is not known to the next", () =>
      Effect.gen(function* () {
        const { client, mux } = yield* tasked()
        const drained: Array<string> = []
        const next = Harness.makeProcess({ ...offering, isEmpty: true })
        const old = mux.replica.current!.process
        mux.replica.attach(next.process)
        mux.replica.whenDrained(old, () => drained.push("drained"))
        assert.deepStrictEqual(drained, ["drained"])
        mux.replica.detach(old, { isCrash: false })
        client.send(about(1, "tasks/get"))
        assert.strictEqual((yield* client.told)[0]?.error?.code, -32602)
      })
    )

    it.effect("is another thing in the other era: its methods are not there", () =>
      Effect.gen(function* () {
        const { client, server } = made({}, { capabilities: { tools: {}, tasks: { cancel: {} } } })
        yield* server.told
        client.send(about(1, "tasks/get"), about(2, "tasks/update"), about(3, "tasks/cancel"))
        assert.deepStrictEqual(
          (yield* client.told).map(({ error }) => error?.code),
          [-32601, -32601, -32601]
        )
        assert.isEmpty(yield* server.told)
      })
    )
  })
})
