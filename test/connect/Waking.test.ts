import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { Waking } from "../../src/connect/Waking.ts"
import * as TestPool from "../support/TestPool.ts"

/** Wakes a daemon that is a piece of JavaScript, and gives back why it failed; the turn is given back with the scope. */
const scene = Effect.fnUntraced(function* (script: string) {
  const runtimeDir = path.join(yield* TestPool.temporaryDirectory, "state")
  const failure = yield* Deferred.make<string>()
  const make = () =>
    new Waking({
      runtimeDir,
      command: [process.execPath, "-e", script],
      onFailure: (message) => Deferred.doneUnsafe(failure, Effect.succeed(message))
    })
  const waking = yield* Effect.acquireRelease(Effect.sync(make), (it) => Effect.sync(() => it.release()))
  const turn = path.join(runtimeDir, "waking")
  return { runtimeDir, waking, turn, failure: Deferred.await(failure) }
})

const says = (text: string) => `console.error(${JSON.stringify(text)}); process.exit(2)`

/** The pid of a process that has ended. */
const dead = (): number => spawnSync(process.execPath, ["-e", ""]).pid

/** What comes of waking a daemon with this command. */
const failed = (runtimeDir: string, command: ReadonlyArray<string>) =>
  Effect.callback<string>((resume) => {
    new Waking({ runtimeDir, command, onFailure: (message) => resume(Effect.succeed(message)) }).wake()
  })

describe("Waking", () => {
  it.live("tells what a daemon said last before it ended, in one line, and gives its turn back", () =>
    Effect.gen(function* () {
      const { failure, runtimeDir, turn, waking } = yield* scene(says("{}\nmcp-pool: it is \u001b[1mbroken\n"))
      waking.wake()
      assert.strictEqual(fs.readFileSync(turn, "utf8"), String(process.pid))
      assert.strictEqual(yield* failure, "the daemon ended at its start (code 2): it is  [1mbroken")
      assert.isFalse(fs.existsSync(turn))
      assert.strictEqual(fs.statSync(runtimeDir).mode & 0o777, 0o700)
    })
  )

  it.live("tells the message of a log's entry, and nothing of an earlier daemon's", () =>
    Effect.gen(function* () {
      const first = yield* scene(says(JSON.stringify({ level: "error", message: "no room" })))
      first.waking.wake()
      assert.strictEqual(yield* first.failure, "the daemon ended at its start (code 2): no room")
      const second = yield* scene("process.exit(1)")
      fs.mkdirSync(second.runtimeDir)
      fs.writeFileSync(path.join(second.runtimeDir, "daemon.log"), "mcp-pool: long ago\n")
      second.waking.wake()
      assert.strictEqual(yield* second.failure, "the daemon ended at its start (code 1)")
    })
  )

  it.live("is in the root directory and a session of its own, with the environment as it is", () =>
    Effect.gen(function* () {
      const { failure, waking } = yield* scene(`
        const session = process.platform === "linux" ? require("fs").readFileSync("/proc/self/stat", "utf8").split(" ")[5] : process.pid
        console.error([process.cwd(), process.env.PATH === ${JSON.stringify(process.env["PATH"])}, session == process.pid].join())
        process.exit(1)`)
      waking.wake()
      assert.include(yield* failure, ": /,true,true")
    })
  )

  it.live("leaves the turn to one that lives and has had it for less than ten seconds", () =>
    Effect.gen(function* () {
      const { failure, runtimeDir, turn, waking } = yield* scene(says("started"))
      fs.mkdirSync(runtimeDir)
      // Its maker is about to write its pid.
      fs.writeFileSync(turn, "")
      waking.wake()
      fs.writeFileSync(turn, String(process.ppid))
      waking.wake()
      assert.isFalse(fs.existsSync(path.join(runtimeDir, "daemon.log")))
      const longAgo = new Date(Date.now() - 11_000)
      fs.utimesSync(turn, longAgo, longAgo)
      waking.wake()
      assert.include(yield* failure, "started")
    })
  )

  it.live("takes the turn of one that is dead", () =>
    Effect.gen(function* () {
      const { failure, runtimeDir, turn, waking } = yield* scene(says("started"))
      fs.mkdirSync(runtimeDir)
      fs.writeFileSync(turn, String(dead()))
      waking.wake()
      assert.include(yield* failure, "started")
    })
  )

  it.live("starts one itself where the service's command fails", () =>
    Effect.gen(function* () {
      const { failure, runtimeDir, waking } = yield* scene(says("started"))
      fs.mkdirSync(runtimeDir)
      const start = [process.execPath, "-e", "process.exit(1)"]
      fs.writeFileSync(path.join(runtimeDir, "service.json"), JSON.stringify({ start }))
      waking.wake()
      assert.include(yield* failure, "started")
    })
  )

  it.live("fails where the command is not there", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const failure = yield* Deferred.make<string>()
      const waking = new Waking({
        runtimeDir,
        command: ["/nonexistent/node"],
        onFailure: (message) => Deferred.doneUnsafe(failure, Effect.succeed(message))
      })
      waking.wake()
      assert.match(yield* Deferred.await(failure), /^the daemon could not be started: .*ENOENT/)
    })
  )

  it.live("starts nothing, and writes nothing, in a directory that others may write to", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const mark = path.join(runtimeDir, "mark")
      const start = ["/bin/sh", "-c", `echo > ${mark}; exit 1`]
      fs.writeFileSync(path.join(runtimeDir, "service.json"), JSON.stringify({ start }))
      fs.chmodSync(runtimeDir, 0o777)
      const waking = new Waking({ runtimeDir, command: start, onFailure: () => {} })
      assert.throws(() => waking.wake(), "others may write to the directory: chmod go-w it")
      assert.deepStrictEqual(fs.readdirSync(runtimeDir), ["service.json"])
    })
  )

  it.live("leaves the turn to others where it cannot start one", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      fs.mkdirSync(path.join(runtimeDir, "daemon.log"))
      assert.match(yield* failed(runtimeDir, ["/bin/sh", "-c", "exit 0"]), /^the daemon could not be started: EISDIR/)
      assert.isFalse(fs.existsSync(path.join(runtimeDir, "waking")))
    })
  )

  it.live("starts one itself where the service cannot, and says so where that cannot be done either", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      fs.writeFileSync(path.join(runtimeDir, "service.json"), JSON.stringify({ start: ["/bin/sh", "-c", "exit 1"] }))
      fs.mkdirSync(path.join(runtimeDir, "daemon.log"))
      const said = yield* failed(runtimeDir, ["/bin/sh", "-c", "exit 0"])
      assert.match(said, /^the daemon could not be started: EISDIR/)
      assert.isFalse(fs.existsSync(path.join(runtimeDir, "waking")))
    })
  )
})
