/** What runs on this machine under a test's marker, and the only place where tests wait for a process to be gone. */
import { Data, Effect, Schedule } from "effect"
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"

/** Processes that should be gone and are not. */
export class StillAlive extends Data.TaggedError("StillAlive")<{ readonly pids: ReadonlyArray<number> }> {
  override get message(): string {
    return `still alive: ${this.pids.join(", ")}`
  }
}

/** What tells processes from others: a part of their command line, or their home. A zombie has neither. */
export type Marker = string | { readonly HOME: string }

/** The live processes that have the marker. */
export const withMarker = (marker: Marker): Effect.Effect<ReadonlyArray<number>> =>
  Effect.sync(() =>
    typeof marker === "string"
      ? list().flatMap(({ command, pid }) => (command.includes(marker) ? [pid] : []))
      : list().flatMap(({ pid }) => (homeOf(pid) === marker.HOME ? [pid] : []))
  )

/** Kills what has the marker, and says what that was. */
export const killAll = (marker: Marker): Effect.Effect<ReadonlyArray<number>> =>
  Effect.tap(withMarker(marker), (pids) =>
    Effect.forEach(pids, (pid) => Effect.ignore(Effect.try(() => process.kill(pid, "SIGKILL"))))
  )

/** Whether a process lives; a zombie does not. */
export const isAlive = (pid: number): Effect.Effect<boolean> =>
  Effect.sync(() => list().some((row) => row.pid === pid && row.command !== ""))

/** Returns when a process, or everything with a marker, is gone. */
export const gone = (target: number | string): Effect.Effect<void, StillAlive> => {
  const left =
    typeof target === "string" ? withMarker(target) : Effect.map(isAlive(target), (alive) => (alive ? [target] : []))
  return left.pipe(
    Effect.flatMap((pids) => (pids.length === 0 ? Effect.void : Effect.fail(new StillAlive({ pids })))),
    Effect.retry(Schedule.spaced("5 millis").pipe(Schedule.upTo({ duration: "5 seconds" })))
  )
}

const list = (): ReadonlyArray<{ readonly pid: number; readonly command: string }> =>
  process.platform === "linux" ? fromProc() : fromPs()

const fromProc = () =>
  fs
    .readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((name) => ({ pid: Number(name), command: commandOf(name) }))

/** Empty for a process that ends while it is being read about, and for a zombie. */
const commandOf = (pid: string): string => {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, "utf8")
  } catch {
    return ""
  }
}

/** Undefined for others' processes, too. */
const homeOf = (pid: number): string | undefined => {
  try {
    const environment =
      process.platform === "linux"
        ? fs.readFileSync(`/proc/${pid}/environ`, "utf8")
        : execFileSync("ps", ["-E", "-o", "command=", "-p", String(pid)], { encoding: "utf8" })
    return /(?:^|[\0 ])HOME=([^\0 \n]*)/.exec(environment)?.[1]
  } catch {
    return undefined
  }
}

const fromPs = () =>
  execFileSync("ps", ["-A", "-o", "pid=,stat=,args="], { encoding: "utf8" })
    .split("\n")
    .flatMap((row) => {
      const [, pid, state, command = ""] = /^\s*(\d+)\s+(\S+)\s+(.*)$/.exec(row) ?? []
      return state === undefined || state.startsWith("Z") ? [] : [{ pid: Number(pid), command }]
    })
