/** A stream in memory that keeps what is written to it, and takes it only while it is not held. */
import { Writable } from "node:stream"

export class MemoryWritable extends Writable {
  /** Each write that reached it, in order. */
  readonly writes: Array<Buffer> = []
  /** Called with each write that reaches it. */
  onWrite: ((bytes: Buffer) => void) | null = null
  /** Bytes that it has taken. */
  taken = 0
  #isHeld = false
  #waiting: (() => void) | null = null

  constructor(options?: { readonly highWaterMark?: number }) {
    super({ highWaterMark: options?.highWaterMark ?? 1024 * 1024 * 1024 })
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.writes.push(bytes)
    this.onWrite?.(bytes)
    const take = () => {
      this.taken += bytes.length
      done()
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
}
