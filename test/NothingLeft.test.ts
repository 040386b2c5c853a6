/** However a daemon ends, and whatever it is about to do, nothing that it started outlives it for long. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Random } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import type { PoolOptions } from "../src/config/PoolOptions.ts"
import type { ServerOptions } from "../src/config/ServerSpec.ts"
import * as RuntimeDir from "../src/RuntimeDir.ts"
import * as DaemonProcess from "./support/DaemonProcess.ts"
import * as LineClient from "./support/LineClient.ts"
import * as Processes from "./support/Processes.ts"
import * as TestPool from "./support/TestPool.ts"
import * as Tools from "./support/Tools.ts"

/** The server of `family.ts`: it, three grandchildren, and the shell of one of them. */
const family = (marker: string, pool: PoolOptions = {}, ...manner: ReadonlyArray<string>): ServerOptions => ({
  command: process.execPath,
  args: [TestPool.fixture("family.ts"), marker, ...manner],
  pool
})

/** The same below one more shell. */
const shelled = (marker: string, pool: PoolOptions = {}, ...manner: ReadonlyArray<string>): ServerOptions => {
  const { args = [], command = "" } = family(marker, {}, ...manner)
  return { command: "/bin/sh", args: ["-c", '"$@"; :', "sh", command, ...args], pool }
}

/** Two servers that are hard to end, eleven processes in all. */
const families =
  (pool: PoolOptions = {}, ...manner: ReadonlyArray<string>) =>
  ({ marker }: TestPool.Fixtures) => ({
    plain: family(`${marker}-plain`, pool, ...manner),
    shelled: shelled(`${marker}-shelled`, pool, ...manner)
  })
const total = 11

const serving = Effect.fnUntraced(function* (pool: PoolOptions = {}, nodeOptions: ReadonlyArray<string> = []) {
  const runtimeDir = yield* TestPool.temporaryDirectory
  const daemon = yield* DaemonProcess.launch(runtimeDir, families(pool), { nodeOptions })
  yield* daemon.ready
  assert.lengthOf(yield* Processes.withMarker(`${daemon.marker}-`), total)
  return { daemon, runtimeDir, helper: yield* daemon.helper }
})

/** The daemon has ended, and two seconds later nothing that it started is alive; its helper ends with its work. */
const nothingLeft = Effect.fnUntraced(function* (daemon: DaemonProcess.DaemonProcess, helper?: number) {
  const endedAt = yield* daemon.endedAt
  yield* Processes.gone(daemon.marker)
  assert.isBelow(performance.now() - endedAt, 2000)
  if (helper !== undefined) yield* Processes.gone(helper)
})

describe("a daemon that serves stubborn servers leaves nothing behind", () => {
  for (const signal of ["SIGKILL", "SIGABRT", "SIGUSR2"] as const) {
    it.live(`when it is ended by ${signal}`, () =>
      Effect.gen(function* () {
        const { daemon, helper } = yield* serving()
        yield* daemon.signal(signal)
        assert.strictEqual(yield* daemon.exited, signal === "SIGUSR2" ? 7 : signal)
        yield* nothingLeft(daemon, helper)
      })
    )
  }

  it.live("when it throws what nobody catches", () =>
    Effect.gen(function* () {
      const { daemon, helper } = yield* serving()
      yield* daemon.tell("throw")
      assert.strictEqual(yield* daemon.exited, 1)
      assert.include(daemon.log(), "a bug")
      yield* nothingLeft(daemon, helper)
    })
  )

  it.live("when it is out of memory", () =>
    Effect.gen(function* () {
      const { daemon, helper } = yield* serving({}, ["--max-old-space-size=40"])
      yield* daemon.tell("allocate")
      assert.strictEqual(yield* daemon.exited, "SIGABRT")
      assert.include(daemon.log(), "heap out of memory")
      yield* nothingLeft(daemon, helper)
    })
  )

  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    it.live(`at all once it has stopped on ${signal}`, () =>
      Effect.gen(function* () {
        const { daemon, helper, runtimeDir } = yield* serving({ stop: { stdin: "100 millis", term: "100 millis" } })
        yield* daemon.signal(signal)
        assert.strictEqual(yield* daemon.exited, 0)
        assert.deepStrictEqual(yield* Processes.withMarker(daemon.marker), [])
        assert.isFalse(yield* Processes.isAlive(helper))
        const files = fs.readdirSync(runtimeDir, { recursive: true }).map(String)
        // What it knows of its servers stays.
        const [known, left] = [
          files.filter((file) => file.startsWith("handshakes/")),
          files.filter((file) => !file.startsWith("handshakes/"))
        ]
        assert.lengthOf(known, 2)
        assert.sameMembers(left, ["daemon.json", "handshakes", "servers", "servers/plain", "servers/shelled"])
      })
    )
  }
})

describe("a daemon that is told to stop leaves nothing behind", () => {
  it.live("at all while it still starts its servers", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const daemon = yield* DaemonProcess.launch(runtimeDir, families({ stop: { stdin: 0, term: 0 } }))
      yield* daemon.spawned(1)
      yield* daemon.signal("SIGTERM")
      assert.strictEqual(yield* daemon.exited, 0)
      assert.deepStrictEqual(yield* Processes.withMarker(daemon.marker), [])
      assert.isFalse(yield* Processes.isAlive(yield* daemon.helper))
    })
  )

  it.live("when it is told twice", () =>
    Effect.gen(function* () {
      const { daemon, helper } = yield* serving({ stop: { stdin: "1 minute" } })
      yield* daemon.signal("SIGTERM")
      yield* daemon.said("stdin ended", 2)
      yield* daemon.signal("SIGTERM")
      assert.strictEqual(yield* daemon.exited, 143)
      yield* nothingLeft(daemon, helper)
    })
  )
})

describe("a daemon that is killed leaves nothing behind", () => {
  it.live("while it starts its servers", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const daemon = yield* DaemonProcess.launch(runtimeDir, families())
      yield* daemon.spawned(1)
      yield* daemon.signal("SIGKILL")
      yield* nothingLeft(daemon, yield* daemon.helper)
    })
  )

  it.live("while its servers do not answer yet", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const daemon = yield* DaemonProcess.launch(runtimeDir, families({}, "never"))
      yield* daemon.said("family", 2)
      assert.lengthOf(yield* Processes.withMarker(`${daemon.marker}-`), total)
      yield* daemon.signal("SIGKILL")
      yield* nothingLeft(daemon, yield* daemon.helper)
    })
  )

  it.live("while it stops its servers", () =>
    Effect.gen(function* () {
      const { daemon, helper } = yield* serving({ stop: { stdin: "1 minute" } })
      yield* daemon.signal("SIGTERM")
      yield* daemon.said("stdin ended", 2)
      yield* daemon.signal("SIGKILL")
      yield* nothingLeft(daemon, helper)
    })
  )

  it.live("while it waits for what SIGTERM does not end", () =>
    Effect.gen(function* () {
      const { daemon, helper } = yield* serving({ stop: { stdin: 0, term: "1 minute" } })
      yield* daemon.signal("SIGTERM")
      yield* daemon.said("SIGTERM came", 2)
      yield* daemon.signal("SIGKILL")
      yield* nothingLeft(daemon, helper)
    })
  )

  it.live("while it starts a server again", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const daemon = yield* DaemonProcess.launch(runtimeDir, families({ stop: { stdin: 0, term: 0 } }))
      yield* daemon.ready
      const client = yield* LineClient.connect(RuntimeDir.serverSocket(runtimeDir, "plain"))
      yield* client.initialize
      yield* client.send({ id: 100, method: "tools/call", params: { name: "exit", arguments: { code: 1 } } })
      yield* daemon.spawned(3)
      yield* daemon.signal("SIGKILL")
      yield* nothingLeft(daemon, yield* daemon.helper)
    })
  )

  for (const how of ["from outside", "in the very turn"] as const) {
    it.live(
      `as it spawns one of ten servers, ${how}`,
      () =>
        Effect.gen(function* () {
          for (let round = 0; round < 5; round++) {
            const at = yield* Random.nextIntBetween(1, 11)
            const runtimeDir = yield* TestPool.temporaryDirectory
            const daemon = yield* DaemonProcess.launch(
              runtimeDir,
              ({ marker, server }) =>
                Object.fromEntries(
                  Array.from({ length: 10 }, (_, i) => [
                    `s${i}`,
                    i % 3 === 0 ? family(`${marker}-${i}`) : server(`${i}`)
                  ])
                ),
              how === "from outside" ? {} : { diesAt: at }
            )
            if (how === "from outside") {
              yield* daemon.spawned(at)
              yield* daemon.signal("SIGKILL")
            }
            assert.strictEqual(yield* daemon.exited, "SIGKILL")
            yield* nothingLeft(daemon)
          }
        }).pipe(Random.withSeed(how), Effect.scoped),
      60_000
    )
  }
})

describe("a daemon that follows a killed one", () => {
  it.live("serves again at once", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const first = yield* DaemonProcess.start(runtimeDir)
      yield* first.signal("SIGKILL")
      yield* first.exited
      const second = yield* DaemonProcess.start(runtimeDir)
      const client = yield* LineClient.connect(RuntimeDir.serverSocket(runtimeDir, "shared"))
      yield* client.initialize
      yield* Tools.serves(client)
      assert.deepStrictEqual(yield* Processes.withMarker(first.marker), [])
      assert.lengthOf(yield* Processes.withMarker(`${second.marker}-`), 1)
    })
  )

  it.live("serves again where that one's servers are stubborn, and nothing of them is left then", () =>
    Effect.gen(function* () {
      const { daemon, runtimeDir } = yield* serving()
      yield* daemon.signal("SIGKILL")
      yield* daemon.exited
      const second = yield* DaemonProcess.start(runtimeDir)
      assert.deepStrictEqual(yield* Processes.withMarker(daemon.marker), [])
      const client = yield* LineClient.connect(RuntimeDir.serverSocket(runtimeDir, "shared"))
      yield* client.initialize
      yield* Tools.serves(client)
      yield* second.signal("SIGTERM")
      assert.strictEqual(yield* second.exited, 0)
    })
  )

  it.live("ends what is left where its helper was killed too, and says so", () =>
    Effect.gen(function* () {
      const { daemon, helper, runtimeDir } = yield* serving()
      // It must not replace its helper.
      yield* daemon.signal("SIGSTOP")
      process.kill(helper, "SIGKILL")
      yield* daemon.signal("SIGKILL")
      yield* daemon.exited
      assert.lengthOf(yield* Processes.withMarker(daemon.marker), total)
      const second = yield* DaemonProcess.start(runtimeDir)
      assert.deepStrictEqual(yield* Processes.withMarker(daemon.marker), [])
      yield* second.signal("SIGTERM")
      yield* second.exited
      // Those that mind the end of their stdin may have gone by themselves.
      const swept = /swept (\d+) processes that an earlier daemon left behind/.exec(second.log())
      assert.isTrue(swept !== null && Number(swept[1]) <= total, second.log())
      assert.isFalse(fs.existsSync(path.join(runtimeDir, "processes.json")))
    })
  )

  it.live("says nothing of that where nothing was left", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const first = yield* DaemonProcess.start(runtimeDir)
      yield* first.signal("SIGTERM")
      yield* first.exited
      const second = yield* DaemonProcess.start(runtimeDir)
      yield* second.signal("SIGTERM")
      yield* second.exited
      assert.notInclude(second.log(), "swept")
    })
  )
})
