import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import { turn } from "../lines/Turn.ts"
import { asked, methods } from "./Messages.ts"
import {
  type Client,
  fakeTimers,
  makeShared,
  type Mux,
  notification,
  type Process,
  request,
  unavailable
} from "./MuxHarness.ts"

const listedTools = (mux: Mux) => mux.sharing.lists.tools?.map(({ name }) => name) ?? null

describe("ListCache", () => {
  describe("tools", () => {
    const withTools = { capabilities: { tools: {} } }
    const tool = (name: string) => ({ name, inputSchema: { type: "object" } })

    it.effect("are read when a process is there, page by page, and when they change", () =>
      Effect.gen(function* () {
        const { mux, server } = makeShared(1, {}, withTools)
        const [first] = yield* server.told
        assert.strictEqual(listedTools(mux), null)
        server.answer(first!, { tools: [tool("a"), { nameless: true }, null], nextCursor: "c" })
        const [second] = yield* server.told
        assert.deepStrictEqual(asked([first!, second!]), [
          ["tools/list", {}],
          ["tools/list", { cursor: "c" }]
        ])
        server.answer(second!, { tools: [tool("b")] })
        assert.deepStrictEqual(listedTools(mux), ["a", "b"])
        server.say(notification("notifications/tools/list_changed"))
        const [third] = yield* server.told
        server.answer(third!, { tools: [tool("c")] })
        assert.deepStrictEqual(listedTools(mux), ["c"])
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
        assert.deepStrictEqual(listedTools(mux), ["late"])
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
        assert.deepStrictEqual(listedTools(mux), [])
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

  describe("of a server that says that they changed whenever it is asked for them", () => {
    const withTools = { capabilities: { tools: {} } }
    const changed = notification("notifications/tools/list_changed")

    /** Time stands still; each answer of the server is another, until it is `quiet`. */
    const make = Effect.fnUntraced(function* (isBefore: boolean) {
      yield* fakeTimers
      const { clients, mux, server } = makeShared(1, {}, withTools)
      let count = 0
      const state = { isQuiet: false }
      /** So many times was it asked since then. */
      const readings = Effect.gen(function* () {
        const before = count
        for (let asks = yield* server.told; asks.length > 0; asks = yield* server.told) {
          assert.lengthOf(asks, 1)
          assert.isBelow(count - before, 100)
          if (isBefore && !state.isQuiet) server.say(changed)
          server.answer(asks[0]!, { tools: [{ name: String(++count), inputSchema: { type: "object" } }] })
          if (!isBefore && !state.isQuiet) server.say(changed)
        }
        return count - before
      })
      const asksFor = Effect.fnUntraced(function* (id: number) {
        clients[0]!.send(request(id, "tools/list"))
        const read = yield* readings
        const answer = (yield* clients[0]!.told).find((message) => message.id === id)
        const tools = answer?.result?.["tools"] as ReadonlyArray<{ readonly name: string }> | undefined
        return [read, tools?.[0]?.name]
      })
      return { asksFor, clients, mux, readings, server, state }
    })

    for (const [when, isBefore] of [
      ["before it answers", true],
      ["after it has answered", false]
    ] as const)
      it.effect(`are read a few times at once and then once in a second, ${when}`, () =>
        Effect.gen(function* () {
          const { asksFor, mux, readings, server, state } = yield* make(isBefore)
          assert.strictEqual(yield* readings, 5)
          vi.advanceTimersByTime(999)
          assert.strictEqual(yield* readings, 0)
          vi.advanceTimersByTime(1)
          assert.strictEqual(yield* readings, 1)
          // Who asks meanwhile is given what is new.
          vi.advanceTimersByTime(500)
          assert.deepStrictEqual(yield* asksFor(1), [1, "7"])
          assert.deepStrictEqual(yield* asksFor(2), [1, "8"])
          vi.advanceTimersByTime(500)
          assert.strictEqual(yield* readings, 1)
          // Once it is quiet they are read once more, and kept.
          state.isQuiet = true
          vi.advanceTimersByTime(1000)
          assert.strictEqual(yield* readings, 1)
          vi.advanceTimersByTime(10_000)
          assert.strictEqual(yield* readings, 0)
          assert.deepStrictEqual(listedTools(mux), ["10"])
          assert.deepStrictEqual(yield* asksFor(3), [0, "10"])
          server.say(changed)
          assert.deepStrictEqual([yield* readings, yield* asksFor(4)], [1, [0, "11"]])
        })
      )

    it.effect("are not waited for longer than for the next reading", () =>
      Effect.gen(function* () {
        const { mux, readings } = yield* make(true)
        let settled = 0
        const count = () => {
          settled++
        }
        mux.sharing.lists.whenSettled(count)
        assert.deepStrictEqual([yield* readings, settled], [5, 1])
        mux.sharing.lists.whenSettled(count)
        assert.strictEqual(settled, 1)
        vi.advanceTimersByTime(1000)
        assert.deepStrictEqual([yield* readings, settled], [1, 2])
      })
    )

    it.effect("are not read of a process that is gone, and are of the next one", () =>
      Effect.gen(function* () {
        const { mux, readings } = yield* make(true)
        yield* readings
        let settled = 0
        mux.sharing.lists.whenSettled(() => {
          settled++
        })
        mux.detach()
        vi.advanceTimersByTime(1000)
        assert.strictEqual(settled, 1)
        const next = mux.attach(withTools)
        vi.advanceTimersByTime(1000)
        assert.deepStrictEqual(yield* answerAll(next, { "tools/list": ["next"] }), ["tools/list"])
        assert.deepStrictEqual(listedTools(mux), ["next"])
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

  describe("that sessions ask for", () => {
    const withTools = { capabilities: { tools: {}, prompts: {} } }
    const changed = notification("notifications/tools/list_changed")
    const page = (name: string, more: object = {}) => ({ tools: [{ name, é: "漢" }], ...more })

    /** A server whose lists have been read once, its first answer `page("a", more)`, and two clients. */
    const read = Effect.fnUntraced(function* (more?: object, options?: Parameters<typeof makeShared>[1]) {
      const { clients, mux, server } = makeShared(2, options, withTools)
      const [tools] = yield* server.told
      server.answer(tools!, page("a", more))
      yield* answerAll(server)
      return { mux, server, one: clients[0]!, two: clients[1]! }
    })
    /** The names in the lists that a client was told, by the id under which it asked. */
    const named = (client: Client) =>
      Effect.map(client.told, (told) =>
        told
          .filter(({ method }) => method === undefined)
          .map(({ id, result }) => [id, (result?.["tools"] as ReadonlyArray<{ name: string }> | undefined)?.[0]?.name])
      )

    it.effect("are answered without the server, byte for byte, under the id as it came", () =>
      Effect.gen(function* () {
        const { one, server, two } = yield* read()
        one.send('{"jsonrpc":"2.0","id":"\\u0061é","method":"tools/list"}')
        two.send(' {"method":"tools\\/list", "params" : { } , "id":1.0,"jsonrpc":"2.0"}')
        yield* turn
        const result = JSON.stringify(page("a"))
        assert.deepStrictEqual(one.inbox.lines(), [`{"jsonrpc":"2.0","result":${result},"id":"\\u0061é"}`])
        assert.deepStrictEqual(two.inbox.lines(), [`{"jsonrpc":"2.0","result":${result},"id":1.0}`])
        assert.deepStrictEqual(yield* server.told, [])
        assert.deepStrictEqual([one.session.inFlight, one.events], [0, ["idle"]])
      })
    )

    it.effect("go to the server with a cursor, a token or anything else", () =>
      Effect.gen(function* () {
        const { one, server } = yield* read({ nextCursor: "c" })
        one.send(request("first", "tools/list"))
        yield* one.told
        const params = [{ cursor: "c" }, { _meta: { progressToken: 1 } }, { _meta: {} }, { filter: "x" }]
        params.forEach((params, id) => one.send(request(id, "tools/list", params)))
        assert.lengthOf(yield* server.told, params.length)
        // The pool reads all pages; a session follows them itself.
        one.send(request(9, "tools/list"))
        assert.deepStrictEqual((yield* one.told)[0]?.result, page("a", { nextCursor: "c" }))
      })
    )

    it.effect("cost the server one request, however many wait", () =>
      Effect.gen(function* () {
        const { clients, mux, server } = makeShared(50, {}, withTools)
        const late = mux.client()
        clients.forEach((client, id) => client.send(request(id, "tools/list"), request("p", "prompts/list")))
        const asks = yield* server.told
        assert.deepStrictEqual(methods(asks), ["tools/list", "prompts/list"])
        assert.strictEqual(clients[0]!.session.inFlight, 2)
        server.answer(asks[0]!, page("a"))
        server.answer(asks[1]!, { prompts: [] })
        late.send(request("late", "tools/list"))
        for (const [id, client] of clients.entries()) {
          assert.deepStrictEqual(
            (yield* client.told).map((answer) => answer.id),
            [id, "p"]
          )
          assert.strictEqual(client.session.inFlight, 0)
        }
        assert.deepStrictEqual(yield* named(late), [["late", "a"]])
        assert.deepStrictEqual(yield* server.told, [])
      })
    )

    it.effect("are never older than the change that a session was told of", () =>
      Effect.gen(function* () {
        const { one, server, two } = yield* read()
        server.say(changed)
        one.send(request(1, "tools/list"))
        const [first] = yield* server.told
        // It changes again, before it has answered: who asks now waits for the next reading.
        server.say(changed)
        two.send(request(2, "tools/list"))
        server.answer(first!, page("b"))
        assert.deepStrictEqual([yield* named(one), yield* named(two)], [[[1, "b"]], []])
        one.send(request(3, "tools/list"))
        const [second, ...more] = yield* server.told
        assert.deepStrictEqual(more, [])
        assert.deepStrictEqual(yield* named(one), [])
        server.answer(second!, page("c"))
        assert.deepStrictEqual([yield* named(one), yield* named(two)], [[[3, "c"]], [[2, "c"]]])
        two.send(request(4, "tools/list"))
        assert.deepStrictEqual([yield* named(two), yield* server.told], [[[4, "c"]], []])
      })
    )

    it.effect("are read anew once they are older than the time to live, or than the server's own", () =>
      Effect.gen(function* () {
        yield* fakeTimers
        const lives = [
          { more: {}, listTtl: 300_000, life: 300_000 },
          { more: { ttlMs: 5000 }, listTtl: 300_000, life: 5000 },
          { more: { ttlMs: 5000 }, listTtl: 1000, life: 1000 }
        ]
        for (const { life, listTtl, more } of lives) {
          const { one, server, two } = yield* read(more, { listTtl })
          vi.advanceTimersByTime(life - 1)
          one.send(request(1, "tools/list"))
          assert.deepStrictEqual([yield* server.told, yield* named(one)], [[], [[1, "a"]]])
          vi.advanceTimersByTime(1)
          one.send(request(2, "tools/list"))
          two.send(request(3, "tools/list"))
          const [ask, ...others] = yield* server.told
          assert.deepStrictEqual(others, [])
          server.answer(ask!, page("b"))
          assert.deepStrictEqual([yield* named(one), yield* named(two)], [[[2, "b"]], [[3, "b"]]])
        }
        for (const ttlMs of [0, -1]) {
          const { one, server } = yield* read({ ttlMs })
          one.send(request(1, "tools/list"))
          assert.lengthOf(yield* server.told, 1)
        }
      })
    )

    it.effect("are nobody else's where the server says that they are private, until it says otherwise", () =>
      Effect.gen(function* () {
        const { one, server, two } = yield* read({ cacheScope: "private", ttlMs: 60_000 })
        one.send(request(1, "tools/list"))
        two.send(request(2, "tools/list"))
        const [mine, yours] = yield* server.told
        server.answer(yours!, page("yours"))
        server.answer(mine!, page("mine"))
        assert.deepStrictEqual([yield* named(one), yield* named(two)], [[[1, "mine"]], [[2, "yours"]]])
        server.say(changed)
        const [again] = yield* server.told
        server.answer(again!, page("all"))
        two.send(request(3, "tools/list"))
        assert.deepStrictEqual([yield* named(two), yield* server.told], [[[3, "all"]], []])
        // Those that wait for the pool's reading ask for themselves once that turns out to be private.
        const { clients, server: next } = makeShared(2, {}, withTools)
        clients.forEach((client, id) => client.send(request(id, "tools/list")))
        const [ask] = yield* next.told
        next.answer(ask!, page("pool", { cacheScope: "private" }))
        const asks = yield* next.told
        assert.deepStrictEqual(methods(asks), ["tools/list", "tools/list", "prompts/list"])
        next.answer(asks[1]!, page("1"))
        assert.deepStrictEqual([yield* named(clients[0]!), yield* named(clients[1]!)], [[], [[1, "1"]]])
      })
    )

    it.effect("are refused with the server's own error where it cannot give them, and asked for again", () =>
      Effect.gen(function* () {
        const { mux, one, server, two } = yield* read({ ttlMs: 0 })
        one.send(request(1, "tools/list"))
        two.send(request(2, "tools/list"))
        const [ask, ...others] = yield* server.told
        assert.deepStrictEqual(others, [])
        const error = { code: -32000, message: "not now é", data: { why: [1] } }
        server.say({ jsonrpc: "2.0", id: ask!.id, error })
        for (const client of [one, two]) assert.deepStrictEqual((yield* client.told)[0]?.error, error)
        // The last good list is kept for status and for repetition.
        assert.deepStrictEqual(listedTools(mux), ["a"])
        one.send(request(3, "tools/list"))
        const [again] = yield* server.told
        server.answer(again!, page("b"))
        assert.deepStrictEqual(yield* named(one), [[3, "b"]])
      })
    )

    it.effect("are passed on as they are where they are no lists, and not kept", () =>
      Effect.gen(function* () {
        const { one, server } = yield* read({ ttlMs: 0 })
        for (const id of [1, 2]) {
          one.send(request(id, "tools/list"))
          const [ask] = yield* server.told
          server.say({ jsonrpc: "2.0", id: ask!.id, result: { tools: "none", id } })
          assert.deepStrictEqual((yield* one.told)[0]?.result, { tools: "none", id })
        }
      })
    )

    it.effect("are those of the process that is there, or while there is none of the last one", () =>
      Effect.gen(function* () {
        const { mux, one } = yield* read()
        const next = mux.attach(withTools)
        one.send(request(1, "tools/list"))
        const [ask] = yield* next.told
        assert.deepStrictEqual(yield* named(one), [])
        next.answer(ask!, page("b"))
        assert.deepStrictEqual(yield* named(one), [[1, "b"]])
        mux.detach()
        one.send(request(2, "tools/list"))
        assert.deepStrictEqual(yield* named(one), [[2, "b"]])
        const preflighted = mux.attach({ ...withTools, tools: [{ name: "c", inputSchema: { type: "object" } }] })
        assert.deepStrictEqual(methods(yield* one.told), ["notifications/tools/list_changed"])
        one.send(request(2, "tools/list"))
        const asks = yield* preflighted.told
        assert.deepStrictEqual(methods(asks), ["prompts/list", "tools/list"])
        preflighted.answer(asks[1]!, page("c"))
        assert.deepStrictEqual(yield* named(one), [[2, "c"]])
        const none = mux.attach({ capabilities: {} })
        one.send(request(3, "tools/list"))
        assert.deepStrictEqual(methods(yield* none.told), ["tools/list"])
      })
    )

    it.effect("wait for the next process where theirs ends, and are refused where none comes", () =>
      Effect.gen(function* () {
        const { clients, mux } = makeShared(2, {}, withTools)
        clients.forEach((client, id) => client.send(request(id, "tools/list")))
        mux.detach()
        const next = mux.attach(withTools)
        const asks = (yield* next.told).filter(({ method }) => method === "tools/list")
        for (const [i, ask] of asks.entries()) next.answer(ask, page(`b${i}`))
        for (const client of clients) assert.lengthOf(yield* named(client), 1)
        next.say(changed)
        clients[0]!.send(request("x", "tools/list"))
        mux.detach()
        mux.replica.setUnavailable(unavailable)
        const [refused] = (yield* clients[0]!.told).filter(({ error }) => error !== undefined)
        assert.deepStrictEqual([refused?.id, refused?.error?.code], ["x", 31001])
        assert.strictEqual(clients[0]!.session.inFlight, 0)
      })
    )

    it.effect("are not answered once they are cancelled, or their client is gone", () =>
      Effect.gen(function* () {
        const { one, server, two } = yield* read()
        server.say(changed)
        one.send(request(1, "tools/list"), request(2, "tools/list"))
        two.send(request(1, "tools/list"))
        const [ask] = yield* server.told
        server.say(changed)
        one.send(request(3, "tools/list"), request(4, "tools/list"))
        for (const requestId of [1, 3]) one.send(notification("notifications/cancelled", { requestId }))
        two.session.close()
        assert.strictEqual(one.session.inFlight, 2)
        server.answer(ask!, page("b"))
        const [next] = yield* server.told
        server.answer(next!, page("c"))
        assert.deepStrictEqual(yield* named(one), [
          [2, "b"],
          [4, "c"]
        ])
        assert.deepStrictEqual([one.session.inFlight, yield* server.told], [0, []])
      })
    )

    it.effect("are refused in time where requests have a deadline", () =>
      Effect.gen(function* () {
        yield* fakeTimers
        const { one, server } = yield* read({ ttlMs: 0 }, { requestTimeout: 1000 })
        one.send(request(1, "tools/list"))
        assert.lengthOf(yield* server.told, 1)
        vi.advanceTimersByTime(1500)
        assert.strictEqual((yield* one.told)[0]?.error?.code, 31003)
        assert.strictEqual(one.session.inFlight, 0)
      })
    )
  })
})
