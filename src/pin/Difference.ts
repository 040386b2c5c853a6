/** How two definitions of a tool differ, in lines that a person can read. Pure. */
import { visible } from "../printable.ts"
import { canonical } from "./Definition.ts"

/**
 * What stands between two definitions: for each place that differs its path, and what stood there (`- `) and stands there
 * now (`+ `). Texts are compared line by line; nothing in them hides. Of a tool that is new or gone, `before` or `after` is
 * undefined, and all of the other is shown, each part as such. At most 80 lines, and a line that says how many more there are.
 */
export const lines = (before: unknown, after: unknown): ReadonlyArray<string> => {
  const found: Array<string> = []
  try {
    compare("", before ?? {}, after ?? {}, found)
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause
    found.push("nested too deeply to be shown")
  }
  if (found.length <= maxLines) return found
  return [...found.slice(0, maxLines), `… ${found.length - maxLines} more lines`]
}

const compare = (path: string, before: unknown, after: unknown, found: Array<string>): void => {
  if (isRecord(before) && isRecord(after)) {
    for (const key of [...new Set([...Object.keys(before), ...Object.keys(after)])].sort()) {
      const at = path === "" ? part(key) : `${path}.${part(key)}`
      compare(at, own(before, key), own(after, key), found)
    }
    return
  }
  const [old, now] = [textOf(before), textOf(after)]
  if (old === now) return
  found.push(`${path}:`)
  // As JSON where one is a text and the other is none: `1` and `"1"` would look the same.
  const areTexts = [before, after].every((value) => value === undefined || typeof value === "string")
  const linesOf = (value: unknown, json = "") => (areTexts ? String(value) : json).split("\n")
  const changes = changesOf(
    before === undefined ? [] : linesOf(before, old),
    after === undefined ? [] : linesOf(after, now)
  )
  for (const line of changes) found.push(`  ${line}`)
}

const textOf = (value: unknown): string | undefined => (value === undefined ? undefined : canonical(value, "  "))

/** Lines that went and came, between those that both have at the beginning and at the end, in their order. */
const changesOf = (before: ReadonlyArray<string>, after: ReadonlyArray<string>): ReadonlyArray<string> => {
  let start = 0
  while (start < before.length && start < after.length && before[start] === after[start]) start++
  let end = 0
  const isSame = () => before[before.length - 1 - end] === after[after.length - 1 - end]
  while (end < before.length - start && end < after.length - start && isSame()) end++
  const old = before.slice(start, before.length - end)
  const now = after.slice(start, after.length - end)
  return merged(old, now).flatMap(([went, came]) => {
    const common = went === null || came === null ? 0 : commonStart(went, came)
    return [...(went === null ? [] : [`- ${cut(went, common)}`]), ...(came === null ? [] : [`+ ${cut(came, common)}`])]
  })
}

type Change = readonly [went: string | null, came: string | null]

/** Their longest common part left out; a line that went is paired with the one that came in its place. */
const merged = (old: ReadonlyArray<string>, now: ReadonlyArray<string>): ReadonlyArray<Change> => {
  if (old.length * now.length > maxCells) return paired(old, now)
  const lengths = Array.from({ length: old.length + 1 }, () => new Uint32Array(now.length + 1))
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = now.length - 1; j >= 0; j--) {
      lengths[i]![j] =
        old[i] === now[j] ? lengths[i + 1]![j + 1]! + 1 : Math.max(lengths[i + 1]![j]!, lengths[i]![j + 1]!)
    }
  }
  const changes: Array<Change> = []
  let went: Array<string> = []
  let came: Array<string> = []
  const flush = () => {
    changes.push(...paired(went, came))
    went = []
    came = []
  }
  let [i, j] = [0, 0]
  while (i < old.length || j < now.length) {
    if (i < old.length && j < now.length && old[i] === now[j]) {
      flush()
      i++
      j++
    } else if (j >= now.length || (i < old.length && lengths[i + 1]![j]! >= lengths[i]![j + 1]!)) went.push(old[i++]!)
    else came.push(now[j++]!)
  }
  flush()
  return changes
}

const paired = (went: ReadonlyArray<string>, came: ReadonlyArray<string>): ReadonlyArray<Change> =>
  went.length === came.length
    ? went.map((line, i) => [line, came[i]!])
    : [...went.map((line): Change => [line, null]), ...came.map((line): Change => [null, line])]

/** How much two lines have in common at their beginning; a character in two units is not cut. */
const commonStart = (a: string, b: string): number => {
  let length = 0
  while (length < a.length && a[length] === b[length]) length++
  return length
}

/** A long line is shown from a little before where it differs. */
const cut = (line: string, common: number): string => {
  const from = common > context && line.length > maxLine ? common - context : 0
  const shown = visible(line.slice(from, from + maxLine))
  const left = line.length - from - maxLine
  return `${from === 0 ? "" : "… "}${shown}${left > 0 ? ` … ${left} more characters` : ""}`
}

const part = (key: string): string => {
  const shown = visible(key.slice(0, maxKey))
  return /^[\w$-]+$/.test(key) && key.length <= maxKey ? key : JSON.stringify(shown)
}

type Record = { readonly [key: string]: unknown }

const isRecord = (value: unknown): value is Record =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const own = (record: Record, key: string): unknown => (Object.hasOwn(record, key) ? record[key] : undefined)

const maxLines = 80
/** Characters of one line. */
const maxLine = 400
/** Characters before the first that differs. */
const context = 60
/** Characters. */
const maxKey = 100
/** Of a table of lines by lines; beyond it, all that went stands before all that came. */
const maxCells = 1_000_000
