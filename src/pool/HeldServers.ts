/**
 * The servers that a pool holds: found by their process, and ended once no name has them and nothing of its sessions is
 * under way there. Lives as long as the pool; closing its scope ends them all.
 */
import { Effect, Exit, FiberSet, type Schedule, Scope } from "effect"
import type { ServerEntry } from "../config/PoolConfig.ts"
import type { CallAccount } from "../mux/CallAccount.ts"
import type { Pins } from "../pin/Pins.ts"
import * as PooledServer from "./PooledServer.ts"
import * as PoolPlan from "./PoolPlan.ts"
import type { Reaper } from "../server/Reaper.ts"
import type { Ended } from "../server/RestartPolicy.ts"
import type { ServerLog } from "../server/ServerLog.ts"
import type { StateChange } from "../server/ServerState.ts"

/** What a pool runs, whatever the names. */
export interface HeldServers {
  /** Another one, which no name has and nobody finds; with the log that goes on in it. */
  readonly open: (entry: ServerEntry, log: ServerLog | undefined) => Effect.Effect<PooledServer.PooledServer>
  /** The one that runs this process, where a name has it. */
  readonly ofProcess: (process: string) => PooledServer.PooledServer | undefined
  /** Another that runs the same process, which has a name by now. */
  readonly twinOf: (server: PooledServer.PooledServer) => PooledServer.PooledServer | undefined
  /** A name has it from now on. */
  readonly take: (server: PooledServer.PooledServer, name: string) => void
  /** A name has it no more; to be called back once nothing of the name's sessions is under way there. */
  readonly leave: (server: PooledServer.PooledServer, name: string) => () => void
  /** Ends it where no name has it: at once, or when all that have left it call back, or after an hour. */
  readonly release: (server: PooledServer.PooledServer) => void
  /** Ends its processes. */
  readonly end: (server: PooledServer.PooledServer) => Effect.Effect<void>
  /** Ends all processes side by side; the servers stay. */
  readonly stopAll: Effect.Effect<void>
}

interface Held {
  readonly server: PooledServer.PooledServer
  readonly scope: Scope.Closeable
  /** Where it is to be found by those that have the same process; null where nobody can. */
  readonly process: string | null
  /** Names that have gone elsewhere, and whose sessions have something under way here. */
  leaving: number
  isEnding: boolean
}

/** None yet. */
export const make = Effect.fnUntraced(function* (options: {
  readonly restartSchedule: Schedule.Schedule<unknown, Ended> | undefined
  /** Of servers that do not say it themselves. */
  readonly start: "eager" | "lazy"
  readonly account: CallAccount
  readonly pins: Pins
  /** A step of a server, for each name that has it. */
  readonly onChange: (change: StateChange) => void
}): Effect.fn.Return<HeldServers, never, Scope.Scope | Reaper> {
  const context = yield* Effect.context<Reaper>()
  const held = new Map<PooledServer.PooledServer, Held>()
  const byProcess = new Map<string, PooledServer.PooledServer>()

  const end = (server: PooledServer.PooledServer) =>
    Effect.uninterruptible(
      Effect.suspend(() => {
        const it = held.get(server)
        if (it === undefined) return Effect.void
        it.isEnding = true
        return server.stop.pipe(
          Effect.andThen(Scope.close(it.scope, Exit.void)),
          Effect.andThen(Effect.sync(() => held.delete(server)))
        )
      })
    )
  // A scope closes what it holds one after another; servers stop side by side.
  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => Effect.forEach([...held.keys()], end, { concurrency: "unbounded", discard: true }))
  )
  const run = yield* FiberSet.makeRuntime<never>()

  const open = Effect.fnUntraced(function* (entry: ServerEntry, log: ServerLog | undefined) {
    const scope = Scope.makeUnsafe("sequential")
    const server = yield* PooledServer.make(entry, {
      restartSchedule: options.restartSchedule,
      start: options.start,
      account: options.account,
      pins: options.pins,
      log,
      onChange: (change, names) => {
        for (const name of names) options.onChange({ ...change, server: name })
      }
    }).pipe(Scope.provide(scope), Effect.provide(context))
    const process = entry._tag === "Configured" ? PoolPlan.processOf(entry.spec) : null
    held.set(server, { server, scope, process, leaving: 0, isEnding: false })
    return server
  })

  const release = (server: PooledServer.PooledServer) => {
    const it = held.get(server)
    if (it === undefined || it.isEnding || server.names.length > 0) return
    if (it.process !== null && byProcess.get(it.process) === server) byProcess.delete(it.process)
    if (it.leaving === 0) run(end(server))
    else
      run(
        Effect.andThen(
          Effect.sleep(patience),
          Effect.suspend(() => (it.isEnding ? Effect.void : end(server)))
        )
      )
  }

  return {
    open,
    ofProcess: (process) => byProcess.get(process),
    twinOf: (server) => {
      const process = held.get(server)?.process ?? null
      const twin = process === null ? undefined : byProcess.get(process)
      return twin === server ? undefined : twin
    },
    take: (server, name) => {
      const process = held.get(server)?.process ?? null
      if (process !== null) byProcess.set(process, server)
      server.names.push(name)
    },
    leave: (server, name) => {
      const it = held.get(server)
      server.names.splice(server.names.indexOf(name), 1)
      if (it !== undefined) it.leaving++
      return () => {
        if (it !== undefined) it.leaving--
        release(server)
      }
    },
    release,
    end,
    stopAll: Effect.suspend(() =>
      Effect.forEach([...held.keys()], ({ stop }) => stop, { concurrency: "unbounded", discard: true })
    )
  }
})

/** How long what was replaced or removed may take to answer what it has. */
export const patience = "1 hour"
