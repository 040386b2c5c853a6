/** Whether a server is `mcp-pool` itself, by its command or by its URL: the pool would connect to itself, and wait for itself. */
import * as path from "node:path"
import { Predicate, Result } from "effect"
import * as BoundedFile from "./BoundedFile.ts"
import { baseName } from "./ServerSpec.ts"

/** Why an entry that runs `mcp-pool` is refused. */
export const explanation =
  "runs mcp-pool itself, which would connect the pool to itself: write the server's own command here, " +
  'and "mcp-pool connect" into the hosts\' files'

/** Looks through the commands that start scripts and packages; relative scripts are relative to `cwd`. */
export const runsPool = (process: {
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly cwd: string
}): boolean => {
  const command = baseName(process.command)
  if (names.test(command) || isOwnScript(process.command, process.cwd)) return true
  if (!runners.has(command)) return false
  const named = process.args.findIndex(
    (argument) => names.test(argument.slice(argument.lastIndexOf("/") + 1)) || isOwnScript(argument, process.cwd)
  )
  return (
    named !== -1 && process.args.slice(named + 1).some((argument) => argument === "connect" || argument === "serve")
  )
}

/** The variable from which a host takes the token of the pool's HTTP. */
export const tokenVariable = "MCP_POOL_TOKEN"

/**
 * Whether an entry asks a pool over HTTP: one that `mcp-pool config --http` has printed, by the socket that it names or by
 * where its token is. One that needs no token looks like any other.
 */
export const asksPool = (entry: Readonly<Record<string, unknown>>): boolean => {
  const url = [entry["url"], entry["httpUrl"]].find(Predicate.isString)
  if (url === undefined || !url.endsWith("/mcp")) return false
  if (/^unix:.*\/http\.sock#/.test(url)) return true
  const said = [entry["headers"], entry["headersHelper"], entry["bearer_token_env_var"]]
  return /\bMCP_POOL_TOKEN\b|\/http-token\b/.test(JSON.stringify(said))
}

const ownName = "effect-mcp-pool"

/** The executable and the package, the latter with any version. */
const names = /^(mcp-pool|effect-mcp-pool(@.*)?)$/

const runners: ReadonlySet<string> = new Set([
  "node",
  "npx",
  "npm",
  "pnpm",
  "pnpx",
  "yarn",
  "bun",
  "bunx",
  "deno",
  "env"
])

/** Other packages have a `dist/bin/bin.js` too, so the `package.json` above it decides. */
const isOwnScript = (script: string, cwd: string): boolean => {
  if (!script.endsWith("dist/bin/bin.js")) return false
  const manifest = path.join(path.resolve(cwd, script), "../../../package.json")
  const found: Result.Result<unknown, unknown> = Result.flatMap(BoundedFile.read(manifest, maxManifest), (text) =>
    Result.try(() => JSON.parse(text ?? ""))
  )
  return Result.isSuccess(found) && Predicate.hasProperty(found.success, "name") && found.success.name === ownName
}

/** Bytes. */
const maxManifest = 1024 * 1024
