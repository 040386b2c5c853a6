/** The entries that point hosts at the pool. Pure. */
import type { Entry, Host, Run } from "./Host.ts"
import { tomlKey, tomlValue } from "./TomlEdit.ts"

/** What starts `mcp-pool` for a host, which has another PATH and directory: nothing is relative, nor a link that moves. */
export interface Program {
  /** The absolute path of node. */
  readonly node: string
  /** The absolute path of `mcp-pool`'s script. */
  readonly script: string
  readonly runtimeDir: string
}

/** The command that connects to a server; with `project`, to the server as that directory has it. */
export const run = (name: string, { node, runtimeDir, script }: Program, project: string | null = null): Run => {
  const flags = ["--runtime-dir", runtimeDir, ...(project === null ? [] : ["--project", project])]
  const args = name.startsWith("-") ? ["connect", ...flags, "--", name] : ["connect", name, ...flags]
  return { command: node, args: [script, ...args] }
}

/** The text of a host's configuration with one entry a server, each with what it runs. */
export const entries = (
  host: Pick<Host, "format" | "key" | "shape">,
  runs: ReadonlyArray<readonly [name: string, run: Run]>
): string =>
  text(
    host,
    runs.map(([name, run]) => [name, host.shape.fresh(run)])
  )

/** The text of a host's configuration with these entries. */
export const text = (
  host: Pick<Host, "format" | "key">,
  entries: ReadonlyArray<readonly [name: string, entry: Entry]>
): string => {
  if (host.format === "json") return JSON.stringify({ [host.key]: Object.fromEntries(entries) }, undefined, 2)
  return entries
    .map(([name, entry]) => {
      const lines = Object.entries(entry).map(([key, value]) => `${tomlKey(key)} = ${tomlValue(value)}`)
      return [`[${tomlKey(host.key)}.${tomlKey(name)}]`, ...lines].join("\n")
    })
    .join("\n\n")
}
