/**
 * One list of one server: the pool's requests for it, all pages, one reading at a time; and its first page as bytes, for
 * sessions that ask for it while it is fresh, and for those that wait for a reading.
 */
import type { CallOutcome } from "../CallOutcome.ts"
import type { CallAccount } from "./CallAccount.ts"
import type { Call } from "./Calls.ts"
import { hasRoom } from "./Delivery.ts"
import * as Reply from "./Reply.ts"
import type { Member } from "./Member.ts"
import type { Outcome } from "./Upstream.ts"

export interface Kind {
  readonly capability: "tools" | "prompts" | "resources"
  readonly method: string
  /** Where the items stand in a page. */
  readonly key: string
  readonly announcement: string
  /** Kept as they are; otherwise only whether they changed is known. */
  readonly isKept: boolean
}

export interface ListOptions {
  readonly kind: Kind
  /** How long it is fresh, in milliseconds, where the server does not say less. */
  readonly ttl: number
  readonly ask: (method: string, params: unknown, done: (outcome: Outcome) => void) => void
  /** A client's request cannot be answered from here: it waits for its turn at the process. */
  readonly forward: (call: Call) => void
  /** And the process is there. */
  readonly onForwarded: () => void
  readonly account: CallAccount
  /** Its answer leads on to another page. */
  readonly onCursor: (call: Call, cursor: string) => void
  readonly onItems: (items: ReadonlyArray<unknown>) => void
  /** Another process lists other things. */
  readonly onChanged: () => void
}

export class List {
  readonly kind: Kind
  items: ReadonlyArray<unknown> | null = null
  /** The process that is there has it. */
  isOffered = false
  /** The process that is there has been asked for it, and has answered. */
  isRead = false
  readonly #options: ListOptions
  #isKnown = false
  #text: string | null = null
  #generation = 0
  #settled = true
  #isStale = false
  #watchers: Array<() => void> = []
  /** An answer without the id, which ends it; null where there is none that may be given again. */
  #answer: Buffer | null = null
  /** The next page of that. */
  #cursor: string | null = null
  /** Milliseconds since the epoch. */
  #freshUntil = 0
  /** The server says that its answers are one client's alone. */
  #isPrivate = false
  /** Requests of clients for which the reading that goes on is new enough, and those that need the one after it. */
  #waiting: Array<Call> = []
  #late: Array<Call> = []

  constructor(options: ListOptions) {
    this.kind = options.kind
    this.#options = options
  }

  get isReading(): boolean {
    return !this.#settled
  }

  /** What one client gets is what another gets. */
  get isShared(): boolean {
    return this.isOffered && !this.#isPrivate
  }

  /** What was read last, to be compared; null where nothing was. */
  get text(): string | null {
    return this.#text
  }

  /** Whether a member waits for it. */
  has(member: Member): boolean {
    return this.#waiting.some((call) => call.member === member) || this.#late.some((call) => call.member === member)
  }

  /** Answers a client's request for its first page, now or once it has been read. */
  answer(call: Call): void {
    const now = Date.now()
    if (this.#answer !== null && now < this.#freshUntil) {
      call.traffic.cacheHits++
      this.#give(call, this.#answer, now)
    } else if (this.#isStale) this.#late.push(call)
    else {
      this.#waiting.push(call)
      if (this.#settled) this.load(!this.isRead)
    }
  }

  /** Withdraws a member's requests, or those alone that `isWanted` names. */
  withdraw(member: Member, outcome: CallOutcome, isWanted: (id: string) => boolean): void {
    const goes = (call: Call) => call.member === member && isWanted(call.id)
    const withdrawn = [...this.#waiting, ...this.#late].filter(goes)
    if (withdrawn.length === 0) return
    this.#waiting = this.#waiting.filter((call) => !goes(call))
    this.#late = this.#late.filter((call) => !goes(call))
    for (const call of withdrawn) {
      this.#options.account.drop(call, outcome)
      call.client.settled()
    }
  }

  /** The server says that it changed: what has been read is not given again. */
  refresh(): void {
    this.#answer = null
    if (this.#settled) this.load(false)
    else this.#isStale = true
  }

  whenSettled(done: () => void): void {
    if (this.#settled) done()
    else this.#watchers.push(done)
  }

  /** Reads it; a change is told of where the server itself does not. */
  load(tellsChange: boolean, done?: (items: ReadonlyArray<unknown> | null) => void): void {
    const generation = ++this.#generation
    this.#settled = false
    this.#isStale = false
    this.#waiting.push(...this.#late.splice(0))
    this.#page(generation, undefined, [], (items) => {
      if (items !== null) {
        this.isRead = true
        this.#keep(items, tellsChange)
      }
      this.#settled = true
      done?.(items)
      if (this.#isStale) return this.load(false)
      this.#tellWatchers()
    })
  }

  /** Another process is there: what was read, and a reading that goes on, are of the one before. */
  renew(isOffered: boolean): void {
    this.#generation++
    this.isOffered = isOffered
    this.isRead = false
    this.#isPrivate = false
    this.#answer = null
    this.#settle()
  }

  /** Takes what has been read elsewhere. */
  take(items: ReadonlyArray<unknown>, done: (items: ReadonlyArray<unknown>) => void): void {
    this.isRead = true
    this.#keep(items, true)
    done(items)
    this.#tellWatchers()
  }

  #settle(): void {
    this.#settled = true
    this.#isStale = false
    for (const call of [...this.#waiting.splice(0), ...this.#late.splice(0)]) this.#options.forward(call)
  }

  #tellWatchers(): void {
    for (const watcher of this.#watchers.splice(0)) watcher()
  }

  #keep(items: ReadonlyArray<unknown>, tellsChange: boolean): void {
    const text = textOf(items)
    const isChanged = this.#isKnown && (text === null || text !== this.#text)
    this.#isKnown = true
    this.#text = text
    if (this.kind.isKept) this.items = items
    this.#options.onItems(items)
    if (isChanged && tellsChange) this.#options.onChanged()
  }

  #page(
    generation: number,
    cursor: string | undefined,
    before: ReadonlyArray<unknown>,
    done: (items: ReadonlyArray<unknown> | null) => void
  ): void {
    this.#options.ask(this.kind.method, cursor === undefined ? {} : { cursor }, (outcome) => {
      // A newer reading has begun: it will finish.
      if (generation !== this.#generation) return
      if (outcome.kind === "refused" && outcome.error._tag !== "RequestTimeout") {
        // The process is gone: the next one is asked anew.
        this.#settle()
        return this.#tellWatchers()
      }
      const page = outcome.kind === "result" ? recordOf(outcome.value) : null
      if (cursor === undefined) this.#first(outcome, page)
      if (page === null) return done(null)
      const found = page[this.kind.key]
      const items = [...before, ...(Array.isArray(found) ? found.filter(isNamed) : [])]
      if (typeof page["nextCursor"] !== "string" || items.length >= maxItems) return done(items)
      this.#page(generation, page["nextCursor"], items, done)
    })
  }

  /** The first page is what a session gets that asks for the list; the server's cursor in it leads on. */
  #first(outcome: Outcome, page: Record | null): void {
    const waiting = this.#waiting.splice(0)
    if (page !== null) this.#isPrivate = page["cacheScope"] === "private"
    if (this.#isPrivate) {
      for (const call of [...waiting, ...this.#late.splice(0)]) this.#options.forward(call)
      this.#options.onForwarded()
    } else if (outcome.kind === "result") {
      const answer = Buffer.from(`{"jsonrpc":"2.0","result":${outcome.text},"id":`, "latin1")
      this.#cursor = typeof page?.["nextCursor"] === "string" ? page["nextCursor"] : null
      const now = Date.now()
      for (const call of waiting) this.#give(call, answer, now)
      if (this.#isStale || !Array.isArray(page?.[this.kind.key])) return
      const ttl = page["ttlMs"]
      this.#answer = answer
      this.#freshUntil = now + Math.min(this.#options.ttl, typeof ttl === "number" ? ttl : Infinity)
    } else for (const call of waiting) this.#fail(call, outcome)
  }

  #give(call: Call, answer: Buffer, now: number): void {
    const { client, id } = call
    if (this.#cursor !== null) this.#options.onCursor(call, this.#cursor)
    const end = `${id}}\n`
    this.#options.account.end(call, "ok", answer.length + end.length - 1, now)
    if (hasRoom(client, answer.length)) {
      client.out.push(answer)
      client.out.push(end)
    }
    client.settled()
  }

  #fail(call: Call, outcome: Exclude<Outcome, { readonly kind: "result" }>): void {
    const { account } = this.#options
    const { client, id } = call
    if (outcome.kind === "refused") account.fail(call, outcome.error)
    else {
      const answer = Reply.error(id, outcome.text)
      account.end(call, "rejected", answer.length - 1, Date.now())
      if (hasRoom(client, answer.length)) client.out.push(answer)
    }
    client.settled()
  }
}

type Record = { readonly [key: string]: unknown }

const recordOf = (value: unknown): Record | null =>
  typeof value === "object" && value !== null ? (value as Record) : null

/** The list as text, to be compared; null where it is nested too deeply for that, and counts as changed. */
const textOf = (items: ReadonlyArray<unknown>): string | null => {
  try {
    return JSON.stringify(items)
  } catch {
    return null
  }
}

const isNamed = (item: unknown): boolean =>
  typeof item === "object" && item !== null && typeof (item as { readonly name?: unknown }).name === "string"

/** Where a server's pages do not end. */
const maxItems = 10_000
