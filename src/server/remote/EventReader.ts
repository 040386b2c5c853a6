/**
 * Server-sent events, read: chunks of bytes in, one message a line out, in linear time and bounded memory. What an event
 * carries is not looked at, and not copied where it came in one chunk.
 *
 * https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
 */
import { LineReader, type LineReceiver } from "../../lines/LineReader.ts"

export interface EventReaderOptions {
  /** Bytes of one message. */
  readonly maxLine: number
  readonly receiver: LineReceiver
  /** The id of the event that has begun: where to go on after it. */
  readonly onId: (id: string) => void
  /** How long to wait before another connection, in milliseconds. */
  readonly onRetry: (millis: number) => void
}

export class EventReader {
  readonly #options: EventReaderOptions
  readonly #lines: LineReader
  /** A line that has begun, until it is known which field it is. */
  #begun: Buffer = empty
  /** The rest of the line is the message's, or nobody's. */
  #within: "data" | "nothing" | null = null
  /** The event has a message, which has not ended. */
  #hasData = false

  constructor(options: EventReaderOptions) {
    this.#options = options
    this.#lines = new LineReader(options)
  }

  /** Bytes that are kept of a message that has begun. */
  get held(): number {
    return this.#lines.held
  }

  feed(chunk: Buffer): void {
    let bytes = chunk
    let from = 0
    if (this.#begun.length > 0) {
      bytes = Buffer.concat([this.#begun, chunk])
      this.#begun = empty
    }
    while (from < bytes.length) {
      const feed = bytes.indexOf(lineFeed, from)
      if (this.#within !== null) {
        const end = feed === -1 ? bytes.length : feed
        if (this.#within === "data") this.#lines.feed(bytes.subarray(from, end))
        if (feed !== -1) this.#within = null
      } else if (isData(bytes, from) && (feed !== -1 || bytes.length - from > prefix)) {
        const start = from + (bytes[from + prefix] === space ? prefix + 1 : prefix)
        if (this.#hasData) this.#lines.feed(aSpace)
        // Most come whole: the message, its end, and the empty line that ends the event.
        if (feed !== -1 && bytes[feed + 1] === lineFeed && start < feed) {
          this.#hasData = false
          this.#lines.feed(bytes.subarray(start, feed + 1))
          from = feed + 2
          continue
        }
        this.#hasData = true
        this.#lines.feed(bytes.subarray(start, feed === -1 ? bytes.length : feed))
        if (feed === -1) this.#within = "data"
      } else if (feed === -1) {
        // What is longer is no field that is looked at.
        if (bytes.length - from <= maxField) this.#begun = Buffer.from(bytes.subarray(from))
        else this.#within = "nothing"
      } else this.#field(bytes, from, feed)
      if (feed === -1) return
      from = feed + 1
    }
  }

  #field(bytes: Buffer, from: number, to: number): void {
    const end = bytes[to - 1] === carriageReturn && to > from ? to - 1 : to
    if (end === from) {
      if (this.#hasData) this.#lines.feed(aLineFeed)
      this.#hasData = false
      return
    }
    if (end - from > maxField) return
    const [, name, value = ""] = /^(id|retry):? ?(.*)$/.exec(bytes.toString("utf8", from, end)) ?? []
    if (name === "id" && /^[ -~]*$/.test(value)) this.#options.onId(value)
    if (name === "retry" && /^\d{1,9}$/.test(value)) this.#options.onRetry(Number(value))
  }
}

const isData = (bytes: Buffer, from: number): boolean =>
  bytes[from] === 0x64 &&
  bytes[from + 1] === 0x61 &&
  bytes[from + 2] === 0x74 &&
  bytes[from + 3] === 0x61 &&
  bytes[from + 4] === 0x3a

/** Bytes of `data:`. */
const prefix = 5
const maxField = 1024
const lineFeed = 0x0a
const carriageReturn = 0x0d
const space = 0x20
const empty = Buffer.alloc(0)
const aLineFeed = Buffer.from("\n")
const aSpace = Buffer.from(" ")
