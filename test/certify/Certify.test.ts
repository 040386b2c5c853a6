import { afterAll, assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { randomUUID } from "node:crypto"
import { createRequire } from "node:module"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Certify from "../../src/certify/Certify.ts"
import type { Report } from "../../src/certify/Report.ts"
import * as PoolConfig from "../../src/config/PoolConfig.ts"
import type { ServerOptions } from "../../src/config/ServerSpec.ts"
import * as ServerLog from "../../src/server/ServerLog.ts"
import * as Processes from "../support/Processes.ts"
import * as TestPool from "../support/TestPool.ts"

/** What is said of a server; that nothing of it is left is asserted for every test. */
const certify = Effect.fnUntraced(function* (
  server: ServerOptions,
  options: { readonly mayCall?: ReadonlyArray<string>; readonly timeout?: Duration.Duration } = {}
) {
  const marker = `fixture-${randomUUID()}`
  yield* Effect.addFinalizer(() => Effect.asVoid(Processes.killAll(marker)))
  const marked = { ...server, args: [...(server.args ?? []), marker] }
  const config = yield* Effect.orDie(PoolConfig.fromServers({ one: marked }))
  const [entry] = config.servers
  if (entry?._tag !== "Configured") return assert.fail("it is misconfigured")
  const report = yield* Certify.run({
    spec: entry.spec,
    mayCall: new Set(options.mayCall),
    timeout: options.timeout ?? Duration.seconds(60),
    log: ServerLog.make(),
    onStep: () => Effect.void
  })
  assert.deepStrictEqual(yield* Processes.withMarker(marker), [], "processes are left running")
  return report
}, Effect.scoped)

// Tests run side by side: only in the end there may be none.
afterAll(() => {
  const left = fs.readdirSync(os.tmpdir()).filter((name) => name.startsWith(`mcp-pool-certify-${process.pid}-`))
  assert.deepStrictEqual(left, [], "directories are left")
})

const shared = (manner: string): ServerOptions => ({
  command: process.execPath,
  args: [TestPool.fixture("shared.ts"), manner]
})

const reference = (name: string): string =>
  path.join(
    path.dirname(createRequire(import.meta.url).resolve(`@modelcontextprotocol/${name}/package.json`)),
    "dist/index.js"
  )

/** What is told of one client's answers: tool, place, and the values before and after. */
const leaksOf = ({ found }: Report) =>
  found === null
    ? assert.fail("nothing was performed")
    : found.leaks.map(({ after, before, name, path }) => ({ name, path, before, after }))

const findingOf = ({ findings }: Report, check: string) => findings.find((finding) => finding.check === check)

describe.concurrent("Certify", () => {
  it.live("finds nothing where answers differ by themselves only", () =>
    Effect.gen(function* () {
      const report = yield* certify(shared("clean"))
      assert.deepStrictEqual(report.found, { leaks: [], once: [], outside: [], history: [] })
      assert.strictEqual(report.policy, "shared")
      assert.deepStrictEqual(
        report.trials.map(({ name, outcome }) => [name, outcome]),
        ["echo", "now", "slow"].map((name) => [name, "exercised"])
      )
      assert.strictEqual(findingOf(report, "progress")?.ok, "ok")
    })
  )

  it.live("finds the history that a sequential-thinking server shares", () =>
    Effect.gen(function* () {
      const report = yield* certify(shared("thoughts"))
      assert.strictEqual(report.policy, "per-session")
      const leaks = leaksOf(report)
      const length = leaks.find(({ path }) => path === "result.structuredContent.thoughtHistoryLength")
      assert.deepStrictEqual(length, {
        name: "sequentialthinking",
        path: "result.structuredContent.thoughtHistoryLength",
        before: "1",
        after: "2"
      })
      // And whose thoughts there were: the other client's own word names a branch.
      assert.isTrue(report.found?.leaks.some(({ kind, path }) => kind === "word" && path.includes("branches[0]")))
    })
  )

  it.live("finds what the last caller said in another tool's answer", () =>
    Effect.gen(function* () {
      const report = yield* certify(shared("last"))
      const [leak, ...others] = report.found?.leaks ?? []
      assert.deepStrictEqual(others, [])
      assert.deepInclude(leak, { kind: "word", name: "recent", path: "result.content[0].text", when: "second" })
      assert.match(leak?.after ?? "", /^"you last said: zyx[a-z]+"$/)
      assert.strictEqual(report.policy, "per-session")
    })
  )

  it.live("finds that the same call is answered otherwise the second time", () =>
    Effect.gen(function* () {
      const report = yield* certify(shared("knows"))
      assert.deepStrictEqual(leaksOf(report), [])
      assert.deepStrictEqual(
        report.found?.history.map(({ after, before, name }) => ({ name, before, after })),
        [{ name: "tell", before: '"new"', after: '"known"' }]
      )
      assert.strictEqual(report.policy, "per-session")
    })
  )

  it.live("finds a list that changes after another client's call", () =>
    Effect.gen(function* () {
      const report = yield* certify(shared("lists"))
      assert.deepInclude(leaksOf(report)[0], {
        name: null,
        path: "result.tools[2].name",
        before: null,
        after: '"extra"'
      })
      assert.strictEqual(report.policy, "per-session")
    })
  )

  it.live("finds progress and log messages of one client at the other", () =>
    Effect.gen(function* () {
      const [progress, logs] = yield* Effect.all([certify(shared("progress")), certify(shared("logs"))], {
        concurrency: "unbounded"
      })
      assert.isTrue(
        leaksOf(progress).some(({ path, after }) => path === "progress[0].message" && after?.includes("zyx"))
      )
      assert.isTrue(leaksOf(logs).some(({ path, after }) => path === "log[0].data" && after?.includes("zyx")))
      assert.deepStrictEqual([progress.policy, logs.policy], ["per-session", "per-session"])
    })
  )

  it.live("knows which calls ask, and what is asked outside of calls", () =>
    Effect.gen(function* () {
      const [asks, unasked] = yield* Effect.all([certify(shared("asks")), certify(shared("unasked"))], {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(asks.askers, [
        { method: "tools/call", name: "form", isCertain: true },
        { method: "tools/call", name: "sample", isCertain: true }
      ])
      assert.strictEqual(asks.policy, "lanes")
      assert.deepStrictEqual(asks.setting, { sharing: "shared", questions: "auto" })
      assert.strictEqual(findingOf(asks, "unasked questions")?.ok, "ok")
      assert.strictEqual(unasked.policy, "per-session")
      // It may have asked while one was in flight, too.
      assert.isFalse(unasked.askers.some(({ isCertain }) => isCertain))
      assert.strictEqual(findingOf(unasked, "unasked questions")?.ok, "problem")
    })
  )

  it.live("tells answers that follow the roots of who came first", () =>
    Effect.gen(function* () {
      const report = yield* certify(shared("roots"))
      assert.deepInclude(report.underRoots?.[0], { name: "where", before: null })
      assert.include(report.underRoots?.[0]?.after, "file:///")
      // A shared process is told no client's roots.
      assert.strictEqual(report.policy, "shared")
      const configured = yield* certify({ ...shared("roots"), pool: { roots: ["file:///srv"] } })
      assert.isNull(configured.underRoots)
    })
  )

  it.live(
    "finds answers that nobody asked for, cancellations that end another's call, and output that is not MCP",
    () =>
      Effect.gen(function* () {
        const [ids, cancels] = yield* Effect.all([certify(shared("ids")), certify(shared("cancels"))], {
          concurrency: "unbounded"
        })
        assert.deepStrictEqual(
          ["ids", "stray output"].map((check) => findingOf(ids, check)?.ok),
          ["problem", "warning"]
        )
        assert.include(ids.strays, "debug: echo")
        assert.deepStrictEqual(cancels.cancelling, { calls: 1, answered: 0, lost: ["slow"] })
        assert.deepStrictEqual([ids.policy, cancels.policy], ["per-session", "per-session"])
      })
  )

  it.live("calls nothing that does not say that it only reads, unless it is told to", () =>
    Effect.gen(function* () {
      const [careful, told] = yield* Effect.all(
        [certify(shared("silent")), certify(shared("silent"), { mayCall: ["echo", "lost"] })],
        { concurrency: "unbounded" }
      )
      assert.deepInclude(careful.trials[0], { name: "echo", outcome: "not exercised" })
      assert.strictEqual(careful.policy, "not enough evidence")
      assert.deepInclude(told.trials[0], { name: "echo", outcome: "exercised" })
      assert.deepInclude(told.trials[1], { name: "lost", reason: "the server lists no such tool" })
      assert.strictEqual(told.policy, "not enough evidence")
    })
  )

  it.live("says where a second process does not run beside the first", () =>
    Effect.gen(function* () {
      const report = yield* certify(shared("locks"))
      assert.include(report.alone, "exited with code 3")
      assert.deepInclude(findingOf(report, "start"), { ok: "problem" })
      assert.strictEqual(report.policy, "per-session")
      assert.deepStrictEqual(
        report.reasons.map(({ kind }) => kind),
        ["leak", "alone"]
      )
    })
  )

  it.live("says that it saw too little of a server that ends, or does not answer in time", () =>
    Effect.gen(function* () {
      const [ends, stuck] = yield* Effect.all(
        [certify(shared("ends")), certify(shared("stuck"), { timeout: Duration.seconds(1) })],
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual([ends.policy, stuck.policy], ["not enough evidence", "not enough evidence"])
      assert.include(ends.cutShort[0], "exited with code 3")
      assert.deepStrictEqual(stuck.cutShort, ["it was not done within 1s (--timeout)"])
    })
  )

  it.live("takes server-memory for what it is: a file that clients share, whoever shares a process", () =>
    Effect.gen(function* () {
      const directory = yield* TestPool.temporaryDirectory
      const server: ServerOptions = {
        command: process.execPath,
        args: [reference("server-memory")],
        env: { MEMORY_FILE_PATH: path.join(directory, "memory.jsonl") }
      }
      const careful = yield* certify(server)
      assert.deepStrictEqual(
        careful.trials.filter(({ outcome }) => outcome === "exercised").map(({ name }) => name),
        ["read_graph", "search_nodes", "open_nodes", "memory://knowledge-graph"]
      )
      assert.isFalse(fs.existsSync(path.join(directory, "memory.jsonl")), "it has written")
      assert.strictEqual(careful.policy, "not enough evidence")

      const writers = careful.trials.flatMap(({ name, outcome }) => (outcome === "not exercised" ? [name] : []))
      const report = yield* certify(server, { mayCall: writers })
      assert.strictEqual(report.policy, "shared", JSON.stringify(report.reasons))
      assert.deepStrictEqual(
        report.reasons.map(({ kind }) => kind),
        ["outside"]
      )
    })
  )

  it.live(
    "takes server-everything for what it is: it asks, and two switches are everybody's",
    () =>
      Effect.gen(function* () {
        const server: ServerOptions = {
          command: process.execPath,
          args: [reference("server-everything"), "stdio"],
          // What it logs by a timer keeps it running.
          pool: { stop: { stdin: "100 millis" } }
        }
        const mayCall = [
          "toggle-simulated-logging",
          "toggle-subscriber-updates",
          "trigger-elicitation-request",
          "trigger-url-elicitation",
          "trigger-sampling-request"
        ]
        const report = yield* certify(server, { mayCall })
        assert.deepStrictEqual(report.askers.map(({ name }) => name).sort(), mayCall.slice(2).sort())
        assert.deepStrictEqual(new Set(leaksOf(report).map(({ name }) => name)), new Set(mayCall.slice(0, 2)))
        assert.strictEqual(report.policy, "per-session")
        assert.strictEqual(findingOf(report, "cancellation")?.ok, "ok")
        assert.strictEqual(findingOf(report, "progress")?.ok, "ok")
        assert.strictEqual(findingOf(report, "roots")?.ok, "warning")
        const why = new Map(report.trials.map(({ name, reason }) => [name, reason]))
        assert.strictEqual(why.get("gzip-file-as-resource"), "it does not say that it only reads")
        assert.strictEqual(why.get("simulate-research-query"), "it runs as a task only")
        assert.isNull(why.get("trigger-long-running-operation"))
      }),
    60_000
  )
})
