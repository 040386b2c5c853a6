/** What daemons before left running. */
import { Effect, Option, Schema } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as ProcessTable from "../server/ProcessTable.ts"
import * as Reaper from "../server/Reaper.ts"
import type { Daemon } from "./Daemon.ts"
import { type Finding, of } from "./Finding.ts"
import * as Shell from "./Shell.ts"

const { ok, problem, warning } = of("leftovers")

export const check = Effect.fnUntraced(function* (options: {
  readonly runtimeDir: string
  readonly daemon: Daemon
  readonly commands: Shell.Commands
}): Effect.fn.Return<ReadonlyArray<Finding>> {
  const { commands, daemon, runtimeDir } = options
  const record = path.join(runtimeDir, "processes.json")
  if (daemon.kind === "running" || !fs.existsSync(record)) return [ok(record, "nothing is left of earlier daemons")]
  const owner = decode(read(record))
  if (Option.isNone(owner)) {
    return [warning(record, `${record} is not a record of processes`, Shell.line("rm", record))]
  }
  if (yield* isLive(owner.value)) {
    const { pid } = owner.value
    const message = `process ${pid} is a daemon of this directory, and nobody can reach it`
    return [problem(record, message, `${Shell.line("kill", String(pid))}, then start it again: ${commands.serve}`)]
  }
  const left = yield* Reaper.leftovers(runtimeDir)
  if (left.length === 0) {
    const message = "the last daemon did not end by itself; nothing that it started is left"
    return [warning(record, message, `${commands.serve} clears its record`)]
  }
  const pids = left.map(({ pid }) => String(pid))
  const count = pids.length === 1 ? "1 process" : `${pids.length} processes`
  return [
    problem(
      record,
      `the last daemon did not end by itself and left ${count} running: ${pids.join(", ")}`,
      `${commands.serve} ends them, as does ${Shell.line("kill", ...pids)}`
    )
  ]
})

/** Of the record that `ProcessRecord` writes: whose it is. */
const Owner = Schema.Struct({ pid: Schema.Int, born: Schema.Finite, boot: Schema.String })
const decode = Schema.decodeUnknownOption(Schema.fromJsonString(Owner))

const read = (file: string): string => {
  try {
    return fs.readFileSync(file, "utf8")
  } catch {
    return ""
  }
}

const isLive = Effect.fnUntraced(function* ({ boot, born, pid }: typeof Owner.Type) {
  if (boot !== (yield* ProcessTable.boot)) return false
  const births = yield* Effect.promise(() => ProcessTable.bornOf([pid]))
  return births.get(pid) === born
})
