/** One daemon for one runtime directory: the claim is its control socket. Closing the scope gives it back. */
import { Effect, type Scope } from "effect"
import * as fs from "node:fs"
import type * as net from "node:net"
import * as path from "node:path"
import { DaemonRunning, SocketUnusable } from "../PoolError.ts"
import * as RuntimeDir from "../RuntimeDir.ts"
import * as Turn from "../Turn.ts"
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
    (turn) => Effect.sync(() => Turn.giveBack(turn))
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

const takeTurn = Effect.fnUntraced(function* (
  runtimeDir: string
): Effect.fn.Return<string, DaemonRunning | SocketUnusable> {
  const file = path.join(runtimeDir, "starting")
  const isMine = yield* Effect.try({
    try: () => Turn.take(file),
    catch: (cause) => new SocketUnusable({ path: file, reason: (cause as Error).message })
  })
  return isMine ? file : yield* new DaemonRunning({ runtimeDir })
})
