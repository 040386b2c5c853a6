/** The host's requests that the daemon has and has not answered, in order, each with a note of what it asks for. */

export class Requests {
  /** By id, as JSON text: the note, or the notes of several with one id, which a host should not send. */
  readonly #notes = new Map<string, string | Array<string>>()

  get size(): number {
    return this.#notes.size
  }

  add(id: string, note: string): void {
    const other = this.#notes.get(id)
    if (other === undefined) this.#notes.set(id, note)
    else if (typeof other === "string") this.#notes.set(id, [other, note])
    else other.push(note)
  }

  /** It is not in flight any more: its note, or undefined where it was not. */
  take(id: string): string | undefined {
    const note = this.#notes.get(id)
    if (typeof note !== "object") {
      if (note !== undefined) this.#notes.delete(id)
      return note
    }
    const first = note.shift()
    if (note.length === 0) this.#notes.delete(id)
    return first
  }

  /** Takes all of them. */
  takeAll(): ReadonlyArray<readonly [id: string, note: string]> {
    const all = [...this.#notes].flatMap(([id, note]) =>
      typeof note === "string" ? [[id, note] as const] : note.map((it) => [id, it] as const)
    )
    this.#notes.clear()
    return all
  }
}
