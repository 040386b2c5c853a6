/**
 * `mcp-pool connect SERVER`: a stdio MCP server that is a relay to the shared one. A host runs one for each agent and server,
 * so it loads no Effect and little of Node. Lives as long as its host wants it, and longer than a daemon.
 *
 * Node's modules are taken with `getBuiltinModule`, and where they are used: `import` of a builtin touches everything it
 * exports, which for `node:fs`, `node:net` and `node:os` costs half a megabyte in each of these processes.
 */
import { resolve } from "node:path"
import { Relay } from "../connect/Relay.ts"
import * as RuntimeDir from "../RuntimeDir.ts"

/** Takes what stands behind `connect` on the command line, and ends the process; false: it is for the command tree. */
export const main = (args: ReadonlyArray<string>): boolean => {
  const options = parse(args)
  if ("general" in options) return false
  if ("help" in options) {
    process.stdout.write(help)
  } else if ("problem" in options) {
    process.stderr.write(`mcp-pool: ${options.problem} (see "mcp-pool connect --help")\n`)
    process.exitCode = usageError
  } else {
    relay(options)
  }
  return true
}

const help = `Relays between stdio and a shared MCP server, for hosts that know only commands.

Usage: mcp-pool connect [--project DIR] [--no-start] [--runtime-dir DIR] SERVER

  SERVER              a configured server's name
  --project DIR       whose configuration counts, before the pool's own: else $CLAUDE_PROJECT_DIR, else the working
                      directory; --project= for none
  --no-start          fail where no daemon runs: else one is started in the background
  --runtime-dir DIR   where the sockets are: else $MCP_POOL_RUNTIME_DIR, else ~/.local/state/mcp-pool
`

/** Of the exit codes of the whole command line. */
const usageError = 2

interface ConnectOptions {
  readonly server: string
  readonly runtimeDir: string | undefined
  /** As it was given; empty for none. */
  readonly project: string | undefined
  readonly mayStart: boolean
}

type Options =
  | ConnectOptions
  | { readonly problem: string }
  | { readonly help: true }
  /** A flag of every command's: the command tree knows it. */
  | { readonly general: true }

/** Only what this command knows; the command tree describes the same for help and completions. */
export const parse = (args: ReadonlyArray<string>): Options => {
  const names: Array<string> = []
  const values: { [flag: string]: string } = {}
  let mayStart = true
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!
    if (arg === "--") {
      names.push(...args.slice(i + 1))
      break
    }
    if (arg === "--help" || arg === "-h") return { help: true }
    if (/^(--version|-v|--completions|--log-level)(=|$)/.test(arg)) return { general: true }
    const [, flag, value] = /^(--runtime-dir|--project)(?:=(.*))?$/s.exec(arg) ?? []
    if (flag !== undefined) {
      values[flag] = value ?? args[++i] ?? missing
      if (values[flag] === missing) return { problem: `${flag} needs a directory` }
    } else if (arg === "--no-start") {
      mayStart = false
    } else if (arg.startsWith("-") && arg !== "-") {
      return { problem: `unknown flag ${arg}` }
    } else {
      names.push(arg)
    }
  }
  if (names.length === 0) return { problem: "connect needs the name of a server" }
  if (names.length > 1) return { problem: `connect takes one server, not ${names.join(" and ")}` }
  return { server: names[0]!, runtimeDir: values["--runtime-dir"], project: values["--project"], mayStart }
}

/** No directory's name. */
const missing = "\0"

const relay = ({ mayStart, project, runtimeDir, server }: ConnectOptions): void => {
  const home = process.env["HOME"] || process.getBuiltinModule("node:os").homedir()
  const directory = RuntimeDir.resolve({ flag: runtimeDir, env: process.env, home })
  const wanted = projectOf({ flag: project, env: process.env, home, cwd: () => process.cwd() })
  new Relay({
    runtimeDir: directory,
    server,
    project: wanted,
    mayStart,
    command: [process.execPath, process.argv[1]!, "serve", "--background", "--runtime-dir", directory],
    onNoProject: once(() => {
      if (wanted === null || (project === undefined && !isConfigured(wanted))) return
      process.stderr.write(`mcp-pool: ${wanted} is not looked at for a configuration of its own: ${reason}\n`)
    })
  }).start()
}

const reason = "this daemon is older than this mcp-pool, or only the server's own socket can be reached"

/** The project whose configuration counts: absolute, or null. Home and the root are no projects. */
export const projectOf = (options: {
  readonly flag: string | undefined
  readonly env: Readonly<Record<string, string | undefined>>
  readonly home: string
  readonly cwd: () => string
}): string | null => {
  const { env, flag, home } = options
  if (flag === "") return null
  const given = flag ?? (env["CLAUDE_PROJECT_DIR"] || ".")
  try {
    const project = given.startsWith("/") ? resolve(given) : resolve(options.cwd(), given)
    return project === "/" || project === resolve(home) ? null : project
  } catch {
    // The working directory has been removed.
    return null
  }
}

const isConfigured = (project: string): boolean =>
  [".mcp.json", ".vscode/mcp.json", ".cursor/mcp.json"].some((file) =>
    process.getBuiltinModule("node:fs").existsSync(`${project}/${file}`)
  )

const once = (then: () => void): (() => void) => {
  let isDone = false
  return () => {
    if (isDone) return
    isDone = true
    then()
  }
}
