/**
 * One process of a server that was spawned and not spoken to, so that a session which needs one of its own need not wait
 * for it. It is made anew when it is taken, and ended when nobody takes it for long. Lives as long as its scope.
 */
import { Duration, Effect, Exit, Fiber, FiberSet, Scope } from "effect"
import type { ServerSpec } from "../config/ServerSpec.ts"
import type { SpawnFailed } from "../PoolError.ts"
import type { Reaper } from "./Reaper.ts"
import type { ServerLog } from "./ServerLog.ts"
import * as ServerProcess from "./ServerProcess.ts"
import type { Transport } from "./Transport.ts"

export interface Stock {
  /** Spawns one, where there is none. */
  readonly fill: Effect.Effect<void, SpawnFailed>
  /** The one that is there, or one that is spawned now; it ends with the taker's scope. Another is made for the next. */
  readonly take: Effect.Effect<Transport, SpawnFailed, Scope.Scope>
  /** Ends what is there. */
  readonly drain: Effect.Effect<void>
}

interface Item {
  readonly transport: Transport
  readonly scope: Scope.Closeable
}

export const make = Effect.fnUntraced(function* (
  spec: ServerSpec,
  log: ServerLog
): Effect.fn.Return<Stock, never, Reaper | Scope.Scope> {
  const context = yield* Effect.context<Reaper>()
  let item: Item | null = null
  /** Nothing is made by itself once it was drained. */
  let isOpen = false
  let reaping: Fiber.Fiber<void> | null = null

  const acquire = Effect.gen(function* () {
    const scope = yield* Scope.make()
    const transport = yield* ServerProcess.acquire(spec, log).pipe(Scope.provide(scope), Effect.provide(context))
    return { transport, scope }
  })
  const end = ({ scope }: Item) => Scope.close(scope, Exit.void)
  const endIdle = Effect.suspend(() => {
    const left = item
    item = null
    return left === null ? Effect.void : end(left)
  })
  const drain = Effect.suspend(() => {
    isOpen = false
    return endIdle
  })
  // Last of all: what is being made when the scope closes is ended too.
  yield* Effect.addFinalizer(() => drain)
  const run = yield* FiberSet.makeRuntime<never>()
  const refill = Effect.gen(function* () {
    if (item !== null || !isOpen) return
    const made = yield* acquire
    // Another may have been made meanwhile, or none is wanted any more.
    if (item !== null || !isOpen) return yield* end(made)
    item = made
    if (reaping !== null) yield* Fiber.interrupt(reaping)
    reaping = run(Effect.andThen(Effect.sleep(idleTime), endIdle))
  }).pipe(Effect.uninterruptible)

  return {
    fill: Effect.suspend(() => {
      isOpen = true
      return refill
    }),
    take: Effect.uninterruptible(
      Effect.gen(function* () {
        const found = item
        item = null
        const isAlive = found !== null && !found.transport.isOver()
        if (found !== null && !isAlive) run(end(found))
        const taken = found !== null && isAlive ? found : yield* acquire
        yield* Effect.addFinalizer(() => end(taken))
        run(Effect.ignore(refill))
        return taken.transport
      })
    ),
    drain
  }
})

/** How long one waits for a session. */
const idleTime = Duration.minutes(10)
