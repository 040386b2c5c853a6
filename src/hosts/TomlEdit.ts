/**
 * Smallest changes to the tables of a TOML file: what is not asked for stays as it is, byte for byte. Pure, and for text
 * that parses: who calls checks the result with a reader of TOML. https://toml.io/en/v1.0.0
 */
import type { Changes } from "./JsonEdit.ts"

/** The text of a file with some keys of one table changed; undefined where the table is written in a way that is not known. */
export const setKeys = (text: string, table: ReadonlyArray<string>, changes: Changes): string | undefined => {
  const all = statements(text)
  if (all === undefined) return undefined
  const whole = all.find(({ isTable, path }) => !isTable && isEqual(path, table))
  if (whole !== undefined) return setInline(text, whole, changes)
  const own = all.filter(({ path }) => path.length > table.length && isEqual(path.slice(0, table.length), table))
  const splices: Array<Splice> = []
  let previous: Statement | undefined
  for (const [key, value] of changes) {
    const found = own.filter(({ path }) => path[table.length] === key)
    if (value === undefined) {
      splices.push(...found.map((statement) => ({ ...wholeLines(text, statement), by: "" })))
      continue
    }
    const [pair, ...others] = found
    if (pair === undefined) {
      if (previous === undefined) return undefined
      const from = startOfLine(text, previous.start)
      const indent = text.slice(from, previous.start)
      if (indent.trim() !== "") return undefined
      const name = `${text.slice(previous.start, previous.lastKey)}${tomlKey(key)}`
      const to = endOfLine(text, previous.end)
      splices.push({ from: to, to, by: `${eolOf(text)}${indent}${name} = ${tomlValue(value)}` })
    } else if (pair.isTable || others.length > 0 || pair.path.length !== table.length + 1) return undefined
    else splices.push({ from: pair.valueStart, to: pair.end, by: tomlValue(value) })
    previous = pair ?? previous
  }
  // From the end of the text; at one place the last comes first, so that all stand there in their order.
  return splices
    .toReversed()
    .sort((a, b) => b.from - a.from)
    .reduce((result, { by, from, to }) => result.slice(0, from) + by + result.slice(to), text)
}

/** A key, quoted where TOML wants it. */
export const tomlKey = (key: string): string => (/^[A-Za-z0-9_-]+$/.test(key) ? key : tomlString(key))

/** A value on one line: of texts, numbers and booleans, in lists and tables. */
export const tomlValue = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(tomlValue).join(", ")}]`
  if (typeof value !== "object" || value === null) {
    return typeof value === "string" ? tomlString(value) : String(value)
  }
  const pairs = Object.entries(value).map(([key, item]) => `${tomlKey(key)} = ${tomlValue(item)}`)
  return `{ ${pairs.join(", ")} }`
}

/** A basic string: JSON's escapes are TOML's, but for DEL, which TOML wants escaped. */
const tomlString = (text: string): string => JSON.stringify(text).replaceAll("\x7f", "\\u007f")

interface Splice {
  readonly from: number
  readonly to: number
  readonly by: string
}

/** A header, or a key with its value. */
interface Statement {
  readonly isTable: boolean
  /** From the root. */
  readonly path: ReadonlyArray<string>
  readonly start: number
  /** Where the last part of its key begins. */
  readonly lastKey: number
  /** Of a value; of a header where it ends. */
  readonly valueStart: number
  readonly end: number
}

const isEqual = (a: ReadonlyArray<string>, b: ReadonlyArray<string>): boolean =>
  a.length === b.length && a.every((part, i) => part === b[i])

const statements = (text: string): ReadonlyArray<Statement> | undefined => {
  const found: Array<Statement> = []
  let table: ReadonlyArray<string> = []
  let at = skip(text, 0)
  while (at < text.length) {
    const start = at
    if (text[at] === "[") {
      const double = text[at + 1] === "[" ? 2 : 1
      const key = readKey(text, blanks(text, at + double))
      if (key === undefined) return undefined
      at = blanks(text, key.end) + double
      // A list of tables is nobody's to change, and its tables are no others'.
      table = double === 2 ? [...key.path, listed] : key.path
      found.push({ isTable: true, path: table, start, lastKey: key.last, valueStart: at, end: at })
    } else {
      const pair = readPair(text, at)
      if (pair === undefined) return undefined
      found.push({ ...pair, path: [...table, ...pair.path] })
      at = pair.end
    }
    at = skip(text, at)
  }
  return found
}

/** No key that a file can have. */
const listed = "\0list"

const readPair = (text: string, start: number): Statement | undefined => {
  const key = readKey(text, start)
  if (key === undefined) return undefined
  const equals = blanks(text, key.end)
  if (text[equals] !== "=") return undefined
  const valueStart = blanks(text, equals + 1)
  const end = readValue(text, valueStart)
  return end === undefined ? undefined : { isTable: false, path: key.path, start, lastKey: key.last, valueStart, end }
}

const readKey = (text: string, start: number) => {
  const path: Array<string> = []
  let at = start
  for (;;) {
    const match = exec(/[A-Za-z0-9_-]+|"(?:[^"\\\r\n]|\\.)*"|'[^'\r\n]*'/y, text, at)
    if (match === undefined) return undefined
    path.push(keyName(match))
    const last = at
    const end = at + match.length
    const dot = blanks(text, end)
    if (text[dot] !== ".") return { path, last, end }
    at = blanks(text, dot + 1)
  }
}

const keyName = (key: string): string => {
  if (key.startsWith("'")) return key.slice(1, -1)
  if (!key.startsWith('"')) return key
  return key
    .slice(1, -1)
    .replace(/\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|x([0-9A-Fa-f]{2})|(.))/g, (_, u, U, x, one) =>
      one === undefined ? String.fromCodePoint(Number.parseInt(u ?? U ?? x, 16)) : (escapes[String(one)] ?? String(one))
    )
}

const escapes: Readonly<Record<string, string>> = { b: "\b", t: "\t", n: "\n", f: "\f", r: "\r", e: "\x1b" }

/** Where a value ends; undefined where it does not. */
const readValue = (text: string, start: number): number | undefined => {
  const string = exec(
    /"""(?:[^\\]|\\[^])*?"""(?:"{1,2}(?!"))?|'''[^]*?'''(?:'{1,2}(?!'))?|"(?:[^"\\\r\n]|\\.)*"|'[^'\r\n]*'/y,
    text,
    start
  )
  if (string !== undefined) return start + string.length
  const closing = text[start] === "[" ? "]" : text[start] === "{" ? "}" : undefined
  if (closing === undefined) {
    const bare = exec(/[^\s#,\]}]+(?: \d[^\s#,\]}]*)?/y, text, start)
    return bare === undefined ? undefined : start + bare.length
  }
  let at = skip(text, start + 1)
  while (at < text.length && text[at] !== closing) {
    const end = closing === "]" ? readValue(text, at) : readPair(text, at)?.end
    if (end === undefined) return undefined
    at = skip(text, end)
    if (text[at] === ",") at = skip(text, at + 1)
  }
  return at < text.length ? at + 1 : undefined
}

/** A table that is written on one line: what is kept of it keeps its text. */
const setInline = (text: string, statement: Statement, changes: Changes): string | undefined => {
  if (text[statement.valueStart] !== "{") return undefined
  const members: Array<{ readonly key: string; readonly text: string }> = []
  let at = skip(text, statement.valueStart + 1)
  while (text[at] !== "}") {
    const pair = readPair(text, at)
    if (pair === undefined) return undefined
    members.push({ key: pair.path[0]!, text: text.slice(pair.start, pair.end) })
    at = skip(text, pair.end)
    if (text[at] === ",") at = skip(text, at + 1)
  }
  let previous = -1
  for (const [key, value] of changes) {
    const index = members.findIndex((member) => member.key === key)
    if (value === undefined) {
      for (let i = members.length - 1; i >= 0; i--) if (members[i]!.key === key) members.splice(i, 1)
      continue
    }
    const member = { key, text: `${tomlKey(key)} = ${tomlValue(value)}` }
    if (index === -1) members.splice(previous + 1, 0, member)
    else members[index] = member
    previous = index === -1 ? previous + 1 : index
  }
  const inner = members.map((member) => member.text).join(", ")
  return `${text.slice(0, statement.valueStart)}{ ${inner} }${text.slice(statement.end)}`
}

const wholeLines = (text: string, { end, start }: Statement): { readonly from: number; readonly to: number } => {
  const lineEnd = endOfLine(text, end)
  return {
    from: startOfLine(text, start),
    to: Math.min(text.length, text.startsWith("\r\n", lineEnd) ? lineEnd + 2 : lineEnd + 1)
  }
}

const startOfLine = (text: string, at: number): number => text.lastIndexOf("\n", at - 1) + 1

const endOfLine = (text: string, at: number): number => at + (exec(/[^\r\n]*/y, text, at)?.length ?? 0)

const eolOf = (text: string): string => (/\r?\n/.exec(text)?.[0] === "\r\n" ? "\r\n" : "\n")

const blanks = (text: string, at: number): number => at + (exec(/[ \t]*/y, text, at)?.length ?? 0)

/** Behind white space and comments. */
const skip = (text: string, at: number): number => at + (exec(/(?:\s|#[^\r\n]*)*/y, text, at)?.length ?? 0)

const exec = (pattern: RegExp, text: string, at: number): string | undefined => {
  pattern.lastIndex = at
  return pattern.exec(text)?.[0]
}
