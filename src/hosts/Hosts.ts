/** The hosts that the pool knows: the one table for `adopt`, `config --for` and their tests. */
import * as path from "node:path"
import { variable } from "../config/Interpolation.ts"
import type { Host, HostId, Where } from "./Host.ts"
import * as Shapes from "./Shapes.ts"

const stdio = { type: "stdio" }

/** VS Code runs these by other means than starting a command. */
const codeTies = {
  sandboxEnabled: "runs in VS Code's sandbox, which the pool has not",
  sandbox: "runs in VS Code's sandbox, which the pool has not",
  dev: "is being developed in VS Code"
}

/** In the order in which they are shown. */
export const hosts: ReadonlyArray<Host> = [
  {
    id: "claude-code",
    title: "Claude Code",
    format: "json",
    key: "mcpServers",
    projects: "projects",
    user: (where) => [path.join(directory(where, "CLAUDE_CONFIG_DIR", ""), ".claude.json")],
    project: [".mcp.json"],
    shape: Shapes.plain({ dialect: "pool", head: stdio })
  },
  {
    id: "claude-desktop",
    title: "Claude Desktop",
    format: "json",
    key: "mcpServers",
    user: (where) => [path.join(applications(where), "Claude/claude_desktop_config.json")],
    project: [],
    shape: Shapes.plain({ dialect: "literal" })
  },
  {
    id: "vscode",
    title: "VS Code",
    format: "json",
    key: "servers",
    user: (where) =>
      ["Code", "Code - Insiders"].flatMap((edition) =>
        ["mcp.json", "profiles/*/mcp.json"].map((file) => path.join(applications(where), edition, "User", file))
      ),
    project: [".vscode/mcp.json"],
    shape: Shapes.plain({ dialect: "pool", head: stdio, ties: codeTies })
  },
  {
    id: "cursor",
    title: "Cursor",
    format: "json",
    key: "mcpServers",
    user: ({ home }) => [path.join(home, ".cursor/mcp.json")],
    project: [".cursor/mcp.json"],
    shape: Shapes.plain({ dialect: "pool" })
  },
  {
    id: "codex",
    title: "Codex",
    format: "toml",
    key: "mcp_servers",
    user: (where) => [path.join(directory(where, "CODEX_HOME", ".codex"), "config.toml")],
    project: [".codex/config.toml"],
    shape: Shapes.codex
  },
  {
    id: "gemini",
    title: "Gemini CLI",
    format: "json",
    key: "mcpServers",
    user: ({ home }) => [path.join(home, ".gemini/settings.json")],
    project: [".gemini/settings.json"],
    shape: Shapes.plain({ dialect: "gemini" })
  },
  {
    id: "opencode",
    title: "opencode",
    format: "json",
    key: "mcp",
    user: (where) =>
      ["opencode.json", "opencode.jsonc", "config.json"].map((file) =>
        path.join(directory(where, "XDG_CONFIG_HOME", ".config"), "opencode", file)
      ),
    project: ["opencode.json", "opencode.jsonc", ".opencode/opencode.json", ".opencode/opencode.jsonc"],
    shape: Shapes.opencode
  },
  {
    id: "zed",
    title: "Zed",
    format: "json",
    key: "context_servers",
    user: (where) => [path.join(directory(where, "XDG_CONFIG_HOME", ".config"), "zed/settings.json")],
    project: [".zed/settings.json"],
    shape: Shapes.zed
  }
]

/** A host that is none of them: most read this. */
export const generic: Pick<Host, "format" | "key" | "shape"> = {
  format: "json",
  key: "mcpServers",
  shape: Shapes.plain({ dialect: "pool" })
}

/** Their names on the command line. */
export const hostIds: ReadonlyArray<HostId> = hosts.map(({ id }) => id)

/** One of them. */
export const host = (id: HostId): Host => hosts.find((host) => host.id === id)!

/** Paths of files that projects have for hosts. */
export const projectFiles: ReadonlyArray<string> = hosts.flatMap(({ project }) => project)

/** Where a variable says, as a host that heeds it does; else from HOME. */
const directory = ({ home, variables }: Where, name: string, fallback: string): string => {
  const given = variable(variables, name)
  return given !== undefined && path.isAbsolute(given) ? given : path.join(home, fallback)
}

/** Where applications with a window keep their settings. */
const applications = (where: Where): string =>
  where.platform === "darwin"
    ? path.join(where.home, "Library/Application Support")
    : directory(where, "XDG_CONFIG_HOME", ".config")
