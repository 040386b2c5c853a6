import { assert, describe, it } from "@effect/vitest"
import { EventLog, EventStore } from "../../src/http/EventStore.ts"

const after = (log: EventLog, stream: number, number: number) =>
  Array.from(log.after(stream, number), (event) => event.number)

describe("EventStore", () => {
  it("gives what came after an event, of its stream alone", () => {
    const log = new EventLog(new EventStore({ maxBytes: 1000, maxAge: 2 }), 1000)
    for (const number of [1, 2, 3]) for (const stream of [0, 1]) log.add(stream, number, "x")
    assert.deepStrictEqual(after(log, 0, 0), [1, 2, 3])
    assert.deepStrictEqual(after(log, 1, 2), [3])
    assert.deepStrictEqual(after(log, 2, 0), [])
  })

  it("keeps so many bytes of a session, and of all, the latest", () => {
    const store = new EventStore({ maxBytes: 250, maxAge: 2 })
    const [one, two] = [new EventLog(store, 100), new EventLog(store, 200)]
    const long = "x".repeat(40)
    for (const number of [1, 2, 3]) one.add(0, number, long)
    assert.deepStrictEqual(after(one, 0, 0), [2, 3])
    for (const number of [1, 2, 3, 4, 5]) two.add(0, number, long)
    assert.deepStrictEqual(after(one, 0, 0), [3])
    assert.deepStrictEqual(after(two, 0, 0), [1, 2, 3, 4, 5])
    two.add(0, 6, long)
    assert.deepStrictEqual(after(two, 0, 0), [2, 3, 4, 5, 6])
    assert.isAtMost(store.bytes, 250)
    two.add(0, 7, "x".repeat(1000))
    assert.deepStrictEqual(after(two, 0, 0), [])
    one.clear()
    assert.strictEqual(store.bytes, 0)
  })

  it("keeps so many events of a session, however short", () => {
    const log = new EventLog(new EventStore({ maxBytes: 1_000_000, maxAge: 2 }), 1_000_000)
    for (let number = 1; number <= 3000; number++) log.add(0, number, "")
    assert.lengthOf(after(log, 0, 0), 1024)
    assert.strictEqual(after(log, 0, 0).at(-1), 3000)
  })

  it("forgets what is too old", () => {
    const store = new EventStore({ maxBytes: 1000, maxAge: 2 })
    const log = new EventLog(store, 1000)
    log.add(0, 1, "x")
    store.tick()
    log.add(0, 2, "x")
    store.tick()
    assert.deepStrictEqual(after(log, 0, 0), [2])
    store.tick()
    assert.isFalse(log.has(0))
    assert.strictEqual(store.bytes, 0)
  })
})
