/**
 * The keys of one JSON-RPC line that matter to sharing, as offsets into its bytes, so that ids and tokens are spliced in
 * place and the rest is neither parsed nor serialised again. Pure; a scan allocates nothing.
 *
 * The scan is strict: it accepts exactly what `JSON.parse` accepts, so nothing malformed reaches a shared server.
 */
import { holds, responseHead, responseTail, saysIsErrorLast } from "./ResponseEnds.ts"

/** What a line turned out to be. */
export const Shape = {
  /** Not JSON, or neither an object nor an array. */
  invalid: 0,
  /** One message. */
  message: 1,
  /** A JSON array: a batch of protocol 2025-03-26, see {@link elements}. */
  batch: 2
} as const
export type Shape = (typeof Shape)[keyof typeof Shape]

/** The keys that matter, as indices into {@link Envelope.start} and {@link Envelope.end}. */
export const Key = {
  id: 0,
  method: 1,
  jsonrpc: 2,
  params: 3,
  /** `result` or `error`. */
  outcome: 4,
  /** `params.name`: a tool or prompt. */
  name: 5,
  /** `params._meta`. */
  meta: 6,
  /** `params._meta.progressToken`: of a request. */
  token: 7,
  /** `params.progressToken`: of `notifications/progress`. */
  progressToken: 8,
  /** `params.requestId`: of `notifications/cancelled`. */
  requestId: 9,
  /** `params.uri`: of subscriptions and `notifications/resources/updated`. */
  uri: 10,
  /** `params.level`: of log messages and `logging/setLevel`. */
  level: 11,
  /** `result.isError`, where it is `true`. */
  isError: 12
} as const
export type Key = (typeof Key)[keyof typeof Key]

const count = 13
const ascii = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0))

/** Which keys matter in which object: 1 the message, 2 its params, 3 their _meta, 4 its result. */
const keysOf: ReadonlyArray<ReadonlyArray<readonly [name: Uint8Array, key: Key]>> = [
  [],
  [
    [ascii("id"), Key.id],
    [ascii("method"), Key.method],
    [ascii("params"), Key.params],
    [ascii("jsonrpc"), Key.jsonrpc],
    [ascii("result"), Key.outcome],
    [ascii("error"), Key.outcome]
  ],
  [
    [ascii("name"), Key.name],
    [ascii("_meta"), Key.meta],
    [ascii("progressToken"), Key.progressToken],
    [ascii("requestId"), Key.requestId],
    [ascii("uri"), Key.uri],
    [ascii("level"), Key.level]
  ],
  [[ascii("progressToken"), Key.token]],
  [[ascii("isError"), Key.isError]]
]
const paramsKeys = 2
const resultKeys = 4

/** The offsets found by its last scan. Reused from line to line. */
export class Envelope {
  /** Where each key's value starts, or -1 where the key is not there. */
  readonly start = new Int32Array(count).fill(-1)
  /** One past each value's last byte; meaningful only where the start is not -1. */
  readonly end = new Int32Array(count)
  /** A key that matters stands there twice or is written with escapes: see {@link canonical}. */
  irregular = false

  has(key: Key): boolean {
    return this.start[key]! >= 0
  }

  /** Reads the line in `bytes[from, to)`. */
  scan(bytes: Uint8Array, from: number, to: number): Shape {
    this.start.fill(-1)
    this.irregular = false
    let i = skipSpace(bytes, from, to)
    const opening = bytes[i]
    if (i >= to || (opening !== OPEN_OBJECT && opening !== OPEN_ARRAY)) return Shape.invalid
    let depth = 0
    // The innermost open object whose keys matter, as its depth; a batch has none.
    let where = opening === OPEN_OBJECT ? 0 : -1
    let key1 = -1
    let key2 = -1
    let key3 = -1
    // Whose keys those at depth 2 are.
    let second = paramsKeys
    for (;;) {
      // At a value.
      let c = bytes[i]!
      if (c === OPEN_OBJECT || c === OPEN_ARRAY) {
        if (depth === containers.length) containers = grown(containers)
        containers[depth++] = c
        if (c === OPEN_OBJECT) {
          if (depth === 1 && where === 0) where = 1
          else if (depth === 2 && where === 1 && (key1 === Key.params || key1 === Key.outcome)) {
            where = 2
            second = key1 === Key.params ? paramsKeys : resultKeys
          } else if (depth === 3 && where === 2 && key2 === Key.meta) where = 3
        }
        i = skipSpace(bytes, i + 1, to)
        if (i >= to) return Shape.invalid
        if (bytes[i] !== (c === OPEN_OBJECT ? CLOSE_OBJECT : CLOSE_ARRAY)) {
          if (c === OPEN_ARRAY) continue
        } else {
          c = 0
        }
      } else {
        if (c === QUOTE) i = skipString(bytes, i, to)
        else if (c === MINUS || (c >= ZERO && c <= NINE)) i = skipNumber(bytes, i, to)
        else i = skipLiteral(bytes, i, to)
        if (i < 0) return Shape.invalid
        if (where === depth) {
          const key = depth === 1 ? key1 : depth === 2 ? key2 : key3
          if (key >= 0) this.end[key] = i
        }
        c = 0
      }
      // After a value (c is 0), or at the first key of an object.
      while (c === 0) {
        if (depth === 0) {
          if (skipSpace(bytes, i, to) !== to) return Shape.invalid
          const isError = this.start[Key.isError]!
          if (isError >= 0 && bytes[isError] !== FIRST_OF_TRUE) this.start[Key.isError] = -1
          return opening === OPEN_OBJECT ? Shape.message : Shape.batch
        }
        i = skipSpace(bytes, i, to)
        if (i >= to) return Shape.invalid
        const container = containers[depth - 1]!
        const next = bytes[i]!
        if (next === COMMA) {
          i = skipSpace(bytes, i + 1, to)
          c = container
        } else if (next === (container === OPEN_OBJECT ? CLOSE_OBJECT : CLOSE_ARRAY)) {
          i++
          if (where === depth) where--
          depth--
          if (where === depth && depth > 0) {
            const key = depth === 1 ? key1 : depth === 2 ? key2 : key3
            if (key >= 0) this.end[key] = i
          }
        } else return Shape.invalid
      }
      if (c === OPEN_OBJECT) {
        if (i >= to || bytes[i] !== QUOTE) return Shape.invalid
        const nameStart = i + 1
        i = skipString(bytes, i, to)
        if (i < 0) return Shape.invalid
        const nameEnd = i - 1
        i = skipSpace(bytes, i, to)
        if (i >= to || bytes[i] !== COLON) return Shape.invalid
        i = skipSpace(bytes, i + 1, to)
        if (where === depth) {
          const of = where === 2 ? second : where
          // What stands in a result is looked at no longer than it takes to see that it does not matter.
          const key =
            of === resultKeys && bytes[nameStart] !== FIRST_OF_IS_ERROR ? -1 : this.#key(bytes, nameStart, nameEnd, of)
          if (depth === 1) key1 = key
          else if (depth === 2) key2 = key
          else key3 = key
          if (key >= 0) this.start[key] = i
        }
      }
      if (i >= to) return Shape.invalid
    }
  }

  /**
   * Finds the id of a response without reading all of it: in constant time where the line begins with the result and ends
   * in `,"id":N}`, in two native searches where it begins with the id and no other `"id"` follows. Sets the id's span and
   * returns true; on false {@link scan} decides. For lines from a server, whose JSON is trusted to be whole.
   */
  scanResponse(bytes: Buffer, from: number, to: number): boolean {
    return (
      this.scanResponsePieces([from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to)], from) !== null
    )
  }

  /** The same for a line in pieces: its id, or null; offsets are those in the line, plus `base`. */
  scanResponsePieces(pieces: ReadonlyArray<Buffer>, base = 0): number | null {
    this.start.fill(-1)
    this.irregular = false
    const head = responseHead.exec(pieces[0]!.toString("latin1", 0, 256))
    if (head === null) return null
    this.start[Key.outcome] = base + head[0].length
    if (head[2] !== undefined || saysIsErrorLast(pieces)) this.start[Key.isError] = base
    if (head[1] === undefined) return this.#scanTail(pieces, base)
    // A second id, plain or in disguise, needs the whole scan.
    if (holds(pieces, '"id"', head[0].length) || holds(pieces, "\\u006", head[0].length)) return null
    return this.#foundId(head[1], base + head[0].indexOf(head[1], head[0].indexOf('"id"') + 4))
  }

  #scanTail(pieces: ReadonlyArray<Buffer>, base: number): number | null {
    const last = pieces[pieces.length - 1]!
    const from = Math.max(0, last.length - 64)
    const tail = responseTail.exec(last.toString("latin1", from))
    if (tail === null) return null
    const before = pieces.reduce((sum, piece) => sum + piece.length, base - last.length)
    const at = tail[0].indexOf(tail[1]!, tail[0].indexOf('"id"') + 4)
    return this.#foundId(tail[1]!, before + from + tail.index + at)
  }

  #foundId(digits: string, start: number): number {
    this.start[Key.id] = start
    this.end[Key.id] = start + digits.length
    return Number(digits)
  }

  #key(bytes: Uint8Array, from: number, to: number, where: number): number {
    for (const [name, key] of keysOf[where]!) {
      if (name.length === to - from && equals(bytes, from, name)) {
        // A result beside an error is odd, and told apart by nobody here.
        if (this.start[key]! >= 0 && key !== Key.outcome && key !== Key.isError) this.irregular = true
        return key
      }
    }
    // What stands in a result routes nothing, however it is written.
    if (where === resultKeys) return -1
    const length = to - from
    if (length >= shortestEscaped && length <= longestEscaped && bytes.subarray(from, to).includes(BACKSLASH)) {
      const plain = JSON.parse(`"${String.fromCharCode(...bytes.subarray(from, to))}"`) as string
      const disguised = keysOf[where]!.find(([name]) => plain === String.fromCharCode(...name))
      if (disguised !== undefined) {
        this.irregular = true
        return disguised[1]
      }
    }
    return -1
  }
}

/**
 * The same message with each key once and no needless escapes in keys: what a receiver that lets the last duplicate win
 * understands anyway. For irregular lines only; null where it is nested too deeply to be written again.
 */
export const canonical = (line: Buffer): Buffer | null => {
  try {
    return Buffer.from(JSON.stringify(JSON.parse(line.toString("utf8"))))
  } catch {
    return null
  }
}

/** How many messages a batch may have. */
export const maxBatch = 4096

/** The spans of the elements of the batch in `bytes[from, to)`, which a scan found well-formed; null of more than {@link maxBatch}. */
export const elements = (
  bytes: Uint8Array,
  from: number,
  to: number
): ReadonlyArray<{ readonly from: number; readonly to: number }> | null => {
  const spans: Array<{ readonly from: number; readonly to: number }> = []
  let depth = 0
  let start = -1
  for (let i = from; i < to; i++) {
    const c = bytes[i]!
    if (c <= SPACE) continue
    if (depth === 1 && (c === COMMA || c === CLOSE_ARRAY)) {
      if (spans.length === maxBatch) return null
      if (start >= 0) spans.push({ from: start, to: trimEnd(bytes, i) })
      start = -1
      if (c === CLOSE_ARRAY) depth--
      continue
    }
    if (depth === 1 && start < 0) start = i
    if (c === QUOTE) i = skipString(bytes, i, to) - 1
    else if (c === OPEN_OBJECT || c === OPEN_ARRAY) depth++
    else if (c === CLOSE_OBJECT || c === CLOSE_ARRAY) depth--
  }
  return spans
}

const QUOTE = 0x22
const COMMA = 0x2c
const MINUS = 0x2d
const DOT = 0x2e
const ZERO = 0x30
const NINE = 0x39
const COLON = 0x3a
const FIRST_OF_TRUE = 0x74
const FIRST_OF_IS_ERROR = 0x69
const OPEN_ARRAY = 0x5b
const BACKSLASH = 0x5c
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const SPACE = 0x20

/** One `\uXXXX`, and the longest key that matters in nothing else. */
const shortestEscaped = 6
const longestEscaped = 13 * 6

/** The open containers of the scan that runs: scans never overlap, so one stack serves all. */
let containers = new Uint8Array(256)

const grown = (stack: Uint8Array): Uint8Array<ArrayBuffer> => {
  const larger = new Uint8Array(stack.length * 2)
  larger.set(stack)
  return larger
}

const equals = (bytes: Uint8Array, from: number, name: Uint8Array): boolean => {
  for (let i = 0; i < name.length; i++) if (bytes[from + i] !== name[i]) return false
  return true
}

const trimEnd = (bytes: Uint8Array, to: number): number => {
  while (bytes[to - 1]! <= SPACE) to--
  return to
}

const skipSpace = (bytes: Uint8Array, i: number, to: number): number => {
  while (i < to) {
    const c = bytes[i]!
    if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) return i
    i++
  }
  return i
}

/** From an opening quote to one past the closing one; -1 where the string is malformed. */
const skipString = (bytes: Uint8Array, i: number, to: number): number => {
  for (i++; i < to; i++) {
    const c = bytes[i]!
    if (c === QUOTE) return i + 1
    if (c < 0x20) return -1
    if (c === BACKSLASH) {
      i++
      if (i >= to) return -1
      const escape = bytes[i]!
      if (escape === 0x75) {
        if (i + 4 >= to) return -1
        for (let n = 1; n <= 4; n++) if (!isHex(bytes[i + n]!)) return -1
        i += 4
      } else if (!isEscape(escape)) return -1
    }
  }
  return -1
}

const isHex = (c: number): boolean => (c >= ZERO && c <= NINE) || (c >= 0x41 && c <= 0x46) || (c >= 0x61 && c <= 0x66)

/** `"` `\` `/` `b` `f` `n` `r` `t` */
const isEscape = (c: number): boolean =>
  c === QUOTE || c === BACKSLASH || c === 0x2f || c === 0x62 || c === 0x66 || c === 0x6e || c === 0x72 || c === 0x74

const skipDigits = (bytes: Uint8Array, i: number, to: number): number => {
  while (i < to && bytes[i]! >= ZERO && bytes[i]! <= NINE) i++
  return i
}

const skipNumber = (bytes: Uint8Array, i: number, to: number): number => {
  if (bytes[i] === MINUS) i++
  const digits = i
  i = skipDigits(bytes, i, to)
  if (i === digits || (bytes[digits] === ZERO && i - digits > 1)) return -1
  if (i < to && bytes[i] === DOT) {
    const fraction = i + 1
    i = skipDigits(bytes, fraction, to)
    if (i === fraction) return -1
  }
  if (i < to && (bytes[i] === 0x65 || bytes[i] === 0x45)) {
    i++
    if (i < to && (bytes[i] === MINUS || bytes[i] === 0x2b)) i++
    const exponent = i
    i = skipDigits(bytes, exponent, to)
    if (i === exponent) return -1
  }
  return i
}

const literals = [ascii("true"), ascii("false"), ascii("null")]

const skipLiteral = (bytes: Uint8Array, i: number, to: number): number => {
  for (const literal of literals) {
    if (i + literal.length <= to && equals(bytes, i, literal)) return i + literal.length
  }
  return -1
}
