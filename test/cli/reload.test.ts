/** `mcp-pool reload` and `serve --watch-config`: files that change under a daemon with real processes. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import type { ServerOptions } from "../../src/config/ServerSpec.ts"
import * as ControlClient from "../../src/control/ControlClient.ts"
import * as Daemon from "../../src/Daemon.ts"
import { ConfigFileError } from "../../src/PoolError.ts"
import * as RuntimeDir from "../../src/RuntimeDir.ts"
import * as Harness from "../control/ControlHarness.ts"
import * as LineClient from "../support/LineClient.ts"
import * as Processes from "../support/Processes.ts"
import * as TestPool from "../support/TestPool.ts"
import * as Tools from "../support/Tools.ts"
import { command } from "./CommandLine.ts"

/** A daemon in this process, whose file can be written anew. */
const start = Effect.fnUntraced(function* (
  servers: (fixtures: TestPool.Fixtures) => Readonly<Record<string, ServerOptions>>,
  options: { readonly watchConfig?: boolean; readonly strict?: boolean } = {}
) {
  const runtimeDir = yield* TestPool.temporaryDirectory
  const file = path.join(yield* TestPool.temporaryDirectory, "mcp.json")
  const fixtures = TestPool.fixtures(`fixture-${path.basename(runtimeDir)}-${process.pid}`)
  /** As editors do it: another file in the place of the one before. */
  const writeText = (text: string) =>
    Effect.sync(() => {
      fs.writeFileSync(`${file}~`, text)
      fs.renameSync(`${file}~`, file)
    })
  const write = (mcpServers: typeof servers) => writeText(JSON.stringify({ mcpServers: mcpServers(fixtures) }))
  yield* write(servers)
  const running = yield* Effect.forkScoped(
    Daemon.run({
      configFiles: [file],
      runtimeDir,
      strict: options.strict === true,
      watchConfig: options.watchConfig === true,
      logFormat: "json",
      logLevel: "None"
    })
  )
  yield* Effect.addFinalizer(() =>
    Effect.andThen(
      Fiber.interrupt(running),
      Effect.map(Processes.killAll(fixtures.marker), (pids) => assert.deepStrictEqual(pids, []))
    )
  )
  const settled = yield* command(runtimeDir, "status", "--wait", "20s")
  assert.strictEqual(settled.code, 0, settled.err)
  const connect = Effect.fnUntraced(function* (server: string) {
    const client = yield* LineClient.connect(RuntimeDir.serverSocket(runtimeDir, server))
    yield* client.initialize
    return client
  })
  return { connect, file, fixtures, runtimeDir, write, writeText, reload: command(runtimeDir, "reload") }
})

describe("reload", () => {
  it.live("makes the daemon what its file says, and prints a line for each server", () =>
    Effect.gen(function* () {
      const { connect, reload, write } = yield* start(({ server }) => ({
        one: server("one"),
        two: server("two"),
        last: server("last")
      }))
      const client = yield* connect("two")
      const before = yield* Tools.stats(client)
      yield* write(({ server }) => ({ three: server("three"), one: server("one"), two: server("other") }))
      assert.deepStrictEqual(yield* reload, {
        code: 0,
        out: "three  added\none    unchanged\ntwo    changed\nlast   removed",
        err: ""
      })
      assert.notStrictEqual((yield* Tools.stats(client)).pid, before.pid)
      yield* Tools.serves(yield* connect("three"))
      assert.match((yield* Effect.flip(connect("last"))).message, /ENOENT/)
    })
  )

  it.live("exits with 1 where a server goes on as before", () =>
    Effect.gen(function* () {
      const { connect, reload, write } = yield* start(({ server }) => ({ one: server("one") }))
      const client = yield* connect("one")
      yield* write(({ bad }) => ({ one: bad("exits", { restart: "never" }) }))
      const { code, err, out } = yield* reload
      assert.strictEqual(code, 1)
      assert.match(out, /^one {2}goes on as before: server "one" exited with code 3/)
      assert.strictEqual(err, "mcp-pool: not all of the configuration has taken effect: one")
      yield* Tools.serves(client)
    })
  )

  it.live("changes nothing where a file does not decode, says where, and exits with 2", () =>
    Effect.gen(function* () {
      const { connect, file, reload, write, writeText } = yield* start(({ server }) => ({ one: server("one") }))
      const client = yield* connect("one")
      const { pid } = yield* Tools.stats(client)
      yield* writeText('{ "mcpServers": {\n  "one": }\n}')
      const { code, err, out } = yield* reload
      assert.deepStrictEqual({ code, out }, { code: 2, out: "" })
      assert.match(err, new RegExp(`^mcp-pool: ${file}:2:10: `))
      assert.strictEqual((yield* Tools.stats(client)).pid, pid)
      yield* write(({ server }) => ({ one: server("one") }))
      assert.strictEqual((yield* reload).out, "one  unchanged")
      assert.strictEqual((yield* Tools.stats(client)).pid, pid)
    })
  )

  it.live("takes a mistake in one server for one in all, where the daemon is strict", () =>
    Effect.gen(function* () {
      const { connect, reload, write } = yield* start(({ server }) => ({ one: server("one") }), { strict: true })
      const client = yield* connect("one")
      const { pid } = yield* Tools.stats(client)
      yield* write(({ server }) => ({ one: server("other"), wrong: { command: "" } }))
      const { code, err } = yield* reload
      assert.strictEqual(code, 2)
      assert.match(err, /server "wrong" field "command": is empty/)
      assert.strictEqual((yield* Tools.stats(client)).pid, pid)
    })
  )

  it.live("is what a changed file does by itself with --watch-config", () =>
    Effect.gen(function* () {
      const { connect, runtimeDir, write, writeText } = yield* start(({ server }) => ({ one: server("one") }), {
        watchConfig: true
      })
      const client = yield* connect("one")
      const before = yield* Tools.stats(client)
      const control = yield* ControlClient.make({ runtimeDir })
      /** Returns when a server has come to a state with a watched change. */
      const watch = (server: string) =>
        control.watch.pipe(
          Stream.filter((event) => event._tag === "Change" && event.change.server === server),
          Stream.filter((event) => event._tag === "Change" && event.change.to === "running"),
          Stream.runHead,
          Effect.forkScoped({ startImmediately: true })
        )
      const watching = yield* watch("two")
      yield* control.status
      // A file that does not decode changes nothing, and the next one counts.
      yield* writeText("{")
      yield* write(({ server }) => ({ one: server("one"), two: server("two") }))
      yield* Fiber.join(watching)
      yield* Tools.serves(yield* connect("two"))
      assert.strictEqual((yield* Tools.stats(client)).pid, before.pid)
      const again = yield* watch("one")
      yield* control.status
      yield* write(({ server }) => ({ one: server("changed"), two: server("two") }))
      yield* Fiber.join(again)
      assert.notStrictEqual((yield* Tools.stats(client)).pid, before.pid)
    })
  )

  it.live("tells of warnings and of what else could not be done", () =>
    Effect.gen(function* () {
      const { runtimeDir } = yield* Harness.serve({
        servers: [],
        reload: Effect.succeed({
          servers: [{ server: "git", outcome: "added", reason: null }],
          warnings: ["a key is unknown"],
          problems: ["cannot listen at /x: it is taken"]
        })
      })
      assert.deepStrictEqual(yield* command(runtimeDir, "reload"), {
        code: 1,
        out: "git  added",
        err: [
          "mcp-pool: a key is unknown",
          "mcp-pool: cannot listen at /x: it is taken",
          "mcp-pool: not all of the configuration has taken effect"
        ].join("\n")
      })
      const other = yield* Harness.serve({
        servers: [],
        reload: Effect.fail(new ConfigFileError({ file: "/a.json", line: 1, column: 2, reason: "no" }))
      })
      assert.deepStrictEqual(yield* command(other.runtimeDir, "reload"), {
        code: 2,
        out: "",
        err: "mcp-pool: /a.json:1:2: no"
      })
    })
  )
})
