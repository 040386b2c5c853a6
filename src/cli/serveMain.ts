/**
 * `mcp-pool serve` without the command tree, which costs a third of the time to the first server's start: takes a command
 * line that it understands entirely, and leaves every other, help and mistakes among them, to the tree.
 */
import { Duration, Option, Schema } from "effect"
import { homedir } from "node:os"
import { PositiveTime } from "../config/Quantity.ts"
import * as Access from "../http/Access.ts"
import * as Address from "../http/Address.ts"
import * as HttpOptions from "../http/HttpOptions.ts"
import * as RuntimeDir from "../RuntimeDir.ts"
import { runMain } from "./runMain.ts"
import { serveDaemon, type ServeOptions } from "./serveDaemon.ts"

/** Takes what stands behind `serve` on the command line; false: it is for the command tree. */
export const main = (args: ReadonlyArray<string>): boolean => {
  const options = parse(args)
  if (options === undefined) return false
  const runtimeDir = RuntimeDir.resolve({ flag: options.runtimeDir, env: process.env, home: homedir() })
  runMain(serveDaemon({ ...options, runtimeDir }))
  return true
}

/** The options of a command line that holds nothing but `serve`'s own flags, each with its value; else undefined. */
export const parse = (
  args: ReadonlyArray<string>
): (Omit<ServeOptions, "runtimeDir"> & { readonly runtimeDir: string | undefined }) | undefined => {
  const configFiles: Array<string> = []
  const allowedHosts: Array<string> = []
  const switches = new Set<string>()
  const values = new Map<string, string>()
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!
    if (knownSwitches.has(arg) && !switches.has(arg)) {
      switches.add(arg)
      continue
    }
    const value = args[++i]
    if (value === undefined || value === "" || value.startsWith("-")) return undefined
    if (arg === "--config") configFiles.push(value)
    else if (arg === "--allowed-host") allowedHosts.push(value)
    else if (knownValues.has(arg) && !values.has(arg)) values.set(arg, value)
    else return undefined
  }
  const logFormat = values.get("--log-format")
  if (logFormat !== undefined && logFormat !== "pretty" && logFormat !== "json") return undefined
  const http = httpOf(values, allowedHosts, switches.has("--http-wait"))
  if (typeof http === "string") return undefined
  return {
    configFiles,
    runtimeDir: values.get("--runtime-dir"),
    strict: switches.has("--strict"),
    background: switches.has("--background"),
    watchConfig: switches.has("--watch-config"),
    http,
    logFormat,
    logLevel: "Info"
  }
}

const knownSwitches: ReadonlySet<string> = new Set(["--strict", "--background", "--watch-config", "--http-wait"])
const knownValues: ReadonlySet<string> = new Set([
  "--runtime-dir",
  "--log-format",
  "--http",
  "--http-auth",
  "--http-idle"
])

/** As `httpFlags.ts` has it; a text for what the command tree is to complain of. */
const httpOf = (values: ReadonlyMap<string, string>, hosts: ReadonlyArray<string>, waits: boolean) => {
  const [where, auth, time] = [values.get("--http"), values.get("--http-auth"), values.get("--http-idle")]
  const address = where === undefined ? undefined : Address.parse(where)
  const idle = time === undefined ? Option.none() : decodeTime(time)
  const allowedHosts = hosts.flatMap((name) => Access.hostOf(name) ?? [])
  const isUnderstood =
    (where === undefined || address !== undefined) &&
    (time === undefined || Option.isSome(idle)) &&
    allowedHosts.length === hosts.length
  if (!isUnderstood || (auth !== undefined && auth !== "token" && auth !== "none")) return "not understood"
  return HttpOptions.ofFlags({
    address,
    auth,
    allowedHosts,
    idle: Option.getOrUndefined(Option.map(idle, Duration.toMillis)),
    waits
  })
}

const decodeTime = Schema.decodeUnknownOption(PositiveTime)
