/** What daemons before left running. */
import { Effect } from "effect"
import * as Reaper from "../server/Reaper.ts"
import { type Finding, of } from "./Finding.ts"
import * as ProcessRecord from "../server/ProcessRecord.ts"
import * as Shell from "../Shell.ts"

const { ok, problem, warning } = of("leftovers")

export const check = Effect.fnUntraced(function* (options: {
  readonly runtimeDir: string
  readonly owner: ProcessRecord.Owner
  readonly commands: Shell.Commands
}): Effect.fn.Return<ReadonlyArray<Finding>> {
  const { commands, owner, runtimeDir } = options
  const record = ProcessRecord.fileOf(runtimeDir)
  if (owner.kind === "none" || owner.kind === "live") return [ok(record, "nothing is left of earlier daemons")]
  if (owner.kind === "unreadable") return [warning(record, "is not a record of processes", Shell.line("rm", record))]
  const left = yield* Reaper.leftovers(runtimeDir)
  if (left.length === 0) {
    const message = `the daemon with process ${owner.pid} did not end by itself, and left nothing running`
    return [warning(record, `${message}: the next mcp-pool serve clears its record`, commands.serve)]
  }
  const pids = left.map(({ pid }) => String(pid))
  const count = pids.length === 1 ? "1 process" : `${pids.length} processes`
  const message = `the daemon with process ${owner.pid} did not end by itself, and left ${count} running: ${pids.join(", ")}`
  return [problem(record, `${message}. The next mcp-pool serve ends them`, Shell.line("kill", ...pids))]
})
