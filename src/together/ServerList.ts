/**
 * One list of one server, whole, as it is shown among those of the others: read when somebody asks and it is not fresh, and
 * when the server says that it changed. One reading at a time serves all who wait. Plain synchronous code.
 */
import type { Answer } from "../mux/LocalClient.ts"
import { Pace } from "../mux/Pace.ts"
import { methodNotFound } from "../WireError.ts"
import type { Kind } from "./Kinds.ts"

/** One item. */
export interface Item {
  /** Under which it is shown: a name, a URI or a template. */
  readonly shown: string
  /** As the server calls it. */
  readonly own: string
  /** As it is shown, as JSON text. */
  readonly text: string
}

export interface ServerListOptions {
  readonly kind: Kind
  readonly server: string
  /** Whether the server has such a list at all, as far as it is known. */
  readonly isOffered: () => boolean
  /** How long it is fresh, in milliseconds, where the server does not say less. */
  readonly ttl: () => number
  /** Asks the server for a page. */
  readonly ask: (params: { readonly [key: string]: unknown }, onAnswer: (answer: Answer) => void) => void
  /** It is another than it was. */
  readonly onChanged: () => void
}

export class ServerList {
  /** Null where the server gives none now. */
  items: ReadonlyArray<Item> | null = null
  /** Somebody has asked for it, and the server has answered, or will not. */
  isRead = false
  /** Milliseconds since the epoch. */
  freshUntil = 0
  readonly #options: ServerListOptions
  #text = ""
  /** It was waited for in vain: nobody waits for it again until the server has given it. */
  isLate = false
  #isReading = false
  #isStale = false
  /** Of the readings that only a change asks for. */
  readonly #pace = new Pace()
  /** Who waits for the reading that goes on, and who needs the one after it. */
  #waiting: Array<() => void> = []
  #late: Array<() => void> = []

  constructor(options: ServerListOptions) {
    this.#options = options
  }

  /** Calls back once it is fresh, or cannot be had. */
  whenFresh(done: () => void): void {
    const isFresh = !this.#isReading && this.isRead && Date.now() < this.freshUntil
    if (!isFresh && !this.isLate) return this.#wait(done)
    if (!isFresh && !this.#isReading) this.#read()
    done()
  }

  /** Calls back once it has been read, however long ago. */
  whenRead(done: () => void): void {
    if (this.isLate || this.isRead) done()
    else this.#wait(done)
  }

  /** Who waited for it goes on without it. */
  giveUp(): void {
    if (this.#isReading) this.isLate = true
  }

  /** It may be another: it is read again, not too often, where somebody has asked for it before. */
  outdate(): void {
    this.freshUntil = 0
    if (this.#isReading) this.#isStale = true
    else if (this.isRead) this.#pace.again(() => this.#read())
  }

  /** The server is not asked again unless somebody needs it. */
  rest(): void {
    this.#pace.stop()
  }

  /** Who was asked is gone, and answers no more. */
  abandon(): void {
    this.rest()
    if (!this.#isReading) return
    this.#isStale = false
    this.#fail(true)
  }

  #wait(done: () => void): void {
    if (this.#isStale) this.#late.push(done)
    else this.#waiting.push(done)
    if (!this.#isReading) this.#read()
  }

  #read(): void {
    this.#pace.stop()
    this.#isReading = true
    this.#isStale = false
    this.#waiting.push(...this.#late.splice(0))
    if (this.#options.isOffered()) this.#page(undefined, { items: new Map(), ttl: this.#options.ttl(), pages: 0 })
    else this.#keep(new Map(), this.#options.ttl())
  }

  #page(cursor: string | undefined, read: Read): void {
    const { ask, kind } = this.#options
    ask(cursor === undefined ? {} : { cursor }, (answer) => {
      if (answer.kind === "refused") return this.#fail(true)
      if (answer.kind === "error") {
        // A server that does not know the method has none.
        const { code } = (answer.error ?? {}) as { readonly code?: unknown }
        return code === methodNotFound ? this.#keep(read.items, read.ttl) : this.#fail(false)
      }
      const page = (answer.value ?? {}) as { readonly [key: string]: unknown }
      const found = page[kind.key]
      if (!Array.isArray(found)) return this.#fail(false)
      for (const value of found as ReadonlyArray<unknown>) {
        const item = this.#itemOf(value)
        if (item !== null && !read.items.has(item.own)) read.items.set(item.own, item)
      }
      // What is one client's alone is asked for each time.
      const ttl = page["cacheScope"] === "private" ? 0 : page["ttlMs"]
      if (typeof ttl === "number") read.ttl = Math.min(read.ttl, Math.max(0, ttl))
      const next = page["nextCursor"]
      if (typeof next === "string" && read.items.size < maxItems && ++read.pages < maxPages)
        return this.#page(next, read)
      this.#keep(read.items, read.ttl)
    })
  }

  #itemOf(value: unknown): Item | null {
    if (typeof value !== "object" || value === null) return null
    const { kind, server } = this.#options
    const own = (value as { readonly [key: string]: unknown })[kind.id]
    if (typeof own !== "string") return null
    const shown = kind.shown(server, own)
    try {
      return { shown, own, text: JSON.stringify({ ...value, [kind.id]: shown }) }
    } catch {
      // It is nested too deeply to be written again.
      return null
    }
  }

  /** Where the server is there and makes a mistake, what is known of it goes on. */
  #fail(isGone: boolean): void {
    const isChanged = isGone && this.items !== null
    if (isGone) {
      this.items = null
      this.#text = ""
    }
    this.#settle(retryAfter, isChanged)
  }

  #keep(items: ReadonlyMap<string, Item>, ttl: number): void {
    const values = [...items.values()]
    const text = values.map(({ text }) => text).join()
    const isChanged = this.items === null ? values.length > 0 : text !== this.#text
    this.items = values
    this.#text = text
    this.isLate = false
    this.#settle(ttl, isChanged)
  }

  #settle(ttl: number, isChanged: boolean): void {
    this.isRead = true
    this.#isReading = false
    this.freshUntil = Date.now() + ttl
    if (isChanged) this.#options.onChanged()
    const waiting = this.#waiting.splice(0)
    const isStale = this.#isStale
    // A server that says so whenever it is asked keeps nobody waiting: the change was not there when these asked.
    if (!isStale) waiting.push(...this.#late.splice(0))
    for (const done of waiting) done()
    if (!isStale || this.#isReading) return
    if (this.#late.length > 0) this.#read()
    else this.outdate()
  }
}

/** What has been read so far. */
interface Read {
  readonly items: Map<string, Item>
  /** The shortest that any page says. */
  ttl: number
  pages: number
}

/** How soon after a failure a server is asked again, in milliseconds. */
const retryAfter = 5000
/** Where a server's pages do not end. */
const maxItems = 10_000
const maxPages = 1000
