import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { asked, methods } from "./Messages.ts"
import { makeShared, type Mux, notification, type Process, request } from "./MuxHarness.ts"

describe("ListCache", () => {
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

  const all = { tools: {}, prompts: {}, resources: {} }

  const keys: { readonly [method: string]: string } = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates"
  }

  /** Answers what the process is asked until it is asked nothing more, from `lists` by method; says what it was asked. */
  const answerAll = Effect.fnUntraced(function* (
    server: Process,
    lists: { readonly [method: string]: ReadonlyArray<string> } = {}
  ) {
    const told: Array<unknown> = []
    for (let asks = yield* server.told; asks.length > 0; asks = yield* server.told) {
      told.push(...asks.map(({ method }) => method))
      for (const ask of asks) {
        const names = lists[ask.method!] ?? []
        server.answer(ask, { [keys[ask.method!]!]: names.map((name) => ({ name, uri: `file:///${name}` })) })
      }
    }
    return told
  })

  describe("lists", () => {
    it.effect("are read one after another from each new process, those that it has", () =>
      Effect.gen(function* () {
        const { mux, server } = makeShared(1, {}, { capabilities: all })
        const order = ["tools/list", "prompts/list", "resources/list", "resources/templates/list"]
        for (const method of order) {
          const asks = yield* server.told
          assert.deepStrictEqual(methods(asks), [method])
          server.answer(asks[0]!, {})
        }
        assert.deepStrictEqual(yield* server.told, [])
        mux.detach()
        assert.deepStrictEqual(yield* answerAll(mux.attach({ capabilities: all })), order)
        const some = { prompts: {} }
        assert.deepStrictEqual(yield* answerAll(mux.attach({ capabilities: some })), ["prompts/list"])
        assert.deepStrictEqual(yield* answerAll(mux.attach({ capabilities: { resources: {} } })), order.slice(2))
        assert.deepStrictEqual(yield* answerAll(mux.attach({ capabilities: { completions: {} } })), [])
      })
    )

    it.effect("are read page by page, and the next one also where one is refused", () =>
      Effect.gen(function* () {
        const { server } = makeShared(1, {}, { capabilities: all })
        const [tools] = yield* server.told
        server.say({ jsonrpc: "2.0", id: tools!.id, error: { code: -32601, message: "no" } })
        const [prompts] = yield* server.told
        server.answer(prompts!, { prompts: [], nextCursor: "é" })
        const [more] = yield* server.told
        assert.deepStrictEqual(asked([more!]), [["prompts/list", { cursor: "é" }]])
        server.answer(more!, { prompts: "none" })
        const [resources] = yield* server.told
        server.answer(resources!, { resources: [] })
        assert.deepStrictEqual(methods(yield* server.told), ["resources/templates/list"])
      })
    )

    it.effect("that differ at a new process are announced, each kind by itself, and no others", () =>
      Effect.gen(function* () {
        const { clients, mux, server } = makeShared(1, {}, { capabilities: all })
        const news = Effect.map(clients[0]!.told, methods)
        const lists = {
          "tools/list": ["t"],
          "prompts/list": ["p"],
          "resources/list": ["r"],
          "resources/templates/list": ["x"]
        }
        yield* answerAll(server, lists)
        assert.deepStrictEqual(yield* news, [])
        const next = Effect.fnUntraced(function* (changed: object, capabilities: object = all) {
          yield* answerAll(mux.attach({ capabilities }), { ...lists, ...changed })
          return yield* news
        })
        assert.deepStrictEqual(yield* next({}), [])
        assert.deepStrictEqual(yield* next({ "prompts/list": ["p", "q"] }), ["notifications/prompts/list_changed"])
        mux.detach()
        assert.deepStrictEqual(yield* next({}), ["notifications/prompts/list_changed"])
        assert.deepStrictEqual(yield* next({ "resources/list": ["s"] }), ["notifications/resources/list_changed"])
        assert.deepStrictEqual(yield* next({ "resources/list": ["s"], "resources/templates/list": [] }), [
          "notifications/resources/list_changed"
        ])
        assert.deepStrictEqual(yield* next({ "resources/list": ["s"], "tools/list": [] }), [
          "notifications/tools/list_changed",
          "notifications/resources/list_changed"
        ])
        // What a process has not at all, it has none of.
        assert.deepStrictEqual(yield* next({ "resources/list": ["s"] }, { resources: {} }), [
          "notifications/prompts/list_changed"
        ])
        assert.deepStrictEqual(
          yield* next({ "resources/list": ["s"], "tools/list": [] }, { resources: {}, tools: {} }),
          []
        )
      })
    )

    it.effect("that change are announced by the server alone, and read again", () =>
      Effect.gen(function* () {
        const { clients, server } = makeShared(1, {}, { capabilities: all })
        yield* answerAll(server)
        const changes = {
          tools: ["tools/list"],
          prompts: ["prompts/list"],
          resources: ["resources/list", "resources/templates/list"]
        }
        for (const [name, read] of Object.entries(changes)) {
          server.say(notification(`notifications/${name}/list_changed`))
          assert.deepStrictEqual(
            yield* answerAll(server, { [read[0]!]: ["new"], "resources/templates/list": ["new"] }),
            read
          )
          assert.deepStrictEqual(methods(yield* clients[0]!.told), [`notifications/${name}/list_changed`])
        }
      })
    )

    it.effect("that change while they are read are read once more, however often", () =>
      Effect.gen(function* () {
        const { clients, mux, server } = makeShared(1, {}, { capabilities: { prompts: {} } })
        yield* answerAll(server, { "prompts/list": ["a"] })
        const next = mux.attach({ capabilities: { prompts: {} } })
        const change = notification("notifications/prompts/list_changed")
        const [first] = yield* next.told
        next.say(change)
        next.say(change)
        assert.deepStrictEqual(yield* next.told, [])
        next.answer(first!, { prompts: [{ name: "b" }] })
        assert.lengthOf(yield* clients[0]!.told, 3)
        assert.deepStrictEqual(yield* answerAll(next, { "prompts/list": ["c"] }), ["prompts/list"])
        assert.deepStrictEqual(yield* clients[0]!.told, [])
        assert.deepStrictEqual(
          yield* answerAll(mux.attach({ capabilities: { prompts: {} } }), { "prompts/list": ["c"] }),
          ["prompts/list"]
        )
        assert.deepStrictEqual(yield* clients[0]!.told, [])
      })
    )

    it.effect("that a process did not live to give are the next one's, from the first on", () =>
      Effect.gen(function* () {
        const { mux, server } = makeShared(1, {}, { capabilities: all })
        assert.deepStrictEqual(methods(yield* server.told), ["tools/list"])
        mux.detach()
        const second = mux.attach({ capabilities: all })
        const [tools, ...more] = yield* second.told
        assert.deepStrictEqual(methods([tools!, ...more]), ["tools/list"])
        second.answer(tools!, { tools: [] })
        assert.deepStrictEqual(methods(yield* second.told), ["prompts/list"])
        mux.detach()
        // It has no resources.
        const third = mux.attach({ capabilities: { tools: {}, prompts: {} } })
        assert.deepStrictEqual(yield* answerAll(third), ["tools/list", "prompts/list"])
      })
    )

    it.effect("that a process before gives late count no more", () =>
      Effect.gen(function* () {
        const { clients, mux, server: old } = makeShared(1, {}, { capabilities: all })
        const [tools] = yield* old.told
        old.answer(tools!, { tools: [{ name: "a", uri: "file:///a" }] })
        const [prompts] = yield* old.told
        const next = mux.attach({ capabilities: all })
        old.answer(prompts!, { prompts: [{ name: "old" }], nextCursor: "more" })
        assert.deepStrictEqual([yield* old.told, yield* clients[0]!.told], [[], []])
        assert.deepStrictEqual(yield* answerAll(next, { "tools/list": ["a"], "prompts/list": ["new"] }), [
          "tools/list",
          "prompts/list",
          "resources/list",
          "resources/templates/list"
        ])
        assert.deepStrictEqual(yield* clients[0]!.told, [])
      })
    )
  })

  describe("tools that a preflight has listed", () => {
    const tools = ["a", "b"].map((name) => ({ name, inputSchema: { type: "object" as const } }))

    it.effect("are not asked for again, and the other lists are", () =>
      Effect.gen(function* () {
        const { clients, mux, server } = makeShared(1, {}, { capabilities: all, tools })
        assert.strictEqual(mux.sharing.lists.tools, tools)
        assert.deepStrictEqual(mux.sharing.lists.initialTools, ["a", "b"])
        assert.deepStrictEqual(yield* answerAll(server), ["prompts/list", "resources/list", "resources/templates/list"])
        assert.deepStrictEqual(yield* clients[0]!.told, [])
        mux.attach({ capabilities: { tools: {} }, tools: tools.slice(1) })
        assert.deepStrictEqual(methods(yield* clients[0]!.told), ["notifications/tools/list_changed"])
      })
    )

    it.effect("settle who waits for them", () =>
      Effect.gen(function* () {
        const { mux } = makeShared(1, {}, { capabilities: all })
        let settled = 0
        const count = () => {
          settled++
        }
        mux.sharing.lists.whenSettled(count)
        assert.strictEqual(settled, 0)
        mux.attach({ capabilities: all, tools })
        assert.strictEqual(settled, 1)
        mux.sharing.lists.whenSettled(count)
        assert.strictEqual(settled, 2)
      })
    )
  })

  it.effect("knows the tools that a process listed first, whatever it lists later", () =>
    Effect.gen(function* () {
      const { mux, server } = makeShared(1, {}, { capabilities: { tools: {} } })
      const initial = () => mux.sharing.lists.initialTools
      assert.strictEqual(initial(), null)
      const [first] = yield* server.told
      server.answer(first!, { tools: [{ name: "a" }], nextCursor: "c" })
      assert.strictEqual(initial(), null)
      yield* answerAll(server, { "tools/list": ["b"] })
      assert.deepStrictEqual(initial(), ["a", "b"])
      server.say(notification("notifications/tools/list_changed"))
      yield* answerAll(server, { "tools/list": ["c"] })
      assert.deepStrictEqual(initial(), ["a", "b"])
      const next = mux.attach({ capabilities: { tools: {} } })
      assert.deepStrictEqual(initial(), ["a", "b"])
      const [ask] = yield* next.told
      server.say(notification("notifications/tools/list_changed"))
      next.say({ jsonrpc: "2.0", id: ask!.id, error: { code: 1, message: "no" } })
      assert.deepStrictEqual(initial(), ["a", "b"])
      yield* answerAll(mux.attach({ capabilities: { tools: {} } }), { "tools/list": ["c"] })
      assert.deepStrictEqual(initial(), ["c"])
    })
  )

  it.effect("knows which tools may be run twice by their hints, as they are now", () =>
    Effect.gen(function* () {
      const { mux, server } = makeShared(1, {}, { capabilities: { tools: {} } })
      const { lists } = mux.sharing
      const hints = (readOnlyHint: unknown, idempotentHint: unknown) => ({
        annotations: { readOnlyHint, idempotentHint }
      })
      const tools = [
        { name: "reads", ...hints(true, false) },
        { name: "sets", ...hints(undefined, true) },
        { name: "writes", ...hints(false, false) },
        { name: "odd", ...hints("true", 1) },
        { name: "null", annotations: null },
        { name: "none" }
      ]
      assert.isFalse(lists.isRepeatable("reads"))
      for (const ask of yield* server.told) server.answer(ask, { tools })
      assert.deepStrictEqual(
        tools.map(({ name }) => lists.isRepeatable(name)),
        [true, true, false, false, false, false]
      )
      assert.isFalse(lists.isRepeatable(null))
      assert.isFalse(lists.isRepeatable("other"))
      mux.detach()
      assert.isTrue(lists.isRepeatable("reads"))
      mux.attach({ capabilities: {} })
      assert.isFalse(lists.isRepeatable("reads"))
    })
  )
})
