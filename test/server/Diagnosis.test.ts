import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import {
  HandshakeFailed,
  PreflightFailed,
  ProbeFailed,
  ProcessExited,
  ServerConfigError,
  SpawnFailed,
  type ProcessError
} from "../../src/PoolError.ts"
import { diagnose, type Diagnosis } from "../../src/server/Diagnosis.ts"
import type { Traces } from "../../src/server/Sayings.ts"
import { Classification } from "../../src/server/ServerState.ts"
import * as Choices from "../lines/Choices.ts"

const server = "git"
const itself = { server, pid: 42 }

const exited = (how: Partial<Pick<ProcessExited, "phase" | "exitCode" | "signal">> = {}) =>
  new ProcessExited({ ...itself, phase: "handshake", exitCode: 1, signal: null, uptime: 0, ...how })
const killed = (signal: string) => exited({ exitCode: null, signal })
const notSpawned = (code: string) => new SpawnFailed({ server, command: "some-server", code, cause: new Error(code) })
const slow = new HandshakeFailed({ ...itself, timedOut: true, reason: "no answer to initialize within 30s" })
const refused = new HandshakeFailed({ ...itself, timedOut: false, reason: "initialize was answered with error -32600" })

const traces = (stderr: string, given: ReadonlyArray<string> = [], known: ReadonlyArray<string> = []): Traces => ({
  stderr: stderr.split("\n"),
  given: new Set(given),
  isKnown: (variable) => known.includes(variable)
})

/** What it said, what that is, and what the hint must name. */
type Sample = readonly [title: string, stderr: string, classification: Classification, ...named: ReadonlyArray<string>]

const samples: ReadonlyArray<Sample> = [
  // Modules
  [
    "Node: a module of CommonJS",
    `node:internal/modules/cjs/loader:1146
  throw err;
  ^

Error: Cannot find module '@sap-ux/store/dist/services/backend-system'
Require stack:
- /home/somebody/.npm/_npx/dc884e1223e39d87/node_modules/@sap-ux/fiori-mcp-server/dist/index.js
    at Module._resolveFilename (node:internal/modules/cjs/loader:1143:15)
    at Module._load (node:internal/modules/cjs/loader:984:27) {
  code: 'MODULE_NOT_FOUND',
  requireStack: [
    '/home/somebody/.npm/_npx/dc884e1223e39d87/node_modules/@sap-ux/fiori-mcp-server/dist/index.js'
  ]
}

Node.js v20.12.2`,
    "missing-module",
    '"@sap-ux/store"',
    "mcp-pool restart git"
  ],
  [
    "Node: a package of ESM",
    `node:internal/modules/esm/resolve:275
    throw new ERR_MODULE_NOT_FOUND(
          ^

Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'zod' imported from /srv/mcp/index.js
    at packageResolve (node:internal/modules/esm/resolve:841:9) {
  code: 'ERR_MODULE_NOT_FOUND'
}

Node.js v22.19.0`,
    "missing-module",
    '"zod"'
  ],
  [
    "Node: a file of a package",
    `Error [ERR_MODULE_NOT_FOUND]: Cannot find module '/home/somebody/.npm/_npx/6ddf/node_modules/@modelcontextprotocol/sdk/dist/esm/server/stdio.js' imported from /home/somebody/.npm/_npx/6ddf/node_modules/@browsermcp/mcp/dist/index.js
    at finalizeResolution (node:internal/modules/esm/resolve:327:11) {
  url: 'file:///home/somebody/.npm/_npx/6ddf/node_modules/@modelcontextprotocol/sdk/dist/esm/server/stdio.js',
  code: 'ERR_MODULE_NOT_FOUND'
}`,
    "missing-module",
    '"@modelcontextprotocol/sdk"'
  ],
  [
    "Node: the script itself",
    `Error: Cannot find module '/home/somebody/app/dist/index.js'
    at Module._resolveFilename (node:internal/modules/cjs/loader:1225:15) {
  code: 'MODULE_NOT_FOUND',
  requireStack: []
}`,
    "missing-module",
    '"index.js"',
    '"args"'
  ],
  [
    "Python: a module",
    `Traceback (most recent call last):
  File "/srv/mcp/server.py", line 3, in <module>
    from mcp.server.fastmcp import FastMCP
ModuleNotFoundError: No module named 'mcp.server'`,
    "missing-module",
    '"mcp.server"'
  ],
  ["Python: -m", "/usr/bin/python3: No module named mcp_server_git", "missing-module", '"mcp_server_git"'],
  [
    "Python: a name",
    `Traceback (most recent call last):
  File "/srv/mcp/server.py", line 1, in <module>
ImportError: cannot import name 'FastMCP' from 'mcp.server' (/srv/mcp/__init__.py)`,
    "missing-module",
    '"mcp.server"'
  ],
  [
    "Python: the script itself",
    "python3: can't open file '/home/somebody/server.py': [Errno 2] No such file or directory",
    "missing-module",
    '"server.py"'
  ],
  [
    "npx: no such package",
    `npm error code E404
npm error 404 Not Found - GET https://registry.npmjs.org/@nobody%2fmcp-server - Not found
npm error 404
npm error 404  '@nobody/mcp-server@*' is not in this registry.
npm error 404
npm error 404 Note that you can also install from a
npm error 404 tarball, folder, http url, or git folder.
npm error A complete log of this run can be found in: /home/somebody/.npm/_logs/2026-01-01T00_00_00_000Z-debug-0.log`,
    "missing-module",
    '"@nobody/mcp-server"'
  ],
  [
    "npx: no such package, in newer words",
    `npm error code E404
npm error 404  The requested resource 'mcp-server-nothing@*' could not be found or you do not have permission to access it.
npm error 404 Note that you can also install from a`,
    "missing-module",
    '"mcp-server-nothing"'
  ],
  [
    "npx: no such version",
    `npm error code ETARGET
npm error notarget No matching version found for @modelcontextprotocol/server-everything@9.9.9.`,
    "missing-module",
    '"@modelcontextprotocol/server-everything"'
  ],
  ["npx: nothing to run", "npm error could not determine executable to run", "missing-module", "mcp-pool logs git"],
  [
    "uvx: no such package",
    `  × No solution found when resolving tool dependencies:
  ╰─▶ Because mcp-server-quadrant was not found in the package registry
      and you require mcp-server-quadrant, we can conclude that your
      requirements are unsatisfiable.`,
    "missing-module",
    '"mcp-server-quadrant"'
  ],
  [
    "uvx: no such version",
    `  x No solution found when resolving tool dependencies:
  \`-> Because there is no version of mcpforunityserver==9.4.8 and you require mcpforunityserver==9.4.8, we can
      conclude that your requirements are unsatisfiable.`,
    "missing-module",
    '"mcpforunityserver"'
  ],
  [
    "Ruby: a gem",
    "<internal:rubygems/core_ext/kernel_require.rb>:136:in `require': cannot load such file -- json_rpc (LoadError)",
    "missing-module",
    '"json_rpc"'
  ],
  [
    "docker: no such image",
    `Unable to find image 'mcp/nothing:latest' locally
docker: Error response from daemon: pull access denied for mcp/nothing, repository does not exist or may require 'docker login'.
See 'docker run --help'.`,
    "missing-module",
    '"mcp/nothing"'
  ],
  [
    "a shared library",
    "mcp-server: error while loading shared libraries: libssl.so.1.1: cannot open shared object file: No such file or directory",
    "missing-module",
    '"libssl.so.1.1"'
  ],

  // Commands
  ["bash", "bash: line 1: uvx: command not found", "command-not-found", '"uvx"', "PATH"],
  ["zsh", "zsh:1: command not found: mcp-server-git", "command-not-found", "PATH", "mcp-pool logs git"],
  ["dash, under npm", "sh: 1: mcp-server-git: not found\nnpm error code 127", "command-not-found", "PATH"],
  ["env of a #! line", "/usr/bin/env: ‘node’: No such file or directory", "command-not-found", '"node"'],
  ["env of macOS", "env: node: No such file or directory", "command-not-found", '"node"'],
  [
    "docker: no such program in the image",
    `docker: Error response from daemon: failed to create task for container: OCI runtime create failed: exec: "python3": executable file not found in $PATH: unknown.`,
    "command-not-found",
    '"python3"'
  ],
  [
    "Node: a child",
    `Error: spawn docker ENOENT
    at ChildProcess._handle.onexit (node:internal/child_process:286:19) {
  errno: -2,
  code: 'ENOENT',
  syscall: 'spawn docker'
}`,
    "command-not-found",
    '"docker"'
  ],
  [
    "uv: a script",
    "error: Failed to spawn: `mcp-server-x`\n  Caused by: No such file or directory (os error 2)",
    "command-not-found",
    "PATH"
  ],

  // Permissions
  ["a shell", "sh: 1: ./server.sh: Permission denied", "permission", "mcp-pool logs git"],
  [
    "Node: a file",
    "Error: EACCES: permission denied, mkdir '/var/lib/mcp'\n    at Object.mkdirSync (node:fs:1371:26)",
    "permission"
  ],
  ["Python: a file", "PermissionError: [Errno 13] Permission denied: '/etc/mcp.json'", "permission"],
  [
    "docker: its socket",
    "docker: permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock",
    "permission"
  ],

  // Variables
  ["plain", "Error: GITHUB_TOKEN is required", "missing-variable", 'set GITHUB_TOKEN in "env"', "pool.passEnv"],
  ["named first", "Missing environment variable: FOO_KEY", "missing-variable", "FOO_KEY"],
  ["please", "Please set the OPENAI_API_KEY environment variable", "missing-variable", "OPENAI_API_KEY"],
  ["process.env", "ReferenceError: process.env.SLACK_TEAM_ID is not defined", "missing-variable", "SLACK_TEAM_ID"],
  ["the word apart", "Error: API key not found. Set BRAVE_API_KEY", "missing-variable", "BRAVE_API_KEY"],
  ["not set", "environment variable FOO not set", "missing-variable", "set FOO in"],
  ["quoted", 'Error: environment variable "TOKEN" is not set', "missing-variable", "set TOKEN in"],
  [
    "a list",
    "Error: SLACK_BOT_TOKEN and SLACK_TEAM_ID environment variables are required",
    "missing-variable",
    "SLACK_BOT_TOKEN"
  ],
  ["one of two", "Either GITLAB_TOKEN or GITLAB_OAUTH must be set", "missing-variable", "GITLAB_TOKEN"],
  [
    "in the next line",
    `❌ Missing required environment variables:
   - NEXT_PUBLIC_SUPABASE_URL

Please set these variables before starting the server.`,
    "missing-variable",
    "NEXT_PUBLIC_SUPABASE_URL"
  ],
  [
    "OpenAI's client",
    `    throw new OpenAIError("…")
          ^
OpenAIError: The OPENAI_API_KEY environment variable is missing or empty; either provide it, or instantiate the OpenAI client with an apiKey option, like new OpenAI({ apiKey: 'My API Key' }).
    at new OpenAI (file:///srv/mcp/node_modules/openai/index.mjs:52:19)

Node.js v22.19.0`,
    "missing-variable",
    "OPENAI_API_KEY"
  ],
  [
    "OpenAI's client in Python",
    "openai.OpenAIError: The api_key client option must be set either by passing api_key to the client or by setting the OPENAI_API_KEY environment variable",
    "missing-variable",
    "OPENAI_API_KEY"
  ],
  [
    "Python",
    `Traceback (most recent call last):
  File "/srv/mcp/server.py", line 5, in <module>
    token = os.environ["FOO_TOKEN"]
            ~~~~~~~~~~^^^^^^^^^^^^^
  File "<frozen os>", line 679, in __getitem__
KeyError: 'FOO_TOKEN'`,
    "missing-variable",
    "FOO_TOKEN"
  ],
  [
    "Python, one word",
    `    token = os.environ["TOKEN"]
            ~~~~~~~~~~^^^^^^^^^
  File "<frozen os>", line 679, in __getitem__
KeyError: 'TOKEN'`,
    "missing-variable",
    "set TOKEN in"
  ],
  ["Python's ValueError", "ValueError: JIRA_URL environment variable not set", "missing-variable", "JIRA_URL"],
  [
    "zod's issues",
    `ZodError: [
  {
    "code": "invalid_type",
    "expected": "string",
    "received": "undefined",
    "path": [
      "NOTION_TOKEN"
    ],
    "message": "Required"
  }
]
    at get error (file:///srv/mcp/node_modules/zod/lib/index.mjs:587:31)`,
    "missing-variable",
    "NOTION_TOKEN"
  ],
  [
    "zod 4's issues",
    `  {
    expected: 'string',
    code: 'invalid_type',
    path: [ 'NOTION_TOKEN' ],
    message: 'Invalid input: expected string, received undefined'
  }`,
    "missing-variable",
    "NOTION_TOKEN"
  ],
  [
    "zod's text",
    "✖ Invalid input: expected string, received undefined\n  → at NOTION_TOKEN",
    "missing-variable",
    "NOTION_TOKEN"
  ],
  ["zod, flat", "Invalid configuration: SENTRY_TOKEN: Required", "missing-variable", "SENTRY_TOKEN"],
  ["t3", "❌ Invalid environment variables: { DATABASE_URL: [ 'Required' ] }", "missing-variable", "DATABASE_URL"],
  [
    "pydantic",
    `pydantic_core._pydantic_core.ValidationError: 1 validation error for Settings
JIRA_TOKEN
  Field required [type=missing, input_value={}, input_type=dict]
    For further information visit https://errors.pydantic.dev/2.9/v/missing`,
    "missing-variable",
    "JIRA_TOKEN"
  ],
  ["bash", "./run.sh: line 4: API_TOKEN: unbound variable", "missing-variable", "API_TOKEN"],
  ["Ruby", 'server.rb:3:in `fetch\': key not found: "API_TOKEN" (KeyError)', "missing-variable", "API_TOKEN"],
  [
    "Go",
    "2026/01/01 12:00:00 GITHUB_PERSONAL_ACCESS_TOKEN not set",
    "missing-variable",
    "GITHUB_PERSONAL_ACCESS_TOKEN"
  ],
  [
    "Go, with a panic",
    `panic: missing required environment variable API_BASE_URL

goroutine 1 [running]:
main.main()
	/src/main.go:12 +0x1d
exit status 2`,
    "missing-variable",
    "API_BASE_URL"
  ],
  [
    "Rust",
    `thread 'main' panicked at src/main.rs:5:38:
API_TOKEN must be set: NotPresent
note: run with \`RUST_BACKTRACE=1\` environment variable to display a backtrace`,
    "missing-variable",
    "API_TOKEN"
  ],
  ["Effect", 'ConfigError: SchemaError(Expected string\n  at ["NOTES_DIR"])', "missing-variable", "NOTES_DIR"],
  [
    "Effect 3",
    '(Missing data at NOTES_DIR: "Expected NOTES_DIR to exist in the process context")',
    "missing-variable",
    "NOTES_DIR"
  ],
  ["neither of two", "Error: Neither LINEAR_API_KEY nor LINEAR_TOKEN is set", "missing-variable", "LINEAR_API_KEY"],
  ["by setting it", "Provide your key by setting TAVILY_API_KEY", "missing-variable", "TAVILY_API_KEY"],
  [
    "after a sentence",
    "No credentials. You must set GITLAB_PERSONAL_ACCESS_TOKEN",
    "missing-variable",
    "GITLAB_PERSONAL_ACCESS_TOKEN"
  ],
  ["not found", "Could not find environment variable PASSWORD", "missing-variable", "set PASSWORD in"],
  ["a shell's own words", "sh: 1: FOO_TOKEN: must be set", "missing-variable", "FOO_TOKEN"],
  [
    "Python, without its source",
    `Traceback (most recent call last):
  File "<string>", line 1, in <module>
  File "<frozen os>", line 679, in __getitem__
KeyError: 'TOKEN'`,
    "missing-variable",
    "set TOKEN in"
  ],
  ["an example", "export CONFLUENCE_URL=https://…", "missing-variable", "CONFLUENCE_URL"],
  ["JSON", '{"level":50,"msg":"Config error: \\"LINEAR_API_KEY\\" is missing"}', "missing-variable", "LINEAR_API_KEY"],
  [
    "in colour",
    "\u001b[31mError:\u001b[39m \u001b[1mLINEAR_API_KEY\u001b[22m is not configured",
    "missing-variable",
    "LINEAR_API_KEY"
  ],
  ["without a name", "Error: environment variable not found", "missing-variable", "mcp-pool logs git"],
  ["a last warning", "Starting\nWarning: BRAVE_API_KEY is not set", "missing-variable", "BRAVE_API_KEY"],

  // Ports
  [
    "Node",
    `Error: listen EADDRINUSE: address already in use :::3000
    at Server.setupListenHandle [as _listen2] (node:net:1908:16) {
  code: 'EADDRINUSE',
  errno: -98,
  syscall: 'listen',
  address: '::',
  port: 3000
}`,
    "port-in-use",
    "port 3000",
    "mcp-pool restart git"
  ],
  ["Go", "listen tcp 127.0.0.1:8080: bind: address already in use", "port-in-use", "port 8080"],
  [
    "Python",
    "ERROR:    [Errno 98] error while attempting to bind on address ('127.0.0.1', 8000): address already in use",
    "port-in-use",
    "port 8000"
  ],
  ["in words", "Port 5173 is already in use", "port-in-use", "port 5173"],
  [
    "docker",
    "docker: Error response from daemon: driver failed programming external connectivity: Bind for 0.0.0.0:9000 failed: port is already allocated.",
    "port-in-use",
    "port 9000"
  ],
  ["without a port", "Address already in use (os error 98)", "port-in-use", "its port"],

  // Memory
  [
    "Node",
    `<--- JS stacktrace --->

FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory
----- Native stack trace -----

 1: 0xe13fde node::OOMErrorHandler(char const*, v8::OOMDetails const&) [node]
 2: 0x11d52b0 v8::Utils::ReportOOMFailure(v8::internal::Isolate*, char const*, v8::OOMDetails const&) [node]`,
    "out-of-memory",
    "NODE_OPTIONS"
  ],
  ["Python", "    data = [0] * 10**12\nMemoryError", "out-of-memory", "mcp-pool restart git"],
  [
    "C++",
    "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc",
    "out-of-memory"
  ],
  ["Go", "fatal error: runtime: out of memory", "out-of-memory"],
  ["Rust", "memory allocation of 17179869184 bytes failed", "out-of-memory"],

  // The protocol
  ["a version", "Error: Unsupported protocol version 2025-11-25", "protocol-mismatch", "mcp-pool restart git"],
  ["its version", "Server's protocol version is not supported: 2025-11-25", "protocol-mismatch"],

  // The last lines count
  [
    "a module after a warning about a variable",
    `GITHUB_TOKEN is not set, continuing without it
warning: FOO_KEY is required for search
Error: Cannot find module 'zod'`,
    "missing-module",
    '"zod"'
  ],
  [
    "a variable after an early port",
    "Error: port 3000 is already in use, trying 3001\nListening\nError: API_TOKEN is required",
    "missing-variable",
    "API_TOKEN"
  ]
]

/** What says nothing of the kind. */
const negatives: ReadonlyArray<readonly [title: string, stderr: string]> = [
  ["nothing", ""],
  ["a plain error", "Error: Server failed to start"],
  [
    "a stack trace of Node's loader",
    `TypeError: Cannot read properties of undefined (reading 'required')
    at Object.<anonymous> (/srv/mcp/dist/index.js:10:15)
    at Module._compile (node:internal/modules/cjs/loader:1554:14)
    at node:internal/modules/cjs/loader:1689:10
    at Module.require (node:internal/modules/cjs/loader:1298:12)
    at require (node:internal/modules/helpers:182:18)

Node.js v22.19.0`
  ],
  ["a connection", "Error: connect ECONNREFUSED 127.0.0.1:5432\n  code: 'ECONNREFUSED',\n  port: 5432"],
  ["a connection after a variable", "REDIS_URL is not set\nError: connect ECONNREFUSED 127.0.0.1:6379"],
  ["an error after a warning", "WARN SENTRY_DSN is not set, telemetry disabled\nRangeError: Invalid time value"],
  [
    "an error after a variable",
    "GITHUB_TOKEN not set\nready\nTypeError: x is not a function\n    at main (/srv/x.js:1:1)"
  ],
  ["HTTP", "HTTP 401 UNAUTHORIZED: token is required\nHTTP_401 is missing\n404 NOT_FOUND is required"],
  ["codes", "ERR_MODULE_RESOLUTION is required\nEADDRNOTAVAIL not set\nECONNREFUSED is missing"],
  ["a variable that is there", "GITHUB_TOKEN is set\nFOO_KEY found\nFOO_KEY is not required\nusing API_KEY from env"],
  ["a file", "Error: ENOENT: no such file or directory, open '/srv/config.json'"],
  ["a backtrace", "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace"],
  ["advice", "Error: boom\nSet DEBUG_MODE to see more\nSet MCP_TELEMETRY=0 to disable telemetry"],
  ["words", "The token is required by the module, and a required module is missing from the required list"],
  [
    "a story",
    "Setting CACHE_DIR to /tmp\nsuccessfully set CACHE_DIR\nPassing API_VERSION to the client\nexpected STATUS_OK, got 3"
  ],
  ["dotenv", "[dotenv@17.2.0] injecting env (0) from .env\nLoaded required tools: MY_TOOL, OTHER_TOOL"],
  ["what Node deprecates", "(node:1) [DEP0040] DeprecationWarning: The `punycode` module is deprecated.\nError: boom"],
  [
    "docker's pull",
    "Unable to find image 'mcp/git:latest' locally\nlatest: Pulling from mcp/git\nStatus: Downloaded newer image"
  ],
  ["an API", "403 PERMISSION_DENIED: the caller has no access\nInvalid API key: unauthorized"],
  ["a name of the program", "ReferenceError: MAX_ITEMS is not defined\nNameError: name 'MAX_ITEMS' is not defined"],
  ["a flag", "Error: Unknown option --required-env\nsee --help"],
  ["a missing key", "KeyError: 'name'"],
  ["a route", "GET /api/users: not found\nUser not found\nTool not found: search"],
  ["a number", "Supported 3000 in use cases"]
]

const diagnosisOf = (end: ProcessError, stderr = ""): Diagnosis => diagnose(end, traces(stderr))

describe("Diagnosis", () => {
  describe("of what a process said", () => {
    for (const [title, stderr, classification, ...named] of samples) {
      it(`is ${classification}: ${title}`, () => {
        const diagnosis = diagnosisOf(exited(), stderr)
        assert.strictEqual(diagnosis.classification, classification)
        for (const name of named) assert.include(diagnosis.hint ?? "", name)
        assertHint(diagnosis)
        assert.notInclude(diagnosis.hint ?? "", "somebody")
      })
    }

    for (const [title, stderr] of negatives) {
      it(`is unknown: ${title}`, () => {
        assert.deepStrictEqual(diagnosisOf(exited(), stderr), {
          classification: "unknown",
          hint: "see what it printed: mcp-pool logs git"
        })
      })
    }

    it("tells apart whether the process or the daemon has the variable", () => {
      const stderr = "Error: GITHUB_TOKEN is required"
      const name = "GITHUB_TOKEN"
      assert.strictEqual(
        diagnose(exited(), traces(stderr, [name], [name])).hint,
        "it has GITHUB_TOKEN, but does not accept it: check its value"
      )
      assert.strictEqual(
        diagnose(exited(), traces(stderr, [], [name])).hint,
        'the daemon has GITHUB_TOKEN but does not pass it: add "GITHUB_TOKEN" to pool.passEnv, or to "env" as "${GITHUB_TOKEN}"'
      )
      assert.strictEqual(
        diagnose(exited(), traces(stderr)).hint,
        'set GITHUB_TOKEN in "env" of its configuration, or in the daemon\'s environment with pool.passEnv'
      )
    })

    it("counts too where a process did not shake hands", () => {
      for (const end of [slow, refused]) {
        assert.strictEqual(diagnosisOf(end, "Error: API_TOKEN is required").classification, "missing-variable")
      }
    })

    it("speaks of the protocol's version only in a handshake", () => {
      const running = exited({ phase: "running" })
      assert.strictEqual(diagnosisOf(running, "unsupported protocol version").classification, "unknown")
      assert.strictEqual(diagnosisOf(refused, "unsupported protocol version").classification, "protocol-mismatch")
    })

    it("looks at the last lines only", () => {
      const stderr = `Error: API_TOKEN is required\n${"ready\n".repeat(100)}`
      assert.strictEqual(diagnosisOf(exited(), stderr).classification, "unknown")
    })

    it("does not show what a shell took for a command", () => {
      const diagnosis = diagnosisOf(exited(), "run.sh: line 2: ghp_0123456789abcdef: command not found")
      assert.strictEqual(diagnosis.classification, "command-not-found")
      assert.notInclude(diagnosis.hint ?? "", "ghp_")
    })
  })

  describe("of the error alone", () => {
    const cases: ReadonlyArray<
      readonly [title: string, end: ProcessError, Classification, ...named: ReadonlyArray<string>]
    > = [
      [
        "a configuration",
        new ServerConfigError({ server, file: "mcp.json", field: "command", variable: null, reason: "is missing" }),
        "configuration",
        "mend the configuration and start the daemon again"
      ],
      [
        "no working directory",
        notSpawned("no directory /no/such/directory"),
        "configuration",
        '"cwd"',
        "mcp-pool start git"
      ],
      ["no command", notSpawned("ENOENT"), "command-not-found", '"some-server" is not on the daemon\'s PATH'],
      ["no right to run it", notSpawned("EACCES"), "permission", '"some-server" is not executable: chmod +x'],
      ["no right at all", notSpawned("EPERM"), "permission", "some-server"],
      ["no memory for it", notSpawned("ENOMEM"), "out-of-memory", "mcp-pool restart git"],
      ["too many files", notSpawned("EMFILE"), "unknown", "limit"],
      ["no format of a program", notSpawned("ENOEXEC"), "unknown", "#!"],
      [
        "tools",
        new PreflightFailed({ ...itself, missing: ["search"], listed: [], timedOut: false }),
        "missing-tools",
        "--now",
        "pool.requiredTools"
      ],
      ["probes", new ProbeFailed({ ...itself, misses: 3, uptime: 1000 }), "timeout", "pool.probe", "mcp-pool logs git"],
      ["a slow start", slow, "timeout", "pool.startTimeout"],
      ["a wrong answer", refused, "protocol-mismatch", "mcp-pool logs git"],
      ["SIGKILL", killed("SIGKILL"), "out-of-memory", "the system often"],
      ["SIGKILL of its child", exited({ exitCode: 137 }), "out-of-memory", "the system often"],
      ["SIGTERM", killed("SIGTERM"), "unknown", "mcp-pool restart git"],
      ["SIGABRT", killed("SIGABRT"), "unknown", "mcp-pool logs git"],
      ["code 127", exited({ exitCode: 127 }), "command-not-found", "PATH"],
      ["code 126", exited({ exitCode: 126 }), "permission", "mcp-pool logs git"],
      ["code 0 at once", exited({ exitCode: 0 }), "unknown", "it ended at once with code 0: does it need an argument"],
      ["code 0 later", exited({ phase: "running", exitCode: 0 }), "unknown", "mcp-pool logs git"],
      ["closed stdout", exited({ phase: "running", exitCode: null }), "unknown", "mcp-pool logs git"]
    ]
    for (const [title, end, classification, ...named] of cases) {
      it(`is ${classification}: ${title}`, () => {
        const diagnosis = diagnosisOf(end)
        assert.strictEqual(diagnosis.classification, classification)
        for (const name of named) assert.include(diagnosis.hint ?? "", name)
        assertHint(diagnosis)
      })
    }

    it("is not overruled by what was said earlier", () => {
      const said = "Error: API_TOKEN is required"
      assert.strictEqual(diagnosisOf(killed("SIGKILL"), said).classification, "out-of-memory")
      assert.strictEqual(
        diagnosisOf(new ProbeFailed({ ...itself, misses: 3, uptime: 1 }), said).classification,
        "timeout"
      )
    })

    it("is out-of-memory where SIGABRT comes with the words", () => {
      const said = "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory"
      assert.strictEqual(diagnosisOf(killed("SIGABRT"), said).classification, "out-of-memory")
    })
  })

  describe("of a server that does not get to speak", () => {
    it("says that it seems to serve HTTP", () => {
      for (const said of [
        "MCP server listening on http://localhost:3000/mcp",
        "INFO:     Uvicorn running on http://127.0.0.1:8000 (Press CTRL+C to quit)",
        "Server started on port 3001"
      ]) {
        const diagnosis = diagnosisOf(slow, said)
        assert.strictEqual(diagnosis.classification, "timeout", said)
        assert.include(diagnosis.hint ?? "", "it seems to serve HTTP, not stdio", said)
      }
      assert.notInclude(diagnosisOf(slow, "GitHub MCP Server running on stdio").hint ?? "", "HTTP")
    })

    it("says to start Docker", () => {
      const said =
        "docker: Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
      assert.deepStrictEqual(diagnosisOf(exited({ exitCode: 125 }), said), {
        classification: "unknown",
        hint: "start Docker, then run mcp-pool restart git"
      })
    })

    it("says that it needs an argument", () => {
      for (const said of [
        "Usage: mcp-server-filesystem [allowed-directory] [additional-directories...]",
        "error: required option '--api-key <key>' not specified",
        "usage: server [-h] --db PATH\nserver: error: the following arguments are required: --db"
      ]) {
        const diagnosis = diagnosisOf(exited(), said)
        assert.strictEqual(diagnosis.classification, "unknown", said)
        assert.include(diagnosis.hint ?? "", '"args"', said)
      }
    })
  })

  it.effect.prop(
    "is one of a known kind, and tells nothing but names, for any lines",
    { stderr: Choices.from((choices) => choices.some(80, line)), end: Choices.from((choices) => choices.of(ends)) },
    ({ end, stderr }) =>
      Effect.sync(() => {
        const diagnosis = diagnose(end, { stderr, given: new Set(), isKnown: () => false })
        assert.isTrue(Classification.literals.includes(diagnosis.classification))
        assertHint(diagnosis)
        // All secrets have it, and no other piece.
        assert.notInclude((diagnosis.hint ?? "").toLowerCase(), "s3cr3t")
      }),
    { arbitrary: { runs: 2000, size: 250 } }
  )

  it("takes little time for lines that are made to take much", () => {
    for (const piece of hostile) {
      const stderr = Array.from({ length: 100 }, () => piece.repeat(Math.ceil(4096 / piece.length)).slice(0, 4096))
      const before = performance.now()
      const diagnosis = diagnose(exited(), { stderr, given: new Set(), isKnown: () => false })
      const millis = performance.now() - before
      assertHint(diagnosis)
      assert.isBelow(millis, 500, JSON.stringify(piece))
    }
  })
})

/** One sentence that a person can read at a glance. */
const assertHint = ({ hint }: Diagnosis) => {
  if (hint === null) return
  assert.isAtMost(hint.length, 300)
  assert.notMatch(hint, /[\n\r\t]|\.$/)
  assert.notMatch(hint, /undefined|null|NaN/)
}

const ends: ReadonlyArray<ProcessError> = [
  exited(),
  exited({ phase: "running" }),
  exited({ exitCode: 127 }),
  killed("SIGABRT"),
  slow,
  refused
]

/** With what a validated name has not: the rest of it is a name that may be shown. */
const secrets = ["s3cr3t", "sk-s3cr3t=", "s3cr3t_TOKEN", "Bearer s3cr3t", "https://u:s3cr3t@host/", "$s3cr3t"]

/** A word, a secret, or a piece of a sample. */
const line = (choices: Choices.Choices): string =>
  choices
    .some(12, (c) => {
      if (c.chance(30)) return c.of(secrets)
      return c.chance(50) ? c.of(pieces) : c.of(samplePieces)
    })
    .join(choices.of([" ", "", ": ", "'", '"', "=", "\t"]))

const pieces = [
  "missing",
  "required",
  "environment variable",
  "is not set",
  "Please set",
  "process.env.",
  "KeyError",
  "permission denied",
  "EADDRINUSE",
  ":3000",
  "TypeError",
  "npm error code E404",
  "warning",
  "A_KEY",
  "[",
  "{",
  "…",
  "\u001b[31m"
]
/** Words of samples that do not themselves name a module. */
const samplePieces = samples
  .filter(([, , classification]) => classification !== "missing-module")
  .flatMap(([, stderr]) => stderr.split(/\s+/))
  .filter((word) => word !== "")

const hostile = [
  "a",
  "A_",
  "A_B ",
  "a ",
  "a, ",
  "A_B, A_B or ",
  "A_B is ",
  " ",
  "\t",
  "'",
  '"',
  "`",
  ":",
  "1",
  ":1",
  "port 1 ",
  "missing ",
  "missing the required environment variable ",
  "set the your api key token secret ",
  "environment variable ",
  "environment variables: ",
  "os.environ[",
  "Cannot find module '",
  "Cannot find module '/a/",
  "Because a was ",
  "no version of ",
  "EADDRINUSE",
  "EADDRINUSE:1",
  "path: [ 'A_B' ",
  "sh: 1: ",
  "x: command ",
  "listening ",
  "node_modules/",
  "\u001b[0;",
  "is not been ",
  "@a/b@"
]
