/** How much memory this process keeps alive, garbage not counted. */
import { Effect } from "effect"
import * as v8 from "node:v8"
import * as vm from "node:vm"

const collect = (): void => {
  v8.setFlagsFromString("--expose-gc")
  const gc = vm.runInNewContext("gc") as () => void
  gc()
  gc()
}

/** Bytes of the heap and of buffers outside it. */
export const live: Effect.Effect<number> = Effect.sync(() => {
  collect()
  const { external, heapUsed } = process.memoryUsage()
  return heapUsed + external
})
