/** Where a modern request goes that one of several servers may be able to answer. Plain synchronous code. */
import type { Stream } from "../mux/era/ModernCall.ts"
import type { Out } from "../mux/Upstream.ts"

/** What one of several servers says: all is passed on but an error that is the answer. */
export class Attempt implements Stream, Out {
  readonly out = this
  readonly #stream: Stream
  readonly #onError: (code: unknown, passOn: () => void) => void
  #pieces: Array<string | Buffer> = []
  #length = 0
  #error: { readonly code: unknown; readonly text: string } | null = null

  constructor(stream: Stream, onError: (code: unknown, passOn: () => void) => void) {
    this.#stream = stream
    this.#onError = onError
  }

  get unread(): number {
    return this.#stream.out.unread
  }

  push(piece: string | Buffer): void {
    this.#pieces.push(piece)
    this.#length += piece.length
    const isLast = typeof piece === "string" ? piece.endsWith("\n") : piece.at(-1) === lineFeed
    if (isLast && this.#length <= longestError) this.#error = errorIn(this.#pieces)
    if (this.#error === null && (isLast || this.#length > longestError)) {
      for (const piece of this.#pieces.splice(0)) this.#stream.out.push(piece)
    }
    if (isLast) {
      this.#pieces = []
      this.#length = 0
    }
  }

  ended(): void {
    const { out } = this.#stream
    if (this.#error === null) return this.#stream.ended()
    const { code, text } = this.#error
    this.#onError(code, () => {
      out.push(text)
      this.#stream.ended()
    })
  }

  listens(): void {}

  overflow(): void {
    this.#stream.overflow()
  }
}

/** The line as latin-1 where it is an error; null where it is anything else. */
const errorIn = (pieces: ReadonlyArray<string | Buffer>): { readonly code: unknown; readonly text: string } | null => {
  const text = pieces.map((piece) => (typeof piece === "string" ? piece : piece.toString("latin1"))).join("")
  if (!text.includes('"error"')) return null
  const { error } = JSON.parse(text) as { readonly error?: { readonly code?: unknown } }
  return error === undefined ? null : { code: error.code, text }
}

/** Bytes: what is longer is no error, or one that is passed on. */
const longestError = 64 * 1024
const lineFeed = 0x0a
