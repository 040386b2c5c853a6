/** Breaks long lines of generated expressions and types at their brackets. Pure. */

/**
 * Code that is on one line, with strings in double quotes, laid out in 120 columns where it can be. `indent` is that of
 * its first line, and `column` where the code begins in it.
 */
export const layout = (code: string, where: { readonly column: number; readonly indent: number }): string =>
  print(parse(code), where)

/** Text and brackets as they follow each other. */
type Sequence = ReadonlyArray<string | Group>

interface Group {
  readonly open: string
  readonly close: string
  readonly items: ReadonlyArray<Sequence>
  /** All of it on one line. */
  readonly flat: string
}

const print = (
  sequence: Sequence,
  { column, indent }: { readonly column: number; readonly indent: number }
): string => {
  let out = ""
  for (const part of sequence) {
    const lineStart = out.lastIndexOf("\n") + 1
    const start = lineStart === 0 ? column + out.length : out.length - lineStart
    out += typeof part === "string" ? part : printGroup(part, { column: start, indent })
  }
  return out
}

const printGroup = (
  { close, flat, items, open }: Group,
  { column, indent }: { readonly column: number; readonly indent: number }
): string => {
  const [first, ...others] = items
  if (first === undefined || column + flat.length <= width) return flat
  // One argument stays with its parenthesis.
  if (open === "(" && others.length === 0) return `(${print(first, { column: column + 1, indent })})`
  const inner = indent + 2
  const lines = items.map((item) => " ".repeat(inner) + print(item, { column: inner, indent: inner }))
  return `${open}\n${lines.join(",\n")}\n${" ".repeat(indent)}${close}`
}

const parse = (code: string): Sequence => {
  let at = 0

  const sequence = (end: ReadonlySet<string>): Sequence => {
    const parts: Array<string | Group> = []
    let from = at
    while (at < code.length && !end.has(code[at]!)) {
      if (code[at] === '"') at = endOfString(code, at) + 1
      else if (closing[code[at]!] === undefined) at++
      else {
        parts.push(code.slice(from, at), group())
        from = at
      }
    }
    parts.push(code.slice(from, at))
    return parts
  }

  const group = (): Group => {
    const open = code[at++]!
    const close = closing[open]!
    const items: Array<Sequence> = []
    do {
      const item = trimmed(sequence(endsItem))
      if (item.length > 0) items.push(open === "{" ? unquoted(item) : item)
    } while (code[at++] === ",")
    const space = open === "{" && items.length > 0 ? " " : ""
    return { open, close, items, flat: open + space + items.map(flatOf).join(", ") + space + close }
  }

  return sequence(new Set())
}

const flatOf = (sequence: Sequence): string =>
  sequence.map((part) => (typeof part === "string" ? part : part.flat)).join("")

/** Where the quote is that ends the string. */
const endOfString = (code: string, start: number): number => {
  let at = start + 1
  while (at < code.length && code[at] !== '"') at += code[at] === "\\" ? 2 : 1
  return at
}

const trimmed = (sequence: Sequence): Sequence =>
  sequence
    .map((part, i) => {
      if (typeof part !== "string") return part
      const start = i === 0 ? part.trimStart() : part
      return i === sequence.length - 1 ? start.trimEnd() : start
    })
    .filter((part) => part !== "")

/** Names of properties need quotes only where they are not names. */
const unquoted = ([first, ...rest]: Sequence): Sequence => [
  typeof first === "string" ? first.replace(/^(readonly )?"([A-Za-z_$][\w$]*)"(?=\??: )/, "$1$2") : first!,
  ...rest
]

const closing: Readonly<Record<string, string>> = { "(": ")", "[": "]", "{": "}" }
const endsItem = new Set([",", ...Object.values(closing)])
const width = 120
