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
})
