/**
 * The pool under load from 16 clients: crashes at random moments, then restarts without a gap. Ends with 1 where anything
 * is not as it must be.
 *
 * Usage: npm run soak -- [--crashes N] [--restarts N] [--seed N]
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect } from "effect"
import { parseArgs } from "node:util"
import * as Soak from "../test/suites/Soak.ts"

const { values } = parseArgs({
  options: {
    crashes: { type: "string", default: "1000" },
    restarts: { type: "string", default: "100" },
    seed: { type: "string", default: String(Math.floor(Math.random() * 1e9)) }
  }
})
const [crashes, restarts, seed] = [Number(values.crashes), Number(values.restarts), Number(values.seed)]

/** Bytes: what a soak may keep more than at its tenth. */
const maxGrowth = 2 * 1024 * 1024

const part = Effect.fnUntraced(function* (name: string, count: number, suite: typeof Soak.crashes) {
  let next = 0
  const onProgress = (done: number) => {
    if (done < next) return
    process.stderr.write(`${name}: ${done} of ${count}\n`)
    next = done - (done % step(count)) + step(count)
  }
  const report = yield* suite(count, { seed, onProgress })
  const { end, warm } = report.memory
  const grew = end - warm > maxGrowth ? [`memory grew by ${mebibytes(end - warm)}`] : []
  const violations = [...report.violations, ...grew]
  yield* Console.log(table(name, report))
  for (const violation of violations) yield* Console.log(`  VIOLATION: ${violation}`)
  return violations.length === 0
})

const table = (name: string, report: Soak.Report): string =>
  [
    ["crashes", report.crashes],
    ["processes", report.processes],
    ["requests", report.requests],
    ...Object.entries(report.outcomes).map(([outcome, count]) => [`  ${outcome}`, count]),
    ["  run by two processes", report.runTwice],
    ...[...report.latencies]
      .sort(([a], [b]) => a.localeCompare(b))
      .map(([what, { count, max, median, p99 }]) => [
        what,
        `median ${median.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, max ${max.toFixed(1)} ms, of ${count}`
      ]),
    ["live memory", `${mebibytes(report.memory.warm)} warm, ${mebibytes(report.memory.end)} in the end`],
    ["took", `${(report.took / 1000).toFixed(1)} s`]
  ]
    .map(([what, value]) => `  ${String(what).padEnd(40)}${value}`)
    .toSpliced(0, 0, `\n${name}, seed ${seed}`)
    .join("\n")

const mebibytes = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(2)} MiB`
const step = (count: number): number => Math.max(1, Math.floor(count / 20))

Effect.gen(function* () {
  const isClean = [yield* part("crashes", crashes, Soak.crashes), yield* part("restarts", restarts, Soak.restarts)]
  // Whatever is left and would keep this process alive has been told of.
  process.exit(isClean.includes(false) ? 1 : 0)
}).pipe(NodeRuntime.runMain)
