/**
 * MCP's stdio framing, written: pieces of lines in, few large writes out, one batch for each turn of the event loop. Never
 * more than one write is under way, so what is unread is known in bytes, and progress is seen slice by slice.
 */
import type { Writable } from "node:stream"

/** Where lines go that a server is given. */
export interface LineSink {
  /** Adds a piece; a line may come in several, and the last of them ends with its line feed. Strings are latin-1. */
  readonly push: (piece: string | Buffer) => void
  /** Bytes that have not been taken yet. */
  readonly unread: number
  /** Whether the other side takes less than it is given: who writes here should pause. */
  readonly blocked: boolean
  /** Called each time everything has been taken. */
  onDrain: (() => void) | null
  /** Takes the lines that the other side never got; nothing is written from here on. */
  readonly takeUnwritten: () => Buffer
}

export class LineWriter implements LineSink {
  readonly #stream: Writable
  /** Short pieces, latin-1, one character a byte. */
  #text = ""
  #queue: Array<string | Buffer> = []
  #queued = 0
  #underWay = 0
  #slice = SLICE
  #scheduled = false
  #closed = false
  /** Refused by the stream as a whole: nobody reads there any more. */
  #refused: string | Buffer | null = null
  /** Whether what the stream has taken ends within a line. */
  #isWithinLine = false
  /** When the stream last took bytes, in milliseconds; 0 while nothing waits. */
  waitingSince = 0
  /** Called each time everything has been taken. */
  onDrain: (() => void) | null = null

  constructor(stream: Writable) {
    this.#stream = stream
  }

  /** Bytes that the other side has not taken yet (beyond what the system buffers). */
  get unread(): number {
    return this.#queued + this.#text.length + this.#underWay
  }

  /** Whether the other side takes less than it is given: who writes here should pause. */
  get blocked(): boolean {
    return this.#underWay > 0
  }

  /** Adds a piece; a line may come in several and must end with a line feed. Strings are latin-1. */
  push(piece: string | Buffer): void {
    if (this.#closed) return
    if (typeof piece === "string") this.#text += piece
    // A write of nothing is under way without a trace.
    else if (piece.length > 0) {
      this.#seal()
      this.#queue.push(piece)
      this.#queued += piece.length
    }
    if (!this.#scheduled && !this.blocked) {
      this.#scheduled = true
      setImmediate(flush, this)
    }
  }

  /** Writes what waits, then ends the stream. */
  end(): void {
    if (this.#closed) return
    this.#closed = true
    this.#flush()
  }

  /** Forgets what waits; nothing is written from here on. */
  discard(): void {
    this.#closed = true
    this.#refused = null
    this.#text = ""
    this.#queue = []
    this.#queued = 0
    this.#underWay = 0
    this.waitingSince = 0
  }

  /** Takes what the stream was never given, from the first line on that begins there; nothing is written from here on. */
  takeUnwritten(): Buffer {
    this.#seal()
    const pieces = this.#refused === null ? this.#queue : [this.#refused, ...this.#queue]
    this.discard()
    const bytes = Buffer.concat(
      pieces.map((piece) => (typeof piece === "string" ? Buffer.from(piece, "latin1") : piece))
    )
    if (!this.#isWithinLine) return bytes
    const end = bytes.indexOf(LINE_FEED)
    return end === -1 ? bytes.subarray(bytes.length) : bytes.subarray(end + 1)
  }

  static flush(writer: LineWriter): void {
    writer.#scheduled = false
    writer.#flush()
  }

  #seal(): void {
    if (this.#text.length > 0) {
      this.#queue.push(this.#text)
      this.#queued += this.#text.length
      this.#text = ""
    }
  }

  #flush(): void {
    if (this.blocked || this.#refused !== null || this.#stream.destroyed || this.#stream.writableEnded) return
    if (this.#queue.length === 0 && this.#text.length <= SLICE) {
      const text = this.#text
      this.#text = ""
      if (text.length > 0 && !this.#write(text)) return
    } else {
      this.#seal()
      let i = 0
      while (i < this.#queue.length) {
        const piece = this.#queue[i]!
        const slice = this.#slice
        if (piece.length > slice) {
          this.#queued -= slice
          this.#queue[i] = typeof piece === "string" ? piece.slice(slice) : piece.subarray(slice)
          if (!this.#write(typeof piece === "string" ? piece.slice(0, slice) : piece.subarray(0, slice))) break
        } else {
          i++
          this.#queued -= piece.length
          if (!this.#write(piece)) break
        }
      }
      this.#queue = i === this.#queue.length ? [] : this.#queue.slice(i)
      if (this.blocked || this.#refused !== null) return
    }
    this.waitingSince = 0
    if (this.#closed) this.#stream.end()
    else this.onDrain?.()
  }

  /** Whether the system took all of it at once. */
  #write(piece: string | Buffer): boolean {
    if (typeof piece === "string") this.#stream.write(piece, "latin1", this.#onWritten)
    else this.#stream.write(piece, this.#onWritten)
    if (this.#stream.errored !== null) {
      // It failed within the call, so not a byte of it has gone out.
      this.#refused = piece
      return false
    }
    this.#isWithinLine = (typeof piece === "string" ? piece.charCodeAt(piece.length - 1) : piece.at(-1)) !== LINE_FEED
    this.#underWay = this.#stream.writableLength
    if (this.#underWay === 0) return true
    this.waitingSince = Date.now()
    return false
  }

  readonly #onWritten = (): void => {
    if (this.#underWay === 0 || this.#stream.writableLength > 0) return
    this.#underWay = 0
    this.#slice = Date.now() - this.waitingSince > SLOW ? SMALL_SLICE : SLICE
    this.#flush()
  }
}

const flush = LineWriter.flush

/** What is written at once: large enough to be cheap, small enough to show progress. */
const SLICE = 64 * 1024
/** What is written at once to a reader that took longer than a second for the last slice. */
const SMALL_SLICE = 2 * 1024
const SLOW = 1000
const LINE_FEED = 0x0a
