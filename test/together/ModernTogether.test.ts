/** Requests of 2026-07-28 to several servers in memory as one. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Line } from "../../src/lines/LineReader.ts"
import { Envelope } from "../../src/message/Envelope.ts"
import { ModernRequests } from "../../src/mux/era/ModernRequests.ts"
import { ModernTogether } from "../../src/together/ModernTogether.ts"
import { turn } from "../lines/Turn.ts"
import { claim } from "../mux/era/ModernMessages.ts"
import { type Message, notification, parse, request, unavailable } from "../mux/MuxHarness.ts"
import { make, ofMethod, type Started } from "./TogetherHarness.ts"

/** Servers, and who asks all of them. */
const made = (...names: ReadonlyArray<string>) => {
  const { members, together } = make(...names)
  const maxUnread = 32 * 1024 * 1024
  const requests = new Map<string, ModernRequests>()
  const modern = new ModernTogether({
    server: "/mcp",
    together,
    maxUnread,
    of: ({ name, upstream }) => {
      const known = requests.get(name) ?? new ModernRequests({ server: name, upstream, maxUnread, socket: `/${name}` })
      requests.set(name, known)
      return known
    }
  })
  /** Asks, and says what came of it. */
  const ask = (id: unknown, method: string, params: object = {}) => {
    const line = Line.of(Buffer.from(JSON.stringify(request(id, method, { ...claim(), ...params }))))
    const envelope = new Envelope()
    envelope.scan(line.bytes, line.start, line.end)
    let text = ""
    const asked = { ended: 0, bytes: 0, cancel: () => {}, told: (): ReadonlyArray<Message> => [] }
    asked.told = () => text.split("\n").filter(Boolean).map(parse)
    const push = (piece: string | Buffer) => {
      asked.bytes += piece.length
      text += typeof piece === "string" ? Buffer.from(piece, "latin1").toString() : piece.toString()
    }
    const { cancel } = modern.receive(line, envelope, method, {
      out: { unread: 0, push },
      ended: () => asked.ended++,
      listens: () => {},
      overflow: () => {}
    })
    asked.cancel = cancel
    return asked
  }
  const start = (offers: Parameters<(typeof members)[0]["start"]>[0] = {}) =>
    members.map((member) => member.start(offers)) as [Started, Started, ...Array<Started>]
  return { members, together, ask, start }
}

const settle = (...servers: ReadonlyArray<Started>) =>
  Effect.gen(function* () {
    for (const { told } of servers) yield* told
  })

const error = { code: -32002, message: "Resource not found" }
const refuse = (server: Started, { id }: Message) => server.process.say({ jsonrpc: "2.0", id, error })

describe("ModernTogether", () => {
  it.effect("cancels a read at the server that has it now, where one before it refused at once", () =>
    Effect.gen(function* () {
      const { ask, members, start } = made("a", "b")
      const [a, b] = start()
      yield* settle(a, b)
      ask(1, "resources/list")
      yield* settle(a, b)
      yield* settle(a, b)
      members[0]!.mux.detach()
      members[0]!.mux.replica.setUnavailable(unavailable)
      const asked = ask(2, "resources/read", { uri: "x:1" })
      const [read] = ofMethod(yield* b.told, "resources/read")
      asked.cancel()
      const [cancelled] = ofMethod(yield* b.told, "notifications/cancelled")
      assert.strictEqual(cancelled?.params?.["requestId"], read?.id)
      assert.strictEqual(asked.ended, 0)
    })
  )

  it.effect("keeps back no more of what belongs to a read than tells whether it is an error", () =>
    Effect.gen(function* () {
      const { ask, start } = made("a", "b")
      const [a, b] = start()
      yield* settle(a, b)
      ask(1, "resources/list")
      yield* settle(a, b)
      yield* settle(a, b)
      const meta = { ...claim({}, { progressToken: "t" }) }
      const asked = ask(2, "resources/read", { uri: "x:1", ...meta })
      const [read] = ofMethod(yield* a.told, "resources/read")
      const { progressToken } = read!.params!["_meta"] as { readonly progressToken: unknown }
      const message = "m".repeat(1000)
      for (let progress = 1; progress <= 200; progress++) {
        a.process.say(notification("notifications/progress", { progressToken, progress, message }))
      }
      yield* turn
      assert.isAbove(asked.bytes, 100_000)
      a.process.answer(read!, { contents: [] })
      yield* turn
      const told = asked.told()
      assert.lengthOf(told, 201)
      assert.deepStrictEqual([told.at(-1)?.id, asked.ended], [2, 1])
    })
  )

  it.effect("answers a read with what a server says of it, where the others have no such resource", () =>
    Effect.gen(function* () {
      const { ask, start } = made("a", "b", "c")
      const servers = start({ templates: ["x:{id}"] })
      const [a, b, c] = servers as [Started, Started, Started]
      yield* settle(...servers)
      ask(1, "resources/templates/list")
      yield* settle(...servers)
      const asked = ask(2, "resources/read", { uri: "x:1" })
      refuse(a, ofMethod(yield* a.told, "resources/read")[0]!)
      const [read] = ofMethod(yield* b.told, "resources/read")
      b.process.say({ jsonrpc: "2.0", id: read?.id, error: { code: -32603, message: "locked" } })
      refuse(c, ofMethod(yield* c.told, "resources/read")[0]!)
      yield* turn
      assert.deepStrictEqual(
        asked.told().map(({ error, id }) => [id, error?.code, error?.message]),
        [[2, -32603, "locked"]]
      )
    })
  )

  it.effect("asks about a task where it was made, and nobody else", () =>
    Effect.gen(function* () {
      const extension = { extensions: { "io.modelcontextprotocol/tasks": {} } }
      const { ask, start } = made("a", "b", "c")
      const servers = start({ era: "modern", capabilities: { tools: {}, ...extension }, tools: ["slow"] })
      const [a, b, c] = servers as [Started, Started, Started]
      yield* settle(...servers)
      const discovered = ask(0, "server/discover").told()[0]?.result
      assert.deepNestedInclude(discovered, { "capabilities.extensions": extension.extensions })
      const making = ask(1, "tools/call", { ...claim(extension), name: "b__slow" })
      b.process.answer((yield* b.told)[0]!, { resultType: "task", taskId: "t", status: "working" })
      yield* turn
      assert.strictEqual(making.told()[0]?.result?.["taskId"], "t")
      for (const method of ["tasks/get", "tasks/update", "tasks/cancel"]) {
        const about = ask(2, method, { ...claim(extension), taskId: "t" })
        const [request] = yield* b.told
        assert.strictEqual(request?.method, method)
        b.process.answer(request!, { resultType: "complete", taskId: "t", status: "working" })
        yield* turn
        assert.strictEqual(about.told()[0]?.result?.["status"], "working")
      }
      const unknown = ask(3, "tasks/get", { ...claim(extension), taskId: "u" })
      assert.strictEqual(unknown.told()[0]?.error?.code, -32602)
      assert.deepStrictEqual([...(yield* a.told), ...(yield* b.told), ...(yield* c.told)], [])
      assert.strictEqual(ask(4, "tasks/list", { taskId: "t" }).told()[0]?.error?.code, -32601)
    })
  )
})
