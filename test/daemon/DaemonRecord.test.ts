import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger, Option } from "effect"
import * as fs from "node:fs"
import * as DaemonRecord from "../../src/daemon/DaemonRecord.ts"
import * as TestPool from "../support/TestPool.ts"

const record: DaemonRecord.DaemonRecord = {
  configFiles: ["/home/me/mcp.json"],
  strict: true,
  watchConfig: false,
  http: null,
  path: "/home/me/bin:/usr/bin"
}

const http: DaemonRecord.DaemonRecord["http"] = {
  address: { host: "127.0.0.1", port: 8080 },
  auth: "token",
  allowedHosts: ["host.docker.internal"],
  idle: 60_000,
  waits: false
}

describe("DaemonRecord", () => {
  it.effect("is read as it was written, by its user alone", () =>
    Effect.gen(function* () {
      const directory = yield* TestPool.temporaryDirectory
      yield* DaemonRecord.write(directory, { ...record, strict: false })
      fs.chmodSync(DaemonRecord.file(directory), 0o644)
      yield* DaemonRecord.write(directory, record)
      assert.deepStrictEqual(yield* DaemonRecord.read(directory), Option.some(record))
      assert.deepStrictEqual(fs.readdirSync(directory), ["daemon.json"])
      assert.strictEqual(fs.statSync(DaemonRecord.file(directory)).mode & 0o777, 0o600)
    })
  )

  it.effect("is none where there is none, silently, and where it is another thing, with a word", () =>
    Effect.gen(function* () {
      const directory = yield* TestPool.temporaryDirectory
      const logged: Array<unknown> = []
      const read = DaemonRecord.read(directory).pipe(
        Effect.provide(Logger.layer([Logger.make(({ message }) => logged.push(message))]))
      )
      assert.deepStrictEqual(yield* read, Option.none())
      assert.strictEqual(logged.length, 0)
      for (const text of ["", "{", "[]", "{}", JSON.stringify({ ...record, configFiles: ["mcp.json"] })]) {
        fs.writeFileSync(DaemonRecord.file(directory), text)
        assert.deepStrictEqual(yield* read, Option.none())
      }
      assert.strictEqual(logged.length, 5)
    })
  )

  it.effect("keeps where HTTP was served, and knows a record of before, which says nothing of it", () =>
    Effect.gen(function* () {
      const directory = yield* TestPool.temporaryDirectory
      yield* DaemonRecord.write(directory, { ...record, http })
      assert.deepStrictEqual(yield* DaemonRecord.read(directory), Option.some({ ...record, http }))
      const { http: _, ...before } = record
      fs.writeFileSync(DaemonRecord.file(directory), JSON.stringify(before))
      assert.deepStrictEqual(yield* DaemonRecord.read(directory), Option.some(record))
      for (const wrong of [
        { ...http, address: { host: "", port: 1 } },
        { ...http, auth: "all" },
        { ...http, idle: 0 }
      ]) {
        fs.writeFileSync(DaemonRecord.file(directory), JSON.stringify({ ...record, http: wrong }))
        assert.deepStrictEqual(yield* DaemonRecord.read(directory), Option.none())
      }
    }).pipe(Effect.provide(Logger.layer([])))
  )

  it.effect("stays out where it cannot be written, and the daemon goes on", () =>
    Effect.gen(function* () {
      const directory = yield* TestPool.temporaryDirectory
      fs.mkdirSync(DaemonRecord.file(directory))
      const logged: Array<unknown> = []
      yield* DaemonRecord.write(directory, record).pipe(
        Effect.provide(Logger.layer([Logger.make(({ message }) => logged.push(message))]))
      )
      assert.match(String(logged), /daemon\.json cannot be written/)
    })
  )

  for (const [own, recorded, richer] of [
    ["/usr/bin:/bin", "/usr/bin:/bin", "/usr/bin:/bin"],
    // A host's.
    ["/usr/bin:/bin", "/home/me/bin:/usr/bin", "/home/me/bin:/usr/bin:/bin"],
    // A shell's, which has more than before.
    ["/new:/usr/bin:/home/me/bin", "/home/me/bin:/usr/bin", "/new:/usr/bin:/home/me/bin"],
    ["/new:/usr/bin", "/home/me/bin:/usr/bin", "/home/me/bin:/usr/bin:/new"],
    ["", "/home/me/bin", "/home/me/bin"],
    ["/usr/bin", "", "/usr/bin"]
  ] as const) {
    it(`gives "${own}" and a recorded "${recorded}" the PATH "${richer}"`, () => {
      assert.strictEqual(DaemonRecord.richerPath(own, recorded), richer)
    })
  }
})
