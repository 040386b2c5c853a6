/** Whether the other side of a response reads: seen from look to look. */
import type { ServerResponse } from "node:http"

export class Reading {
  #written = -1
  #stuck = 0

  /** Called now and then: whether something has waited for too long, and nothing of it was taken. */
  isOver(response: ServerResponse): boolean {
    const written = response.socket?.bytesWritten ?? 0
    // What it has not taken yet counts as written.
    const taken = written - (response.socket?.writableLength ?? 0)
    this.#stuck = response.writableLength > 0 && taken === this.#written ? this.#stuck + 1 : 0
    this.#written = taken
    return this.#stuck >= patience
  }
}

/** Responses that were sent and not taken at once. */
export class Untaken {
  readonly #responses = new Map<ServerResponse, Reading>()

  /** Bytes that are not taken yet. */
  get bytes(): number {
    let bytes = 0
    for (const { writableLength } of this.#responses.keys()) bytes += writableLength
    return bytes
  }

  /** Looks after a response that has ended, until it is taken. */
  add(response: ServerResponse): void {
    if (response.writableLength === 0 || response.destroyed) return
    this.#responses.set(response, new Reading())
    response.once("close", () => this.#responses.delete(response))
  }

  /** Called now and then: lets go of who reads nothing. */
  look(): void {
    for (const [response, reading] of this.#responses) if (reading.isOver(response)) response.destroy()
  }

  /** Nobody looks after them any more: who reads nothing for so many milliseconds is let go. */
  close(lastWords: number): void {
    for (const { socket } of this.#responses.keys()) socket?.setTimeout(lastWords)
  }
}

/** How many looks in a row. */
const patience = 6
