import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Logger, Stream } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as BridgeProtocol from "../../src/BridgeProtocol.ts"
import * as PoolConfig from "../../src/config/PoolConfig.ts"
import * as ConnectListener from "../../src/listen/ConnectListener.ts"
import * as ConnectSocket from "../../src/listen/ConnectSocket.ts"
import * as SocketSessions from "../../src/listen/SocketSessions.ts"
import * as UnixListener from "../../src/listen/UnixListener.ts"
import * as McpPool from "../../src/McpPool.ts"
import * as Projects from "../../src/daemon/Projects.ts"
import * as Reload from "../../src/daemon/Reload.ts"
import * as RuntimeDir from "../../src/RuntimeDir.ts"
import * as Spawned from "../cli/Spawned.ts"
import * as LineClient from "../support/LineClient.ts"
import * as ServeProcess from "../support/ServeProcess.ts"
import * as TestPool from "../support/TestPool.ts"

const script = fileURLToPath(
  new URL("../../node_modules/@modelcontextprotocol/server-filesystem/dist/index.js", import.meta.url)
)

/** The real filesystem server for some directories. */
const filesystem = (...directories: ReadonlyArray<string>) => ({
  command: process.execPath,
  args: [script, ...directories]
})

/** A home with two projects, each with a file of its own, and a pool with `connect.sock` as the daemon has it. */
const setUp = Effect.fnUntraced(function* (own: (at: (name: string) => string) => object) {
  const home = yield* TestPool.temporaryDirectory
  const runtimeDir = yield* TestPool.temporaryDirectory
  const at = (name: string) => path.join(home, name)
  const put = (name: string, content: unknown) => {
    fs.mkdirSync(path.dirname(at(name)), { recursive: true })
    fs.writeFileSync(at(name), typeof content === "string" ? content : JSON.stringify(content))
  }
  put("a/only-in-a.txt", "the text of a")
  put("b/only-in-b.txt", "the text of b")
  put("config.json", { mcpServers: {}, ...own(at) })
  const environment = { HOME: home, PATH: process.env["PATH"] }
  const context = yield* Effect.gen(function* () {
    const config = yield* PoolConfig.loadFiles([at("config.json")])
    return yield* Layer.build(
      ConnectListener.layer.pipe(
        Layer.provide(ConnectSocket.layer({ runtimeDir })),
        Layer.provide(Projects.layer(config)),
        Layer.provideMerge(Reload.layer({ config, read: PoolConfig.loadFiles([at("config.json")]) })),
        Layer.provideMerge(UnixListener.layer({ runtimeDir })),
        Layer.provideMerge(SocketSessions.layer),
        Layer.provideMerge(McpPool.layerPoolConfig(config, { directory: runtimeDir }))
      )
    )
  }).pipe(Effect.provideService(PoolConfig.HostEnvironment, environment), Effect.provide(Logger.layer([])))
  const pool = Context.get(context, McpPool.McpPool)

  const dial = Effect.fnUntraced(function* (server: string, project: string | null) {
    const client = yield* LineClient.connect(RuntimeDir.connectSocket(runtimeDir))
    yield* client.sendRaw(TestPool.openLine(server, project === null ? null : at(project)))
    return client
  })
  return {
    at,
    put,
    pool,
    runtimeDir,
    reload: Context.get(context, Reload.Reload).reload.pipe(
      Effect.provide(Logger.layer([])),
      Effect.provideService(PoolConfig.HostEnvironment, environment),
      Effect.map(({ servers }) => servers.map(({ outcome, server }) => [server, outcome]))
    ),
    /** A session with a server as a project has it. */
    open: Effect.fnUntraced(function* (server: string, project: string | null) {
      const client = yield* dial(server, project)
      yield* client.word("opened")
      yield* client.initialize
      return client
    }),
    /** The words with which `connect` is refused. */
    refused: Effect.fnUntraced(function* (server: string, project: string) {
      const client = yield* dial(server, project)
      return (yield* client.word("refused")) as unknown as { readonly kind: string; readonly message: string }
    }),
    /** In a process of its own, as a person does it. */
    trust: Effect.fnUntraced(function* (project: string) {
      const { ended } = yield* Spawned.start(["trust", at(project)], { home })
      const { code, err } = yield* ended
      assert.strictEqual(code, 0, err)
    }, Effect.scoped),
    pidOf: (address: string) =>
      Effect.map(pool.status, (servers) => {
        const server = servers.find(({ name }) => name === address)
        assert.strictEqual(server?.processes.length, 1)
        return server?.pid
      })
  }
})

const textOf = (client: LineClient.LineClient, tool: string, args: object) =>
  Effect.map(client.call(tool, args), LineClient.textOf)

describe("two projects with a server of the same name", () => {
  it.live("each sees its own files, once its configuration is trusted, without a restart", () =>
    Effect.gen(function* () {
      const { at, open, pidOf, pool, put, refused, runtimeDir, trust } = yield* setUp(() => ({}))
      put("a/.mcp.json", { mcpServers: { files: filesystem("${workspaceFolder}") } })
      put("b/.vscode/mcp.json", { servers: { files: { type: "stdio", ...filesystem("${workspaceFolder}") } } })
      const refusal = yield* refused("files", "a")
      assert.strictEqual(refusal.kind, "ProjectNotTrusted")
      assert.include(refusal.message, `mcp-pool trust ${at("a")}`)
      assert.deepStrictEqual(pool.names, [], "nothing of it is started")
      yield* trust("a")
      yield* trust("b")

      const [a, b] = [yield* open("files", "a"), yield* open("files", "b")]
      assert.strictEqual(yield* textOf(a, "read_text_file", { path: at("a/only-in-a.txt") }), "the text of a")
      assert.strictEqual(yield* textOf(b, "read_text_file", { path: at("b/only-in-b.txt") }), "the text of b")
      assert.include(yield* textOf(a, "read_text_file", { path: at("b/only-in-b.txt") }), "Access denied")
      assert.include(yield* textOf(b, "read_text_file", { path: at("a/only-in-a.txt") }), "Access denied")
      // Relative to where it runs.
      assert.strictEqual(yield* textOf(a, "read_text_file", { path: "only-in-a.txt" }), "the text of a")
      assert.notStrictEqual(yield* pidOf(`files@${at("a")}`), yield* pidOf(`files@${at("b")}`))

      // Another session is no other process.
      const again = yield* open("files", "a")
      assert.strictEqual(yield* textOf(again, "read_text_file", { path: "only-in-a.txt" }), "the text of a")
      assert.strictEqual((yield* pool.sessions).filter(({ server }) => server === `files@${at("a")}`).length, 2)
      // Its address has a socket like every name.
      const raw = yield* LineClient.connect(RuntimeDir.serverSocket(runtimeDir, `files@${at("b")}`))
      yield* raw.initialize
      assert.strictEqual(yield* textOf(raw, "read_text_file", { path: "only-in-b.txt" }), "the text of b")
    })
  )

  it.live("have one process where both define the same, and where the pool does", () =>
    Effect.gen(function* () {
      const same = (at: (name: string) => string) => ({ ...filesystem(at("a"), at("b")), cwd: at("a") })
      const { at, open, pidOf } = yield* setUp((at) => ({
        mcpServers: { shared: same(at) },
        projects: Object.fromEntries(["a", "b"].map((name) => [at(name), { mcpServers: { files: same(at) } }]))
      }))
      const clients = [yield* open("files", "a"), yield* open("files", "b"), yield* open("shared", "b")]
      for (const client of clients) {
        assert.strictEqual(yield* textOf(client, "read_text_file", { path: "only-in-a.txt" }), "the text of a")
      }
      const pid = yield* pidOf("shared")
      assert.isNumber(pid)
      assert.strictEqual(yield* pidOf(`files@${at("a")}`), pid)
      assert.strictEqual(yield* pidOf(`files@${at("b")}`), pid)
    })
  )

  it.live("go on with what was trusted while a change of it is not", () =>
    Effect.gen(function* () {
      const { at, open, put, refused, trust } = yield* setUp(() => ({}))
      put("a/.mcp.json", { mcpServers: { files: filesystem("${workspaceFolder}") } })
      yield* trust("a")
      const client = yield* open("files", "a")
      put("a/.mcp.json", { mcpServers: { files: filesystem("${workspaceFolder}", at("b")) } })
      assert.include((yield* refused("files", "a")).message, "which has changed since it was trusted")
      const path = at("b/only-in-b.txt")
      assert.include(yield* textOf(client, "read_text_file", { path }), "Access denied")
    })
  )
})

describe("a reload", () => {
  it.live("changes a project's server under its session, and removes it", () =>
    Effect.gen(function* () {
      const projects = (...directories: ReadonlyArray<string>) => ({
        mcpServers: { files: filesystem(...directories) }
      })
      const { at, open, put, reload } = yield* setUp((at) => ({ projects: { [at("a")]: projects(at("a")) } }))
      const address = `files@${at("a")}`
      const client = yield* open("files", "a")
      const allowed = textOf(client, "list_allowed_directories", {})
      assert.strictEqual(yield* allowed, `Allowed directories:\n${at("a")}`)
      put("config.json", { mcpServers: {}, projects: { [at("a")]: projects(at("a"), at("b")) } })
      assert.deepStrictEqual(yield* reload, [[address, "changed"]])
      assert.strictEqual(yield* allowed, `Allowed directories:\n${at("a")}\n${at("b")}`)
      put("config.json", { mcpServers: {} })
      assert.deepStrictEqual(yield* reload, [[address, "removed"]])
      yield* client.word("pause")
      yield* client.sendRaw(BridgeProtocol.line({ "mcp-pool": "paused" }))
      assert.deepInclude((yield* client.word("closing")) as object, { reason: "removed" })
      yield* client.closed
    })
  )
})

describe("a server that is per-project", () => {
  it.live("runs in each project's directory, which is its root", () =>
    Effect.gen(function* () {
      const { at, open, pidOf, pool } = yield* setUp(() => ({
        mcpServers: { files: { ...filesystem(), pool: { sharing: "per-project" } } }
      }))
      const processes = (address: string) =>
        Effect.map(pool.status, (servers) => servers.find(({ name }) => name === address)?.processes.length)
      for (const name of ["a", "b"]) {
        const client = yield* open("files", name)
        const address = `files@${at(name)}`
        // The server asks for its roots once it is initialized, and answers calls before it knows them.
        yield* client.call("list_allowed_directories")
        yield* pool.logs(address, { follow: true }).pipe(
          Stream.filter(({ text }) => text.includes("from MCP roots: 1 valid")),
          Stream.runHead
        )
        const allowed = yield* textOf(client, "list_allowed_directories", {})
        assert.strictEqual(allowed, `Allowed directories:\n${at(name)}`)
        const text = yield* textOf(client, "read_text_file", { path: `only-in-${name}.txt` })
        assert.strictEqual(text, `the text of ${name}`)
      }
      assert.notStrictEqual(yield* pidOf(`files@${at("a")}`), yield* pidOf(`files@${at("b")}`))
      assert.strictEqual(yield* processes("files"), 0, "nobody has used it without a project")
    })
  )
})

describe("the daemon", () => {
  it.live("serves projects as they are configured and trusted, and shows them", () =>
    Effect.gen(function* () {
      const home = yield* TestPool.temporaryDirectory
      const runtimeDir = path.join(home, "run")
      const [a, b] = [path.join(home, "a"), path.join(home, "b")]
      const file = path.join(home, "config.json")
      for (const directory of [a, b]) fs.mkdirSync(directory)
      const text = JSON.stringify({ mcpServers: { files: filesystem("${workspaceFolder}") } })
      fs.writeFileSync(path.join(b, ".mcp.json"), text)
      fs.writeFileSync(file, JSON.stringify({ mcpServers: {}, projects: { [a]: JSON.parse(text) } }))

      const daemon = yield* ServeProcess.start(["--config", file, "--runtime-dir", runtimeDir], { env: { HOME: home } })
      yield* daemon.serving
      const dial = Effect.fnUntraced(function* (project: string) {
        const client = yield* LineClient.connect(RuntimeDir.connectSocket(runtimeDir))
        yield* client.sendRaw(TestPool.openLine("files", project))
        return client
      })
      const allowed = Effect.fnUntraced(function* (client: LineClient.LineClient) {
        yield* client.word("opened")
        yield* client.initialize
        return yield* textOf(client, "list_allowed_directories", {})
      })
      assert.strictEqual(yield* allowed(yield* dial(a)), `Allowed directories:\n${a}`)
      const refused = (yield* (yield* dial(b)).word("refused")) as object
      assert.deepInclude(refused, { kind: "ProjectNotTrusted", code: 31001, exitCode: 4 })
      const run = (...args: ReadonlyArray<string>) =>
        Effect.gen(function* () {
          const { ended } = yield* Spawned.start([...args, "--runtime-dir", runtimeDir], { home })
          const { code, err, out } = yield* ended
          assert.strictEqual(code, 0, err)
          return out
        }).pipe(Effect.scoped)
      yield* run("trust", b)
      assert.strictEqual(yield* allowed(yield* dial(b)), `Allowed directories:\n${b}`)
      const table = yield* run("status")
      for (const address of ["files@~/a", "files@~/b"]) assert.include(table, `${address}  running`)
      // What people read they can write.
      assert.include(yield* run("restart", "files@~/b"), "is running")
      assert.notInclude(daemon.log(), "bug")
      yield* daemon.signal("SIGTERM")
      assert.strictEqual(yield* daemon.exited, 0)
    })
  )
})
