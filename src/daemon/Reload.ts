/**
 * Reads the configuration again, while everything runs, and makes the servers and their sockets what it says now. Lives as
 * long as the daemon.
 */
import { Context, Effect, Layer, type Scope, Semaphore } from "effect"
import type { PoolConfig } from "../config/PoolConfig.ts"
import * as UnixListener from "../listen/UnixListener.ts"
import { McpPool } from "../McpPool.ts"
import type { ConfigFileError, ServerConfigError } from "../PoolError.ts"
import type { ReloadReport, ServerChange } from "../PoolStatus.ts"

/** Puts servers beside the configuration's own, and looks again whether they are as it says now. */
export type Reloader = (config: PoolConfig) => Effect.Effect<ReadonlyArray<ServerChange>>

/** The configuration of a daemon that runs. */
export class Reload extends Context.Service<
  Reload,
  {
    /**
     * Reads the files, and fails where one does not decode: then nothing changes. Tells of each server what became of it,
     * once those that start have run or failed. One at a time.
     */
    readonly reload: Effect.Effect<ReloadReport, ConfigFileError | ServerConfigError>
    /** Runs with each reload, after the configuration's own servers are changed, until the scope closes. */
    readonly register: (reloader: Reloader) => Effect.Effect<void, never, Scope.Scope>
  }
>()("effect-mcp-pool/daemon/Reload") {}

/** Where the configuration comes from. */
export interface Options {
  /** As it was read when the daemon started. */
  readonly config: PoolConfig
  /** Reads it. */
  readonly read: Effect.Effect<PoolConfig, ConfigFileError | ServerConfigError>
}

/** Of the pool and the listener in the context. */
export const make = Effect.fnUntraced(function* ({ config, read }: Options) {
  const pool = yield* McpPool
  const listener = yield* UnixListener.UnixListener
  const oneAtATime = yield* Semaphore.make(1)
  const reloaders = new Set<Reloader>()

  const reload = Effect.gen(function* () {
    const next = yield* read
    const changes = yield* Effect.uninterruptible(
      Effect.gen(function* () {
        const own = yield* pool.reload(next.servers)
        const others = yield* Effect.forEach(reloaders, (reloader) => reloader(next))
        const changes = [...own, ...others.flat()]
        const problems = (yield* listener.update).map(({ message }) => message)
        return { servers: changes, problems }
      })
    )
    const warnings = [
      ...next.warnings,
      ...(next.audit === config.audit ? [] : ["pool.audit is another: it takes effect when the daemon starts again"])
    ]
    yield* Effect.forEach([...warnings, ...changes.problems], (line) => Effect.logWarning(line))
    const summary = summaryOf(changes.servers)
    if (summary !== null) yield* Effect.logInfo(summary)
    return { ...changes, warnings }
  }).pipe(oneAtATime.withPermits(1))

  return Reload.of({
    reload,
    register: (reloader) =>
      Effect.acquireRelease(
        Effect.sync(() => reloaders.add(reloader)),
        () => Effect.sync(() => reloaders.delete(reloader))
      )
  })
})

/** The same as a layer. */
export const layer = (options: Options): Layer.Layer<Reload, never, McpPool | UnixListener.UnixListener> =>
  Layer.effect(Reload, make(options))

/** Null where all is as before. */
const summaryOf = (changes: ReadonlyArray<ServerChange>): string | null => {
  const counts = new Map<string, number>()
  for (const { outcome } of changes) counts.set(outcome, (counts.get(outcome) ?? 0) + 1)
  if (counts.size === 0 || (counts.size === 1 && counts.has("unchanged"))) return null
  return `reloaded: ${Array.from(counts, ([outcome, count]) => `${count} ${outcome}`).join(", ")}`
}
