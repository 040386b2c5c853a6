/** Whose turn it is among modern clients: each connection is one, and all that come over HTTP are one together. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type * as Harness from "../MuxHarness.ts"
import { apart, call, made } from "./ModernMessages.ts"

const nameOf = ({ params }: Harness.Message): unknown => params?.["name"]

describe("modern requests that wait for their turn", () => {
  it.effect("take turns with those of others, by connection, and all of HTTP together", () =>
    Effect.gen(function* () {
      const { client: one, mux, server } = made({ maxConcurrency: 1 })
      yield* server.told
      const other = mux.client()
      const http = apart(mux, "mcp.sock")
      for (const id of [1, 2, 3, 4]) http.send(call(id, `http ${id}`))
      for (const id of [1, 2, 3]) one.send(call(id, `one ${id}`))
      other.send(call(1, "other 1"))
      const order: Array<unknown> = []
      for (let [next] = yield* server.told; next !== undefined; [next] = yield* server.told) {
        order.push(nameOf(next))
        server.answer(next)
      }
      assert.deepStrictEqual(order, ["http 1", "http 2", "one 1", "other 1", "http 3", "one 2", "http 4", "one 3"])
      assert.deepStrictEqual(
        http.answered.map(({ id }) => id),
        [1, 2, 3, 4]
      )
    })
  )

  it.effect("have so many under way, by connection, and all of HTTP together", () =>
    Effect.gen(function* () {
      const { client: one, mux, server } = made({ maxInFlight: 2 })
      yield* server.told
      const http = apart(mux, "mcp.sock")
      for (const id of [1, 2, 3]) http.send(call(id, `http ${id}`))
      for (const id of [1, 2, 3]) one.send(call(id, `one ${id}`))
      const held = yield* server.told
      assert.deepStrictEqual(held.map(nameOf), ["http 1", "http 2", "one 1", "one 2"])
      server.answer(held[1]!)
      assert.deepStrictEqual((yield* server.told).map(nameOf), ["http 3"])
    })
  )
})
