/**
 * What ends servers when the daemon cannot run its finalizers any more: on any exit of this process that JavaScript still
 * sees, each guarded process group gets SIGKILL. Lives as long as the pool.
 */
import { Context, Effect, Layer } from "effect"

export class Reaper extends Context.Service<
  Reaper,
  {
    /** Guards a process group from its start … */
    readonly guard: (group: number) => Effect.Effect<void>
    /** … until it is known to be gone. */
    readonly release: (group: number) => Effect.Effect<void>
  }
>()("effect-mcp-pool/server/Reaper") {}

export const layer: Layer.Layer<Reaper> = Layer.effect(
  Reaper,
  Effect.gen(function* () {
    const groups = new Set<number>()
    const killAll = () => {
      for (const group of groups) signalGroup(group, "SIGKILL")
    }
    yield* Effect.acquireRelease(
      Effect.sync(() => process.on("exit", killAll)),
      () => Effect.sync(() => process.off("exit", killAll))
    )
    return Reaper.of({
      guard: (group) => Effect.sync(() => void groups.add(group)),
      release: (group) => Effect.sync(() => void groups.delete(group))
    })
  })
)

/** Signals a whole process group; one that is gone is no error. */
export const signalGroup = (group: number, signal: NodeJS.Signals): void => {
  try {
    process.kill(-group, signal)
  } catch {
    // It is gone, or holds only zombies.
  }
}
