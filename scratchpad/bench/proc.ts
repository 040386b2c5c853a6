/** What Linux tells about a process under /proc: its CPU time, memory, descriptors and children. */
import { existsSync, readdirSync, readFileSync } from "node:fs"

/** Whether this system has what the functions here read. */
export const available = existsSync("/proc/self/schedstat") && existsSync("/proc/self/smaps_rollup")

/** CPU time of all threads so far, in milliseconds. */
export const cpu = (pid: number): number =>
  readdirSync(`/proc/${pid}/task`)
    .map((thread) => Number(read(`${pid}/task/${thread}/schedstat`).split(" ")[0]) / 1e6)
    .reduce((sum, time) => sum + time, 0)

/** Resident memory in MB of 1024 kB, as are all memory figures here. */
export const residentMemory = (pid: number): number => field(`${pid}/status`, "VmRSS")

/** The most that was ever resident. */
export const peakMemory = (pid: number): number => field(`${pid}/status`, "VmHWM")

/** Memory of its own and its share of what it shares with other processes. */
export const proportionalMemory = (pid: number): number => field(`${pid}/smaps_rollup`, "Pss")

/** The number of open descriptors. */
export const descriptors = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length

/** All processes that descend from this one. */
export const descendants = (pid: number): Array<number> =>
  readdirSync(`/proc/${pid}/task`)
    .flatMap((thread) => read(`${pid}/task/${thread}/children`).split(" "))
    .filter((child) => child !== "")
    .flatMap((child) => [Number(child), ...descendants(Number(child))])

/** The command line. */
export const command = (pid: number): ReadonlyArray<string> => read(`${pid}/cmdline`).split("\0")

const read = (path: string): string => readFileSync(`/proc/${path}`, "latin1")

const field = (path: string, name: string): number =>
  Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(read(path))?.[1]) / 1024
