/**
 * What ends servers when the daemon cannot run its finalizers any more. While JavaScript still runs, each guarded process
 * group gets SIGKILL as this process exits; a helper that outlives it ends what is left, and what carries this pool's
 * marker; what even that one could not end is recorded, and ended by the next pool. Lives as long as the pool.
 */
import { Context, Effect, Layer } from "effect"
import * as fs from "node:fs"
import * as ProcessRecord from "./ProcessRecord.ts"
import * as ProcessTable from "./ProcessTable.ts"
import * as Undertaker from "./Undertaker.ts"

export type { Marker } from "./ProcessTable.ts"

export class Reaper extends Context.Service<
  Reaper,
  {
    /** A marker for one more process, never given twice. Once it is there, the helper runs. */
    readonly mark: Effect.Effect<ProcessTable.Marker>
    /** Guards a process group, and what carries its marker, from its start … */
    readonly guard: (group: number, marker: ProcessTable.Marker) => Effect.Effect<void>
    /** … until it is known to be gone. */
    readonly release: (group: number) => Effect.Effect<void>
    /** Where this pool records its processes; null where nothing is recorded. */
    readonly directory: string | null
  }
>()("effect-mcp-pool/server/Reaper") {}

/** With a directory, ends what an earlier pool that used it left behind, and records there what this one starts. */
export const layer = (options: { readonly directory?: string | undefined } = {}): Layer.Layer<Reaper> =>
  Layer.effect(
    Reaper,
    Effect.gen(function* () {
      const random = randomHex()
      const groups = new Set<number>()
      const record = yield* ProcessRecord.make({ directory: options.directory, marker: random, groups })
      const say = Effect.runSyncWith(yield* Effect.context<never>())
      const undertaker = Undertaker.make({
        marker: `${ProcessTable.markerVariable}=${random}-`,
        groups,
        onLoss: (reason) =>
          say(Effect.logWarning(`the helper that ends servers if this process cannot is gone: ${reason}`))
      })
      let marks = 0

      const killAll = () => {
        for (const group of groups) signalGroup(group, "SIGKILL")
      }
      const end = Effect.gen(function* () {
        killAll()
        const isClean = groups.size === 0
        yield* undertaker.end(isClean ? "at once" : "after work")
        // What is still guarded may not be all that is left: the next pool looks, and clears the session files.
        if (isClean) record.remove()
        else record.close()
        process.off("exit", killAll)
      })
      yield* Effect.acquireRelease(
        Effect.sync(() => process.on("exit", killAll)),
        () => end
      )
      return Reaper.of({
        mark: Effect.sync(() => {
          record.begin()
          undertaker.start()
          marks += 1
          return { variable: ProcessTable.markerVariable, value: `${random}-${marks}` }
        }),
        guard: (group) =>
          Effect.sync(() => {
            // To signal group 1 is to signal everybody.
            if (group <= 1) return
            groups.add(group)
            undertaker.tell("guard", group)
            record.changed()
          }),
        release: (group) =>
          Effect.sync(() => {
            groups.delete(group)
            undertaker.tell("release", group)
            record.changed()
          }),
        directory: record.directory
      })
    })
  )

/** Live processes that an earlier pool with this directory left behind, proven by marker or start; changes nothing. */
export const leftovers = (
  directory: string
): Effect.Effect<ReadonlyArray<{ readonly pid: number; readonly group: number }>> => ProcessRecord.leftovers(directory)

/** Signals a whole process group; one that is gone is no error. */
export const signalGroup = (group: number, signal: NodeJS.Signals): void => {
  try {
    process.kill(-group, signal)
  } catch {
    // It is gone, or holds only zombies.
  }
}

/** From the system itself: to load Node's cryptography would cost more than to start a server. */
const randomHex = (): string => {
  const bytes = Buffer.alloc(16)
  const file = fs.openSync("/dev/urandom", "r")
  try {
    fs.readSync(file, bytes)
  } finally {
    fs.closeSync(file)
  }
  return bytes.toString("hex")
}
