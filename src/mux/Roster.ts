/**
 * The tools that one process lists, read for the gates of its server's names: when it is new, and again when it says that
 * they changed. Calls wait for it. Plain synchronous code; lives as long as the process.
 */
import type { Digests, Gate } from "./Gate.ts"
import { Pace } from "./Pace.ts"
import type { Outcome } from "./Upstream.ts"

export interface RosterOptions {
  /** The process offers tools at all. */
  readonly hasTools: boolean
  readonly ask: (params: object, done: (outcome: Outcome) => void) => void
  readonly gates: () => ReadonlyArray<Gate>
  /** The process is there, and gets calls. */
  readonly isCurrent: () => boolean
  /** What was asked for is known, or known not to be told. */
  readonly onRead: () => void
}

export class Roster {
  /** Null where the process did not tell. */
  digests: Digests | null = null
  readonly #options: RosterOptions
  #isKnown = false
  #isReading = false
  #isStale = false
  /** Of the readings that only a change asks for. */
  readonly #pace = new Pace()
  /** Calls that have waited for a reading. */
  readonly #waited = new WeakSet<object>()

  constructor(options: RosterOptions) {
    this.#options = options
  }

  /** It was looked at, or is being read, or will be soon. */
  get #isRead(): boolean {
    return this.#isKnown || this.#isReading || this.#pace.isPausing
  }

  /** Whether a call may be judged by it; where not, it will be soon. */
  isKnownFor(call: object): boolean {
    // Where the process did not tell, it is asked again for who calls again.
    const isUntold = this.#isKnown && this.digests === null && !this.#waited.has(call)
    if (isUntold || (!this.#isKnown && !this.#isReading)) this.refresh()
    if (!this.#isKnown) this.#waited.add(call)
    return this.#isKnown
  }

  /** The process, or one of the gates, is new; what the process has listed already is given, or null. */
  look(tools: ReadonlyArray<unknown> | null): void {
    if (this.#options.gates().length === 0) return
    if (tools === null || this.#isRead) this.refresh()
    else this.take(tools)
  }

  /** The process says that its tools are others. */
  refreshIfRead(): void {
    if (this.#isReading) this.#isStale = true
    else if (this.#isRead) this.#refreshSoon()
  }

  /** What was read holds no more: it is read before the next call, and otherwise not too often. */
  #refreshSoon(): void {
    this.#isKnown = false
    this.#pace.again(() => {
      if (this.#options.isCurrent()) this.refresh()
    })
  }

  /** What was read holds no more: it is read now, or again after the reading that goes on. */
  refresh(): void {
    this.#isKnown = false
    if (this.#isReading) {
      this.#isStale = true
      return
    }
    this.#pace.stop()
    if (!this.#options.hasTools) return this.take([])
    this.#isReading = true
    this.#page([], undefined, 1)
  }

  /** Takes what has been read elsewhere. */
  take(tools: ReadonlyArray<unknown> | null): void {
    const gates = this.#options.gates()
    // Nobody looks any more.
    this.#isKnown = gates.length > 0
    this.digests = tools === null ? null : (gates[0]?.digests(tools) ?? null)
    if (tools !== null && this.digests !== null) for (const gate of gates) gate.listed(tools, this.digests)
  }

  /**
   * The process has listed these to others, all of its tools or some: where they are not what was read, it has changed them
   * and not said so.
   */
  saw(tools: ReadonlyArray<unknown>, areAll: boolean): void {
    const known = this.#isKnown ? this.digests : null
    const seen = this.#options.gates()[0]?.digests(tools)
    if (known === null || seen === undefined) return
    const isComplete = !areAll || seen.size === known.size
    if (isComplete && [...seen].every(([name, digest]) => known.get(name) === digest)) return
    if (areAll) this.take(tools)
    else this.refresh()
  }

  #page(before: ReadonlyArray<unknown>, cursor: string | undefined, count: number): void {
    this.#options.ask(cursor === undefined ? {} : { cursor }, (outcome) => {
      if (outcome.kind === "refused" && !this.#options.isCurrent()) {
        this.#isReading = false
        return
      }
      const page = outcome.kind === "result" ? (outcome.value as { readonly [key: string]: unknown } | null) : null
      const found = page?.["tools"]
      if (!Array.isArray(found)) return this.#end(null)
      const tools = [...before, ...(found as ReadonlyArray<unknown>)]
      const next = page?.["nextCursor"]
      const goesOn = typeof next === "string" && tools.length < maxTools && count < maxPages
      if (goesOn) this.#page(tools, next, count + 1)
      else this.#end(tools)
    })
  }

  #end(tools: ReadonlyArray<unknown> | null): void {
    this.#isReading = false
    // What waits is judged by it, even where the server changes them faster than it lists them.
    this.take(tools)
    this.#options.onRead()
    if (!this.#isStale) return
    this.#isStale = false
    this.#refreshSoon()
  }
}

const maxTools = 10_000
const maxPages = 1000
