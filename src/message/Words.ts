/** The strings of a message that the pool looks at, decoded once and kept: methods and tools come again and again. */
import type { Line } from "../lines/LineReader.ts"
import { type Envelope, Key } from "./Envelope.ts"

/** The value of a key as a string; null where it is none. */
export const decodeString = (line: Line, envelope: Envelope, key: Key): string | null => {
  const start = envelope.start[key]!
  const end = envelope.end[key]!
  if (start < 0 || line.bytes[start] !== quote) return null
  return JSON.parse(line.bytes.toString("utf8", start, end)) as string
}

/** The method of a message that has one. */
export const methodOf = (line: Line, envelope: Envelope): string => word(line, envelope, Key.method) ?? ""

/** The tool or prompt that a request names; null where it names none. */
export const nameOf = (line: Line, envelope: Envelope): string | null =>
  envelope.has(Key.name) ? word(line, envelope, Key.name) : null

/** Whether a request has no parameters, and nothing else at length either. */
export const isWhole = (line: Line, envelope: Envelope): boolean => {
  if (line.end - line.start > maxWhole) return false
  return (
    !envelope.has(Key.params) || line.copy(envelope.start[Key.params]! + 1, envelope.end[Key.params]! - 1).trim() === ""
  )
}

/** The task that a request or a notification names, and what it says of its status. */
export const namedTask = (line: Line): { readonly taskId: string | null; readonly status: unknown } => {
  const { status, taskId } = namedIn(line)
  return { taskId: typeof taskId === "string" ? taskId : null, status }
}

const namedIn = (line: Line): { readonly taskId?: unknown; readonly status?: unknown } => {
  const { params } = JSON.parse(line.bytes.toString("utf8", line.start, line.end)) as { readonly params?: unknown }
  return typeof params === "object" && params !== null ? params : {}
}

const word = (line: Line, envelope: Envelope, key: Key): string | null => {
  const start = envelope.start[key]!
  const end = envelope.end[key]!
  const raw = line.text === null || end - start > maxLength ? line.copy(start, end) : line.text.slice(start, end)
  const known = words.get(raw)
  if (known !== undefined) return known
  const decoded = decodeString(line, envelope, key)
  // The key must be a copy: a slice would keep the whole chunk it was cut from.
  if (decoded !== null && words.size < maxWords && raw.length <= maxLength) words.set(line.copy(start, end), decoded)
  return decoded
}

const words = new Map<string, string>()
const maxWords = 4096
const maxLength = 256
/** Bytes. */
const maxWhole = 1024
const quote = 0x22
