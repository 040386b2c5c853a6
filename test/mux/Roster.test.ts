import { assert, describe, it } from "@effect/vitest"
import type { Digests, Gate } from "../../src/mux/Gate.ts"
import { Roster } from "../../src/mux/Roster.ts"
import type { Outcome } from "../../src/mux/Upstream.ts"
import { OutcomeUnknown, RequestTimeout, ResultTooLarge } from "../../src/PoolError.ts"
import { fakeTimers, makeMux, request } from "./MuxHarness.ts"
import { Effect } from "effect"
import { vi } from "vitest"

const digestsOf = (tools: ReadonlyArray<unknown>): Digests =>
  new Map((tools as ReadonlyArray<{ readonly name: string }>).map(({ name }) => [name, name.toUpperCase()]))

/** A gate that lets pass what it is told to. */
const makeGate = (accepted: ReadonlySet<string>) => {
  const listed: Array<ReadonlyArray<string>> = []
  const gate: Gate = {
    blocks: true,
    digests: digestsOf,
    listed: (_, digests) => listed.push([...digests.keys()]),
    refusal: (tool, digests) =>
      digests?.has(tool ?? "") === true && accepted.has(tool ?? "") ? null : { code: -32602, message: "not accepted" },
    offered: (result) => result,
    offers: new WeakMap()
  }
  return { gate, listed }
}

const result = (value: object): Outcome => ({ kind: "result", text: JSON.stringify(value), value })
const list = (...names: ReadonlyArray<string>) => result({ tools: names.map((name) => ({ name })) })
const server = "git"

const make = (hasTools = true, isCurrent = true) => {
  const { gate, listed } = makeGate(new Set())
  const asked: Array<{ readonly params: object; readonly done: (outcome: Outcome) => void }> = []
  let reads = 0
  const roster = new Roster({
    hasTools,
    gates: () => [gate],
    isCurrent: () => isCurrent,
    ask: (params, done) => asked.push({ params, done }),
    onRead: () => reads++
  })
  const answer = (outcome: Outcome) => asked.shift()?.done(outcome)
  return { roster, asked, answer, listed, reads: () => reads }
}

/** Of a tool. */
const call = {}

describe("Roster", () => {
  it("is asked for by the first who needs it, all pages, once", () => {
    const { answer, asked, listed, reads, roster } = make()
    assert.isFalse(roster.isKnownFor(call))
    assert.isFalse(roster.isKnownFor(call))
    assert.deepStrictEqual(
      asked.map(({ params }) => params),
      [{}]
    )
    answer(result({ tools: [{ name: "a" }], nextCursor: "2" }))
    assert.isFalse(roster.isKnownFor(call))
    assert.deepStrictEqual(asked[0]?.params, { cursor: "2" })
    answer(list("b"))
    assert.isTrue(roster.isKnownFor(call))
    assert.deepStrictEqual([listed, reads()], [[["a", "b"]], 1])
  })

  it("is not known from the change on; what waits meanwhile goes by what is being read", () => {
    const { answer, asked, listed, reads, roster } = make()
    roster.refresh()
    roster.refreshIfRead()
    roster.refreshIfRead()
    answer(list("a"))
    // It was told of; and is read once more.
    assert.deepStrictEqual([listed, reads(), asked.length, roster.isKnownFor(call)], [[["a"]], 1, 1, false])
    answer(list("b"))
    assert.deepStrictEqual([listed, reads(), asked.length, roster.isKnownFor(call)], [[["a"], ["b"]], 2, 0, true])
  })

  it.effect("that changes whenever it is read is read a few times at once, then once in a second and for calls", () =>
    Effect.gen(function* () {
      yield* fakeTimers
      const { answer, asked, listed, roster } = make()
      let count = 0
      const readings = () => {
        const before = count
        while (asked.length > 0) {
          assert.isBelow(count - before, 100)
          roster.refreshIfRead()
          answer(list(String(++count)))
        }
        return count - before
      }
      roster.refresh()
      assert.strictEqual(readings(), 5)
      roster.refreshIfRead()
      // What the process listed when it was new is not what it has.
      roster.look([{ name: "0" }])
      assert.deepStrictEqual([readings(), listed.at(-1)], [1, ["6"]])
      // A call does not go by what was read before the change.
      assert.isFalse(roster.isKnownFor(call))
      assert.strictEqual(readings(), 1)
      vi.advanceTimersByTime(999)
      assert.strictEqual(readings(), 0)
      vi.advanceTimersByTime(1)
      assert.strictEqual(readings(), 1)
      vi.advanceTimersByTime(1000)
      answer(list("last"))
      assert.isTrue(roster.isKnownFor(call))
      vi.advanceTimersByTime(10_000)
      assert.deepStrictEqual([listed.at(-1), asked.length], [["last"], 0])
    })
  )

  it.effect("is not read of a process that is gone", () =>
    Effect.gen(function* () {
      yield* fakeTimers
      const { answer, asked, roster } = make(true, false)
      roster.refresh()
      for (let i = 0; i < 5; i++) {
        roster.refreshIfRead()
        answer(list("a"))
      }
      vi.advanceTimersByTime(1000)
      assert.deepStrictEqual(asked, [])
    })
  )

  it("that the process does not tell is asked for again by who comes later", () => {
    const { answer, asked, listed, roster } = make()
    let call = {}
    assert.isFalse(roster.isKnownFor(call))
    answer({ kind: "error", text: "{}" })
    assert.isTrue(roster.isKnownFor(call))
    assert.isNull(roster.digests)
    assert.isFalse(roster.isKnownFor((call = {})))
    // Also where its answer was too long, or lost on the way to a server with a url.
    for (const error of [
      new RequestTimeout({ server }),
      new ResultTooLarge({ server, maxLine: 1 }),
      new OutcomeUnknown({ server })
    ]) {
      answer({ kind: "refused", error })
      assert.isNull(roster.digests)
      assert.isTrue(roster.isKnownFor(call))
      assert.isFalse(roster.isKnownFor((call = {})))
    }
    answer(list("a"))
    assert.isTrue(roster.isKnownFor(call))
    assert.deepStrictEqual([listed, asked.length], [[["a"]], 0])
  })

  it("of a process that is gone tells nobody anything; that of one without tools is empty", () => {
    const gone = make(true, false)
    gone.roster.refresh()
    gone.answer({ kind: "refused", error: new OutcomeUnknown({ server }) })
    assert.deepStrictEqual([gone.reads(), gone.listed], [0, []])
    const none = make(false)
    assert.isTrue(none.roster.isKnownFor(call))
    assert.deepStrictEqual([none.roster.digests?.size, none.asked.length, none.reads()], [0, 0, 0])
  })

  it("is what was seen elsewhere: all of it at once, and read again where a part is another", () => {
    const { answer, asked, listed, roster } = make()
    const seen = (...names: ReadonlyArray<string>) => names.map((name) => ({ name }))
    // Not before it was read.
    roster.saw(seen("z"), true)
    roster.refresh()
    roster.saw(seen("z"), true)
    answer(list("a", "b"))
    roster.saw(seen("b", "a"), true)
    roster.saw(seen("b"), false)
    assert.deepStrictEqual([listed, asked.length], [[["a", "b"]], 0])
    roster.saw(seen("a"), true)
    assert.deepStrictEqual(listed, [["a", "b"], ["a"]])
    roster.saw(seen("c"), false)
    assert.isFalse(roster.isKnownFor(call))
    answer(list("c"))
    assert.deepStrictEqual([listed.at(-1), asked.length], [["c"], 0])
  })

  it("ends with as many pages as there may be", () => {
    const { answer, asked, roster } = make()
    roster.refresh()
    let pages = 0
    while (asked.length > 0) {
      pages++
      answer(result({ tools: [], nextCursor: "again" }))
    }
    assert.strictEqual(pages, 1000)
    assert.isTrue(roster.isKnownFor(call))
  })
})

describe("a call that a gate looks at", () => {
  const call = (id: number, name: string) => request(id, "tools/call", { name, arguments: {} })
  const tools = (...names: ReadonlyArray<string>) =>
    names.map((name) => ({ name, inputSchema: { type: "object" as const } }))

  it.effect("waits for the process's list with all that its session asks then, and leaves nothing behind", () =>
    Effect.gen(function* () {
      const { gate } = makeGate(new Set(["good"]))
      const mux = makeMux({ pins: { of: () => ({ gate }), gates: () => [gate] } })
      const client = mux.client({ initialized: true })
      client.send(call(1, "bad"), call(2, "good"))
      const process = mux.attach({ capabilities: { tools: {} }, isEmpty: true })
      const told = yield* process.told
      assert.deepStrictEqual(
        told.map(({ method }) => method),
        ["tools/list", "tools/list"]
      )
      client.send(call(3, "bad"), call(4, "good"))
      assert.deepStrictEqual(yield* process.told, [])
      for (const message of told) process.answer(message, { tools: tools("good", "bad") })
      const sent = (yield* process.told).filter(({ method }) => method === "tools/call")
      assert.deepStrictEqual(
        sent.map(({ params }) => params?.["name"]),
        ["good", "good"]
      )
      for (const message of sent) process.answer(message)
      const answers = yield* client.told
      assert.deepStrictEqual(
        answers.map(({ error, id }) => [id, error?.message]),
        [
          [1, "not accepted"],
          [3, "not accepted"],
          [2, undefined],
          [4, undefined]
        ]
      )
      assert.strictEqual(client.session.inFlight, 0)
      assert.strictEqual(mux.inFlight(), 0)
      const { inFlight, outcomes } = mux.account.trafficOf("git")
      assert.deepStrictEqual([inFlight, outcomes.rejected, outcomes.ok], [0, 2, 2])
    })
  )

  it.effect(
    "goes by what was listed when the process was looked at first, and waits where another takes its place",
    () =>
      Effect.gen(function* () {
        const { gate, listed } = makeGate(new Set(["good"]))
        const mux = makeMux({ pins: { of: () => ({ gate }), gates: () => [gate] } })
        const client = mux.client({ initialized: true })
        const old = mux.attach({ capabilities: { tools: {} }, isEmpty: true, tools: tools("good") })
        client.send(call(1, "good"))
        const [held] = (yield* old.told).filter(({ method }) => method === "tools/call")
        assert.deepStrictEqual(listed, [["good"]])
        const next = mux.attach({ capabilities: { tools: {} }, isEmpty: true })
        client.send(call(2, "good"))
        const told = yield* next.told
        assert.deepStrictEqual(
          told.map(({ method }) => method),
          ["tools/list", "tools/list"]
        )
        old.answer(held!)
        next.answer(told[0]!, { tools: tools("other") })
        assert.deepStrictEqual(
          (yield* client.told).map(({ error, id }) => [id, error?.message]),
          [
            [1, undefined],
            [2, "not accepted"]
          ]
        )
      })
  )

  it.effect("is withdrawn while it waits, as any other", () =>
    Effect.gen(function* () {
      const { gate } = makeGate(new Set(["good"]))
      const mux = makeMux({ pins: { of: () => ({ gate }), gates: () => [gate] } })
      const client = mux.client({ initialized: true })
      const process = mux.attach({ capabilities: { tools: {} }, isEmpty: true })
      const told = yield* process.told
      client.send(call(1, "good"), {
        jsonrpc: "2.0",
        method: "notifications/cancelled",
        params: { requestId: 1 }
      })
      for (const message of told) process.answer(message, { tools: tools("good") })
      assert.deepStrictEqual(
        (yield* process.told).filter(({ method }) => method === "tools/call"),
        []
      )
      assert.deepStrictEqual(yield* client.told, [])
      assert.strictEqual(client.session.inFlight, 0)
    })
  )
})
