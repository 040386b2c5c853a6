/**
 * One line between a host and the daemon, as far as `connect` reads it: what it is, its id and its method. What serialisers
 * write first and last tells that; the rest passes as it came. Only a line that begins and ends as none usually does is parsed.
 */
import { Line } from "../lines/LineReader.ts"
import type { Sink } from "../mux/Splice.ts"

/** What a message is. */
export type Kind = "request" | "answer" | "notification" | "nothing"

/** A message of any shape, for what is looked at seldom. */
interface Parsed {
  readonly id?: unknown
  readonly method?: unknown
  readonly params?: { readonly [name: string]: unknown }
  readonly result?: unknown
  readonly error?: unknown
}

/** The message that was read last: valid until the next one is. */
export class Message {
  kind: Kind = "nothing"
  /** JSON text as it came, for `1` is not `"1"`; empty where there is none. */
  id = ""
  /** Empty where there is none. */
  method = ""
  /** Of an answer: that it holds no result. */
  isError = false
  #line = new Line()
  #pieces: ReadonlyArray<Buffer> | null = null

  /** Reads a line; `each` is called for its message, or for each of a batch. */
  read(line: Line, each: () => void): void {
    this.#begin(line)
    const { end, start } = line
    const headEnd = end - start > headLength ? start + headLength : end
    const head = line.text === null ? line.bytes.toString("latin1", start, headEnd) : line.text.slice(start, headEnd)
    if (this.#fromEnds(head)) return each()
    const parsed = parse(this.text())
    if (Array.isArray(parsed) && parsed.length > 0) {
      for (const element of parsed) this.read(Line.ofText(JSON.stringify(element)), each)
      return
    }
    this.#fromParsed(parsed)
    each()
  }

  /** A long line from its ends; false where they do not show what it is. */
  readPieces(pieces: ReadonlyArray<Buffer>): boolean {
    this.#begin(nowhere)
    this.#pieces = pieces
    return this.#fromEnds(pieces[0]!.toString("latin1", 0, headLength))
  }

  /** A parameter as JSON text; undefined where there is none. */
  param(name: string): string | undefined {
    const value = (parse(this.text()) as Parsed | undefined)?.params?.[name]
    return value === undefined ? undefined : JSON.stringify(value)
  }

  /** An answer's result or error, as JSON text. */
  outcome(): string {
    const { error, result } = parse(this.text()) as Parsed
    return JSON.stringify(result ?? error)
  }

  /** As it came. */
  writeTo(out: Sink): void {
    if (this.#pieces !== null) for (const piece of this.#pieces) out.push(piece)
    else out.push(this.#line.cut(this.#line.start, this.#line.end))
    out.push("\n")
  }

  /** As it came, to be written later. */
  keep(): ReadonlyArray<string | Buffer> {
    if (this.#pieces !== null) return [...this.#pieces, "\n"]
    const kept = this.#line.kept()
    return kept.text === null ? [kept.bytes, "\n"] : [`${kept.text}\n`]
  }

  /** All of it as latin-1 text, without a line feed. */
  text(): string {
    const { bytes, end, start, text } = this.#line
    if (this.#pieces !== null) return Buffer.concat(this.#pieces).toString("latin1")
    return text === null ? bytes.toString("latin1", start, end) : text.slice(start, end)
  }

  #begin(line: Line): void {
    this.#line = line
    this.#pieces = null
    this.kind = "nothing"
    this.id = ""
    this.method = ""
    this.isError = false
  }

  #fromEnds(text: string): boolean {
    const head = headPattern.exec(text)
    if (head === null) return false
    const method = head[3]
    if (method === undefined && head[2] === "method") return false
    const id = head[1] ?? head[4]
    if (id !== undefined) this.id = id
    else if (method === undefined || !method.startsWith("notifications/")) {
      const tail = tailPattern.exec(this.#tail())
      if (tail === null) return false
      this.id = tail[1]!
    }
    this.method = method ?? ""
    this.kind = method === undefined ? "answer" : this.id === "" ? "notification" : "request"
    this.isError = head[2] === "error"
    return true
  }

  #fromParsed(parsed: unknown): void {
    if (typeof parsed !== "object" || parsed === null) return
    const { error, id, method, result } = parsed as Parsed
    if (id !== undefined) this.id = JSON.stringify(id)
    if (typeof method === "string") {
      this.method = method
      this.kind = id === undefined ? "notification" : "request"
    } else if (id !== undefined && (result !== undefined || error !== undefined)) {
      this.kind = "answer"
      this.isError = result === undefined
    }
  }

  #tail(): string {
    const { bytes, end, start, text } = this.#line
    if (this.#pieces === null) {
      const from = Math.max(start, end - tailLength)
      return text === null ? bytes.toString("latin1", from, end) : text.slice(from, end)
    }
    let tail = ""
    for (let i = this.#pieces.length - 1; i >= 0 && tail.length < tailLength; i--) {
      const piece = this.#pieces[i]!
      tail = piece.toString("latin1", Math.max(0, piece.length - tailLength)) + tail
    }
    return tail
  }
}

/** A message with another id, which is JSON text; both are lines of latin-1 text, this one with its line feed. */
export const withId = (text: string, id: string): string => {
  const { id: _, ...others } = JSON.parse(text)
  return `${JSON.stringify(others).slice(0, -1)},"id":${id}}\n`
}

/** The same with other parameters. */
export const withParam = (text: string, name: string, value: string): string => {
  const message = JSON.parse(text)
  message.params[name] = JSON.parse(value)
  return `${JSON.stringify(message)}\n`
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/**
 * What serialisers put first: the version, the id, and then the method or the outcome; the id may follow the method. The
 * groups are id, key, method, id.
 */
const headPattern =
  /^\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?(?:"id"\s*:\s*(-?\d+|"[^"\\]*")\s*,\s*)?(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"(result|error|method)"\s*:\s*(?:"([^"\\]+)"\s*[,}]\s*(?:"id"\s*:\s*(-?\d+|"[^"\\]*")\s*[,}])?)?/

/** A message that ends with its id, or with its id and the version: what closes last is the message itself. */
const tailPattern = /,\s*"id"\s*:\s*(-?\d+|"[^"\\]*")\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$/

/** Of a line that is known by its pieces. */
const nowhere = new Line()
/** Bytes. */
const headLength = 512
const tailLength = 256
