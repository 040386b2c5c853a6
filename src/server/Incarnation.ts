/** A process that is ready, the scope that ends it, and what tells that it has ended or is as good as dead. */
import { Clock, Deferred, Effect, Exit, Scope } from "effect"
import type { ServerSpec } from "../config/ServerSpec.ts"
import type { ProbeFailed } from "../PoolError.ts"
import * as HealthProbe from "./HealthProbe.ts"
import * as ProcessTable from "./ProcessTable.ts"
import type { Reaper } from "./Reaper.ts"
import type { ServerLog } from "./ServerLog.ts"
import * as ServerProcess from "./ServerProcess.ts"

export interface Incarnation {
  readonly process: ServerProcess.ServerProcess
  readonly scope: Scope.Closeable
  /** Fails when the process has ended, or has answered no health probe. */
  readonly ended: Effect.Effect<never, ServerProcess.Failed | ProbeFailed>
  /** Probes it, where its server is probed, as long as it lives. */
  readonly probe: (options: Pick<HealthProbe.HealthProbeOptions, "ask" | "isIdle">) => Effect.Effect<void>
}

/** Starts a process in a scope of its own within `parent`; where it fails, nothing of it is left. */
export const open = Effect.fnUntraced(function* (options: {
  readonly spec: ServerSpec
  readonly log: ServerLog
  readonly mustList: ReadonlyArray<string>
  readonly parent: Scope.Scope
  /** In place of a process that is spawned now, for whoever comes. */
  readonly beginning: ServerProcess.Beginning | undefined
}): Effect.fn.Return<Incarnation, ServerProcess.Failed, Reaper> {
  const { beginning, log, mustList, parent, spec } = options
  const scope = yield* Scope.fork(parent)
  const process = yield* ServerProcess.make(spec, log, mustList, beginning).pipe(
    Scope.provide(scope),
    Effect.onExit((exit) => (Exit.isFailure(exit) ? Scope.close(scope, exit) : Effect.void))
  )
  const readyAt = yield* Clock.currentTimeMillis
  const dead = yield* Deferred.make<never, ProbeFailed>()
  return {
    process,
    scope,
    ended: Effect.raceFirst(process.ended, Deferred.await(dead)),
    probe: ({ ask, isIdle }) => {
      const { probe } = spec.pool
      if (probe === undefined) return Effect.void
      const watch = HealthProbe.watch({
        server: spec.name,
        pid: process.pid,
        probe,
        isIdle,
        ask,
        heard: process.heard,
        cpu:
          process.pid === null
            ? Effect.succeed(0)
            : Effect.map(ProcessTable.list, (processes) => ProcessTable.usageOf(process.pid, processes).cpu),
        uptime: Effect.map(Clock.currentTimeMillis, (now) => now - readyAt)
      })
      return Effect.asVoid(Effect.forkIn(Deferred.into(watch, dead), scope))
    }
  }
})
