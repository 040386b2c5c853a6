/** `mcp-pool config`: the entries that point a host at the pool. */
import { Console, Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import * as Fs from "node:fs"
import { ServerNotFound } from "../PoolError.ts"
import { connectControl, runtimeDir } from "./root.ts"

const hosts = ["generic", "claude-code", "cursor", "vscode", "codex"] as const
type Host = (typeof hosts)[number]

export const config = Command.make(
  "config",
  {
    host: Flag.Literals("for", hosts).pipe(
      Flag.withMetavar("HOST"),
      Flag.withDescription(`Whose configuration to print: ${hosts.join(", ")}`),
      Flag.withDefault("generic")
    ),
    servers: Argument.String("SERVER").pipe(
      Argument.withDescription("Names to print entries for: else all that the daemon has"),
      Argument.variadic()
    )
  },
  Effect.fnUntraced(function* ({ host, servers }) {
    const directory = yield* runtimeDir
    const names = servers.length > 0 ? servers : yield* daemonServers
    if (servers.length > 0) yield* warnOfUnknown(servers)
    yield* Console.log(entries(host, names, { ...executable(), runtimeDir: directory }))
  }, Effect.scoped)
).pipe(
  Command.withDescription("Print the entries that point a host at the pool"),
  Command.withExamples([
    {
      command: "mcp-pool config --for claude-code > ~/my-project/.mcp.json",
      description: "All servers, for Claude Code"
    },
    { command: "mcp-pool config --for codex github >> ~/.codex/config.toml", description: "One server, for Codex" }
  ])
)

const daemonServers = Effect.gen(function* () {
  const control = yield* connectControl
  const { servers } = yield* control.status
  return servers.map(({ name }) => name)
})

/** Where a daemon runs, a name that it does not know is probably mistyped. */
const warnOfUnknown = Effect.fnUntraced(function* (servers: ReadonlyArray<string>) {
  const known = yield* Effect.option(daemonServers)
  if (Option.isNone(known)) return
  for (const server of servers.filter((name) => !known.value.includes(name))) {
    yield* Console.error(`mcp-pool: ${new ServerNotFound({ server, names: [...known.value] }).message}`)
  }
})

export interface Where {
  /** The absolute path of node. */
  readonly node: string
  /** The absolute path of `mcp-pool`'s script. */
  readonly script: string
  readonly runtimeDir: string
}

// A host starts its entries with another PATH and directory, so nothing may be relative or a link that moves.
const executable = (): Omit<Where, "runtimeDir"> => ({
  node: process.execPath,
  script: Fs.realpathSync(process.argv[1]!)
})

/** The text of a host's configuration with one entry a server. */
export const entries = (host: Host, names: ReadonlyArray<string>, where: Where): string => {
  const commands = names.map((name) => [name, { command: where.node, args: connectArguments(name, where) }] as const)
  switch (host) {
    case "generic":
    case "cursor":
      return json({ mcpServers: Object.fromEntries(commands) })
    case "claude-code":
      return json({ mcpServers: Object.fromEntries(commands.map(([name, command]) => [name, stdio(command)])) })
    case "vscode":
      return json({ servers: Object.fromEntries(commands.map(([name, command]) => [name, stdio(command)])) })
    case "codex":
      return commands
        .map(([name, { command, args }]) =>
          [
            `[mcp_servers.${tomlKey(name)}]`,
            `command = ${tomlString(command)}`,
            `args = [${args.map(tomlString).join(", ")}]`
          ].join("\n")
        )
        .join("\n\n")
  }
}

const connectArguments = (name: string, { script, runtimeDir }: Where): ReadonlyArray<string> =>
  name.startsWith("-")
    ? [script, "connect", "--runtime-dir", runtimeDir, "--", name]
    : [script, "connect", name, "--runtime-dir", runtimeDir]

const stdio = (command: { readonly command: string; readonly args: ReadonlyArray<string> }) => ({
  type: "stdio",
  ...command
})

const json = (value: unknown): string => JSON.stringify(value, undefined, 2)

/** https://toml.io/en/v1.0.0#keys */
const tomlKey = (key: string): string => (/^[A-Za-z0-9_-]+$/.test(key) ? key : tomlString(key))

/** A basic string: JSON's escapes are TOML's, but for DEL, which TOML wants escaped. */
const tomlString = (text: string): string => JSON.stringify(text).replaceAll("\x7f", "\\u007f")
