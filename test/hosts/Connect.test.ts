import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import * as TOML from "smol-toml"
import * as Connect from "../../src/hosts/Connect.ts"
import type { HostId } from "../../src/hosts/Host.ts"
import * as HostFile from "../../src/hosts/HostFile.ts"
import { generic, host, hosts } from "../../src/hosts/Hosts.ts"

const program = { node: "/usr/bin/node", script: "/opt/mcp-pool/bin.js", runtimeDir: "/run/pool" }
const args = (name: string) => [program.script, "connect", name, "--runtime-dir", program.runtimeDir]
const command = program.node

const entries = (id: HostId | "generic", ...names: ReadonlyArray<string>): string =>
  Connect.entries(
    id === "generic" ? generic : host(id),
    names.map((name) => [name, Connect.run(name, program)])
  )

/** As each host's own documentation has it. */
const expected: Readonly<Record<HostId | "generic", (name: string) => unknown>> = {
  generic: (name) => ({ mcpServers: { [name]: { command, args: args(name) } } }),
  "claude-code": (name) => ({ mcpServers: { [name]: { type: "stdio", command, args: args(name) } } }),
  "claude-desktop": (name) => ({ mcpServers: { [name]: { command, args: args(name) } } }),
  vscode: (name) => ({ servers: { [name]: { type: "stdio", command, args: args(name) } } }),
  cursor: (name) => ({ mcpServers: { [name]: { command, args: args(name) } } }),
  codex: (name) => ({ mcp_servers: { [name]: { command, args: args(name) } } }),
  gemini: (name) => ({ mcpServers: { [name]: { command, args: args(name) } } }),
  opencode: (name) => ({ mcp: { [name]: { type: "local", command: [command, ...args(name)], enabled: true } } }),
  zed: (name) => ({ context_servers: { [name]: { source: "custom", command, args: args(name) } } })
}

describe("Connect.entries", () => {
  for (const id of Object.keys(expected) as ReadonlyArray<keyof typeof expected>) {
    it(`are in the shape of ${id}`, () => {
      for (const name of ["git", 'my "best" server', "a.b"]) {
        const text = entries(id, name)
        assert.deepStrictEqual(id === "codex" ? plain(TOML.parse(text)) : JSON.parse(text), expected[id](name))
      }
    })
  }

  it("are read back as what they run, for each host", () => {
    for (const host of hosts) {
      const listed = Result.getOrThrow(HostFile.list(host, "file", entries(host.id, "one", "two")))
      assert.deepStrictEqual(
        listed.map(({ entry }) => host.shape.run(HostFile.asEntry(entry)!)),
        [Connect.run("one", program), Connect.run("two", program)]
      )
    }
  })

  it("are printed for people: TOML with names quoted where it wants that", () => {
    assert.strictEqual(
      entries("codex", "git", 'my "best" server'),
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

  it("keep a name apart from flags, and name the project", () => {
    assert.deepStrictEqual(Connect.run("--help", program, "/home/ada/site").args, [
      program.script,
      "connect",
      "--runtime-dir",
      "/run/pool",
      "--project",
      "/home/ada/site",
      "--",
      "--help"
    ])
  })

  it("keep a server that is called like a property of every object", () => {
    assert.deepStrictEqual(Object.keys(JSON.parse(entries("generic", "__proto__", "toString")).mcpServers), [
      "__proto__",
      "toString"
    ])
  })
})

/** Without the prototypes of the reader. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))
