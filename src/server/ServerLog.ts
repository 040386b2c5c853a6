/**
 * The last lines that concern one server: its stderr, what it printed on stdout that is not JSON-RPC, and the pool's own
 * events. Bounded in lines and bytes; outlives restarts of the server.
 */
import type { Stream } from "effect"
import type { LogEntry } from "./LogEntry.ts"
import * as Feed from "./Feed.ts"

export interface ServerLog {
  /** Adds lines; cheap enough to be called for a flood. */
  readonly add: (source: LogEntry["source"], pid: number | null, text: string) => void
  /** Adds a line of stdout that is no JSON-RPC message, and counts it. */
  readonly stray: (pid: number | null, text: string) => void
  readonly entries: () => ReadonlyArray<LogEntry>
  /** The last lines that one process wrote to stderr, so many at most. */
  readonly lastOf: (pid: number, count: number) => ReadonlyArray<string>
  /** The lines kept, then the coming ones; a reader that falls behind loses the oldest. */
  readonly follow: Stream.Stream<LogEntry>
}

export const make = (options?: {
  /** Told the count at the 1st, 10th, 100th … stray line. */
  readonly onStray?: (count: number) => void
}): ServerLog => {
  let strays = 0
  let entries: Array<LogEntry> = []
  let bytes = 0
  const coming = Feed.make<LogEntry>(maxEntries)

  const add: ServerLog["add"] = (source, pid, text) => {
    const entry: LogEntry = {
      at: new Date().toISOString(),
      source,
      pid,
      text: text.length > maxLength ? `${text.slice(0, maxLength)}…` : text
    }
    entries.push(entry)
    bytes += entry.text.length
    if (entries.length > 2 * maxEntries || bytes > 2 * maxBytes) trim()
    coming.publish(entry)
  }

  // Trimming by halves keeps the cost of a line constant.
  const trim = () => {
    let from = Math.max(0, entries.length - maxEntries)
    let kept = 0
    for (let i = entries.length - 1; i >= from; i--) {
      kept += entries[i]!.text.length
      if (kept > maxBytes) from = i + 1
    }
    entries = entries.slice(from)
    bytes = entries.reduce((sum, entry) => sum + entry.text.length, 0)
  }

  return {
    add,
    stray: (pid, text) => {
      add("stdout", pid, text)
      strays++
      if (Number.isInteger(Math.log10(strays))) options?.onStray?.(strays)
    },
    entries: () => entries.slice(-maxEntries),
    lastOf: (pid, count) =>
      entries
        .filter((entry) => entry.pid === pid && entry.source === "stderr" && entry.text.trim() !== "")
        .slice(-count)
        .map(({ text }) => text),
    follow: coming.after(() => entries)
  }
}

const maxEntries = 1000
const maxBytes = 256 * 1024
const maxLength = 4096
