/** Calls that end the server each time they are made. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as LineClient from "../support/LineClient.ts"
import * as Tools from "../support/Tools.ts"
import * as Supervision from "./Supervision.ts"

const { crash, pidOf, scripted, wayOf } = Supervision

/** The server `one`, started; two starts in a minute spend its budget. */
const setUp = Effect.fnUntraced(function* (max = 2) {
  const test = yield* scripted([{}], { budget: { max, base: 0 } })
  yield* test.pool.start("one")
  return test
})

/** A call that ends the server, alone. */
const exit = (client: LineClient.LineClient) => client.call("exit", { code: 1 })

/** Makes it as often as the pool allows. */
const poison = Effect.fnUntraced(function* (client: LineClient.LineClient) {
  for (let i = 0; i < 3; i++) assert.strictEqual(LineClient.kindOf(yield* exit(client)), "OutcomeUnknown")
})

describe("a call that ended the server three times, alone", () => {
  it.live("is refused from then on, and says why; whatever else the session asks is served", () =>
    Effect.gen(function* () {
      const { connect, pool } = yield* setUp()
      const [client, other] = [yield* connect("one"), yield* connect("one")]
      yield* poison(client)
      const pid = yield* pidOf(client)
      for (const args of [{ code: 1 }, { code: 2 }, {}]) {
        const { error } = yield* client.call("exit", args)
        assert.strictEqual(error?.code, 31001)
        assert.deepStrictEqual(error?.data, {
          kind: "ServerUnavailable",
          server: "one",
          state: "refusing",
          hint: "it ended the server 3 times, alone: mcp-pool logs one"
        })
        assert.strictEqual(
          error?.message,
          'server "one" refuses this call: it ended the server 3 times, alone: mcp-pool logs one'
        )
      }
      yield* Tools.serves(client)
      assert.isDefined((yield* client.request("tools/list")).result)
      yield* Tools.serves(other)
      assert.strictEqual(yield* pidOf(other), pid)
      assert.strictEqual((yield* pool.status)[0]?.restarts, 3)
    })
  )

  it.live("has spent nothing of the server's own budget", () =>
    Effect.gen(function* () {
      const { connect, states } = yield* setUp()
      const [client, other] = [yield* connect("one"), yield* connect("one")]
      yield* poison(client)
      yield* Tools.serves(client)
      const before = ["starting", "running", ...Array.from({ length: 3 }, () => ["restarting", "running"]).flat()]
      assert.deepStrictEqual(wayOf(states), before)
      // The budget is two starts a minute: this is the second that counts, and then it is spent.
      yield* crash(other)
      yield* Tools.serves(client)
      yield* crash(other)
      yield* states.reached("one", "crash-loop")
      assert.deepStrictEqual(wayOf(states), [...before, "restarting", "running", "crash-loop"])
    })
  )

  it.live("may still be made by another session, on an account of its own", () =>
    Effect.gen(function* () {
      const { connect } = yield* setUp(10)
      const [client, other] = [yield* connect("one"), yield* connect("one")]
      yield* poison(client)
      for (let i = 0; i < 3; i++) {
        assert.strictEqual(LineClient.kindOf(yield* exit(client)), "ServerUnavailable")
        assert.strictEqual(LineClient.kindOf(yield* exit(other)), "OutcomeUnknown")
      }
      assert.strictEqual(LineClient.kindOf(yield* exit(other)), "ServerUnavailable")
      yield* Tools.serves(client)
      const late = yield* connect("one")
      assert.strictEqual(LineClient.kindOf(yield* exit(late)), "OutcomeUnknown")
      yield* Tools.serves(late)
    })
  )

  it.live("stays refused after a restart", () =>
    Effect.gen(function* () {
      const { connect, pool } = yield* setUp()
      const client = yield* connect("one")
      yield* poison(client)
      yield* pool.restart("one")
      yield* pool.restart("one", { now: true })
      assert.strictEqual(LineClient.kindOf(yield* exit(client)), "ServerUnavailable")
      yield* Tools.serves(client)
    })
  )
})

describe("a call that ended the server", () => {
  it.live("is not to blame while others were in flight", () =>
    Effect.gen(function* () {
      const { connect, pool } = yield* setUp(10)
      const [client, other] = [yield* connect("one"), yield* connect("one")]
      for (let i = 0; i < 4; i++) {
        const sleeping = yield* Supervision.inFlight(other, i)
        assert.strictEqual(LineClient.kindOf(yield* exit(client)), "OutcomeUnknown")
        assert.strictEqual(LineClient.kindOf(yield* Fiber.join(sleeping)), "OutcomeUnknown")
      }
      yield* Tools.serves(client)
      assert.strictEqual((yield* pool.status)[0]?.restarts, 4)
    })
  )

  it.live("has an account of its own for each tool", () =>
    Effect.gen(function* () {
      const { connect } = yield* setUp(10)
      const client = yield* connect("one")
      yield* exit(client)
      yield* exit(client)
      yield* Tools.serves(client)
      assert.strictEqual(LineClient.kindOf(yield* client.call("signal", { signal: "SIGKILL" })), "OutcomeUnknown")
      assert.strictEqual(LineClient.kindOf(yield* exit(client)), "OutcomeUnknown")
      assert.strictEqual(LineClient.kindOf(yield* exit(client)), "ServerUnavailable")
      assert.strictEqual(LineClient.kindOf(yield* client.call("signal", { signal: "SIGKILL" })), "OutcomeUnknown")
      yield* Tools.serves(client)
    })
  )

  it.live("is made again where it only reads, and each time counts", () =>
    Effect.gen(function* () {
      const exits = { name: "exit", annotations: { readOnlyHint: true } }
      const { connect, pool } = yield* scripted([{ lists: [["echo", "stats", exits]] }], {
        budget: { max: 2, base: 0 }
      })
      yield* pool.start("one")
      yield* pool.awaitSettled
      const client = yield* connect("one")
      // Made, and made once again.
      assert.strictEqual(LineClient.kindOf(yield* exit(client)), "OutcomeUnknown")
      yield* Tools.serves(client)
      assert.strictEqual((yield* pool.status)[0]?.restarts, 2)
      // The third time, and not once again.
      assert.strictEqual(LineClient.kindOf(yield* exit(client)), "OutcomeUnknown")
      assert.strictEqual(LineClient.kindOf(yield* exit(client)), "ServerUnavailable")
      yield* Tools.serves(client)
      assert.strictEqual((yield* pool.status)[0]?.restarts, 3)
    })
  )
})
