import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs"
import * as ServiceRecord from "../../src/service/ServiceRecord.ts"
import * as TestPool from "../support/TestPool.ts"

describe("ServiceRecord", () => {
  it.effect("is none where others may have written it, since it names commands to run", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const record = { name: "pool", start: ["start"] as const, stop: ["stop"] as const }
      yield* ServiceRecord.write(runtimeDir, record)
      assert.strictEqual(fs.statSync(ServiceRecord.fileOf(runtimeDir)).mode & 0o777, 0o600)
      assert.deepStrictEqual(ServiceRecord.read(runtimeDir), record)
      fs.chmodSync(runtimeDir, 0o770)
      assert.isUndefined(ServiceRecord.read(runtimeDir))
    })
  )
})
