/**
 * What is known of a server without asking it: its last handshake and its lists, from its processes so far and from those
 * of earlier daemons. Read when it is first needed, and written a moment after it has changed. Plain synchronous code.
 */
import type { Answers } from "../server/HandshakeStore.ts"
import type { Handshake } from "../server/Handshake.ts"
import * as List from "./List.ts"

/** Where it is kept beyond this pool. */
export interface Store {
  readonly read: () => Answers | null
  readonly write: (answers: Answers) => void
}

export class Memory {
  readonly #store: Store | null
  readonly #lists = new Map<string, Buffer>()
  #handshake: Handshake | null = null
  #hasRead = false
  #timer: NodeJS.Timeout | null = null

  /** `store` is null where nothing is kept. */
  constructor(store: Store | null) {
    this.#store = store
  }

  get handshake(): Handshake | null {
    this.#read()
    return this.#handshake
  }

  /** By method, each as one answer without the id. */
  get lists(): ReadonlyMap<string, Buffer> {
    this.#read()
    return this.#lists
  }

  /** A process has shaken hands. */
  shook(handshake: Handshake): void {
    this.#read()
    const isSame = this.#handshake !== null && textOf(this.#handshake) === textOf(handshake)
    this.#handshake = handshake
    if (!isSame) this.#changed()
  }

  /** A list is another from now on, or may not be given. */
  listed(method: string, whole: Buffer | null): void {
    this.#read()
    if (whole === null) this.#lists.delete(method)
    else this.#lists.set(method, whole)
    this.#changed()
  }

  /** Writes what has changed and is not written yet. */
  flush(): void {
    if (this.#timer === null) return
    clearTimeout(this.#timer)
    this.#timer = null
    if (this.#handshake === null || this.#handshake.result["cacheScope"] === "private") return
    const lists = Array.from(this.#lists, ([method, whole]) => [method, List.resultOf(whole)] as const)
    this.#store?.write({ handshake: this.#handshake, lists: new Map(lists) })
  }

  #changed(): void {
    if (this.#store === null) return
    // Who waits for it is served first; and it changes in several steps.
    this.#timer ??= setTimeout(() => this.flush(), writeDelay).unref()
  }

  #read(): void {
    if (this.#hasRead) return
    this.#hasRead = true
    const answers = this.#store?.read() ?? null
    if (answers === null) return
    this.#handshake = answers.handshake
    for (const [method, result] of answers.lists) this.#lists.set(method, List.answerOf(result, "latin1"))
  }
}

/** To be compared; undefined where it is nested too deeply for that. */
const textOf = ({ result }: Handshake): string | undefined => {
  try {
    return JSON.stringify(result)
  } catch {
    return undefined
  }
}

/** Milliseconds. */
const writeDelay = 1000
