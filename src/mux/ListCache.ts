/**
 * One server's lists as it gives them, all pages: its tools kept, for status and for what may be run twice; of prompts,
 * resources and templates only what shows whether they changed. Read from each new process, and when the server says so.
 */
import type { ServerCapabilities, Tool } from "@modelcontextprotocol/sdk/types.js"
import type { Outcome } from "./Upstream.ts"

type Ask = (method: string, params: unknown, done: (outcome: Outcome) => void) => void

export class ListCache {
  /** The names of the first list that the process gave; null before it. */
  initialTools: ReadonlyArray<string> | null = null
  readonly #isThere: () => boolean
  readonly #tools: List
  readonly #others: ReadonlyArray<List>
  #repeatable: ReadonlySet<string> = new Set()

  constructor(options: {
    readonly ask: Ask
    /** Whether there is a process to be asked. */
    readonly isThere: () => boolean
    /** A new process lists other things than the one before; the method announces it. */
    readonly onChanged: (method: string) => void
  }) {
    this.#isThere = options.isThere
    const list = (kind: Kind, onItems: (items: ReadonlyArray<unknown>) => void = () => {}) =>
      new List({ ask: options.ask, kind, onItems, onChanged: () => options.onChanged(kind.announcement) })
    this.#tools = list(kinds.tools, (items) => {
      const tools = (items as ReadonlyArray<Tool>).filter((tool) => tool.annotations !== undefined)
      this.#repeatable = new Set(tools.filter(isRepeatable).map(({ name }) => name))
    })
    this.#others = [kinds.prompts, kinds.resources, kinds.templates].map((kind) => list(kind))
  }

  /** The last good list; null before the first. */
  get tools(): ReadonlyArray<Tool> | null {
    // The cast: what is listed as tools has names, and is otherwise as the server gives it.
    return this.#tools.items as ReadonlyArray<Tool> | null
  }

  /** Whether the server says of a tool that to run it a second time does no harm. */
  isRepeatable(tool: string | null): boolean {
    return tool !== null && this.#repeatable.has(tool)
  }

  /** A new process is there; `tools` where they have been read from it already. */
  renew(capabilities: ServerCapabilities, tools: ReadonlyArray<Tool> | null): void {
    const listed = (items: ReadonlyArray<unknown> | null) => {
      if (items !== null) this.initialTools = (items as ReadonlyArray<Tool>).map(({ name }) => name)
      // One after another: what clients ask goes in between.
      this.#renewOthers(capabilities, 0)
    }
    for (const list of this.#others) list.abandon()
    if (!("tools" in capabilities)) this.#tools.take([], listed)
    else if (tools !== null) this.#tools.take(tools, listed)
    else this.#tools.load(true, listed)
  }

  /** The server says by this notification that a list changed: one reading at a time, and one more for all meanwhile. */
  refresh(method: string): void {
    for (const list of [this.#tools, ...this.#others]) if (list.kind.announcement === method) list.refresh()
  }

  /** Calls back once the tools are not being read. */
  whenSettled(done: () => void): void {
    this.#tools.whenSettled(done)
  }

  #renewOthers(capabilities: ServerCapabilities, index: number): void {
    const list = this.#others[index]
    // Where the process has ended meanwhile, the next one is asked anew.
    if (list === undefined || !this.#isThere()) return
    const next = () => this.#renewOthers(capabilities, index + 1)
    if (list.kind.capability in capabilities) list.load(true, next)
    else list.take([], next)
  }
}

interface Kind {
  readonly capability: "tools" | "prompts" | "resources"
  readonly method: string
  /** Where the items stand in a page. */
  readonly key: string
  readonly announcement: string
  /** Kept as they are; otherwise only whether they changed is known. */
  readonly isKept: boolean
}

const kind = (capability: Kind["capability"], path: string, key: string): Kind => ({
  capability,
  method: `${path}/list`,
  key,
  announcement: `notifications/${capability}/list_changed`,
  isKept: capability === "tools"
})

const kinds = {
  tools: kind("tools", "tools", "tools"),
  prompts: kind("prompts", "prompts", "prompts"),
  resources: kind("resources", "resources", "resources"),
  templates: kind("resources", "resources/templates", "resourceTemplates")
}

/** The pool's requests of a server for one list. */
class List {
  items: ReadonlyArray<unknown> | null = null
  readonly kind: Kind
  readonly #ask: Ask
  readonly #onItems: (items: ReadonlyArray<unknown>) => void
  readonly #onChanged: () => void
  #isKnown = false
  #text: string | null = null
  #generation = 0
  #settled = true
  #isStale = false
  #watchers: Array<() => void> = []

  constructor(options: {
    readonly ask: Ask
    readonly kind: Kind
    readonly onItems: (items: ReadonlyArray<unknown>) => void
    readonly onChanged: () => void
  }) {
    this.kind = options.kind
    this.#ask = options.ask
    this.#onItems = options.onItems
    this.#onChanged = options.onChanged
  }

  refresh(): void {
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
    this.#page(generation, undefined, [], (items) => {
      if (items !== null) this.#keep(items, tellsChange)
      this.#settled = true
      done?.(items)
      if (this.#isStale) return this.load(false)
      this.#tellWatchers()
    })
  }

  /** Forgets a reading that goes on: it is of a process that has been replaced. */
  abandon(): void {
    this.#generation++
    this.#settled = true
    this.#isStale = false
  }

  /** Takes what has been read elsewhere. */
  take(items: ReadonlyArray<unknown>, done: (items: ReadonlyArray<unknown>) => void): void {
    this.#generation++
    this.#keep(items, true)
    this.#settled = true
    this.#isStale = false
    done(items)
    this.#tellWatchers()
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
    this.#onItems(items)
    if (isChanged && tellsChange) this.#onChanged()
  }

  #page(
    generation: number,
    cursor: string | undefined,
    before: ReadonlyArray<unknown>,
    done: (items: ReadonlyArray<unknown> | null) => void
  ): void {
    this.#ask(this.kind.method, cursor === undefined ? {} : { cursor }, (outcome) => {
      // A newer reading has begun: it will finish.
      if (generation !== this.#generation) return
      if (outcome.kind === "refused" && outcome.error._tag !== "RequestTimeout") {
        // The process is gone: the next one is asked anew.
        this.#isStale = false
        this.#settled = true
        return this.#tellWatchers()
      }
      if (outcome.kind !== "result" || typeof outcome.value !== "object" || outcome.value === null) return done(null)
      const page = outcome.value as { readonly [key: string]: unknown }
      const found = page[this.kind.key]
      const items = [...before, ...(Array.isArray(found) ? found.filter(isNamed) : [])]
      if (typeof page["nextCursor"] !== "string" || items.length >= maxItems) return done(items)
      this.#page(generation, page["nextCursor"], items, done)
    })
  }
}

/** As the specification defines the hints; `idempotentHint` means something only beside no `readOnlyHint`. */
const isRepeatable = ({ annotations }: Tool): boolean =>
  annotations?.readOnlyHint === true || annotations?.idempotentHint === true

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
