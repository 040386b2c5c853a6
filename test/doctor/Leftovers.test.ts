import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Leftovers from "../../src/doctor/Leftovers.ts"
import * as ProcessRecord from "../../src/server/ProcessRecord.ts"
import * as ProcessTable from "../../src/server/ProcessTable.ts"
import * as Processes from "../support/Processes.ts"
import * as TestPool from "../support/TestPool.ts"
import { commands, ill } from "./Say.ts"

const check = Effect.fnUntraced(function* (runtimeDir: string) {
  const owner = yield* ProcessRecord.owner(runtimeDir)
  return { owner, said: ill(yield* Leftovers.check({ runtimeDir, owner, commands })) }
})

/** A process that leads a group and runs until the scope closes. */
const leader = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, ["-e", "setInterval(() => {}, 60_000)"], { detached: true, stdio: "ignore" })
    ),
    (child) =>
      Effect.callback<void>((resume) => {
        child.once("exit", () => resume(Effect.void))
        child.kill("SIGKILL")
      })
  ),
  (child) => child.pid!
)

/** Writes a record as `ProcessRecord` does, of a daemon that has gone unless its birth is told. */
const record = Effect.fnUntraced(function* (
  runtimeDir: string,
  groups: ReadonlyArray<number>,
  pool: { readonly pid: number; readonly born: number } = { pid: process.pid, born: 1 }
) {
  const births = yield* Effect.promise(() => ProcessTable.bornOf(groups))
  fs.writeFileSync(
    ProcessRecord.fileOf(runtimeDir),
    JSON.stringify({
      ...pool,
      boot: yield* ProcessTable.boot,
      marker: "0123456789abcdef0123456789abcdef",
      startedAt: 0,
      groups: groups.map((group) => ({ group, born: births.get(group) ?? 0 }))
    })
  )
})

describe("Leftovers", () => {
  it.live("has nothing to say without a record", () =>
    Effect.gen(function* () {
      const { owner, said } = yield* check(yield* TestPool.temporaryDirectory)
      assert.deepStrictEqual([owner.kind, said], ["none", []])
    })
  )

  it.live("names what a daemon left that is gone, and leaves it alone", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const pid = yield* leader
      yield* record(runtimeDir, [pid])
      const before = fs.readFileSync(ProcessRecord.fileOf(runtimeDir), "utf8")
      const { said } = yield* check(runtimeDir)
      assert.deepStrictEqual(said, [
        [
          "problem",
          path.join(runtimeDir, "processes.json"),
          `the daemon with process ${process.pid} did not end by itself, and left 1 process running: ${pid}. ` +
            "The next mcp-pool serve ends them",
          `kill ${pid}`
        ]
      ])
      assert.isTrue(yield* Processes.isAlive(pid))
      assert.strictEqual(fs.readFileSync(ProcessRecord.fileOf(runtimeDir), "utf8"), before)
    })
  )

  it.live("warns of a record of which nothing is left, and of a file that is none", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const file = ProcessRecord.fileOf(runtimeDir)
      yield* record(runtimeDir, [])
      assert.deepStrictEqual(
        (yield* check(runtimeDir)).said.map(([ok, subject, , mend]) => [ok, subject, mend]),
        [["warning", file, "mcp-pool serve"]]
      )
      fs.writeFileSync(file, "{")
      assert.deepStrictEqual((yield* check(runtimeDir)).said, [
        ["warning", file, "is not a record of processes", `rm ${file}`]
      ])
    })
  )

  it.live("takes the processes of a daemon that lives for its own", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const group = yield* leader
      const births = yield* Effect.promise(() => ProcessTable.bornOf([process.pid]))
      yield* record(runtimeDir, [group], { pid: process.pid, born: births.get(process.pid)! })
      const { owner, said } = yield* check(runtimeDir)
      assert.deepStrictEqual([owner, said], [{ kind: "live", pid: process.pid }, []])
    })
  )
})
