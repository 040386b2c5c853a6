/**
 * Where everything lives: the runtime directory, the control socket and the servers' sockets. Plain functions without
 * Effect, since `mcp-pool connect` loads this and nothing else.
 */
import type * as Crypto from "node:crypto"
import { join, resolve as absolute } from "node:path"

/** A socket's path must be shorter than 104 bytes, the least that a supported system allows. */
export const maxSocketPath = 103

/**
 * The runtime directory: the flag, else `MCP_POOL_RUNTIME_DIR`, else `~/.local/state/mcp-pool`. Never an inherited
 * `XDG_*` or `TMPDIR`: a host starts `connect` with little of the user's environment, and must find the same directory.
 */
export const resolve = (options: {
  readonly flag: string | undefined
  readonly env: Readonly<Record<string, string | undefined>>
  readonly home: string
}): string =>
  absolute(options.flag || options.env["MCP_POOL_RUNTIME_DIR"] || join(options.home, ".local", "state", "mcp-pool"))

/**
 * Why the directory with these facts cannot be trusted: its sockets name the commands' owner, and its files say what is run.
 * Undefined where it is this user's and nobody else writes to it.
 */
export const foreign = ({ mode, uid }: { readonly mode: number; readonly uid: number }): string | undefined => {
  if (uid !== process.getuid?.()) return "the directory belongs to another user"
  return (mode & 0o022) === 0 ? undefined : "others may write to the directory: chmod go-w it"
}

/** The socket that serves the command line. */
export const controlSocket = (runtimeDir: string): string => join(runtimeDir, "control.sock")

/** The socket at which `mcp-pool connect` asks for a server, for a project. */
export const connectSocket = (runtimeDir: string): string => join(runtimeDir, "connect.sock")

/** The turn of the `connect` that starts a daemon; see `Turn.ts`. */
export const wakingTurn = (runtimeDir: string): string => join(runtimeDir, "waking")

/** The socket at which HTTP is served to this user's programs. */
export const httpSocket = (runtimeDir: string): string => join(runtimeDir, "http.sock")

/** What a program must show that asks over TCP. */
export const httpTokenFile = (runtimeDir: string): string => join(runtimeDir, "http-token")

/** One directory a server, so that a sandbox can mount exactly the servers it may use. */
export const serverDir = (runtimeDir: string, name: string): string => join(runtimeDir, "servers", slug(name))

/** Where a server's socket is, unless `pool.socket` says otherwise. */
export const serverSocket = (runtimeDir: string, name: string): string => join(serverDir(runtimeDir, name), "mcp.sock")

/** A text file that holds the socket's path where `pool.socket` overrides it. */
export const socketPathFile = (runtimeDir: string, name: string): string =>
  join(serverDir(runtimeDir, name), "mcp.path")

/**
 * A server's name as a directory's name: the name itself where it has at most 32 of `A-Z a-z 0-9 . _ -` and does not
 * start with `.` or `-`, else what is left of it and 8 hexadecimal digits of its SHA-256. Case is kept: on a file
 * system that ignores case, names that differ in nothing else share a directory, and the second one's listener is
 * refused.
 */
export const slug = (name: string): string => {
  const safe = name.replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[.-]+/, "")
  if (safe === name && name !== "" && name.length <= maxSlug) return name
  const body = safe.slice(0, maxSlug - 1 - hashDigits).replace(/[.-]+$/, "") || "server"
  return `${body}-${sha256(name).slice(0, hashDigits)}`
}

const maxSlug = 32
const hashDigits = 8

// Loaded by the names that need it only: the module costs `connect` memory and a millisecond.
const sha256 = (text: string): string => {
  const crypto: typeof Crypto = process.getBuiltinModule("node:crypto")
  return crypto.createHash("sha256").update(text).digest("hex")
}
