/**
 * A lock file where it stands, `mcp-pool.lock.json` beside a configuration file: read when it has changed, and written as a
 * whole or not at all, one writer at a time. It is meant to be committed, so others may read it. The only file here that
 * touches the disk; plain synchronous code, since a first list is pinned before anybody is given it.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { Result } from "effect"
import * as Turn from "../Turn.ts"
import * as Lock from "./Lock.ts"

export class LockFile {
  readonly path: string
  #signature = ""
  #known: Result.Result<Lock.Lock, string> = Result.succeed(Lock.empty)

  constructor(path: string) {
    this.path = path
  }

  /** What it says now; nothing where there is no file. Fails with what is wrong, in words, the file first. */
  read(): Result.Result<Lock.Lock, string> {
    const signature = signatureOf(this.path)
    if (signature !== this.#signature) {
      this.#known = Result.mapError(
        Result.flatMap(textOf(this.path), (text) => (text === null ? Result.succeed(Lock.empty) : Lock.decode(text))),
        (reason) => `${this.path} ${reason}`
      )
      this.#signature = signature
    }
    return this.#known
  }

  /** Gives a server other tools, whatever else has been written meanwhile; the same value as long as nothing changes. */
  write(server: string, tools: Lock.Tools): Result.Result<Lock.Lock, string> {
    try {
      return inTurn(`${this.path}.turn`, () => this.#replace(server, tools))
    } catch (cause) {
      return Result.fail(`${this.path} cannot be written: ${reasonOf(cause)}`)
    }
  }

  #replace(server: string, tools: Lock.Tools): Result.Result<Lock.Lock, string> {
    // Whatever the clock of the file system can tell apart.
    this.#signature = ""
    return Result.flatMap(this.read(), (before) => {
      const text = Buffer.from(Lock.encode(new Map([...before, [server, tools]])))
      if (text.length > maxSize) return Result.fail(`${this.path} would be larger than ${maxSize} bytes`)
      const next = `${this.path}.${process.pid}.new`
      try {
        fs.rmSync(next, { force: true })
        const mode = fs.lstatSync(this.path, { throwIfNoEntry: false })?.mode
        fs.writeFileSync(next, text, { mode: 0o644, flag: "wx" })
        if (mode !== undefined) fs.chmodSync(next, mode & 0o777)
        fs.renameSync(next, this.path)
      } finally {
        fs.rmSync(next, { force: true })
      }
      this.#signature = ""
      return this.read()
    })
  }
}

/** Of two daemons that write at once the second waits for the first: a millisecond, or as long as a dead one's turn lasts. */
const inTurn = <A>(file: string, act: () => A): A => {
  for (let attempt = 0; !Turn.take(file); attempt++) {
    if (attempt === maxAttempts) throw new Error(`${path.basename(file)} says that somebody else is writing it`)
    Atomics.wait(nothing, 0, 0, pause)
  }
  try {
    return act()
  } finally {
    Turn.giveBack(file)
  }
}

/** Another one for another file or another content. */
const signatureOf = (file: string): string => {
  try {
    const { ctimeNs, ino, size } = fs.lstatSync(file, { bigint: true })
    return `${ino} ${size} ${ctimeNs}`
  } catch (cause) {
    return `none ${codeOf(cause)}`
  }
}

/** Of a plain file: a pipe would hold up everything, and a link may lead anywhere. */
const textOf = (file: string): Result.Result<string | null, string> => {
  const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = fs.constants
  let descriptor: number
  try {
    descriptor = fs.openSync(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  } catch (cause) {
    const code = codeOf(cause)
    if (code === "ENOENT") return Result.succeed(null)
    return Result.fail(code === "ELOOP" ? "is a symbolic link" : `cannot be read: ${reasonOf(cause)}`)
  }
  try {
    const stats = fs.fstatSync(descriptor)
    if (!stats.isFile()) return Result.fail("is no regular file")
    if (stats.size > maxSize) return Result.fail(`is larger than ${maxSize} bytes`)
    return Result.succeed(fs.readFileSync(descriptor, "utf8"))
  } catch (cause) {
    return Result.fail(`cannot be read: ${reasonOf(cause)}`)
  } finally {
    fs.closeSync(descriptor)
  }
}

const codeOf = (cause: unknown): string | undefined => (cause as NodeJS.ErrnoException).code

const reasonOf = (cause: unknown): string => codeOf(cause) ?? (cause as Error).message

/** Bytes. */
const maxSize = 16 * 1024 * 1024
/** Milliseconds between attempts, and how many: a fifth of a second in all. */
const pause = 5
const maxAttempts = 40
const nothing = new Int32Array(new SharedArrayBuffer(4))
