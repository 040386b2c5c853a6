/** Pins as people read them. Pure. */
import type { PinAccepted, PinDifference, PinStatus } from "../PoolStatus.ts"
import { printable, visible } from "../printable.ts"
import type { Paint } from "./Text.ts"

/** Whether all is known to be as it was accepted. */
export const isAsAccepted = ({ differences, listed, mode, pinned, trouble }: PinStatus): boolean =>
  mode !== null && trouble === null && differences.length === 0 && (pinned !== null || listed === 0) && listed !== null

/** Each server on a line, and below it what differs. */
export const pinLines = (pins: ReadonlyArray<PinStatus>, paint: Paint): ReadonlyArray<string> => {
  if (pins.length === 0) return ["no server pins its tools: see pool.pin"]
  return pins.flatMap((status) => [
    `${paint.bold(printable(status.server))}  ${stateOf(status, paint)}`,
    ...status.differences.flatMap((difference) => differenceLines(difference, paint))
  ])
}

/** What was accepted of each server, or why nothing was. */
export const acceptedLines = (done: ReadonlyArray<PinAccepted>, paint: Paint): ReadonlyArray<string> => {
  if (done.length === 0) return ["no server pins its tools: see pool.pin"]
  return done.flatMap(({ accepted, reason, status }) => {
    const name = paint.bold(printable(status.server))
    if (reason !== null) {
      const shown = status.trouble === null ? status.differences : []
      const head = `${name}  ${paint.red(`not accepted: ${printable(reason)}`)}`
      return [head, ...shown.flatMap((difference) => differenceLines(difference, paint))]
    }
    const what = accepted.length === 0 ? "is as it was accepted" : `accepted, ${status.pinned ?? 0} tools in all:`
    return [`${name}  ${what}`, ...accepted.flatMap((difference) => differenceLines(difference, paint))]
  })
}

const stateOf = ({ differences, listed, mode, pinned, trouble }: PinStatus, paint: Paint): string => {
  if (mode === null) return paint.yellow("pins nothing: pool.pin is off")
  if (trouble !== null) return paint.red(`cannot be compared: ${printable(trouble)}`)
  const count = pinned === null ? "nothing accepted yet" : `${pinned} accepted`
  if (listed === null) return `${count}, ${paint.yellow("has not listed its tools since the daemon started")}`
  if (differences.length === 0) return paint.green(`${count}, as listed`)
  return `${count}, ${listed} listed, ${paint.yellow(`${differences.length} different`)} (${mode})`
}

const differenceLines = ({ difference, lines, tool }: PinDifference, paint: Paint): ReadonlyArray<string> => {
  const style = { "+": paint.green, "-": paint.red }
  const shown = lines.map((line) => {
    const mark = /^ *([+-]) /.exec(line)?.[1] as "+" | "-" | undefined
    return `    ${mark === undefined ? line : style[mark](line)}`
  })
  return [`  ${paint.bold(visible(tool))} ${difference === "vanished" ? "is gone" : `is ${difference}`}`, ...shown]
}
