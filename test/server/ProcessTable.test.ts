import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
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
})
