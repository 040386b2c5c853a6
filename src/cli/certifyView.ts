/** What certify found as people read it: a line for each thing that was looked at, and the policy that follows. Pure. */
import { type Check, checks, type Finding, type Policy, type Report } from "../certify/Report.ts"
import type { Trial } from "../certify/Scout.ts"
import { printable } from "../printable.ts"
import type { Screen } from "./Screen.ts"
import { firstLine, type Paint } from "./Text.ts"

export const reportLines = (
  report: Report,
  { paint, width }: Pick<Screen, "paint" | "width">
): ReadonlyArray<string> => [
  `${paint.bold(printable(report.server))} ${paint.dim(`${report.fingerprint}, ${report.processes} scratch processes`)}`,
  "",
  ...checks.flatMap((check) => findingLines(check, report.findings, paint, width)),
  ...untriedLines(report.trials, paint, width),
  "",
  `${paint.bold("recommended:")} ${style(report.policy, paint)(policies[report.policy])}`,
  ...report.reasons.slice(0, maxShown).map(({ message }) => `  ${firstLine(message, width - 2)}`),
  ...more(report.reasons.length),
  `  "pool": ${JSON.stringify(report.setting)}${report.policy === "not enough evidence" ? "  until more is known" : ""}`
]

const findingLines = (
  check: Check,
  findings: ReadonlyArray<Finding>,
  paint: Paint,
  width: number
): ReadonlyArray<string> => {
  const own = findings.filter((finding) => finding.check === check)
  const shown = own.slice(0, maxShown).map(({ message, ok }, index) => {
    const title = index === 0 ? titles[check] : ""
    const head = `${paint.bold(title.padEnd(widestTitle))}  ${colour(ok, paint)(ok.padEnd(widestWord))}  `
    return `${head}${firstLine(message, width - widestTitle - widestWord - 4)}`
  })
  return [...shown, ...more(own.length)]
}

const more = (count: number): ReadonlyArray<string> =>
  count > maxShown ? [`  … and ${count - maxShown} more (--json has all)`] : []

/** What nothing is known of, by the reason. */
const untriedLines = (trials: ReadonlyArray<Trial>, paint: Paint, width: number): ReadonlyArray<string> => {
  const byReason = new Map<string, Array<string>>()
  for (const { kind, name, reason } of trials) {
    if (reason === null) continue
    const what = kind === "tool" ? name : `${kind} ${name}`
    byReason.set(reason, [...(byReason.get(reason) ?? []), what])
  }
  if (byReason.size === 0) return []
  return [
    "",
    paint.bold("not exercised"),
    ...[...byReason].map(([reason, names]) => `  ${firstLine(`${reason}: ${names.join(", ")}`, width - 2)}`),
    ...(byReason.has(unread) ? [paint.dim("  --call TOOL calls one of these too, on your own data")] : [])
  ]
}

/** Why most are not called, and what changes that. */
const unread = "it does not say that it only reads"

const colour = (ok: Finding["ok"], { dim, green, red, yellow }: Paint): ((text: string) => string) =>
  ({ ok: green, warning: yellow, problem: red, unseen: dim })[ok]

const style = (policy: Policy, { green, red, yellow }: Paint): ((text: string) => string) =>
  policy === "per-session" ? red : policy === "not enough evidence" ? yellow : green

const policies: Readonly<Record<Policy, string>> = {
  shared: "shared",
  lanes: "shared, with lanes for what asks questions",
  "per-session": "a process for each session",
  "not enough evidence": "not enough evidence"
}

const titles: Readonly<Record<Check, string>> = {
  start: "Start",
  tools: "Tools",
  ids: "Ids",
  cancellation: "Cancellation",
  progress: "Progress",
  "stray output": "Stray output",
  questions: "Questions",
  "unasked questions": "Unasked",
  roots: "Roots",
  state: "State"
}

const widestTitle = Math.max(...Object.values(titles).map((title) => title.length))
const widestWord = "problem".length
/** Of the findings of one kind, and of reasons. */
const maxShown = 8
