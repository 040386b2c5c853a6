/**
 * The multiplexer kit against any command that shares a stdio MCP server: a table of what must hold, and what was seen
 * where it does not. Ends with 0 only where all of it holds.
 *
 * Usage: npm run kit -- ['COMMAND'] [--patience "5 seconds"] [--concurrency N] [--only "INVARIANT"]…
 *
 * COMMAND is one program's command line for the shell with {server}, where the command line of the server to share
 * belongs, and {socket} (newline framing at a Unix socket) or {port} (streamable HTTP at http://127.0.0.1:{port}/mcp).
 * Without it, the pool of dist/bin is tested.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, type Duration, Effect } from "effect"
import { parseArgs } from "node:util"
import * as Kit from "../test/suites/Kit.ts"
import * as KitPool from "../test/suites/KitPool.ts"

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    patience: { type: "string", default: "5 seconds" },
    concurrency: { type: "string", default: "4" },
    only: { type: "string", multiple: true }
  }
})
const [command] = positionals

const usage = `usage: npm run kit -- 'COMMAND with {server}, and {socket} or {port}'`

const isUsable = (line: string): boolean =>
  line.includes("{server}") && (line.includes("{socket}") || line.includes("{port}"))

const table = (verdicts: ReadonlyArray<Kit.Verdict>): string =>
  verdicts
    .flatMap(({ invariant: { name, rule, says }, outcome, seen }) => [
      `${(outcome === "broken" ? "BROKEN" : outcome).padEnd(15)}${name}`,
      ...(outcome === "broken" ? [says, `(${rule})`, ...shown(seen).map((line) => `seen: ${line}`)] : []).map(
        (line) => `${" ".repeat(17)}${line}`
      )
    ])
    .join("\n")

/** The first of them, each once. */
const shown = (seen: ReadonlyArray<string>): ReadonlyArray<string> => {
  const lines = [...new Set(seen)]
  return lines.length <= most ? lines : [...lines.slice(0, most), `and ${lines.length - most} more`]
}
const most = 4

const summary = (verdicts: ReadonlyArray<Kit.Verdict>): string => {
  const names = (outcome: Kit.Verdict["outcome"]) =>
    verdicts.flatMap((verdict) => (verdict.outcome === outcome ? [verdict.invariant.name] : []))
  const broken = names("broken")
  const unexercised = names("not exercised")
  return [
    `${names("holds").length} of ${verdicts.length - unexercised.length} invariants hold`,
    ...(broken.length > 0 ? [`broken: ${broken.join(", ")}`] : []),
    ...(unexercised.length > 0 ? [`not exercised, since not offered: ${unexercised.join(", ")}`] : [])
  ].join("\n")
}

Effect.gen(function* () {
  if (command !== undefined && !isUsable(command)) {
    yield* Console.error(usage)
    process.exit(2)
  }
  const verdicts = yield* Kit.run(command === undefined ? KitPool.subject() : Kit.fromCommand(command), {
    patience: values.patience as Duration.Input,
    concurrency: Number(values.concurrency),
    ...(values.only === undefined ? {} : { only: values.only }),
    onVerdict: ({ outcome }) => void process.stderr.write(outcome === "broken" ? "x" : ".")
  }).pipe(
    Effect.tapError(({ seen }) => Console.error(`not even one client is served: ${seen}`)),
    Effect.orElseSucceed(() => process.exit(2))
  )
  yield* Console.log(`\n${table(verdicts)}\n\n${summary(verdicts)}`)
  // Whatever is left and would keep this process alive has been told of.
  process.exit(verdicts.some(({ outcome }) => outcome === "broken") ? 1 : 0)
}).pipe(NodeRuntime.runMain)
