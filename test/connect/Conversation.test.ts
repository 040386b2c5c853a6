import { assert, describe, it } from "@effect/vitest"
import * as Wire from "../../src/connect/Wire.ts"
import { OutcomeUnknown, ResultTooLarge, ServerUnavailable } from "../../src/PoolError.ts"
import { toWire } from "../../src/WireError.ts"
import { handshake, hello, Scene } from "./Scene.ts"

const call = (id: unknown) => ({ jsonrpc: "2.0", id, method: "tools/call", params: { name: "echo" } })
const result = (id: unknown) => ({ jsonrpc: "2.0", id, result: { content: [] } })
const unknown = (id: unknown) => ({ jsonrpc: "2.0", id, error: Wire.outcomeUnknown("git") })
const tools = (...names: ReadonlyArray<string>) => ({ tools: names.map((name) => ({ name })) })

describe("Conversation", () => {
  it("passes on both ways what it is given, byte for byte", () => {
    const scene = Scene.greeted()
    const pieces: Array<string> = []
    scene.daemon.push = (piece) => void pieces.push(piece.toString())
    const odd = '{"jsonrpc" : "2.0","params":{"x":1.0,"id":3},"id":7,"method":"tools/call"}'
    scene.hostSaysRaw(`${odd}\n\r\n`)
    assert.strictEqual(pieces.join(""), `${odd}\n`)
    const heard: Array<string> = []
    scene.host.push = (piece) => void heard.push(piece.toString())
    const answer = '{"id":7,"result":{"big":12345678901234567890},"jsonrpc":"2.0"}'
    scene.daemonSaysRaw(`${answer}\n`)
    assert.strictEqual(heard.join(""), `${answer}\n`)
    assert.strictEqual(scene.conversation.inFlight, 0)
  })

  it("answers what was in flight when the daemon went, each under its own id", () => {
    const scene = Scene.greeted()
    scene.hostSays(call(1), call("1"), call("two"), call(3))
    scene.daemonSays(result("1"))
    scene.hostSays({ method: "notifications/cancelled", params: { requestId: 3 } })
    scene.host.take()
    assert.strictEqual(scene.kill(), 2)
    assert.deepStrictEqual(scene.host.take(), [unknown(1), unknown("two")])
  })

  it("ends what a modern host listened to, once that had begun", () => {
    const scene = new Scene()
    scene.open()
    const listen = (id: unknown) => ({ id, method: "subscriptions/listen", params: { notifications: {} } })
    const meta = (id: unknown) => ({ _meta: { "io.modelcontextprotocol/subscriptionId": id } })
    const acknowledged = (id: unknown) => ({
      jsonrpc: "2.0",
      method: "notifications/subscriptions/acknowledged",
      params: { ...meta(id), notifications: {} }
    })
    const ended = (id: unknown) => ({ jsonrpc: "2.0", id, result: { resultType: "complete", ...meta(id) } })
    scene.hostSays(listen("a"), listen(1), listen("1"), listen("late"), call("busy"))
    scene.daemonSays(acknowledged("a"), acknowledged("1"), acknowledged(1), acknowledged("nobody's"), {
      method: "notifications/subscriptions/acknowledged"
    })
    scene.daemonSays(ended("1"))
    scene.host.take()
    assert.strictEqual(scene.kill(), 2)
    assert.deepStrictEqual(scene.host.take(), [unknown("late"), unknown("busy"), ended("a"), ended(1)])
    // The next daemon knows nothing of it, and may be asked for the same.
    scene.open()
    assert.deepStrictEqual(scene.daemon.take(), [])
    scene.hostSays(listen("a"))
    scene.daemonSays(acknowledged("a"), ended("a"))
    assert.deepStrictEqual(scene.host.take(), [acknowledged("a"), ended("a")])
    assert.strictEqual(scene.conversation.inFlight, 0)
  })

  it("answers each of several with the same id", () => {
    const scene = Scene.greeted()
    scene.hostSays(call(1), call(1), call(1))
    scene.daemonSays(result(1))
    scene.host.take()
    assert.strictEqual(scene.kill(), 2)
    assert.deepStrictEqual(scene.host.take(), [unknown(1), unknown(1)])
  })

  it("keeps what came meanwhile for the next daemon, in order, behind the handshake", () => {
    const scene = Scene.greeted()
    scene.kill()
    scene.hostSays(call(1), { method: "notifications/roots/list_changed" }, call(2))
    assert.deepStrictEqual(scene.waiting, [true, false, true])
    scene.open()
    const [again, ...nothing] = scene.daemon.take()
    assert.deepStrictEqual(nothing, [])
    assert.deepStrictEqual({ ...again, id: 0 }, { jsonrpc: "2.0", ...hello })
    assert.notStrictEqual(again?.id, 0)
    scene.daemonSays({ id: again?.id, result: { ...handshake, protocolVersion: "2024-11-05" } })
    assert.deepStrictEqual(
      scene.daemon.take().map(({ id, method }) => [id, method]),
      [
        [undefined, "notifications/initialized"],
        [1, "tools/call"],
        [undefined, "notifications/roots/list_changed"],
        [2, "tools/call"]
      ]
    )
    scene.daemonSays(result(2), result(1))
    assert.deepStrictEqual(scene.host.take(), [result(2), result(1)])
    assert.strictEqual(scene.conversation.held, 0)
  })

  it("asks initialize again where the daemon went before it answered", () => {
    const scene = new Scene()
    scene.open()
    scene.hostSays(hello)
    assert.strictEqual(scene.kill(), 0)
    scene.open()
    assert.deepStrictEqual(scene.daemon.take(), [{ jsonrpc: "2.0", ...hello }])
    scene.daemonSays({ id: 0, result: handshake })
    assert.deepStrictEqual(scene.host.take(), [{ jsonrpc: "2.0", id: 0, result: handshake }])
  })

  it("tells the next daemon the last level, and the subscriptions that are left", () => {
    const scene = Scene.greeted()
    scene.hostSays(
      { id: 1, method: "logging/setLevel", params: { level: "debug" } },
      { id: 2, method: "resources/subscribe", params: { uri: "file:///ü" } },
      { id: 3, method: "resources/subscribe", params: { uri: "file:///b" } },
      { id: 4, method: "resources/subscribe", params: { uri: "file:///none" } },
      { id: 5, method: "resources/unsubscribe", params: { uri: "file:///b" } },
      { id: 6, method: "logging/setLevel", params: { level: "error" } }
    )
    scene.daemonSays({ id: 2, result: {} }, { id: 4, error: { code: -32002, message: "no such resource" } })
    scene.kill()
    scene.host.take()
    const told = scene.reopen()
    assert.deepStrictEqual(
      told.map(({ method, params }) => [method, params]),
      [
        ["notifications/initialized", undefined],
        ["logging/setLevel", { level: "error" }],
        ["resources/subscribe", { uri: "file:///ü" }]
      ]
    )
    for (const { id } of told.slice(1)) scene.daemonSays({ id, result: {} })
    assert.deepStrictEqual(scene.host.take(), [])
  })

  it("announces a list only if it is another one", () => {
    const scene = Scene.greeted()
    scene.hostSays(
      { id: 1, method: "tools/list" },
      { id: 2, method: "prompts/list", params: {} },
      { id: 3, method: "resources/list", params: { cursor: "2" } }
    )
    scene.daemonSays({ id: 1, result: tools("a") }, { id: 2, result: { prompts: [] } }, { id: 3, result: {} })
    scene.kill()
    scene.host.take()
    const [, ...asked] = scene.reopen()
    assert.deepStrictEqual(
      asked.map(({ method }) => method),
      ["tools/list", "prompts/list"]
    )
    scene.daemonSays({ id: asked[1]?.id, result: { prompts: [] } })
    assert.deepStrictEqual(scene.host.take(), [])
    scene.daemonSays({ result: tools("a", "b"), id: asked[0]?.id })
    assert.deepStrictEqual(scene.host.take(), [{ jsonrpc: "2.0", method: "notifications/tools/list_changed" }])
    // It knows of that change now.
    scene.kill()
    const [, again] = scene.reopen()
    scene.daemonSays({ id: again?.id, result: tools("a", "b") })
    assert.deepStrictEqual(scene.host.take(), [])
  })

  it("looks behind another daemon at what says that a list has changed", () => {
    const scene = Scene.greeted()
    const changed = { jsonrpc: "2.0", method: "notifications/tools/list_changed" }
    scene.daemonSays(changed)
    assert.deepStrictEqual(scene.host.take(), [changed])
    scene.hostSays({ id: 1, method: "tools/list" })
    scene.daemonSays({ id: 1, result: tools("a") })
    scene.kill()
    scene.host.take()
    const [, first] = scene.reopen()
    scene.daemonSays(changed, changed, { id: first?.id, result: tools("a") })
    const [second, ...others] = scene.daemon.take()
    assert.deepStrictEqual([second?.method, others], ["tools/list", []])
    scene.daemonSays({ id: second?.id, result: tools("b") })
    assert.deepStrictEqual(scene.host.take(), [changed])
    // Of a list that the host never asked for nothing is known.
    scene.daemonSays({ jsonrpc: "2.0", method: "notifications/prompts/list_changed" })
    assert.lengthOf(scene.host.take(), 1)
  })

  it("takes back questions whose daemon is gone, and drops their answers", () => {
    const scene = Scene.greeted()
    const ask = (id: unknown) => ({ jsonrpc: "2.0", id, method: "elicitation/create", params: { message: "?" } })
    scene.daemonSays(ask(1), ask("x"), ask(2))
    scene.hostSays(result(2))
    assert.deepStrictEqual(scene.daemon.take(), [result(2)])
    scene.daemonSays({ method: "notifications/cancelled", params: { requestId: "x" } })
    scene.host.take()
    scene.kill()
    assert.deepStrictEqual(
      scene.host.take().map(({ method, params }) => [method, params?.["requestId"]]),
      [["notifications/cancelled", 1]]
    )
    scene.reopen()
    // The next daemon counts from the start as well: the host may still answer the last one's.
    scene.daemonSays(ask(1))
    const [question] = scene.host.take()
    assert.notStrictEqual(question?.id, 1)
    scene.hostSays(result(1))
    assert.deepStrictEqual(scene.daemon.take(), [])
    scene.hostSays(result(question?.id))
    assert.deepStrictEqual(scene.daemon.take(), [result(1)])
    scene.daemonSays(ask(2))
    scene.daemonSays({ method: "notifications/cancelled", params: { requestId: 2 } })
    assert.deepStrictEqual(
      scene.host.take().map(({ id, params }) => id ?? params?.["requestId"]),
      [2, 2]
    )
  })

  it("holds back requests while the daemon pauses, and lets answers and cancellations through", () => {
    const scene = Scene.greeted()
    scene.hostSays(call(1), call(2))
    scene.daemonSays({ id: 9, method: "sampling/createMessage", params: {} })
    scene.daemon.take()
    scene.conversation.pause()
    const cancel = (requestId: unknown) => ({
      jsonrpc: "2.0",
      method: "notifications/cancelled",
      params: { requestId }
    })
    scene.hostSays(call(3), call(4), result(9), cancel(2), cancel(4))
    assert.deepStrictEqual(scene.daemon.take(), [result(9), cancel(2)])
    scene.host.take()
    scene.daemonSays(result(1))
    assert.deepStrictEqual(scene.host.take(), [result(1)])
    assert.strictEqual(scene.kill(), 0)
    const [, ...told] = scene.reopen()
    assert.deepStrictEqual(told, [call(3)])
  })

  it("says again what never went out, unless it was cancelled since", () => {
    const scene = Scene.greeted()
    const cancel = { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 2 } }
    scene.hostSays(call(1), call(2), call(3), cancel)
    assert.strictEqual(scene.kill(call(2), call(3), cancel, { jsonrpc: "2.0", method: "notifications/initialized" }), 1)
    assert.deepStrictEqual(scene.host.take(), [unknown(1)])
    const [initialized, ...told] = scene.reopen()
    assert.strictEqual(initialized?.method, "notifications/initialized")
    assert.deepStrictEqual(told, [call(3)])
  })

  it("answers with a refusal until a daemon is there", () => {
    const scene = Scene.greeted()
    scene.kill()
    scene.hostSays(call(1))
    const error = Wire.unavailable("git", "no daemon ✗")
    scene.conversation.refuse(Wire.json(error))
    scene.hostSays(call(2), { method: "notifications/roots/list_changed" })
    assert.deepStrictEqual(scene.host.take(), [
      { jsonrpc: "2.0", id: 1, error },
      { jsonrpc: "2.0", id: 2, error }
    ])
    assert.strictEqual(scene.conversation.held, 0)
    assert.lengthOf(scene.reopen(), 1)
    scene.hostSays(call(3))
    assert.deepStrictEqual(scene.daemon.take(), [call(3)])
  })

  it("answers with the server's own error while a daemon does not shake hands again", () => {
    const scene = Scene.greeted()
    scene.kill()
    scene.hostSays(call(1))
    scene.open()
    const error = { code: 31001, message: "it is in a crash loop", data: { kind: "ServerUnavailable", server: "git" } }
    scene.daemonSays({ id: scene.daemon.take()[0]?.id, error })
    assert.strictEqual(scene.strangers, 1)
    assert.deepStrictEqual(scene.host.take(), [{ jsonrpc: "2.0", id: 1, error }])
  })

  it("reads what no serialiser writes: ids in the middle, escapes, batches, no JSON", () => {
    const scene = Scene.greeted()
    scene.daemon.push = () => {}
    scene.hostSaysRaw('{"params":{"id":5},"id":1.5,"x":[],"jsonrpc":"2.0","method":"a"}\n')
    scene.hostSaysRaw('{"jsonrpc":"2.0","id":"\\u0041","method":"tools/call"}\n')
    scene.hostSaysRaw(
      '[{"jsonrpc":"2.0","id":7,"method":"ping"},{"jsonrpc":"2.0","method":"notifications/x"}]\nno JSON\n'
    )
    assert.strictEqual(scene.conversation.inFlight, 3)
    assert.strictEqual(scene.kill(), 3)
    assert.deepStrictEqual(
      scene.host.take().map(({ id }) => id),
      [1.5, "A", 7]
    )
  })

  it("reads long lines from their ends, however they come", () => {
    const scene = Scene.greeted()
    const text = "x".repeat(90_000)
    const long = `{"method":"tools/call","params":{"text":"${text}","id":4},"jsonrpc":"2.0","id":"long"}\n`
    for (let at = 0; at < long.length; at += 30_000) scene.hostSaysRaw(long.slice(at, at + 30_000))
    assert.strictEqual(scene.conversation.inFlight, 1)
    assert.strictEqual(JSON.stringify(scene.daemon.take()[0]), long.trim())
    const answer = `{"jsonrpc":"2.0","id":"long","result":{"text":"${text}"}}\n`
    for (let at = 0; at < answer.length; at += 40_000) scene.daemonSaysRaw(answer.slice(at, at + 40_000))
    assert.strictEqual(scene.conversation.inFlight, 0)
    assert.strictEqual(JSON.stringify(scene.host.take()[0]), answer.trim())
  })

  it("refuses a line beyond all bounds under its own id", () => {
    const scene = Scene.greeted()
    scene.hostSays(call(1))
    scene.daemon.take()
    const text = "x".repeat(200_000)
    scene.hostSaysRaw(`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"text":"${text}"}}\n`)
    scene.daemonSaysRaw(`{"result":{"text":"${text}"},"jsonrpc":"2.0","id":1}\n`)
    assert.deepStrictEqual(
      scene.host.take().map(({ error, id }) => [id, error?.code]),
      [
        [2, -32600],
        [1, 31005]
      ]
    )
    assert.deepStrictEqual(scene.daemon.take(), [])
    assert.strictEqual(scene.conversation.inFlight, 0)
  })
})

describe("Wire", () => {
  it("has the codes and the data that the pool's errors have", () => {
    const shape = (error: { readonly code: number; readonly data?: unknown }) => ({
      code: error.code,
      data: error.data
    })
    assert.deepStrictEqual(
      shape(Wire.outcomeUnknown("git")),
      shape(JSON.parse(toWire(new OutcomeUnknown({ server: "git" }))))
    )
    assert.deepStrictEqual(
      shape(Wire.resultTooLarge("git", 5)),
      shape(JSON.parse(toWire(new ResultTooLarge({ server: "git", maxLine: 5 }))))
    )
    const unavailable = new ServerUnavailable({
      server: "git",
      state: "",
      failure: null,
      hint: null,
      nextAttemptAt: null
    })
    const { code, data } = JSON.parse(toWire(unavailable))
    const { state: _, ...others } = data
    assert.deepStrictEqual(shape(Wire.unavailable("git", "")), { code, data: others })
  })
})
