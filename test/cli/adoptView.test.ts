import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as path from "node:path"
import * as Adopt from "../../src/adopt/Adopt.ts"
import { needs } from "../../src/adopt/Needs.ts"
import { measuredLines, nextLines, planLines, undoneLines } from "../../src/cli/adoptView.ts"
import { paint } from "../../src/cli/Text.ts"
import * as Inputs from "../../src/config/Inputs.ts"
import { hosts } from "../../src/hosts/Hosts.ts"
import * as HostFolder from "../adopt/HostFolder.ts"

const plain = { paint: paint(false), width: Infinity }
const program = { node: "/usr/bin/node", script: "/opt/bin.js", runtimeDir: "/run/pool" }

const world = (files: Readonly<Record<string, string>>) =>
  Effect.gen(function* () {
    // Only these: the others have nothing.
    const empty = Object.keys(HostFolder.files("linux", "/")).map((name) => [name, ""] as const)
    const { home, where } = yield* HostFolder.make({ ...Object.fromEntries(empty), ...files })
    const projects = [path.join(home, "site")]
    const prepared = yield* Adopt.prepare({ where, program, hosts, projects, only: [] })
    return { home, prepared, view: { ...plain, home, isDryRun: false } }
  })

const json = (mcpServers: object) => JSON.stringify({ mcpServers })
const github = { command: "npx", args: ["-y", "@modelcontextprotocol/server-github"], env: { TOKEN: "${input:gh}" } }

describe("adoptView", () => {
  it.effect("shows what is duplicated, what is safe to share, what stays, and what servers need", () =>
    Effect.gen(function* () {
      const { home, prepared, view } = yield* world({
        ".claude.json": json({ github, web: { type: "http", url: "https://example.invalid" } }),
        ".cursor/mcp.json": json({ github, browser: { command: "npx", args: ["@playwright/mcp@latest"] } }),
        ".gemini/settings.json": json({ github: { command: "other", env: { KEY: "$MY_KEY" } } }),
        "site/.mcp.json": json({ build: { command: "make", args: ["serve"] } })
      })
      const before = [
        { copies: 2, processes: 6, memory: 300_000_000 },
        { copies: 0, processes: 0, memory: 0 }
      ]
      const here = { variables: {}, inputs: Inputs.none, workspaceFolder: home, userHome: home }
      assert.deepStrictEqual(planLines(prepared, before, needs(prepared.servers, here), view), [
        "SERVER        HOSTS                ENTRIES  PROCESSES  MEMORY  SAFE TO SHARE",
        "github        Claude Code, Cursor        2          6  300 MB  yes",
        "github-2      Gemini CLI                 1          -       -  not known",
        '  "github" there, with another definition than github',
        "build@~/site  Claude Code                1          -       -  not known",
        "  runs make serve",
        "browser       Cursor                     1          -       -  no, it keeps a browser and its pages: a process for each session",
        "",
        "left as they are",
        "  web (Claude Code): has a url, where its host may be signed in: to share it, write it into the pool's own file",
        "",
        "5 entries of 4 files now connect to the pool, 4 definitions into ~/.config/mcp-pool/config.json",
        "  ~/.claude.json  github",
        "  ~/site/.mcp.json  build",
        "  ~/.cursor/mcp.json  github, browser",
        "  ~/.gemini/settings.json  github",
        "",
        'needs values in ~/.config/mcp-pool/mcp-pool.inputs.json (mode 0600), as { "ID": "VALUE" }',
        "  gh (github)",
        "",
        "taken from the daemon's environment",
        "  MY_KEY (github-2)  not set here"
      ])
      assert.deepStrictEqual(nextLines(prepared, { ...view, otherFiles: [`${home}/mine.json`] }), [
        "",
        "The daemon was last started with ~/mine.json only. Start it once with all:",
        `  mcp-pool serve --config ${home}/mine.json --config ${home}/.config/mcp-pool/config.json`,
        "Next: restart Claude Code, Cursor, Gemini CLI. mcp-pool service install keeps the daemon ready from login on.",
        "mcp-pool adopt --undo takes it all back.",
        "mcp-pool certify NAME finds out whether a server is safe to share.",
        "~/site/.mcp.json now names paths of this machine: not for others' use."
      ])
    })
  )

  it.effect("shows both measurements side by side, and what does not answer", () =>
    Effect.gen(function* () {
      const { prepared } = yield* world({ ".cursor/mcp.json": json({ github, x: { command: "x" } }) })
      const before = [
        { copies: 3, processes: 9, memory: 450_000_000 },
        { copies: 0, processes: 0, memory: 0 }
      ]
      const tried = prepared.servers.map((server, i) => ({
        server,
        moved: server.entries[0]!,
        trouble: i === 0 ? null : "no such command"
      }))
      const usage = { processes: 6, memory: 180_000_000, servers: 1 }
      assert.deepStrictEqual(measuredLines(before, { sessions: 3, usage, tried }, plain), [
        "",
        "        PROCESSES  MEMORY",
        "before          9  450 MB  3 servers that hosts run",
        "after           6  180 MB  3 sessions: a bridge each, the daemon, 1 server",
        "",
        "does not answer yet",
        "  ✗ x (Cursor): no such command"
      ])
      assert.deepStrictEqual(
        measuredLines(before, { sessions: 0, usage: null, tried: [] }, plain).at(-1),
        "after           -       -  not measured: no daemon runs"
      )
    })
  )

  it("says what undo has put back, and what not", () => {
    const undone = { at: "", restored: ["/h/a"], removed: ["/h/b"], partly: ["/h/c"], kept: "/h/k" }
    assert.deepStrictEqual(undoneLines(undone, "/h"), [
      "~/a is as it was",
      "~/b is gone again",
      "~/c has changed since: only what adopt had pointed at the pool is back",
      "what had changed since is kept in ~/k",
      "",
      "Next: restart the hosts; mcp-pool shutdown ends what the pool still runs for them."
    ])
  })
})
