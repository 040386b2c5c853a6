import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as TOML from "smol-toml"
import { asksPool } from "../../src/config/SelfReference.ts"
import * as DaemonRecord from "../../src/daemon/DaemonRecord.ts"
import type { Entry } from "../../src/hosts/Host.ts"
import { hosts, hostIds } from "../../src/hosts/Hosts.ts"
import { defaultIdle, type HttpOptions } from "../../src/http/HttpOptions.ts"
import * as Harness from "../control/ControlHarness.ts"
import { command } from "./CommandLine.ts"

const url = "http://127.0.0.1:8080"
const usual: HttpOptions = {
  address: { host: "127.0.0.1", port: 8080 },
  auth: "token",
  allowedHosts: [],
  idle: defaultIdle
}
const secret = "a-token-of-thirty-two-characters"

/** A daemon that serves HTTP, and `config --http` of it. */
const setUp = Effect.fnUntraced(function* (http: HttpOptions | null = usual, isServed = true) {
  const servers = [Harness.server("git"), Harness.server("my server"), Harness.server("git@/home/ann/site")]
  const { close, runtimeDir } = yield* Harness.serve({ servers, http: isServed && http !== null ? { url } : null })
  const record = { configFiles: [], strict: false, watchConfig: false, http, path: "" }
  yield* DaemonRecord.write(runtimeDir, record)
  const tokenFile = `${runtimeDir}/http-token`
  fs.writeFileSync(tokenFile, `${secret}\n`, { mode: 0o600 })
  const config = (...args: ReadonlyArray<string>) => command(runtimeDir, "config", "--http", ...args)
  return { close, config, runtimeDir, tokenFile }
})

const shown = (prefix: string) => ({ headers: { Authorization: `Bearer ${prefix}` } })
const exported = (host: string, file: string) =>
  `mcp-pool: ${host} takes the token from its environment: export MCP_POOL_TOKEN="$(cat ${file})" where it starts`

/** As each host's own documentation has it: the entry of a path, and what is said of the token. */
const expected: Readonly<
  Record<string, (path: string, where: { runtimeDir: string; tokenFile: string }) => readonly [object, string]>
> = {
  generic: (path, { tokenFile }) => [
    { type: "http", url: `${url}${path}`, ...shown("${MCP_POOL_TOKEN}") },
    exported("the host", tokenFile)
  ],
  "claude-code": (path, { tokenFile }) => [
    {
      type: "http",
      url: `${url}${path}`,
      headersHelper: `printf '{"Authorization":"Bearer %s"}' "$(cat ${tokenFile})"`
    },
    `mcp-pool: Claude Code takes the token from ${tokenFile} by itself`
  ],
  vscode: (path, { runtimeDir }) => [{ type: "http", url: `unix://${runtimeDir}/http.sock#${path}` }, ""],
  cursor: (path, { tokenFile }) => [
    { url: `${url}${path}`, ...shown("${env:MCP_POOL_TOKEN}") },
    exported("Cursor", tokenFile)
  ],
  codex: (path, { tokenFile }) => [
    { url: `${url}${path}`, bearer_token_env_var: "MCP_POOL_TOKEN" },
    exported("Codex", tokenFile)
  ],
  gemini: (path, { tokenFile }) => [
    { httpUrl: `${url}${path}`, ...shown("${MCP_POOL_TOKEN}") },
    exported("Gemini CLI", tokenFile)
  ],
  opencode: (path, { tokenFile }) => [
    { type: "remote", url: `${url}${path}`, enabled: true, oauth: false, ...shown(`{file:${tokenFile}}`) },
    `mcp-pool: opencode takes the token from ${tokenFile} by itself`
  ]
}

const entriesOf = (id: string, out: string): Readonly<Record<string, object>> => {
  const root = JSON.parse(id === "codex" ? JSON.stringify(TOML.parse(out)) : out) as { [key: string]: never }
  return root[hosts.find((host) => host.id === id)?.key ?? "mcpServers"]!
}

describe("config --http", () => {
  for (const [id, entry] of Object.entries(expected)) {
    it.live(`points ${id} at each server, and never tells the token`, () =>
      Effect.gen(function* () {
        const { config, ...where } = yield* setUp()
        const { code, err, out } = yield* config("--for", id)
        const [git, note] = entry("/servers/git/mcp", where)
        const [mine] = entry("/servers/my%20server/mcp", where)
        assert.deepStrictEqual({ code, err }, { code: 0, err: note })
        assert.deepStrictEqual(entriesOf(id, out), { git, "my server": mine })
        assert.notInclude(out + err, secret)
        const together = yield* config("--for", id, "--together")
        assert.deepStrictEqual(entriesOf(id, together.out), { "mcp-pool": entry("/mcp", where)[0] })
      })
    )
  }

  it.live("prints what is known again as the pool's own, and not taken for a server's definition", () =>
    Effect.gen(function* () {
      const { config } = yield* setUp()
      for (const id of Object.keys(expected)) {
        const { git, "my server": mine } = entriesOf(id, (yield* config("--for", id)).out)
        const [together] = Object.values(entriesOf(id, (yield* config("--for", id, "--together")).out))
        for (const entry of [git, mine, together]) assert.isTrue(asksPool(entry as Entry))
      }
      assert.isFalse(asksPool({ url: "https://example.com/mcp", headers: { Authorization: "Bearer ${TOKEN}" } }))
      assert.isFalse(asksPool({ command: "git", env: { TOKEN: "${MCP_POOL_TOKEN}" } }))
    })
  )

  it.live("gives Claude Code a command whose headers show the token", () =>
    Effect.gen(function* () {
      const { config } = yield* setUp()
      const { out } = yield* config("--for", "claude-code", "git")
      const { headersHelper } = entriesOf("claude-code", out)["git"] as { readonly headersHelper: string }
      const headers = execFileSync("/bin/sh", ["-c", headersHelper], { encoding: "utf8" })
      assert.deepStrictEqual(JSON.parse(headers), { Authorization: `Bearer ${secret}` })
    })
  )

  it.live("refuses hosts that read no URL or no reference, and names what they can do", () =>
    Effect.gen(function* () {
      const { config } = yield* setUp()
      for (const [id, said] of [
        ["claude-desktop", "Claude Desktop starts commands alone, and reads no URL"],
        ["zed", "Zed follows no reference to a secret, so that the token would stand in its file (--with-token)"]
      ] as const) {
        assert.deepStrictEqual(yield* config("--for", id), {
          code: 2,
          out: "",
          err: `mcp-pool: ${said}: "mcp-pool config --for ${id}" prints entries that run mcp-pool connect instead`
        })
      }
    })
  )

  it.live("prints the token where it is asked to, with a warning", () =>
    Effect.gen(function* () {
      const { config } = yield* setUp()
      for (const id of hostIds.filter((id) => id !== "claude-desktop" && id !== "vscode")) {
        const { code, err, out } = yield* config("--for", id, "--with-token", "git")
        assert.strictEqual(code, 0)
        assert.include(JSON.stringify(entriesOf(id, out)["git"]), `{"Authorization":"Bearer ${secret}"}`)
        assert.match(err, /the entries hold the token/)
      }
      assert.notInclude((yield* config("--for", "vscode", "--with-token")).out, secret)
    })
  )

  it.live("shows nothing where nothing is asked for", () =>
    Effect.gen(function* () {
      const { config } = yield* setUp({ ...usual, auth: "none" })
      for (const id of hostIds.filter((id) => id !== "claude-desktop")) {
        const { code, err, out } = yield* config("--for", id, "git")
        assert.deepStrictEqual({ code, err }, { code: 0, err: "" })
        assert.notMatch(out, /token|header|bearer/i)
      }
    })
  )

  it.live("takes the address of the last daemon where none runs, and says where it is not served", () =>
    Effect.gen(function* () {
      const { close, config, runtimeDir } = yield* setUp(usual, false)
      const said = `mcp-pool: HTTP is not served at ${url} now: "mcp-pool doctor" tells why`
      const waiting = yield* config("--for", "vscode", "git")
      assert.deepStrictEqual([waiting.code, waiting.err], [0, said])
      yield* close
      const { code, err, out } = yield* config("--for", "vscode", "git", "other")
      assert.deepStrictEqual({ code, err }, { code: 0, err: "" })
      assert.deepStrictEqual(Object.keys(entriesOf("vscode", out)), ["git", "other"])
      assert.strictEqual((yield* config("--together")).code, 0)
      assert.deepStrictEqual(yield* config(), {
        code: 3,
        out: "",
        err: `mcp-pool: no daemon at ${runtimeDir}: start one with "mcp-pool serve"`
      })
    })
  )

  it.live("says how HTTP is served where it is not", () =>
    Effect.gen(function* () {
      const { config, runtimeDir } = yield* setUp(null)
      assert.deepStrictEqual(yield* config(), {
        code: 1,
        out: "",
        err:
          `mcp-pool: no HTTP is served at ${runtimeDir}: "mcp-pool serve --http PORT" serves it, ` +
          'and so does "mcp-pool service install --http PORT"'
      })
    })
  )

  for (const [flags, said] of [
    [["--together"], "need --http"],
    [["--with-token"], "need --http"],
    [["--http", "--together", "git"], "takes no names"]
  ] as const) {
    it.live(`exits with 2 for ${flags.join(" ")}`, () =>
      Effect.gen(function* () {
        const { code, err } = yield* command(yield* Harness.temporaryDirectory, "config", ...flags)
        assert.strictEqual(code, 2)
        assert.include(err, said)
      })
    )
  }
})
