/**
 * Which servers are modern, across restarts of the daemon: an empty file for the fingerprint of each, beside what else is
 * known of it. The others are asked `initialize` first, as nearly every server wants it; where a file cannot be read or
 * written, that costs a modern server one more question.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import type { ServerSpec } from "../config/ServerSpec.ts"
import type { Era } from "./Era.ts"

/** What a server was found to be; `directory` is null where nothing is kept. */
export const read = (directory: string | null, spec: ServerSpec): Era => {
  // To compute a fingerprint costs more than to start a server.
  if (directory === null || !fs.existsSync(path.join(directory, folder))) return "legacy"
  return fs.existsSync(fileOf(directory, spec)) ? "modern" : "legacy"
}

/** Keeps it. */
export const write = (directory: string | null, spec: ServerSpec, era: Era): void => {
  if (directory === null) return
  try {
    if (era === "legacy") return fs.rmSync(fileOf(directory, spec), { force: true })
    fs.mkdirSync(path.join(directory, folder), { recursive: true, mode: 0o700 })
    fs.writeFileSync(fileOf(directory, spec), "", { mode: 0o600 })
  } catch {
    // It is found out again.
  }
}

const fileOf = (directory: string, spec: ServerSpec): string => path.join(directory, folder, spec.fingerprint)
const folder = "modern"
