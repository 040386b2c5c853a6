/** Where the accepted tools of a server stand, and under which name. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as ClaudeFile from "../../src/config/ClaudeFile.ts"
import * as PoolConfig from "../../src/config/PoolConfig.ts"
import * as Project from "../../src/config/Project.ts"
import * as TestPool from "../support/TestPool.ts"

const setUp = Effect.fnUntraced(function* (files: Readonly<Record<string, object>>) {
  const home = yield* TestPool.temporaryDirectory
  const at = (name: string) => path.join(home, name)
  for (const [name, content] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(at(name)), { recursive: true })
    fs.writeFileSync(at(name), JSON.stringify(content).replaceAll("HOME", home))
  }
  return { home, at }
})

const pinOf = (entry: PoolConfig.ServerEntry | undefined) =>
  entry?._tag === "Configured" ? entry.spec.pool.pin : "none"

const server = (pool?: object) => ({ command: "node", ...(pool === undefined ? {} : { pool }) })

describe("pool.pin", () => {
  it.effect("has its lock file beside the file in which the server stands; a server's own wins", () =>
    Effect.gen(function* () {
      const { at } = yield* setUp({
        "one/config.json": {
          mcpServers: { a: server(), b: server({ pin: "block" }), c: server({ pin: "off" }) },
          pool: { pin: "warn" }
        },
        "two/.vscode/mcp.json": { servers: { d: server({ pin: "warn" }), e: server() } }
      })
      const { servers } = yield* PoolConfig.loadFiles([at("one/config.json"), at("two/.vscode/mcp.json")])
      const file = at("one/mcp-pool.lock.json")
      assert.deepStrictEqual(servers.map(pinOf), [
        { mode: "warn", file, server: "a" },
        { mode: "block", file, server: "b" },
        undefined,
        { mode: "warn", file: at("two/.vscode/mcp-pool.lock.json"), server: "d" },
        undefined
      ])
    })
  )

  it.effect("of a project's own file names the server as that does, wherever the project is", () =>
    Effect.gen(function* () {
      const { at, home } = yield* setUp({
        "site/.mcp.json": { mcpServers: { own: server({ pin: "block" }) } },
        ".claude.json": { projects: { "HOME/site": { mcpServers: { claude: server({ pin: "warn" }) } } } },
        "config/config.json": {
          mcpServers: { each: server({ pin: "warn", sharing: "per-project" }) },
          projects: { "HOME/site": { mcpServers: { mine: server({ pin: "warn" }) } } }
        }
      })
      yield* Effect.gen(function* () {
        const config = yield* PoolConfig.loadFiles([at("config/config.json")])
        const project = (yield* Project.at(at("site")))!
        const claudeFile = yield* ClaudeFile.make
        const pins: Record<string, unknown> = {}
        for (const name of ["own", "claude", "mine"]) {
          const found = (yield* Project.find({ config, server: name, project, claudeFile }))!
          pins[name] = pinOf((yield* Project.resolve(found)).entry)
        }
        pins["each"] = pinOf(yield* Project.perProject(config, "each", project))
        const address = (name: string) => `${name}@${project.directory}`
        const beside = at("config/mcp-pool.lock.json")
        assert.deepStrictEqual(pins, {
          own: { mode: "block", file: at("site/mcp-pool.lock.json"), server: "own" },
          // What tells these apart in their file is the project.
          claude: { mode: "warn", file: at("mcp-pool.lock.json"), server: address("claude") },
          mine: { mode: "warn", file: beside, server: address("mine") },
          // One definition for all of its projects.
          each: { mode: "warn", file: beside, server: "each" }
        })
      }).pipe(Effect.provideService(PoolConfig.HostEnvironment, { HOME: home }))
    })
  )
})
