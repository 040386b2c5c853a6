import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Adopt from "../../src/adopt/Adopt.ts"
import * as Find from "../../src/adopt/Find.ts"
import * as Measure from "../../src/adopt/Measure.ts"
import { hosts } from "../../src/hosts/Hosts.ts"
import * as HostFile from "../../src/hosts/HostFile.ts"
import * as HostFolder from "../adopt/HostFolder.ts"
import * as Spawned from "./Spawned.ts"

/** What this prints, in a home directory of its own. */
const run = Effect.fnUntraced(function* (home: string, args: ReadonlyArray<string>, cwd = home) {
  const { child, ended } = yield* Spawned.start(args, {
    home,
    cwd,
    env: { MY_API_TOKEN: "t", MCP_POOL_INPUT_TOKEN: "i" }
  })
  child.stdin.end()
  return yield* ended
}, Effect.scoped)

/** A server that a host has started. */
const started = (...args: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const child = spawn(process.execPath, args, { stdio: ["pipe", "ignore", "pipe"] })
      await once(child.stderr, "data")
      return child
    }),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )

/** A daemon with the pool's own file, whose servers have all started. */
const daemon = Effect.fnUntraced(function* (home: string) {
  const env = { MY_API_TOKEN: "t", MCP_POOL_INPUT_TOKEN: "i" }
  const { child, ended } = yield* Spawned.start(["serve"], { home, env })
  yield* Effect.addFinalizer(() => {
    child.kill("SIGTERM")
    return ended
  })
  yield* Effect.promise(() => once(child.stderr, "data"))
  const { code, err } = yield* run(home, ["status", "--wait", "30s"])
  assert.strictEqual(code, 0, err)
})

describe("adopt", () => {
  it.live(
    "points all hosts at the pool, where each entry answers, and takes it back",
    () =>
      Effect.gen(function* () {
        const { home, where } = yield* HostFolder.make()
        const runtimeDir = path.join(home, ".local/state/mcp-pool")
        const program = { node: process.execPath, script: Spawned.bin, runtimeDir }
        const prepared = yield* Adopt.prepare({ where, program, hosts, projects: [], only: [] })
        const store = path.join(home, "memory.jsonl")
        const before = HostFolder.snapshot(home)

        const dry = yield* run(home, ["adopt", "--dry-run"])
        assert.strictEqual(dry.code, 0, dry.err)
        assert.match(
          dry.out,
          /^would point 18 entries of 8 files at the pool, 9 definitions into ~\/\.config\/mcp-pool\/config\.json$/m
        )
        assert.deepStrictEqual(HostFolder.snapshot(home), before)

        const adopted = yield* run(home, ["adopt", "--no-measure"])
        assert.strictEqual(adopted.code, 0, adopted.err)
        assert.match(adopted.out, /^18 entries of 8 files now connect to the pool, 9 definitions into /m)
        assert.notInclude(adopted.out, store, "values of variables are shown")
        const again = yield* run(home, ["adopt"])
        assert.include(again.out, "nothing to move")

        const { files } = yield* Find.find({ where, program, hosts, projects: [] })
        const entries = files.flatMap(({ entries, host }) =>
          entries
            .filter(
              ({ project, reading }) => project === null && reading._tag === "Kept" && reading.reason === Find.own
            )
            .map(({ entry }) => host.shape.run(HostFile.asEntry(entry)!))
        )
        const servers = prepared.servers.filter(({ project }) => project === null)
        assert.deepStrictEqual(
          new Set(entries.map((run) => JSON.stringify(run))),
          new Set(servers.flatMap(({ entries }) => entries.map(({ run }) => JSON.stringify(run))))
        )

        yield* daemon(home)
        const after = yield* Measure.after({
          servers: servers.map((server) => ({ server, copies: server.name === "everything" ? 10 : 0 })),
          runtimeDir,
          home,
          env: { HOME: home, PATH: "/usr/bin:/bin" }
        })
        assert.deepStrictEqual(
          after.tried.flatMap(({ moved, trouble }) => (trouble === null ? [] : [[moved.found.host.id, trouble]])),
          []
        )
        assert.lengthOf(after.tried, 17)
        assert.strictEqual(after.sessions, 19, "ten of one that ran ten times, and the nine other entries")
        assert.strictEqual(after.usage?.servers, 8)
        assert.isAtLeast(after.usage?.processes ?? 0, 19 + 8 + 1)
        assert.isAbove(after.usage?.memory ?? 0, 100_000_000)

        const undone = yield* run(home, ["adopt", "--undo"])
        assert.strictEqual(undone.code, 0, undone.err)
        const now = HostFolder.snapshot(home)
        for (const [name, state] of Object.entries(before)) assert.strictEqual(now[name], state, name)
        assert.isFalse(fs.existsSync(path.join(home, ".config/mcp-pool")))
      }),
    60_000
  )

  it.live(
    "measures what hosts run and what the same sessions take through a daemon that runs already",
    () =>
      Effect.gen(function* () {
        const marked = (home: string) => ({ command: process.execPath, args: [HostFolder.everything, "stdio", home] })
        const { home, poolFile } = yield* HostFolder.make({ ".config/mcp-pool/config.json": '{ "mcpServers": {} }\n' })
        const { args, command } = marked(home)
        const entry = `[mcp_servers.marked]\ncommand = ${JSON.stringify(command)}\nargs = ${JSON.stringify(args)}\n`
        fs.writeFileSync(path.join(home, ".codex/config.toml"), entry)
        fs.writeFileSync(path.join(home, ".cursor/mcp.json"), JSON.stringify({ mcpServers: { marked: marked(home) } }))
        yield* Effect.forEach([1, 2, 3], () => started(...args), { concurrency: "unbounded" })
        yield* daemon(home)

        const { code, err, out } = yield* run(home, ["adopt", "marked"])
        assert.strictEqual(code, 0, `${out}${err}`)
        const row = (name: string) => new RegExp(`^${name} +(\\d+) +(\\d+) MB +(.*)$`, "m").exec(out)?.slice(1) ?? [out]
        const [processes, memory, what] = row("before")
        assert.deepStrictEqual([processes, what], ["3", "3 servers that hosts run"])
        const [sharing, less, through] = row("after")
        assert.strictEqual(through, "3 sessions: a bridge each, the daemon, 1 server")
        // Three bridges, one server, the daemon, and what ends servers when the daemon cannot.
        assert.include(["5", "6"], sharing)
        assert.isAbove(Number(memory), 60)
        assert.isAbove(Number(less), 60)
        assert.include(fs.readFileSync(poolFile, "utf8"), "marked")
        const { out: sessions } = yield* run(home, ["sessions", "--json"])
        assert.deepStrictEqual(JSON.parse(sessions), [], "its sessions are closed")
      }),
    60_000
  )

  it.live("counts what hosts run now, and shows it", () =>
    Effect.gen(function* () {
      const { home } = yield* HostFolder.make()
      const marked = { command: process.execPath, args: [HostFolder.everything, "stdio", home] }
      fs.writeFileSync(path.join(home, ".cursor/mcp.json"), JSON.stringify({ mcpServers: { marked } }))
      yield* started(...marked.args)
      yield* started(...marked.args)
      const { out } = yield* run(home, ["adopt", "--dry-run", "marked"])
      const [, processes, memory] = /^marked +Cursor +1 +(\d+) +(\d+) MB +yes$/m.exec(out) ?? []
      assert.strictEqual(processes, "2", out)
      assert.isAbove(Number(memory), 20)
      assert.match(out, /^before +2 +\d+ MB +2 servers that hosts run$/m)
    })
  )

  it.live("says what is wrong with its command line", () =>
    Effect.gen(function* () {
      const { home, project } = yield* HostFolder.make()
      for (const [args, message] of [
        [["--undo"], "nothing to undo"],
        [["evrything"], 'did you mean "everything"?'],
        [["--project", "nowhere"], "nowhere is no directory"],
        [["--project", home], "is no project"]
      ] as const) {
        const { code, err } = yield* run(home, ["adopt", ...args])
        assert.include(err, message)
        assert.notStrictEqual(code, 0)
      }
      const there = yield* run(home, ["adopt", "--dry-run", "--host", "claude-code"], project)
      assert.match(there.out, /^local@~\/site +Claude Code +1 /m)
      assert.notMatch(there.out, /Cursor|Codex/)
    })
  )
})
