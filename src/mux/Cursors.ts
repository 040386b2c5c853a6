/**
 * Cursors of lists: each belongs to the session that was given it, and to the process that gave it
 * (https://modelcontextprotocol.io/specification/2025-11-25/server/utilities/pagination). Plain synchronous code.
 */
import type { Line } from "../lines/LineReader.ts"
import type { Member } from "./Member.ts"

/** Whether a method lists something page by page. */
export const isPaged = (method: string): boolean => methods.has(method)

/** A member is given a cursor by `process`. */
export const give = (member: Member, method: string, cursor: string, process: object): void => {
  const { cursors } = member.owner
  cursors.delete(keyOf(method, cursor))
  // The oldest goes first.
  for (const key of cursors.keys()) {
    if (cursors.size < maxCursors) break
    cursors.delete(key)
  }
  cursors.set(keyOf(method, cursor), process)
}

/** Whether it was given to this member by `process`. */
export const isOf = (member: Member, method: string, cursor: string, process: object | null): boolean =>
  process !== null && member.owner.cursors.get(keyOf(method, cursor)) === process

/** The cursor that a request goes on from; null where it begins. */
export const asked = (line: Line): string | null =>
  line.bytes.subarray(line.start, line.end).includes(cursorKey) ? stringIn(line, "params", "cursor") : null

/** The cursor that an answer leads on with; null where it is the last page. */
export const given = (line: Line): string | null =>
  line.bytes.subarray(line.start, line.end).includes(nextKey) ? stringIn(line, "result", "nextCursor") : null

const stringIn = (line: Line, where: "params" | "result", key: string): string | null => {
  const message = JSON.parse(line.bytes.toString("utf8", line.start, line.end)) as {
    readonly params?: { readonly [key: string]: unknown } | null
    readonly result?: { readonly [key: string]: unknown } | null
  }
  const value = message[where]?.[key]
  return typeof value === "string" ? value : null
}

const keyOf = (method: string, cursor: string): string => `${method} ${cursor}`

const methods: ReadonlySet<string> = new Set([
  "tools/list",
  "prompts/list",
  "resources/list",
  "resources/templates/list"
])
const cursorKey = Buffer.from('"cursor"')
const nextKey = Buffer.from('"nextCursor"')
/** Of one session. */
const maxCursors = 1024
