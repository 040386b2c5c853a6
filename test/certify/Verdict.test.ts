import { assert, describe, it } from "@effect/vitest"
import type { Leak } from "../../src/certify/Leaks.ts"
import type { Facts, Policy, Reason } from "../../src/certify/Report.ts"
import type { Trial } from "../../src/certify/Scout.ts"
import * as Verdict from "../../src/certify/Verdict.ts"

const tool = (name: string, outcome: Trial["outcome"] = "exercised"): Trial => ({
  kind: "tool",
  name,
  outcome,
  reason: outcome === "exercised" ? null : "why"
})

const leak: Leak = {
  kind: "difference",
  method: "tools/call",
  name: "count",
  when: "first",
  path: "result.n",
  before: "1",
  after: "2"
}

const none = { leaks: [], once: [], outside: [], history: [] }

/** Of a server that does all as it should. */
const well: Facts = {
  server: "one",
  fingerprint: "0123456789abcdef",
  processes: 10,
  starts: [100, 120],
  memory: 50e6,
  trials: [tool("count"), tool("echo")],
  found: none,
  requests: 100,
  strange: [],
  progress: 4,
  strangeProgress: [],
  lateProgress: 0,
  strays: [],
  questions: [],
  underRoots: [],
  cancelling: { calls: 2, answered: 0, lost: [] },
  alone: null,
  cutShort: []
}

const asked = (method: string, ...names: ReadonlyArray<string>): Facts["questions"][number] => ({
  method,
  mode: null,
  during: names.map((name) => ({ method: "tools/call", name })),
  times: 1
})

const table: ReadonlyArray<readonly [string, Partial<Facts>, Policy, ReadonlyArray<Reason["kind"]>]> = [
  ["all was exercised and nothing found", {}, "shared", ["nothing found"]],
  ["state is kept elsewhere", { found: { ...none, outside: [leak] } }, "shared", ["outside"]],
  ["roots are asked for", { questions: [asked("roots/list")] }, "shared", ["nothing found"]],
  ["it prints", { strays: ["hello"] }, "shared", ["nothing found"]],
  [
    "no prompt or resource could be had",
    { trials: [tool("echo"), { ...tool("p", "refused"), kind: "prompt" }] },
    "shared",
    ["nothing found"]
  ],
  ["a call asks", { questions: [asked("elicitation/create", "count")] }, "lanes", ["asks"]],
  ["it asks outside of calls", { questions: [asked("sampling/createMessage")] }, "per-session", ["unasked"]],
  ["one client's words reach the other", { found: { ...none, leaks: [leak] } }, "per-session", ["leak"]],
  ["it remembers", { found: { ...none, history: [leak] } }, "per-session", ["history"]],
  ["it answers what nobody asked", { strange: ["{}"] }, "per-session", ["ids"]],
  ["it makes up progress tokens", { strangeProgress: ["{}"] }, "per-session", ["ids"]],
  [
    "a cancellation ends another's call",
    { cancelling: { calls: 2, answered: 0, lost: ["echo"] } },
    "per-session",
    ["cancellation"]
  ],
  [
    "a leak was found in the one tool that could be called",
    { trials: [tool("a"), tool("b", "not exercised")], found: { ...none, leaks: [leak] } },
    "per-session",
    ["leak"]
  ],
  [
    "a tool was not called",
    { trials: [tool("a"), tool("b", "not exercised")] },
    "not enough evidence",
    ["unexercised"]
  ],
  ["a tool only refused", { trials: [tool("a"), tool("b", "refused")] }, "not enough evidence", ["unexercised"]],
  ["a tool did not answer", { trials: [tool("a"), tool("b", "silent")] }, "not enough evidence", ["unexercised"]],
  [
    "it asks, and a tool was not called",
    { trials: [tool("a"), tool("b", "silent")], questions: [asked("elicitation/create", "a")] },
    "not enough evidence",
    ["unexercised"]
  ],
  ["it has nothing", { trials: [] }, "not enough evidence", ["unexercised"]],
  ["a difference was seen once", { found: { ...none, once: [leak] } }, "not enough evidence", ["unrepeated"]],
  ["it ended", { cutShort: ["exited"] }, "not enough evidence", ["cut short"]],
  ["nothing was performed", { found: null }, "not enough evidence", ["cut short"]]
]

describe("Verdict", () => {
  it.each(table)("where %s", (_, facts, policy, reasons) => {
    const report = Verdict.report({ ...well, ...facts })
    assert.strictEqual(report.policy, policy)
    assert.deepStrictEqual(
      report.reasons.map(({ kind }) => kind),
      reasons
    )
    assert.strictEqual(report.setting.sharing, policy === "shared" || policy === "lanes" ? "shared" : "per-session")
  })

  it("knows for certain what asked alone, and then suspects nobody else", () => {
    const questions = [
      asked("elicitation/create", "a", "b"),
      asked("elicitation/create", "a"),
      asked("roots/list", "c"),
      asked("sampling/createMessage", "d", "e")
    ]
    const of = (questions: Facts["questions"]) =>
      Verdict.askers({ questions }).map(({ isCertain, name }) => [name, isCertain])
    assert.deepStrictEqual(of(questions.slice(0, 3)), [["a", true]])
    assert.deepStrictEqual(of([asked("elicitation/create", "a"), asked("elicitation/create")]), [["a", false]])
    assert.deepStrictEqual(of(questions), [
      ["a", true],
      ["d", false],
      ["e", false]
    ])
  })

  it("keeps what was known to ask before", () => {
    const asker = (name: string, isCertain: boolean) => ({ method: "tools/call", name, isCertain })
    const known = [asker("a", true), asker("b", false), asker("c", false)]
    const all = Verdict.allAskers(known, [asker("a", false), asker("b", true), asker("d", true)])
    assert.deepStrictEqual(all, [asker("a", true), asker("c", false), asker("b", true), asker("d", true)])
  })

  it("has a line for each thing that was looked at", () => {
    const { findings } = Verdict.report(well)
    assert.deepStrictEqual(
      findings.map(({ check, ok }) => `${check}: ${ok}`),
      [
        "start: ok",
        "tools: ok",
        "ids: ok",
        "cancellation: ok",
        "progress: ok",
        "stray output: ok",
        "questions: ok",
        "unasked questions: ok",
        "roots: ok",
        "state: ok"
      ]
    )
  })

  it("says of what did not happen that it was not seen", () => {
    const { findings } = Verdict.report({ ...well, progress: 0, cancelling: null, underRoots: null, found: null })
    assert.deepStrictEqual(
      findings.flatMap(({ check, ok }) => (ok === "unseen" ? [check] : [])),
      ["cancellation", "progress", "roots", "state"]
    )
  })
})
