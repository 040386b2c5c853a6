import { assert, describe, it } from "@effect/vitest"
import type { Report } from "../../src/certify/Report.ts"
import { reportLines } from "../../src/cli/certifyView.ts"
import { paint } from "../../src/cli/Text.ts"

const leak = (name: string) => ({
  kind: "leak" as const,
  message: `"${name}" result.n: 1 alone, 2 beside another client`
})

const report: Report = {
  server: "think\u001b[2J",
  fingerprint: "0123456789abcdef",
  processes: 10,
  starts: [100],
  memory: null,
  trials: [
    { kind: "tool", name: "think", outcome: "exercised", reason: null },
    { kind: "tool", name: "forget", outcome: "not exercised", reason: "it does not say that it only reads" },
    { kind: "tool", name: "erase", outcome: "not exercised", reason: "it does not say that it only reads" },
    { kind: "prompt", name: "muse", outcome: "refused", reason: "each answer was an error" }
  ],
  found: null,
  requests: 1,
  strange: [],
  progress: 0,
  strangeProgress: [],
  lateProgress: 0,
  strays: [],
  questions: [],
  underRoots: null,
  cancelling: null,
  alone: null,
  cutShort: [],
  findings: [
    { check: "state", ok: "problem", message: leak("think").message },
    { check: "state", ok: "problem", message: leak("two").message },
    { check: "tools", ok: "warning", message: "1 of 3 tools exercised" }
  ],
  policy: "per-session",
  setting: { sharing: "per-session" },
  reasons: Array.from({ length: 10 }, (_, index) => leak(`tool ${index}`)),
  askers: []
}

describe("certifyView", () => {
  it("shows a line for each finding, in order, what was not exercised by reason, and the policy with its reasons", () => {
    assert.deepStrictEqual(reportLines(report, { paint: paint(false), width: 80 }), [
      "think[2J 0123456789abcdef, 10 scratch processes",
      "",
      "Tools         warning  1 of 3 tools exercised",
      'State         problem  "think" result.n: 1 alone, 2 beside another client',
      '              problem  "two" result.n: 1 alone, 2 beside another client',
      "",
      "not exercised",
      "  it does not say that it only reads: forget, erase",
      "  each answer was an error: prompt muse",
      "  --call TOOL calls one of these too, on your own data",
      "",
      "recommended: a process for each session",
      ...report.reasons.slice(0, 8).map(({ message }) => `  ${message}`),
      "  … and 2 more (--json has all)",
      '  "pool": {"sharing":"per-session"}'
    ])
  })
})
