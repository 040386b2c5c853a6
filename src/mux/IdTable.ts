/**
 * Values under ids that are given one after another and never again, in the order of adding. What a `Map` would do, but for
 * V8's collector: a map whose entries come and go is copied again and again, each copy holds on to the next, and once one
 * of them has grown old, all that was ever in the later ones stays until the next full collection. Measured after one: a
 * quarter of all CPU, and 50 MB.
 */
export class IdTable<A> {
  #nextId = 1
  #size = 0
  /** The last `recent` ids, each in its slot; what is still there when its slot is needed again is among the older. */
  readonly #recent = Array.from({ length: recent }, (): A | undefined => undefined)
  readonly #older = new Map<number, A>()

  get size(): number {
    return this.#size
  }

  /** Adds one and says its id. */
  add(value: A): number {
    const id = this.#nextId++
    const slot = id & mask
    const before = this.#recent[slot]
    if (before !== undefined) this.#older.set(id - recent, before)
    this.#recent[slot] = value
    this.#size++
    return id
  }

  /** `id` is a whole number. */
  get(id: number): A | undefined {
    if (id < this.#nextId - recent) return this.#older.get(id)
    return id < this.#nextId ? this.#recent[id & mask] : undefined
  }

  take(id: number): A | undefined {
    const value = this.get(id)
    if (value === undefined) return undefined
    this.#size--
    if (id < this.#nextId - recent) this.#older.delete(id)
    else this.#recent[id & mask] = undefined
    return value
  }

  /** Those that are there; what is taken meanwhile is left out. */
  *[Symbol.iterator](): Generator<readonly [id: number, value: A]> {
    yield* this.#older
    for (let id = Math.max(1, this.#nextId - recent); id < this.#nextId; id++) {
      const value = this.#recent[id & mask]
      if (value !== undefined) yield [id, value]
    }
  }
}

/** A power of two. */
const recent = 1024
const mask = recent - 1
