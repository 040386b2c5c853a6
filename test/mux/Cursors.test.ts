import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { type Client, makeShared, request } from "./MuxHarness.ts"
import { outcomes } from "./Messages.ts"

const page = (cursor: string | undefined) =>
  request(cursor ?? "first", "prompts/list", cursor === undefined ? {} : { cursor })

describe("Cursors", () => {
  it.effect("are good for the session that was given them, and for no other", () =>
    Effect.gen(function* () {
      const { clients, server } = makeShared(2)
      const [one, other] = clients as [Client, Client]
      one.send(page(undefined))
      server.answer((yield* server.told)[0]!, { prompts: [], nextCursor: "p2" })
      yield* one.told
      other.send(page("p2"))
      assert.deepStrictEqual(outcomes(yield* other.told), [["p2", -32602]])
      one.send(request(1, "resources/list", { cursor: "p2" }))
      assert.deepStrictEqual(outcomes(yield* one.told), [[1, -32602]])
      assert.deepStrictEqual(yield* server.told, [])
      one.send(page("p2"))
      const [asked] = yield* server.told
      assert.deepStrictEqual(asked?.params, { cursor: "p2" })
      server.answer(asked!, { prompts: [], nextCursor: "p3" })
      assert.deepStrictEqual((yield* one.told)[0]?.result, { prompts: [], nextCursor: "p3" })
      one.send(page("p3"))
      assert.deepStrictEqual((yield* server.told)[0]?.params, { cursor: "p3" })
    })
  )

  it.effect("of a list that is answered from what is known are each session's that was given it", () =>
    Effect.gen(function* () {
      const { clients, server } = makeShared(3, {}, { capabilities: { tools: {} } })
      const [one, other, third] = clients as [Client, Client, Client]
      const [first] = yield* server.told
      server.answer(first!, { tools: [], nextCursor: "t2" })
      server.answer((yield* server.told)[0]!, { tools: [] })
      for (const client of [one, other]) {
        client.send(request("list", "tools/list"))
        assert.deepStrictEqual((yield* client.told)[0]?.result, { tools: [], nextCursor: "t2" })
      }
      assert.deepStrictEqual(yield* server.told, [])
      for (const client of [one, other, third]) client.send(request("next", "tools/list", { cursor: "t2" }))
      assert.lengthOf(yield* server.told, 2)
      assert.deepStrictEqual(outcomes(yield* third.told), [["next", -32602]])
    })
  )

  it.effect("of a process that is gone are nobody's, and one that was asked for is not asked for again", () =>
    Effect.gen(function* () {
      const { clients, mux, server } = makeShared(1)
      const [client] = clients as [Client]
      client.send(page(undefined))
      server.answer((yield* server.told)[0]!, { prompts: [], nextCursor: "p2" })
      yield* client.told
      client.send(page("p2"))
      yield* server.told
      mux.detach()
      const next = mux.attach()
      client.send(page("p2"))
      assert.deepStrictEqual(outcomes(yield* client.told), [
        ["p2", "OutcomeUnknown"],
        ["p2", -32602]
      ])
      assert.deepStrictEqual(yield* next.told, [])
    })
  )
})
