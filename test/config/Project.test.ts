import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Predicate } from "effect"
import * as Address from "../../src/config/Address.ts"
import * as ClaudeFile from "../../src/config/ClaudeFile.ts"
import * as PoolConfig from "../../src/config/PoolConfig.ts"
import * as Project from "../../src/config/Project.ts"
import type { ServerSpec } from "../../src/config/ServerSpec.ts"

/** A home directory with files, for the time of a test. A text that is an object is written as JSON. */
const makeHome = (files: Readonly<Record<string, unknown>>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const home = realpathSync(mkdtempSync(path.join(tmpdir(), "mcp-pool-project-")))
      for (const [name, content] of Object.entries(files)) put(home, name, content)
      return home
    }),
    (home) => Effect.sync(() => rmSync(home, { recursive: true }))
  )

const put = (directory: string, name: string, content: unknown): void => {
  const file = path.join(directory, name)
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content), { mode: 0o600 })
}

const servers = (...commands: ReadonlyArray<string>) => ({
  mcpServers: Object.fromEntries(commands.map((command) => ["git", { command }]))
})

/** What defines a server in a directory of the home, under the pool's configuration there where it has one. */
const find = (home: string, directory = "site", server = "git") =>
  Effect.gen(function* () {
    const file = path.join(home, "pool.json")
    const config = yield* PoolConfig.loadFiles(existsSync(file) ? [file] : [])
    const project = yield* Project.at(path.resolve(home, directory))
    const claudeFile = yield* ClaudeFile.make
    return project === undefined ? undefined : yield* Project.find({ config, server, project, claudeFile })
  }).pipe(Effect.provideService(PoolConfig.HostEnvironment, { HOME: home, PATH: "/usr/bin", TOKEN: "t" }))

const commandOf = (definition: Project.Definition | undefined): unknown =>
  definition === undefined ? undefined : (definition.entry as { readonly command: unknown }).command

const specOf = (entry: PoolConfig.ServerEntry | undefined): ServerSpec =>
  Predicate.isTagged(entry, "Configured") ? entry.spec : assert.fail(JSON.stringify(entry))

const self = { mcpServers: { git: { command: "mcp-pool", args: ["connect", "git"] } } }

describe("where a project defines a server", () => {
  const everywhere = (home: string) => {
    const site = path.join(home, "site")
    return [
      ["pool.json", { mcpServers: {}, projects: { [site]: servers("own") } }, "own"],
      ["site/.mcp.json", servers("mcp"), "mcp"],
      ["site/.vscode/mcp.json", { servers: { git: { type: "stdio", command: "vscode" } } }, "vscode"],
      ["site/.cursor/mcp.json", servers("cursor"), "cursor"],
      [".claude.json", { projects: { [site]: { ...servers("claude"), history: [] } } }, "claude"]
    ] as const
  }

  it.effect("the pool's own file is first, then the project's files, then Claude Code's", () =>
    Effect.gen(function* () {
      const home = yield* makeHome({})
      mkdirSync(path.join(home, "site"))
      const places = everywhere(home)
      for (const [name, content] of places) put(home, name, content)
      for (const [name, , command] of places) {
        const found = yield* find(home)
        assert.strictEqual(commandOf(found), command)
        assert.strictEqual(found?.source.name, path.join(home, name))
        assert.strictEqual(found?.directory, path.join(home, "site"))
        assert.strictEqual(found?.needsTrust, command !== "own")
        rmSync(path.join(home, name))
      }
      assert.isUndefined(yield* find(home))
    })
  )

  it.effect("an entry that runs mcp-pool itself, or is disabled, defines nothing", () =>
    Effect.gen(function* () {
      const home = yield* makeHome({})
      for (const [name, content] of everywhere(home)) put(home, name, content)
      put(home, "pool.json", { mcpServers: {}, projects: { [path.join(home, "site")]: self } })
      put(home, "site/.mcp.json", self)
      put(home, "site/.vscode/mcp.json", {
        servers: { git: { command: "npx", args: ["-y", "effect-mcp-pool", "connect"] } }
      })
      put(home, "site/.cursor/mcp.json", { mcpServers: { git: { command: "cursor", disabled: true } } })
      assert.strictEqual(commandOf(yield* find(home)), "claude")
      put(home, ".claude.json", { projects: { [path.join(home, "site")]: self } })
      put(home, "site/.cursor/mcp.json", {
        mcpServers: {
          git: {
            url: "http://127.0.0.1:8080/servers/git/mcp",
            headers: { Authorization: "Bearer ${env:MCP_POOL_TOKEN}" }
          }
        }
      })
      assert.isUndefined(yield* find(home))
    })
  )

  it.effect("a project without the name, without files, or that is not there, defines nothing", () =>
    Effect.gen(function* () {
      const home = yield* makeHome({ "site/.mcp.json": { mcpServers: { other: { command: "a" } } }, "empty/x": "" })
      assert.isUndefined(yield* find(home))
      assert.isUndefined(yield* find(home, "empty"))
      assert.isUndefined(yield* find(home, "nowhere"))
      assert.isUndefined(yield* find(home, "empty/x"))
    })
  )

  it.effect("the home directory and / are no projects", () =>
    Effect.gen(function* () {
      const home = yield* makeHome({ ".mcp.json": servers("home") })
      symlinkSync(home, path.join(home, "link"))
      assert.isUndefined(yield* find(home, "."))
      assert.isUndefined(yield* find(home, "link"))
      assert.isUndefined(yield* find(home, "/"))
    })
  )

  it.effect("a symbolic link is the directory that it leads to, in what is asked and in the keys of files", () =>
    Effect.gen(function* () {
      const home = yield* makeHome({ "real/.mcp.json": servers("mcp") })
      const link = path.join(home, "link")
      symlinkSync(path.join(home, "real"), link)
      assert.strictEqual((yield* find(home, "link/"))?.directory, path.join(home, "real"))
      rmSync(path.join(home, "real/.mcp.json"))
      put(home, ".claude.json", { projects: { [link]: servers("claude") } })
      assert.strictEqual(commandOf(yield* find(home, "link")), "claude")
      put(home, "pool.json", { projects: { [`${link}/`]: servers("own") } })
      assert.strictEqual(commandOf(yield* find(home, "real")), "own")
    })
  )

  it.effect("a file that the pool was started with is no project's", () =>
    Effect.gen(function* () {
      const home = yield* makeHome({ "site/.mcp.json": servers("mcp") })
      const site = path.join(home, "site")
      const config = yield* PoolConfig.loadFiles([path.join(site, ".mcp.json")])
      const project = yield* Project.at(site)
      const claudeFile = yield* ClaudeFile.make
      assert.isUndefined(yield* Project.find({ config, server: "git", project: project!, claudeFile }))
    })
  )

  it.effect(
    "a file that cannot be decoded is an error with its line and column, unless one before it defines the server",
    () =>
      Effect.gen(function* () {
        const home = yield* makeHome({ "site/.vscode/mcp.json": '{\n  "servers": { "git": }\n}' })
        const error = yield* Effect.flip(find(home))
        assert.strictEqual(error.message, `${home}/site/.vscode/mcp.json:2:23: not valid JSON: value expected`)
        put(home, "site/.mcp.json", servers("mcp"))
        assert.strictEqual(commandOf(yield* find(home)), "mcp")
        put(home, "site/.mcp.json", { mcpServers: [] })
        assert.include((yield* Effect.flip(find(home))).message, '.mcp.json:1:15: "mcpServers" should be an object')
      })
  )

  it.effect("JSON with comments, trailing commas, both sections and none is read", () =>
    Effect.gen(function* () {
      const home = yield* makeHome({
        "site/.mcp.json": '// a comment\n{ "mcpServers": {}, "servers": { "git": { "command": "jsonc", }, }, }',
        "other/.mcp.json": "{}",
        ".claude.json": "{ /* hand-made */ }"
      })
      assert.strictEqual(commandOf(yield* find(home)), "jsonc")
      assert.isUndefined(yield* find(home, "other"))
    })
  )
})

describe("hostile projects", () => {
  it.effect("a pipe, a device, a directory and a huge file are refused at once", () =>
    Effect.gen(function* () {
      const home = yield* makeHome({ "pipe/x": "", "device/x": "", "directory/.mcp.json/x": "", "huge/.mcp.json": "" })
      execFileSync("mkfifo", [path.join(home, "pipe/.mcp.json")])
      symlinkSync("/dev/zero", path.join(home, "device/.mcp.json"))
      execFileSync("truncate", ["-s", "1G", path.join(home, "huge/.mcp.json")])
      assert.include((yield* Effect.flip(find(home, "pipe"))).message, "is no regular file")
      assert.include((yield* Effect.flip(find(home, "device"))).message, "is no regular file")
      assert.include((yield* Effect.flip(find(home, "directory"))).message, "is no regular file")
      assert.include((yield* Effect.flip(find(home, "huge"))).message, "is larger than")
    })
  )

  it.effect("names such as __proto__ and ../x are names like any other", () =>
    Effect.gen(function* () {
      const home = yield* makeHome({
        "site/.mcp.json": '{ "mcpServers": { "__proto__": { "command": "p" }, "../../x": { "command": "d" } } }',
        ".claude.json": '{ "__proto__": { "projects": {} }, "projects": { "__proto__": { "mcpServers": {} } } }'
      })
      assert.strictEqual(commandOf(yield* find(home, "site", "__proto__")), "p")
      assert.strictEqual(commandOf(yield* find(home, "site", "../../x")), "d")
      for (const name of ["constructor", "toString", "hasOwnProperty"])
        assert.isUndefined(yield* find(home, "site", name))
    })
  )

  it.effect("an entry inherits nothing from a key __proto__", () =>
    Effect.gen(function* () {
      const home = yield* makeHome({
        "site/.mcp.json": '{ "mcpServers": { "git": { "__proto__": { "command": "inherited" } } } }'
      })
      const found = yield* find(home)
      assert.isUndefined(commandOf(found))
      const { entry } = yield* Project.resolve(found!)
      assert.strictEqual(entry._tag, "Misconfigured")
    })
  )

  it.effect("an entry of Claude Code's file that is nested without end is refused", () =>
    Effect.gen(function* () {
      const home = yield* makeHome({ "site/x": "" })
      const deep = `${"[".repeat(50_000)}${"]".repeat(50_000)}`
      const site = JSON.stringify(path.join(home, "site"))
      put(home, ".claude.json", `{"projects":{${site}:{"mcpServers":{"git":{"command":"a","args":${deep}}}}}}`)
      assert.include((yield* Effect.flip(find(home))).message, ".claude.json")
    })
  )
})

describe("Claude Code's file", () => {
  it.effect("says where a mistake is, and is read again once it has changed", () =>
    Effect.gen(function* () {
      const home = yield* makeHome({ "site/x": "", ".claude.json": "{\n  nonsense\n}" })
      const site = path.join(home, "site")
      const claudeFile = yield* Effect.provideService(ClaudeFile.make, PoolConfig.HostEnvironment, { HOME: home })
      assert.include((yield* Effect.flip(claudeFile.read([site]))).message, ".claude.json:2:3: not valid JSON")
      put(home, ".claude.json", { projects: { [site]: { mcpServers: { git: 1, other: { command: "a" } } } } })
      assert.deepStrictEqual(
        (yield* claudeFile.read([site]))?.servers.map(([name]) => name),
        ["git", "other"]
      )
      put(home, ".claude.json", { projects: { [site]: { mcpServers: [] } } })
      assert.include(
        (yield* Effect.flip(claudeFile.read([site]))).message,
        `projects["${site}"]: "mcpServers" should be`
      )
      rmSync(path.join(home, ".claude.json"))
      assert.isUndefined(yield* claudeFile.read([site]))
    })
  )
})

describe("a project's server", () => {
  it.effect("has the project's directory for cwd, ${workspaceFolder} and what is relative", () =>
    Effect.gen(function* () {
      const home = yield* makeHome({
        "site/.env": "FROM_FILE=1",
        "site/.vscode/mcp.json": {
          servers: {
            git: {
              command: "bin/git",
              args: ["${workspaceFolder}"],
              envFile: ".env",
              env: { TOKEN: "${TOKEN}", KEY: "${input:key}" }
            }
          },
          inputs: [{ id: "key" }]
        },
        "site/.vscode/mcp-pool.inputs.json": { key: "from-inputs" }
      })
      const site = path.join(home, "site")
      const { entry } = yield* Effect.provideService(
        Project.resolve((yield* find(home))!),
        PoolConfig.HostEnvironment,
        { HOME: home, TOKEN: "t" }
      )
      const spec = specOf(entry)
      assert.strictEqual(spec.name, `git@${site}`)
      assert.strictEqual(spec.cwd, site)
      assert.strictEqual(spec.command, path.join(site, "bin/git"))
      assert.deepStrictEqual(spec.args, [site])
      assert.deepInclude(spec.env, { FROM_FILE: "1", TOKEN: "t", KEY: "from-inputs" })
    })
  )

  it.effect("is started with the first call, unless its entry says else", () =>
    Effect.gen(function* () {
      const home = yield* makeHome({
        "site/.mcp.json": {
          pool: { start: "eager" },
          mcpServers: { git: { command: "a" }, eager: { command: "b", pool: { start: "eager" } } }
        }
      })
      const started = Effect.fnUntraced(function* (name: string) {
        return specOf((yield* Project.resolve((yield* find(home, "site", name))!)).entry).pool.start
      })
      assert.strictEqual(yield* started("git"), "lazy")
      assert.strictEqual(yield* started("eager"), "eager")
    })
  )
})

describe("the pool's own projects", () => {
  it.effect("are looked at when the configuration is loaded: a mistake is a warning, and an error with strict", () =>
    Effect.gen(function* () {
      const home = yield* makeHome({ "site/x": "" })
      const file = path.join(home, "pool.json")
      const site = path.join(home, "site")
      put(home, "pool.json", {
        mcpServers: { a: { command: "a" } },
        projects: { [site]: { mcpServers: { git: { command: "" } } }, "not/absolute": servers("x") }
      })
      const config = yield* PoolConfig.loadFiles([file])
      assert.deepStrictEqual(
        config.servers.map(({ name }) => name),
        ["a"]
      )
      assert.deepStrictEqual(config.warnings, [
        `${file}: project "not/absolute" is ignored: its path is not absolute`,
        `${file}: server "git@${site}" field "command": is empty`
      ])
      const error = yield* Effect.flip(PoolConfig.loadFiles([file], { strict: true }))
      assert.include(error.message, `server "git@${site}"`)
      put(home, "pool.json", { projects: { [site]: { mcpServers: 1 } } })
      const wrong = yield* Effect.flip(PoolConfig.loadFiles([file]))
      assert.match(wrong.message, /pool\.json:1:\d+: "mcpServers" should be an object of servers by name/)
    })
  )
})

describe("per-project", () => {
  const perProject = (home: string, entry: object, pool: object = {}) =>
    Effect.gen(function* () {
      put(home, "config/pool.json", { mcpServers: { git: entry }, pool })
      const config = yield* PoolConfig.loadFiles([path.join(home, "config/pool.json")])
      const project = yield* Project.at(path.join(home, "site"))
      return { config, entry: yield* Project.perProject(config, "git", project!) }
    }).pipe(Effect.provideService(PoolConfig.HostEnvironment, { HOME: home }))
  const sharing = "per-project"

  it.effect("runs the pool's own command in the project, with the project as its root", () =>
    Effect.gen(function* () {
      const home = yield* makeHome({ "site/x": "" })
      const site = path.join(home, "site")
      const { config, entry } = yield* perProject(home, {
        command: "./serve",
        args: ["--repository", "${workspaceFolder}"],
        pool: { sharing, socket: "/run/git.sock" }
      })
      const spec = specOf(entry)
      assert.strictEqual(spec.name, `git@${site}`)
      assert.strictEqual(spec.cwd, site)
      assert.deepStrictEqual(spec.args, ["--repository", site])
      assert.strictEqual(spec.command, path.join(home, "config/serve"), "never the project's")
      assert.deepStrictEqual(spec.pool.roots, [{ uri: `file://${site}` }])
      assert.strictEqual(spec.pool.start, "lazy")
      assert.deepStrictEqual(spec.pool.idleStop, Duration.minutes(30))
      assert.isUndefined(spec.pool.socket, "its name has another one")
      // Without a project.
      const own = specOf(config.servers[0])
      assert.strictEqual(own.cwd, path.join(home, "config"))
      assert.strictEqual(own.pool.start, "lazy")
      assert.strictEqual(own.pool.sharing.policy, "shared")
    })
  )

  it.effect("takes roots and times from the configuration, and a cwd within the project", () =>
    Effect.gen(function* () {
      const home = yield* makeHome({ "site/x": "" })
      const site = path.join(home, "site")
      const { entry } = yield* perProject(
        home,
        { command: "serve", cwd: "api", pool: { sharing, start: "eager", roots: ["docs"] } },
        { idleStop: "1 min" }
      )
      const spec = specOf(entry)
      assert.strictEqual(spec.cwd, path.join(site, "api"))
      assert.deepStrictEqual(spec.pool.roots, [{ uri: `file://${site}/api/docs` }])
      assert.strictEqual(spec.pool.start, "eager")
      assert.deepStrictEqual(spec.pool.idleStop, Duration.minutes(1))
      const { entry: outside } = yield* perProject(home, { command: "serve", cwd: "/tmp", pool: { sharing } })
      assert.include(Predicate.isTagged(outside, "Misconfigured") ? outside.error.message : "", 'field "cwd"')
    })
  )

  it.effect("is nothing to a server that all share", () =>
    Effect.gen(function* () {
      const home = yield* makeHome({ "site/x": "" })
      assert.isUndefined((yield* perProject(home, { command: "serve" })).entry)
    })
  )
})

describe("addresses", () => {
  it("are short for people, and whole again", () => {
    const shown = (address: string) => Address.shorten(address, "/home/ada")
    assert.strictEqual(shown("git@/home/ada/site"), "git@~/site")
    assert.strictEqual(shown("git@/home/adam/site"), "git@/home/adam/site")
    assert.strictEqual(shown("@scope/git"), "@scope/git")
    assert.strictEqual(shown("git"), "git")
    assert.strictEqual(Address.expand("git@~/site", "/home/ada"), "git@/home/ada/site")
    assert.strictEqual(Address.expand("git@/site", "/home/ada"), "git@/site")
    assert.deepStrictEqual(Address.parse("@scope/git@/a@/b"), { server: "@scope/git", directory: "/a@/b" })
    assert.isUndefined(Address.parse("git@site"))
  })
})
