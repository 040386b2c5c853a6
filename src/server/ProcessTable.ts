/**
 * What the system says of processes: who lives, in which group, since when, with whose marker, and how much memory and
 * CPU time it used. Linux tells all of it in /proc; elsewhere `ps` does, without the markers.
 */
import { Effect } from "effect"
import { execFile } from "node:child_process"
import * as fs from "node:fs"

/** One live process (a zombie is not one). */
export interface ProcessInfo {
  readonly pid: number
  readonly group: number
  /** Resident bytes. */
  readonly memory: number
  /** CPU milliseconds used so far, user and system. */
  readonly cpu: number
  /** When it began, in the system's own unit: to be compared with that of processes of the same boot only. */
  readonly born: number
}

/** What the environment of one process carries, and with it all that it starts. */
export interface Marker {
  readonly variable: string
  readonly value: string
}

/** The variable of every marker. */
export const markerVariable = "MCP_POOL_MARKER"

/** What the system said at one moment. */
export interface Scan {
  readonly processes: ReadonlyArray<ProcessInfo>
  /** The value of `markerVariable` by process, where one is there and may be read. */
  readonly markers: ReadonlyMap<number, string>
}

/** All live processes that may be seen; empty where the system does not tell. */
export const list: Effect.Effect<ReadonlyArray<ProcessInfo>> = Effect.promise(() =>
  nextScan().then(({ processes }) => processes)
)

/** The pids of live processes of a group, and of those that carry a marker. */
export const members = (group: number, marker: Marker | null): Effect.Effect<ReadonlyArray<number>> =>
  Effect.promise(async () => {
    const { markers, processes } = await nextScan()
    // Where the system tells nothing, the leader stands for all.
    if (processes.length === 0) return groupExists(group) ? [group] : []
    const isMember = (info: ProcessInfo) =>
      info.group === group || (marker !== null && markers.get(info.pid) === marker.value)
    return processes.filter(isMember).map(({ pid }) => pid)
  })

/** A scan of its own that looks for markers in processes born at `since` or later. */
export const scanSince = (since: number): Effect.Effect<Scan> => Effect.promise(() => scan(since))

/** When live processes began; those that are gone are left out. */
export const bornOf = async (pids: ReadonlyArray<number>): Promise<ReadonlyMap<number, number>> => {
  const infos = hasProc ? pids.flatMap(infoOf) : (await scan(Infinity)).processes
  return new Map(infos.filter(({ pid }) => pids.includes(pid)).map(({ born, pid }) => [pid, born]))
}

/** Signals a process, unless the pid is another's by now. */
export const signal = ({ born, pid }: ProcessInfo, signal: NodeJS.Signals): void => {
  if (hasProc && infoOf(pid)[0]?.born !== born) return
  try {
    process.kill(pid, signal)
  } catch {
    // It is gone, or another user's.
  }
}

/** Whether a process group exists, zombies included. Cheap: one system call. */
export const groupExists = (group: number): boolean => {
  try {
    process.kill(-group, 0)
    return true
  } catch {
    return false
  }
}

/** What tells this boot of the system from others; empty where the system does not say. */
export const boot: Effect.Effect<string> = Effect.promise(
  () =>
    new Promise((resolve) => {
      if (hasProc) return resolve(read("/proc/sys/kernel/random/boot_id").trim())
      execFile("sysctl", ["-n", "kern.bootsessionuuid"], (error, stdout) =>
        resolve(error === null ? stdout.trim() : "")
      )
    })
)

/** The processes in what `ps` prints for `psColumns`. */
export const parsePs = (text: string): ReadonlyArray<ProcessInfo> =>
  text.split("\n").flatMap((row) => {
    const [pid, group, kib, time = "", state = "", ...start] = row.trim().split(/\s+/)
    if (state === "" || state.startsWith("Z")) return []
    const born = Date.parse(`${start.join(" ")} UTC`) / 1000
    return [{ pid: Number(pid), group: Number(group), memory: Number(kib) * 1024, cpu: cpuOf(time), born }]
  })

/** What `ps` is asked for. */
export const psColumns = "pid=,pgid=,rss=,time=,stat=,lstart="

const hasProc = process.platform === "linux" && fs.existsSync("/proc/self/stat")

let running: Promise<Scan> | undefined
let next: Promise<Scan> | undefined

/**
 * A scan that begins after the question, shared by all who ask while an earlier one runs: twenty servers that stop side
 * by side look at the system one after another, not twenty times at once. For the whole process, as the table is.
 */
const nextScan = (): Promise<Scan> => {
  if (next !== undefined) return next
  const begin = (): Promise<Scan> => {
    next = undefined
    const current = scan(ownBirth()).finally(() => {
      if (running === current) running = undefined
    })
    running = current
    return current
  }
  if (running === undefined) return begin()
  next = running.then(begin, begin)
  return next
}

/** No process that this one marked is older than this one. */
const ownBirth = (): number => (hasProc ? (infoOf(process.pid)[0]?.born ?? 0) : 0)

const scan = (since: number): Promise<Scan> => (hasProc ? fromProc(since) : fromPs())

/** Read without the thread pool, which costs six times as much, but in slices that messages get past. */
const fromProc = async (since: number): Promise<Scan> => {
  const processes: Array<ProcessInfo> = []
  const markers = new Map<number, string>()
  const look = (pid: number): boolean => {
    const environ = read(`/proc/${pid}/environ`)
    const marker = markerIn(environ)
    if (marker !== undefined) markers.set(pid, marker)
    return environ !== ""
  }
  const unclear: Array<number> = []
  let sliceEnd = performance.now() + slice
  for (const name of fs.readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue
    if (performance.now() > sliceEnd) {
      await new Promise((resolve) => setImmediate(resolve))
      sliceEnd = performance.now() + slice
    }
    for (const info of infoOf(Number(name))) {
      processes.push(info)
      if (info.born >= since && !look(info.pid)) unclear.push(info.pid)
    }
  }
  // In the middle of an exec a process has no environment, for less than a millisecond.
  if (unclear.length > 0) await new Promise((resolve) => setTimeout(resolve, 1))
  unclear.forEach(look)
  return { processes, markers }
}

/** One process or none: it may end while it is being read about. */
const infoOf = (pid: number): ReadonlyArray<ProcessInfo> => {
  const stat = read(`/proc/${pid}/stat`)
  // Fields are counted after the command, which stands in parentheses and may hold anything.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  if (stat === "" || fields[0] === "Z" || fields[0] === "X") return []
  const group = Number(fields[2])
  const cpu = (Number(fields[11]) + Number(fields[12])) * tick
  return [{ pid, group, memory: Number(fields[21]) * pageSize(), cpu, born: Number(fields[19]) }]
}

const markerIn = (environ: string): string | undefined => {
  const start = `\0${environ}`.indexOf(`\0${markerVariable}=`)
  if (start === -1) return undefined
  const value = environ.slice(start + markerVariable.length + 1)
  const end = value.indexOf("\0")
  return end === -1 ? value : value.slice(0, end)
}

/** A file of /proc, or nothing where it is gone or may not be read. */
const read = (file: string): string => {
  let fd: number | undefined
  try {
    fd = fs.openSync(file, "r")
    const length = fs.readSync(fd, buffer, 0, buffer.length, 0)
    return length === buffer.length ? fs.readFileSync(file, "latin1") : buffer.toString("latin1", 0, length)
  } catch {
    return ""
  } finally {
    if (fd !== undefined) fs.closeSync(fd)
  }
}

const fromPs = (): Promise<Scan> =>
  new Promise((resolve) => {
    // Times in one zone and language, whatever the user's.
    const options = { env: { ...process.env, LC_ALL: "C", TZ: "UTC" }, maxBuffer: 64 * 1024 * 1024 }
    execFile("ps", ["-A", "-o", psColumns], options, (error, stdout) => {
      resolve({ processes: error === null ? parsePs(stdout) : [], markers: new Map() })
    })
  })

/** `[[days-]hours:]minutes:seconds[.hundredths]` in milliseconds. */
const cpuOf = (time: string): number => {
  const [, days = 0, clock = ""] = /^(?:(\d+)-)?(.*)$/.exec(time) ?? []
  const seconds = clock.split(":").reduce((sum, part) => sum * 60 + Number(part), 0)
  return Math.round((Number(days) * 86_400 + seconds) * 1000)
}

let knownPageSize: number | undefined
/** From this process's own memory in bytes and in pages; pages come in powers of two. */
const pageSize = (): number => {
  if (knownPageSize === undefined) {
    const pages = Number(read("/proc/self/statm").split(" ")[1])
    knownPageSize = 2 ** Math.round(Math.log2(process.memoryUsage.rss() / pages))
  }
  return knownPageSize
}

/** Milliseconds in a clock tick: Linux shows user space 100 a second on every architecture that Node runs on. */
const tick = 10
/** How long messages may wait for a scan, in milliseconds. */
const slice = 2
const buffer = Buffer.allocUnsafeSlow(64 * 1024)

/** What the live processes of a group use together: resident bytes and CPU milliseconds; zero where none is seen. */
export const usageOf = (
  group: number | null,
  processes: ReadonlyArray<ProcessInfo>
): { readonly memory: number; readonly cpu: number } => {
  let memory = 0
  let cpu = 0
  for (const info of processes) {
    if (info.group !== group) continue
    memory += info.memory
    cpu += info.cpu
  }
  return { memory, cpu }
}
