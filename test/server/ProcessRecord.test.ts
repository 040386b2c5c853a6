import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger } from "effect"
import { spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import { once } from "node:events"
import * as fs from "node:fs"
import * as path from "node:path"
import * as ProcessRecord from "../../src/server/ProcessRecord.ts"
import * as ProcessTable from "../../src/server/ProcessTable.ts"
import * as Processes from "../support/Processes.ts"
import * as TestPool from "../support/TestPool.ts"

/** A group of two processes, the leader's pid first. */
const group = (env: NodeJS.ProcessEnv = {}) =>
  Effect.gen(function* () {
    const marker = `fixture-${randomUUID()}`
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn("/bin/sh", ["-c", "cat <&3 & echo $!; exec cat", marker], {
          env: { ...process.env, ...env },
          stdio: ["pipe", "pipe", "ignore", "pipe"],
          detached: true
        })
      ),
      (child) =>
        Effect.sync(() => ProcessTable.groupExists(child.pid ?? 0) && process.kill(-(child.pid ?? 0), "SIGKILL"))
    )
    const [line] = yield* Effect.promise(() => once(child.stdout!, "data"))
    return [child.pid ?? 0, Number(String(line))] as const
  })

const bornOf = (pid: number) =>
  Effect.map(
    Effect.promise(() => ProcessTable.bornOf([pid])),
    (births) => births.get(pid) ?? 0
  )

/** A directory with the record of a pool that is no more: this process's pid, born at another time. */
const recorded = Effect.fnUntraced(function* (
  changes: { readonly marker?: string; readonly boot?: string; readonly groups?: ReadonlyArray<unknown> } = {}
) {
  const directory = yield* TestPool.temporaryDirectory
  const head = { pid: process.pid, born: 1, boot: yield* ProcessTable.boot, startedAt: 0 }
  const record = { ...head, marker: "0123456789abcdef", groups: [], ...changes }
  fs.writeFileSync(fileOf(directory), JSON.stringify(record))
  return directory
})

const fileOf = (directory: string) => path.join(directory, "processes.json")

const make = Effect.fnUntraced(function* (directory: string, groups: ReadonlySet<number> = new Set()) {
  const lines: Array<string> = []
  const keep = Logger.layer([Logger.make(({ message }) => void lines.push(String(message)))])
  const record = yield* ProcessRecord.make({ directory, marker: "fedcba9876543210", groups }).pipe(Effect.provide(keep))
  return { record, lines }
})

describe("ProcessRecord", () => {
  it.live("ends a recorded group whose leader is the recorded one", () =>
    Effect.gen(function* () {
      const pids = yield* group()
      const directory = yield* recorded({ groups: [{ group: pids[0], born: yield* bornOf(pids[0]) }] })
      const left = yield* ProcessRecord.leftovers(directory)
      assert.sameMembers(
        left.map(({ pid }) => pid),
        [...pids]
      )
      const { lines } = yield* make(directory)
      assert.deepStrictEqual(lines, ["swept 2 processes that an earlier daemon left behind"])
      yield* Effect.forEach(pids, Processes.gone)
      assert.isFalse(fs.existsSync(fileOf(directory)))
    })
  )

  it.live("never signals a stranger that has the number of a recorded group", () =>
    Effect.gen(function* () {
      const pids = yield* group()
      const born = yield* bornOf(pids[0])
      const other = yield* recorded({ groups: [{ group: pids[0], born: born - 1 }] })
      const boot = yield* recorded({ groups: [{ group: pids[0], born }], boot: "another" })
      for (const directory of [other, boot]) {
        assert.deepStrictEqual(yield* ProcessRecord.leftovers(directory), [])
        assert.deepStrictEqual((yield* make(directory)).lines, [])
        assert.isFalse(fs.existsSync(fileOf(directory)))
      }
      for (const pid of pids) assert.isTrue(yield* Processes.isAlive(pid))
    })
  )

  it.live.skipIf(process.platform !== "linux")("ends what carries the recorded marker, and nothing with another", () =>
    Effect.gen(function* () {
      const marker = randomUUID()
      const ours = yield* group({ [ProcessTable.markerVariable]: `${marker}-7` })
      const theirs = yield* group({ [ProcessTable.markerVariable]: `${randomUUID()}-7` })
      const { lines } = yield* make(yield* recorded({ marker }))
      assert.deepStrictEqual(lines, ["swept 2 processes that an earlier daemon left behind"])
      yield* Effect.forEach(ours, Processes.gone)
      for (const pid of theirs) assert.isTrue(yield* Processes.isAlive(pid))
    })
  )

  it.live("ignores a file that is no record, with a warning, and replaces it", () =>
    Effect.gen(function* () {
      for (const text of ["{", "[]", '{"pid":1,"born":1,"boot":"","marker":"0123456789abcdef","groups":[]}']) {
        const directory = yield* TestPool.temporaryDirectory
        fs.writeFileSync(fileOf(directory), text)
        const { lines, record } = yield* make(directory)
        assert.deepStrictEqual(lines, [`${fileOf(directory)} is not a record of processes`])
        record.begin()
        assert.include(fs.readFileSync(fileOf(directory), "utf8"), "fedcba9876543210")
        record.remove()
      }
    })
  )

  it.live("writes the marker at once, for its owner only, and removes it", () =>
    Effect.gen(function* () {
      const directory = path.join(yield* TestPool.temporaryDirectory, "new")
      const { record } = yield* make(directory)
      assert.isFalse(fs.existsSync(directory))
      record.begin()
      assert.strictEqual(fs.statSync(fileOf(directory)).mode & 0o777, 0o600)
      assert.deepStrictEqual(fs.readdirSync(directory), ["processes.json"])
      record.remove()
      assert.deepStrictEqual(fs.readdirSync(directory), [])
    })
  )

  it.live("writes the groups with their leaders' start soon after they changed", () =>
    Effect.gen(function* () {
      const [leader] = yield* group()
      const directory = yield* TestPool.temporaryDirectory
      const { record } = yield* make(directory, new Set([leader]))
      record.begin()
      const read = () => JSON.parse(fs.readFileSync(fileOf(directory), "utf8")).groups
      assert.deepStrictEqual(read(), [])
      const written = new Promise<void>((resolve) => {
        const watcher = fs.watch(directory, () => {
          if (read().length === 0) return
          watcher.close()
          resolve()
        })
      })
      record.changed()
      yield* Effect.promise(() => written)
      assert.deepStrictEqual(read(), [{ group: leader, born: yield* bornOf(leader) }])
      record.close()
    })
  )
})
