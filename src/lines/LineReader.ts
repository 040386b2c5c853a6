/**
 * MCP's stdio framing, read: chunks of bytes in, one line at a time out, in linear time and bounded memory. Serves
 * servers' stdout and clients' sockets alike.
 */

/** One line, valid only while it is being handed over: the reader uses the same object for the next. */
export class Line {
  start = 0
  end = 0
  /** `bytes` as a latin-1 string, one character a byte; null where the line is long and bytes are cheaper. */
  text: string | null = null
  #bytes: Buffer | null = null

  static of(bytes: Buffer): Line {
    const line = new Line()
    line.bytes = bytes
    line.end = bytes.length
    return line
  }

  /** Of latin-1 text. */
  static ofText(text: string): Line {
    const line = new Line()
    line.text = text
    line.end = text.length
    return line
  }

  /** Those of its text are made when they are first asked for. */
  get bytes(): Buffer {
    return (this.#bytes ??= Buffer.from(this.text ?? "", "latin1"))
  }

  set bytes(bytes: Buffer) {
    this.#bytes = bytes
  }

  /** A part of it, to be written as it is; offsets are those of `bytes`. */
  cut(from: number, to: number): string | Buffer {
    return this.text === null ? this.bytes.subarray(from, to) : this.text.slice(from, to)
  }

  /** A part of it as latin-1 text that keeps nothing else alive. */
  copy(from: number, to: number): string {
    return this.text !== null && to - from < COPIED
      ? this.text.slice(from, to)
      : this.bytes.toString("latin1", from, to)
  }

  /** All of it, as a line that outlives the hand-over: short ones as text, so that many of them become one write. */
  kept(): Line {
    return this.text === null ? Line.of(this.copyBytes()) : Line.ofText(this.copy(this.start, this.end))
  }

  /** All of it, as bytes that outlive the hand-over. */
  copyBytes(): Buffer {
    return Buffer.from(this.bytes.subarray(this.start, this.end))
  }
}

/** A line longer than the bound: what is left of it. */
export interface LongLine {
  /** Its first bytes, at least 1 KiB. */
  readonly head: Buffer
  /** Its last 256 bytes. */
  readonly tail: Buffer
  /** Bytes. */
  readonly length: number
}

export interface LineReceiver {
  /** A line that is not empty, without its line feed and carriage return. */
  readonly onLine: (line: Line) => void
  /**
   * A long line that came in pieces, before they are joined for `onLine`: true where it has been taken care of. The pieces
   * may be kept.
   */
  readonly onPieces?: (pieces: ReadonlyArray<Buffer>, length: number) => boolean
  readonly onLongLine: (line: LongLine) => void
}

export class LineReader {
  readonly #maxLine: number
  readonly #receiver: LineReceiver
  readonly #line = new Line()
  /** The pieces of the line that has begun and not ended; small pieces are gathered, so that bytes cost bytes. */
  #pieces: Array<Buffer> = []
  #gathered: Buffer | null = null
  #gatheredSize = 0
  #size = 0
  /** Set while the rest of a line that is too long is thrown away. */
  #head: Buffer | null = null
  #tail: Buffer = Buffer.alloc(0)

  constructor(options: { readonly maxLine: number; readonly receiver: LineReceiver }) {
    this.#maxLine = options.maxLine
    this.#receiver = options.receiver
  }

  /** Bytes that are kept of a line that has begun. */
  get held(): number {
    return this.#head === null ? this.#size : 0
  }

  feed(chunk: Buffer): void {
    let from = 0
    if (this.#size > 0) {
      const end = chunk.indexOf(LINE_FEED)
      if (end === -1) return this.#append(chunk)
      this.#append(chunk.subarray(0, end))
      this.#finish()
      from = end + 1
    }
    let text: string | null = null
    for (;;) {
      const end = chunk.indexOf(LINE_FEED, from)
      if (end === -1) break
      if (end > from) {
        if (end - from > this.#maxLine) {
          this.#append(chunk.subarray(from, end))
          this.#finish()
        } else {
          text ??= chunk.toString("latin1")
          this.#emit(chunk, from, end, text)
        }
      }
      from = end + 1
    }
    if (from < chunk.length) this.#append(from === 0 ? chunk : chunk.subarray(from))
  }

  #append(piece: Buffer): void {
    this.#size += piece.length
    if (this.#head !== null) {
      this.#tail = last(this.#tail, piece)
      return
    }
    if (piece.length >= GATHER_BELOW) {
      this.#seal()
      this.#pieces.push(piece)
    } else {
      if (this.#gathered === null || this.#gatheredSize + piece.length > this.#gathered.length) {
        this.#seal()
        this.#gathered = Buffer.allocUnsafeSlow(GATHER)
      }
      this.#gatheredSize += piece.copy(this.#gathered, this.#gatheredSize)
    }
    if (this.#size > this.#maxLine) {
      this.#seal()
      const all = Buffer.concat(this.#pieces)
      this.#head = Buffer.from(all.subarray(0, HEAD))
      this.#tail = Buffer.from(all.subarray(-TAIL))
      this.#pieces = []
      this.#gathered = null
    }
  }

  #seal(): void {
    if (this.#gathered !== null && this.#gatheredSize > 0) {
      this.#pieces.push(this.#gathered.subarray(0, this.#gatheredSize))
      this.#gathered = null
      this.#gatheredSize = 0
    }
  }

  #finish(): void {
    const length = this.#size
    this.#size = 0
    if (this.#head !== null) {
      const head = this.#head
      this.#head = null
      this.#receiver.onLongLine({ head, tail: this.#tail, length })
      return
    }
    this.#seal()
    const pieces = this.#pieces
    this.#pieces = []
    if (length > SHORT && pieces.length > 1 && this.#receiver.onPieces?.(pieces, length) === true) return
    const bytes = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, length)
    this.#emit(bytes, 0, bytes.length, bytes.length <= SHORT ? bytes.toString("latin1") : null)
  }

  #emit(bytes: Buffer, start: number, end: number, text: string | null): void {
    if (bytes[end - 1] === CARRIAGE_RETURN) end--
    if (end === start) return
    const line = this.#line
    line.bytes = bytes
    line.start = start
    line.end = end
    line.text = text
    this.#receiver.onLine(line)
  }
}

/** Slices shorter than this are copies in V8; longer ones keep the string they were cut from alive. */
const COPIED = 13
const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d
const GATHER = 64 * 1024
const GATHER_BELOW = 4 * 1024
const HEAD = 4 * 1024
const TAIL = 256
/** Up to here a line is cheaper as a string than as bytes. */
const SHORT = 64 * 1024

const last = (tail: Buffer, piece: Buffer): Buffer =>
  piece.length >= TAIL ? Buffer.from(piece.subarray(-TAIL)) : Buffer.concat([tail, piece]).subarray(-TAIL)
