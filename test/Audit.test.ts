import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Layer, Logger, Scope } from "effect"
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Audit from "../src/Audit.ts"
import * as McpPool from "../src/McpPool.ts"
import * as McpProxy from "../src/McpProxy.ts"
import { callOutcomes } from "../src/CallOutcome.ts"
import { makeShared } from "./mux/MuxHarness.ts"
import * as Spawned from "./cli/Spawned.ts"
import * as TestPool from "./support/TestPool.ts"

type Entry = { readonly [key: string]: unknown }

const linesOf = (file: string): ReadonlyArray<Entry> => {
  const text = fs.readFileSync(file, "utf8")
  if (text !== "") assert.strictEqual(text.at(-1), "\n")
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Entry)
}

const modeOf = (file: string): number => fs.statSync(file).mode & 0o777

const inDirectory = Effect.map(TestPool.temporaryDirectory, (directory) => path.join(directory, "audit.jsonl"))

/** An audit in a scope of its own. */
const opened = Effect.fnUntraced(function* (file: string) {
  const scope = yield* Scope.make()
  const { add } = yield* Audit.open(file).pipe(Scope.provide(scope))
  const { session: client } = makeShared(1).clients[0]!
  const one = {
    client,
    method: "tools/call",
    since: 0,
    millis: 2,
    outcome: "ok",
    requestBytes: 3,
    answerBytes: 4
  } as const
  return {
    add: (tool: string) => add({ ...one, tool }),
    close: Scope.close(scope, Exit.void)
  }
})

/** Returns when the file holds a text, now or when it does. */
const holds = (file: string, text: string): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const watcher = fs.watch(path.dirname(file), () => look())
    const look = () => {
      if (!fs.existsSync(file) || !fs.readFileSync(file, "utf8").includes(text)) return
      resume(Effect.sync(() => watcher.close()))
    }
    look()
    return Effect.sync(() => watcher.close())
  })

const tools = (entries: ReadonlyArray<Entry>) => entries.map(({ tool }) => tool)

describe("Audit", () => {
  it.live("has one line for each call of each client, and nothing of what was said", () =>
    Effect.gen(function* () {
      const file = yield* inDirectory
      const test = yield* TestPool.make(({ server }) => ({ one: server("one"), two: server("two") }), {
        pool: { audit: file }
      })
      const a = yield* test.connect("one")
      const b = yield* test.connect("two")
      yield* a.call("echo", { text: "s3cret" })
      yield* b.call("fail", { text: "s3cret" })
      yield* b.request("resources/read", { uri: "s3cret://" })
      yield* b.send({ id: "s", method: "tools/call", params: { name: "sleep", _meta: { progressToken: 1 } } })
      yield* b.notification("notifications/progress")
      yield* b.notify("notifications/cancelled", { requestId: "s", reason: "s3cret" })
      yield* b.call("echo", { text: "s3cret" })
      const sessions = yield* test.pool.sessions
      const layer = McpProxy.layerPool().pipe(Layer.provide(Layer.succeed(McpPool.McpPool, test.pool)))
      const proxy = Effect.flatMap(McpProxy.McpProxy, ({ executeTool }) => executeTool("one__echo", { text: "s3cret" }))
      yield* Effect.provide(proxy, layer)
      yield* test.close
      assert.notInclude(fs.readFileSync(file, "utf8"), "s3cret")
      assert.strictEqual(modeOf(file), 0o600)
      const sessionOf = (server: string) => sessions.find((session) => session.server === server)?.id
      const told = linesOf(file).map(({ bytes, ms, time, ...facts }) => {
        assert.strictEqual(new Date(String(time)).toISOString(), time)
        assert.isAtLeast(Number(ms), 0)
        const { answer, request } = bytes as { readonly answer: number; readonly request: number }
        assert.isAbove(request, 50)
        if (facts["outcome"] === "ok") assert.isAbove(answer, 50)
        return facts
      })
      const ofLine = { client: "line-client", method: "tools/call" }
      const ofOne = { ...ofLine, session: sessionOf("one"), server: "one" }
      const ofTwo = { ...ofLine, session: sessionOf("two"), server: "two" }
      const isOwn = ({ client }: Entry) => client === "effect-mcp-pool"
      assert.deepStrictEqual(
        told.filter((line) => !isOwn(line)),
        [
          { ...ofOne, tool: "echo", outcome: "ok" },
          { ...ofTwo, tool: "fail", outcome: "tool-error" },
          { ...ofTwo, method: "resources/read", tool: null, outcome: "rejected" },
          { ...ofTwo, tool: "sleep", outcome: "cancelled" },
          { ...ofTwo, tool: "echo", outcome: "ok" }
        ]
      )
      assert.deepInclude(
        told.filter(isOwn).map(({ server, tool, outcome }) => ({ server, tool, outcome })),
        { server: "one", tool: "echo", outcome: "ok" }
      )
    })
  )

  it.live("writes soon, appends to what is there, and leaves its mode", () =>
    Effect.gen(function* () {
      const file = yield* inDirectory
      fs.writeFileSync(file, '{"tool":"before"}\n', { mode: 0o640 })
      const { add, close } = yield* opened(file)
      add("a")
      add("b")
      yield* holds(file, '"b"')
      assert.deepStrictEqual(tools(linesOf(file)), ["before", "a", "b"])
      assert.strictEqual(modeOf(file), 0o640)
      add("c")
      yield* close
      assert.deepStrictEqual(tools(linesOf(file)), ["before", "a", "b", "c"])
    })
  )

  it.live("bounds the names that clients chose, and keeps each on one line", () =>
    Effect.gen(function* () {
      const file = yield* inDirectory
      const { add, close } = yield* opened(file)
      add('a"\n\u2028\ud800')
      add("x".repeat(100_000))
      yield* close
      const [first, second] = linesOf(file)
      assert.strictEqual(first?.["tool"], 'a"\n\u2028\ud800')
      assert.strictEqual(String(second?.["tool"]).length, 128)
    })
  )

  it.live("makes a file anew that was moved or removed", () =>
    Effect.gen(function* () {
      const file = yield* inDirectory
      const { add, close } = yield* opened(file)
      add("a")
      yield* holds(file, '"a"')
      fs.renameSync(file, `${file}.1`)
      add("b")
      yield* holds(file, '"b"')
      fs.rmSync(file)
      add("c")
      yield* close
      assert.deepStrictEqual(tools(linesOf(`${file}.1`)), ["a"])
      assert.deepStrictEqual(tools(linesOf(file)), ["c"])
      assert.strictEqual(modeOf(file), 0o600)
    })
  )

  it.live("takes no more than it may hold, and says how many lines are missing", () =>
    Effect.gen(function* () {
      const file = yield* inDirectory
      const { add, close } = yield* opened(file)
      for (let i = 0; i < 10_000; i++) add("x".repeat(128))
      yield* holds(file, "lost")
      add("last")
      yield* close
      const lines = linesOf(file)
      const gap = lines.findIndex(({ lost }) => lost !== undefined)
      assert.isAtLeast(gap, 0)
      assert.strictEqual(lines.length - 2 + Number(lines[gap]?.["lost"]), 10_000)
      assert.isBelow(fs.statSync(file).size, 1024 * 1024 + 1000)
      assert.strictEqual(lines.at(-1)?.["tool"], "last")
    })
  )

  it.live("goes on after what cannot be written, warns once, and says how many lines are missing", () =>
    Effect.gen(function* () {
      const file = yield* inDirectory
      const warnings: Array<string> = []
      const warned = yield* Deferred.make<void>()
      const keep = Logger.make(({ message }) => {
        warnings.push(String(message))
        Deferred.doneUnsafe(warned, Effect.void)
      })
      yield* Effect.gen(function* () {
        const { add, close } = yield* opened(file)
        fs.rmSync(path.dirname(file), { recursive: true })
        add("a")
        add("b")
        yield* Deferred.await(warned)
        fs.mkdirSync(path.dirname(file))
        add("c")
        yield* holds(file, '"c"')
        yield* close
      }).pipe(Effect.provide(Logger.layer([keep])))
      assert.lengthOf(warnings, 1)
      assert.include(warnings[0], "ENOENT")
      const [gap, line] = linesOf(file)
      assert.strictEqual(gap?.["lost"], 2)
      assert.strictEqual(line?.["tool"], "c")
    })
  )

  it.live("stays with a file that was moved where another cannot be made", () =>
    Effect.gen(function* () {
      const file = yield* inDirectory
      const { add, close } = yield* opened(file)
      fs.renameSync(file, `${file}.1`)
      fs.mkdirSync(file)
      add("a")
      yield* close
      assert.deepStrictEqual(tools(linesOf(`${file}.1`)), ["a"])
    })
  )

  it.live("that cannot be opened is a mistake in the configuration: nothing is started, and the exit code is 2", () =>
    Effect.gen(function* () {
      const file = yield* inDirectory
      const home = path.dirname(file)
      execFileSync("mkfifo", [file])
      const entry = { command: process.execPath, args: ["-e", `fs.writeFileSync("${home}/started", "")`] }
      const config = path.join(home, "mcp.json")
      for (const [audit, reason] of [
        ["audit.jsonl", /ENXIO|no regular file/],
        [".", /EISDIR/],
        ["none/audit.jsonl", /ENOENT/]
      ] as const) {
        fs.writeFileSync(config, JSON.stringify({ mcpServers: { one: entry }, pool: { audit } }))
        const { code, err } = yield* Spawned.run(["serve", "--config", config, "--runtime-dir", path.join(home, "run")])
        assert.strictEqual(code, 2, err)
        assert.match(err, reason)
        assert.include(err, path.resolve(home, audit))
        assert.isFalse(fs.existsSync(path.join(home, "started")))
      }
    })
  )

  it("has words for outcomes that need no escape", () => {
    for (const outcome of callOutcomes) assert.match(outcome, /^[a-z-]+$/)
  })
})
