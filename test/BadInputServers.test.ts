import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as LineClient from "./support/LineClient.ts"
import * as TestPool from "./support/TestPool.ts"

describe("a server that", () => {
  it.live("is missing fails with a hint, and the others run", () =>
    Effect.gen(function* () {
      const { connect, pool, states } = yield* TestPool.make(({ server }) => ({
        bad: { command: "/no/such/command" },
        good: server("good")
      }))
      console.log(states.steps("bad"), yield* pool.status)
      const client = yield* connect("good")
      assert.strictEqual(LineClient.textOf(yield* client.call("echo", { text: "hi" })), "hi")
    })
  )
})
