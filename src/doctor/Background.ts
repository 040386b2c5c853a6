/** What the last daemon that `connect` started in the background has to say, where it could not go on. */
import * as fs from "node:fs"
import * as path from "node:path"
import type { Daemon } from "./Daemon.ts"
import { type Finding, of } from "./Finding.ts"
import type * as Shell from "../Shell.ts"

const { warning } = of("daemon")

/** Silent where a daemon runs, or the last one ended as it should. */
export const check = (options: {
  readonly runtimeDir: string
  readonly daemon: Daemon
  readonly commands: Shell.Commands
}): ReadonlyArray<Finding> => {
  const { commands, daemon, runtimeDir } = options
  if (daemon.kind !== "none") return []
  const file = path.join(runtimeDir, "daemon.log")
  const words = lastWords(tail(file))
  if (words.length === 0) return []
  const message = ["the last daemon that connect started has ended with this:", ...words].join("\n")
  return [warning(file, message, `mend what it says: connect tries again, and so does ${commands.serve}`)]
}

/** The last lines of a log that are none of its entries, which are JSON: an error that ended a daemon. */
export const lastWords = (log: string): ReadonlyArray<string> => {
  const lines = log.split("\n").filter((line) => line.trim() !== "" && !line.startsWith(lostRace))
  const entry = lines.findLastIndex((line) => line.startsWith("{") && line.trimEnd().endsWith("}"))
  return lines.slice(entry + 1).slice(-maxLines)
}

/** Of ten that start at once nine end so. */
const lostRace = "mcp-pool: another daemon serves "
const maxLines = 5

/** The end of a file; empty where there is none that can be read. */
const tail = (file: string): string => {
  let fd: number | undefined
  try {
    fd = fs.openSync(file, "r")
    const { size } = fs.fstatSync(fd)
    const bytes = Buffer.alloc(Math.min(size, maxTail))
    return bytes.toString("utf8", 0, fs.readSync(fd, bytes, 0, bytes.length, size - bytes.length))
  } catch {
    return ""
  } finally {
    if (fd !== undefined) fs.closeSync(fd)
  }
}

/** Bytes. */
const maxTail = 64 * 1024
