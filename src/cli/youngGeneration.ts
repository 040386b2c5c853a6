/**
 * Keeps V8's young generation small: left alone it grows to 32 MB under load and never shrinks, for a daemon whose garbage
 * is short-lived and whose memory is everybody's.
 */
import { PerformanceObserver } from "node:perf_hooks"
import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8"

/** Lets it grow to what many calls at once make good use of, and no further. */
export const bound = (): void => {
  const observer = new PerformanceObserver(() => {
    const young = getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space")
    if (young === undefined || young.space_size < enough) return
    setFlagsFromString("--semi-space-growth-factor=1")
    observer.disconnect()
  })
  observer.observe({ entryTypes: ["gc"] })
}

/** Bytes. */
const enough = 4 * 1024 * 1024
