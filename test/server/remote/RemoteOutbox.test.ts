/** What a remote server is told, and when. */
import { assert, describe, it } from "@effect/vitest"
import { type Item, RemoteOutbox } from "../../../src/server/remote/RemoteOutbox.ts"

const setUp = () => {
  const sent: Array<{ readonly item: Item; readonly done: () => void }> = []
  let drains = 0
  const outbox = new RemoteOutbox({
    send: (item, done) => void sent.push({ item, done }),
    onCancelled: () => false,
    onUnanswered: () => {}
  })
  outbox.onDrain = () => void drains++
  const say = (message: object) => outbox.push(Buffer.from(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`))
  return { outbox, sent, say, drains: () => drains }
}

describe("RemoteOutbox", () => {
  it("says what each request is about", () => {
    const { outbox, say, sent } = setUp()
    const cases: ReadonlyArray<readonly [string, object, string | null]> = [
      ["tools/call", { name: "a", arguments: { taskId: "b" } }, "a"],
      ["prompts/get", { name: "p" }, "p"],
      ["resources/read", { uri: "file:///ü" }, "file:///ü"],
      ["tasks/get", { taskId: "t-1" }, "t-1"],
      ["tasks/update", { _meta: { taskId: "other" }, taskId: "größe", inputResponses: {} }, "größe"],
      ["tasks/cancel", { taskId: "t-3" }, "t-3"],
      ["tasks/get", { taskId: 3 }, null],
      ["tools/list", { name: "none" }, null]
    ]
    for (const [at, [method, params]] of cases.entries()) say({ id: at, method, params })
    outbox.push('{"jsonrpc":"2.0","id":99,"method":"tasks/get"}\n')
    assert.deepStrictEqual(
      sent.map(({ item }) => [item.method, item.name]),
      [...cases.map(([method, , name]) => [method, name]), ["tasks/get", null]]
    )
  })

  it("says that all was taken where something had to wait, and no more often", () => {
    const { drains, outbox, say, sent } = setUp()
    for (let id = 0; id < 256; id++) say({ id, method: "ping" })
    assert.deepStrictEqual([outbox.blocked, drains()], [false, 0])
    say({ id: 256, method: "ping" })
    say({ id: 257, method: "ping" })
    assert.isTrue(outbox.blocked)
    sent[0]!.done()
    assert.deepStrictEqual([outbox.blocked, drains()], [true, 0])
    sent[1]!.done()
    assert.deepStrictEqual([outbox.blocked, drains()], [false, 1])
    sent[2]!.done()
    assert.strictEqual(drains(), 1)
  })

  it("takes less than it is given where notifications wait, too", () => {
    const { drains, outbox, say, sent } = setUp()
    for (let at = 0; at < 33; at++) say({ method: "notifications/progress" })
    assert.isTrue(outbox.blocked)
    assert.isAbove(outbox.unread, 0)
    sent[0]!.done()
    assert.deepStrictEqual([outbox.blocked, drains()], [false, 1])
    assert.lengthOf(sent, 33)
  })
})
