/** Servers that mean ill, or are broken, among others at `/mcp`: what they do is theirs alone. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Switch } from "../../src/mux/Switch.ts"
import { makeMux, notification, request } from "../mux/MuxHarness.ts"
import { type Offers, make, type Started } from "./TogetherHarness.ts"

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
})
