/**
 * Arguments made from a tool's `inputSchema`: harmless ones, the same each time, and others for each of two clients where
 * the schema leaves a choice. Bounded in depth and size. What cannot be made says why. Pure.
 */

/** For whom arguments are made, and how. */
export interface Wish {
  /** The client's own word: where it turns up again, it was this client's. Lower-case letters. */
  readonly word: string
  /** The first of two values where the schema offers several, or the second. */
  readonly choice: 0 | 1
  /** With what is optional too, as far as it can be made. */
  readonly isFull: boolean
  /** Numbers as small as they may be, in place of their defaults: what waits or repeats ends sooner. */
  readonly isBrief: boolean
  /** Where a schema says little, what is tried for it differs from attempt to attempt; below `attempts`. */
  readonly attempt: number
}

export type Made = { readonly value: unknown } | { readonly reason: string }

/** How often arguments may be made anew where a tool refused those before. */
export const attempts = 4

/** A value that the schema should accept. */
export const make = (schema: unknown, wish: Wish): Made => {
  try {
    return { value: value(schema, { ...wish, root: schema, depth: 0, path: "" }) }
  } catch (cause) {
    if (cause instanceof Impossible) return { reason: cause.message }
    throw cause
  }
}

/** Not every schema can be met by what is in here. */
class Impossible extends Error {}

interface At extends Wish {
  readonly root: unknown
  readonly depth: number
  /** For messages: names of properties, joined by dots. */
  readonly path: string
}

type Node = { readonly [key: string]: unknown }

const value = (schema: unknown, at: At): unknown => {
  if (at.depth > maxDepth) throw impossible(at, "is nested too deeply")
  if (schema === false) throw impossible(at, "may have no value")
  if (!isRecord(schema)) return untyped(at)
  const node = flattened(schema, at)
  const given = offered(node, at)
  if (given.length > 0) return given[Math.min(at.choice, given.length - 1)]
  const branches = list(node["anyOf"]) ?? list(node["oneOf"])
  if (branches !== undefined) return branch(node, branches, at)
  switch (typeOf(node)) {
    case "object":
      return object(node, at)
    case "array":
      return array(node, at)
    case "string":
      return string(node, at)
    case "integer":
    case "number":
      return number(node, at)
    case "boolean":
      return at.choice === 1
    case "null":
      return null
    default:
      return untyped(at)
  }
}

/** Values that the schema itself names, the plainest first. */
const offered = (node: Node, { choice, isBrief }: At): ReadonlyArray<unknown> => {
  if ("const" in node) return [node["const"]]
  const values = list(node["enum"])
  if (values !== undefined && values.length > 0) {
    const first = values.includes(node["default"]) ? node["default"] : values[0]
    return [first, ...values.filter((other) => other !== first)]
  }
  const type = typeOf(node)
  if (isBrief && (type === "number" || type === "integer")) return []
  const examples = list(node["examples"]) ?? []
  const known = "default" in node ? [node["default"], ...examples] : examples
  // The second client's own word tells more than the default that both would have.
  return choice === 1 && known.length < 2 && isFree(node) ? [] : known
}

const isFree = (node: Node): boolean => {
  const type = typeOf(node)
  if (type === "string") return node["pattern"] === undefined && node["format"] === undefined
  return type === "boolean"
}

/** With what it refers to and what it is all of. */
const flattened = (schema: Node, at: At): Node => {
  let node: Node = schema
  for (let steps = 0; typeof node["$ref"] === "string"; steps++) {
    if (steps > maxDepth) throw impossible(at, "refers to itself")
    const { $ref, ...rest } = node
    const target = resolved($ref as string, at.root)
    if (!isRecord(target)) throw impossible(at, "refers to something that is not in its schema")
    node = { ...target, ...rest }
  }
  const all = list(node["allOf"])
  if (all === undefined) return node
  const { allOf: _, ...rest } = node
  return all.reduce<Node>(
    (sum, part) => merged(sum, isRecord(part) ? flattened(part, { ...at, depth: at.depth + 1 }) : {}),
    rest
  )
}

const merged = (a: Node, b: Node): Node => ({
  ...a,
  ...b,
  ...(isRecord(a["properties"]) && isRecord(b["properties"])
    ? { properties: { ...a["properties"], ...b["properties"] } }
    : {}),
  ...(Array.isArray(a["required"]) && Array.isArray(b["required"])
    ? { required: [...a["required"], ...b["required"]] }
    : {})
})

/** A JSON Pointer within the schema; anything else is not looked up. */
const resolved = (reference: string, root: unknown): unknown => {
  if (reference === "#") return root
  if (!reference.startsWith("#/")) return undefined
  return reference
    .slice(2)
    .split("/")
    .map((key) => decodeURIComponent(key).replaceAll("~1", "/").replaceAll("~0", "~"))
    .reduce<unknown>((node, key) => (isRecord(node) && Object.hasOwn(node, key) ? node[key] : undefined), root)
}

/** The first of several that can be made; null only where nothing else can. */
const branch = (node: Node, branches: ReadonlyArray<unknown>, at: At): unknown => {
  const { anyOf: _, oneOf: __, ...rest } = node
  const byUse = [...branches].sort((a, b) => Number(isNull(a)) - Number(isNull(b)))
  const first = (at.choice + at.attempt) % byUse.length
  const inTurn = at.choice === 0 && at.attempt === 0 ? byUse : [...byUse.slice(first), ...byUse.slice(0, first)]
  let last: Impossible | undefined
  for (const one of inTurn) {
    try {
      return value(isRecord(one) ? merged(rest, one) : one, { ...at, depth: at.depth + 1 })
    } catch (cause) {
      if (!(cause instanceof Impossible)) throw cause
      last = cause
    }
  }
  throw last ?? impossible(at, "has no alternatives")
}

const isNull = (schema: unknown): boolean => isRecord(schema) && schema["type"] === "null"

const object = (node: Node, at: At): unknown => {
  const properties = isRecord(node["properties"]) ? node["properties"] : {}
  const required = (list(node["required"]) ?? []).filter((name) => typeof name === "string")
  const names = new Set(required)
  if (at.isFull && at.depth < maxOptionalDepth) {
    for (const name of Object.keys(properties).slice(0, maxOptional)) names.add(name)
  }
  const made: Array<readonly [string, unknown]> = []
  for (const name of names) {
    const below = { ...at, depth: at.depth + 1, path: at.path === "" ? name : `${at.path}.${name}` }
    try {
      const schema = Object.hasOwn(properties, name) ? properties[name] : node["additionalProperties"]
      made.push([name, value(schema, below)])
    } catch (cause) {
      if (!(cause instanceof Impossible) || required.includes(name)) throw cause
    }
  }
  if (made.length < count(node["minProperties"], 0)) throw impossible(at, "needs properties that it does not name")
  return Object.fromEntries(made)
}

const array = (node: Node, at: At): unknown => {
  const first = list(node["prefixItems"]) ?? list(node["items"]) ?? []
  const least = count(node["minItems"], 0)
  const most = count(node["maxItems"], Infinity)
  const wanted = Math.min(most, Math.max(least, at.isFull ? 1 : 0))
  if (wanted > maxItems) throw impossible(at, `needs ${least} items`)
  const items = Array.from({ length: wanted }, (_, index) =>
    value(first[index] ?? (Array.isArray(node["items"]) ? undefined : node["items"]), {
      ...at,
      depth: at.depth + 1,
      path: `${at.path}[${index}]`,
      word: index === 0 ? at.word : `${at.word}${letters[index]}`
    })
  )
  if (node["uniqueItems"] === true && new Set(items.map((item) => JSON.stringify(item))).size < items.length) {
    throw impossible(at, "needs items that differ")
  }
  return items
}

const number = (node: Node, at: At): number => {
  const isWhole = typeOf(node) === "integer"
  const multiple = typeof node["multipleOf"] === "number" && node["multipleOf"] > 0 ? node["multipleOf"] : null
  const step = multiple ?? 1
  const low = bound(node["minimum"], node["exclusiveMinimum"], isWhole ? 1 : beyond, 1)
  const high = bound(node["maximum"], node["exclusiveMaximum"], isWhole ? 1 : beyond, -1)
  if (low !== null && high !== null && low > high) throw impossible(at, "has no number between its bounds")
  const start = low ?? (high !== null && high < 1 ? high - step : 1)
  const first = isWhole || multiple !== null ? Math.ceil(start / step - tiny) * step : start
  const second = first + step
  const chosen = at.choice === 1 && !at.isBrief && (high === null || second <= high) ? second : first
  if (high !== null && chosen > high) throw impossible(at, "has no number between its bounds")
  return chosen
}

/** The inclusive and the exclusive bound as one inclusive; draft 4's boolean `exclusive…` is left to the validation. */
const bound = (inclusive: unknown, exclusive: unknown, step: number, direction: 1 | -1): number | null => {
  const bounds = [
    ...(typeof inclusive === "number" ? [inclusive] : []),
    ...(typeof exclusive === "number" ? [exclusive + direction * step] : [])
  ]
  if (bounds.length === 0) return null
  return direction === 1 ? Math.max(...bounds) : Math.min(...bounds)
}

const string = (node: Node, at: At): string => {
  const { attempt, choice, word } = at
  const least = count(node["minLength"], 0)
  const most = count(node["maxLength"], Infinity)
  if (least > maxString) throw impossible(at, `needs a text of ${least} characters`)
  const formatted = formats.get(String(node["format"]))?.(word, choice)
  if (formatted !== undefined) return formatted
  const fit = (text: string) => text.slice(0, most).padEnd(least, word)
  if (typeof node["pattern"] !== "string") return fit(choice === 1 || attempt === 0 ? word : texts[attempt]!)
  const pattern = expression(node["pattern"])
  if (pattern === null) throw impossible(at, "has a pattern that is no regular expression")
  const simple = simpleText(node["pattern"], choice)
  const found = [fit(word), ...(simple === null ? [] : [simple]), ...patterned.map(fit)].find(
    (text) => text.length >= least && text.length <= most && pattern.test(text)
  )
  if (found === undefined) throw impossible(at, "has a pattern that is not simple")
  return found
}

/** Nothing is said of it: a text first, then what else there is. */
const untyped = ({ attempt, choice, word }: At): unknown => [word, choice === 1, choice + 1, []][attempt % attempts]

/** What names of files and the like may accept where a word was refused. */
const texts = ["", ".", "1", "a"]
const patterned = ["1", "a", "A", "1.0.0", "2026-01-01", "#000000", "a1", "A1", "/", "a/b", "0x00"]
const letters = "abcdefghijklmnop"

/** Addresses of documentation only: nobody is reached by them (RFC 2606, 5737, 3849). */
const formats: ReadonlyMap<string, (word: string, choice: 0 | 1) => string> = new Map([
  ["date-time", (_: string, choice: 0 | 1) => `2026-01-0${choice + 1}T00:00:00Z`],
  ["date", (_: string, choice: 0 | 1) => `2026-01-0${choice + 1}`],
  ["time", (_: string, choice: 0 | 1) => `0${choice + 1}:00:00Z`],
  ["duration", (_: string, choice: 0 | 1) => `PT${choice + 1}S`],
  ["email", (word: string) => `${word}@example.invalid`],
  ["idn-email", (word: string) => `${word}@example.invalid`],
  ["hostname", (word: string) => `${word}.example.invalid`],
  ["ipv4", (_: string, choice: 0 | 1) => `192.0.2.${choice + 1}`],
  ["ipv6", (_: string, choice: 0 | 1) => `2001:db8::${choice + 1}`],
  ["uri", (word: string) => `https://example.invalid/${word}`],
  ["url", (word: string) => `https://example.invalid/${word}`],
  ["iri", (word: string) => `https://example.invalid/${word}`],
  ["uri-reference", (word: string) => `/${word}`],
  ["uuid", (_: string, choice: 0 | 1) => `00000000-0000-4000-8000-00000000000${choice + 1}`],
  ["json-pointer", (word: string) => `/${word}`],
  ["regex", (word: string) => word],
  ["byte", () => "Y2VydGlmeQ=="]
])

/** A text for a pattern that is a row of characters and classes with counts; null for any other. */
const simpleText = (pattern: string, choice: 0 | 1): string | null => {
  const inner = pattern.replace(/^\^/, "").replace(/\$$/, "")
  let text = ""
  let rest = inner
  while (rest !== "") {
    const piece = /^(\[\^?(?:\\.|[^\]\\])+\]|\\.|[^\\[\](){}|*+?.^$])(?:\{(\d+)(?:,\d*)?\}|([*+?]))?/.exec(rest)
    if (piece === null) return null
    const [whole, unit = "", times, sign] = piece
    const allowed = expression(`^${unit}$`)
    const fitting = [...alphabet].filter((character) => allowed?.test(character) === true)
    if (fitting.length === 0) return null
    const repeated = times === undefined ? (sign === "*" || sign === "?" ? 0 : 1) : Number(times)
    if (text.length + repeated > maxString) return null
    text += fitting[Math.min(choice, fitting.length - 1)]!.repeat(repeated)
    rest = rest.slice(whole.length)
  }
  return text
}

const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@#+ ,=%&~"

const expression = (pattern: string): RegExp | null => {
  try {
    return new RegExp(pattern, "u")
  } catch {
    return null
  }
}

const typeOf = (node: Node): unknown => {
  const { type } = node
  if (Array.isArray(type)) return (type as ReadonlyArray<unknown>).find((one) => one !== "null") ?? "null"
  if (type !== undefined) return type
  if ("properties" in node || "required" in node) return "object"
  if ("items" in node || "prefixItems" in node) return "array"
  if ("pattern" in node || "minLength" in node || "maxLength" in node || "format" in node) return "string"
  return "minimum" in node || "maximum" in node ? "number" : undefined
}

const list = (candidate: unknown): ReadonlyArray<unknown> | undefined =>
  Array.isArray(candidate) ? candidate : undefined

const count = (candidate: unknown, otherwise: number): number =>
  typeof candidate === "number" && candidate >= 0 ? candidate : otherwise

const isRecord = (candidate: unknown): candidate is Node =>
  typeof candidate === "object" && candidate !== null && !Array.isArray(candidate)

const impossible = ({ path }: At, what: string): Impossible =>
  new Impossible(path === "" ? `its argument ${what}` : `argument ${JSON.stringify(path.slice(0, 80))} ${what}`)

const maxDepth = 8
/** Properties of an object that are not required, and how deep they are added. */
const maxOptional = 16
const maxOptionalDepth = 2
const maxItems = 8
const maxString = 256
/** What an exclusive bound of a number is passed by. */
const beyond = 0.5
/** Lost in a division. */
const tiny = 1e-9
