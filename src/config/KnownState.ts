/** Servers that are known to keep what one client does for the next one to meet. Pure. */
import type { ServerOptions, ServerSpec } from "./ServerSpec.ts"

/** What there is to say of one that all sessions share; null of a server that is not known. */
export const warning = ({ args, command, pool }: ServerSpec): string | null => {
  if (pool.sharing.policy !== "shared" || pool.sharing.perProject === true) return null
  const state = of({ command, args })
  if (state === null) return null
  return `is shared by all sessions, and keeps ${state} between calls: "pool": { "sharing": "per-session" } gives each a process of its own`
}

/** What a server keeps between calls; null of one that is not known to keep anything. */
export const of = ({ args = [], command = "" }: Pick<ServerOptions, "args" | "command">): string | null => {
  const words = [command, ...args]
  return stateful.find(({ pattern }) => words.some((word) => pattern.test(word)))?.state ?? null
}

/** Whether a server is known to give each client what it would give it alone. */
export const isHarmless = ({ args = [], command = "" }: Pick<ServerOptions, "args" | "command">): boolean =>
  [command, ...args].some((word) => harmless.test(word))

/** The reference servers that keep nothing, or what all of their clients are to share. */
const harmless = /(^|[/@-])(mcp-)?server-(everything|fetch|filesystem|git|github|memory|time)([/@-]|$)/i

const stateful: ReadonlyArray<{ readonly pattern: RegExp; readonly state: string }> = [
  { pattern: /(^|[/@-])playwright([/@-]|$)/i, state: "a browser and its pages" },
  { pattern: /(^|[/@-])chrome-devtools([/@-]|$)/i, state: "a browser and its pages" },
  { pattern: /(^|[/@-])serena([/@-]|$|\.)/i, state: "the project that is open" },
  { pattern: /(^|[/@-])sequential-?thinking([/@-]|$)/i, state: "a history of thoughts" }
]
