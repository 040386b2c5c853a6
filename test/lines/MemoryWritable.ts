/** A stream in memory that keeps what is written to it, takes it only while it is not held, and breaks when it is told to. */
import { Writable } from "node:stream"

export class MemoryWritable extends Writable {
  /** Each write that reached it, in order. */
  readonly writes: Array<Buffer> = []
  /** Called with each write that reaches it. */
  onWrite: ((bytes: Buffer) => void) | null = null
  /** Bytes that it has taken. */
  taken = 0
  #isHeld = false
  #isBroken = false
  #waiting: ((error?: Error) => void) | null = null

  constructor(options?: { readonly highWaterMark?: number }) {
    super({ highWaterMark: options?.highWaterMark ?? 1024 * 1024 * 1024 })
    // As with a process's stdin, how it ended is told elsewhere.
    this.on("error", () => {})
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    if (this.#isBroken) return done(broken())
    this.writes.push(bytes)
    this.onWrite?.(bytes)
    const take = (error?: Error) => {
      if (error === undefined) this.taken += bytes.length
      done(error)
    }
    if (this.#isHeld) this.#waiting = take
    else take()
  }

  get text(): string {
    return Buffer.concat(this.writes).toString("utf8")
  }

  /** From here on it takes nothing. */
  hold(): void {
    this.#isHeld = true
  }

  /** Takes the one write that waits, and holds the next. */
  takeOne(): void {
    const take = this.#waiting
    this.#waiting = null
    take?.()
  }

  release(): void {
    this.#isHeld = false
    this.takeOne()
  }

  /** Nobody reads any more: the write that waits fails, and each that comes fails at once. */
  break(): void {
    this.#isBroken = true
    const fail = this.#waiting
    this.#waiting = null
    fail?.(broken())
  }
}

/** A stream of which the system takes nothing beyond what it is given at once. */
export const narrow = () => new MemoryWritable({ highWaterMark: 1 })

const broken = (): Error => new Error("EPIPE")
