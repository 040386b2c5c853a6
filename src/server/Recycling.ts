/** When a process that does its work is replaced all the same: it has grown too large, or too old. */
import { Effect } from "effect"
import type { PoolSettings } from "../config/ServerSpec.ts"
import * as ProcessTable from "./ProcessTable.ts"

/** Returns with the reason when a process (the leader of its group) is due; never where it has no limits. */
export const due = (
  { maxAge, maxMemory }: Pick<PoolSettings, "maxAge" | "maxMemory">,
  group: number
): Effect.Effect<"age" | "memory"> =>
  Effect.raceFirst(
    maxAge === undefined ? Effect.never : Effect.as(Effect.sleep(maxAge), "age" as const),
    maxMemory === undefined ? Effect.never : Effect.as(largerThan(maxMemory, group), "memory" as const)
  )

const largerThan = Effect.fnUntraced(function* (bytes: number, group: number) {
  do yield* Effect.sleep(memoryInterval)
  while (ProcessTable.usageOf(group, yield* ProcessTable.list).memory <= bytes)
})

/** How often memory is looked at. */
const memoryInterval = "5 seconds"
