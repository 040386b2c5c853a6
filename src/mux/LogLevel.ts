/** Log levels of many clients of one server. Pure. */
import type { Client } from "./Upstream.ts"

/** RFC 5424's severities as MCP names them, least severe first. */
export const logLevels = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"] as const

/** The index of a level; -1 for what is none. */
export const indexOf = (level: string | null): number => (logLevels as ReadonlyArray<string | null>).indexOf(level)

/** The index of a message's level; what has none is taken to be urgent. */
export const severityOf = (level: string | null): number => {
  const index = indexOf(level)
  return index === -1 ? logLevels.length - 1 : index
}

/** The most verbose level of all; null while nobody asked. A client that never asked counts as `info` beside one that did. */
export const merged = (clients: Iterable<Client>): number | null => {
  let asked: number | null = null
  let hasSilent = false
  for (const { level } of clients) {
    if (level === null) hasSilent = true
    else asked = Math.min(asked ?? level, level)
  }
  return asked === null || !hasSilent ? asked : Math.min(asked, unset)
}

/** Whether a client wants a message of this level; `isAsked` says whether the server was told a level at all. */
export const wants = (client: Client, level: number, isAsked: boolean): boolean =>
  level >= (client.level ?? (isAsked ? unset : 0))

const unset = 1
