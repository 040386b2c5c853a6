/**
 * Eight sessions that are asked, one that cannot be and one that cancels, on one process, on as many as it takes and on
 * three replicas; then a form that stays open while others call the same tool. Ends with 1 where anything is not as it must
 * be.
 *
 * Usage: npm run asked -- [--calls N] [--form SECONDS] [--seed N]
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect } from "effect"
import { parseArgs } from "node:util"
import * as Asked from "../test/suites/Asked.ts"

const { values } = parseArgs({
  options: {
    calls: { type: "string", default: "1000" },
    form: { type: "string", default: "60" },
    seed: { type: "string", default: String(Math.floor(Math.random() * 1e9)) }
  }
})
const [calls, seconds, seed] = [Number(values.calls), Number(values.form), Number(values.seed)]

const part = Effect.fnUntraced(function* (name: string, sharing: Parameters<typeof Asked.run>[1]["sharing"]) {
  const report = yield* Asked.run(calls, { sharing, seed })
  const { answered, cancelled, median, others, processes, slowest, violations } = report
  yield* Console.log(
    `${name}: ${answered} of ${report.calls} questions answered, beside ${others} calls of others, ${cancelled} of them ` +
      `cancelled; ${processes} processes; median ${median.toFixed(1)} ms, slowest ${slowest.toFixed(0)} ms`
  )
  for (const violation of violations) yield* Console.log(`  VIOLATION: ${violation}`)
  return violations.length === 0 && answered === report.calls
})

Effect.gen(function* () {
  yield* Console.log(`seed ${seed}`)
  const isClean = [
    yield* part("one process", { replicas: { min: 1, max: 1 } }),
    yield* part("as many as it takes", undefined),
    yield* part("three replicas", { replicas: 3 })
  ]
  const { calls, isAnswered, slowest } = yield* Asked.openForm(seconds * 1000)
  yield* Console.log(
    `a form open for ${seconds} s: ${calls} calls of the same tool by three others, slowest ${slowest.toFixed(0)} ms; ` +
      `the form ${isAnswered ? "was answered" : "was lost"}`
  )
  // Whatever is left and would keep this process alive has been told of.
  process.exit(isClean.includes(false) || !isAnswered ? 1 : 0)
}).pipe(NodeRuntime.runMain)
