/** The doctor's findings as people read them: a line for what is well, all of what is not, with what mends it. Pure. */
import { type Check, checks, type Finding } from "../doctor/Finding.ts"
import { printable } from "../printable.ts"
import type { Screen } from "./Screen.ts"
import { firstLine, type Paint } from "./Text.ts"

export const findingLines = (
  findings: ReadonlyArray<Finding>,
  screen: Pick<Screen, "paint" | "width">
): ReadonlyArray<string> => {
  const groups = checks.flatMap((check) => {
    const group = findings.filter((finding) => finding.check === check)
    return group.length === 0 ? [] : groupLines(check, group, screen)
  })
  const warnings = findings.filter(({ ok }) => ok === "warning").length
  if (findings.some(({ ok }) => ok === "problem")) return groups
  const rest = warnings === 0 ? "" : `, ${warnings === 1 ? "1 warning" : `${warnings} warnings`}`
  const isUntried =
    findings.some(({ check }) => check === "commands") && !findings.some(({ check }) => check === "starts")
  return [...groups, "", `nothing is wrong${rest}${isUntried ? " (--start also starts each server for a moment)" : ""}`]
}

const groupLines = (
  check: Check,
  findings: ReadonlyArray<Finding>,
  { paint, width }: Pick<Screen, "paint" | "width">
): ReadonlyArray<string> => {
  const well = findings.filter(({ ok }) => ok === "ok")
  const ill = findings.filter(({ ok }) => ok !== "ok")
  const worst = ill.some(({ ok }) => ok === "problem") ? "problem" : ill.length > 0 ? "warning" : "ok"
  const head = `${paint.bold(titles[check].padEnd(widestTitle))}  ${style(worst, paint)(worst.padEnd(widestWord))}  `
  const indent = widestTitle + widestWord + 4
  // What was asked for by name is shown, one by one.
  const isListed = check === "starts" && well.length > 0
  const summary = isListed ? "" : wellLine(well, ill.length > 0)
  const names = isListed ? Math.max(...well.map(({ subject }) => printable(subject).length)) : 0
  return [
    `${head}${firstLine(summary, width - indent)}`.trimEnd(),
    ...(isListed
      ? well.map(({ message, subject }) => `  ${paint.bold(printable(subject).padEnd(names))}  ${printable(message)}`)
      : []),
    ...ill.flatMap((finding) => illLines(finding, paint, width))
  ]
}

const wellLine = (well: ReadonlyArray<Finding>, areOthersIll: boolean): string => {
  if (areOthersIll)
    return well.length === 0 ? "" : `${well.length} ${well.length === 1 ? "other is" : "others are"} well`
  if (well.length === 1) return well[0]!.message
  return well.map(({ subject }) => subject).join(", ")
}

const illLines = ({ mend, message, ok, subject }: Finding, paint: Paint, width: number): ReadonlyArray<string> => {
  const [first = "", ...rest] = message.split("\n")
  return [
    `  ${style(ok, paint)(ok === "problem" ? "✗" : "!")} ${paint.bold(printable(subject))}: ${printable(first)}`,
    ...rest.map((line) => `    ${paint.dim(`│ ${firstLine(line, width - 6)}`.trimEnd())}`),
    ...(mend === null ? [] : [`    mend: ${printable(mend)}`])
  ]
}

const style = (ok: Finding["ok"], { green, red, yellow }: Paint): ((text: string) => string) =>
  ok === "ok" ? green : ok === "warning" ? yellow : red

const titles: Readonly<Record<Check, string>> = {
  node: "Node",
  configuration: "Configuration",
  commands: "Commands",
  files: "Files",
  daemon: "Daemon",
  service: "Service",
  sockets: "Sockets",
  http: "HTTP",
  leftovers: "Leftovers",
  starts: "Starts",
  connect: "Hosts"
}

const widestTitle = Math.max(...Object.values(titles).map((title) => title.length))
const widestWord = "problem".length
