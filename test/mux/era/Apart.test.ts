/** Modern requests that stand alone, as over HTTP: what belongs to one reaches no other, though they come one after another. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import * as Harness from "../MuxHarness.ts"
import { apart, call, capabilities, claim } from "./ModernMessages.ts"

const logging = { "io.modelcontextprotocol/logLevel": "debug" }

const logMessage = Harness.notification("notifications/message", { level: "error", data: "of the first" })
const question = { jsonrpc: "2.0", id: "q", method: "elicitation/create", params: { message: "of the first" } }

/** One request that was begun, and how it was given up; then another one. */
const givenUp = Effect.fnUntraced(function* (
  giveUp: (first: { readonly cancel: () => void }) => void,
  options?: Parameters<typeof Harness.makeMux>[0]
) {
  const mux = Harness.makeMux(options)
  const server = mux.attach({ capabilities: { tools: {}, logging: {} }, isEmpty: true })
  const requests = apart(mux, "mcp.sock")
  const first = requests.send(call(1, "first", capabilities))
  yield* server.told
  giveUp(first)
  const second = requests.send(call(1, "second", capabilities, claim(capabilities, logging)))
  yield* server.told
  return { first, second, server }
})

describe("a modern request that comes after another was given up", () => {
  const ways = {
    cancelled: () => givenUp(({ cancel }) => cancel()),
    expired: () => givenUp(() => vi.advanceTimersByTime(700), { requestTimeout: 200 })
  }

  it.effect.each(Object.keys(ways) as Array<keyof typeof ways>)("is not asked what that asks: %s", (way) =>
    Effect.gen(function* () {
      yield* Harness.fakeTimers
      const { second, server } = yield* ways[way]()
      server.say(question)
      const [refused] = yield* server.told
      assert.deepInclude(refused, { id: "q" })
      assert.strictEqual(refused?.error?.data?.["kind"], "QuestionNotAttributable")
      assert.isEmpty(second.told)
    })
  )

  it.effect("is told no log message that may be that one's", () =>
    Effect.gen(function* () {
      yield* Harness.fakeTimers
      const { second, server } = yield* ways.cancelled()
      server.say(logMessage)
      assert.isEmpty(second.told)
      vi.advanceTimersByTime(60_001)
      server.say(logMessage)
      assert.lengthOf(second.told, 1)
    })
  )
})
