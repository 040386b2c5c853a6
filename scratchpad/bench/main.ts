/**
 * The benchmark behind the README's table: the pool against a floor of plain Node, both up in the same run, with
 * each figure's bound. Its own process is the load for both.
 *
 * Usage: npm run bench -- [--only GROUP,…] [--json FILE]
 */
import { writeFileSync } from "node:fs"
import { availableParallelism, cpus, release, type } from "node:os"
import { parseArgs } from "node:util"
import { groups } from "./figures.ts"
import * as proc from "./proc.ts"
import { type Row, show } from "./Row.ts"
import { endAll, prepare, removeTemporary } from "./target.ts"

const patience = 120_000

const main = async (only: ReadonlyArray<string>, json: string | undefined): Promise<number> => {
  const machine = `${availableParallelism()} x ${cpus()[0]?.model}, Node ${process.versions.node}, ${type()} ${release()}`
  console.log(`${machine}\n`)
  await prepare()
  const rows: Array<Row> = []
  for (const name of only) {
    const { linux, measure } = groups.get(name)!
    if (linux && !proc.available) {
      console.error(`${name}: skipped, it needs Linux's /proc`)
      continue
    }
    console.error(`${name} …`)
    rows.push(...(await within(patience, measure())))
    await endAll()
  }
  console.log(`\n${table(rows)}`)
  if (json !== undefined) {
    writeFileSync(
      json,
      JSON.stringify({ machine, figures: rows.map((row) => ({ ...row, pass: passes(row) })) }, null, 2)
    )
  }
  return rows.every(passes) ? 0 : 1
}

const passes = ({ value, bound }: Row): boolean => value <= bound

const table = (rows: ReadonlyArray<Row>): string => {
  const cells = rows.map((row) => [
    row.figure,
    `${show(row.value)} ${row.unit}`,
    `at most ${row.bound}`,
    passes(row) ? "pass" : "MISS",
    row.detail
  ])
  const widths = cells[0]?.map((_, column) => Math.max(...cells.map((line) => line[column]!.length))) ?? []
  return cells
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join("  ")
        .trimEnd()
    )
    .join("\n")
}

const within = <A>(milliseconds: number, work: Promise<A>): Promise<A> => {
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(`No end after ${milliseconds} ms`)), milliseconds)
  return Promise.race([work, promise]).finally(() => clearTimeout(timer))
}

let finishing = false

const finish = async (exitCode: number): Promise<void> => {
  finishing = true
  await endAll()
  removeTemporary()
  process.exit(exitCode)
}

const { values } = parseArgs({ options: { only: { type: "string" }, json: { type: "string" } } })
const only = values.only?.split(",") ?? [...groups.keys()]
const unknown = only.filter((name) => !groups.has(name))
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, () => void finish(130))
if (unknown.length > 0) {
  console.error(`No group is named ${unknown.join(", ")}. There are: ${[...groups.keys()].join(", ")}`)
  await finish(2)
}
try {
  await finish(await main(only, values.json))
} catch (error) {
  if (!finishing) {
    console.error(error)
    await finish(1)
  }
}
