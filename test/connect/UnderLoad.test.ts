/** A daemon that is killed while an SDK's client calls it from all sides, and comes again. */
import { assert, describe, it } from "@effect/vitest"
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js"
import { Effect } from "effect"
import { fileURLToPath } from "node:url"
import * as DaemonProcess from "../support/DaemonProcess.ts"
import * as TestPool from "../support/TestPool.ts"

const bin = fileURLToPath(new URL("../../src/bin.ts", import.meta.url))

const connect = (runtimeDir: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const client = new Client({ name: "host", version: "1" })
      let closed = 0
      client.onclose = () => closed++
      await client.connect(
        new StdioClientTransport({
          command: process.execPath,
          args: [bin, "connect", "shared", "--no-start", "--runtime-dir", runtimeDir],
          stderr: "ignore"
        })
      )
      return { client, closed: () => closed }
    }),
    ({ client }) => Effect.promise(() => client.close())
  )

/** Callers that go on calling until they are told to stop: what they asked, when, and what came of it. */
const load = (client: Client) => {
  const outcomes: Array<{ readonly begun: number; readonly ended: number; readonly error: unknown }> = []
  const run = { isOver: false }
  let goal: { readonly count: number; readonly reached: () => void } | null = null
  const caller = async (name: number) => {
    for (let i = 0; !run.isOver; i++) {
      const begun = performance.now()
      const text = `${name}-${i}`
      const error = await client.callTool({ name: "echo", arguments: { text } }).then(
        ({ content }) => ((content as ReadonlyArray<{ text: string }>)[0]?.text === text ? null : "another's answer"),
        (error: { readonly code?: unknown }) => error.code
      )
      outcomes.push({ begun, ended: performance.now(), error })
      if (goal !== null && outcomes.length >= goal.count) goal.reached()
    }
  }
  const callers = Promise.all(Array.from({ length: 32 }, (_, name) => caller(name)))
  return {
    outcomes,
    /** Returns when so many more have been answered. */
    more: (count: number) =>
      Effect.callback<void>((resume) => {
        goal = { count: outcomes.length + count, reached: () => resume(Effect.void) }
      }),
    stop: Effect.promise(() => {
      run.isOver = true
      return callers
    })
  }
}

describe("connect under load", () => {
  it.live(
    "keeps its host through a daemon that is killed: only calls in flight are lost, and each has one answer",
    () =>
      Effect.gen(function* () {
        const runtimeDir = yield* TestPool.temporaryDirectory
        const first = yield* DaemonProcess.start(runtimeDir)
        const { client, closed } = yield* connect(runtimeDir)
        const calls = load(client)
        yield* calls.more(200)
        yield* first.signal("SIGKILL")
        yield* first.exited
        yield* DaemonProcess.start(runtimeDir)
        yield* calls.more(200)
        yield* calls.stop
        const lost = calls.outcomes.filter(({ error }) => error !== null)
        assert.isNotEmpty(lost)
        assert.isAtMost(lost.length, 32)
        assert.deepStrictEqual([...new Set(lost.map(({ error }) => error))], [outcomeUnknown])
        const noticed = Math.min(...lost.map(({ ended }) => ended))
        assert.isTrue(lost.every(({ begun }) => begun < noticed))
        assert.strictEqual(closed(), 0)
      }),
    30_000
  )
})

/** `OutcomeUnknown` on the wire. */
const outcomeUnknown = 31002
