/** What a service of the user's runs, whoever keeps it running: the daemon of one runtime directory. Pure. */
import { createHash } from "node:crypto"
import * as HttpOptions from "../http/HttpOptions.ts"

/** The daemon as it is to be started. Paths are absolute. */
export interface Description {
  /** Of the executable of node. */
  readonly node: string
  /** Of `mcp-pool`'s script. */
  readonly script: string
  /** Empty: the default file. */
  readonly configFiles: ReadonlyArray<string>
  readonly runtimeDir: string
  /** The `PATH` on which servers' commands are looked for. */
  readonly path: string
  /** How HTTP is served, if it is. Whoever keeps the daemon running would give it up over an address: it waits for that. */
  readonly http?: HttpOptions.HttpOptions | undefined
  /** How long the daemon may take to stop, in seconds. */
  readonly stopTimeout: number
}

/** What a file of a service says of it: the command line, and the `PATH` that it sets. */
export interface Parsed {
  readonly command: ReadonlyArray<string>
  readonly path: string | undefined
}

/** The command line. */
export const commandLine = ({ configFiles, http, node, runtimeDir, script }: Description): ReadonlyArray<string> => [
  node,
  script,
  "serve",
  ...configFiles.flatMap((file) => ["--config", file]),
  "--runtime-dir",
  runtimeDir,
  ...(http === undefined ? [] : HttpOptions.toFlags({ ...http, waits: true }))
]

/** The files that a command line of a service names with `--config`. */
export const configFilesOf = ({ command }: Parsed): ReadonlyArray<string> =>
  command.flatMap((word, i) => (command[i - 1] === "--config" ? [word] : []))

/** What a command line of a service says of HTTP, as `service install` takes it. */
export const httpFlagsOf = ({ command }: Parsed): ReadonlyArray<string> =>
  command.flatMap((word, i) => (httpFlags.has(word) && i + 1 < command.length ? [word, command[i + 1]!] : []))

const httpFlags: ReadonlySet<string> = new Set(["--http", "--http-auth", "--allowed-host", "--http-idle"])

/** Why it cannot be written down, or undefined: the formats have no safe way to write a control character. */
export const unwritable = ({ configFiles, http, node, path, runtimeDir, script }: Description): string | undefined => {
  const texts: ReadonlyArray<readonly [what: string, text: string]> = [
    ["PATH", path],
    ["the runtime directory", runtimeDir],
    ["the path of node", node],
    ["the path of mcp-pool", script],
    ...configFiles.map((file) => ["the path of a configuration file", file] as const),
    ["a name of a host", http === undefined ? "" : HttpOptions.toFlags(http).join(" ")]
  ]
  const [what] = texts.find(([, text]) => control.test(text)) ?? []
  return what === undefined ? undefined : `there is a line feed or another control character in ${what}`
}

// Half a pair of surrogates is no character and cannot be encoded either.
const control = /[\p{Cc}\p{Cs}]/u

/** The name of the service of a runtime directory: others than the usual one have a digest of theirs in it. */
export const nameOf = (runtimeDir: string, usualRuntimeDir: string): string =>
  runtimeDir === usualRuntimeDir ? base : `${base}-${digest(runtimeDir, 8)}`

const base = "effect-mcp-pool"

/** So many hexadecimal digits of a text's SHA-256. */
export const digest = (text: string, digits: number): string =>
  createHash("sha256").update(text).digest("hex").slice(0, digits)
