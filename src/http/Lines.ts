/** Lines that come in pieces, made whole again: what a session writes, one message at a time. */
import type { Out } from "../mux/Upstream.ts"
import type { Message } from "./Answers.ts"

export abstract class Lines implements Out {
  abstract readonly unread: number
  #text = ""
  #pieces: Array<Buffer> = []

  /** Takes a message. */
  protected abstract take(message: Message): void

  /** Forgets a line that has begun. */
  protected reset(): void {
    this.#text = ""
    this.#pieces = []
  }

  push(piece: string | Buffer): void {
    if (typeof piece === "string") {
      if (piece.charCodeAt(piece.length - 1) !== lineFeed) return void (this.#text += piece)
      this.#text += piece.slice(0, -1)
    } else {
      this.#seal()
      if (piece[piece.length - 1] !== lineFeed) return void this.#pieces.push(piece)
      this.#pieces.push(piece.subarray(0, -1))
    }
    let message: Message = this.#text
    if (this.#pieces.length > 0) {
      this.#seal()
      message = Buffer.concat(this.#pieces)
    }
    this.reset()
    this.take(message)
  }

  #seal(): void {
    if (this.#text === "") return
    this.#pieces.push(Buffer.from(this.#text, "latin1"))
    this.#text = ""
  }
}

const lineFeed = 0x0a
