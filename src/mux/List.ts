/**
 * One list of one server: the pool's requests for it, all pages, one reading at a time; its first page as bytes, for
 * sessions that ask for it while it is fresh, and for those that wait for a reading; and the whole of it as bytes, for
 * those that ask while there is no process.
 */
import type { CallOutcome } from "../CallOutcome.ts"
import type { CallAccount } from "./CallAccount.ts"
import type { Call } from "./Calls.ts"
import { hasRoom } from "./Delivery.ts"
import type { Gate } from "./Gate.ts"
import * as Gating from "./Gating.ts"
import * as Reply from "./Reply.ts"
import type { Member } from "./Member.ts"
import { Pace } from "./Pace.ts"
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
  /** Whether there is a process to be asked. */
  readonly isThere: () => boolean
  readonly ask: (method: string, params: unknown, done: (outcome: Outcome) => void) => void
  /** A client's request cannot be answered from here: it waits for its turn at the process. */
  readonly forward: (call: Call) => void
  /** And the process is there. */
  readonly onForwarded: () => void
  readonly account: CallAccount
  /** Its answer leads on to another page. */
  readonly onCursor: (call: Call, cursor: string) => void
  readonly onItems: (items: ReadonlyArray<unknown>) => void
  /** The process that is there has been asked for them, and has these. */
  readonly onRead: (items: ReadonlyArray<unknown>) => void
  /** What it gives without a process is something else from now on: see {@link List.whole}. */
  readonly onWhole: (whole: Buffer | null) => void
  /** Another process lists other things. */
  readonly onChanged: () => void
}

export class List {
  readonly kind: Kind
  items: ReadonlyArray<unknown> | null = null
  /** All of it as one answer without the id, which ends it; null where it is not known, or not for everybody. */
  whole: Buffer | null = null
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
  /** Of the readings that only a change asks for. */
  readonly #pace = new Pace()
  /** Who waits for it to settle: since before the reading that goes on, and since then. */
  #early: Array<() => void> = []
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

  /** Answers a client's request with what was known last, where there is such an answer. */
  recall(call: Call): void {
    if (this.whole === null) return this.#options.forward(call)
    call.traffic.cacheHits++
    this.#end(call, this.whole, Date.now())
  }

  /** Takes what is known of an earlier process: an answer as {@link whole} is. */
  remember(answer: Buffer): void {
    if (this.#isKnown) return
    const page = recordOf(parse(resultOf(answer)))
    const items = page?.[this.kind.key]
    if (page === null || page["cacheScope"] === "private" || !Array.isArray(items)) return
    this.whole = answer
    this.#take(items.filter(isNamed))
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
    if (this.#settled) this.#loadAgain()
    else this.#isStale = true
  }

  /** Calls back once it is not being read, and need not be; where it changes all the time, once it was read after this. */
  whenSettled(done: () => void): void {
    if (this.#settled && !this.#pace.isPausing) done()
    else this.#watchers.push(done)
  }

  /** Reads it; a change is told of where the server itself does not. */
  load(tellsChange: boolean, done?: (items: ReadonlyArray<unknown> | null) => void): void {
    const generation = ++this.#generation
    this.#pace.stop()
    this.#settled = false
    this.#isStale = false
    this.#early.push(...this.#watchers.splice(0))
    this.#waiting.push(...this.#late.splice(0))
    this.#page(generation, undefined, { items: [], isForAll: true }, (items, whole) => {
      if (items !== null) {
        this.isRead = true
        this.#keep(items, tellsChange, whole)
        if (!this.#isStale) this.#options.onRead(items)
      }
      this.#settled = true
      done?.(items)
      if (!this.#isStale) return this.#tellWatchers()
      this.#isStale = false
      this.#loadAgain()
    })
  }

  /** It changed since it was read. */
  #loadAgain(): void {
    // Who asks for it waits for no pause.
    if (this.#late.length > 0) return this.load(false)
    this.#pace.again(() => {
      if (this.#options.isThere()) this.load(false)
      else this.#tellWatchers()
    })
    if (this.#pace.isPausing) for (const watcher of this.#early.splice(0)) watcher()
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
    this.#keep(items, true, this.isOffered ? "as items" : null)
    done(items)
    this.#tellWatchers()
  }

  #settle(): void {
    this.#pace.stop()
    this.#settled = true
    this.#isStale = false
    for (const call of [...this.#waiting.splice(0), ...this.#late.splice(0)]) this.#options.forward(call)
  }

  #tellWatchers(): void {
    for (const watcher of [...this.#early.splice(0), ...this.#watchers.splice(0)]) watcher()
  }

  #keep(items: ReadonlyArray<unknown>, tellsChange: boolean, whole: Whole): void {
    const isKnown = this.#isKnown
    const before = this.#text
    const text = this.#take(items)
    const isSame = isKnown && text !== null && text === before
    this.#keepWhole(whole === "as items" ? this.#ofItems(text, isSame) : whole)
    if (isKnown && !isSame && tellsChange) this.#options.onChanged()
  }

  /** Items that are the same as before may have come in an answer of the server's own. */
  #ofItems(text: string | null, isSame: boolean): Buffer | null {
    if (isSame && this.whole !== null) return this.whole
    return text === null ? null : answerOf(`{"${this.kind.key}":${text}}`, "utf8")
  }

  #keepWhole(whole: Buffer | null): void {
    if (whole === this.whole || (whole !== null && this.whole?.equals(whole) === true)) return
    this.whole = whole
    this.#options.onWhole(whole)
  }

  /** Says what it is as text. */
  #take(items: ReadonlyArray<unknown>): string | null {
    this.#isKnown = true
    this.#text = textOf(items)
    if (this.kind.isKept) this.items = items
    this.#options.onItems(items)
    return this.#text
  }

  #page(
    generation: number,
    cursor: string | undefined,
    before: { readonly items: ReadonlyArray<unknown>; readonly isForAll: boolean },
    done: (items: ReadonlyArray<unknown> | null, whole: Whole) => void
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
      const answer = outcome.kind === "result" ? answerOf(outcome.text, "latin1") : null
      if (cursor === undefined) this.#first(outcome, page, answer)
      if (page === null) return done(null, null)
      const found = page[this.kind.key]
      const items = [...before.items, ...(Array.isArray(found) ? found.filter(isNamed) : [])]
      const isForAll = before.isForAll && Array.isArray(found) && page["cacheScope"] !== "private"
      const next = typeof page["nextCursor"] === "string" ? page["nextCursor"] : null
      if (next !== null && items.length < maxItems) return this.#page(generation, next, { items, isForAll }, done)
      done(items, next !== null || !isForAll ? null : cursor === undefined ? answer : "as items")
    })
  }

  /** The first page is what a session gets that asks for the list; the server's cursor in it leads on. */
  #first(outcome: Outcome, page: Record | null, answer: Buffer | null): void {
    const waiting = this.#waiting.splice(0)
    if (page !== null) this.#isPrivate = page["cacheScope"] === "private"
    if (this.#isPrivate) {
      for (const call of [...waiting, ...this.#late.splice(0)]) this.#options.forward(call)
      this.#options.onForwarded()
    } else if (outcome.kind !== "result") for (const call of waiting) this.#fail(call, outcome)
    else if (answer !== null) {
      this.#cursor = typeof page?.["nextCursor"] === "string" ? page["nextCursor"] : null
      const now = Date.now()
      for (const call of waiting) this.#give(call, answer, now)
      if (this.#isStale || !Array.isArray(page?.[this.kind.key])) return
      const ttl = page["ttlMs"]
      this.#answer = answer
      this.#freshUntil = now + Math.min(this.#options.ttl, typeof ttl === "number" ? ttl : Infinity)
    }
  }

  #give(call: Call, answer: Buffer, now: number): void {
    if (this.#cursor !== null) this.#options.onCursor(call, this.#cursor)
    this.#end(call, answer, now)
  }

  #end(call: Call, known: Buffer, now: number): void {
    const { client, id } = call
    const gate = Gating.ofList(call)
    const answer = gate?.blocks === true ? offered(gate, known) : known
    const end = `${id}}\n`
    this.#options.account.end(call, "ok", answer.length + end.length - 1, now)
    if (hasRoom(client, answer.length)) {
      const out = client.answerTo(id)
      out.push(answer)
      out.push(end)
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
      if (hasRoom(client, answer.length)) client.answerTo(id).push(answer)
    }
    client.settled()
  }
}

/** All of a list as one answer: as the server gave it, or to be made of its items; null where it may not be given. */
type Whole = Buffer | "as items" | null

/** An answer without what a gate keeps back. */
const offered = (gate: Gate, answer: Buffer): Buffer => {
  const before = gate.offers.get(answer)
  if (before !== undefined) return before
  const given = answerOf(gate.offered(resultOf(answer)), "latin1")
  gate.offers.set(answer, given)
  return given
}

/** An answer without the id, which ends it; `result` is JSON text, either as it is or as latin-1. */
export const answerOf = (result: string, encoding: "utf8" | "latin1"): Buffer =>
  Buffer.from(`${head}${result}${tail}`, encoding)

/** The result in such an answer, as latin-1. */
export const resultOf = (answer: Buffer): string => answer.toString("latin1", head.length, answer.length - tail.length)

const head = '{"jsonrpc":"2.0","result":'
const tail = ',"id":'

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

/** JSON as latin-1; null where it is none. */
const parse = (text: string): unknown => {
  try {
    return JSON.parse(Buffer.from(text, "latin1").toString("utf8"))
  } catch {
    return null
  }
}

const isNamed = (item: unknown): boolean =>
  typeof item === "object" && item !== null && typeof (item as { readonly name?: unknown }).name === "string"

/** Where a server's pages do not end. */
const maxItems = 10_000
