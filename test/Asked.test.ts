import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { randomUUID } from "node:crypto"
import * as RuntimeDir from "../src/RuntimeDir.ts"
import * as Asked from "./suites/Asked.ts"
import * as DaemonProcess from "./support/DaemonProcess.ts"
import * as LineClient from "./support/LineClient.ts"
import * as Processes from "./support/Processes.ts"
import * as TestPool from "./support/TestPool.ts"

describe("sessions that are asked", () => {
  for (const [where, sharing] of [
    ["one process", { replicas: { min: 1, max: 1 } }],
    ["as many as it takes", undefined],
    ["three replicas", { replicas: 3 }]
  ] as const) {
    it.live(
      `on ${where}: of 96 calls at once no question is lost or reaches another, whoever cancels or cannot be asked`,
      () =>
        Effect.gen(function* () {
          const { answered, calls, processes, violations } = yield* Asked.run(96, { sharing, seed: 1 })
          assert.deepStrictEqual(violations, [])
          assert.deepStrictEqual([calls, answered], [96, 96])
          assert.isAbove(processes, 1, "where a call was cancelled while it ran alone, its process is replaced")
        }),
      patience
    )
  }

  it.live("a handler that calls the same server while it answers completes", () =>
    Effect.gen(function* () {
      const { join } = yield* Asked.make({ replicas: { min: 1, max: 1 } })
      const nesting = yield* join("nesting", {
        onQuestion: (client, label) =>
          label.includes(" sample ") ? Effect.void : Effect.orDie(Effect.asVoid(client.call("sample")))
      })
      const other = yield* join("other")
      for (const tool of ["sample", "form"] as const) yield* nesting.call(tool)
      const told = yield* Effect.all(
        [nesting.call("form"), nesting.call("url"), other.call("form"), nesting.call("form"), other.call("sample")],
        { concurrency: "unbounded" }
      )
      assert.isTrue(told.every(({ result }) => result !== undefined))
      assert.strictEqual(nesting.asked(), 9)
      assert.deepStrictEqual([...nesting.violations, ...other.violations], [])
    })
  )

  it.live("what was seen to ask is known to the next daemon", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const label = `asks-${randomUUID()}`
      const entry = { command: process.execPath, args: [TestPool.fixture("server.ts"), label] }
      const serve = DaemonProcess.launch(runtimeDir, () => ({ asks: entry }))
      const connect = Effect.gen(function* () {
        const client = yield* LineClient.connect(RuntimeDir.serverSocket(runtimeDir, "asks"))
        const clientInfo = { name: "t", version: "1" }
        yield* client.request("initialize", {
          protocolVersion: "2025-11-25",
          capabilities: { sampling: {} },
          clientInfo
        })
        return client
      })
      const params = { name: "ask", arguments: { method: "sampling/createMessage" } }
      const askedOf = (client: LineClient.LineClient) =>
        Effect.andThen(
          client.send({ id: "ask", method: "tools/call", params }),
          client.notification("sampling/createMessage")
        )

      yield* Effect.scoped(
        Effect.gen(function* () {
          const daemon = yield* serve
          yield* daemon.ready
          const client = yield* connect
          const { id } = yield* askedOf(client)
          yield* client.send({ id, result: {} })
          yield* client.answer("ask")
          yield* daemon.signal("SIGTERM")
          yield* daemon.exited
        })
      )
      const daemon = yield* serve
      yield* daemon.ready
      const [one, other] = [yield* connect, yield* connect]
      // On one process, the second question could be either's, and would be refused.
      for (const client of [one, other]) yield* askedOf(client)
      yield* daemon.signal("SIGTERM")
      yield* daemon.exited
      assert.deepStrictEqual(yield* Processes.withMarker(label), [])
    })
  )

  it.live("a form that is left open keeps nobody from the same tool", () =>
    Effect.gen(function* () {
      const { calls, isAnswered, isApart } = yield* Asked.openForm(300)
      assert.isAtLeast(calls, 3)
      assert.isTrue(isAnswered && isApart)
    })
  )
})

/** Milliseconds, for a machine that is busy with other things. */
const patience = 120_000
