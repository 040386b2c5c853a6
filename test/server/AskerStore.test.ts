import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as PoolConfig from "../../src/config/PoolConfig.ts"
import * as AskerStore from "../../src/server/AskerStore.ts"
import * as TestPool from "../support/TestPool.ts"

const askers = [
  { method: "tools/call", name: "confirm", isCertain: true },
  { method: "resources/read", name: "file:///é", isCertain: false }
]

const specOf = Effect.fnUntraced(function* (args: ReadonlyArray<string>) {
  const { servers } = yield* PoolConfig.fromServers({ git: { command: "node", args } })
  const [entry] = servers
  assert(entry?._tag === "Configured")
  return entry.spec
})

describe("AskerStore", () => {
  it.effect("gives back what was kept of the same fingerprint, and of no other", () =>
    Effect.gen(function* () {
      const directory = yield* TestPool.temporaryDirectory
      const [spec, other] = [yield* specOf(["a"]), yield* specOf(["b"])]
      assert.deepStrictEqual(AskerStore.read(directory, spec), [])
      AskerStore.write(directory, spec, askers)
      assert.deepStrictEqual(AskerStore.read(directory, spec), askers)
      assert.deepStrictEqual(AskerStore.read(directory, other), [])
      const [file, ...others] = fs.readdirSync(path.join(directory, "askers"))
      assert.deepStrictEqual([file, others], [`${spec.fingerprint}.json`, []])
      assert.strictEqual(fs.statSync(path.join(directory, "askers", file!)).mode & 0o777, 0o600)
    })
  )

  it.effect("knows nothing of a file that is none of its own, and keeps nothing without a directory", () =>
    Effect.gen(function* () {
      const directory = yield* TestPool.temporaryDirectory
      const spec = yield* specOf(["a"])
      AskerStore.write(directory, spec, askers)
      const file = path.join(directory, "askers", `${spec.fingerprint}.json`)
      for (const text of ["", "{", "{}", '[{"method":1}]']) {
        fs.writeFileSync(file, text)
        assert.deepStrictEqual(AskerStore.read(directory, spec), [], text)
      }
      AskerStore.write(null, spec, askers)
      assert.deepStrictEqual(AskerStore.read(null, spec), [])
      // Where no directory can be made.
      AskerStore.write(file, spec, askers)
      assert.deepStrictEqual(AskerStore.read(file, spec), [])
    })
  )
})
