/** What the system says of the processes of a group: who lives, and how much memory they hold. */
import { Effect } from "effect"
import { execFile } from "node:child_process"
import { readdir, readFile } from "node:fs/promises"

/** One live process (a zombie is not one). */
export interface ProcessInfo {
  readonly pid: number
  readonly group: number
  /** Resident bytes. */
  readonly memory: number
}

/** All live processes that may be seen; empty where the system does not tell. */
export const list: Effect.Effect<ReadonlyArray<ProcessInfo>> = Effect.suspend(() =>
  process.platform === "linux" ? Effect.promise(fromProc) : Effect.promise(fromPs)
)

/** Whether a process group exists, zombies included. Cheap: one system call. */
export const groupExists = (group: number): boolean => {
  try {
    process.kill(-group, 0)
    return true
  } catch {
    return false
  }
}

/** Of this system, from this process's own memory in bytes and in pages; pages come in powers of two. */
const pageSizeOf = (stat: string): number =>
  2 ** Math.round(Math.log2(process.memoryUsage.rss() / Number(fieldsOf(stat)[21])))

/** The fields after the command, which stands in parentheses and may hold anything. */
const fieldsOf = (stat: string): ReadonlyArray<string> => stat.slice(stat.lastIndexOf(")") + 2).split(" ")

const fromProc = async (): Promise<ReadonlyArray<ProcessInfo>> => {
  const names = await readdir("/proc")
  const pageSize = pageSizeOf(await readFile("/proc/self/stat", "latin1"))
  const infos = await Promise.all(
    names
      .filter((name) => /^\d+$/.test(name))
      .map(async (name) => {
        // A process may end while it is being read about.
        const stat = await readFile(`/proc/${name}/stat`, "latin1").catch(() => "")
        const fields = fieldsOf(stat)
        if (stat === "" || fields[0] === "Z" || fields[0] === "X") return []
        return [{ pid: Number(name), group: Number(fields[2]), memory: Number(fields[21]) * pageSize }]
      })
  )
  return infos.flat()
}

const fromPs = (): Promise<ReadonlyArray<ProcessInfo>> =>
  new Promise((resolve) => {
    execFile("ps", ["-A", "-o", "pid=,pgid=,rss=,stat="], (error, stdout) => {
      if (error !== null) return resolve([])
      resolve(
        stdout.split("\n").flatMap((row) => {
          const [pid, group, kib, state] = row.trim().split(/\s+/)
          if (state === undefined || state.startsWith("Z")) return []
          return [{ pid: Number(pid), group: Number(group), memory: Number(kib) * 1024 }]
        })
      )
    })
  })
