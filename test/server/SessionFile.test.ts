import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Logger, Stream } from "effect"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import type { PoolOptions } from "../../src/config/PoolOptions.ts"
import * as McpPool from "../../src/McpPool.ts"
import * as SessionFile from "../../src/server/SessionFile.ts"
import type { Found } from "../fixtures/environment.ts"
import * as DaemonProcess from "../support/DaemonProcess.ts"
import * as Processes from "../support/Processes.ts"
import * as States from "../support/States.ts"
import * as TestPool from "../support/TestPool.ts"

const modeOf = (file: string) => (fs.statSync(file).mode & 0o777).toString(8)
const filesIn = (directory: string) => fs.readdirSync(path.join(directory, "session-files"))

const content = { token: "t0k3n", list: [1, "two", null] }

/** The variables that `environment.ts` tells of; the last one holds a path. */
const names = ["DECLARED", "EXTRA", "BOTH", "SESSION_PATH"]

const pool: PoolOptions = {
  extraEnv: { EXTRA: "extra", BOTH: "from extraEnv" },
  sessionFile: { variable: "SESSION_PATH", content }
}

const entry = (marker: string, options: PoolOptions = pool) => ({
  command: process.execPath,
  args: [TestPool.fixture("environment.ts"), marker, ...names],
  env: { DECLARED: "declared", BOTH: "from env" },
  pool: options
})

/** The server `one` in a pool with a directory. */
const setUp = Effect.fnUntraced(function* (server: (marker: string) => ReturnType<typeof entry> = entry) {
  const directory = yield* TestPool.temporaryDirectory
  const marker = `fixture-${randomUUID()}`
  yield* Effect.addFinalizer(() =>
    Effect.map(Processes.killAll(marker), (pids) => assert.deepStrictEqual(pids, [], "processes are left running"))
  )
  const layer = McpPool.layer({ servers: { one: server(marker) }, directory, autoStart: false }).pipe(
    Layer.provide(Logger.layer([]))
  )
  const pool = Context.get(yield* Layer.build(layer), McpPool.McpPool)
  return { directory, pool, states: yield* States.watch(pool) }
})

/** What the so manieth process found when it began. */
const found = (pool: McpPool.McpPool["Service"], times = 1) =>
  pool.logs("one", { follow: true }).pipe(
    Stream.filter(({ source }) => source === "stderr"),
    Stream.take(times),
    Stream.runLast,
    Effect.flatMap((entry) => Effect.fromOption(entry)),
    Effect.map(({ text }) => JSON.parse(text) as Found),
    Effect.orDie
  )

describe("SessionFile", () => {
  it.effect("is its owner's alone, in a directory of its own or in the pool's", () =>
    Effect.gen(function* () {
      const directory = yield* TestPool.temporaryDirectory
      const unique = randomUUID()
      const file = yield* SessionFile.write(directory, unique, "{}")
      assert.strictEqual(path.dirname(file), path.join(directory, "session-files"))
      const other = yield* SessionFile.write(null, unique, "{}")
      for (const it of [file, other]) {
        assert.strictEqual(fs.readFileSync(it, "utf8"), "{}")
        assert.strictEqual(modeOf(it), "600")
        assert.strictEqual(modeOf(path.dirname(it)), "700")
      }
      yield* SessionFile.remove(file)
      yield* SessionFile.remove(other)
      assert.deepStrictEqual(filesIn(directory), [])
      assert.isFalse(fs.existsSync(path.dirname(other)))
      // Once more is no error.
      yield* SessionFile.remove(file)
      yield* SessionFile.remove(other)
    })
  )

  it.effect("is removed without those of others", () =>
    Effect.gen(function* () {
      const directory = yield* TestPool.temporaryDirectory
      const [file, other] = [
        yield* SessionFile.write(directory, "a-1", "1"),
        yield* SessionFile.write(directory, "a-2", "2")
      ]
      yield* SessionFile.remove(file)
      assert.deepStrictEqual(filesIn(directory), [path.basename(other)])
    })
  )

  it.effect("is not written where something is there already, or nothing can be", () =>
    Effect.gen(function* () {
      const directory = yield* TestPool.temporaryDirectory
      const precious = path.join(directory, "precious")
      fs.writeFileSync(precious, "precious")
      const file = yield* SessionFile.write(directory, "a-1", "1")
      fs.rmSync(file)
      fs.symlinkSync(precious, file)
      assert.strictEqual((yield* Effect.flip(SessionFile.write(directory, "a-1", "1"))).code, "EEXIST")
      assert.strictEqual(fs.readFileSync(precious, "utf8"), "precious")
      assert.strictEqual((yield* Effect.flip(SessionFile.write(precious, "a-1", "1"))).code, "ENOTDIR")
    })
  )
})

describe("a server with a session file", () => {
  it.live("finds it, and its variables, when its process begins; it is gone when that has stopped", () =>
    Effect.gen(function* () {
      const it = yield* setUp()
      yield* it.pool.start("one")
      const { content: text, file, modes, variables } = yield* found(it.pool)
      assert.deepStrictEqual(variables, {
        DECLARED: "declared",
        EXTRA: "extra",
        BOTH: "from extraEnv",
        SESSION_PATH: file
      })
      assert.deepStrictEqual(JSON.parse(text), content)
      assert.deepStrictEqual(modes, [0o600, 0o700])
      assert.strictEqual(path.dirname(file), path.join(it.directory, "session-files"))
      assert.isTrue(fs.existsSync(file))
      yield* it.pool.stop("one")
      assert.deepStrictEqual(filesIn(it.directory), [])
    })
  )

  it.live("gets a new one with each process, and the one before is gone by then", () =>
    Effect.gen(function* () {
      const it = yield* setUp()
      yield* it.pool.start("one")
      const first = yield* found(it.pool)
      const { pid } = yield* it.states.reached("one", "running")
      process.kill(pid ?? 0, "SIGKILL")
      yield* it.states.reached("one", "running", 2)
      const second = yield* found(it.pool, 2)
      assert.notStrictEqual(second.file, first.file)
      assert.deepStrictEqual(second.content, first.content)
      assert.deepStrictEqual(filesIn(it.directory), [path.basename(second.file)])
      yield* it.pool.restart("one", { now: true })
      const third = yield* found(it.pool, 3)
      assert.notStrictEqual(third.file, second.file)
      assert.deepStrictEqual(filesIn(it.directory), [path.basename(third.file)])
    })
  )

  it.live("leaves none behind where its command cannot be run", () =>
    Effect.gen(function* () {
      const it = yield* setUp((marker) => ({ ...entry(marker), command: "/no/such/command" }))
      yield* it.pool.start("one")
      assert.strictEqual((yield* it.states.reached("one", "failed")).failure?.kind, "SpawnFailed")
      assert.deepStrictEqual(filesIn(it.directory), [])
    })
  )

  it.live("does not start where it cannot be written", () =>
    Effect.gen(function* () {
      const it = yield* setUp()
      fs.writeFileSync(path.join(it.directory, "session-files"), "in the way")
      yield* it.pool.start("one")
      const { failure } = yield* it.states.reached("one", "failed")
      assert.strictEqual(failure?.kind, "SpawnFailed")
      assert.isNull(failure?.pid)
      assert.notInclude(JSON.stringify(failure), "t0k3n")
    })
  )

  it.live("finds it at the usual variable where none is named", () =>
    Effect.gen(function* () {
      const it = yield* setUp((marker) => {
        const { args, ...rest } = entry(marker, { sessionFile: { content: "only text" } })
        return { ...rest, args: [...args, "MCP_POOL_SESSION_FILE"] }
      })
      yield* it.pool.start("one")
      const { content, variables } = yield* found(it.pool)
      assert.strictEqual(content, '"only text"')
      assert.deepInclude(variables, { BOTH: "from env", EXTRA: null })
    })
  )

  it.live("has it removed by the next daemon where one was killed", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const first = yield* DaemonProcess.start(runtimeDir, ({ marker }) => entry(`${marker}-one`))
      const [before] = filesIn(runtimeDir)
      assert.isDefined(before)
      yield* first.signal("SIGKILL")
      yield* first.exited
      assert.deepStrictEqual(filesIn(runtimeDir), [before])
      yield* DaemonProcess.start(runtimeDir, ({ marker }) => entry(`${marker}-one`))
      const after = filesIn(runtimeDir)
      assert.lengthOf(after, 1)
      assert.notInclude(after, before)
    })
  )
})
