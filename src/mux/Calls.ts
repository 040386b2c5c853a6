/** What one server has been asked and has not answered: by the id under which it knows it, in the order of asking. */
import type { Client, Outcome } from "./Upstream.ts"

/** A client's request on its way. */
export interface Call {
  readonly client: Client
  /** The client's own id, as JSON text. */
  readonly id: string
  /** The client's own progress token, as JSON text; null where it gave none. */
  readonly token: string | null
  readonly method: string
  readonly tool: string | null
  /** When it was sent, in milliseconds since the epoch. */
  readonly since: number
  /** The line as it came, where it may be run a second time; else null. */
  readonly kept: string | null
  /** It is the second time. */
  readonly isRetry: boolean
  /** Something of it has reached its client: progress. */
  isDelivered: boolean
}

/** A request of the pool's own. */
export interface Ask {
  readonly client: null
  /** A client waits for it. */
  readonly isForClient: boolean
  /** When it was sent, in milliseconds since the epoch. */
  readonly since: number
  readonly done: (outcome: Outcome) => void
}

export class Calls {
  /** Called each time the last one goes. */
  onEmpty: (() => void) | null = null
  readonly #calls = new Map<number, Call | Ask>()
  #nextId = 1

  get size(): number {
    return this.#calls.size
  }

  /** Adds one and says its id, which is never used again. */
  add(call: Call | Ask): number {
    const id = this.#nextId++
    this.#calls.set(id, call)
    return id
  }

  get(id: number): Call | Ask | undefined {
    return this.#calls.get(id)
  }

  take(id: number): Call | Ask | undefined {
    const call = this.#calls.get(id)
    if (call !== undefined) this.#delete(id)
    return call
  }

  takeAll(): ReadonlyArray<readonly [id: number, call: Call | Ask]> {
    const all = [...this.#calls]
    this.#calls.clear()
    return all
  }

  /** Takes a client's calls, those alone for which `isWanted` holds. */
  takeOf(client: Client, isWanted: (call: Call) => boolean): ReadonlyArray<readonly [id: number, call: Call]> {
    const taken: Array<readonly [number, Call]> = []
    for (const [id, call] of this.#calls) {
      if (call.client !== client || !isWanted(call)) continue
      this.#delete(id)
      taken.push([id, call])
    }
    return taken
  }

  /** Takes what nobody but the pool itself waits for. */
  takeOwn(): ReadonlyArray<Ask> {
    const taken: Array<Ask> = []
    for (const [id, call] of this.#calls) {
      if (call.client !== null || call.isForClient) continue
      this.#delete(id)
      taken.push(call)
    }
    return taken
  }

  /** Takes what was sent at `before` or earlier. */
  takeSentBefore(before: number): ReadonlyArray<readonly [id: number, call: Call | Ask]> {
    const taken: Array<readonly [number, Call | Ask]> = []
    for (const [id, call] of this.#calls) {
      if (call.since > before) break
      this.#delete(id)
      taken.push([id, call])
    }
    return taken
  }

  /** How many are clients'. */
  ofClients(): number {
    let count = 0
    for (const { client } of this.#calls.values()) if (client !== null) count++
    return count
  }

  /** The only client that has calls here. */
  soleOwner(): Client | null {
    let owner: Client | null = null
    for (const { client } of this.#calls.values()) {
      if (client === null || client === owner) continue
      if (owner !== null) return null
      owner = client
    }
    return owner
  }

  #delete(id: number): void {
    this.#calls.delete(id)
    if (this.#calls.size === 0) this.onEmpty?.()
  }
}

/** The id in `bytes[from, to)`; -1, which no call has, where it is not one that the pool gives. */
export const idIn = (bytes: Uint8Array, from: number, to: number): number => {
  if (to <= from || to - from > maxDigits) return -1
  let value = 0
  for (let i = from; i < to; i++) {
    const digit = bytes[i]! - 0x30
    if (digit < 0 || digit > 9) return -1
    value = value * 10 + digit
  }
  return value
}

/** What fits a number exactly. */
const maxDigits = 15

/** Ids are equal as JSON values: `1` is `1.0`, and not `"1"`. */
export const canonicalId = (id: string): string => {
  if (/^(\d{1,15}|"[ !#-[\]-~]*")$/.test(id)) return id
  try {
    return JSON.stringify(JSON.parse(Buffer.from(id, "latin1").toString("utf8")))
  } catch {
    // Nested too deeply to be written again: equal to itself.
    return id
  }
}
