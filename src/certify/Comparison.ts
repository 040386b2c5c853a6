/**
 * What differs between answers to the same calls, apart from what differs by itself. An answer is compared leaf by leaf,
 * JSON within texts included; where texts vary, word by word. Pure.
 */

/** A place in an answer where it is one thing without the other client, each time, and another with it, each time. */
export interface Difference {
  /** Such as `result.content[0].text.count`; `length` of a list stands for itself. */
  readonly path: string
  /** JSON texts, bounded; null where there is nothing. */
  readonly before: string | null
  readonly after: string | null
}

/** The leaves of a value by their paths. */
export type Leaves = ReadonlyMap<string, string>

/** What is the same in all of `before`, and differs from it in each of `after`; at most `maxDifferences`. */
export const differences = (
  before: ReadonlyArray<unknown>,
  after: ReadonlyArray<unknown>
): ReadonlyArray<Difference> => {
  if (before.length === 0 || after.length === 0) return []
  const [first, ...others] = before.map(leavesOf) as [Leaves, ...Array<Leaves>]
  const changed = after.map(leavesOf)
  const paths = new Set([first, ...others, ...changed].flatMap((leaves) => [...leaves.keys()]))
  const found: Array<Difference> = []
  for (const path of paths) {
    const was = [first, ...others].map((leaves) => leaves.get(path) ?? null)
    const is = changed.map((leaves) => leaves.get(path) ?? null)
    if (!differs(was, is) || isInVaryingList(path, [first, ...others])) continue
    const [before, after] = around(was[0]!, is[0]!)
    found.push({ path: excerpt(path, 0), before, after })
  }
  return found.sort((a, b) => dullness(a) - dullness(b)).slice(0, maxDifferences)
}

/** How long a list is says less than what is in it, and what is missing less than what is there. */
const dullness = ({ after, before, path }: Difference): number =>
  path.endsWith(".length") ? 3 : after === null ? 2 : before === null ? 1 : 0

/** Where a word stands in a value, in whatever case; null where it does not. */
export const placeOf = (value: unknown, word: string): { readonly path: string; readonly text: string } | null => {
  for (const [path, text] of leavesOf(value)) {
    const at = text.toLowerCase().indexOf(word)
    if (at !== -1) return { path: excerpt(path, 0), text: excerpt(text, at) }
  }
  return null
}

/** A value's leaves: what is no list and no object, and the length of each list. Bounded. */
export const leavesOf = (value: unknown): Leaves => {
  const leaves = new Map<string, string>()
  const visit = (value: unknown, path: string, depth: number): void => {
    if (leaves.size >= maxLeaves) return
    if (typeof value === "string") {
      const parsed = depth < maxDepth ? structure(value) : undefined
      if (parsed !== undefined) return visit(parsed, path, depth + 1)
      leaves.set(path, JSON.stringify(value))
    } else if (typeof value !== "object" || value === null || depth >= maxDepth) {
      leaves.set(path, typeof value === "object" && value !== null ? tooDeep : String(value))
    } else if (Array.isArray(value)) {
      leaves.set(`${path}.length`, String(value.length))
      for (const [index, item] of value.entries()) visit(item, `${path}[${index}]`, depth + 1)
    } else {
      for (const [key, item] of Object.entries(value)) visit(item, path === "" ? key : `${path}.${key}`, depth + 1)
    }
  }
  visit(value, "", 0)
  return leaves
}

/** A text that is JSON of an object or a list, as many servers answer. */
const structure = (text: string): unknown => {
  if (!/^\s*[[{]/.test(text) || text.length > maxText) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const differs = (was: ReadonlyArray<string | null>, is: ReadonlyArray<string | null>): boolean => {
  const [first] = was
  if (was.every((text) => text === first)) return is.every((text) => text !== first)
  // It varies by itself: as a whole, or only some of its words.
  const before = was.map(words)
  const after = is.map(words)
  const [model] = before
  if (before.some((words) => words === null || words.length !== model!.length) || model === null) return false
  if (after.some((words) => words === null)) return false
  if (after.every((words) => words!.length !== model!.length)) return true
  return model!.some(
    (word, index) =>
      before.every((words) => words![index] === word) &&
      after.every((words) => words!.length === model!.length && words![index] !== word)
  )
}

/** Runs of letters, runs of digits, and what is between them. Null where there are too many. */
const words = (text: string | null): ReadonlyArray<string> | null => {
  if (text === null || text.length > maxText) return null
  const words = text.match(/\p{L}+|\p{N}+|[^\p{L}\p{N}]/gu) ?? []
  return words.length > maxWords ? null : words
}

/** Whether a list that it is in has now more items and now fewer, so that there is no telling which is which. */
const isInVaryingList = (path: string, before: ReadonlyArray<Leaves>): boolean => {
  for (let end = path.lastIndexOf("["); end !== -1; end = path.lastIndexOf("[", end - 1)) {
    const length = `${path.slice(0, end)}.length`
    if (new Set(before.map((leaves) => leaves.get(length))).size > 1) return true
    if (end === 0) break
  }
  return false
}

/** Both from a little before where they begin to differ. */
const around = (before: string | null, after: string | null): readonly [string | null, string | null] => {
  if (before === null || after === null) {
    return [before === null ? null : excerpt(before, 0), after === null ? null : excerpt(after, 0)]
  }
  let at = 0
  while (at < before.length && before[at] === after[at]) at++
  return [excerpt(before, at), excerpt(after, at)]
}

const excerpt = (text: string, at: number): string => {
  if (text.length <= maxShown) return text
  const from = Math.max(0, Math.min(at - leading, text.length - maxShown))
  const to = from + maxShown
  return `${from > 0 ? "…" : ""}${text.slice(from, to)}${to < text.length ? "…" : ""}`
}

/** Of one answer. */
const maxDifferences = 4
/** Characters of a value that are shown, and of those before the difference. */
const maxShown = 80
const leading = 20
const maxDepth = 24
const tooDeep = "…"
const maxLeaves = 20_000
/** Characters of a text that is looked into. */
const maxText = 1024 * 1024
const maxWords = 4000
