/**
 * `mcp-pool connect SERVER`: a stdio MCP server that is a relay to the shared one's socket. A host runs one for each
 * agent and server, so it loads no Effect and little of Node. Lives as long as its host or the daemon wants it.
 *
 * Node's modules are taken with `getBuiltinModule`, and where they are used: `import` of a builtin touches everything it
 * exports, which for `node:fs`, `node:net` and `node:os` costs half a megabyte in each of these processes.
 */
import type { Socket } from "node:net"
import { nearest } from "../nearest.ts"
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
    const home = process.env["HOME"] || process.getBuiltinModule("node:os").homedir()
    open(RuntimeDir.resolve({ flag: options.runtimeDir, env: process.env, home }), options.server)
  }
  return true
}

const help = `Relays between stdio and a shared MCP server, for hosts that know only commands.

Usage: mcp-pool connect [--runtime-dir DIR] SERVER

  SERVER              a configured server's name
  --runtime-dir DIR   where the sockets are: else $MCP_POOL_RUNTIME_DIR, else ~/.local/state/mcp-pool
`

// The exit codes of the whole command line.
const failure = 1
const usageError = 2
const noDaemon = 3
const serverUnavailable = 4

type Options =
  | { readonly server: string; readonly runtimeDir: string | undefined }
  | { readonly problem: string }
  | { readonly help: true }
  /** A flag of every command's: the command tree knows it. */
  | { readonly general: true }

/** Only what this command knows; the command tree describes the same for help and completions. */
export const parse = (args: ReadonlyArray<string>): Options => {
  const names: Array<string> = []
  let runtimeDir: string | undefined
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!
    if (arg === "--") {
      names.push(...args.slice(i + 1))
      break
    }
    if (arg === "--help" || arg === "-h") return { help: true }
    if (/^(--version|-v|--completions|--log-level)(=|$)/.test(arg)) return { general: true }
    if (arg === "--runtime-dir") {
      runtimeDir = args[++i]
      if (runtimeDir === undefined) return { problem: "--runtime-dir needs a directory" }
    } else if (arg.startsWith("--runtime-dir=")) {
      runtimeDir = arg.slice("--runtime-dir=".length)
    } else if (arg.startsWith("-") && arg !== "-") {
      return { problem: `unknown flag ${arg}` }
    } else {
      names.push(arg)
    }
  }
  if (names.length === 0) return { problem: "connect needs the name of a server" }
  if (names.length > 1) return { problem: `connect takes one server, not ${names.join(" and ")}` }
  return { server: names[0]!, runtimeDir }
}

const open = (runtimeDir: string, server: string): void => {
  const usual = RuntimeDir.serverSocket(runtimeDir, server)
  dial(usual, relay, () => {
    const other = read(RuntimeDir.socketPathFile(runtimeDir, server))
    const explain = () => diagnose(runtimeDir, server, (message, exitCode) => refuse(server, message, exitCode))
    if (other === undefined) explain()
    else dial(other, relay, explain)
  })
}

const dial = (path: string, onOpen: (socket: Socket) => void, onError: (code: string) => void): void => {
  const socket = process.getBuiltinModule("node:net").connect({ path })
  const failed = (error: NodeJS.ErrnoException) => onError(error.code ?? error.message)
  socket.once("error", failed)
  socket.once("connect", () => {
    socket.off("error", failed)
    onOpen(socket)
  })
}

const read = (path: string): string | undefined => {
  try {
    return process.getBuiltinModule("node:fs").readFileSync(path, "utf8").trim()
  } catch {
    return undefined
  }
}

/** Bytes both ways, each as fast as its reader; the end of stdin is passed on, and its answers still come back. */
const relay = (socket: Socket): void => {
  let asked = true
  process.stdin.once("end", () => {
    asked = false
  })
  // A host that is gone needs no word.
  process.stdin.on("error", () => socket.end())
  process.stdout.on("error", () => process.exit(0))
  socket.on("error", () => {})
  socket.once("close", () => {
    if (!asked) return exit(0)
    process.stderr.write("mcp-pool: the daemon closed the connection\n")
    exit(failure)
  })
  process.stdin.pipe(socket)
  socket.pipe(process.stdout, { end: false })
}

/** After what was written has gone out. */
const exit = (code: number): void => {
  process.stdout.write("", () => process.exit(code))
}

/** Why there is no such socket: no daemon, no such server, or a server without one. */
const diagnose = (runtimeDir: string, server: string, answer: (message: string, exitCode: number) => void): void => {
  const control = RuntimeDir.controlSocket(runtimeDir)
  const ask = (socket: Socket) => {
    let text = ""
    let answered = false
    const finish = (names: ReadonlyArray<string> | undefined) => {
      if (answered) return
      answered = true
      clearTimeout(deadline)
      socket.destroy()
      answer(noSuchServer(server, names), serverUnavailable)
    }
    const deadline = setTimeout(() => finish(undefined), patience)
    socket.setEncoding("utf8")
    socket.on("error", () => finish(undefined))
    socket.on("close", () => finish(undefined))
    socket.on("data", (chunk) => {
      text += chunk
      if (text.includes("\n")) finish(serverNames(text))
    })
    socket.write(statusRequest)
  }
  dial(control, ask, (code) =>
    answer(
      code === "ENOENT" || code === "ECONNREFUSED"
        ? `no daemon at ${runtimeDir}: start one with "mcp-pool serve"`
        : `no daemon can be reached at ${runtimeDir}: ${code}`,
      noDaemon
    )
  )
}

/** How long the daemon may take to say what servers it has, and the host to ask its first question. */
const patience = 1000

/** `Status` of `ControlApi`, as its protocol writes it; a test holds this to the real one. */
const statusRequest = '{"_tag":"Request","id":"1","tag":"Status","payload":null,"headers":[]}\n'

const serverNames = (reply: string): ReadonlyArray<string> | undefined => {
  try {
    return JSON.parse(reply).exit.value.servers.map((server: { readonly name: string }) => server.name)
  } catch {
    return undefined
  }
}

/** What is wrong with the name, and what may have been meant. */
export const noSuchServer = (server: string, names: ReadonlyArray<string> | undefined): string => {
  if (names === undefined) return `server "${server}" has no socket here`
  if (names.includes(server)) return `server "${server}" has no socket here, though the daemon knows it`
  if (names.length === 0) return `no server "${server}": no server is configured`
  const meant = nearest(server, names)
  const hint = meant === undefined ? "" : `did you mean "${meant}"? `
  return `no server "${server}": ${hint}there are ${names.join(", ")}`
}

/** Says it on stderr, and to the host's first request: most hosts show nothing else. */
const refuse = (server: string, message: string, exitCode: number): void => {
  process.stderr.write(`mcp-pool: ${message}\n`)
  process.stdout.on("error", () => process.exit(exitCode))
  const leave = () => exit(exitCode)
  if (process.stdin.isTTY) return leave()
  let text = ""
  setTimeout(leave, patience)
  process.stdin.setEncoding("utf8")
  process.stdin.on("error", leave)
  process.stdin.on("end", leave)
  process.stdin.on("data", (chunk) => {
    text += chunk
    const lines = text.split("\n")
    text = lines.pop()!
    const id = lines.map(requestId).find((id) => id !== undefined)
    if (id === undefined) {
      if (text.length > maxFirstLine) leave()
      return
    }
    const error = { code: 31001, message, data: { kind: "ServerUnavailable", server } }
    process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", id, error })}\n`)
    process.stdin.pause()
    leave()
  })
}

const maxFirstLine = 1024 * 1024

/** The id of a request; undefined for anything else. */
const requestId = (line: string): unknown => {
  try {
    const message: unknown = JSON.parse(line)
    const isRequest = typeof message === "object" && message !== null && "method" in message && "id" in message
    return isRequest ? (message.id ?? undefined) : undefined
  } catch {
    return undefined
  }
}
