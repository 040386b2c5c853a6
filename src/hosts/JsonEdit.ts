/**
 * Smallest changes to the text of JSON with comments: what is not asked for stays as it is, byte for byte. Pure, and for
 * text that parses.
 */
import { findNodeAtLocation, type Node, parseTree } from "jsonc-parser"

/** Keys with what they are to be; undefined takes one away. */
export type Changes = ReadonlyArray<readonly [key: string, value: unknown]>

/** The text of an object with some of its keys changed. A new key comes behind the one that was changed before it. */
export const setKeys = (object: string, changes: Changes): string => {
  let text = object
  let previous: string | undefined
  for (const [key, value] of changes) {
    if (value === undefined) {
      text = remove(text, key)
      continue
    }
    const root = parse(text)
    const property = propertyOf(root, key)
    const [, old] = property?.children ?? []
    if (old === undefined) text = addBehind(text, root, previous, key, value)
    else text = splice(text, old.offset, old.length, inline(value, isCompact(text)))
    previous = key
  }
  return text
}

/** The text of a file with a value at a path; objects on the way are made. Nothing may be at the path yet. */
export const insert = (text: string, path: ReadonlyArray<string>, value: unknown): string => {
  const root = parse(text)
  let depth = path.length - 1
  while (depth > 0 && findNodeAtLocation(root, path.slice(0, depth)) === undefined) depth--
  const parent = depth === 0 ? root : findNodeAtLocation(root, path.slice(0, depth))!
  const nested = path.slice(depth + 1).reduceRight((inner: unknown, key) => ({ [key]: inner }), value)
  return addLast(text, parent, path[depth]!, nested)
}

/** A value on one line. */
const inline = (value: unknown, compact = false): string => {
  const [comma, colon, pad] = compact ? [",", ":", ""] : [", ", ": ", " "]
  if (Array.isArray(value)) return `[${value.map((item) => inline(item, compact)).join(comma)}]`
  if (typeof value !== "object" || value === null) return JSON.stringify(value)
  const members = Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}${colon}${inline(item, compact)}`)
  return members.length === 0 ? "{}" : `{${pad}${members.join(comma)}${pad}}`
}

const parse = (text: string): Node => parseTree(text, [], { allowTrailingComma: true })!

/** The last of that name, which is the one that counts. */
const propertyOf = (object: Node, key: string): Node | undefined =>
  object.children?.findLast(({ children }) => children?.[0]?.value === key)

const splice = (text: string, offset: number, length: number, by: string): string =>
  text.slice(0, offset) + by + text.slice(offset + length)

const end = ({ length, offset }: Node): number => offset + length

/** Whether an object is written without any white space. */
const isCompact = (text: string): boolean => /^\{"(?:[^"\\]|\\.)*":\S/.test(text)

/** Takes all of that name away, with their commas, and with their lines where they have them alone. */
const remove = (object: string, key: string): string => {
  const root = parse(object)
  const property = propertyOf(root, key)
  if (property === undefined) return object
  const index = root.children!.indexOf(property)
  const comma = skip(object, end(property))
  const hasComma = object[comma] === ","
  let from = property.offset
  let to = hasComma ? comma + 1 : end(property)
  const lineStart = object.lastIndexOf("\n", from - 1) + 1
  const rest = skipInline(object, to)
  if (object.slice(lineStart, from).trim() === "" && lineStart > 0 && isLineEnd(object, rest)) {
    from = lineStart
    to = object.indexOf("\n", rest) + 1 || object.length
  } else if (hasComma || index === 0) {
    while (object[to] === " ") to++
  } else {
    while (object[from - 1] === " ") from--
  }
  let text = splice(object, from, to - from, "")
  if (!hasComma && index > 0) {
    const before = skip(text, end(root.children![index - 1]!))
    if (text[before] === ",") text = splice(text, before, 1, "")
  }
  return remove(text, key)
}

const addBehind = (text: string, root: Node, previous: string | undefined, key: string, value: unknown): string => {
  const before = previous === undefined ? undefined : propertyOf(root, previous)
  if (before === undefined) return addLast(text, root, key, value)
  const compact = isCompact(text)
  const lineStart = text.lastIndexOf("\n", before.offset - 1) + 1
  const indent = text.slice(lineStart, before.offset)
  const isOwnLine = lineStart > 0 && indent.trim() === ""
  const gap = isOwnLine ? eolOf(text) + indent : compact ? "" : " "
  return splice(text, end(before), 0, `,${gap}${member(key, inline(value, compact), compact)}`)
}

const addLast = (text: string, object: Node, key: string, value: unknown): string => {
  const last = object.children?.at(-1)
  const isOneLine = !text.slice(object.offset, end(object)).includes("\n")
  const eol = eolOf(text)
  const unit = unitOf(text)
  if (last === undefined) {
    const outer = indentAt(text, object.offset)
    const inner = outer + unit
    // Comments may stand in an object without properties.
    const inside = text.slice(object.offset + 1, end(object) - 1).trimEnd()
    const content = `${inside}${eol}${inner}${member(key, pretty(value, inner, unit, eol), false)}${eol}${outer}`
    return splice(text, object.offset + 1, object.length - 2, content)
  }
  if (isOneLine) {
    const compact = isCompact(text.slice(object.offset, end(object)))
    const added = `,${compact ? "" : " "}${member(key, inline(value, compact), compact)}`
    return splice(text, end(last), 0, added)
  }
  const indent = indentAt(text, last.offset)
  const comma = skip(text, end(last))
  const hasComma = text[comma] === ","
  const withComma = hasComma ? text : splice(text, end(last), 0, ",")
  const behind = hasComma ? comma + 1 : end(last) + 1
  const line = skipInline(withComma, behind)
  const at = isLineEnd(withComma, line) ? line : behind
  const added = `${eol}${indent}${member(key, pretty(value, indent, unit, eol), false)}${hasComma ? "," : ""}`
  return splice(withComma, at, 0, isLineEnd(withComma, at) ? added : `${added}${eol}${indentAt(text, object.offset)}`)
}

const member = (key: string, value: string, compact: boolean): string =>
  `${JSON.stringify(key)}:${compact ? "" : " "}${value}`

const pretty = (value: unknown, indent: string, unit: string, eol: string): string =>
  JSON.stringify(value, undefined, unit).replaceAll("\n", `${eol}${indent}`)

const eolOf = (text: string): string => (/\r?\n/.exec(text)?.[0] === "\r\n" ? "\r\n" : "\n")

const unitOf = (text: string): string => /\n([ \t]+)\S/.exec(text)?.[1] ?? "  "

const indentAt = (text: string, offset: number): string =>
  /^[ \t]*/.exec(text.slice(text.lastIndexOf("\n", offset - 1) + 1))![0]

const isLineEnd = (text: string, offset: number): boolean => offset >= text.length || /[\r\n]/.test(text[offset]!)

/** Behind white space and comments. */
const skip = (text: string, offset: number): number => pass(/(?:\s|\/\/[^\r\n]*|\/\*[^]*?\*\/)*/y, text, offset)

/** Behind white space and comments of the same line. */
const skipInline = (text: string, offset: number): number =>
  pass(/(?:[ \t]|\/\/[^\r\n]*|\/\*[^\r\n]*?\*\/)*/y, text, offset)

const pass = (pattern: RegExp, text: string, offset: number): number => {
  pattern.lastIndex = offset
  return offset + (pattern.exec(text)?.[0].length ?? 0)
}
