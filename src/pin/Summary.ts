/** Pins in few words. Pure. */
import type { PinSummary } from "../PoolStatus.ts"

/** What stands between a server's tools and what was accepted, on a line; null where nothing does. */
export const inWords = ({ differences, mode, trouble }: PinSummary): string | null => {
  const offered = mode === "block" ? " and not offered" : ""
  if (trouble !== null)
    return `its tools cannot be compared${mode === "block" ? ", and are not offered" : ""}: ${trouble}`
  if (differences === 0) return null
  return differences === 1
    ? `1 tool is not as it was accepted${offered}`
    : `${differences} tools are not as they were accepted${offered}`
}
