/** What runs on this machine as its command lines say it, who started what, and how much memory it takes together. */
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { baseName } from "../config/ServerSpec.ts"
import { runsPool } from "../config/SelfReference.ts"

/** One live process. */
export interface Running {
  readonly pid: number
  readonly parent: number
  /** The program and its arguments. */
  readonly words: ReadonlyArray<string>
}

/** All that may be seen; empty where the system does not tell. */
export const list: Effect.Effect<ReadonlyArray<Running>> = Effect.sync(() =>
  hasProc ? fs.readdirSync("/proc").flatMap(fromProc) : fromPs()
)

/** Memory of processes together, in bytes. What they share counts once where the system tells it, else once for each. */
export const memoryOf = (pids: ReadonlyArray<number>): Effect.Effect<number> =>
  Effect.sync(() => pids.reduce((sum, pid) => sum + memory(pid), 0))

/** A process and all that it has started and that still belongs to it. */
export const tree = (pid: number, all: ReadonlyArray<Running>): ReadonlyArray<number> => {
  const children = Map.groupBy(all, ({ parent }) => parent)
  const found = [pid]
  for (const one of found) for (const child of children.get(one) ?? []) found.push(child.pid)
  return found
}

/**
 * The processes that hosts have started for a command, without what these have started in turn; none of a daemon's own.
 * A process that has given itself another command line is not found, but for npm's.
 */
export const copies = (
  command: string,
  args: ReadonlyArray<string>,
  all: ReadonlyArray<Running>
): ReadonlyArray<number> => {
  const ofDaemons = new Set(all.filter(isDaemon).flatMap(({ pid }) => tree(pid, all)))
  const matching = all.filter(({ pid, words }) => !ofDaemons.has(pid) && isCopy(command, args, words))
  const inner = new Set(matching.flatMap(({ pid }) => tree(pid, all).slice(1)))
  return matching.map(({ pid }) => pid).filter((pid) => !inner.has(pid))
}

const isDaemon = ({ words: [command = "", ...args] }: Running): boolean =>
  args.includes("serve") && runsPool({ command, args, cwd: "/" })

/** A program may stand behind the interpreter of its script, which the system puts before it. */
const isCopy = (command: string, args: ReadonlyArray<string>, words: ReadonlyArray<string>): boolean => {
  const title = words.length === 1 ? words[0]!.trim() : ""
  if (downloaders.has(baseName(command)) && title.startsWith("npm exec ")) {
    const first = args.findIndex((word) => !word.startsWith("-"))
    return first !== -1 && title === `npm exec ${args.slice(first).join(" ")}`
  }
  const before = words.length - args.length
  if (before < 1 || before > 3 || args.some((word, i) => words[before + i] !== word)) return false
  const program = words[before - 1]!
  if (baseName(program) === baseName(command)) return true
  // On other systems `uvx` shows as what it hands over to.
  return baseName(command) === "uvx" && program === "uvx"
}

const downloaders: ReadonlySet<string> = new Set(["npx", "npm"])

const hasProc = process.platform === "linux" && fs.existsSync("/proc/self/stat")

const read = (file: string): string => {
  try {
    return fs.readFileSync(file, "utf8")
  } catch {
    return ""
  }
}

const fromProc = (name: string): ReadonlyArray<Running> => {
  if (!/^\d+$/.test(name)) return []
  const line = read(`/proc/${name}/cmdline`)
  const stat = read(`/proc/${name}/stat`)
  // Fields are counted after the command, which stands in parentheses and may hold anything.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  if (line === "" || stat === "") return []
  return [{ pid: Number(name), parent: Number(fields[1]), words: line.replace(/\0+$/, "").split("\0") }]
}

const fromPs = (): ReadonlyArray<Running> =>
  ps(["-A", "-o", "pid=,ppid=,args="])
    .split("\n")
    .flatMap((row) => {
      const [, pid, parent, words] = /^\s*(\d+)\s+(\d+)\s+(.+)$/.exec(row) ?? []
      return words === undefined ? [] : [{ pid: Number(pid), parent: Number(parent), words: words.trim().split(/\s+/) }]
    })

const memory = (pid: number): number => {
  if (!hasProc) return Number(ps(["-o", "rss=", "-p", String(pid)])) * 1024
  const proportional = /^Pss:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/smaps_rollup`))?.[1]
  const resident = proportional ?? /^VmRSS:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0
  return Number(resident) * 1024
}

const ps = (args: ReadonlyArray<string>): string => {
  try {
    return execFileSync("ps", [...args], { encoding: "utf8", maxBuffer: 64 * 1024 * 1024 })
  } catch {
    return ""
  }
}
