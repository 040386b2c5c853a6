/** The tools of all servers as they were known at one time, under their names. Pure. */
import type { Tool } from "@modelcontextprotocol/sdk/types.js"
import type { Snapshot } from "../ToolCache.ts"
import * as ToolNames from "./ToolNames.ts"

/** One tool of one server. */
export interface ProxyTool {
  /** At most 64 characters of `[a-zA-Z0-9_-]`: `server__tool` where that fits. */
  readonly name: string
  readonly server: string
  /** As the server lists it. */
  readonly tool: Tool
}

/** What follows from one snapshot. */
export interface KnownTools {
  readonly list: ReadonlyArray<ProxyTool>
  /** Whose tool a name means. */
  readonly find: (name: string) => ToolNames.Resolution
  /** Why some servers have not listed any. */
  readonly failures: Snapshot["failures"]
}

/** The tools of a snapshot, each under the name that is shown, and by which it is found. */
export const knownTools = ({ failures, servers }: Snapshot): KnownTools => {
  const list = servers.flatMap(({ items, server }) =>
    items.map((tool): ProxyTool => ({ name: ToolNames.exposed(server, tool.name), server, tool }))
  )
  return {
    list,
    find: ToolNames.index(list.map(({ server, tool }) => ({ server, tool: tool.name }))),
    failures
  }
}
