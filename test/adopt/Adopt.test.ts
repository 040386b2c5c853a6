import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { parse as parseJsonc } from "jsonc-parser"
import * as TOML from "smol-toml"
import * as Adopt from "../../src/adopt/Adopt.ts"
import { hasUrl } from "../../src/hosts/Shapes.ts"
import * as Files from "../../src/adopt/Files.ts"
import { own } from "../../src/adopt/Find.ts"
import * as PoolConfig from "../../src/config/PoolConfig.ts"
import * as Connect from "../../src/hosts/Connect.ts"
import { hosts } from "../../src/hosts/Hosts.ts"
import * as RandomFile from "../hosts/RandomFile.ts"
import * as HostFolder from "./HostFolder.ts"

const program = { node: "/usr/bin/node", script: "/opt/mcp-pool/dist/bin/bin.js", runtimeDir: "/run/pool" }

const options = (folder: HostFolder.HostFolder, only: ReadonlyArray<string> = []): Adopt.Options => ({
  where: folder.where,
  program,
  hosts,
  projects: [folder.project],
  only
})

const adopt = (folder: HostFolder.HostFolder, only: ReadonlyArray<string> = []) =>
  Effect.gen(function* () {
    const prepared = yield* Adopt.prepare(options(folder, only))
    yield* Adopt.apply(prepared)
    return prepared
  })

const undo = ({ home }: HostFolder.HostFolder, ifChanged: "refuse" | "overwrite" | "entries" = "refuse") =>
  Adopt.undo({ home, ifChanged })

/** A file as its host would read it. */
const load = (file: string): unknown => {
  const text = fs.readFileSync(file, "utf8").replace(/^\uFEFF/, "")
  if (file.endsWith(".toml")) return JSON.parse(JSON.stringify(TOML.parse(text)))
  const errors: Array<never> = []
  const value: unknown = parseJsonc(text, errors, { allowTrailingComma: true })
  assert.lengthOf(errors, 0, file)
  return value
}

const at = (value: unknown, ...keys: ReadonlyArray<string>): unknown =>
  keys.reduce((inner: unknown, key) => (inner as Record<string, unknown>)[key], value)

const connect = (name: string, project: string | null = null) => {
  const { args, command } = Connect.run(name, program, project)
  return { command, args: [...args] }
}

describe("Adopt", () => {
  it.effect("points the entries of all eight hosts at the pool, each in its own shape, and leaves all else", () =>
    Effect.gen(function* () {
      const folder = yield* HostFolder.make()
      const file = (name: string) => load(path.join(folder.home, name))
      const before = Object.keys(HostFolder.files("linux", folder.home)).map((name) => [name, file(name)] as const)
      const { kept, servers } = yield* adopt(folder)

      const claude = file(".claude.json")
      assert.deepStrictEqual(at(claude, "mcpServers", "everything"), { type: "stdio", ...connect("everything") })
      assert.deepStrictEqual(at(claude, "projects", folder.project, "mcpServers", "everything"), {
        type: "stdio",
        ...connect("everything", folder.project)
      })
      assert.deepStrictEqual(at(file(".config/Claude/claude_desktop_config.json"), "mcpServers"), {
        everything: connect("everything"),
        'a "quoted" name': connect('a "quoted" name'),
        price: { command: "echo", args: ["${NOT_A_REFERENCE}"] }
      })
      assert.deepStrictEqual(at(file(".config/Code/User/mcp.json"), "servers", "with.dots"), {
        type: "stdio",
        ...connect("with.dots"),
        gallery: true
      })
      assert.deepStrictEqual(at(file(".cursor/mcp.json"), "mcpServers", "memory"), connect("memory-2"))
      assert.deepStrictEqual(at(file(".codex/config.toml"), "mcp_servers"), {
        everything: { ...connect("everything"), startup_timeout_sec: 20, tool_timeout_sec: 60 },
        "odd.name with 'quotes'": connect("odd.name with 'quotes'"),
        memory: { ...connect("memory"), tools: { read_graph: { approval_mode: "approve" } } },
        docs: { url: "https://example.invalid/mcp" },
        paused: { command: "true", enabled: false }
      })
      assert.deepStrictEqual(at(file(".gemini/settings.json"), "mcpServers", "everything"), {
        ...connect("everything"),
        timeout: 30_000,
        trust: true
      })
      const { args, command } = connect("keyed")
      assert.deepStrictEqual(at(file(".config/opencode/opencode.jsonc"), "mcp", "keyed"), {
        type: "local",
        command: [command, ...args],
        timeout: 9000
      })
      const { args: oldArgs } = connect("old-style")
      assert.deepStrictEqual(at(file(".config/zed/settings.json"), "context_servers", "old-style"), {
        command: { path: command, args: oldArgs },
        settings: {}
      })
      assert.deepStrictEqual(at(file("site/.codex/config.toml"), "mcp_servers"), {
        dotted: connect("dotted", folder.project),
        "in line": { ...connect("in line", folder.project), startup_timeout_sec: 5 }
      })

      const moved = servers.flatMap(({ entries }) => entries)
      for (const [name, was] of before) {
        const target = path.join(folder.home, name)
        const paths = moved.filter(({ found }) => found.target === target).map(({ entry }) => entry.path)
        assert.isNotEmpty(paths, name)
        assert.deepStrictEqual(without(file(name), paths), without(was, paths), name)
      }
      assert.deepStrictEqual(
        new Map(kept.map(({ entry, reason }) => [entry.name, reason])),
        new Map([
          ["linear", hasUrl],
          ["of home", "is for the home directory or the root alone, which are no projects"],
          ["gone", "is for a directory that is gone"],
          ["price", "has ${ in it, which is text to this host and a reference to the pool"],
          ["boxed", "runs in VS Code's sandbox, which the pool has not"],
          ["off", "is disabled"],
          ["twice", "stands there twice"],
          ["elsewhere", hasUrl],
          ["odd", "has a reference that only this host knows: unknown reference ${command:pick}"],
          ["docs", hasUrl],
          ["paused", "is disabled"],
          ["web", hasUrl],
          ["from file", "takes a text from a file ({file:…}), which only opencode does"],
          ["remote", hasUrl],
          ["an-extension", "belongs to an extension of Zed's"]
        ])
      )
    })
  )

  it.effect("moves the definitions into the pool's own file, each once, as the pool reads it", () =>
    Effect.gen(function* () {
      const folder = yield* HostFolder.make()
      yield* adopt(folder)
      assert.strictEqual(fs.statSync(folder.poolFile).mode & 0o777, 0o600)
      assert.strictEqual(fs.statSync(path.dirname(folder.poolFile)).mode & 0o777, 0o700)
      const node = { command: process.execPath }
      const everything = HostFolder.everything
      const store = path.join(folder.home, "memory.jsonl")
      assert.deepStrictEqual(load(folder.poolFile), {
        mcpServers: {
          everything: { ...node, args: [everything] },
          memory: { ...node, args: [HostFolder.memory], env: { MEMORY_FILE_PATH: store } },
          "memory-2": {
            ...node,
            args: [HostFolder.memory],
            env: { MEMORY_FILE_PATH: path.join(folder.home, "other.jsonl") },
            cwd: "${userHome}"
          },
          'a "quoted" name': { ...node, args: [everything, "stdio"], env: { MODE: "desktop" } },
          "with.dots": {
            ...node,
            args: [everything, "stdio"],
            env: { TOKEN: "${input:token}", HOME_TOO: "${env:HOME}" }
          },
          "odd.name with 'quotes'": {
            ...node,
            args: [everything, "stdio"],
            env: { MODE: "codex" },
            pool: { passEnv: ["SSH_AUTH_SOCK"] }
          },
          keyed: { ...node, args: [everything, "stdio"], env: { API_KEY: "${MY_API_TOKEN}", PASSWORD: "pa$word" } },
          "old-style": { ...node, args: [everything, "stdio"], env: { MODE: "zed" } }
        },
        projects: {
          [folder.project]: {
            mcpServers: {
              everything: { ...node, args: [everything, "stdio"] },
              local: { ...node, args: [everything, "stdio"], env: { DIR: "${workspaceFolder}" } },
              thinking: {
                command: "npx",
                args: ["-y", "@modelcontextprotocol/server-sequential-thinking"],
                pool: { sharing: "per-session" }
              },
              dotted: { ...node, args: [everything], env: { A: "1" } },
              "in line": { ...node, args: [everything], env: { A: "1" } }
            }
          }
        }
      })
      const { servers } = yield* PoolConfig.loadFiles([folder.poolFile]).pipe(
        Effect.provideService(PoolConfig.HostEnvironment, {
          HOME: folder.home,
          MY_API_TOKEN: "t",
          MCP_POOL_INPUT_TOKEN: "i"
        })
      )
      assert.deepStrictEqual(
        servers.filter(({ _tag }) => _tag !== "Configured").map(({ name }) => name),
        []
      )
    })
  )

  it.effect("is undone byte for byte, modes and directories too", () =>
    Effect.gen(function* () {
      const folder = yield* HostFolder.make()
      const before = HostFolder.snapshot(folder.home)
      yield* adopt(folder)
      assert.notDeepEqual(HostFolder.snapshot(folder.home), before)
      const { removed, restored } = yield* undo(folder)
      assert.deepStrictEqual(HostFolder.snapshot(folder.home), before)
      assert.deepStrictEqual(removed, [folder.poolFile])
      assert.lengthOf(restored, Object.keys(HostFolder.files("linux", folder.home)).length)
      assert.strictEqual((yield* Effect.flip(undo(folder)))._tag, "NothingToUndo")
    })
  )

  it.effect("has nothing to do the second time", () =>
    Effect.gen(function* () {
      const folder = yield* HostFolder.make()
      yield* adopt(folder)
      const again = yield* Adopt.prepare(options(folder))
      assert.deepStrictEqual([again.servers, again.writes, again.poolText], [[], [], null])
      assert.strictEqual(again.kept.filter(({ reason }) => reason === own).length, 23)
    })
  )

  it.effect("moves what was added since, under the name that the pool has it by, and undoes one after another", () =>
    Effect.gen(function* () {
      const folder = yield* HostFolder.make({ ".cursor/mcp.json": '{"mcpServers":{}}' })
      const first = HostFolder.snapshot(folder.home)
      yield* adopt(folder)
      const cursor = path.join(folder.home, ".cursor/mcp.json")
      const servers = {
        everything: { command: process.execPath, args: [HostFolder.everything] },
        memory: { command: "true" },
        fresh: { command: "true" }
      }
      fs.writeFileSync(cursor, JSON.stringify({ mcpServers: servers }))
      const second = HostFolder.snapshot(folder.home)
      const again = yield* adopt(folder)
      assert.deepStrictEqual(
        again.servers.map(({ isThere, name }) => [name, isThere]),
        [
          ["everything", true],
          ["memory-2", false],
          ["fresh", false]
        ]
      )
      yield* undo(folder)
      assert.deepStrictEqual(HostFolder.snapshot(folder.home), second)
      fs.writeFileSync(cursor, '{"mcpServers":{}}')
      yield* undo(folder)
      assert.deepStrictEqual(HostFolder.snapshot(folder.home), first)
    })
  )

  it.effect("adds to the pool's own file in place, with its comments, and takes it back from there", () =>
    Effect.gen(function* () {
      const text = `{
\t// by hand
\t"servers": {
\t\t"memory": { "command": "my-memory" }, // mine
\t\t/* last */
\t},
\t"projects": { "/elsewhere": { "mcpServers": { "x": { "command": "y" } } } },
\t"pool": { "maxInFlight": 8 }
}
`
      const folder = yield* HostFolder.make({ ".config/mcp-pool/config.json": text })
      const before = HostFolder.snapshot(folder.home)
      yield* adopt(folder)
      const now = fs.readFileSync(folder.poolFile, "utf8")
      for (const line of ["// by hand", '"memory": { "command": "my-memory" }, // mine', "/* last */"]) {
        assert.include(now, line)
      }
      const pool = load(folder.poolFile)
      assert.deepStrictEqual(Object.keys(at(pool, "servers") as object).slice(0, 4), [
        "memory",
        "everything",
        "memory-2",
        "memory-3"
      ])
      assert.deepStrictEqual(Object.keys(at(pool, "projects") as object), ["/elsewhere", folder.project])
      assert.strictEqual(fs.statSync(folder.poolFile).mode & 0o777, 0o600)
      yield* undo(folder)
      assert.deepStrictEqual(HostFolder.snapshot(folder.home), before)
    })
  )

  it.effect("shares nothing between projects that depends on which of them is open", () =>
    Effect.gen(function* () {
      const servers = {
        here: { command: "npx", args: ["server-filesystem", "."] },
        folder: { command: "x", env: { ROOT: "${workspaceFolder}/a" } },
        relative: { command: "x", cwd: "sub" },
        file: { command: "x", envFile: ".env" },
        script: { command: "bin/x" },
        both: { command: "x", args: ["${workspaceFolder}"], cwd: "/srv" },
        home: { command: "${userHome}/bin/x", cwd: "/srv", args: ["a/b", "--x=./y"] }
      }
      const folder = yield* HostFolder.make({ ".cursor/mcp.json": JSON.stringify({ mcpServers: servers }) })
      const prepared = yield* Adopt.prepare(options(folder, Object.keys(servers)))
      const policies = new Map(prepared.servers.map(({ name, options }) => [name, options.pool?.sharing]))
      const kept = prepared.kept.filter(({ reason }) => reason === "depends on the project that its host has open")
      assert.isTrue(policies.has("home"))
      assert.isUndefined(policies.get("home"))
      assert.isTrue(kept.some(({ entry }) => entry.name === "both"))
      for (const name of ["here", "folder", "file", "script"]) {
        // One or the other: as long as the pool has no such policy, its host goes on with it.
        assert.isTrue(
          String(policies.get(name)) === "per-project" || kept.some(({ entry }) => entry.name === name),
          name
        )
      }
      assert.isTrue(kept.some(({ entry }) => entry.name === "relative"))
    })
  )

  it.effect("moves only what is named", () =>
    Effect.gen(function* () {
      const folder = yield* HostFolder.make()
      const { files, servers } = yield* adopt(folder, ["keyed"])
      assert.deepStrictEqual(
        servers.map(({ name }) => name),
        ["keyed"]
      )
      assert.deepStrictEqual(
        files.map(({ found }) => found.host.id),
        ["gemini", "opencode"]
      )
      const error = yield* Effect.flip(Adopt.prepare(options(folder, ["keyd"])))
      assert.include(error.message, 'did you mean "keyed"?')
    })
  )

  it.effect("finds the places of macOS", () =>
    Effect.gen(function* () {
      const folder = yield* HostFolder.make({}, "darwin")
      const { files } = yield* Adopt.prepare(options(folder))
      assert.deepStrictEqual(
        [...new Set(files.map(({ found }) => found.host.id))],
        hosts.map(({ id }) => id)
      )
    })
  )

  it.effect("edits a file behind a link where it lies, and keeps mode and link", () =>
    Effect.gen(function* () {
      const folder = yield* HostFolder.make()
      const dotfiles = path.join(folder.home, "dotfiles")
      fs.mkdirSync(dotfiles)
      const cursor = path.join(folder.home, ".cursor/mcp.json")
      const target = path.join(dotfiles, "cursor.json")
      fs.renameSync(cursor, target)
      fs.chmodSync(target, 0o640)
      fs.symlinkSync("../dotfiles/cursor.json", cursor)
      const before = HostFolder.snapshot(folder.home)
      yield* adopt(folder)
      assert.isTrue(fs.lstatSync(cursor).isSymbolicLink())
      assert.strictEqual(fs.statSync(target).mode & 0o777, 0o640)
      assert.deepStrictEqual(at(load(target), "mcpServers", "memory"), connect("memory-2"))
      yield* undo(folder)
      assert.deepStrictEqual(HostFolder.snapshot(folder.home), before)
    })
  )

  it.effect("leaves a read-only file, one that is not valid and one that is not UTF-8, and says so", () =>
    Effect.gen(function* () {
      const folder = yield* HostFolder.make({
        ".gemini/settings.json": '{ "mcpServers": { "a": { "command": "b" } ',
        ".codex/config.toml": 'model = "x"\n[mcp_servers.a\n'
      })
      fs.chmodSync(path.join(folder.home, ".cursor/mcp.json"), 0o444)
      fs.writeFileSync(path.join(folder.home, ".config/zed/settings.json"), Buffer.from([0x7b, 0xff, 0x7d]))
      const { files, kept, unread } = yield* adopt(folder)
      assert.notInclude(
        files.map(({ found }) => found.host.id),
        "cursor"
      )
      assert.isTrue(kept.some(({ entry, reason }) => entry.name === "memory" && reason.includes("read-only")))
      assert.deepStrictEqual(
        unread.map(({ host, reason }) => [host.id, reason]),
        [
          ["codex", "line 2, column 15: not valid TOML: illegal character in key"],
          ["gemini", "line 1, column 43: not valid JSON: close brace expected"],
          ["zed", "is not UTF-8"]
        ]
      )
    })
  )

  it.effect("does nothing where the pool's own file is wrong", () =>
    Effect.gen(function* () {
      const folder = yield* HostFolder.make({
        ".config/mcp-pool/config.json": '{ "mcpServers": {}, "pool": { "maxInFlight": 0 } }'
      })
      const error = yield* Effect.flip(Adopt.prepare(options(folder)))
      assert.strictEqual(error._tag, "ConfigFileError")
    })
  )
})

describe("Adopt's files", () => {
  it.effect("are put back where one of them cannot be written", () =>
    Effect.gen(function* () {
      const folder = yield* HostFolder.make()
      const before = HostFolder.snapshot(folder.home)
      const prepared = yield* Adopt.prepare(options(folder))
      for (const failing of prepared.writes.keys()) {
        let count = 0
        const rename = (from: string, to: string) => {
          if (count++ === failing) throw Object.assign(new Error("no"), { code: "EBUSY" })
          fs.renameSync(from, to)
        }
        const error = yield* Effect.flip(Adopt.apply(prepared)).pipe(Effect.provideService(Files.Rename, rename))
        assert.strictEqual(
          error.message,
          `${prepared.writes[failing]!.file}: cannot be read or written (EBUSY): nothing was changed`
        )
        assert.deepStrictEqual(HostFolder.snapshot(folder.home), before)
      }
    })
  )

  it.effect("keep their copies where one cannot be put back either, and undo puts it back", () =>
    Effect.gen(function* () {
      const folder = yield* HostFolder.make()
      const before = HostFolder.snapshot(folder.home)
      const prepared = yield* Adopt.prepare(options(folder))
      const [pool, first, second] = prepared.writes
      let isFull = false
      const rename = (from: string, to: string) => {
        isFull ||= to === second!.file
        if (isFull) throw Object.assign(new Error("no"), { code: "ENOSPC" })
        fs.renameSync(from, to)
      }
      const error = yield* Effect.flip(Adopt.apply(prepared)).pipe(Effect.provideService(Files.Rename, rename))
      assert.strictEqual(
        error.message,
        `${second!.file}: cannot be read or written (ENOSPC); ${first!.file}, ${pool!.file} are written already, and ` +
          `are to stay so until "mcp-pool adopt --undo" can put them back`
      )
      // Its entries connect to what the pool has.
      assert.isTrue(fs.existsSync(pool!.file))
      assert.isFalse(fs.readFileSync(first!.file).equals(first!.before!))
      yield* Adopt.undo({ home: folder.home, ifChanged: "refuse" })
      assert.deepStrictEqual(HostFolder.snapshot(folder.home), before)
    })
  )

  it.effect("are not written where one was changed meanwhile", () =>
    Effect.gen(function* () {
      const folder = yield* HostFolder.make()
      const prepared = yield* Adopt.prepare(options(folder))
      const claude = path.join(folder.home, ".claude.json")
      fs.appendFileSync(claude, "\n")
      const before = HostFolder.snapshot(folder.home)
      const error = yield* Effect.flip(Adopt.apply(prepared))
      assert.include(error.message, `${claude}: was changed by somebody else meanwhile`)
      assert.deepStrictEqual(HostFolder.snapshot(folder.home), before)
    })
  )

  it.effect("are not put back over what has changed since, but by force, which keeps that", () =>
    Effect.gen(function* () {
      const folder = yield* HostFolder.make()
      const before = HostFolder.snapshot(folder.home)
      yield* adopt(folder)
      const cursor = path.join(folder.home, ".cursor/mcp.json")
      fs.appendFileSync(cursor, "// mine\n")
      fs.rmSync(path.join(folder.home, ".gemini/settings.json"))
      const changed = HostFolder.snapshot(folder.home)
      const mine = fs.readFileSync(cursor)

      const error = yield* Effect.flip(undo(folder))
      assert.strictEqual(error._tag, "Changed")
      assert.include(error.message, `${cursor} and ${folder.home}/.gemini/settings.json have changed since`)
      assert.deepStrictEqual(HostFolder.snapshot(folder.home), changed)

      const { kept } = yield* undo(folder, "overwrite")
      const after = HostFolder.snapshot(folder.home)
      for (const [name, state] of Object.entries(before)) assert.strictEqual(after[name], state, name)
      const copies = fs.readdirSync(kept!).filter((name) => name.startsWith("changed-"))
      assert.lengthOf(copies, 1)
      assert.deepStrictEqual(fs.readFileSync(path.join(kept!, copies[0]!)), mine)
    })
  )

  it.effect("get their entries back alone where a host has written to them since", () =>
    Effect.gen(function* () {
      const folder = yield* HostFolder.make()
      const file = (name: string) => path.join(folder.home, name)
      const before = HostFolder.snapshot(folder.home)
      const was = [".claude.json", ".codex/config.toml"].map((name) => load(file(name)))
      yield* adopt(folder)
      const replace = (name: string, from: string, to: string) => {
        const text = fs.readFileSync(file(name), "utf8")
        assert.include(text, from)
        fs.writeFileSync(file(name), text.replace(from, to))
      }
      replace(".claude.json", '"numStartups": 412', '"numStartups": 413')
      replace(".codex/config.toml", 'model = "some-model"', 'model = "another"')
      replace(".cursor/mcp.json", '"memory-2"', '"memory-9", "--mine"')
      fs.rmSync(file("site/.mcp.json"))

      const { kept, partly } = yield* undo(folder, "entries")
      assert.deepStrictEqual(
        partly.map((name) => path.relative(folder.home, name)),
        [".claude.json", "site/.mcp.json", ".cursor/mcp.json", ".codex/config.toml"]
      )
      const [claude, codex] = was as ReadonlyArray<Record<string, unknown>>
      assert.deepStrictEqual(load(file(".claude.json")), { ...claude, numStartups: 413 })
      assert.deepStrictEqual(load(file(".codex/config.toml")), { ...codex, model: "another" })
      assert.isFalse(fs.existsSync(file("site/.mcp.json")))
      assert.isTrue(fs.existsSync(kept!))
      const after = HostFolder.snapshot(folder.home)
      const others = Object.keys(before).filter((name) => !partly.includes(file(name)))
      for (const name of others) assert.strictEqual(after[name], before[name], name)
      assert.isFalse(fs.existsSync(folder.poolFile))
    })
  )

  it.effect("are copied where only their owner may read", () =>
    Effect.gen(function* () {
      const folder = yield* HostFolder.make()
      yield* adopt(folder)
      const copies = path.join(path.dirname(folder.poolFile), "adopt")
      const modes = Object.entries(HostFolder.snapshot(copies)).map(([, state]) => state.slice(0, 6))
      assert.deepStrictEqual([...new Set(modes)].sort(), ["100600", "40700 "])
    })
  )
})

/** A value without what stands at the paths. */
const without = (value: unknown, paths: ReadonlyArray<ReadonlyArray<string>>): unknown => {
  const copy: unknown = structuredClone(value)
  for (const keys of paths) {
    const parent = at(copy, ...keys.slice(0, -1)) as Record<string, unknown>
    delete parent[keys.at(-1)!]
  }
  return copy
}

describe("Adopt and undo", () => {
  it.effect.prop(
    "leave every byte of any files as it was",
    { texts: RandomFile.from((choices) => hosts.map((host) => RandomFile.textOf(RandomFile.make(host, choices)))) },
    ({ texts }) =>
      Effect.gen(function* () {
        const places = hosts.flatMap(({ project, user }, i) => {
          const own = user({ home: "/", platform: "linux", variables: {} })[0]!.slice(1)
          // The same again in the project: names that are there already, for another directory.
          return [own, ...project.map((file) => `site/${file}`)].map((file) => [file, texts[i]!] as const)
        })
        const folder = yield* HostFolder.make(Object.fromEntries(places))
        const before = HostFolder.snapshot(folder.home)
        const { kept } = yield* adopt(folder)
        assert.deepStrictEqual(
          kept.filter(({ found, reason }) => found.host.id !== "claude-code" && reason.includes("changed in place")),
          []
        )
        const again = yield* Adopt.prepare(options(folder))
        assert.deepStrictEqual(again.servers, [])
        if (fs.existsSync(folder.poolFile)) {
          yield* undo(folder)
        }
        assert.deepStrictEqual(HostFolder.snapshot(folder.home), before)
      }),
    { arbitrary: { runs: 10 } }
  )
})
