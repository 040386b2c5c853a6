import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Predicate } from "effect"
import { TestClock } from "effect/testing"
import * as ClaudeFile from "../../src/config/ClaudeFile.ts"
import * as PoolConfig from "../../src/config/PoolConfig.ts"
import * as Project from "../../src/config/Project.ts"
import * as Trust from "../../src/config/Trust.ts"
import { UnixListener } from "../../src/listen/UnixListener.ts"
import { type Endpoint, McpPool } from "../../src/McpPool.ts"
import { ServerNotFound } from "../../src/PoolError.ts"
import type { ServerChange, SessionStatus } from "../../src/PoolStatus.ts"
import * as Projects from "../../src/daemon/Projects.ts"
import { Reload, type Reloader } from "../../src/daemon/Reload.ts"

/** A pool that says what became of it, and lets a test say who uses what. */
const makePool = () => {
  const entries = new Map<string, PoolConfig.ServerEntry>()
  const news: Array<string> = []
  const used = new Set<string>()
  const running = new Set<string>()
  let gate: Effect.Effect<void> = Effect.void
  let outcome: ServerChange["outcome"] = "added"
  let registered: Reloader = () => Effect.die("nothing is registered")
  /** The names that have a socket. */
  let served: ReadonlyArray<string> = []
  const update = () => {
    served = [...entries.keys()]
    return []
  }
  const commandOf = (entry: PoolConfig.ServerEntry) =>
    Predicate.isTagged(entry, "Configured") ? entry.spec.command : "misconfigured"
  const double = {
    get names() {
      return [...entries.keys()]
    },
    sessions: Effect.sync(() => [...used].map((server) => ({ server }) as SessionStatus)),
    isRunning: (name: string) => Effect.sync(() => running.has(name)),
    endpoint: (name: string) =>
      Effect.suspend(() =>
        entries.has(name)
          ? Effect.succeed({} as Endpoint)
          : Effect.fail(new ServerNotFound({ server: name, names: [...entries.keys()] }))
      ),
    put: (entry: PoolConfig.ServerEntry) =>
      Effect.suspend(() => {
        news.push(`put ${entry.name} ${commandOf(entry)}`)
        return Effect.map(gate, () => {
          entries.set(entry.name, entry)
          return { server: entry.name, outcome, reason: null }
        })
      }),
    remove: (name: string) =>
      Effect.sync(() => {
        news.push(`remove ${name}`)
        entries.delete(name)
      })
  }
  return {
    // Not by `Layer.mock`, which would ask for the names once. The cast: nothing else is asked for.
    layer: Layer.mergeAll(
      Layer.succeed(McpPool, double as unknown as McpPool["Service"]),
      Layer.succeed(UnixListener, UnixListener.of({ update: Effect.sync(() => update()) })),
      Layer.succeed(
        Reload,
        Reload.of({ reload: Effect.never, register: (reloader) => Effect.sync(() => void (registered = reloader)) })
      )
    ),
    reload: (config: PoolConfig.PoolConfig) => registered(config),
    entries,
    served: () => served,
    used,
    running,
    /** What happened since the last time. */
    news: () => news.splice(0),
    /** No server takes the place of another from now on. */
    keep: () => (outcome = "kept"),
    holdPut: (until: Effect.Effect<void>) => (gate = until)
  }
}

/** A home directory with the pool's own configuration and projects, and a pool of that. */
const setUp = Effect.fnUntraced(function* (own: object, files: Readonly<Record<string, unknown>> = {}) {
  const home = yield* Effect.acquireRelease(
    Effect.sync(() => realpathSync(mkdtempSync(path.join(tmpdir(), "mcp-pool-projects-")))),
    (home) => Effect.sync(() => rmSync(home, { recursive: true }))
  )
  const put = (name: string, content: unknown) => {
    const file = path.join(home, name)
    mkdirSync(path.dirname(file), { recursive: true })
    writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content))
  }
  const at = (directory: string) => path.join(home, directory)
  const environment = Effect.provideService(PoolConfig.HostEnvironment, { HOME: home })
  const load = environment(PoolConfig.loadFiles([at("config.json")]))
  const trust = (directory: string) =>
    environment(
      Effect.gen(function* () {
        const project = yield* Project.at(at(directory))
        yield* Trust.write(at(directory), yield* Project.definitions(project!, yield* ClaudeFile.make))
      })
    )
  for (const [name, content] of Object.entries(files)) put(name, content)
  put("config.json", { mcpServers: {}, ...own })

  const pool = makePool()
  const config = yield* load
  for (const entry of config.servers) pool.entries.set(entry.name, entry)
  const opener = yield* environment(Projects.make(config)).pipe(Effect.provide(pool.layer))
  const open = (server: string, project: string | null) =>
    Effect.map(opener.open({ server, project: project === null ? null : at(project) }), ({ address }) => address)
  return { at, open, pool, put, trust, reload: Effect.flatMap(load, pool.reload) }
})

const git = (command: string) => ({ mcpServers: { git: { command } } })

describe("what is opened", () => {
  it.effect("the pool's own where the project defines nothing, is none, or is not asked for", () =>
    Effect.gen(function* () {
      const { open, pool } = yield* setUp(git("own"), { "site/.mcp.json": { mcpServers: { other: { command: "a" } } } })
      assert.strictEqual(yield* open("git", "site"), "git")
      assert.strictEqual(yield* open("git", "nowhere"), "git")
      assert.strictEqual(yield* open("git", null), "git")
      assert.deepStrictEqual(pool.news(), [])
      const error = yield* Effect.flip(open("gitt", "site"))
      assert.strictEqual(error.message, 'no server "gitt": did you mean "git"? there are git')
    })
  )
  it.effect("the project's own under its address, put once", () =>
    Effect.gen(function* () {
      const { at, open, pool, put, reload } = yield* setUp(git("own"), { "site/x": "" })
      put("config.json", { ...git("own"), projects: { [at("site")]: git("theirs") } })
      yield* reload
      const address = `git@${at("site")}`
      assert.strictEqual(yield* open("git", "site"), address)
      assert.strictEqual(yield* open("git", "site/"), address)
      assert.strictEqual(yield* open(address, null), address)
      assert.deepStrictEqual(pool.news(), [`put ${address} theirs`])
    })
  )
  it.effect("a project's files only once they are trusted, and again once they have changed", () =>
    Effect.gen(function* () {
      const { at, open, pool, put, trust } = yield* setUp(git("own"), { "my site/.mcp.json": git("theirs") })
      const file = at("my site/.mcp.json")
      const untrusted = yield* Effect.flip(open("git", "my site"))
      assert.strictEqual(untrusted._tag, "ProjectNotTrusted")
      assert.strictEqual(
        untrusted.message,
        `project ${at("my site")} configures "git" itself (${file}) and is not trusted: look at it, then run: ` +
          `mcp-pool trust '${at("my site")}'; for the pool's own: mcp-pool connect git --project=`
      )
      assert.strictEqual(yield* open("git", null), "git")
      yield* trust("my site")
      assert.strictEqual(yield* open("git", "my site"), `git@${at("my site")}`)
      put("my site/.mcp.json", git("changed"))
      const changed = yield* Effect.flip(open("git", "my site"))
      assert.include(changed.message, "which has changed since it was trusted")
      assert.deepStrictEqual(pool.news(), [`put git@${at("my site")} theirs`])
      yield* trust("my site")
      yield* open("git", "my site")
      assert.deepStrictEqual(pool.news(), [`put git@${at("my site")} changed`])
    })
  )
  it.effect("a file that cannot be decoded is an error for this project alone", () =>
    Effect.gen(function* () {
      const { open } = yield* setUp(git("own"), { "site/.mcp.json": "{\n  nonsense", "other/x": "" })
      const error = yield* Effect.flip(open("git", "site"))
      assert.strictEqual(error._tag, "ConfigFileError")
      assert.match(error.message, /site\/\.mcp\.json:2:3: /)
      assert.strictEqual(yield* open("git", "other"), "git")
    })
  )
  it.effect("each project's directory has its own of a server that is per-project", () =>
    Effect.gen(function* () {
      const own = { mcpServers: { git: { command: "own", pool: { sharing: "per-project" } } } }
      const { at, open, pool } = yield* setUp(own, { "a/x": "", "b/x": "" })
      assert.strictEqual(yield* open("git", "a"), `git@${at("a")}`)
      assert.strictEqual(yield* open("git", "b"), `git@${at("b")}`)
      assert.strictEqual(yield* open("git", null), "git")
      const [a, b] = ["a", "b"].map((name) => pool.entries.get(`git@${at(name)}`))
      assert.deepStrictEqual(
        [a, b].map((entry) => (Predicate.isTagged(entry, "Configured") ? entry.spec.cwd : null)),
        [at("a"), at("b")]
      )
      // The home directory.
      assert.strictEqual(yield* open("git", "."), "git")
    })
  )
})

describe("at once", () => {
  it.effect("several opens of one address put it once, whoever leaves", () =>
    Effect.gen(function* () {
      const { at, open, pool, put, reload } = yield* setUp({}, { "site/x": "" })
      put("config.json", { projects: { [at("site")]: git("theirs") } })
      yield* reload
      const gate = yield* Deferred.make<void>()
      pool.holdPut(Deferred.await(gate))
      const opens = yield* Effect.forEach(Array.from({ length: 10 }), () =>
        Effect.forkChild(open("git", "site"), { startImmediately: true })
      )
      yield* Fiber.interrupt(opens[0]!)
      yield* Deferred.succeed(gate, undefined)
      const addresses = yield* Effect.forEach(opens.slice(1), Fiber.join)
      assert.deepStrictEqual([...new Set(addresses)], [`git@${at("site")}`])
      assert.deepStrictEqual(pool.news(), [`put git@${at("site")} theirs`])
    })
  )
  it.effect("nobody waits for a server that takes the place of another", () =>
    Effect.gen(function* () {
      const { at, open, pool, put, trust } = yield* setUp({}, { "site/.mcp.json": git("first") })
      yield* trust("site")
      yield* open("git", "site")
      put("site/.mcp.json", git("second"))
      yield* trust("site")
      pool.holdPut(Effect.never)
      assert.strictEqual(yield* open("git", "site"), `git@${at("site")}`)
      assert.strictEqual(yield* open("git", "site"), `git@${at("site")}`)
      assert.deepStrictEqual(pool.news(), [`put git@${at("site")} first`, `put git@${at("site")} second`])
    })
  )
})

describe("a server that cannot take the place of another", () => {
  it.effect("is tried again when the next one comes", () =>
    Effect.gen(function* () {
      const { at, open, pool, put, trust } = yield* setUp({}, { "site/.mcp.json": git("first") })
      yield* trust("site")
      yield* open("git", "site")
      put("site/.mcp.json", git("second"))
      yield* trust("site")
      pool.news()
      pool.keep()
      for (let i = 0; i < 2; i++) {
        yield* open("git", "site")
        assert.deepStrictEqual(pool.news(), [`put git@${at("site")} second`])
      }
    })
  )
})

describe("a reload", () => {
  it.effect("changes what projects have, removes what they have no longer, and leaves what is as before", () =>
    Effect.gen(function* () {
      const { at, open, pool, put, reload } = yield* setUp({}, { "a/x": "", "b/x": "", "c/x": "" })
      const configure = Effect.fnUntraced(function* (commands: Readonly<Record<string, string>>) {
        const entries = Object.entries(commands).map(([directory, command]) => [at(directory), git(command)])
        put("config.json", { mcpServers: {}, projects: Object.fromEntries(entries) })
        return yield* reload
      })
      yield* configure({ a: "a", b: "b", c: "c" })
      for (const directory of ["a", "b", "c"]) yield* open("git", directory)
      pool.news()
      assert.deepStrictEqual(yield* configure({ a: "a", b: "another" }), [
        { server: `git@${at("a")}`, outcome: "unchanged", reason: null },
        { server: `git@${at("b")}`, outcome: "added", reason: null },
        { server: `git@${at("c")}`, outcome: "removed", reason: null }
      ])
      assert.deepStrictEqual(pool.news(), [`put git@${at("b")} another`, `remove git@${at("c")}`])
    })
  )
  it.effect("leaves a project's server as it is where its file is not trusted any more", () =>
    Effect.gen(function* () {
      const { open, pool, put, reload, trust } = yield* setUp({}, { "site/.mcp.json": git("theirs") })
      yield* trust("site")
      yield* open("git", "site")
      pool.news()
      put("site/.mcp.json", git("changed"))
      const [kept] = yield* reload
      assert.strictEqual(kept?.outcome, "kept")
      assert.include(kept?.reason, "which has changed since it was trusted")
      assert.deepStrictEqual(pool.news(), [])
    })
  )
})

describe("what nobody uses", () => {
  const perProject = (pool: object) => ({
    mcpServers: { git: { command: "own", pool: { sharing: "per-project", ...pool } } }
  })
  it.effect("leaves the pool after half an hour without sessions and processes, and comes again", () =>
    Effect.gen(function* () {
      const { at, open, pool } = yield* setUp(perProject({}), { "a/x": "", "b/x": "", "c/x": "" })
      const [a, b, c] = ["a", "b", "c"].map((name) => `git@${at(name)}`)
      for (const directory of ["a", "b", "c"]) yield* open("git", directory)
      pool.news()
      pool.used.add(b!)
      pool.running.add(c!)
      yield* TestClock.adjust("29 minutes")
      assert.deepStrictEqual(pool.news(), [])
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(pool.news(), [`remove ${a}`])
      assert.deepStrictEqual(pool.served(), ["git", b!, c!])
      yield* open("git", "a")
      assert.deepStrictEqual(pool.news(), [`put ${a} own`])
      pool.used.clear()
      pool.running.clear()
      yield* TestClock.adjust("20 minutes")
      yield* open("git", "b")
      yield* TestClock.adjust("10 minutes")
      assert.deepStrictEqual(pool.news().sort(), [`remove ${a}`, `remove ${c}`])
    })
  )
  it.effect("leaves after idleStop, but not sooner than after a minute", () =>
    Effect.gen(function* () {
      const { at, open, pool } = yield* setUp(perProject({ idleStop: "1 s" }), { "a/x": "" })
      yield* open("git", "a")
      pool.news()
      yield* TestClock.adjust("59 seconds")
      assert.deepStrictEqual(pool.news(), [])
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(pool.news(), [`remove git@${at("a")}`])
    })
  )
  it.effect("does not take a name of the configuration with it that looks like its address", () =>
    Effect.gen(function* () {
      const { at, open, pool, put, reload } = yield* setUp(perProject({}), { "a/x": "" })
      const address = yield* open("git", "a")
      const { mcpServers } = perProject({})
      put("config.json", { mcpServers: { ...mcpServers, [`git@${at("a")}`]: { command: "own" } } })
      yield* reload
      pool.news()
      yield* TestClock.adjust("31 minutes")
      assert.deepStrictEqual(pool.news(), [])
      assert.include(pool.served(), address)
    })
  )
  it.effect("makes room where very many projects are open", () =>
    Effect.gen(function* () {
      const names = Array.from({ length: 257 }, (_, i) => `p${i}`)
      const files = Object.fromEntries(names.map((name) => [`${name}/x`, ""]))
      const { at, open, pool } = yield* setUp(perProject({}), files)
      for (const [i, name] of names.entries()) {
        if (i === 1) pool.used.add(`git@${at("p0")}`)
        yield* open("git", name)
        yield* TestClock.adjust("1 second")
      }
      assert.deepStrictEqual(
        pool.news().filter((it) => it.startsWith("remove")),
        [`remove git@${at("p1")}`]
      )
    })
  )
})
