/** One daemon for one runtime directory: the claim is its control socket. Closing the scope gives it back. */
import { Effect, type Scope } from "effect"
import * as fs from "node:fs"
import type * as net from "node:net"
import * as path from "node:path"
import { DaemonRunning, SocketUnusable } from "../PoolError.ts"
import * as RuntimeDir from "../RuntimeDir.ts"
import * as SocketFile from "./SocketFile.ts"

/** Makes the directory where it is missing and listens with `server` at its control socket. */
export const make = Effect.fnUntraced(function* (
  server: net.Server,
  runtimeDir: string
): Effect.fn.Return<void, DaemonRunning | SocketUnusable, Scope.Scope> {
  yield* ownDirectory(runtimeDir)
  const file = RuntimeDir.controlSocket(runtimeDir)
  // Two daemons that start at once may both find a stale socket: only one at a time looks and takes.
  yield* Effect.acquireUseRelease(
    takeTurn(runtimeDir),
    Effect.fnUntraced(function* () {
      if (yield* SocketFile.isLive(file)) return yield* new DaemonRunning({ runtimeDir })
      yield* SocketFile.listen(server, { path: file })
    }),
    (turn) => Effect.sync(() => fs.rmSync(turn, { force: true }))
  )
})

/** The directory is this user's and nobody else writes to it. */
const ownDirectory = (runtimeDir: string): Effect.Effect<void, SocketUnusable> =>
  Effect.suspend(() => {
    const unusable = (reason: string) => Effect.fail(new SocketUnusable({ path: runtimeDir, reason }))
    try {
      fs.mkdirSync(runtimeDir, { recursive: true, mode: 0o700 })
      const stats = fs.statSync(runtimeDir)
      const foreign = RuntimeDir.foreign(stats)
      if (foreign !== undefined) return unusable(foreign)
      if ((stats.mode & 0o055) !== 0) fs.chmodSync(runtimeDir, 0o700)
      return Effect.void
    } catch (cause) {
      return unusable((cause as Error).message)
    }
  })

/** Makes a file that only one process can make, and that a process which died does not keep. */
const takeTurn = Effect.fnUntraced(function* (
  runtimeDir: string
): Effect.fn.Return<string, DaemonRunning | SocketUnusable> {
  const file = path.join(runtimeDir, "starting")
  const isMine = yield* Effect.try({
    try: () => {
      if (create(file)) return true
      if (isFresh(file) && isAlive(ownerOf(file))) return false
      fs.rmSync(file, { force: true })
      return create(file)
    },
    catch: (cause) => new SocketUnusable({ path: file, reason: (cause as Error).message })
  })
  return isMine ? file : yield* new DaemonRunning({ runtimeDir })
})

/** With its content from the first moment, so that nobody takes it for a dead process's. */
const create = (file: string): boolean => {
  const own = `${file}.${process.pid}`
  try {
    fs.writeFileSync(own, String(process.pid), { mode: 0o600 })
    fs.linkSync(own, file)
    return true
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "EEXIST") return false
    throw cause
  } finally {
    fs.rmSync(own, { force: true })
  }
}

/** A turn takes milliseconds: an old file is a dead process's, even if another has its pid by now. */
const isFresh = (file: string): boolean => {
  const made = fs.statSync(file, { throwIfNoEntry: false })?.mtimeMs
  return made === undefined || Date.now() - made < longestTurn
}

const longestTurn = 10_000

/** The pid in the file; whoever has just removed it is alive. */
const ownerOf = (file: string): number => {
  try {
    return Number(fs.readFileSync(file, "utf8"))
  } catch {
    return process.pid
  }
}

const isAlive = (pid: number): boolean => {
  try {
    return pid > 0 && process.kill(pid, 0)
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === "EPERM"
  }
}
