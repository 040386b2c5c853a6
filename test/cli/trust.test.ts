import { mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as PoolConfig from "../../src/config/PoolConfig.ts"
import { command } from "./CommandLine.ts"
import * as Spawned from "./Spawned.ts"

/** A home directory with files, for the time of a test. */
const makeHome = (files: Readonly<Record<string, unknown>>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const home = realpathSync(mkdtempSync(path.join(tmpdir(), "mcp-pool-trust-")))
      for (const [name, content] of Object.entries(files)) put(path.join(home, name), content)
      return home
    }),
    (home) => Effect.sync(() => rmSync(home, { recursive: true }))
  )

const put = (file: string, content: unknown) => {
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content))
}

/** The console remembers all of a test: `lines` are the last so many. */
const trust = (home: string, ...args: ReadonlyArray<string>) =>
  command(path.join(home, "run"), "trust", ...args).pipe(
    Effect.provideService(PoolConfig.HostEnvironment, { HOME: home }),
    Effect.map((outcome) => ({ ...outcome, lines: (count: number) => outcome.out.split("\n").slice(-count) }))
  )

describe("mcp-pool trust", () => {
  it.effect("shows each command and where it stands, no value of a variable, and nothing that steers a terminal", () =>
    Effect.gen(function* () {
      const home = yield* makeHome({
        "site/.mcp.json": {
          mcpServers: {
            "git\n\u001b[2Jevil": {
              command: "uvx",
              args: ["mcp-server-git", "a b", "\u001b]0;title\u0007x\ny\u202ez"],
              env: { TOKEN: "s3cret" },
              envFile: ".env"
            },
            pool: { command: "mcp-pool", args: ["connect", "pool"] }
          },
          pool: { extraEnv: { PASSWORD: "s3cret" } }
        },
        "site/.vscode/mcp.json": {
          servers: {
            remote: {
              type: "http",
              url: "https://example.org/mcp",
              headers: { "X-Team": "s3cret", Authorization: "Bearer ${TOKEN} ${env:OTHER:-s3cret}" }
            },
            // It is the command that is run.
            both: { url: "https://harmless.example/mcp", command: "rm", args: ["-rf", "x"] },
            either: { type: "http", url: "https://example.org/other", command: "rm" }
          }
        }
      })
      const site = path.join(home, "site")
      const { code, err, out } = yield* trust(home, site)
      assert.deepStrictEqual([code, err], [0, ""])
      assert.deepStrictEqual(out.split("\n"), [
        `${site} configures 4 servers of its own. These commands will be run, and these urls asked:`,
        "",
        "git [2Jevil  .mcp.json",
        "  uvx mcp-server-git 'a b' ']0;titlex yz'",
        "  envFile .env",
        "  env TOKEN",
        "  pool extraEnv",
        "remote  .vscode/mcp.json",
        "  https://example.org/mcp",
        "  headers X-Team, Authorization with ${TOKEN}, ${env:OTHER}",
        "both  .vscode/mcp.json",
        "  rm -rf x",
        "either  .vscode/mcp.json",
        "  https://example.org/other",
        "",
        "trusted: what changes in a definition has to be trusted again"
      ])
    })
  )

  it.effect("lists what is trusted, changed and gone, and forgets it", () =>
    Effect.gen(function* () {
      const entry = { mcpServers: { git: { command: "git-server" } } }
      const home = yield* makeHome({ "a/.mcp.json": entry, "b/.mcp.json": entry, "c/.mcp.json": entry })
      const [a, b, c] = ["a", "b", "c"].map((name) => path.join(home, name))
      symlinkSync(a!, path.join(home, "link"))
      for (const directory of [path.join(home, "link"), b!, c!]) yield* trust(home, directory)
      put(path.join(b!, ".mcp.json"), { mcpServers: { git: { command: "another" } } })
      rmSync(c!, { recursive: true })
      assert.deepStrictEqual((yield* trust(home, "--list")).lines(3), [
        `${a}  git`,
        `${b}  git  has changed since`,
        `${c}  git  the directory is gone`
      ])
      assert.deepStrictEqual((yield* trust(home, "--remove", c!)).lines(1), [`${c} is no longer trusted`])
      assert.deepStrictEqual((yield* trust(home, "--remove", c!)).lines(1), [`${c} was not trusted`])
      assert.match((yield* trust(home, "--list")).lines(3)[0]!, /was not trusted$/)
    })
  )

  it.effect("says why there is nothing to trust", () =>
    Effect.gen(function* () {
      const home = yield* makeHome({ "site/x": "", "broken/.mcp.json": "{" })
      const site = path.join(home, "site")
      assert.include((yield* trust(home, site)).out, "configures no server of its own")
      for (const [args, words] of [
        [[], "trust needs a project's directory"],
        [[home], "is no project"],
        [["/"], "is no project"],
        [[path.join(home, "nowhere")], "is no directory"],
        [[path.join(home, "broken")], "broken/.mcp.json:1:2: not valid JSON"]
      ] as const) {
        const { code, err } = yield* trust(home, ...args)
        assert.strictEqual(code, 2, err)
        assert.include(err, words)
      }
    })
  )

  it.live("several at once leave whole records", () =>
    Effect.gen(function* () {
      const many = Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`server-${i}`, { command: "a" }]))
      const home = yield* makeHome({
        "a/.mcp.json": { mcpServers: many },
        "b/.mcp.json": { mcpServers: { git: { command: "b" } } }
      })
      const runs = ["a", "a", "b", "b"].map((name) =>
        Effect.gen(function* () {
          const { ended } = yield* Spawned.start(["trust", path.join(home, name)], { home })
          return yield* ended
        }).pipe(Effect.scoped)
      )
      for (const { code, err } of yield* Effect.all(runs, { concurrency: "unbounded" }))
        assert.strictEqual(code, 0, err)
      const { out } = yield* trust(home, "--list")
      assert.match(out, /\/a  server-0, .*\n.*\/b  git$/)
      assert.notInclude(out, "changed")
      assert.strictEqual(readdirSync(path.join(home, ".config/mcp-pool/trusted")).length, 2)
    })
  )
})
