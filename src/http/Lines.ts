/** Lines that come in pieces, one message at a time: what a session writes. */
import type { Out } from "../mux/Upstream.ts"
import type { Message } from "./Answers.ts"

export abstract class Lines implements Out {
  abstract readonly unread: number
  #text = ""
  #pieces: Array<string | Buffer> = []
  #length = 0

  /** Takes a message. */
  protected abstract take(message: Message): void

  /** Forgets a line that has begun. */
  protected reset(): void {
    this.#text = ""
    if (this.#pieces.length > 0) this.#pieces = []
    this.#length = 0
  }

  push(piece: string | Buffer): void {
    if (typeof piece === "string") {
      if (piece.charCodeAt(piece.length - 1) !== lineFeed) return void (this.#text += piece)
      this.#text += piece.slice(0, -1)
    } else {
      this.#seal()
      const isLast = piece[piece.length - 1] === lineFeed
      this.#add(isLast ? piece.subarray(0, -1) : piece)
      if (!isLast) return
    }
    let message: Message = this.#text
    if (this.#pieces.length > 0) {
      this.#seal()
      message = { pieces: this.#pieces, length: this.#length }
    }
    this.reset()
    this.take(message)
  }

  #seal(): void {
    if (this.#text === "") return
    this.#add(this.#text)
    this.#text = ""
  }

  #add(piece: string | Buffer): void {
    this.#pieces.push(piece)
    this.#length += piece.length
  }
}

const lineFeed = 0x0a
