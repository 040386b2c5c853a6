import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import { Memory } from "../../src/mux/Memory.ts"
import type { Answers } from "../../src/server/HandshakeStore.ts"
import { handshakeOf } from "../../src/server/Handshake.ts"
import { methods, outcomes } from "./Messages.ts"
import { fakeTimers, makeMux, makeShared, notification, type Process, request } from "./MuxHarness.ts"

const handshake = handshakeOf({
  protocolVersion: "2025-11-25",
  capabilities: { tools: {} },
  serverInfo: { name: "old" }
})!
const text = (name: string) => `{"tools":[{"name":"${name}"}]}`
const known: Answers = { handshake, lists: new Map([["tools/list", text("a")]]) }

/** A store in memory, and how often it was read. */
const makeStore = (answers: Answers | null) => {
  const written: Array<Answers> = []
  const store = { reads: 0, written }
  const memory = new Memory({
    read: () => (store.reads++, answers),
    write: (answers) => void written.push(answers)
  })
  return { store, memory }
}

const withTools = { capabilities: { tools: {} } }

const answer = Effect.fnUntraced(function* (server: Process, result: string) {
  for (const { id, method } of yield* server.told) {
    if (method === "tools/list") server.say(`{"jsonrpc":"2.0","id":${String(id)},"result":${result}}`)
  }
})

describe("Memory", () => {
  it.effect("answers initialize and lists while a process starts, and what differs then is told once", () =>
    Effect.gen(function* () {
      const { memory } = makeStore(known)
      const mux = makeMux({ memory })
      const client = mux.client({ initialized: true })
      client.send(request(1, "initialize", { protocolVersion: "2025-06-18" }), request(2, "tools/list"))
      client.send(request(3, "tools/call", { name: "a" }))
      const [hello, list] = yield* client.told
      assert.deepStrictEqual(hello?.result, { ...handshake.result, protocolVersion: "2025-06-18" })
      assert.deepStrictEqual(list?.result, JSON.parse(text("a")))
      const server = mux.attach(withTools)
      yield* answer(server, text("b"))
      assert.deepStrictEqual(methods(yield* client.told), ["notifications/tools/list_changed"])
      client.send(request(4, "tools/list"))
      assert.deepStrictEqual((yield* client.told)[0]?.result, JSON.parse(text("b")))
      // A new session gets the new handshake.
      const other = mux.client()
      other.send(request(1, "initialize", { protocolVersion: "2025-11-25" }))
      assert.deepInclude((yield* other.told)[0]?.result?.["serverInfo"], { name: "s" })
      mux.detach()
      yield* answer(mux.attach(withTools), text("b"))
      assert.deepStrictEqual(methods(yield* client.told), [undefined])
    })
  )

  it.effect("is read once, when something is asked that it may know, and at the latest with the first process", () =>
    Effect.gen(function* () {
      const { memory, store } = makeStore(known)
      const mux = makeMux({ memory })
      const client = mux.client()
      client.send(request(1, "tools/call", { name: "a" }), request("p", "ping"))
      assert.strictEqual(store.reads, 0)
      client.send(request(2, "tools/list"))
      assert.strictEqual(store.reads, 1)
      mux.attach(withTools)
      assert.strictEqual(store.reads, 1)
      const eager = makeStore(known)
      makeMux({ memory: eager.memory }).attach(withTools)
      assert.strictEqual(eager.store.reads, 1)
    })
  )

  it.effect("is written a while after it has changed, as a whole, and not where nothing has", () =>
    Effect.gen(function* () {
      yield* fakeTimers
      const { memory, store } = makeStore(known)
      const { mux, server } = makeShared(1, { memory }, { ...withTools, result: handshake.result })
      yield* answer(server, text("a"))
      vi.advanceTimersByTime(10_000)
      assert.deepStrictEqual(store.written, [])
      server.say(notification("notifications/tools/list_changed"))
      yield* answer(server, text("b"))
      assert.deepStrictEqual(store.written, [])
      vi.advanceTimersByTime(1000)
      assert.deepStrictEqual(store.written, [{ handshake, lists: new Map([["tools/list", text("b")]]) }])
      mux.detach()
      const serverInfo = { name: "new" }
      mux.attach({ capabilities: {}, result: { serverInfo } })
      memory.flush()
      assert.lengthOf(store.written, 2)
      assert.deepStrictEqual(store.written[1]?.handshake.result["serverInfo"], serverInfo)
      assert.deepStrictEqual([...(store.written[1]?.lists ?? [])], [])
      memory.flush()
      assert.lengthOf(store.written, 2)
    })
  )

  it.effect("keeps what pages say as one, and never what is private", () =>
    Effect.gen(function* () {
      const { memory, store } = makeStore(null)
      const { mux, server } = makeShared(1, { memory }, withTools)
      yield* answer(server, '{"tools":[{"name":"é"}],"nextCursor":"c"}')
      yield* answer(server, '{"tools":[{"name":"b"}]}')
      memory.flush()
      const kept = store.written.at(-1)?.lists.get("tools/list") ?? ""
      assert.strictEqual(Buffer.from(kept, "latin1").toString(), '{"tools":[{"name":"é"},{"name":"b"}]}')
      for (const page of ['{"tools":[],"cacheScope":"private"}', '{"tools":7}']) {
        server.say(notification("notifications/tools/list_changed"))
        yield* answer(server, page)
        memory.flush()
        assert.isFalse(store.written.at(-1)?.lists.has("tools/list"), page)
      }
      mux.detach()
      const client = mux.client()
      client.send(request(1, "tools/list"))
      assert.deepStrictEqual(yield* client.told, [])
      mux.attach({ ...withTools, result: { cacheScope: "private" } })
      const { length } = store.written
      memory.flush()
      assert.lengthOf(store.written, length)
    })
  )

  it.effect("gives no list that is none, is another's alone, or that the store has under another name", () =>
    Effect.gen(function* () {
      const lists = new Map([
        ["tools/list", '{"tools":{}}'],
        ["prompts/list", '{"prompts":[]'],
        ["resources/list", '{"resources":[],"cacheScope":"private"}'],
        ["tools/call", '{"content":[]}']
      ])
      const { memory } = makeStore({ handshake, lists })
      const mux = makeMux({ memory })
      const client = mux.client()
      for (const method of lists.keys()) client.send(request(method, method))
      assert.deepStrictEqual(yield* client.told, [])
      mux.replica.setUnavailable(null)
      const server = mux.attach()
      assert.includeMembers(methods(yield* server.told) as Array<string>, [...lists.keys()])
    })
  )

  it.effect("says nothing for a server that is stopped but for its handshake", () =>
    Effect.gen(function* () {
      const { memory } = makeStore(known)
      const mux = makeMux({ memory, isComing: false })
      const client = mux.client()
      client.send(request(1, "initialize", { protocolVersion: "2025-11-25" }), request(2, "tools/list"))
      assert.deepStrictEqual(outcomes(yield* client.told), [
        [1, null],
        [2, "ServerUnavailable"]
      ])
    })
  )
})
