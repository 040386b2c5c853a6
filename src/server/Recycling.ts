/** When a process that does its work is replaced all the same: it has grown too large, or too old. */
import { Clock, Duration, Effect } from "effect"
import type { PoolSettings } from "../config/ServerSpec.ts"
import * as ProcessTable from "./ProcessTable.ts"

/** Returns with the reason when a process is due, at once where it is too old already; never where it has no limits. */
export const due = (
  { maxAge, maxMemory }: Pick<PoolSettings, "maxAge" | "maxMemory">,
  process: { readonly pid: number | null; readonly startedAt: number }
): Effect.Effect<"age" | "memory"> =>
  Effect.raceFirst(
    maxAge === undefined ? Effect.never : Effect.as(olderThan(maxAge, process.startedAt), "age" as const),
    maxMemory === undefined || process.pid === null
      ? Effect.never
      : Effect.as(largerThan(maxMemory, process.pid), "memory" as const)
  )

const olderThan = Effect.fnUntraced(function* (age: Duration.Duration, startedAt: number) {
  const now = yield* Clock.currentTimeMillis
  yield* Effect.sleep(Math.max(0, startedAt + Duration.toMillis(age) - now))
})

const largerThan = Effect.fnUntraced(function* (bytes: number, group: number) {
  do yield* Effect.sleep(memoryInterval)
  while (ProcessTable.usageOf(group, yield* ProcessTable.list).memory <= bytes)
})

/** How often memory is looked at. */
const memoryInterval = "5 seconds"
