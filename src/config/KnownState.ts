/** Servers that are known to keep what one client does for the next one to meet. Pure. */
import type { ServerSpec } from "./ServerSpec.ts"

/** What there is to say of one that all sessions share; null of a server that is not known. */
export const warning = ({ args, command, pool }: ServerSpec): string | null => {
  if (pool.sharing.policy !== "shared") return null
  const words = [command, ...args]
  const known = stateful.find(({ pattern }) => words.some((word) => pattern.test(word)))
  if (known === undefined) return null
  return `is shared by all sessions, and keeps ${known.state} between calls: "pool": { "sharing": "per-session" } gives each a process of its own`
}

const stateful: ReadonlyArray<{ readonly pattern: RegExp; readonly state: string }> = [
  { pattern: /(^|[/@-])playwright([/@-]|$)/i, state: "a browser and its pages" },
  { pattern: /(^|[/@-])chrome-devtools([/@-]|$)/i, state: "a browser and its pages" },
  { pattern: /(^|[/@-])serena([/@-]|$|\.)/i, state: "the project that is open" },
  { pattern: /(^|[/@-])sequential-?thinking([/@-]|$)/i, state: "a history of thoughts" }
]
