/** One server's tools as it lists them, all pages, kept for status and refreshed when the server says they changed. */
import type { Tool } from "@modelcontextprotocol/sdk/types.js"
import type { Outcome } from "./Upstream.ts"

export class ListCache {
  /** The last good list; null before the first. */
  tools: ReadonlyArray<Tool> | null = null
  readonly #ask: (method: string, params: unknown, done: (outcome: Outcome) => void) => void
  readonly #onChanged: () => void
  #text: string | null = null
  #generation = 0
  #settled = true
  #isStale = false
  #watchers: Array<() => void> = []

  constructor(options: {
    readonly ask: (method: string, params: unknown, done: (outcome: Outcome) => void) => void
    /** A new process lists other tools than the one before. */
    readonly onChanged: () => void
  }) {
    this.#ask = options.ask
    this.#onChanged = options.onChanged
  }

  /** A new process is there. */
  renew(hasTools: boolean): void {
    if (hasTools) this.#load(this.#onChanged)
    else this.tools = []
  }

  /** The server says that its tools changed: one reading at a time, and one more for all that it says meanwhile. */
  refresh(): void {
    if (this.#settled) this.#load(() => {})
    else this.#isStale = true
  }

  /** Calls back once no list is being read. */
  whenSettled(done: () => void): void {
    if (this.#settled) done()
    else this.#watchers.push(done)
  }

  #load(onChanged: () => void): void {
    const generation = ++this.#generation
    this.#settled = false
    this.#isStale = false
    this.#page(generation, undefined, [], (tools) => {
      if (tools !== null) {
        const text = textOf(tools)
        const isChanged = this.tools !== null && (text === null || text !== this.#text)
        this.tools = tools
        this.#text = text
        if (isChanged) onChanged()
      }
      this.#settled = true
      if (this.#isStale) return this.#load(() => {})
      for (const watcher of this.#watchers.splice(0)) watcher()
    })
  }

  #page(
    generation: number,
    cursor: string | undefined,
    before: ReadonlyArray<Tool>,
    done: (tools: ReadonlyArray<Tool> | null) => void
  ): void {
    this.#ask("tools/list", cursor === undefined ? {} : { cursor }, (outcome) => {
      // A newer reading has begun: it will finish.
      if (generation !== this.#generation) return
      // The process is gone: the next one is asked anew.
      if (outcome.kind === "refused") this.#isStale = false
      if (outcome.kind !== "result" || typeof outcome.value !== "object" || outcome.value === null) return done(null)
      const page = outcome.value as { readonly tools?: unknown; readonly nextCursor?: unknown }
      const tools = [...before, ...(Array.isArray(page.tools) ? (page.tools as Array<Tool>).filter(isNamed) : [])]
      if (typeof page.nextCursor !== "string" || tools.length >= maxTools) return done(tools)
      this.#page(generation, page.nextCursor, tools, done)
    })
  }
}

/** The list as text, to be compared; null where it is nested too deeply for that, and counts as changed. */
const textOf = (tools: ReadonlyArray<Tool>): string | null => {
  try {
    return JSON.stringify(tools)
  } catch {
    return null
  }
}

const isNamed = (tool: unknown): tool is Tool =>
  typeof tool === "object" && tool !== null && typeof (tool as { readonly name?: unknown }).name === "string"

/** Where a server's pages do not end. */
const maxTools = 10_000
