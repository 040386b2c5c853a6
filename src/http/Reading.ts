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

/** How many looks in a row. */
const patience = 6
