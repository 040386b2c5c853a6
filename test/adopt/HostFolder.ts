/**
 * A home directory in which all eight hosts have configured servers, as people's files look: comments, trailing commas,
 * tabs, CRLF, a byte order mark, names with dots, quotes and spaces, much else around, and one project.
 */
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import type { Where } from "../../src/hosts/Host.ts"
import * as TestPool from "../support/TestPool.ts"

const modules = path.resolve(import.meta.dirname, "../../node_modules/@modelcontextprotocol")
/** Reference servers that are installed here. */
export const everything = path.join(modules, "server-everything/dist/index.js")
export const memory = path.join(modules, "server-memory/dist/index.js")

const node = JSON.stringify(process.execPath)
const q = (text: string): string => JSON.stringify(text)

export interface HostFolder {
  readonly home: string
  readonly project: string
  readonly where: Where
  readonly poolFile: string
}

/** Files by their path below HOME. */
export const files = (platform: NodeJS.Platform, home: string): Readonly<Record<string, string>> => {
  const applications = platform === "darwin" ? "Library/Application Support" : ".config"
  const store = q(path.join(home, "memory.jsonl"))
  return {
    ".claude.json": `{
  "numStartups": 412,
  "autoUpdates": false,
  "tipsHistory": { "new-user-warmup": 3, "memory-command": 401 },
  "oauthAccount": { "accountUuid": "0d9f", "emailAddress": "ada@example.invalid" },
  "mcpServers": {
    "everything": {
      "type": "stdio",
      "command": ${node},
      "args": [
        ${q(everything)}
      ],
      "env": {}
    },
    "memory": { "command": ${node}, "args": [${q(memory)}], "env": { "MEMORY_FILE_PATH": ${store} } },
    "linear": { "type": "http", "url": "https://mcp.example.invalid/mcp" }
  },
  "projects": {
    "${home}/site": {
      "allowedTools": [],
      "history": [${Array.from({ length: 200 }, (_, i) => `{ "display": "line \\"${i}\\" } { [ // no comment" }`).join(", ")}],
      "mcpServers": {
        "everything": { "type": "stdio", "command": ${node}, "args": [${q(everything)}, "stdio"] }
      },
      "hasTrustDialogAccepted": true
    },
    "${home}": { "mcpServers": { "of home": { "command": "true" } } },
    "/nowhere/empty": { "mcpServers": {} },
    "/nowhere/gone": { "mcpServers": { "gone": { "command": "true" } } }
  },
  "userID": "6bd1"
}
`,
    [`${applications}/Claude/claude_desktop_config.json`]: `{"mcpServers":{"everything":{"command":${node},"args":[${q(everything)}]},"a \\"quoted\\" name":{"command":${node},"args":[${q(everything)},"stdio"],"env":{"MODE":"desktop"}},"price":{"command":"echo","args":["\${NOT_A_REFERENCE}"]}},"globalShortcut":"Ctrl+Space"}`,
    [`${applications}/Code/User/mcp.json`]: [
      "\uFEFF{",
      "\t// Asked for once",
      '\t"inputs": [{ "id": "token", "type": "promptString", "description": "A token", "password": true }],',
      '\t"servers": {',
      '\t\t"everything": {',
      '\t\t\t"type": "stdio",',
      `\t\t\t"command": ${node}, // this very one`,
      `\t\t\t"args": [ ${q(everything)} ]`,
      "\t\t},",
      '\t\t"with.dots": {',
      '\t\t\t"type": "stdio",',
      `\t\t\t"command": ${node},`,
      `\t\t\t"args": [${q(everything)}, "stdio"],`,
      "\t\t\t/* what it needs */",
      '\t\t\t"env": { "TOKEN": "${input:token}", "HOME_TOO": "${env:HOME}" },',
      '\t\t\t"gallery": true,',
      "\t\t},",
      '\t\t"boxed": { "type": "stdio", "command": "true", "sandboxEnabled": true },',
      "\t},",
      "}",
      ""
    ].join("\r\n"),
    ".cursor/mcp.json": `{
  "mcpServers": {
    "everything": { "args": [${q(everything)}], "command": ${node} },
    "memory": {
      "command": ${node},
      "args": [${q(memory)}],
      "env": {
        "MEMORY_FILE_PATH": ${q(path.join(home, "other.jsonl"))}
      },
      "cwd": "\${userHome}"
    },
    "off": { "command": "true", "disabled": true },
    "twice": { "command": "true" },
    "twice": { "command": "false" },
    "elsewhere": { "url": "https://example.invalid/sse" },
    "odd": { "command": "true", "args": ["\${command:pick}"] }
  }
}
`,
    ".codex/config.toml": `# Codex's own settings
model = "some-model"   # the big one
approval_policy = "on-request"
notify = ["sh", "-c", "echo '[mcp_servers.no]'"]

[mcp_servers.everything]
command = ${node}
args = [
  ${q(everything)}, # the reference server
]
startup_timeout_sec = 20.0
tool_timeout_sec = 60

[mcp_servers."odd.name with 'quotes'"]
command = '${process.execPath}'
args = ['${everything}', "stdio"]
env.MODE = "codex"
env_vars = ["SSH_AUTH_SOCK"]

[mcp_servers.memory]
command = ${node}
args = [${q(memory)}]

[mcp_servers.memory.env]
# where it writes
MEMORY_FILE_PATH = ${store}

[mcp_servers.memory.tools.read_graph]
approval_mode = "approve"

[mcp_servers.docs]
url = "https://example.invalid/mcp"

[mcp_servers.paused]
command = "true"
enabled = false

[tui]
theme = """
[mcp_servers.fake]
command = "no"
"""

[projects."${home}/site"]
trust_level = "trusted"
`,
    ".gemini/settings.json": `{
    "theme": "Dracula", // dark
    "selectedAuthType": "gemini-api-key",
    "mcpServers": {
        "everything": {
            "command": ${node},
            "args": [${q(everything)}],
            "timeout": 30000,
            "trust": true
        },
        "keyed": {
            "command": ${node},
            "args": [${q(everything)}, "stdio"],
            "env": { "API_KEY": "$MY_API_TOKEN", "PASSWORD": "pa$word" }
        },
        "web": { "httpUrl": "https://example.invalid/mcp" }
    }
}
`,
    ".config/opencode/opencode.jsonc": `{
  "$schema": "https://opencode.ai/config.json",
  "theme": "system",
  "mcp": {
    // as everywhere
    "everything": { "type": "local", "command": [${node}, ${q(everything)}], "enabled": true },
    "keyed": {
      "type": "local",
      "command": [${node}, ${q(everything)}, "stdio"],
      "environment": { "API_KEY": "{env:MY_API_TOKEN}", "PASSWORD": "pa$word" },
      "timeout": 9000,
    },
    "from file": { "type": "local", "command": ["true"], "environment": { "KEY": "{file:~/.key}" } },
    "remote": { "type": "remote", "url": "https://example.invalid/mcp" },
  },
}
`,
    ".config/zed/settings.json": `// Zed settings
//
// For information on how to configure Zed, see its documentation.
{
  "ui_font_size": 16,
  "context_servers": {
    "everything": {
      "source": "custom",
      "command": ${node},
      "args": [${q(everything)}],
      "env": {},
    },
    "old-style": {
      "command": { "path": ${node}, "args": [${q(everything)}, "stdio"], "env": { "MODE": "zed" } },
      "settings": {},
    },
    "an-extension": { "source": "extension", "enabled": true, "settings": { "key": "x" } },
  },
  "vim_mode": true,
}
`,
    "site/.mcp.json": `{
  "mcpServers": {
    "local": { "command": ${node}, "args": [${q(everything)}, "stdio"], "env": { "DIR": "\${workspaceFolder}" } },
    "thinking": { "command": "npx", "args": ["-y", "@modelcontextprotocol/server-sequential-thinking"] }
  }
}
`,
    "site/.vscode/mcp.json": `{
  "servers": {
    "local": { "type": "stdio", "command": ${node}, "args": [${q(everything)}, "stdio"], "env": { "DIR": "\${workspaceFolder}" } }
  }
}
`,
    "site/.codex/config.toml": `[mcp_servers]
dotted.command = ${node}   # in place
dotted.env.A = "1"
dotted.args = [${q(everything)}]
"in line" = { command = ${node}, args = [${q(everything)}], env = { A = "1" }, startup_timeout_sec = 5 }
`
  }
}

/** All of them in a temporary directory. */
export const make = Effect.fnUntraced(function* (
  extra: Readonly<Record<string, string>> = {},
  platform: NodeJS.Platform = "linux"
) {
  const home = fs.realpathSync(yield* TestPool.temporaryDirectory)
  for (const [name, text] of Object.entries({ ...files(platform, home), ...extra })) {
    const file = path.join(home, name)
    fs.mkdirSync(path.dirname(file), { recursive: true })
    fs.writeFileSync(file, text, { mode: name.startsWith(".codex") ? 0o600 : 0o644 })
  }
  return {
    home,
    project: path.join(home, "site"),
    where: { home, platform, variables: { HOME: home } },
    poolFile: path.join(home, ".config/mcp-pool/config.json")
  } satisfies HostFolder
})

/** All that lies below a directory: kinds, modes and bytes. */
export const snapshot = (directory: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    fs
      .readdirSync(directory, { recursive: true, encoding: "utf8" })
      .sort()
      .map((name) => {
        const file = path.join(directory, name)
        const stats = fs.lstatSync(file)
        const content = stats.isFile()
          ? fs.readFileSync(file).toString("base64")
          : stats.isSymbolicLink()
            ? fs.readlinkSync(file)
            : ""
        return [name, `${(stats.mode & 0o177777).toString(8)} ${stats.uid} ${content}`]
      })
  )
