import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, type Scope } from "effect"
import { spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import { once } from "node:events"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Reaper from "../../src/server/Reaper.ts"
import * as DaemonProcess from "../support/DaemonProcess.ts"
import * as Processes from "../support/Processes.ts"
import * as TestPool from "../support/TestPool.ts"

/** `reaper.ts` in a process of its own that guards one server, which started another process in its own session. */
const pool = Effect.fnUntraced(function* (): Effect.fn.Return<
  {
    readonly directory: string
    readonly marker: string
    readonly pid: number
    readonly tell: (order: string) => Effect.Effect<void>
    readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void>
    /** When it was seen to have ended, in milliseconds of this process. */
    readonly ended: Effect.Effect<number>
    readonly firstHelper: number
    readonly nextHelper: Effect.Effect<number>
  },
  never,
  Scope.Scope
> {
  const directory = yield* TestPool.temporaryDirectory
  const marker = `fixture-${randomUUID()}`
  yield* Effect.addFinalizer(() => Effect.andThen(Processes.killAll(marker), Effect.orDie(Processes.gone(marker))))
  const child = spawn(process.execPath, [TestPool.fixture("reaper.ts"), marker, directory], {
    stdio: ["ignore", "ignore", "ignore", "ipc"]
  })
  const exited = once(child, "exit").then(() => performance.now())
  const helpers: Array<number> = []
  const waiting: Array<(pid: number) => void> = []
  child.on("message", (message: { readonly helper?: number }) => {
    if (message.helper === undefined) return
    const next = waiting.shift()
    if (next === undefined) helpers.push(message.helper)
    else next(message.helper)
  })
  const nextHelper = Effect.callback<number>((resume) => {
    const known = helpers.shift()
    if (known === undefined) waiting.push((pid) => resume(Effect.succeed(pid)))
    else resume(Effect.succeed(known))
  })
  yield* Effect.callback<void>((resume) => {
    child.on("message", (message) => {
      if (message === "ready") resume(Effect.void)
    })
    child.once("exit", (code) => resume(Effect.die(new Error(`it exited with ${code} before it was ready`))))
  })
  assert.lengthOf(yield* Processes.withMarker(marker), 3)
  return {
    directory,
    marker,
    pid: child.pid ?? 0,
    tell: (order) => Effect.sync(() => void child.send(order)),
    signal: (signal) => Effect.sync(() => void child.kill(signal)),
    ended: Effect.promise(() => exited),
    firstHelper: yield* nextHelper,
    nextHelper
  }
})

const recordOf = (directory: string) => path.join(directory, "processes.json")

/** Nothing with the marker is alive two seconds after the pool's end, nor is the helper for long. */
const nothingLeft = Effect.fnUntraced(function* (endedAt: number, marker: string, helper: number) {
  yield* Processes.gone(marker)
  assert.isBelow(performance.now() - endedAt, 2000)
  yield* Processes.gone(helper)
})

/** Builds the layer as the next pool would, and says what it logged. */
const successor = Effect.fnUntraced(function* (directory: string) {
  const lines: Array<string> = []
  const keep = Logger.layer([Logger.make(({ message }) => void lines.push(String(message)))])
  const taken = yield* Reaper.Reaper.pipe(
    Effect.map((reaper) => reaper.directory),
    Effect.provide(Reaper.layer({ directory }).pipe(Layer.provide(keep)))
  )
  return { lines, directory: taken }
})

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

  for (const signal of ["SIGKILL", "SIGABRT", "SIGTERM"] as const) {
    it.live(`leaves nothing behind when ${signal} ends its process`, () =>
      Effect.gen(function* () {
        const it = yield* pool()
        yield* it.signal(signal)
        yield* nothingLeft(yield* it.ended, it.marker, it.firstHelper)
        assert.isTrue(fs.existsSync(recordOf(it.directory)))
      })
    )
  }

  for (const order of ["exit", "throw", "start and die"]) {
    it.live(`leaves nothing behind when its process is told to ${order}`, () =>
      Effect.gen(function* () {
        const it = yield* pool()
        yield* it.tell(order)
        yield* nothingLeft(yield* it.ended, it.marker, it.firstHelper)
      })
    )
  }

  it.live("leaves neither a process nor a file behind when its scope closes", () =>
    Effect.gen(function* () {
      const it = yield* pool()
      yield* it.tell("end its server")
      yield* it.ended
      assert.deepStrictEqual(yield* Processes.withMarker(it.marker), [])
      assert.isFalse(yield* Processes.isAlive(it.firstHelper))
      assert.deepStrictEqual(fs.readdirSync(it.directory), [])
    })
  )

  it.live("ends what is still guarded when its scope closes, and keeps the record", () =>
    Effect.gen(function* () {
      const it = yield* pool()
      yield* it.tell("close its scope")
      yield* it.ended
      assert.deepStrictEqual(yield* Processes.withMarker(it.marker), [])
      assert.isFalse(yield* Processes.isAlive(it.firstHelper))
      assert.isTrue(fs.existsSync(recordOf(it.directory)))
    })
  )

  it.live("replaces a helper that is gone, and tells it everything", () =>
    Effect.gen(function* () {
      const it = yield* pool()
      process.kill(it.firstHelper, "SIGKILL")
      const helper = yield* it.nextHelper
      assert.notStrictEqual(helper, it.firstHelper)
      yield* it.signal("SIGKILL")
      yield* nothingLeft(yield* it.ended, it.marker, helper)
    })
  )

  it.live("ends what an earlier pool left behind whose helper was killed too", () =>
    Effect.gen(function* () {
      const it = yield* pool()
      const file = path.join(it.directory, "session-files", "some")
      fs.mkdirSync(path.dirname(file))
      fs.writeFileSync(file, "some")
      // It must not replace its helper.
      yield* it.signal("SIGSTOP")
      process.kill(it.firstHelper, "SIGKILL")
      yield* it.signal("SIGKILL")
      yield* it.ended
      const left = [...(yield* Processes.withMarker(it.marker))]
      assert.lengthOf(left, 2)
      const known = yield* Reaper.leftovers(it.directory)
      assert.sameMembers(
        known.map(({ pid }) => pid),
        left
      )
      const next = yield* successor(it.directory)
      assert.deepStrictEqual(next.lines, ["swept 2 processes that an earlier daemon left behind"])
      assert.strictEqual(next.directory, it.directory)
      assert.deepStrictEqual(yield* Processes.withMarker(it.marker), [])
      assert.deepStrictEqual(fs.readdirSync(it.directory), ["session-files"])
      assert.deepStrictEqual(fs.readdirSync(path.dirname(file)), [])
    })
  )

  it.live("leaves the processes and the record of a pool alone that still lives", () =>
    Effect.gen(function* () {
      const it = yield* pool()
      const record = fs.readFileSync(recordOf(it.directory), "utf8")
      const next = yield* successor(it.directory)
      assert.isNull(next.directory)
      assert.deepStrictEqual(next.lines, [
        `a pool with process ${it.pid} records its processes in ${it.directory} already`
      ])
      assert.lengthOf(yield* Processes.withMarker(it.marker), 3)
      assert.deepStrictEqual(yield* Reaper.leftovers(it.directory), [])
      assert.include(fs.readFileSync(recordOf(it.directory), "utf8"), JSON.parse(record).marker)
    })
  )
})
