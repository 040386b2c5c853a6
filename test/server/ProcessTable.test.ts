import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import { once } from "node:events"
import * as ProcessTable from "../../src/server/ProcessTable.ts"
import * as Processes from "../support/Processes.ts"

/** A process that leads a group of its own and has a child that it does not reap. */
const withZombie = Effect.gen(function* () {
  const leader = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn("/bin/sh", ["-c", "true & echo $!; exec cat"], { stdio: ["pipe", "pipe", "ignore"], detached: true })
    ),
    (leader) => Effect.sync(() => leader.kill("SIGKILL"))
  )
  const [line] = yield* Effect.promise(() => once(leader.stdout, "data"))
  const zombie = Number(String(line))
  yield* Processes.gone(zombie)
  return { leader, zombie }
})

describe("ProcessTable", () => {
  it.live("lists live processes with their group and memory, and no zombies", () =>
    Effect.gen(function* () {
      const { leader, zombie } = yield* withZombie
      const processes = yield* ProcessTable.list
      const own = processes.find(({ pid }) => pid === process.pid)
      assert.isAbove(own?.memory ?? 0, 10_000_000)
      assert.isBelow(own?.memory ?? Infinity, 10_000_000_000)
      assert.strictEqual(processes.find(({ pid }) => pid === leader.pid)?.group, leader.pid)
      assert.isUndefined(processes.find(({ pid }) => pid === zombie))
    })
  )

  it.live("says whether a group exists", () =>
    Effect.gen(function* () {
      const { leader } = yield* withZombie
      const group = leader.pid ?? 0
      assert.isTrue(ProcessTable.groupExists(group))
      const exited = once(leader, "exit")
      leader.kill("SIGKILL")
      yield* Effect.promise(() => exited)
      yield* Processes.gone(group)
    })
  )

  it.live("counts the CPU time that a process used", () =>
    Effect.gen(function* () {
      const own = Effect.map(ProcessTable.list, (all) => all.find(({ pid }) => pid === process.pid)?.cpu ?? 0)
      const { system, user } = process.cpuUsage()
      assert.isAtLeast(yield* own, Math.floor((user + system) / 1000) - clockTick)
      const after = process.cpuUsage()
      assert.isAtMost(yield* own, Math.ceil((after.user + after.system) / 1000) + slack)
    })
  )

  it.live.skipIf(process.platform !== "linux")("finds what carries a marker, in whatever session", () =>
    Effect.gen(function* () {
      const marker = { variable: ProcessTable.markerVariable, value: `${randomUUID()}-1` }
      const start = (value: string) =>
        Effect.acquireRelease(
          Effect.sync(() => {
            const env = { ...process.env, [marker.variable]: value }
            return spawn("cat", { env, stdio: ["pipe", "ignore", "ignore"], detached: true })
          }),
          (child) => Effect.sync(() => child.kill("SIGKILL"))
        )
      const first = yield* start(marker.value)
      const second = yield* start(marker.value)
      const other = yield* start(`${marker.value}0`)
      const group = other.pid ?? 0
      assert.sameMembers([...(yield* ProcessTable.members(group, null))], [group])
      assert.sameMembers([...(yield* ProcessTable.members(group, marker))], [first.pid, second.pid, group])
      const exited = once(first, "exit")
      first.kill("SIGKILL")
      yield* Effect.promise(() => exited)
      assert.notInclude(yield* ProcessTable.members(group, marker), first.pid)
    })
  )

  it.live("shares one scan between all who ask while another runs, and never one from before the question", () =>
    Effect.gen(function* () {
      const running = yield* Effect.forkChild(ProcessTable.list, { startImmediately: true })
      const waiting = yield* Effect.forkChild(ProcessTable.list, { startImmediately: true })
      const { leader } = yield* withZombie
      const [second, third] = yield* Effect.all([Fiber.join(waiting), ProcessTable.list], { concurrency: 2 })
      assert.notStrictEqual(yield* Fiber.join(running), second)
      assert.isTrue(third.some(({ pid }) => pid === leader.pid))
      const shared = yield* Effect.all([ProcessTable.list, ProcessTable.list, ProcessTable.list], { concurrency: 3 })
      assert.notStrictEqual(shared[0], shared[1])
      assert.strictEqual(shared[1], shared[2])
    })
  )

  it("reads what the ps of macOS and of Linux print", () => {
    const text = [
      "  501   501   1024   0:01.50 Ss   Mon Nov  2 10:11:12 2026    ",
      "  777   501  20480   1-02:03:04 R+   Mon Nov  2 10:11:13 2026",
      "  778   501      0   00:00:00 Z    Mon Nov  2 10:11:14 2026",
      ""
    ].join("\n")
    const born = Date.UTC(2026, 10, 2, 10, 11, 12) / 1000
    assert.deepStrictEqual(ProcessTable.parsePs(text), [
      { pid: 501, group: 501, memory: 1_048_576, cpu: 1500, born },
      { pid: 777, group: 501, memory: 20_971_520, cpu: 93_784_000, born: born + 1 }
    ])
  })
})

/** What the system rounds off, for user and system each. */
const clockTick = 20
/** What is used between two looks. */
const slack = 20
