import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as DaemonProcess from "../support/DaemonProcess.ts"
import * as Processes from "../support/Processes.ts"
import * as TestPool from "../support/TestPool.ts"

describe("Reaper", () => {
  it.live("kills the servers, and what they started, of a daemon that exits without more ado", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const { exited, marker, signal } = yield* DaemonProcess.start(runtimeDir, ({ bad }) => bad("parent"))
      assert.strictEqual((yield* Processes.withMarker(`${marker}-parent`)).length, 2)
      yield* signal("SIGUSR2")
      assert.strictEqual(yield* exited, 7)
      yield* Processes.gone(marker)
    })
  )
})
