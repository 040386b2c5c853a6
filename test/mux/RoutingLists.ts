/** What a server's lists must be known to be, and which of them each process must be asked for, by the rules alone. */
import type { Tool } from "@modelcontextprotocol/sdk/types.js"
import { type Making, versions } from "./RoutingEvents.ts"

/** The pool's own request of a process for a list. */
export interface ListAsk {
  readonly kind: ListKind
  readonly generation: number
  readonly tellsChange: boolean
  readonly isOfChain: boolean
}

export type ListKind = "tools" | "prompts"

interface List {
  known: string | null
  generation: number
  isReading: boolean
  isStale: boolean
}

/** What it does to the world. */
export interface ListsOptions {
  /** Asks the process that takes requests; says whether there is one. */
  readonly ask: (ask: ListAsk) => void
  readonly isThere: () => boolean
  readonly announce: (method: string) => void
}

export class ModelLists {
  /** The tools that may be run twice. */
  repeatable: ReadonlySet<string> = new Set()
  readonly #options: ListsOptions
  readonly #lists: { readonly [K in ListKind]: List } = { tools: unknown(), prompts: unknown() }
  #making: Making = { tools: null, isPreflighted: false, prompts: null }

  constructor(options: ListsOptions) {
    this.#options = options
  }

  /** A process takes over. */
  renew(making: Making): void {
    this.#making = making
    for (const list of [this.#lists.tools, this.#lists.prompts]) {
      list.generation++
      list.isReading = false
      list.isStale = false
    }
    if (making.tools === null) this.#take("tools", [])
    else if (making.isPreflighted) this.#take("tools", toolsOf(making.tools))
    else return this.#load("tools", true)
    this.#afterTools()
  }

  /** The process that takes requests says that a list changed. */
  changed(kind: ListKind): void {
    if (this.#lists[kind].isReading) this.#lists[kind].isStale = true
    else this.#load(kind, false)
  }

  /** A process answers: null with an error. */
  answered({ generation, isOfChain, kind, tellsChange }: ListAsk, items: ReadonlyArray<object> | null): void {
    const list = this.#lists[kind]
    if (generation !== list.generation) return
    if (items !== null) this.#keep(kind, items, tellsChange)
    list.isReading = false
    if (isOfChain && kind === "tools") this.#afterTools()
    if (list.isStale) this.#load(kind, false)
  }

  /** The process that was asked has ended. */
  lost({ generation, kind }: ListAsk): void {
    const list = this.#lists[kind]
    if (generation !== list.generation) return
    list.isReading = false
    list.isStale = false
  }

  #afterTools(): void {
    if (!this.#options.isThere()) return
    if (this.#making.prompts === null) this.#take("prompts", [])
    else this.#load("prompts", true)
  }

  #load(kind: ListKind, isOfChain: boolean): void {
    const list = this.#lists[kind]
    list.generation++
    list.isReading = true
    list.isStale = false
    this.#options.ask({ kind, generation: list.generation, tellsChange: isOfChain, isOfChain })
  }

  #take(kind: ListKind, items: ReadonlyArray<object>): void {
    const list = this.#lists[kind]
    list.generation++
    list.isReading = false
    this.#keep(kind, items, true)
  }

  #keep(kind: ListKind, items: ReadonlyArray<object>, tellsChange: boolean): void {
    const list = this.#lists[kind]
    const text = JSON.stringify(items)
    const isChanged = list.known !== null && list.known !== text
    list.known = text
    if (kind === "tools") {
      const tools = (items as ReadonlyArray<Tool>).filter(
        ({ annotations }) => annotations?.readOnlyHint === true || annotations?.idempotentHint === true
      )
      this.repeatable = new Set(tools.map(({ name }) => name))
    }
    if (isChanged && tellsChange) this.#options.announce(`notifications/${kind}/list_changed`)
  }
}

const unknown = (): List => ({ known: null, generation: 0, isReading: false, isStale: false })

/** The tools of a version: `sets` may be run twice in the first only. */
export const toolsOf = (version: number): ReadonlyArray<Tool> => [
  { name: "writes", inputSchema: { type: "object" }, annotations: { idempotentHint: false } },
  { name: "reads", inputSchema: { type: "object" }, annotations: { readOnlyHint: true } },
  { name: "sets", inputSchema: { type: "object" }, annotations: { idempotentHint: version % versions === 0 } },
  ...(version % versions === 2 ? [{ name: "more", inputSchema: { type: "object" as const } }] : [])
]

export const promptsOf = (version: number): ReadonlyArray<{ readonly name: string }> => [{ name: `p${version}` }]
