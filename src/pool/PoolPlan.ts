/** What a configuration asks of a pool that runs: which names share a process, and which of them need another one. Pure. */
import type { ServerEntry } from "../config/PoolConfig.ts"
import { defaultPool, type PoolSettings, type ServerSpec } from "../config/ServerSpec.ts"

/** A server that is there, as far as a plan looks at it. */
export interface Present {
  /** Whom it serves, in the order in which they came. */
  readonly names: ReadonlyArray<string>
  /** What it was made with. */
  readonly settings: PoolSettings
}

/** Names that are to have one server. */
export interface Group<P> {
  /** In the order of the configuration. */
  readonly entries: ReadonlyArray<ServerEntry>
  /** The one that is there already; null where one is to be made. */
  readonly present: P | null
  /** What that is made of: its settings hold for all. */
  readonly leader: ServerEntry
}

/** Groups the entries; `presentOf` says which server has such a process now. */
export const group = <P extends Present>(
  entries: ReadonlyArray<ServerEntry>,
  presentOf: (process: string) => P | undefined
): ReadonlyArray<Group<P>> => {
  const planned = new Map(entries.map((entry) => [entry.name, entry]))
  const byProcess = new Map<string, Array<ServerEntry>>()
  const alone: Array<Group<P>> = []
  for (const entry of entries) {
    if (entry._tag === "Misconfigured") alone.push({ entries: [entry], present: null, leader: entry })
    else {
      const process = processOf(entry.spec)
      const same = byProcess.get(process)
      if (same === undefined) byProcess.set(process, [entry])
      else same.push(entry)
    }
  }
  const shared = Array.from(byProcess, ([process, entries]): Group<P> => {
    const present = presentOf(process)
    if (present === undefined) return { entries, present: null, leader: entries[0]! }
    // Who came first and stays leads; one that nobody plans for stays as it is.
    const first = present.names.find((name) => {
      const entry = planned.get(name)
      return entry === undefined || entries.includes(entry)
    })
    const leader = (first === undefined ? undefined : planned.get(first)) ?? entries[0]!
    const isLed = first !== undefined && !planned.has(first)
    const fits = isLed || isSameSupervision(present.settings, settingsOf(leader))
    return { entries, present: fits ? present : null, leader }
  })
  return [...alone, ...shared]
}

/** Equal texts share a process: what the pool adds of its own may hold credentials, too. */
export const processOf = ({ identity, pool: { extraEnv, sessionFile } }: ServerSpec): string =>
  JSON.stringify([identity, Object.entries(extraEnv).sort(), sessionFile])

/** Sockets, what a session may leave unread and which tools are offered are a name's own, the rest is the process's. */
export const isSameSupervision = (a: PoolSettings, b: PoolSettings): boolean => {
  const { maxUnread, pin, socket, socketGroup, socketMode } = a
  return isSame(a, { ...b, maxUnread, pin, socket, socketGroup, socketMode })
}

/** Whether all of them are equal. */
export const isSame = (a: PoolSettings, b: PoolSettings): boolean => JSON.stringify(a) === JSON.stringify(b)

/** The settings of an entry, and the defaults for one that is wrong. */
export const settingsOf = (entry: ServerEntry): PoolSettings =>
  entry._tag === "Configured" ? entry.spec.pool : defaultPool
