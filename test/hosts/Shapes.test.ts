import { assert, describe, it } from "@effect/vitest"
import type { Entry, HostId } from "../../src/hosts/Host.ts"
import { host } from "../../src/hosts/Hosts.ts"

const variables = { SET: "1", set: "1" }

const read = (id: HostId, entry: Entry) => {
  const reading = host(id).shape.read(entry, variables)
  return reading._tag === "Server" ? reading.options : reading.reason
}

describe("Shapes", () => {
  it("read what each host says as the pool says the same", () => {
    const cases: ReadonlyArray<readonly [HostId, Entry, unknown]> = [
      [
        "claude-code",
        { type: "stdio", command: "a", args: ["${B:-c}"], env: { D: "${E}" }, timeout: 5 },
        { command: "a", args: ["${B:-c}"], env: { D: "${E}" } }
      ],
      [
        "claude-code",
        { command: "a", args: ["${CLAUDE_PROJECT_DIR:-.}/x"] },
        { command: "a", args: ["${workspaceFolder}/x"] }
      ],
      [
        "vscode",
        { command: "a", envFile: "${workspaceFolder}/.env" },
        { command: "a", envFile: "${workspaceFolder}/.env" }
      ],
      [
        "vscode",
        { type: "stdio", command: "${userHome}/a", env: { N: 1, U: null } },
        { command: "${userHome}/a", env: { N: 1, U: null } }
      ],
      [
        "cursor",
        { command: "a", env: { A: "${env:B}" }, pool: { sharing: "per-session" } },
        { command: "a", env: { A: "${env:B}" }, pool: { sharing: "per-session" } }
      ],
      [
        "gemini",
        { command: "$SET/a", env: { K: "$MY_KEY", L: "${MY_KEY}", P: "pa$word", S: "a$set", D: "$5" } },
        { command: "${SET}/a", env: { K: "${MY_KEY}", L: "${MY_KEY}", P: "pa$word", S: "a${set}", D: "$5" } }
      ],
      [
        "codex",
        { command: "a", env_vars: ["B", { name: "C", source: "local" }], cwd: "/d" },
        { command: "a", cwd: "/d", pool: { passEnv: ["B", "C"] } }
      ],
      [
        "opencode",
        { type: "local", command: ["a", "{env:B}"], environment: { C: "x{env:D}y" } },
        { command: "a", args: ["${B}"], env: { C: "x${D}y" } }
      ],
      ["zed", { source: "custom", enabled: true, command: "a", args: [], env: {} }, { command: "a" }],
      ["zed", { command: { path: "a", args: ["b"], env: { C: "d" } } }, { command: "a", args: ["b"], env: { C: "d" } }]
    ]
    for (const [id, entry, options] of cases) assert.deepStrictEqual(read(id, entry), options, JSON.stringify(entry))
  })

  it("leave what would not be the same in the pool, and say why", () => {
    const cases: ReadonlyArray<readonly [HostId, Entry, RegExp]> = [
      ["claude-code", { type: "sse", url: "x" }, /^has a url, where its host may be signed in: /],
      ["gemini", { httpUrl: "x" }, /^has a url, where its host may be signed in: /],
      ["claude-code", { type: "ws", command: "x" }, /^is of type "ws"$/],
      ["cursor", { command: "x", disabled: true }, /^is disabled$/],
      ["opencode", { command: ["x"], enabled: false }, /^is disabled$/],
      ["opencode", { type: "local" }, /^has no command$/],
      ["opencode", { command: "x y" }, /no list/],
      ["vscode", { command: "x", sandboxEnabled: true }, /sandbox/],
      ["vscode", { command: "x", dev: { watch: "src/**" } }, /being developed/],
      ["vscode", { command: "x", args: ["${config:a.b}"] }, /only this host knows: unknown reference \$\{config:a.b\}/],
      ["vscode", { command: "x", args: ["${workspaceFolder:other}"] }, /only this host knows/],
      ["cursor", { command: "x", args: ["$${A}"] }, /only this host knows/],
      ["codex", { command: "x", env: { A: "${B}" } }, /text to this host/],
      ["codex", { command: "x", env_vars: [{ name: "A", source: "remote" }] }, /not of this machine/],
      ["codex", { command: "x", experimental_environment: "remote" }, /another environment/],
      ["zed", { settings: {} }, /extension/],
      ["zed", { command: "x", remote: true }, /another machine/],
      ["opencode", { command: ["x"], environment: { A: "{file:k}" } }, /only opencode does/],
      ["cursor", { command: "x", args: [1] }, /^"args.0" /],
      ["cursor", { command: "x", env: { A: true } }, /^"env.A" /]
    ]
    for (const [id, entry, reason] of cases) {
      const found = read(id, entry)
      assert.isString(found, JSON.stringify(entry))
      assert.match(String(found), reason, JSON.stringify(entry))
    }
  })

  it("show no value where they say why", () => {
    for (const id of ["cursor", "codex", "opencode", "vscode"] as const) {
      const reason = read(id, {
        command: id === "opencode" ? ["x"] : "x",
        env: { A: "hush${nope nope}" },
        environment: { A: "hush${x}" }
      })
      assert.isString(reason)
      assert.notInclude(String(reason), "hush")
    }
  })
})
