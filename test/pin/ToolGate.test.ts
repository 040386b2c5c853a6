import { assert, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import * as path from "node:path"
import { LockFile } from "../../src/pin/LockFile.ts"
import { ToolGate } from "../../src/pin/ToolGate.ts"
import { many } from "../lines/Choices.ts"
import * as TestPool from "../support/TestPool.ts"
import { tool } from "./PinnedPool.ts"

const setUp = Effect.map(TestPool.temporaryDirectory, (directory) => {
  const file = path.join(directory, "mcp-pool.lock.json")
  const said: Array<readonly [level: string, line: string]> = []
  let offers = 0
  const gate = new ToolGate({
    name: "git",
    settings: { mode: "block", file, server: "git" },
    lockFile: new LockFile(file),
    log: (level, line) => said.push([level, line]),
    onOffered: () => offers++
  })
  const list = (tools: ReadonlyArray<object>) => gate.listed(tools, gate.digests(tools))
  return { gate, list, said, offers: () => offers }
})

const incomparable = "listed twice, not as the same, or nested too deeply: it cannot be accepted"
const latin1 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("latin1")

describe("ToolGate", () => {
  it.effect.prop(
    "offers, and lets call, just those tools of which each thing is as it was accepted",
    {
      rounds: many({ minimum: 10, maximum: 10 }, (choices) => {
        const some = () =>
          ["a", "b", "ü", "__proto__", "d"].flatMap((name) =>
            choices.chance(70) ? [tool(name, choices.of(["x", "y", "é\u2028"]), { n: choices.below(2) })] : []
          )
        return { before: some(), after: some() }
      })
    },
    ({ rounds }) =>
      Effect.forEach(
        rounds.filter(({ before }) => before.length > 0),
        Effect.fnUntraced(function* ({ after, before }) {
          const { gate, list } = yield* setUp
          list(before)
          list(after)
          const nameOf = (it: object) => (it as { readonly name: string }).name
          const accepted = after.filter((it) => before.some((old) => JSON.stringify(old) === JSON.stringify(it)))
          const result = { tools: after, nextCursor: "é", ttlMs: 1 }
          const offered = JSON.parse(gate.offered(latin1(result))) as object
          assert.deepStrictEqual(offered, { ...result, tools: accepted })
          const digests = gate.digests(after)
          for (const it of after) assert.strictEqual(gate.refusal(nameOf(it), digests) === null, accepted.includes(it))
          const different = new Set(gate.status().differences.map(({ tool }) => tool))
          const names = new Set([...before, ...after].map(nameOf))
          assert.deepStrictEqual(
            different,
            new Set([...names].filter((name) => !accepted.some((it) => nameOf(it) === name)).sort())
          )
        }),
        { discard: true }
      ).pipe(Effect.scoped),
    { arbitrary: { runs: 20 } }
  )

  it.effect("pins no server that lists nothing yet", () =>
    Effect.gen(function* () {
      const { gate, list, said } = yield* setUp
      list([])
      assert.deepStrictEqual([gate.status().pinned, said], [null, []])
      list([tool("a")])
      assert.deepStrictEqual([gate.status().pinned, said.length], [1, 1])
    })
  )

  it.effect(
    "tells of a change again once it was undone, and of a server that goes on changing no more in the end",
    () =>
      Effect.gen(function* () {
        const { gate, list, offers, said } = yield* setUp
        const warnings = () => said.filter(([level]) => level === "warning").length
        list([tool("a")])
        list([tool("a", "other")])
        list([tool("a", "other")])
        assert.strictEqual(warnings(), 1)
        list([tool("a")])
        list([tool("a", "other")])
        assert.strictEqual(warnings(), 2)
        for (let i = 0; i < 1000; i++) list([tool("a", String(i))])
        assert.strictEqual(warnings(), 51)
        assert.strictEqual(said.at(-1)?.[1], "it changes its tools too often to be told of")
        assert.strictEqual(offers(), 0)
        assert.isTrue(Result.isSuccess(gate.accept()))
        assert.strictEqual(offers(), 1)
        list([tool("a", "new")])
        assert.strictEqual(warnings(), 52)
      })
  )

  it.effect("accepts nothing of which nobody can say what it is, and says so", () =>
    Effect.gen(function* () {
      const { gate, list } = yield* setUp
      list([tool("a")])
      list([tool("a"), tool("b"), tool("twice", "x"), tool("twice", "y")])
      assert.deepStrictEqual(
        Result.getOrThrow(gate.accept()).map(({ tool }) => tool),
        ["b"]
      )
      const { differences } = gate.status()
      assert.deepStrictEqual(differences, [{ tool: "twice", difference: "new", lines: [incomparable] }])
      assert.deepStrictEqual(gate.accept(), Result.fail("what differs cannot be accepted"))
    })
  )

  it.effect("keeps back what is nested too deeply to be compared, and answers all the same", () =>
    Effect.gen(function* () {
      const { gate, list } = yield* setUp
      const deep = (levels: number) => JSON.parse(`${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`) as object
      list([tool("a"), tool("deep", "x", { deep: deep(600) })])
      assert.deepStrictEqual(
        gate.status().differences.map(({ difference, lines, tool }) => [tool, difference, lines]),
        [["deep", "new", [incomparable]]]
      )
      const text = `{"tools":[${JSON.stringify(tool("a"))}],"_meta":${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}}`
      assert.strictEqual(gate.offered(text), '{"tools":[]}')
      assert.strictEqual(gate.offered('{"tools":{"0":{}}}'), '{"tools":[]}')
    })
  )
})
