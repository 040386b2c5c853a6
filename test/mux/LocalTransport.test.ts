import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { LocalTransport, type LocalTransportOptions, type TransportMessage } from "../../src/mux/LocalTransport.ts"
import { turn } from "../lines/Turn.ts"
import { makeMux, type Message, request } from "./MuxHarness.ts"

/** An open transport to a server, and what its client saw: messages, errors, and its end. */
const opened = Effect.fnUntraced(function* (
  options: Partial<LocalTransportOptions> = {},
  process?: Parameters<ReturnType<typeof makeMux>["attach"]>[0]
) {
  const mux = makeMux()
  const server = mux.attach({ isEmpty: true, ...process })
  const seen: Array<Message | string> = []
  const transport = new LocalTransport({
    id: 1,
    server: "git",
    upstream: mux.sharing,
    maxLine: 1024 * 1024,
    maxUnread: 1024 * 1024,
    onStart: () => true,
    onEnd: () => void seen.push("end"),
    ...options
  })
  transport.onmessage = (message) => void seen.push(message)
  transport.onerror = (error) => void seen.push(error.message)
  transport.onclose = () => void seen.push("close")
  yield* Effect.promise(transport.start)
  yield* server.told
  const tell = (message: object) => Effect.promise(() => transport.send(message as TransportMessage))
  return { mux, server, transport, seen, tell }
})

const rejected = (promise: () => Promise<void>): Effect.Effect<string, void> =>
  Effect.flip(Effect.tryPromise({ try: promise, catch: String }))

const ids = (messages: ReadonlyArray<Message>) => messages.map(({ id }) => id)

describe("LocalTransport", () => {
  it.effect("carries messages both ways, each answer under the id of its request", () =>
    Effect.gen(function* () {
      const { seen, server, tell } = yield* opened()
      yield* tell(request("é", "tools/call", { name: "x", text: "漢\n" }))
      const [call] = yield* server.told
      assert.deepInclude(call, { method: "tools/call", params: { name: "x", text: "漢\n" } })
      server.answer(call!, { text: "漢é" })
      assert.deepStrictEqual(seen, [])
      yield* turn
      assert.deepStrictEqual(seen, [{ jsonrpc: "2.0", id: "é", result: { text: "漢é" } }])
    })
  )

  it.effect("opens once, and takes nothing before that and after its end", () =>
    Effect.gen(function* () {
      const { seen, transport } = yield* opened()
      const send = () => transport.send({ jsonrpc: "2.0" })
      assert.include(yield* rejected(transport.start), "starts once")
      yield* Effect.promise(transport.close)
      yield* Effect.promise(transport.close)
      assert.deepStrictEqual(seen, ["end", "close"])
      assert.include(yield* rejected(send), "not open")
      assert.include(yield* rejected(transport.start), "starts once")
      const closed = new LocalTransport({
        id: 2,
        server: "git",
        upstream: makeMux().sharing,
        maxLine: 1,
        maxUnread: 1,
        onStart: () => false,
        onEnd: () => {}
      })
      assert.include(yield* rejected(closed.start), "not open")
      assert.include(yield* rejected(() => closed.send({ jsonrpc: "2.0" })), "not open")
    })
  )

  it.effect("leaves the server with its calls cancelled, and tells its client nothing more", () =>
    Effect.gen(function* () {
      const { mux, seen, server, tell, transport } = yield* opened()
      yield* tell(request(0, "tools/call", { name: "a" }))
      yield* tell(request(1, "tools/call", { name: "b" }))
      const [a, b] = yield* server.told
      transport.onmessage = (message) => {
        seen.push(message)
        void transport.close()
      }
      for (const call of [a, b]) server.answer(call!)
      yield* turn
      assert.deepStrictEqual(ids(seen.filter((one): one is Message => typeof one === "object")), [0])
      assert.strictEqual(mux.sharing.clients.size, 0)
      const { server: other, tell: tellOther, transport: second } = yield* opened()
      yield* tellOther(request(0, "tools/call", { name: "c" }))
      const [c] = yield* other.told
      yield* Effect.promise(second.close)
      const [cancelled] = yield* other.told
      assert.strictEqual(cancelled?.method, "notifications/cancelled")
      assert.strictEqual(cancelled?.params?.["requestId"], c?.id)
    })
  )

  it.effect("tells of what its client throws, and goes on", () =>
    Effect.gen(function* () {
      const { seen, tell, transport } = yield* opened()
      transport.onmessage = () => {
        throw new Error("a bug")
      }
      yield* tell(request(0, "ping"))
      yield* tell(request(1, "ping"))
      yield* turn
      assert.deepStrictEqual(seen, ["a bug", "a bug"])
    })
  )

  it.effect("is closed by the pool where it leaves too much unread, once", () =>
    Effect.gen(function* () {
      const { seen, server, tell, transport } = yield* opened({ maxUnread: 100 })
      for (const id of [0, 1, 2]) yield* tell(request(id, "tools/call", { name: "x" }))
      const calls = yield* server.told
      for (const call of calls) server.answer(call, { text: "x".repeat(90) })
      yield* Effect.promise(() => Promise.resolve())
      assert.deepStrictEqual(seen, [
        'server "git" closed the session: it does not read: more than maxUnread is waiting for it',
        "end",
        "close"
      ])
      yield* turn
      assert.lengthOf(seen, 3)
      yield* Effect.promise(transport.close)
      assert.lengthOf(seen, 3)
    })
  )
})
