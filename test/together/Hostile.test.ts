/** Servers that mean ill, or are broken, among others at `/mcp`: what they do is theirs alone. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import { Switch } from "../../src/mux/Switch.ts"
import { fakeTimers, makeMux, notification, request, unavailable } from "../mux/MuxHarness.ts"
import { type Offers, make, ofMethod, type Started } from "./TogetherHarness.ts"

const names = (result: { readonly [key: string]: unknown } | undefined) =>
  ((result?.["tools"] ?? []) as ReadonlyArray<{ readonly name: string }>).map(({ name }) => name)

describe("Together with a server", () => {
  it.effect("that says that its list changed whenever it is asked for it: nobody waits for the others' lists", () =>
    Effect.gen(function* () {
      const { client, members } = make("a", "b")
      const a = members[0]!.start({ tools: ["echo"] })
      const b = members[1]!.mux.attach({ capabilities: { tools: { listChanged: true } } })
      const session = client()
      session.send(request(1, "tools/list"))
      const answer = yield* Effect.gen(function* () {
        for (let round = 0; round < 8; round++) {
          yield* a.told
          for (const message of yield* b.told) {
            b.say(notification("notifications/tools/list_changed"))
            b.answer(message, { tools: [{ name: `t${round}`, inputSchema: {} }] })
          }
          const [answer] = yield* session.told
          if (answer !== undefined) return answer
        }
        return null
      })
      assert.include(names(answer?.result), "a__echo")
      assert.lengthOf(names(answer?.result), 2)
    })
  )

  for (const capabilities of [{ tasks: null }, { tasks: "all", tools: null, resources: 7, prompts: [] }]) {
    it.effect(`whose capabilities are ${JSON.stringify(capabilities)}: clients are introduced to the others`, () =>
      Effect.gen(function* () {
        const { client, members } = make("a", "b")
        const offers = { capabilities, tools: [] } as unknown as Offers
        const servers = [members[0]!.start({ tools: ["echo"] }), members[1]!.start(offers)] as [Started, Started]
        const session = client()
        session.send(request(1, "initialize", { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: {} }))
        for (const { told } of servers) yield* told
        session.send(
          request(2, "logging/setLevel", { level: "info" }),
          request(3, "resources/subscribe", { uri: "x:" })
        )
        for (const { told } of servers) yield* told
        const [answer] = yield* session.told
        assert.containsSubset(answer?.result?.["capabilities"], { tools: { listChanged: true }, logging: {} })
      })
    )
  }

  it.effect("that becomes each session's own while it is asked for its list, and is everybody's again", () =>
    Effect.gen(function* () {
      const { become, client, memberOf, together } = make("a")
      const [first, own, second] = [makeMux(), makeMux({ questions: "own" }), memberOf("a")]
      first.attach({ capabilities: { tools: {} } })
      const upstream = new Switch(first.sharing)
      const endpoint = { ...together.directory.members[0]!.endpoint, upstream }
      become([])
      together.become([{ name: "a", endpoint }])
      const session = client()
      session.send(request(1, "tools/list"))
      for (const { sharing } of [own, second.mux]) {
        upstream.moveTo(sharing, () => {})
        together.look("a")
      }
      const process = second.start({ tools: ["echo"] })
      together.look("a")
      yield* process.told
      session.send(request(2, "tools/list"))
      yield* process.told
      const answers = yield* session.told
      assert.deepStrictEqual(names(answers.find(({ id }) => id === 2)?.result), ["a__echo"])
    })
  )

  it.effect("that never lists, nor says what it is: it is waited for once, and not again until it does", () =>
    Effect.gen(function* () {
      yield* fakeTimers
      const { client, members } = make("a", "silent")
      const silent = members[1]!.mux
      const a = members[0]!.start({ tools: ["echo"] })
      yield* a.told
      const session = client()
      const introduce = request(1, "initialize", { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: {} })
      for (const [patience, asked] of [
        [2000, introduce],
        [5000, request(2, "tools/list")]
      ] as const) {
        session.send(asked)
        yield* a.told
        assert.deepStrictEqual(yield* session.told, [])
        vi.advanceTimersByTime(patience)
        assert.lengthOf(yield* session.told, 1)
      }
      // What was asked of it came to nothing.
      silent.replica.setUnavailable(unavailable)
      silent.replica.setUnavailable(null)
      vi.advanceTimersByTime(10_000)
      session.send(introduce, request(2, "tools/list"))
      yield* a.told
      assert.lengthOf(yield* session.told, 2)
      const late = members[1]!.start({ tools: ["late"] })
      yield* late.told
      yield* late.told
      assert.deepStrictEqual(
        (yield* session.told).map(({ method }) => method),
        ["notifications/tools/list_changed"]
      )
    })
  )

  it.effect("that does not come: what no server lists is looked for elsewhere first", () =>
    Effect.gen(function* () {
      yield* fakeTimers
      const { client, members } = make("never", "b")
      const b = members[1]!.start()
      yield* b.told
      const session = client()
      session.send(request(1, "initialize", { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: {} }))
      vi.advanceTimersByTime(2000)
      session.send(request(2, "resources/read", { uri: "x:1" }))
      yield* b.told
      vi.advanceTimersByTime(5000)
      const [read] = ofMethod(yield* b.told, "resources/read")
      assert.strictEqual(read?.params?.["uri"], "x:1")
    })
  )
})
