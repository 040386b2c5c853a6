/**
 * What a pool knows of a server by its fingerprint, across restarts of the daemon: a file of JSON for each, in a folder of
 * the pool's directory, for its owner alone. What cannot be read is not known; what cannot be written is learnt again.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import type { ServerSpec } from "../config/ServerSpec.ts"

/** Where a pool keeps one kind of knowledge; `directory` is null where nothing is kept. */
export interface Folder {
  readonly directory: string | null
  readonly name: string
  /** The longest file, in bytes. */
  readonly maxSize: number
}

/** The document of a server; undefined where there is none, or none of this pool's own. */
export const read = (folder: Folder, spec: ServerSpec): unknown => {
  // To compute a fingerprint costs more than to start a server.
  if (folder.directory === null || !fs.existsSync(path.join(folder.directory, folder.name))) return undefined
  try {
    return JSON.parse(textOf(fileOf(folder.directory, folder, spec), folder.maxSize))
  } catch {
    return undefined
  }
}

/** Keeps a document in place of what was there; one that is too long, or null, is not kept, and what was there neither. */
export const write = (folder: Folder, spec: ServerSpec, document: unknown): void => {
  const { directory, maxSize, name } = folder
  if (directory === null) return
  const file = fileOf(directory, folder, spec)
  const next = `${file}.${process.pid}.new`
  try {
    const text = document === null ? null : Buffer.from(JSON.stringify(document))
    if (text === null || text.length > maxSize) return fs.rmSync(file, { force: true })
    fs.mkdirSync(path.join(directory, name), { recursive: true, mode: 0o700 })
    // What stands under that name is a killed pool's of the same pid.
    fs.rmSync(next, { force: true })
    fs.writeFileSync(next, text, { mode: 0o600, flag: "wx" })
    const isNew = !fs.existsSync(file)
    fs.renameSync(next, file)
    if (isNew) forgetOld(path.join(directory, name))
  } catch {
    discard(next)
  }
}

/** A changed server has another fingerprint, and nobody asks for the old one again. */
const forgetOld = (folder: string): void => {
  const oldest = Date.now() - maxAge
  for (const entry of fs.readdirSync(folder)) {
    const file = path.join(folder, entry)
    if (fs.lstatSync(file).mtimeMs < oldest) discard(file)
  }
}

const discard = (file: string): void => {
  try {
    fs.rmSync(file, { force: true })
  } catch {
    // Nor can it be removed.
  }
}

/** Of a plain file of this user's: a pipe would hold up everything, and a link may lead anywhere. */
const textOf = (file: string, maxSize: number): string => {
  const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = fs.constants
  const descriptor = fs.openSync(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  try {
    const stats = fs.fstatSync(descriptor)
    const isOwn = stats.isFile() && stats.uid === process.getuid?.() && stats.size <= maxSize
    if (!isOwn) return ""
    const now = new Date()
    // It is of use: see `forgetOld`.
    fs.futimesSync(descriptor, now, now)
    return fs.readFileSync(descriptor, "utf8")
  } finally {
    fs.closeSync(descriptor)
  }
}

const fileOf = (directory: string, { name }: Folder, spec: ServerSpec): string =>
  path.join(directory, name, `${spec.fingerprint}.json`)

/** Milliseconds since it was last read or written: 90 days. */
const maxAge = 90 * 24 * 60 * 60_000
