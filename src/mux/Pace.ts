/**
 * How often something is read again because a server says that it changed: the first few times at once, and from then on
 * once in a second, until the server has been quiet for that long. Plain synchronous code.
 */
export class Pace {
  #timer: NodeJS.Timeout | null = null
  /** When it was read last, in milliseconds since the epoch. */
  #last = 0
  /** So often in a row. */
  #count = 0

  /** It is to be read, and is not yet. */
  get isPausing(): boolean {
    return this.#timer !== null
  }

  /** Reads it, now or in a while; nothing waits for that, and the process may end before. */
  again(read: () => void): void {
    if (this.#timer !== null) return
    const passed = Date.now() - this.#last
    if (passed >= pause) this.#count = 0
    if (this.#count === most) {
      // The clock may have been set back.
      this.#timer = setTimeout(() => this.#read(read), Math.min(pause - passed, pause)).unref()
      return
    }
    this.#count++
    this.#read(read)
  }

  /** It need not be read, or is being read for another reason. */
  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }

  #read(read: () => void): void {
    this.#timer = null
    this.#last = Date.now()
    read()
  }
}

/** So often in a row without a pause. */
const most = 4
/** Milliseconds. */
const pause = 1000
