/**
 * The conformance suites against the pool's gateway, beside the fixture by itself and an unpatched peer: alone, and eight
 * at once on one process. Ends with 0 only where the pool passes all that has to pass, and so does the fixture.
 *
 * Usage: npm run conformance -- [--target NAME]… [--suite TEXT]… [--at-once N]… [--cross] [--seconds N] [--json FILE]
 *
 * --suite takes the suites whose names have the text in them. --cross gives each suite the fixture of the other era, which
 * only what translates between them can pass: rows to look at, whatever they say.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect } from "effect"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { parseArgs } from "node:util"
import * as Processes from "../test/support/Processes.ts"
import { install } from "./install.ts"
import * as Suites from "./suites.ts"
import { failures, line, passes, type Row, table } from "./table.ts"
import { type Target, targets } from "./targets.ts"

const { values } = parseArgs({
  options: {
    target: { type: "string", multiple: true, default: targets.map(({ name }) => name) },
    suite: { type: "string", multiple: true, default: [""] },
    "at-once": { type: "string", multiple: true, default: ["1", "8"] },
    cross: { type: "boolean", default: false },
    seconds: { type: "string", default: "240" },
    json: { type: "string" }
  }
})
const results = fs.mkdtempSync(path.join(os.tmpdir(), "conformance-"))
const seconds = Number(values.seconds)

/** Starts the target, runs the suite on it so many times at once, and sees that nothing is left of it. */
const measure = Effect.fnUntraced(function* (suite: Suites.Suite, atOnce: number, target: Target) {
  const marker = `fixture-${randomUUID()}`
  const era = suite.era
  const script = path.join(import.meta.dirname, `../test/fixtures/conformance/${era}.ts`)
  const directory = path.join(results, `${suite.name}, ${atOnce} at once, ${target.name}`.replaceAll(/[ ,]+/g, "-"))
  fs.mkdirSync(directory)
  const mustPass = target.mustPass && !values.cross
  const hasOneProcess = target.hasOneProcess === true
  const row = { suite: suite.name, count: suite.count, atOnce, target: target.name, mustPass, hasOneProcess }
  const startedAt = performance.now()
  const outcome = yield* Effect.gen(function* () {
    const serving = yield* target.start({ era, args: [script, marker], marker }, directory)
    const runs = yield* Effect.forEach(
      Array.from({ length: atOnce }, (_, index) => path.join(directory, String(index + 1))),
      (directory) => Suites.run(suite, serving.url, directory, seconds),
      { concurrency: "unbounded" }
    )
    const pids = yield* Processes.withMarker(marker)
    return { runs, processes: pids.filter((pid) => pid !== serving.pid).length }
  }).pipe(
    Effect.scoped,
    Effect.catchTag("NotServing", ({ message }) => Effect.succeed({ runs: [], processes: 0, trouble: message }))
  )
  const left = yield* Processes.gone(marker).pipe(
    Effect.as(undefined),
    Effect.catchTag("StillAlive", ({ message }) => Effect.as(Processes.killAll(marker), message))
  )
  const took = (performance.now() - startedAt) / 1000
  return { ...row, took, trouble: left, ...outcome } satisfies Row
})

const chosenTargets = targets.filter(({ name }) => values.target.includes(name))
const chosenSuites = Suites.suites
  .filter(({ name }) => values.suite.some((text) => name.includes(text)))
  .map((suite) => (values.cross ? ({ ...suite, era: suite.era === "legacy" ? "modern" : "legacy" } as const) : suite))
const unknown = values.target.filter((name) => !targets.some((target) => target.name === name))

Effect.gen(function* () {
  if (unknown.length > 0 || chosenSuites.length === 0 || !(seconds > 0)) {
    yield* Console.error(`targets: ${targets.map(({ name }) => name).join(", ")}`)
    yield* Console.error(`suites: ${Suites.suites.map(({ name }) => name).join(", ")}`)
    return process.exit(2)
  }
  install()
  const rows: Array<Row> = []
  for (const suite of chosenSuites) {
    for (const atOnce of values["at-once"].map(Number)) {
      for (const target of chosenTargets) {
        const row = yield* measure(suite, atOnce, target)
        rows.push(row)
        yield* Console.error(line(row))
      }
    }
  }
  yield* Console.log(`\n${table(rows)}`)
  for (const text of failures(rows)) yield* Console.log(`\n${text}`)
  yield* Console.log(`\nThe suites' own results: ${results}`)
  if (values.json !== undefined) fs.writeFileSync(values.json, JSON.stringify(rows, null, 2))
  process.exit(rows.every((row) => !row.mustPass || passes(row)) ? 0 : 1)
}).pipe(NodeRuntime.runMain)
