/**
 * The servers of a pool by name, and how they change: another configuration of a name is another server, which takes over
 * when it is ready, while the one before ends what it has. Lives as long as the pool; closing its scope ends every process.
 */
import { Effect, Exit, Fiber, FiberSet, Latch, type Schedule, Scope, Semaphore } from "effect"
import type { ServerEntry } from "../config/PoolConfig.ts"
import type { PoolSettings } from "../config/ServerSpec.ts"
import * as HeldServers from "./HeldServers.ts"
import * as Metrics from "../Metrics.ts"
import type { CallAccount } from "../mux/CallAccount.ts"
import type { Pins } from "../pin/Pins.ts"
import { Switch } from "../mux/Switch.ts"
import type { Replaceable } from "../mux/Upstream.ts"
import * as Vacancy from "../mux/Vacancy.ts"
import { figuresOf, type NamedServer, stepOf } from "./NamedServer.ts"
import type * as PooledServer from "./PooledServer.ts"
import * as PoolPlan from "./PoolPlan.ts"
import type { ServerChange } from "../PoolStatus.ts"
import type { Reaper } from "../server/Reaper.ts"
import type { Ended } from "../server/RestartPolicy.ts"
import { explained } from "../server/Failures.ts"
import type { StateChange } from "../server/ServerState.ts"

/** What a pool knows by name. */
export interface PoolServers {
  /** The same value as long as no name comes or goes. */
  readonly names: () => ReadonlyArray<string>
  /** What stands behind a name. */
  readonly get: (name: string) => NamedServer | undefined
  /** In the order of the names. */
  readonly all: () => Iterable<NamedServer>
  /** Each one once, whatever the names that it has. */
  readonly servers: () => ReadonlyArray<PooledServer.PooledServer>
  /** As `McpPool` has them. */
  readonly put: (entry: ServerEntry, options?: { readonly start?: boolean | undefined }) => Effect.Effect<ServerChange>
  /** Whether there was one. */
  readonly remove: (name: string) => Effect.Effect<boolean>
  /** As `McpPool` has it. */
  readonly reload: (entries: ReadonlyArray<ServerEntry>) => Effect.Effect<ReadonlyArray<ServerChange>>
  /** Ends all processes of a name that no other name has. */
  readonly stop: (named: NamedServer) => Effect.Effect<void>
  readonly stopAll: Effect.Effect<void>
}

/** The servers of the entries, none of which is started. */
export const make = Effect.fnUntraced(function* (
  entries: ReadonlyArray<ServerEntry>,
  options: {
    readonly restartSchedule: Schedule.Schedule<unknown, Ended> | undefined
    /** Of servers that do not say it themselves. */
    readonly start: "eager" | "lazy"
    readonly account: CallAccount
    readonly pins: Pins
    /** A step of a name's server. */
    readonly onChange: (change: StateChange) => void
    /** Its sessions can be closed: it is not configured any more. */
    readonly onRemoved: (named: NamedServer) => void
  }
): Effect.fn.Return<PoolServers, never, Scope.Scope | Reaper> {
  const { account, onChange, pins } = options
  const context = yield* Effect.context<Reaper>()
  const scope = yield* Effect.scope
  const oneReload = yield* Semaphore.make(1)
  const onePut = yield* Semaphore.make(1)
  let byName = new Map<string, NamedServer>()
  let names: ReadonlyArray<string> = []
  const held = yield* HeldServers.make(options)
  const run = yield* FiberSet.makeRuntime<never>()

  /** A name has another server behind it, or none; calls back once its sessions have nothing under way at the one before. */
  const move = (
    { before, name, upstream }: NamedServer,
    server: PooledServer.PooledServer,
    next: Replaceable,
    done: () => void
  ) => {
    const left = held.leave(server, name)
    before.add(server)
    upstream.moveTo(next, () => {
      before.delete(server)
      done()
      left()
    })
    held.release(server)
  }

  const renamed = () => {
    names = [...byName.keys()]
  }

  /** A name's requests go to this server from now on. */
  const attach = Effect.fnUntraced(function* (
    entry: ServerEntry,
    server: PooledServer.PooledServer,
    isConfigured: boolean
  ) {
    const { name } = entry
    const settings = PoolPlan.settingsOf(entry)
    const known = byName.get(name)
    held.take(server, name)
    // Before its sessions are there.
    pins.set(name, settings.pin)
    server.pinsChanged()
    if (known !== undefined) {
      const { server: before } = known
      const from = before.state()
      const to = server.state()
      known.entry = entry
      known.settings = settings
      known.server = server
      known.restartsBefore += before.restarts() + (from === "running" ? 1 : 0)
      known.failuresBefore = [...known.failuresBefore, ...before.failures()].slice(-maxFailures)
      move(known, before, server.upstream, () => {})
      if (from !== to || to === "running") onChange(yield* stepOf(name, from, server))
      return
    }
    const its = yield* Scope.fork(scope)
    const named: NamedServer = {
      name,
      isConfigured,
      upstream: new Switch(server.upstream),
      removed: Latch.makeUnsafe(false),
      scope: its,
      entry,
      settings,
      server,
      before: new Set(),
      restartsBefore: 0,
      failuresBefore: []
    }
    byName.set(name, named)
    renamed()
    yield* Scope.provide(Metrics.register(name, figuresOf(named, account)), named.scope)
    if (server.state() !== "stopped") onChange(yield* stepOf(name, "stopped", server))
  })

  const isServed = (name: string) => byName.get(name)?.server.state() === "running"
  const isOn = (name: string) => {
    const server = byName.get(name)?.server
    const state = server?.state()
    return server?.isAsleep() === true || (state !== "stopped" && state !== "stopping")
  }

  /** Gives the names of a group one server; who is served goes on with the one before where that cannot be started. */
  const settle = Effect.fnUntraced(function* (
    { entries, leader, present }: PoolPlan.Group<PooledServer.PooledServer>,
    { isConfigured, start }: { readonly isConfigured: boolean; readonly start: boolean }
  ): Effect.fn.Return<ReadonlyArray<ServerChange>> {
    const movers = entries.filter(({ name }) => present === null || byName.get(name)?.server !== present)
    const stayers = entries.filter((entry) => !movers.includes(entry))
    const stayed = stayers.map((entry): ServerChange => {
      const named = byName.get(entry.name)!
      const isSame = PoolPlan.isSame(named.settings, PoolPlan.settingsOf(entry))
      named.entry = entry
      named.settings = PoolPlan.settingsOf(entry)
      pins.set(entry.name, named.settings.pin)
      if (!isSame) named.server.pinsChanged()
      return { server: entry.name, outcome: isSame ? "unchanged" : "changed", reason: null }
    })
    if (movers.length === 0) return stayed
    const server = present ?? (yield* held.open(leader, logOf(movers)))
    yield* Effect.forEach(movers, (entry) => warnOfOthersSettings(entry, present?.names[0] ?? leader.name, server), {
      discard: true
    })

    const added = new Set(movers.filter(({ name }) => !byName.has(name)).map(({ name }) => name))
    const changeOf = ({ name }: ServerEntry, server: PooledServer.PooledServer): ServerChange => {
      const state = server.state()
      const isWell = state !== "failed" && state !== "crash-loop" && state !== "restarting"
      const reason = isWell ? null : (server.failures().at(-1)?.message ?? `it is ${state}`)
      return { server: name, outcome: added.has(name) ? "added" : "changed", reason }
    }
    const takeOver = (server: PooledServer.PooledServer) =>
      Effect.uninterruptible(Effect.forEach(movers, (entry) => attach(entry, server, isConfigured), { discard: true }))
    const changes = (server: PooledServer.PooledServer) => [
      ...stayed,
      ...movers.map((entry) => changeOf(entry, server))
    ]
    if (!movers.some(({ name }) => isServed(name))) {
      const isWanted = start && movers.some(({ name }) => added.has(name) || isOn(name))
      // Before they come, so that what waits with them goes on waiting.
      const starting = yield* Effect.forkChild(isWanted ? server.begin : Effect.void, { startImmediately: true })
      if (server.settings.sharing.policy === "per-session") yield* Fiber.join(starting)
      yield* takeOver(server)
      yield* Fiber.join(starting)
      return changes(server)
    }
    yield* server.start
    const isReady = yield* server.proven
    // It may have been stopped by hand meanwhile, and then stays so.
    const isWanted = server.names.length > 0 || movers.some(({ name }) => added.has(name) || isOn(name))
    if (isReady || !isWanted) {
      const twin = isReady && isWanted ? yield* readyTwinOf(server) : undefined
      yield* takeOver(twin ?? server)
      if (!isWanted) yield* server.stop
      held.release(server)
      return changes(twin ?? server)
    }
    const failure = server.failures().at(-1) ?? null
    const kept = yield* Effect.forEach(
      movers,
      Effect.fnUntraced(function* (entry): Effect.fn.Return<ServerChange> {
        const { name } = entry
        const named = byName.get(name)
        if (named === undefined || !isServed(name)) {
          yield* attach(entry, server, isConfigured)
          return changeOf(entry, server)
        }
        if (failure !== null) named.failuresBefore = [...named.failuresBefore, failure].slice(-maxFailures)
        onChange(yield* stepOf(name, "running", named.server, failure))
        return { server: name, outcome: "kept", reason: failure === null ? "it does not start" : explained(failure) }
      })
    )
    if (server.names.length === 0) yield* held.end(server)
    return [...stayed, ...kept]
  })

  /** Some name may have got such a process while this one, which nobody has, was started: then that serves all. */
  const readyTwinOf = Effect.fnUntraced(function* (
    server: PooledServer.PooledServer
  ): Effect.fn.Return<PooledServer.PooledServer | undefined> {
    const twin = held.twinOf(server)
    if (twin === undefined || server.names.length > 0 || !isSameButStart(twin.settings, server.settings))
      return undefined
    yield* twin.start
    // It may have lost its last name since.
    return (yield* twin.proven) && held.twinOf(server) === twin ? twin : undefined
  })

  /** The log goes on where the names that it tells of take all their server's place. */
  const logOf = (movers: ReadonlyArray<ServerEntry>) => {
    const moving = new Set(movers.map(({ name }) => name))
    for (const { name } of movers) {
      const server = byName.get(name)?.server
      if (server?.names.every((name) => moving.has(name)) === true) return server.log
    }
    return undefined
  }

  const warnOfOthersSettings = (entry: ServerEntry, leader: string, server: PooledServer.PooledServer) =>
    isSameButStart(server.settings, PoolPlan.settingsOf(entry))
      ? Effect.void
      : Effect.logWarning(
          `${entry.name} is the same process as ${leader}: the pool settings of ${leader} hold for both`
        )

  /** Once it has begun it is done, whoever asked for it; it ends with the pool. */
  const toItsEnd = <A>(effect: Effect.Effect<A>): Effect.Effect<A> =>
    Effect.flatMap(Effect.forkIn(Effect.provide(effect, context), scope, { startImmediately: true }), Fiber.join)

  const vacate = Effect.fnUntraced(function* (named: NamedServer) {
    byName.delete(named.name)
    renamed()
    const over = () => {
      if (named.removed.isOpen()) return
      named.removed.openUnsafe()
      options.onRemoved(named)
      run(Scope.close(named.scope, Exit.void))
      if (byName.has(named.name)) return
      account.forget(named.name)
      pins.forget(named.name)
    }
    // Nobody's call may keep its sessions open for ever.
    run(Effect.andThen(Effect.sleep(HeldServers.patience), Effect.sync(over)))
    move(named, named.server, Vacancy.make(named.name, account), over)
    yield* Effect.logInfo(`${named.name} is no longer configured`).pipe(Effect.annotateLogs({ server: named.name }))
  })

  const misconfigured = (entry: ServerEntry): ServerChange | null => {
    const named = byName.get(entry.name)
    if (entry._tag !== "Misconfigured" || named === undefined) return null
    const { entry: before } = named
    if (before._tag === "Misconfigured" && before.error.message === entry.error.message) {
      return { server: entry.name, outcome: "unchanged", reason: null }
    }
    return isServed(entry.name) ? { server: entry.name, outcome: "kept", reason: entry.error.message } : null
  }

  const change = Effect.fnUntraced(function* (
    entries: ReadonlyArray<ServerEntry>,
    how: { readonly isConfigured: boolean; readonly start: boolean }
  ) {
    const asTheyAre = entries.flatMap((entry) => misconfigured(entry) ?? [])
    const settled = new Set(asTheyAre.map(({ server }) => server))
    const groups = PoolPlan.group(
      entries.filter(({ name }) => !settled.has(name)),
      held.ofProcess
    )
    const changed = yield* Effect.forEach(groups, (group) => settle(group, how), { concurrency: "unbounded" })
    return new Map([...asTheyAre, ...changed.flat()].map((change) => [change.server, change]))
  })

  const reload = Effect.fnUntraced(function* (entries: ReadonlyArray<ServerEntry>) {
    const wanted = new Set(entries.map(({ name }) => name))
    const removed = [...byName.values()].filter(({ isConfigured, name }) => isConfigured && !wanted.has(name))
    yield* Effect.forEach(removed, vacate, { discard: true })
    const isTaken = ({ name }: ServerEntry) => byName.get(name)?.isConfigured === false
    const changes = yield* change(
      entries.filter((entry) => !isTaken(entry)),
      { isConfigured: true, start: true }
    )
    // In the order of the configuration, then what others put.
    const inOrder = [...entries.map(({ name }) => name), ...byName.keys()]
    byName = new Map(inOrder.flatMap((name) => (byName.has(name) ? [[name, byName.get(name)!]] : [])))
    renamed()
    const taken = { outcome: "kept", reason: "a project's server has this address" } as const
    return [
      ...entries.map(({ name }): ServerChange => changes.get(name) ?? { server: name, ...taken }),
      ...removed.map(({ name }): ServerChange => ({ server: name, outcome: "removed", reason: null }))
    ]
  })

  const put = Effect.fnUntraced(function* (entry: ServerEntry, start: boolean) {
    const { name } = entry
    if (byName.get(name)?.isConfigured === true) {
      return { server: name, outcome: "kept", reason: "the configuration has a server of this name" } as const
    }
    const changes = yield* change([entry], { isConfigured: false, start })
    return changes.get(name)!
  })

  yield* change(entries, { isConfigured: true, start: false })
  byName = new Map(entries.map(({ name }) => [name, byName.get(name)!]))
  renamed()

  return {
    names: () => names,
    get: (name) => byName.get(name),
    all: () => byName.values(),
    servers: () => [...new Set(Array.from(byName.values(), ({ server }) => server))],
    put: (entry, options) => {
      const putting = put(entry, options?.start !== false)
      // What is new waits for nobody.
      return toItsEnd(Effect.suspend(() => (byName.has(entry.name) ? onePut.withPermits(1)(putting) : putting)))
    },
    remove: (name) =>
      Effect.suspend(() => {
        const named = byName.get(name)
        if (named === undefined) return Effect.succeed(false)
        return vacate(named).pipe(Effect.uninterruptible, Effect.provide(context), Effect.as(true))
      }),
    reload: (entries) => toItsEnd(oneReload.withPermits(1)(Effect.suspend(() => reload(entries)))),
    stop: ({ before, server }) =>
      Effect.forEach([server, ...[...before].filter(({ names }) => names.length === 0)], ({ stop }) => stop, {
        concurrency: "unbounded",
        discard: true
      }),
    stopAll: held.stopAll
  }
})

/** A project's starts with the first call, whatever the others do: nobody need be told. */
const isSameButStart = (a: PoolSettings, b: PoolSettings): boolean =>
  PoolPlan.isSameSupervision(a, { ...b, start: a.start })

const maxFailures = 20
