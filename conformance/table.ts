/** What the runs found, as text. */
import type { Outcome, Scenario } from "./suites.ts"

/** One suite on one target. */
export interface Row {
  readonly suite: string
  /** How many scenarios have to pass in each run. */
  readonly count: number
  readonly atOnce: number
  readonly target: string
  readonly mustPass: boolean
  readonly hasOneProcess: boolean
  readonly runs: ReadonlyArray<Outcome>
  /** Of the fixture, over stdio, once all had run. */
  readonly processes: number
  /** Seconds, from the start of the target to its end. */
  readonly took: number
  /** Why it is not the row that it should be. */
  readonly trouble: string | undefined
}

/** Whether all that has to pass has passed. */
export const passes = (row: Row): boolean =>
  row.trouble === undefined &&
  (!row.hasOneProcess || row.processes === 1) &&
  row.runs.length === row.atOnce &&
  row.runs.every((run) => run.trouble === undefined && passed(run.scenarios) === row.count)

/** A row by itself. */
export const line = (row: Row): string => cells(row).join("  ")

/** All of them. */
export const table = (rows: ReadonlyArray<Row>): string => {
  const head = ["suite", "at once", "target", "scenarios", "checks", "not required", "processes", "seconds", ""]
  const lines = [head, ...rows.map(cells)]
  const widths = head.map((_, column) => Math.max(...lines.map((cells) => cells[column]!.length)))
  return lines
    .map((cells) =>
      cells
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join("  ")
        .trimEnd()
    )
    .join("\n")
}

/** What did not pass in each row, by name and with the reason that the suite gives. */
export const failures = (rows: ReadonlyArray<Row>): ReadonlyArray<string> =>
  rows.flatMap((row) => {
    const reasons = new Map<string, { times: number; reason: string }>()
    for (const { failure, name } of row.runs.flatMap(({ scenarios }) => scenarios)) {
      if (failure === undefined) continue
      const known = reasons.get(name)
      reasons.set(name, { times: (known?.times ?? 0) + 1, reason: known?.reason ?? failure })
    }
    const troubles = [
      row.trouble,
      row.hasOneProcess && row.processes > 1 ? `it took ${row.processes} processes` : undefined,
      ...new Set(row.runs.map(({ trouble }) => trouble))
    ].filter((text) => text !== undefined)
    if (reasons.size === 0 && troubles.length === 0) return []
    const times = (count: number) => (row.atOnce === 1 ? "" : ` (${count} of ${row.atOnce})`)
    return [
      [
        `${row.target}, ${row.suite}, ${row.atOnce} at once:`,
        ...troubles,
        ...[...reasons].map(([name, { reason, times: count }]) => `${name}${times(count)}: ${short(reason)}`)
      ].join("\n  ")
    ]
  })

const cells = (row: Row): ReadonlyArray<string> => {
  const { atOnce, count, processes, runs, suite, target, took, trouble } = row
  const sum = (of: (scenario: Scenario) => number) => runs.flatMap(({ scenarios }) => scenarios.map(of))
  const good = add(sum(({ passed }) => passed))
  const checks = good + add(sum(({ failed }) => failed))
  const others = runs.map((run) => run.others)
  return [
    suite,
    String(atOnce),
    target,
    runs.length === 0 ? "-" : `${times(atOnce)}${range(runs.map(({ scenarios }) => passed(scenarios)))}/${count}`,
    runs.length === 0 ? "-" : `${good}/${checks}`,
    others.every(({ length }) => length === 0)
      ? "-"
      : `${times(atOnce)}${range(others.map(passed))}/${others[0]!.length}`,
    processes === 0 ? "-" : String(processes),
    took.toFixed(1),
    trouble ?? (passes(row) ? "pass" : row.mustPass ? "FAIL" : "fails")
  ]
}

const passed = (scenarios: ReadonlyArray<Scenario>): number =>
  scenarios.filter(({ failure }) => failure === undefined).length

const add = (numbers: ReadonlyArray<number>): number => numbers.reduce((sum, number) => sum + number, 0)

const times = (atOnce: number): string => (atOnce === 1 ? "" : `${atOnce} x `)

const range = (numbers: ReadonlyArray<number>): string => {
  const [least, most] = [Math.min(...numbers), Math.max(...numbers)]
  return least === most ? String(least) : `${least}-${most}`
}

/** One line of a screen. */
const short = (reason: string): string => {
  const line = reason.replaceAll(/\s+/g, " ").trim()
  return line.length <= mostCharacters ? line : `${line.slice(0, mostCharacters)}…`
}
const mostCharacters = 200
