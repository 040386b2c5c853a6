/**
 * A Unix socket at a path, with rules of ownership: a live listener, a symlink or a file at the path is never replaced, a
 * stale socket is, and a successor's socket is never removed. Closing the scope stops listening.
 */
import { Effect, type Scope } from "effect"
import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import { SocketUnusable } from "../PoolError.ts"
import { maxSocketPath } from "../RuntimeDir.ts"

export interface SocketFileOptions {
  readonly path: string
  /** Permission bits; unless given 0o600, or 0o660 where a group is. */
  readonly mode?: number | undefined
  /** A group's name or number that owns the socket. */
  readonly group?: string | undefined
  /** The directory is the pool's, though it was there before: its mode and group follow the socket's. */
  readonly ownsDirectory?: boolean | undefined
}

/** Listens with `server` at the path. Its directory is made where it is missing, and never removed or made again. */
export const listen = Effect.fnUntraced(function* (
  server: net.Server,
  options: SocketFileOptions
): Effect.fn.Return<void, SocketUnusable, Scope.Scope> {
  const { path: file } = options
  const unusable = (reason: string) => new SocketUnusable({ path: file, reason })
  const temporary = path.join(path.dirname(file), `.${process.pid.toString(36)}`)
  if (Buffer.byteLength(file) > maxSocketPath || Buffer.byteLength(temporary) > maxSocketPath) {
    return yield* unusable(
      `the path is longer than ${maxSocketPath} bytes: give a shorter --runtime-dir or pool.socket`
    )
  }
  yield* Effect.try({
    try: () => makeDirectory(path.dirname(file), options),
    catch: (cause) => unusable((cause as Error).message)
  })
  yield* claim(file)
  const inode = yield* Effect.acquireRelease(
    bind(server, temporary, options).pipe(Effect.mapError((error) => unusable(error.message))),
    () => Effect.sync(() => void server.close())
  ).pipe(
    Effect.andThen(
      Effect.try({
        // The name appears with its final mode and at once; libuv will later remove the temporary name, not this one.
        try: () => {
          fs.renameSync(temporary, file)
          return fs.lstatSync(file).ino
        },
        catch: (cause) => unusable((cause as Error).message)
      })
    )
  )
  yield* Effect.addFinalizer(() =>
    Effect.try({
      try: () => {
        if (fs.lstatSync(file, { throwIfNoEntry: false })?.ino === inode) fs.rmSync(file, { force: true })
      },
      catch: (cause) => (cause as Error).message
    }).pipe(Effect.catch((reason) => Effect.logWarning(`the socket at ${file} cannot be removed: ${reason}`)))
  )
})

/** Whether somebody listens at the path. */
export const isLive = (file: string): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    const socket = net.connect(file)
    const done = (live: boolean) => {
      socket.destroy()
      resume(Effect.succeed(live))
    }
    socket.once("connect", () => done(true))
    // EAGAIN: its backlog is full, so it lives.
    socket.once("error", (error: NodeJS.ErrnoException) => done(error.code === "EAGAIN"))
    return Effect.sync(() => socket.destroy())
  })

/** Fails where the path may not be taken. */
const claim = Effect.fnUntraced(function* (file: string) {
  const there = fs.lstatSync(file, { throwIfNoEntry: false })
  if (there === undefined) return
  const unusable = (reason: string) => new SocketUnusable({ path: file, reason })
  if (there.isSymbolicLink()) return yield* unusable("a symbolic link is there; remove it")
  if (!there.isSocket()) return yield* unusable("something that is not a socket is there; remove it")
  if (yield* isLive(file)) return yield* unusable("another process listens there")
})

const bind = (server: net.Server, file: string, options: SocketFileOptions): Effect.Effect<void, Error> =>
  Effect.callback((resume) => {
    const onError = (error: Error) => resume(Effect.fail(error))
    server.once("error", onError)
    fs.rmSync(file, { force: true })
    // The bind happens within the call, so nobody else's files get this mask.
    const mask = process.umask(0o177)
    try {
      server.listen(file)
    } finally {
      process.umask(mask)
    }
    server.once("listening", () => {
      server.off("error", onError)
      // One connection that cannot be accepted (no descriptors left) is no reason to end.
      server.on("error", () => {})
      try {
        if (options.group !== undefined) fs.chownSync(file, -1, groupId(options.group))
        fs.chmodSync(file, modeOf(options))
        resume(Effect.void)
      } catch (error) {
        server.close()
        resume(Effect.fail(error as Error))
      }
    })
  })

const modeOf = ({ group, mode }: SocketFileOptions): number => mode ?? (group === undefined ? 0o600 : 0o660)

const makeDirectory = (directory: string, options: SocketFileOptions): void => {
  const { group, ownsDirectory } = options
  const mode = modeOf(options)
  const isNew = fs.mkdirSync(directory, { recursive: true, mode: 0o700 }) !== undefined
  if (!isNew && ownsDirectory !== true) return
  if (group !== undefined) fs.chownSync(directory, -1, groupId(group))
  // Whoever may use the socket must get to it.
  fs.chmodSync(directory, 0o700 | (group === undefined ? 0 : 0o010) | ((mode & 0o007) === 0 ? 0 : 0o011))
}

/** Node changes groups by number only. */
const groupId = (group: string): number => {
  if (/^\d+$/.test(group)) return Number(group)
  for (const row of fs.readFileSync("/etc/group", "utf8").split("\n")) {
    const [name, , id] = row.split(":")
    if (name === group && id !== undefined) return Number(id)
  }
  throw new Error(`there is no group "${group}"`)
}
