/** The multiplexer kit finds nothing in the pool, and in naive multiplexers just what they get wrong. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Kit from "./suites/Kit.ts"
import * as KitPool from "./suites/KitPool.ts"
import * as TestPool from "./support/TestPool.ts"

const naive = (manner: string, place: "{socket}" | "{port}") =>
  Kit.fromCommand(
    `${[process.execPath, TestPool.fixture("naive.ts")].map(Kit.quoted).join(" ")} ${manner} ${place} {server}`
  )

const of = (verdicts: ReadonlyArray<Kit.Verdict>, outcome: Kit.Verdict["outcome"]) =>
  verdicts.flatMap((verdict) => (verdict.outcome === outcome ? [verdict.invariant.name] : []))

/** None of these ends what ignores SIGTERM, or what the server itself started. */
const leavesProcesses = ["no server outlives the command", "nothing that it started outlives the command"]

/** Of clients that guess, but tell ids apart. */
const guesses = [
  "progress reaches its call's client",
  "cancellation reaches its call",
  "log messages stay with their cause",
  "updates reach their subscribers",
  "unsubscribe ends one's own",
  "questions reach their cause",
  "all ask at once",
  "the undeclared are not asked",
  "undeclared parts are not asked",
  "strangers do not answer",
  "the asked leaves",
  "questions are taken back",
  "completions reach the asked",
  "late questions reach nobody else",
  "questions without a call",
  "tasks belong to their client",
  "a leaver's calls are cancelled",
  "a crash leaves nobody waiting",
  ...leavesProcesses
]

/** What is not the same where each client has a process. */
const atHome = [
  "initialize once a process",
  "updates reach their subscribers",
  "unsubscribe ends one's own",
  "list changes reach all",
  "certain questions are asked",
  "undeclared parts are not asked",
  "strangers do not answer",
  "the asked leaves",
  "questions without a call",
  "tasks belong to their client",
  "a leaver's calls are cancelled",
  "the half-closed",
  "a crash leaves nobody waiting",
  ...leavesProcesses
]

describe("the multiplexer kit", () => {
  it.live(
    "finds nothing in the pool",
    () =>
      Effect.gen(function* () {
        const verdicts = yield* Kit.run(KitPool.subject(), { patience: "10 seconds" })
        assert.deepStrictEqual(of(verdicts, "broken"), [], details(verdicts))
        assert.deepStrictEqual(of(verdicts, "not exercised"), [])
      }),
    patience
  )

  it.live(
    "finds in what joins all bytes that everybody gets everything",
    () =>
      Effect.gen(function* () {
        const verdicts = yield* Kit.run(naive("broadcast", "{socket}"), { concurrency: 16 })
        assert.deepStrictEqual(
          of(verdicts, "holds"),
          [
            "ids as they came",
            "progress tokens as they came",
            "progress before its answer",
            "pages as the server gives them",
            "leaving ends one's own subscriptions",
            "list changes reach all",
            "the undeclared are not asked",
            "undeclared parts are not asked",
            "slow readers hold up nobody"
          ],
          details(verdicts)
        )
        const { seen } = verdicts.find(({ invariant }) => invariant.name === "answers reach their askers")!
        assert.match(seen[0] ?? "", /^client \d got the answer to call client \d\/\d$/)
      }),
    patience
  )

  it.live(
    "finds in what guesses, over HTTP, where it guesses wrong",
    () =>
      Effect.gen(function* () {
        const verdicts = yield* Kit.run(naive("guess", "{port}"), { concurrency: 16 })
        assert.deepStrictEqual(of(verdicts, "broken"), guesses, details(verdicts))
        assert.deepStrictEqual(of(verdicts, "not exercised"), [
          "the half-closed",
          "the killed",
          "slow readers hold up nobody"
        ])
        const { seen } = verdicts.find(({ invariant }) => invariant.name === "strangers do not answer")!
        assert.strictEqual(seen[0], "the question of call client 0/1 was answered by client 1")
      }),
    patience
  )

  it.live(
    "finds nothing in a process for each client but what that leaves behind",
    () =>
      Effect.gen(function* () {
        const verdicts = yield* Kit.run(naive("alone", "{socket}"), { patience: "10 seconds", only: atHome })
        assert.deepStrictEqual(of(verdicts, "broken"), leavesProcesses, details(verdicts))
        assert.lengthOf(of(verdicts, "holds"), atHome.length - leavesProcesses.length)
      }),
    patience
  )

  it.live("says why where a command serves nobody", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Kit.run(Kit.fromCommand("ls {socket}.none {server}")))
      assert.include(error.seen, "the command ended before it listened: ")
      assert.include(error.seen, "mcp.sock.none")
    })
  )
})

const details = (verdicts: ReadonlyArray<Kit.Verdict>): string =>
  verdicts.flatMap(({ invariant, seen }) => seen.slice(0, 2).map((line) => `${invariant.name}: ${line}`)).join("\n")

/** Milliseconds, for a machine that is busy with other things. */
const patience = 120_000
