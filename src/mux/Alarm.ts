/** One timer for all that is due some time, and only while there is something. Plain synchronous code. */
export class Alarm {
  readonly #onDue: (now: number) => void
  #timer: NodeJS.Timeout | null = null
  /** Milliseconds since the epoch. */
  #at = Infinity
  #isSoon = false

  /** `onDue` is told the time, in milliseconds since the epoch. */
  constructor(onDue: (now: number) => void) {
    this.#onDue = onDue
  }

  /** It comes within a quarter of a second. */
  soon(): void {
    if (this.#isSoon) return
    this.#set(interval)
    this.#isSoon = true
  }

  /** It comes within so many milliseconds; nothing waits for that, and the process may end before. */
  within(millis: number): void {
    if (this.#isSoon || millis === Infinity || Date.now() + millis >= this.#at) return
    this.#set(Math.min(millis, longest))
    this.#timer?.unref()
  }

  #set(millis: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#at = Date.now() + millis
    this.#timer = setTimeout(() => {
      this.#timer = null
      this.#at = Infinity
      this.#isSoon = false
      this.#onDue(Date.now())
    }, millis)
  }
}

/** Milliseconds. */
const interval = 250
/** The longest delay that Node's timers keep; a longer one fires at once. */
const longest = 2 ** 31 - 1
