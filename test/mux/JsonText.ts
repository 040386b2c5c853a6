/**
 * JSON as text in all the ways in which it may be written: any order of keys, whitespace, escapes in keys and strings,
 * duplicate keys, look-alikes of the keys that matter, huge numbers, deep nesting. For properties of code that reads bytes.
 */
import type { Choices } from "../lines/Choices.ts"

/** Any value. */
export const value = (choices: Choices, depth = 3): string => {
  const kind = choices.below(depth > 0 ? 12 : 8)
  if (kind < 3) return choices.of(["null", "1", "true", "false", "0", "7"])
  if (kind < 5) return number(choices)
  if (kind < 8) return string(choices)
  if (kind < 9) return array(choices, depth - 1)
  if (kind < 11) return object(choices, (inner) => members(inner, keys, depth - 1))
  return nested(choices)
}

/** A JSON-RPC message, or what looks like one. */
export const message = (choices: Choices): string =>
  object(choices, (inner) => {
    const chosen = inner.of<ReadonlyArray<string>>([
      ["jsonrpc", "id", "method", "params"],
      ["method", "params", "jsonrpc", "id"],
      ["jsonrpc", "method", "params"],
      ["jsonrpc", "id", "result"],
      ["id", "error"],
      ["id"],
      []
    ])
    const more = inner.some(2, (c) => c.of([...keys, ...chosen]))
    return inner.shuffle([...chosen, ...more]).map((key) => [key, member(inner, key)] as const)
  })

/** A response of a server, in the shapes that a short look at its ends may take it for another. */
export const response = (choices: Choices): string => {
  const id = () => choices.of(["5", "0", "17", "123456", '"5"', "-1", "1.5", "1e2", "null"])
  const key = () => (choices.chance(20) ? `"${choices.of(["i\\u0064", "\\u0069d", "\\u0069\\u0064"])}"` : '"id"')
  const between = () => (choices.chance(30) ? space(choices) : "")
  const member = (name: string, text: string) => `${between()}${name}${between()}:${between()}${text}${between()}`
  const outcome = () =>
    member(choices.of(['"result"', '"error"']), choices.chance(40) ? value(choices) : lookalike(choices))
  const ids = () => member(key(), id())
  const version = member('"jsonrpc"', '"2.0"')
  const parts = choices.of<() => ReadonlyArray<string>>([
    () => [version, ids(), outcome()],
    () => [outcome(), version, ids()],
    () => [ids(), outcome()],
    () => [ids(), outcome(), version],
    () => [version, ids(), outcome(), ids()],
    () => [outcome(), ids(), member(string(choices), value(choices))],
    () => [ids(), version, outcome()],
    () => [version, ids(), outcome(), member(string(choices), lookalike(choices))]
  ])()
  return `${between()}{${parts.join(",")}}${between()}`
}

/** A batch. */
export const batch = (choices: Choices): string => {
  const items = choices.some(4, (c) => (c.chance(30) ? value(c) : message(c)))
  return `${space(choices)}[${space(choices)}${items.map((item) => `${item}${space(choices)}`).join(`,${space(choices)}`)}]${space(choices)}`
}

/** Any line that is JSON: mostly a message. */
export const line = (choices: Choices): string => {
  const kind = choices.below(10)
  return kind < 7 ? message(choices) : kind < 9 ? batch(choices) : value(choices)
}

/** Whitespace, mostly none. */
export const space = (choices: Choices): string => choices.of(["", "", "", " ", "\t", "", "\r\n", " \n\t "])

const member = (choices: Choices, key: string): string => {
  if (choices.chance(20)) return value(choices)
  switch (key) {
    case "jsonrpc":
      return '"2.0"'
    case "method":
      return choices.of(['"tools/call"', '"notifications/progress"', '"p\\u0069ng"'])
    case "params":
      return object(choices, (inner) => {
        const chosen = inner.shuffle(["name", "_meta", "arguments", "progressToken", "requestId"])
        const more = inner.some(2, (c) => c.of(keys))
        return [...chosen.slice(inner.below(6)), ...more].map((name) => [name, member(inner, name)] as const)
      })
    case "_meta":
      return object(choices, (inner) => {
        const more = inner.some(2, (c) => c.of(["progressToken", "traceparent", "id", "_meta"]))
        return inner.shuffle(["progressToken", ...more]).map((name) => [name, value(inner, 1)] as const)
      })
    default:
      return value(choices, 2)
  }
}

const members = (
  choices: Choices,
  names: ReadonlyArray<string>,
  depth: number
): ReadonlyArray<readonly [string, string]> => choices.some(4, (c) => [c.of(names), value(c, depth)] as const)

const object = (
  choices: Choices,
  make: (choices: Choices) => ReadonlyArray<readonly [key: string, value: string]>
): string => {
  const inside = make(choices).map(
    ([key, text]) =>
      `${space(choices)}${quoted(choices, key)}${space(choices)}:${space(choices)}${text}${space(choices)}`
  )
  return `${space(choices)}{${inside.length === 0 ? space(choices) : inside.join(",")}}${space(choices)}`
}

const array = (choices: Choices, depth: number): string => {
  const items = choices.some(4, (c) => `${space(c)}${value(c, depth)}${space(c)}`)
  return `[${items.length === 0 ? space(choices) : items.join(",")}]`
}

/** Deeper than anything else here. */
const nested = (choices: Choices): string => {
  const depth = choices.of([3, 40, 300, 1200])
  const [open, close] = choices.of([
    ["[", "]"],
    ['{"id":', "}"],
    ['{"params":{"_meta":', "}}"],
    ['[{"result":', "}]"]
  ] as const)
  return `${open.repeat(depth)}${choices.of(["1", "[]", "{}", '"id"'])}${close.repeat(depth)}`
}

const number = (choices: Choices): string =>
  choices.of([
    "-1",
    "-0",
    "0.5",
    "1.0",
    "1e2",
    "1E+2",
    "10e-1",
    "-12.25E-3",
    "9007199254740993",
    "12345678901234567890123",
    "1.7976931348623157e308",
    "1e400",
    "0.00000000000000000000000000000000001",
    `${choices.below(100_000)}`
  ])

const string = (choices: Choices): string =>
  quoted(choices, choices.chance(40) ? choices.of(lookalikes) : choices.some(8, (c) => c.of(characters)).join(""))

/** A string that holds what a search for an id may find. */
const lookalike = (choices: Choices): string => JSON.stringify(choices.of(lookalikes))

/** The text of a string, its characters escaped where they must be and sometimes where they need not. */
const quoted = (choices: Choices, text: string): string => {
  const isPlain = choices.chance(70) || choices.below(2) === 0
  let out = ""
  for (const character of text) {
    const code = character.charCodeAt(0)
    const short = shortEscapes.get(character)
    const isLone = character.length === 1 && code >= 0xd800 && code < 0xe000
    const mustEscape = character === '"' || character === "\\" || code < 0x20 || isLone
    if (mustEscape ? short === undefined || choices.chance(30) : !isPlain && choices.chance(30)) {
      for (const unit of character.split("")) {
        const hex = unit.charCodeAt(0).toString(16).padStart(4, "0")
        out += `\\u${choices.chance(50) ? hex.toUpperCase() : hex}`
      }
    } else if (short !== undefined && (mustEscape || choices.chance(50))) out += short
    else out += character
  }
  return `"${out}"`
}

const shortEscapes = new Map([
  ['"', '\\"'],
  ["\\", "\\\\"],
  ["/", "\\/"],
  ["\b", "\\b"],
  ["\f", "\\f"],
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"]
])

const characters = [
  "a",
  "id",
  ...' {}[],:"\\/\b\f\n\r\t\u0000\u001f\u007f\u00a0éß漢\u2028\ufeff😀𝔐',
  "\ud83d",
  "\udc00"
]

const lookalikes = [
  "",
  "id",
  ',"id":5}',
  '{"jsonrpc":"2.0","id":9,"result":{}}',
  '"id":1',
  '\\","id":5}',
  "}",
  "}]",
  "progressToken",
  "\\u0069d"
]

const keys = [
  ..."id method jsonrpc params result error name _meta progressToken requestId uri level isError".split(" "),
  ...'a,ID,i,idd, id,__proto__,constructor,é,漢😀,a"b,line\nfeed,back\\slash,'.split(",")
]
