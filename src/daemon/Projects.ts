/**
 * Opens servers as projects have them: finds out what a project's configuration says of a name, and puts that server into
 * the pool under an address of its own, `NAME@DIR`. One that nobody has used for long leaves the pool again. Lives as long
 * as its layer's scope.
 */
import { Clock, Duration, Effect, Fiber, FiberMap, Layer, Option, Schedule, type Scope } from "effect"
import * as Address from "../config/Address.ts"
import * as ClaudeFile from "../config/ClaudeFile.ts"
import { HostEnvironment } from "../config/Environment.ts"
import type * as PoolConfig from "../config/PoolConfig.ts"
import type { Project } from "../config/Project.ts"
import { type Found, Opener, type Wanted } from "../listen/Opener.ts"
import { UnixListener } from "../listen/UnixListener.ts"
import { McpPool } from "../McpPool.ts"
import type { ServerChange } from "../PoolStatus.ts"
import { ProjectNotTrusted } from "../PoolError.ts"
import type { OpenError } from "../WireError.ts"
import { Reload } from "./Reload.ts"

/** What `connect` asks for is what its project has; `initial` is the pool's own configuration until it is read again. */
export const make = Effect.fnUntraced(function* (
  initial: PoolConfig.PoolConfig
): Effect.fn.Return<Opener["Service"], never, Scope.Scope | McpPool | UnixListener | Reload> {
  const pool = yield* McpPool
  const sockets = yield* UnixListener
  const claudeFile = yield* ClaudeFile.make
  // Whoever asks, what counts is the daemon's own.
  const inDaemon = Effect.provideService(HostEnvironment, yield* HostEnvironment)
  const opening = yield* FiberMap.make<string, Found, OpenError>()
  const putting = yield* FiberMap.make<string>()
  const known = new Map<string, Known>()
  let config = initial

  /** The server of a project, as it is configured now; undefined where that is the pool's own. */
  const entryOf = Effect.fnUntraced(function* (server: string, project: Project) {
    const { Project, Trust } = yield* modules
    const definition = yield* Project.find({ config, server, project, claudeFile })
    if (definition === undefined) return yield* Project.perProject(config, server, project)
    const { directory } = project
    if (definition.needsTrust) {
      const judgement = Trust.judge(yield* Trust.read(directory), definition)
      if (judgement !== "trusted") {
        return yield* new ProjectNotTrusted({
          server,
          directory,
          file: definition.source.name,
          changed: judgement === "changed",
          inPool: config.servers.some(({ name }) => name === server)
        })
      }
    }
    const { entry, notes } = yield* Project.resolve(definition)
    if (known.get(entry.name)?.key !== keyOf(entry)) {
      yield* Effect.forEach(notes, (note) =>
        Effect.logWarning(`${definition.source.name}: server "${server}": ${note}`)
      )
    }
    return entry
  })

  const isAsKnown = (entry: PoolConfig.ServerEntry) =>
    pool.names.includes(entry.name) && known.get(entry.name)?.key === keyOf(entry)

  /** Has the pool serve an entry as it is now; returns once it does, or has failed to. */
  const put = Effect.fnUntraced(function* (
    entry: PoolConfig.ServerEntry,
    server: string,
    project: Project
  ): Effect.fn.Return<ServerChange> {
    const { name } = entry
    const isNew = !pool.names.includes(name)
    const isSame = isAsKnown(entry)
    const usedAt = yield* Clock.currentTimeMillis
    const now: Known = { server, directory: project.directory, key: keyOf(entry), idle: idleOf(entry), usedAt }
    known.set(name, now)
    if (isSame) return { server: name, outcome: "unchanged", reason: null }
    if (isNew) yield* makeRoom
    const change = yield* pool.put(entry)
    // The one before goes on: the next who comes tries again.
    if (change.outcome === "kept") now.key = ""
    yield* serve
    return change
  })

  /** Each name has its socket, as those of the configuration have. */
  const serve = Effect.gen(function* () {
    for (const { message } of yield* sockets.update) yield* Effect.logWarning(message)
  })

  const remove = (address: string) =>
    Effect.suspend(() => {
      known.delete(address)
      // A name of the configuration may look like an address.
      const isOwn = config.servers.some(({ name }) => name === address)
      return FiberMap.remove(putting, address).pipe(
        Effect.andThen(isOwn ? Effect.void : Effect.ignore(pool.remove(address))),
        Effect.andThen(serve)
      )
    })

  /** Those that have neither sessions nor a process, the longest unused first. */
  const unused = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const served = new Set((yield* pool.sessions).map(({ server }) => server))
    for (const [address, it] of known) if (served.has(address) || (yield* pool.isRunning(address))) it.usedAt = now
    return [...known]
      .map(([address, { idle, usedAt }]) => ({ address, idle, age: now - usedAt }))
      .filter(({ age }) => age > 0)
      .sort((a, b) => b.age - a.age)
  })

  const makeRoom = Effect.gen(function* () {
    if (known.size <= maxKnown) return
    const [longest] = yield* unused
    if (longest !== undefined) yield* remove(longest.address)
  })

  const sweep = Effect.gen(function* () {
    if (known.size === 0) return
    for (const { address, age, idle } of yield* unused) if (age >= idle) yield* remove(address)
  })
  yield* Effect.forkScoped(Effect.repeat(sweep, Schedule.spaced(sweepInterval)))

  const endpointOf = (address: string): Effect.Effect<Found, OpenError> =>
    Effect.map(pool.endpoint(address), (endpoint) => ({ address, endpoint }))

  const find = Effect.fnUntraced(function* (
    server: string,
    project: Project,
    otherwise: string
  ): Effect.fn.Return<Found, OpenError> {
    const entry = yield* entryOf(server, project)
    if (entry === undefined) return yield* endpointOf(otherwise)
    // What takes the place of another server does so while both run: nobody waits for it.
    const isWaitedFor = isAsKnown(entry) || !pool.names.includes(entry.name)
    const done = put(entry, server, project)
    yield* isWaitedFor ? done : FiberMap.run(putting, entry.name, done)
    return yield* endpointOf(entry.name)
  })

  const look = Effect.fnUntraced(function* (
    address: string,
    { directory, server }: Known
  ): Effect.fn.Return<ServerChange, OpenError> {
    const project = yield* (yield* modules).Project.at(directory)
    const entry = project === undefined ? undefined : yield* entryOf(server, project)
    if (project !== undefined && entry !== undefined) return yield* put(entry, server, project)
    yield* remove(address)
    return { server: address, outcome: "removed", reason: null }
  })
  const { register } = yield* Reload
  yield* register((next) => {
    config = next
    const lookAgain = ([server, it]: readonly [string, Known]) =>
      look(server, it).pipe(
        // What cannot be read or is not trusted as it is now stays as it was.
        Effect.catch(({ message }) => Effect.succeed<ServerChange>({ server, outcome: "kept", reason: message }))
      )
    return inDaemon(Effect.forEach([...known], lookAgain, { concurrency: "unbounded" }))
  })

  const open = Effect.fnUntraced(function* (wanted: Wanted): Effect.fn.Return<Found, OpenError> {
    const { server } = wanted
    const isOwn = config.servers.some(({ name }) => name === server)
    // Who knows the address needs no project.
    const asked = (isOwn ? undefined : Address.parse(server)) ?? { server, directory: wanted.project }
    const project = asked.directory === null ? undefined : yield* (yield* modules).Project.at(asked.directory)
    if (project === undefined) return yield* endpointOf(server)
    const address = Address.make(asked.server, project.directory)
    // In a fiber of its own, which others wait for, too: who asked first may leave.
    const finding = Effect.suspend(() =>
      Option.match(FiberMap.getUnsafe(opening, address), {
        onNone: () => FiberMap.run(opening, address, find(asked.server, project, server)),
        onSome: Effect.succeed
      })
    )
    return yield* Effect.flatMap(finding, Fiber.join)
  })
  return Opener.of({ open: (wanted) => inDaemon(open(wanted)) })
})

/** The opener of a pool with this configuration. */
export const layer = (config: PoolConfig.PoolConfig): Layer.Layer<Opener, never, McpPool | UnixListener | Reload> =>
  Layer.effect(Opener, make(config))

/** A server that this put into the pool. */
interface Known {
  /** As the project names it. */
  readonly server: string
  readonly directory: string
  /** Another one for another server or other settings. Holds the environment: never to be shown. */
  key: string
  /** Milliseconds without sessions and processes after which it leaves the pool. */
  readonly idle: number
  usedAt: number
}

/** Loaded with the first project: a pool's first process does not wait for them. */
const modules = Effect.promise(async () => {
  const [Project, Trust] = await Promise.all([import("../config/Project.ts"), import("../config/Trust.ts")])
  return { Project, Trust }
})

const keyOf = (entry: PoolConfig.ServerEntry): string =>
  entry._tag === "Configured" ? JSON.stringify([entry.spec.identity, entry.spec.pool]) : entry.error.message

const idleOf = (entry: PoolConfig.ServerEntry): number => {
  const own = entry._tag === "Configured" ? entry.spec.pool.idleStop : undefined
  return Duration.toMillis(Duration.max(own ?? usualIdle, sweepInterval))
}

const usualIdle = Duration.minutes(30)
const sweepInterval = Duration.minutes(1)
/** Names that may be in the pool at once, unless more are in use. */
const maxKnown = 256
