import { assert, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { parse as parseJsonc } from "jsonc-parser"
import * as TOML from "smol-toml"
import * as Connect from "../../src/hosts/Connect.ts"
import * as HostFile from "../../src/hosts/HostFile.ts"
import { host, hosts } from "../../src/hosts/Hosts.ts"
import * as RandomFile from "./RandomFile.ts"

const program = { node: "/usr/bin/node", script: "/opt/bin.js", runtimeDir: "/run/pool" }

const listed = (id: string, text: string) =>
  Result.getOrThrow(
    HostFile.list(
      hosts.find((host) => host.id === id)!,
      "file",
      text
    )
  )

/** All entries pointed at the pool. */
const pointed = (id: string, text: string): string => {
  const host = hosts.find((host) => host.id === id)!
  const edits = listed(id, text).map(({ entry, name, path }) => ({
    path,
    changes: host.shape.rewrite(HostFile.asEntry(entry)!, Connect.run(name, program))
  }))
  return Result.getOrThrow(HostFile.edit(host, "file", text, edits))
}

const escaped = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")

describe("HostFile", () => {
  for (const { format, id, key, shape } of hosts) {
    it.effect.prop(
      `changes the entries of ${id} and not a byte around them`,
      { file: RandomFile.from((choices) => RandomFile.make(host(id), choices)) },
      ({ file }) =>
        Effect.sync(() => {
          const text = RandomFile.textOf(file)
          assert.sameOrderedMembers(
            listed(id, text).map(({ name }) => name),
            file.names
          )
          const after = pointed(id, text)
          assert.match(after, new RegExp(`^${file.around.map(escaped).join("[^]*?")}$`), text)
          for (const { entry, name } of listed(id, after)) {
            assert.deepStrictEqual(shape.run(HostFile.asEntry(entry)!), Connect.run(name, program))
          }
          // By another reader, for what the pool's own reader may have wrong in the same way.
          const all: unknown =
            format === "toml"
              ? TOML.parse(after)
              : parseJsonc(after.replace(/^\uFEFF/, ""), [], { allowTrailingComma: true })
          const servers = (all as Record<string, Record<string, unknown>>)[key] ?? {}
          for (const name of file.names) {
            if (name === "__proto__") continue
            const { env, environment, cwd, env_vars } = servers[name] as Record<string, unknown>
            assert.deepStrictEqual([env, environment, cwd, env_vars], [undefined, undefined, undefined, undefined])
          }
          assert.strictEqual(pointed(id, after), after)
        }),
      { arbitrary: { runs: 150 } }
    )
  }

  it("keeps comments, the order of keys and a strict file strict", () => {
    const text = `{
  "mcpServers": {
    // the one
    "a": {
      "command": "npx", // starts it
      "args": ["-y"], /* quietly */
      // a secret
      "env": { "A": "1" },
      "cwd": "/tmp"
    }
  }
}`
    assert.strictEqual(
      pointed("cursor", text),
      `{
  "mcpServers": {
    // the one
    "a": {
      "command": "/usr/bin/node", // starts it
      "args": ["/opt/bin.js", "connect", "a", "--runtime-dir", "/run/pool"] /* quietly */
      // a secret
    }
  }
}`
    )
  })

  it("changes a minified file without spreading it out", () => {
    assert.strictEqual(
      pointed("claude-desktop", '{"a":[1,2],"mcpServers":{"x":{"env":{"A":"1"},"command":"npx"}}}'),
      '{"a":[1,2],"mcpServers":{"x":{"command":"/usr/bin/node","args":["/opt/bin.js","connect","x","--runtime-dir","/run/pool"]}}}'
    )
  })

  it("changes TOML in tables, in line, and with dotted keys", () => {
    const { args, command } = Connect.run("x", program)
    for (const text of [
      '[mcp_servers.x]\ncommand = "a"\n[mcp_servers.x.env]\nA = "1"\n',
      '[mcp_servers."x"]\ncommand = """a"""\nenv = { A = "1", "B.c" = "]" }\n',
      '[mcp_servers]\nx = { command = "a", env = { A = "1" } }\n',
      "[mcp_servers]\nx.env.A = '1'\nx.command = 'a'",
      'mcp_servers.x.command = "a"\nmcp_servers.x.env.A = "1"\n',
      '[mcp_servers.x.env]\nA = "1"\n[mcp_servers.x]\ncommand = "a"\n'
    ]) {
      const [entry] = listed("codex", pointed("codex", text))
      assert.deepStrictEqual(entry?.entry, { command, args: [...args] }, text)
    }
  })

  it("refuses TOML whose servers stand all in one line", () => {
    const codex = host("codex")
    const text = 'mcp_servers = { x = { command = "a" } }\n'
    const edits = [{ path: ["mcp_servers", "x"], changes: [["command", "b"]] as const }]
    assert.deepStrictEqual(
      HostFile.edit(codex, "file", text, edits),
      Result.fail("an entry is written in a way that cannot be changed in place")
    )
  })

  it("finds a large file's entries fast enough to wait for", () => {
    const history = Array.from({ length: 40_000 }, (_, i) => `{ "display": "line ${i} of what was said" }`).join(",\n")
    const text = `{ "history": [${history}],\n"mcpServers": { "x": { "command": "y" } } }`
    const begin = performance.now()
    const after = pointed("claude-code", text)
    assert.isBelow(performance.now() - begin, 5000)
    assert.strictEqual(
      after.length - text.length,
      '/usr/bin/node", "args": ["/opt/bin.js", "connect", "x", "--runtime-dir", "/run/pool"]'.length - 2
    )
  })
})
