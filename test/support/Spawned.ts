/** The processes that this process starts, as they start. */
import { Effect, Queue, type Scope } from "effect"
import type { ChildProcess } from "node:child_process"
import { subscribe, unsubscribe } from "node:diagnostics_channel"

/** The pid of each that carries the marker, from now on. */
export const watch = Effect.fnUntraced(function* (
  marker: string
): Effect.fn.Return<Queue.Dequeue<number>, never, Scope.Scope> {
  const pids = yield* Queue.unbounded<number>()
  const onProcess = (message: unknown) => {
    const { process: child } = message as { readonly process: ChildProcess }
    // Its pid is known once `spawn` has returned.
    queueMicrotask(() => {
      const isOurs = child.spawnargs.some((arg) => arg.includes(marker))
      if (isOurs && child.pid !== undefined) Queue.offerUnsafe(pids, child.pid)
    })
  }
  yield* Effect.acquireRelease(
    Effect.sync(() => subscribe("child_process", onProcess)),
    () => Effect.sync(() => unsubscribe("child_process", onProcess))
  )
  return pids
})
