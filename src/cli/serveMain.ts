/**
 * `mcp-pool serve` without the command tree, which costs a third of the time to the first server's start: takes a command
 * line that it understands entirely, and leaves every other, help and mistakes among them, to the tree.
 */
import { homedir } from "node:os"
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
  let runtimeDir: string | undefined
  let logFormat: ServeOptions["logFormat"]
  let strict = false
  let background = false
  let watchConfig = false
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!
    if (arg === "--strict" && !strict) {
      strict = true
      continue
    }
    if (arg === "--background" && !background) {
      background = true
      continue
    }
    if (arg === "--watch-config" && !watchConfig) {
      watchConfig = true
      continue
    }
    const value = args[++i]
    if (value === undefined || value === "" || value.startsWith("-")) return undefined
    if (arg === "--config") configFiles.push(value)
    else if (arg === "--runtime-dir" && runtimeDir === undefined) runtimeDir = value
    else if (arg === "--log-format" && logFormat === undefined && (value === "pretty" || value === "json")) {
      logFormat = value
    } else return undefined
  }
  return { configFiles, runtimeDir, strict, background, watchConfig, logFormat, logLevel: "Info" }
}
