import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Predicate } from "effect"
import * as PoolConfig from "../../src/config/PoolConfig.ts"
import type { ServerSpec } from "../../src/config/ServerSpec.ts"
import { ConfigFileError, ServerConfigError } from "../../src/PoolError.ts"

/** A directory with files, for the time of a test. A text that is an object is written as JSON. */
const project = (files: Readonly<Record<string, unknown>>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const directory = mkdtempSync(path.join(tmpdir(), "mcp-pool-config-"))
      for (const [name, content] of Object.entries(files)) {
        const file = path.join(directory, name)
        mkdirSync(path.dirname(file), { recursive: true })
        writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content), { mode: 0o600 })
      }
      return directory
    }),
    (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
  )

const host = { HOME: "/home/ada", PATH: "/usr/bin" }

const load = (
  directory: string,
  options: {
    readonly files?: ReadonlyArray<string>
    readonly host?: Readonly<Record<string, string>>
    readonly strict?: boolean
  } = {}
) =>
  PoolConfig.loadFiles(
    (options.files ?? [".mcp.json"]).map((file) => path.join(directory, file)),
    { strict: options.strict }
  ).pipe(Effect.provideService(PoolConfig.HostEnvironment, { ...host, ...options.host }))

/** Loads one file with one server, named "x". */
const loadServer = Effect.fnUntraced(function* (server: unknown, environment: Readonly<Record<string, string>> = {}) {
  const directory = yield* project({ ".mcp.json": { mcpServers: { x: server } } })
  return { directory, config: yield* load(directory, { host: environment }) }
})

const specOf = (config: PoolConfig.PoolConfig, name = "x"): ServerSpec => {
  const entry = config.servers.find((entry) => entry.name === name)
  return Predicate.isTagged(entry, "Configured") ? entry.spec : assert.fail(`${name}: ${JSON.stringify(entry)}`)
}

const errorOf = (config: PoolConfig.PoolConfig, name = "x"): ServerConfigError => {
  const entry = config.servers.find((entry) => entry.name === name)
  return Predicate.isTagged(entry, "Misconfigured") ? entry.error : assert.fail(`${name}: ${JSON.stringify(entry)}`)
}

const fileError = <A, R>(effect: Effect.Effect<A, ConfigFileError | ServerConfigError, R>) =>
  Effect.map(Effect.flip(effect), (error) => {
    assert.instanceOf(error, ConfigFileError)
    return error as ConfigFileError
  })

const names = (config: PoolConfig.PoolConfig) => config.servers.map((server) => server.name)

describe("hosts' files", () => {
  it.effect("reads Claude Code's .mcp.json", () =>
    Effect.gen(function* () {
      const directory = yield* project({
        ".mcp.json": `{
  "mcpServers": {
    "github": {
      "type": "stdio",
      "command": "npx",
      "args": ["-y", "@modelcontextprotocol/server-github"],
      "env": { "GITHUB_TOKEN": "\${GITHUB_TOKEN}", "LOG_LEVEL": "\${LOG_LEVEL:-info}" }
    },
    "sentry": { "type": "http", "url": "https://mcp.sentry.dev/mcp", "headers": { "Authorization": "Bearer \${T}" } },
    "files": { "command": "node", "args": ["server.js", "\${HOME}/notes"] }
  }
}`
      })
      const config = yield* load(directory, { host: { GITHUB_TOKEN: "ghp_1", T: "sntrys_1" } })
      assert.deepStrictEqual(names(config), ["github", "sentry", "files"])
      assert.deepStrictEqual(config.warnings, [])
      const github = specOf(config, "github")
      assert.strictEqual(github.command, "npx")
      assert.deepStrictEqual(github.args, ["-y", "@modelcontextprotocol/server-github"])
      assert.deepStrictEqual(github.env, { ...host, GITHUB_TOKEN: "ghp_1", LOG_LEVEL: "info" })
      assert.strictEqual(github.cwd, directory)
      assert.strictEqual(github.source, path.join(directory, ".mcp.json"))
      assert.match(github.fingerprint, /^[0-9a-f]{16}$/)
      assert.deepStrictEqual(github.pool.startTimeout, Duration.seconds(180))
      assert.deepStrictEqual(specOf(config, "files").args, ["server.js", "/home/ada/notes"])
      assert.deepStrictEqual(specOf(config, "sentry").remote, {
        url: "https://mcp.sentry.dev/mcp",
        socketPath: null,
        headers: { Authorization: "Bearer sntrys_1" }
      })
    })
  )

  it.effect("reads VS Code's mcp.json with comments, trailing commas and inputs", () =>
    Effect.gen(function* () {
      const directory = yield* project({
        ".vscode/mcp.json": `{
  // asked for once
  "inputs": [
    { "type": "promptString", "id": "perplexity-key", "description": "Key", "password": true },
  ],
  "servers": {
    /* local */
    "perplexity": {
      "type": "stdio",
      "command": "npx",
      "args": ["-y", "server-perplexity-ask", "\${workspaceFolder}/data", "\${userHome}"],
      "env": { "PERPLEXITY_API_KEY": "\${input:perplexity-key}", "EDITOR": "\${env:EDITOR}", "GONE": null, "PORT": 80 },
      "envFile": "\${workspaceFolder}/.env",
      "dev": { "watch": "src/**" },
      "sandboxEnabled": true,
    },
  },
}`,
        ".env": "FROM_FILE=yes\nGONE=1\n",
        ".vscode/mcp-pool.inputs.json": { "perplexity-key": "pplx-1" }
      })
      const config = yield* load(directory, { files: [".vscode/mcp.json"], host: { EDITOR: "vi" } })
      assert.deepStrictEqual(config.warnings, [])
      const spec = specOf(config, "perplexity")
      assert.strictEqual(spec.cwd, directory)
      assert.deepStrictEqual(spec.args, ["-y", "server-perplexity-ask", `${directory}/data`, "/home/ada"])
      assert.deepStrictEqual(spec.env, {
        ...host,
        PERPLEXITY_API_KEY: "pplx-1",
        EDITOR: "vi",
        FROM_FILE: "yes",
        PORT: "80"
      })
    })
  )

  it.effect("reads Cursor's mcp.json, whose project is the parent directory", () =>
    Effect.gen(function* () {
      const directory = yield* project({
        ".cursor/mcp.json": {
          mcpServers: {
            local: { command: "./bin/server", args: ["${workspaceFolder}"], envFile: "conf/.env", cwd: "sub" },
            remote: { url: "https://example.com/sse" }
          }
        },
        "conf/.env": "A=1"
      })
      const config = yield* load(directory, { files: [".cursor/mcp.json"] })
      const spec = specOf(config, "local")
      assert.strictEqual(spec.command, path.join(directory, "bin/server"))
      assert.strictEqual(spec.cwd, path.join(directory, "sub"))
      assert.deepStrictEqual(spec.args, [directory])
      assert.strictEqual(spec.env["A"], "1")
      assert.strictEqual(specOf(config, "remote").remote?.url, "https://example.com/sse")
    })
  )

  it.effect("reads a file with dozens of other keys, and says so in one line", () =>
    Effect.gen(function* () {
      const directory = yield* project({
        ".claude.json": {
          numStartups: 3,
          projects: {},
          oauthAccount: { token: "s3cret" },
          mcpServers: { x: { command: "a" } }
        }
      })
      const config = yield* load(directory, { files: [".claude.json"] })
      assert.deepStrictEqual(names(config), ["x"])
      assert.deepStrictEqual(config.warnings, [
        `${directory}/.claude.json: unknown keys ignored: "numStartups", "oauthAccount"`
      ])
    })
  )

  it.effect("merges mcpServers and servers of one file", () =>
    Effect.gen(function* () {
      const directory = yield* project({
        ".mcp.json": { servers: { b: { command: "b" } }, mcpServers: { a: { command: "a" } }, $schema: "x", inputs: [] }
      })
      const config = yield* load(directory)
      assert.deepStrictEqual(names(config), ["b", "a"])
      assert.deepStrictEqual(config.warnings, [])
    })
  )
})

describe("a file that cannot be used", () => {
  const failing = (content: string) =>
    Effect.gen(function* () {
      const directory = yield* project({ ".mcp.json": content })
      const error = yield* fileError(load(directory))
      assert.strictEqual(error.file, path.join(directory, ".mcp.json"))
      return error
    })

  const cases: ReadonlyArray<readonly [string, string, readonly [number, number], RegExp]> = [
    [
      "a syntax error",
      '{\n  "mcpServers": {\n    "a": { "command" "x" }\n  }\n}',
      [3, 22],
      /^not valid JSON: colon expected$/
    ],
    ["text after the end", "{}\n x", [2, 2], /^not valid JSON/],
    ["nothing in it", "", [1, 1], /^not valid JSON: value expected$/],
    ["an array", "\n []", [2, 2], /^expected an object, found an array$/],
    ["neither key", '\n{ "mcp": {} }', [2, 1], /^has neither "mcpServers" nor "servers": expected \{ "mcpServers": \{/],
    ["servers that are an array", '{\n"mcpServers": []}', [2, 15], /^"mcpServers" should be an object .* an array$/],
    ["servers that are a string", '{"servers": "x"}', [1, 13], /^"servers" should be an object .* a string$/],
    ["a server without a name", '{"servers": {"": {}}}', [1, 18], /^a server has an empty name$/],
    [
      "a wrong shared setting",
      '{\n  "mcpServers": {},\n  "pool": { "stop": {\n    "term": "soon" } }\n}',
      [4, 13],
      /^field "pool.stop.term": expected a duration such as "30 s"/
    ],
    [
      "a shared variable that cannot be one",
      '{\n  "mcpServers": {},\n  "pool": {\n    "extraEnv": { "s3cret=": "1" } }\n}',
      [4, 17],
      /^field "pool.extraEnv": has a name that no variable can have$/
    ],
    [
      "a shared probe",
      '{"mcpServers": {}, "pool": {"probe":\n{"misses": 0}}}',
      [2, 12],
      /^field "pool.probe.misses": expected a whole number above zero$/
    ],
    [
      "a shared limit",
      '{"mcpServers": {}, "pool": {"budget":\n{"lifetime": 0}}}',
      [2, 14],
      /^field "pool.budget.lifetime": expected a whole number above zero$/
    ],
    [
      "a shared session file with a number that JSON cannot hold",
      '{"mcpServers": {}, "pool": {"sessionFile": {"content":\n[{"a": 1e999}]}}}',
      [2, 8],
      /^field "pool.sessionFile.content.0.a": expected a JSON value$/
    ],
    [
      "a shared session file without content",
      '{"mcpServers": {}, "pool":\n{"sessionFile": {"variable": "A"}}}',
      [2, 17],
      /^field "pool.sessionFile.content": missing key$/
    ],
    [
      "a shared socket",
      '{"mcpServers": {}, "pool": {"socket": "/tmp/s"}}',
      [1, 39],
      /^field "pool.socket": belongs into one server/
    ]
  ]
  for (const [what, content, [line, column], reason] of cases) {
    it.effect(`is refused with line and column: ${what}`, () =>
      Effect.gen(function* () {
        const error = yield* failing(content)
        assert.match(error.reason, reason)
        assert.deepStrictEqual([error.line, error.column], [line, column])
        assert.include(error.message, `.mcp.json:${line}:${column}: `)
      })
    )
  }

  it.effect("counts columns after a byte order mark and carriage returns as an editor does", () =>
    Effect.gen(function* () {
      const first = yield* failing("\uFEFF{,}")
      assert.deepStrictEqual([first.line, first.column], [1, 2])
      const second = yield* failing('{\r\n "mcpServers": 5}')
      assert.deepStrictEqual([second.line, second.column], [2, 16])
    })
  )

  it.effect("is refused where it does not exist, or is a directory", () =>
    Effect.gen(function* () {
      const directory = yield* project({ "sub/.mcp.json": "{}" })
      const missing = yield* fileError(load(directory, { files: ["missing.json"] }))
      assert.strictEqual(missing.message, `${directory}/missing.json: no such file`)
      assert.strictEqual(missing.line, null)
      const folder = yield* fileError(load(directory, { files: ["sub"] }))
      assert.strictEqual(folder.reason, "is a directory")
    })
  )

  it.effect("fails the others with it", () =>
    Effect.gen(function* () {
      const directory = yield* project({ "good.json": { mcpServers: { a: { command: "a" } } }, "bad.json": "{" })
      const error = yield* fileError(load(directory, { files: ["good.json", "bad.json"] }))
      assert.strictEqual(error.file, path.join(directory, "bad.json"))
    })
  )
})

describe("a mistake in one server", () => {
  it.effect("leaves the others configured", () =>
    Effect.gen(function* () {
      const directory = yield* project({
        ".mcp.json": { mcpServers: { a: { command: "a" }, bad: { command: "b", args: [1] }, c: { command: "c" } } }
      })
      const config = yield* load(directory)
      assert.deepStrictEqual(names(config), ["a", "bad", "c"])
      assert.strictEqual(specOf(config, "c").command, "c")
      const error = errorOf(config, "bad")
      assert.deepStrictEqual(
        [error.file, error.server, error.field, error.variable],
        [path.join(directory, ".mcp.json"), "bad", "args.0", null]
      )
      assert.strictEqual(error.message, `${directory}/.mcp.json: server "bad" field "args.0": expected string`)
    })
  )

  const cases: ReadonlyArray<readonly [string, unknown, string, RegExp]> = [
    ["no command", { args: ["a"] }, "command", /^is missing$/],
    ["an empty command", { command: "" }, "command", /^is empty$/],
    ["a blank command", { command: "  " }, "command", /^is empty$/],
    ["a command that is empty once resolved", { command: "${EMPTY}" }, "command", /^is empty$/],
    ["a string for an entry", "npx server", "", /^expected object$/],
    ["an array for an entry", [], "", /^expected object$/],
    ["a wrong setting", { command: "a", pool: { restart: "no" } }, "pool.restart", /^expected "on-failure" \|/],
    ["an unknown type", { type: "local", command: "a" }, "type", /^expected "stdio" \|/],
    [
      "a tool without a name",
      { command: "a", pool: { requiredTools: ["a", ""] } },
      "pool.requiredTools.1",
      /^expected /
    ],
    ["a wrong probe", { command: "a", pool: { probe: { timeout: 0 } } }, "pool.probe.timeout", /above zero$/],
    ["a wrong size", { command: "a", pool: { maxMemory: "much" } }, "pool.maxMemory", /^expected a size/],
    ["a wrong age", { command: "a", pool: { maxAge: "old" } }, "pool.maxAge", /^expected a duration/],
    [
      "an extra variable that cannot be one",
      { command: "a", pool: { extraEnv: { "A=B": "1" } } },
      "pool.extraEnv",
      /^has a name that no variable can have$/
    ],
    [
      "an extra variable that is no text",
      { command: "a", pool: { extraEnv: { A: 1 } } },
      "pool.extraEnv.A",
      /^expected string$/
    ],
    [
      "a NUL character in a session file",
      { command: "a", pool: { sessionFile: { content: ["a\0b"] } } },
      "pool.sessionFile.content.0",
      /^contains a NUL character$/
    ],
    ["a variable that cannot be one", { command: "a", env: { "A=B": "1" } }, "env", /^has a name that no variable/],
    ["a NUL character", { command: "a", args: ["a\0b"] }, "args.0", /^contains a NUL character$/],
    ["HTTP+SSE", { type: "sse", url: "https://x" }, "type", /deprecated.*"npx".*mcp-remote.*sse-only/],
    ["a remote type without a url", { type: "http", command: "a" }, "url", /^is missing$/],
    ["no url", { url: "nonsense" }, "url", /^must begin with http:\/\/, https:\/\/ or unix:\/\/\/$/],
    ["a url of something else", { url: "ftp://x" }, "url", /^must begin with/],
    ["a variable without a value in a url", { url: "https://x/${NO}" }, "url", /NO is not set/],
    ["userinfo that is malformed", { url: "https://%zz@x/" }, "url", /cannot be decoded/],
    ["a header without a value", { url: "https://x", headers: { A: "${NO}" } }, "headers.A", /NO is not set/],
    ["a header with a line feed", { url: "https://x", headers: { A: "a\nb" } }, "headers.A", /no header can have/],
    ["a header's name", { url: "https://x", headers: { "A B": "a" } }, "headers", /no header can have/],
    [
      "the transport's header",
      { url: "https://x", headers: { "mcp-session-id": "a" } },
      "headers.mcp-session-id",
      /transport/
    ]
  ]
  for (const [what, server, field, reason] of cases) {
    it.effect(`is told with its field: ${what}`, () =>
      Effect.gen(function* () {
        const { config } = yield* loadServer(server, { EMPTY: "" })
        const error = errorOf(config)
        assert.strictEqual(error.field, field)
        assert.match(error.reason, reason)
      })
    )
  }

  it.effect("fails the whole with strict, and all mistakes are told", () =>
    Effect.gen(function* () {
      const directory = yield* project({
        ".mcp.json": { mcpServers: { a: { command: "" }, b: { command: "b" }, c: { command: "${NOPE}" } } }
      })
      const error = yield* Effect.flip(load(directory, { strict: true }))
      assert.instanceOf(error, ServerConfigError)
      assert.deepStrictEqual(error.message.split("\n"), [
        `${directory}/.mcp.json: server "a" field "command": is empty`,
        `${directory}/.mcp.json: server "c" field "command": the variable NOPE is not set, and has no default`
      ])
    })
  )

  it.effect("does not matter to strict where a later file mends it", () =>
    Effect.gen(function* () {
      const directory = yield* project({
        "a.json": { mcpServers: { x: { command: "" } } },
        "b.json": { mcpServers: { x: { command: "ok" } } }
      })
      const config = yield* load(directory, { files: ["a.json", "b.json"], strict: true })
      assert.strictEqual(specOf(config).command, "ok")
    })
  )
})

describe("interpolation", () => {
  const resolved: ReadonlyArray<readonly [string, string]> = [
    ["${VAR}", "value"],
    ["a${VAR}b${VAR}c", "avaluebvaluec"],
    ["${env:VAR}", "value"],
    ["${VAR:-other}", "value"],
    ["${NOPE:-other}", "other"],
    ["${env:NOPE:-other}", "other"],
    ["${NOPE:-}", ""],
    ["${NOPE:-a:-b c\n}", "a:-b c\n"],
    ["${EMPTY:-other}", "other"],
    ["[${EMPTY}]", "[]"],
    ["${REFERENCE}", "${VAR}"],
    ["$VAR $ {VAR} $$ }", "$VAR $ {VAR} $$ }"],
    ["${userHome}", "/home/ada"]
  ]
  const environment = { VAR: "value", EMPTY: "", REFERENCE: "${VAR}" }
  for (const [text, expected] of resolved) {
    it.effect(`resolves ${JSON.stringify(text)}`, () =>
      Effect.gen(function* () {
        const { config } = yield* loadServer({ command: "a", args: [text] }, environment)
        assert.deepStrictEqual(specOf(config).args, [expected])
      })
    )
  }

  it.effect("resolves everywhere in an entry", () =>
    Effect.gen(function* () {
      const directory = yield* project({
        ".mcp.json": {
          mcpServers: {
            x: {
              command: "${VAR}",
              args: ["${VAR}"],
              env: { A: "${VAR}" },
              cwd: "${workspaceFolder}/${VAR}",
              envFile: "${VAR}.env",
              pool: { socket: "${VAR}/s.sock" }
            }
          }
        },
        "value.env": "B=${VAR}"
      })
      const spec = specOf(yield* load(directory, { host: environment }))
      assert.strictEqual(spec.command, "value")
      assert.deepStrictEqual(spec.args, ["value"])
      assert.strictEqual(spec.cwd, path.join(directory, "value"))
      assert.strictEqual(spec.env["A"], "value")
      assert.strictEqual(spec.env["B"], "${VAR}")
      assert.strictEqual(spec.pool.socket, path.join(directory, "value/s.sock"))
    })
  )

  it.effect("names the variable that is not set, and its field", () =>
    Effect.gen(function* () {
      for (const text of ["${NOPE}", "${env:NOPE}"]) {
        const { config } = yield* loadServer({ command: "a", env: { TOKEN: `Bearer-s3cret ${text}` } })
        const error = errorOf(config)
        assert.strictEqual(error.variable, "NOPE")
        assert.strictEqual(error.field, "env.TOKEN")
        assert.strictEqual(error.reason, "the variable NOPE is not set, and has no default")
      }
    })
  )

  it.effect("does not find variables that objects inherit", () =>
    Effect.gen(function* () {
      const { config } = yield* loadServer({ command: "a", args: ["${constructor}"] })
      assert.strictEqual(errorOf(config).variable, "constructor")
    })
  )

  const malformed: ReadonlyArray<readonly [string, string]> = [
    ["$${VAR}", "`$${` is not supported: there is no escape for `${`"],
    ["${command:foo}", "unknown reference ${command:foo}"],
    ["${config:a.b}", "unknown reference ${config:a.b}"],
    ["${input:}", "unknown reference ${input:}"],
    ["${}", "unknown reference ${…}"],
    ["${VAR", "`${` has no closing `}`"],
    ["${VAR:-${HOME}}", "${VAR:-…}: a reference inside a default is not supported"],
    ["${VAR-x}", "unknown reference ${…}"]
  ]
  for (const [text, reason] of malformed) {
    it.effect(`refuses ${text}`, () =>
      Effect.gen(function* () {
        const { config } = yield* loadServer({ command: "a", args: [text] }, environment)
        assert.strictEqual(errorOf(config).reason, reason)
        assert.strictEqual(errorOf(config).variable, null)
      })
    )
  }
})

describe("what each process gets", () => {
  it.effect("is told by the file and the server, with references in it", () =>
    Effect.gen(function* () {
      const directory = yield* project({
        ".mcp.json": {
          pool: {
            extraEnv: { A: "file ${VAR}", B: "${NOPE}", HOME: "${workspaceFolder}" },
            sessionFile: { variable: "FILE", content: { home: "${userHome}", "${VAR}": [1, null, true, "${env:VAR}"] } }
          },
          mcpServers: {
            x: {
              command: "a",
              env: { C: "env" },
              pool: {
                extraEnv: { B: "${input:key}", C: "${NOPE:-none}" },
                sessionFile: { content: "${input:key}/${QUOTED}" }
              }
            },
            y: { command: "a", pool: { extraEnv: { B: "b" } } }
          }
        },
        "mcp-pool.inputs.json": { key: "from file" }
      })
      const config = yield* load(directory, { host: { VAR: "value", QUOTED: '"\\${VAR}\n' } })
      const x = specOf(config)
      assert.deepStrictEqual(x.pool.extraEnv, { A: "file value", B: "from file", HOME: directory, C: "none" })
      assert.deepStrictEqual(x.pool.sessionFile, {
        variable: "MCP_POOL_SESSION_FILE",
        content: JSON.stringify('from file/"\\${VAR}\n')
      })
      assert.deepStrictEqual(x.env, { ...host, C: "env" })
      const y = specOf(config, "y")
      assert.deepStrictEqual(y.pool.extraEnv, { A: "file value", B: "b", HOME: directory })
      assert.deepStrictEqual(y.pool.sessionFile, {
        variable: "FILE",
        content: JSON.stringify({ home: "/home/ada", "${VAR}": [1, null, true, "value"] })
      })
      assert.deepStrictEqual(config.warnings, [])
    })
  )

  it.effect("may be as deep as its file may be", () =>
    Effect.gen(function* () {
      const nested = (levels: number) => `${"[".repeat(levels)}"\${VAR}"${"]".repeat(levels)}`
      const file = (levels: number) =>
        `{ "mcpServers": { "x": { "command": "a", "pool": { "sessionFile": { "content": ${nested(levels)} } } } } }`
      const directory = yield* project({ "deep.json": file(195), "deeper.json": file(196) })
      const config = yield* load(directory, { files: ["deep.json"], host: { VAR: "value" } })
      assert.strictEqual(specOf(config).pool.sessionFile?.content, nested(195).replace("${VAR}", "value"))
      const error = yield* fileError(load(directory, { files: ["deeper.json"] }))
      assert.strictEqual(error.reason, "is nested deeper than 200 levels")
    })
  )

  it.effect("is no part of its identity", () =>
    Effect.gen(function* () {
      const config = yield* PoolConfig.fromServers({
        plain: { command: "a" },
        extra: { command: "a", pool: { extraEnv: { PATH: "/x", A: "1" }, sessionFile: { content: { a: 1 } } } }
      })
      const [plain, extra] = [specOf(config, "plain"), specOf(config, "extra")]
      assert.strictEqual(extra.fingerprint, plain.fingerprint)
      assert.strictEqual(extra.identity, plain.identity)
      assert.deepStrictEqual(extra.env, plain.env)
    })
  )

  const mistakes: ReadonlyArray<readonly [pool: unknown, field: string, variable: string | null, reason: RegExp]> = [
    [{ extraEnv: { TOKEN: "s3cret ${NOPE}" } }, "pool.extraEnv.TOKEN", "NOPE", /^the variable NOPE is not set/],
    [{ extraEnv: { TOKEN: "${SECRET} ${input:key}" } }, "pool.extraEnv.TOKEN", "key", /^the input "key" has no value/],
    [{ extraEnv: { TOKEN: "s3cret $${A}" } }, "pool.extraEnv.TOKEN", null, /there is no escape/],
    [{ extraEnv: { TOKEN: "s3cret\0" } }, "pool.extraEnv.TOKEN", null, /^contains a NUL character$/],
    [{ sessionFile: { content: "s3cret ${NOPE}" } }, "pool.sessionFile.content", "NOPE", /^the variable NOPE/],
    [
      { sessionFile: { content: { "s.t": ["s3cret", { u: "${SECRET} ${input:key}" }] } } },
      "pool.sessionFile.content.s.t.1.u",
      "key",
      /^the input "key" has no value/
    ]
  ]
  for (const [pool, field, variable, reason] of mistakes) {
    it.effect(`is told with field and variable where it is wrong: ${JSON.stringify(pool)}`, () =>
      Effect.gen(function* () {
        const servers = { own: { command: "a", pool }, ok: { command: "b" } }
        const directory = yield* project({
          "own.json": { mcpServers: servers },
          "shared.json": { pool, mcpServers: { shared: { command: "a" } } }
        })
        const config = yield* load(directory, { files: ["own.json", "shared.json"], host: { SECRET: "s3cret" } })
        for (const name of ["own", "shared"]) {
          const error = errorOf(config, name)
          assert.strictEqual(error.file, path.join(directory, `${name}.json`))
          assert.strictEqual(error.field, field)
          assert.strictEqual(error.variable, variable)
          assert.match(error.reason, reason)
          assert.notInclude(JSON.stringify(error) + error.message, "s3cret")
        }
        assert.strictEqual(specOf(config, "ok").command, "b")
      })
    )
  }
})

describe("inputs", () => {
  const withInputs = (inputs: unknown) =>
    project({
      ".mcp.json": { mcpServers: { x: { command: "a", env: { KEY: "${input:api-key.1}" } }, other: { command: "b" } } },
      ...(inputs === undefined ? {} : { "mcp-pool.inputs.json": inputs })
    })

  it.effect("come from the file beside the configuration", () =>
    Effect.gen(function* () {
      const directory = yield* withInputs('{ /* mine */ "api-key.1": "from file" }')
      assert.strictEqual(specOf(yield* load(directory)).env["KEY"], "from file")
    })
  )

  it.effect("come from the environment first, as written or in upper case", () =>
    Effect.gen(function* () {
      const directory = yield* withInputs({ "api-key.1": "from file" })
      const lower = yield* load(directory, { host: { MCP_POOL_INPUT_api_key_1: "as written" } })
      assert.strictEqual(specOf(lower).env["KEY"], "as written")
      const upper = yield* load(directory, { host: { MCP_POOL_INPUT_API_KEY_1: "upper" } })
      assert.strictEqual(specOf(upper).env["KEY"], "upper")
      assert.isUndefined(specOf(upper).env["MCP_POOL_INPUT_API_KEY_1"])
    })
  )

  it.effect("that are missing are named, with where to put them", () =>
    Effect.gen(function* () {
      for (const inputs of [undefined, { other: "s3cret" }]) {
        const directory = yield* withInputs(inputs)
        const config = yield* load(directory)
        const error = errorOf(config)
        assert.strictEqual(error.variable, "api-key.1")
        assert.strictEqual(
          error.reason,
          `the input "api-key.1" has no value: set MCP_POOL_INPUT_api_key_1, or "api-key.1" in ` +
            `${directory}/mcp-pool.inputs.json (mode 0600)`
        )
        assert.strictEqual(specOf(config, "other").command, "b")
      }
    })
  )

  it.effect("are not read from a file that others may read", () =>
    Effect.gen(function* () {
      const directory = yield* withInputs({ "api-key.1": "s3cret" })
      const file = path.join(directory, "mcp-pool.inputs.json")
      for (const mode of [0o644, 0o640, 0o606]) {
        chmodSync(file, mode)
        const config = yield* load(directory)
        assert.strictEqual(
          errorOf(config).reason,
          `the input "api-key.1" has no value: ${file} has mode 0${mode.toString(8)}: others may read it, run chmod 600`
        )
        assert.notInclude(errorOf(config).message, "s3cret")
        assert.strictEqual(specOf(config, "other").command, "b")
      }
    })
  )

  it.effect("of a broken file are told without a value", () =>
    Effect.gen(function* () {
      const broken: ReadonlyArray<readonly [unknown, RegExp]> = [
        ['{ "api-key.1": "s3cret', /mcp-pool\.inputs\.json:1:\d+: not valid JSON/],
        [["s3cret"], /mcp-pool\.inputs\.json: expected an object, found an array$/],
        [{ "api-key.1": ["s3cret"] }, /mcp-pool\.inputs\.json: "api-key\.1" should be a string, found an array$/]
      ]
      for (const [inputs, reason] of broken) {
        const error = errorOf(yield* load(yield* withInputs(inputs)))
        assert.match(error.reason, reason)
        assert.notInclude(error.message, "s3cret")
      }
    })
  )
})

describe("the environment of a process", () => {
  const inherited = {
    HOME: "/home/ada",
    LOGNAME: "ada",
    PATH: "/usr/bin",
    SHELL: "/bin/sh",
    TERM: "xterm",
    USER: "ada",
    LANG: "C",
    LC_ALL: "C",
    LC_TIME: "C",
    TMPDIR: "/tmp",
    SSH_AUTH_SOCK: "/s",
    DISPLAY: ":0",
    WAYLAND_DISPLAY: "w",
    XDG_RUNTIME_DIR: "/run",
    XDG_CONFIG_HOME: "/c",
    HTTP_PROXY: "p",
    https_proxy: "p",
    NO_PROXY: "p",
    all_proxy: "p",
    NODE_EXTRA_CA_CERTS: "/ca",
    SSL_CERT_FILE: "/ca",
    SSL_CERT_DIR: "/ca",
    REQUESTS_CA_BUNDLE: "/ca",
    CURL_CA_BUNDLE: "/ca",
    GIT_SSL_CAINFO: "/ca"
  }
  const own = {
    NODE_OPTIONS: "--inspect",
    NODE_ENV: "test",
    GITHUB_TOKEN: "s3cret",
    AWS_SECRET_ACCESS_KEY: "s3cret",
    LD_PRELOAD: "/x.so",
    MCP_POOL_RUNTIME_DIR: "/r",
    MY_PATH: "/x",
    LCX: "1",
    "BASH_FUNC_f%%": "() { :; }"
  }

  it.effect("has the allow-list and nothing else of the pool's own", () =>
    Effect.gen(function* () {
      const { config } = yield* loadServer({ command: "a" }, { ...inherited, ...own })
      assert.deepStrictEqual(specOf(config).env, inherited)
    })
  )

  it.effect("has what passEnv names, of the file and of the server", () =>
    Effect.gen(function* () {
      const directory = yield* project({
        ".mcp.json": {
          pool: { passEnv: ["NODE_ENV", "constructor"] },
          mcpServers: { x: { command: "a", pool: { passEnv: ["GITHUB_TOKEN", "NOT_SET"] } }, y: { command: "a" } }
        }
      })
      const config = yield* load(directory, { host: own })
      assert.deepStrictEqual(specOf(config).env, { ...host, NODE_ENV: "test", GITHUB_TOKEN: "s3cret" })
      assert.deepStrictEqual(specOf(config, "y").env, { ...host, NODE_ENV: "test" })
      assert.notStrictEqual(specOf(config).fingerprint, specOf(config, "y").fingerprint)
    })
  )

  it.effect("never has an exported shell function", () =>
    Effect.gen(function* () {
      const { config } = yield* loadServer(
        { command: "a", pool: { passEnv: ["FUNCTION"] } },
        { TERM: "() { :; }; x", FUNCTION: "() { :; }", LANG: "(C)" }
      )
      assert.deepStrictEqual(specOf(config).env, { ...host, LANG: "(C)" })
    })
  )

  it.effect("has declared variables over the envFile's over the inherited; null unsets", () =>
    Effect.gen(function* () {
      const directory = yield* project({
        ".mcp.json": {
          mcpServers: {
            x: { command: "a", envFile: ".env", env: { A: "declared", SHELL: null, GONE: null, TERM: "declared" } }
          }
        },
        ".env": "# comment\nA=file\nexport B=\"two words\"\nGONE=file\nTERM=file\nLANG='file'\n"
      })
      const config = yield* load(directory, { host: { SHELL: "/bin/sh", TERM: "xterm", LANG: "C" } })
      assert.deepStrictEqual(specOf(config).env, {
        ...host,
        A: "declared",
        B: "two words",
        TERM: "declared",
        LANG: "file"
      })
    })
  )

  it.effect("needs its envFile", () =>
    Effect.gen(function* () {
      const { config, directory } = yield* loadServer({ command: "a", envFile: "sub/.env" })
      assert.strictEqual(errorOf(config).field, "envFile")
      assert.strictEqual(errorOf(config).reason, `${directory}/sub/.env: no such file`)
    })
  )

  it.effect("is the process's own where none is given", () =>
    Effect.gen(function* () {
      const config = yield* PoolConfig.fromServers({ x: { command: "a", args: ["${PATH}"] } })
      assert.deepStrictEqual(specOf(config).args, [process.env["PATH"] ?? "unset"])
      assert.strictEqual(specOf(config).env["PATH"], process.env["PATH"])
    })
  )

  it.effect("never shows a value in an error, a warning or a message", () =>
    Effect.gen(function* () {
      const secret = "s3cret"
      const directory = yield* project({
        ".mcp.json": {
          pool: { nonsense: secret },
          mcpServers: {
            a: { command: "a", env: { T: `${secret}\${NOPE}` } },
            b: { command: "a", env: { T: `x\${${secret}-1` } },
            c: { command: "a", env: { T: `x\${9${secret}}` } },
            d: { command: "a", env: { T: `\${NOPE:-${secret}\${A}}` } },
            e: { command: "a", env: { T: [secret] } },
            f: { command: "a", env: { T: `${secret}\0` } },
            g: { command: "a", env: secret },
            h: { command: "a", env: { [`${secret}=`]: secret } },
            i: { url: `ftp://${secret}`, headers: { Authorization: secret } },
            r: { url: "https://x", headers: { Authorization: `${secret}\n` } },
            s: { url: "https://x", headers: { [`${secret} `]: secret } },
            t: { url: `https://${secret}:%zz@x/${secret}` },
            j: { command: "a", args: ["${SECRET}", "${NOPE}"], timeout: secret, unknown: secret },
            k: { command: "a", envFile: ".env" },
            l: { command: "${SECRET}", pool: { restart: secret, other: secret } },
            m: { command: "mcp-pool", env: { T: secret } },
            n: { command: "a", pool: { extraEnv: { T: [secret] }, probe: secret } },
            o: { command: "a", pool: { extraEnv: { [`${secret}=`]: secret } } },
            p: { command: "a", pool: { sessionFile: { variable: `${secret}=`, content: secret } } },
            q: { command: "a", pool: { sessionFile: { content: { T: `\${SECRET}\${${secret}-1` } } } }
          }
        },
        ".env": `A=${secret}\0`
      })
      const config = yield* load(directory, { host: { SECRET: secret } })
      assert.lengthOf(config.warnings, 4)
      for (const warning of config.warnings) assert.notInclude(warning, secret)
      for (const name of names(config)) {
        const error = errorOf(config, name)
        assert.notInclude(error.message, secret)
        assert.notInclude(JSON.stringify(error), secret)
      }
    })
  )
})

describe("paths", () => {
  it.effect("keeps a bare command and absolute paths as they are", () =>
    Effect.gen(function* () {
      const { config } = yield* loadServer({ command: "/opt/server", cwd: "/srv", args: ["./a"] })
      assert.strictEqual(specOf(config).command, "/opt/server")
      assert.strictEqual(specOf(config).cwd, "/srv")
      assert.deepStrictEqual(specOf(config).args, ["./a"])
    })
  )

  it.effect("resolves relative ones against the project directory", () =>
    Effect.gen(function* () {
      const { config, directory } = yield* loadServer({ command: "../bin/server", cwd: "sub" })
      assert.strictEqual(specOf(config).command, path.join(directory, "../bin/server"))
      assert.strictEqual(specOf(config).cwd, path.join(directory, "sub"))
    })
  )

  it.effect("names the default file under the home directory", () =>
    Effect.gen(function* () {
      const file = yield* Effect.provideService(PoolConfig.defaultFile, PoolConfig.HostEnvironment, host)
      assert.strictEqual(file, "/home/ada/.config/mcp-pool/config.json")
    })
  )
})

describe("warnings", () => {
  it.effect("tell unknown keys of a server, and its ignored timeout", () =>
    Effect.gen(function* () {
      const { config, directory } = yield* loadServer({
        command: "a",
        timeout: 60_000,
        comand: "b",
        transportType: "stdio",
        pool: { restrat: "always", toolCacheTtl: "1 s", stop: { kill: "1 s" } }
      })
      const prefix = `${directory}/.mcp.json: server "x": `
      assert.deepStrictEqual(config.warnings, [
        `${prefix}unknown keys ignored: "comand", "transportType"`,
        `${prefix}"timeout" is ignored, since its unit differs between hosts: see "pool.requestTimeout"`,
        `${prefix}unknown keys ignored: "pool.restrat", "pool.stop.kill"`
      ])
      assert.strictEqual(specOf(config).command, "a")
    })
  )

  it.effect("say nothing of what hosts write for themselves", () =>
    Effect.gen(function* () {
      const extras = [
        "headersHelper",
        "autoApprove",
        "alwaysAllow",
        "sandbox",
        "sandboxEnabled",
        "dev",
        "description",
        "gallery",
        "version",
        "tools",
        "trust",
        "oauth",
        "$schema",
        "inputs"
      ]
      const { config } = yield* loadServer({ command: "a", ...Object.fromEntries(extras.map((key) => [key, true])) })
      assert.deepStrictEqual(config.warnings, [])
      assert.strictEqual(specOf(config).command, "a")
    })
  )

  it.effect("tell shared settings that mean nothing", () =>
    Effect.gen(function* () {
      const directory = yield* project({ ".mcp.json": { mcpServers: {}, pool: { nope: 1, toolCacheTtl: "1 s" } } })
      const config = yield* load(directory)
      assert.deepStrictEqual(config.warnings, [`${directory}/.mcp.json: unknown key ignored: "pool.nope"`])
    })
  )

  it.effect("tell a disabled server, which is left out whatever else is wrong with it", () =>
    Effect.gen(function* () {
      const { config, directory } = yield* loadServer({ disabled: true, command: 5, timeout: 1 })
      assert.deepStrictEqual(config.servers, [])
      assert.deepStrictEqual(config.warnings, [`${directory}/.mcp.json: server "x": is disabled: skipped`])
    })
  )
})

describe("several files", () => {
  const files = ["a.json", "b.json"]

  it.effect("are merged in their order", () =>
    Effect.gen(function* () {
      const directory = yield* project({
        // As text, since JavaScript would move the keys "1" and "2" to the front.
        "a.json": '{"mcpServers":{"z":{"command":"z"},"2":{"command":"b"},"1":{"command":"a"}}}',
        "b.json": { servers: { a: { command: "a" } } }
      })
      const config = yield* load(directory, { files })
      assert.deepStrictEqual(names(config), ["z", "2", "1", "a"])
      assert.deepStrictEqual(config.warnings, [])
    })
  )

  it.effect("may name the same process twice, which is one server", () =>
    Effect.gen(function* () {
      const directory = yield* project({
        "a.json": { mcpServers: { x: { command: "a", env: { A: "1" } } } },
        "b.json": { mcpServers: { x: { command: "a", env: { A: "${ONE}" } } } }
      })
      const config = yield* load(directory, { files, host: { ONE: "1" } })
      assert.deepStrictEqual(names(config), ["x"])
      assert.deepStrictEqual(config.warnings, [])
    })
  )

  it.effect("that name another process: the last counts, in the first's place, with a warning", () =>
    Effect.gen(function* () {
      const directory = yield* project({
        "a.json": { mcpServers: { x: { command: "a" }, y: { command: "y" } } },
        "b.json": { mcpServers: { x: { command: "b" } } }
      })
      const config = yield* load(directory, { files })
      assert.deepStrictEqual(names(config), ["x", "y"])
      assert.strictEqual(specOf(config).command, "b")
      assert.strictEqual(specOf(config).source, path.join(directory, "b.json"))
      assert.deepStrictEqual(config.warnings, [
        `${directory}/b.json: server "x": is used instead of the one in ${directory}/a.json`
      ])
    })
  )

  it.effect("may disable what an earlier one has", () =>
    Effect.gen(function* () {
      const directory = yield* project({
        "a.json": { mcpServers: { x: { command: "a" } } },
        "b.json": { mcpServers: { x: { command: "a", disabled: true } } }
      })
      const config = yield* load(directory, { files })
      assert.deepStrictEqual(config.servers, [])
      assert.deepStrictEqual(config.warnings, [
        `${directory}/b.json: server "x": is disabled: skipped, and so is the one in ${directory}/a.json`
      ])
      const turned = yield* load(directory, { files: files.toReversed() })
      assert.strictEqual(specOf(turned).command, "a")
    })
  )

  it.effect("have shared settings each for its own servers", () =>
    Effect.gen(function* () {
      const directory = yield* project({
        "a.json": { pool: { restart: "always" }, mcpServers: { x: { command: "a" } } },
        "b.json": { mcpServers: { y: { command: "b" } } }
      })
      const config = yield* load(directory, { files })
      assert.strictEqual(specOf(config, "x").pool.restart, "always")
      assert.strictEqual(specOf(config, "y").pool.restart, "on-failure")
    })
  )

  it.effect("are none: nothing is configured", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* PoolConfig.loadFiles([]), { servers: [], audit: null, sources: [], warnings: [] })
    })
  )
})

describe("the audit file", () => {
  it.effect("stands at the top, with references, relative to the project; the last file's is the pool's", () =>
    Effect.gen(function* () {
      const directory = yield* project({
        "a.json": { mcpServers: {}, pool: { audit: "${NAME}.jsonl" } },
        "b.json": { mcpServers: {}, pool: { audit: "b.jsonl" } },
        "none.json": { mcpServers: {} },
        "wrong.json": { mcpServers: {}, pool: { audit: "${NOPE}" } }
      })
      const one = yield* load(directory, { files: ["a.json", "none.json"], host: { NAME: "calls" } })
      assert.strictEqual(one.audit, path.join(directory, "calls.jsonl"))
      assert.deepStrictEqual(one.warnings, [])
      const two = yield* load(directory, { files: ["a.json", "b.json"], host: { NAME: "calls" } })
      assert.strictEqual(two.audit, path.join(directory, "b.jsonl"))
      assert.lengthOf(two.warnings, 1)
      assert.strictEqual((yield* load(directory, { files: ["none.json"] })).audit, null)
      const { message } = yield* fileError(load(directory, { files: ["wrong.json"] }))
      assert.include(message, 'field "pool.audit": the variable NOPE is not set')
    })
  )

  it.effect("is no server's own", () =>
    Effect.gen(function* () {
      const { config } = yield* loadServer({ command: "a", pool: { audit: "a.jsonl" } })
      assert.strictEqual(errorOf(config).field, "pool.audit")
      assert.isNull(config.audit)
    })
  )
})

describe("names", () => {
  it.effect("may be anything but empty", () =>
    Effect.gen(function* () {
      const all = ["__proto__", "constructor", "toString", "a b", "a/b", "../x", "ünï", "a__b", "0", "\u0000", "."]
      const servers = all.map((name) => `${JSON.stringify(name)}: { "command": "c" }`).join(",")
      const directory = yield* project({ ".mcp.json": `{ "mcpServers": { ${servers} } }` })
      const config = yield* load(directory)
      assert.deepStrictEqual(names(config), all)
      for (const name of all) assert.strictEqual(specOf(config, name).command, "c")
      assert.deepStrictEqual(config.warnings, [])
    })
  )

  it.effect("that stand twice in a file count once, with a warning where they differ", () =>
    Effect.gen(function* () {
      const directory = yield* project({
        ".mcp.json": '{ "mcpServers": { "x": { "command": "a" }, "x": { "command": "b" }, "y": { "command": "a" } } }'
      })
      const config = yield* load(directory)
      assert.deepStrictEqual(names(config), ["x", "y"])
      assert.strictEqual(specOf(config).command, "b")
      assert.deepStrictEqual(config.warnings, [
        `${directory}/.mcp.json: server "x": stands there twice: the last is used`
      ])
    })
  )

  it.effect("do not matter to the fingerprint", () =>
    Effect.gen(function* () {
      const directory = yield* project({ ".mcp.json": { mcpServers: { x: { command: "a" }, y: { command: "a" } } } })
      const config = yield* load(directory)
      assert.strictEqual(specOf(config, "x").fingerprint, specOf(config, "y").fingerprint)
    })
  )
})

describe("entries that run the pool itself", () => {
  const script = fileURLToPath(new URL("../../dist/bin/bin.js", import.meta.url))
  const refused: ReadonlyArray<readonly [string, ReadonlyArray<string>]> = [
    ["mcp-pool", ["connect", "files"]],
    ["/usr/local/bin/mcp-pool", []],
    ["mcp-pool.cmd", ["connect", "files"]],
    ["npx", ["mcp-pool", "connect", "files"]],
    ["npx", ["-y", "effect-mcp-pool@0.1.0", "connect", "files"]],
    ["npx", ["-y", "--package", "effect-mcp-pool", "mcp-pool", "serve"]],
    ["pnpm", ["dlx", "effect-mcp-pool", "connect", "files"]],
    ["bunx", ["effect-mcp-pool", "connect", "files"]],
    ["node", [script, "connect", "--runtime-dir", "/r", "files"]],
    ["/usr/bin/node", [script, "--runtime-dir", "/r", "connect", "files"]],
    ["node", ["node_modules/.bin/mcp-pool", "serve"]],
    [script, ["connect", "files"]]
  ]
  for (const [command, args] of refused) {
    it.effect(`are refused with an explanation: ${[command, ...args].join(" ").replace(script, "<bin.js>")}`, () =>
      Effect.gen(function* () {
        const { config } = yield* loadServer({ command, args })
        assert.strictEqual(errorOf(config).field, "command")
        assert.match(errorOf(config).reason, /^runs mcp-pool itself, which would connect the pool to itself: /)
      })
    )
  }

  const accepted: ReadonlyArray<readonly [string, ReadonlyArray<string>]> = [
    ["npx", ["-y", "@modelcontextprotocol/server-filesystem", "/home/ada/mcp-pool"]],
    ["npx", ["mcp-pool-extra", "connect"]],
    ["node", ["dist/bin/bin.js", "serve"]],
    ["server", ["mcp-pool", "connect"]],
    ["node", ["server.js", "connect"]]
  ]
  for (const [command, args] of accepted) {
    it.effect(`do not include ${[command, ...args].join(" ")}`, () =>
      Effect.gen(function* () {
        const { config } = yield* loadServer({ command, args })
        assert.deepStrictEqual(specOf(config).args, args)
      })
    )
  }

  it.effect("do not include another package's dist/bin/bin.js", () =>
    Effect.gen(function* () {
      const directory = yield* project({
        "package.json": { name: "another" },
        ".mcp.json": { mcpServers: { x: { command: "node", args: ["dist/bin/bin.js", "serve"] } } }
      })
      assert.strictEqual(specOf(yield* load(directory)).command, "node")
    })
  )
})

describe("an application's own servers", () => {
  const fromServers = (...parameters: Parameters<typeof PoolConfig.fromServers>) =>
    Effect.provideService(PoolConfig.fromServers(...parameters), PoolConfig.HostEnvironment, { ...host, VAR: "value" })

  it.effect("follow the same rules, with the source options and the working directory", () =>
    Effect.gen(function* () {
      const config = yield* fromServers({
        x: {
          command: "./a",
          args: ["${VAR}", "${workspaceFolder}"],
          pool: { startTimeout: "5 seconds", maxLine: 2048 }
        },
        bad: { command: "${NOPE}" },
        off: { command: "a", disabled: true },
        key: { command: "a", args: ["${input:key}"] }
      })
      const spec = specOf(config)
      assert.strictEqual(spec.source, "options")
      assert.strictEqual(spec.command, path.resolve("a"))
      assert.strictEqual(spec.cwd, process.cwd())
      assert.deepStrictEqual(spec.args, ["value", process.cwd()])
      assert.deepStrictEqual(spec.env, host)
      assert.deepStrictEqual(spec.pool.startTimeout, Duration.seconds(5))
      assert.strictEqual(spec.pool.maxLine, 2048)
      assert.strictEqual(
        errorOf(config, "bad").message,
        'options: server "bad" field "command": the variable NOPE is not set, and has no default'
      )
      assert.strictEqual(errorOf(config, "key").reason, 'the input "key" has no value: set MCP_POOL_INPUT_key')
      assert.deepStrictEqual(config.warnings, ['options: server "off": is disabled: skipped'])
    })
  )

  it.effect("take shared settings and a directory", () =>
    Effect.gen(function* () {
      const config = yield* fromServers(
        { x: { command: "a" }, y: { command: "a", pool: { restart: "never" } } },
        { pool: { restart: "always", queueTimeout: Duration.seconds(3) }, cwd: "/srv" }
      )
      assert.strictEqual(specOf(config).cwd, "/srv")
      assert.strictEqual(specOf(config).pool.restart, "always")
      assert.deepStrictEqual(specOf(config).pool.queueTimeout, Duration.seconds(3))
      assert.strictEqual(specOf(config, "y").pool.restart, "never")
    })
  )

  it.effect("may have a session file of anything, and are told what is no JSON", () =>
    Effect.gen(function* () {
      const cycle: Record<string, unknown> = {}
      cycle["self"] = cycle
      const config = yield* fromServers(
        {
          x: { command: "a", pool: { sessionFile: { variable: "X", content: { v: "${VAR}" } } } },
          cycle: { command: "a", pool: { sessionFile: { content: cycle } } },
          code: { command: "a", pool: { sessionFile: { content: { run: () => "s3cret" } } } }
        },
        { pool: { probe: { misses: 2 }, budget: { lifetime: 3 }, maxMemory: 1024, extraEnv: { A: "${VAR}" } } }
      )
      const { pool } = specOf(config)
      assert.deepStrictEqual(pool.sessionFile, { variable: "X", content: '{"v":"value"}' })
      assert.deepStrictEqual(pool.extraEnv, { A: "value" })
      assert.deepStrictEqual(pool.probe, { interval: Duration.seconds(30), timeout: Duration.seconds(5), misses: 2 })
      assert.strictEqual(pool.budget.lifetime, 3)
      assert.strictEqual(pool.maxMemory, 1024)
      assert.strictEqual(
        errorOf(config, "cycle").message,
        'options: server "cycle" field "pool.sessionFile.content.self": contains itself'
      )
      assert.strictEqual(errorOf(config, "code").field, "pool.sessionFile.content.run")
      assert.strictEqual(errorOf(config, "code").reason, "expected a JSON value")
    })
  )

  it.effect("fail as a file would", () =>
    Effect.gen(function* () {
      const unnamed = yield* fileError(fromServers({ "": { command: "a" } }))
      assert.strictEqual(unnamed.message, "options: a server has an empty name")
      const shared = yield* fileError(fromServers({}, { pool: { queueTimeout: -1 } }))
      assert.match(shared.message, /^options: field "pool\.queueTimeout": expected a duration/)
      const strict = yield* Effect.flip(fromServers({ x: { command: "" } }, { strict: true }))
      assert.strictEqual(strict.message, 'options: server "x" field "command": is empty')
    })
  )

  it.effect("may be named __proto__", () =>
    Effect.gen(function* () {
      const config = yield* fromServers({ ["__proto__"]: { command: "a" } })
      assert.deepStrictEqual(names(config), ["__proto__"])
    })
  )
})

describe("a server with a url", () => {
  it.effect("has its references replaced, and its userinfo as the header that it stands for", () =>
    Effect.gen(function* () {
      const { config } = yield* loadServer(
        { url: "https://me:${PASSWORD}@x.example:8443/${PLACE}?k=v#top", headers: { "X-Team": "${TEAM:-none}" } },
        { PASSWORD: "a%20b", PLACE: "mcp" }
      )
      assert.deepStrictEqual(specOf(config).remote, {
        url: "https://x.example:8443/mcp?k=v",
        socketPath: null,
        headers: { "X-Team": "none", Authorization: `Basic ${Buffer.from("me:a b").toString("base64")}` }
      })
    })
  )

  it.effect("may be at a Unix socket, as VS Code writes it", () =>
    Effect.gen(function* () {
      const { config } = yield* loadServer({ type: "http", url: "unix:///run/pool/http.sock#/servers/git/mcp" })
      assert.deepStrictEqual(specOf(config).remote, {
        url: "http://localhost/servers/git/mcp",
        socketPath: "/run/pool/http.sock",
        headers: {}
      })
    })
  )

  it.effect("is probed by default, and its fingerprint is that of its url and headers", () =>
    Effect.gen(function* () {
      const entries = [
        { url: "https://x/a" },
        { url: "https://x/b" },
        { url: "https://x/a", headers: { A: "1" } },
        { url: "https://x/a", headers: { A: "2" } }
      ]
      const specs = yield* Effect.forEach(entries, (entry) =>
        Effect.map(loadServer(entry), ({ config }) => specOf(config))
      )
      assert.strictEqual(new Set(specs.map(({ fingerprint }) => fingerprint)).size, entries.length)
      assert.deepStrictEqual(specs[0]?.pool.probe?.interval, Duration.seconds(30))
      const { config } = yield* loadServer({ url: "https://x/a", pool: { probe: "off" } })
      assert.isUndefined(specOf(config).pool.probe)
    })
  )

  it.effect("notes what only a process can have, and the other way round", () =>
    Effect.gen(function* () {
      const far = yield* loadServer({ url: "https://x", cwd: "/", env: { A: "1" }, pool: { maxMemory: "1 GiB" } })
      assert.deepStrictEqual(far.config.warnings.length, 1)
      assert.include(far.config.warnings[0], "the server has a url: env, cwd, pool.maxMemory")
      assert.isUndefined(specOf(far.config).pool.maxMemory)
      const near = yield* loadServer({ command: "a", url: "https://x" })
      assert.include(near.config.warnings[0], "the server has a command: url")
      assert.isNull(specOf(near.config).remote)
    })
  )
})
