/**
 * What the host was asked and has not answered. A daemon counts its questions from the start, so the next daemon's may have
 * the id of one that the last daemon left behind and the host may still answer: those go to the host under another id.
 */

export class Questions {
  /** Asked by the daemon that is there: the id that the host knows, and the daemon's own. Both are JSON text. */
  readonly #open = new Map<string, string>()
  /** Asked by a daemon that is gone: ids that the host knows. */
  readonly #stale = new Set<string>()
  readonly #ownId: () => string

  /** `ownId` gives an id that nobody else has. */
  constructor(ownId: () => string) {
    this.#ownId = ownId
  }

  /** The daemon asks: the id under which the host is asked. */
  ask(id: string): string {
    const known = this.#stale.has(id) ? this.#ownId() : id
    this.#open.set(known, id)
    return known
  }

  /** The host answers: the daemon's id, or undefined where the daemon that asked is gone. */
  answer(known: string): string | undefined {
    const id = this.#open.get(known)
    if (id === undefined) this.#stale.delete(known)
    else this.#open.delete(known)
    return id
  }

  /** The daemon takes a question back: the id that the host knows. */
  cancel(id: string): string {
    for (const [known, own] of this.#open) {
      if (own !== id) continue
      this.#open.delete(known)
      return known
    }
    return id
  }

  /** The daemon is gone: the questions that nobody waits for any more. */
  leave(): ReadonlyArray<string> {
    const ids = [...this.#open.keys()]
    this.#open.clear()
    for (const id of ids) {
      this.#stale.add(id)
      if (this.#stale.size > maxStale) this.#stale.delete(this.#stale.values().next().value!)
    }
    return ids
  }
}

/** The oldest are forgotten: no host answers them any more. */
const maxStale = 1024
