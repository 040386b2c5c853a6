import { assert, describe, it } from "@effect/vitest"
import { entries } from "../../src/cli/config.ts"

const where = { node: "/usr/bin/node", script: "/opt/mcp-pool/bin.js", runtimeDir: "/run/pool" }
const args = (name: string) => [where.script, "connect", name, "--runtime-dir", where.runtimeDir]

describe("config", () => {
  it("prints mcpServers for hosts in general and for Cursor", () => {
    for (const host of ["generic", "cursor"] as const) {
      assert.deepStrictEqual(JSON.parse(entries(host, ["git", "my server"], where)), {
        mcpServers: {
          git: { command: where.node, args: args("git") },
          "my server": { command: where.node, args: args("my server") }
        }
      })
    }
  })

  it("prints mcpServers with their type for Claude Code", () => {
    assert.deepStrictEqual(JSON.parse(entries("claude-code", ["git"], where)), {
      mcpServers: { git: { type: "stdio", command: where.node, args: args("git") } }
    })
  })

  it("prints servers for VS Code", () => {
    assert.deepStrictEqual(JSON.parse(entries("vscode", ["git"], where)), {
      servers: { git: { type: "stdio", command: where.node, args: args("git") } }
    })
  })

  it("prints TOML for Codex, with names quoted where TOML wants it", () => {
    assert.strictEqual(
      entries("codex", ["git", 'my "best" server'], where),
      [
        "[mcp_servers.git]",
        'command = "/usr/bin/node"',
        'args = ["/opt/mcp-pool/bin.js", "connect", "git", "--runtime-dir", "/run/pool"]',
        "",
        '[mcp_servers."my \\"best\\" server"]',
        'command = "/usr/bin/node"',
        'args = ["/opt/mcp-pool/bin.js", "connect", "my \\"best\\" server", "--runtime-dir", "/run/pool"]'
      ].join("\n")
    )
  })

  it("keeps a name apart from flags", () => {
    const { mcpServers } = JSON.parse(entries("generic", ["--help"], where))
    assert.deepStrictEqual(mcpServers["--help"].args, [
      where.script,
      "connect",
      "--runtime-dir",
      "/run/pool",
      "--",
      "--help"
    ])
  })

  it("keeps a server that is called like a property of every object", () => {
    assert.deepStrictEqual(Object.keys(JSON.parse(entries("generic", ["__proto__", "toString"], where)).mcpServers), [
      "__proto__",
      "toString"
    ])
  })
})
