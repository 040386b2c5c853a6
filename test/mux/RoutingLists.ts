/** What a server's lists must be known to be, and which of them each process must be asked for, by the rules alone. */
import type { Tool } from "@modelcontextprotocol/sdk/types.js"
import { type ListAnswer, type Making, versions } from "./RoutingEvents.ts"
import type { Request } from "./RoutingModel.ts"

/** The pool's own request of a process for a list. */
export interface ListAsk {
  readonly kind: ListKind
  readonly generation: number
  readonly tellsChange: boolean
  readonly isOfChain: boolean
}

export type ListKind = "tools" | "prompts"

/** What a process gives for a list. */
export interface ListResult {
  readonly items: ReadonlyArray<object>
  /** The result as it stands in the line. */
  readonly text: string
  readonly how: Exclude<ListAnswer, "error">
}

interface List {
  known: string | null
  generation: number
  isOffered: boolean
  isPrivate: boolean
  isReading: boolean
  isRead: boolean
  isStale: boolean
  /** Readings that changes alone asked for: time stands still, so that no more than four are without a pause. */
  changes: number
  /** What is given again. */
  result: string | null
  /** What is given while there is no process. */
  whole: string | null
  /** Clients' requests for which the reading that goes on is new enough, and those for which it is not. */
  waiting: ReadonlyArray<Request>
  late: ReadonlyArray<Request>
}

/** What it does to the world. */
export interface ListsOptions {
  /** Asks the process that takes requests; says whether there is one. */
  readonly ask: (ask: ListAsk) => void
  readonly isThere: () => boolean
  readonly announce: (method: string) => void
  /** A client's request has its answer: null for an error; or it goes to the process. */
  readonly give: (request: Request, result: string | null) => void
  readonly forward: (request: Request) => void
  readonly onForwarded: () => void
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
    for (const kind of ["tools", "prompts"] as const) {
      const list = this.#lists[kind]
      list.generation++
      list.isOffered = making[kind] !== null
      list.isReading = list.isRead = list.isStale = list.isPrivate = false
      list.result = null
    }
    if (making.tools === null) this.#take("tools", [])
    else if (making.isPreflighted) this.#take("tools", toolsOf(making.tools))
    else return this.#load("tools", true, true)
    this.#afterTools()
  }

  /** The process that takes requests says that a list changed. */
  changed(kind: ListKind): void {
    const list = this.#lists[kind]
    list.result = null
    if (list.isReading) list.isStale = true
    else this.#loadAgain(kind)
  }

  /** A client asks for a whole list of the process that takes requests; false where that alone can answer. */
  asked(kind: ListKind, request: Request): boolean {
    const list = this.#lists[kind]
    if (!list.isOffered || list.isPrivate) return false
    if (list.result !== null) this.#options.give(request, list.result)
    else if (list.isStale) list.late = [...list.late, request]
    else {
      list.waiting = [...list.waiting, request]
      if (!list.isReading) this.#load(kind, !list.isRead)
    }
    return true
  }

  /** A client asks for a whole list while there is no process; false where nothing is known. */
  askedOfNobody(kind: ListKind, request: Request): boolean {
    const { whole } = this.#lists[kind]
    if (whole !== null) this.#options.give(request, whole)
    return whole !== null
  }

  /** Clients' requests wait no more. */
  withdraw(isWanted: (request: Request) => boolean): void {
    for (const list of [this.#lists.tools, this.#lists.prompts]) {
      for (const request of [...list.waiting, ...list.late].filter(isWanted)) request.isWithdrawn = true
      list.waiting = list.waiting.filter((request) => !isWanted(request))
      list.late = list.late.filter((request) => !isWanted(request))
    }
  }

  /** A process answers: null with an error. */
  answered({ generation, isOfChain, kind, tellsChange }: ListAsk, result: ListResult | null): void {
    const list = this.#lists[kind]
    if (generation !== list.generation) return
    this.#tell(list, result)
    if (result !== null) {
      list.isRead = true
      this.#keep(kind, result.items, tellsChange)
      list.whole = result.how === "private" ? null : result.text
    }
    list.isReading = false
    if (isOfChain && kind === "tools") this.#afterTools()
    if (!list.isStale) return
    list.isStale = false
    this.#loadAgain(kind)
  }

  /** The process that was asked has ended, or takes no more. */
  lost({ generation, kind }: ListAsk): void {
    const list = this.#lists[kind]
    if (generation !== list.generation) return
    list.isReading = false
    list.isStale = false
    const requests = [...list.waiting, ...list.late]
    list.waiting = list.late = []
    for (const request of requests) this.#options.forward(request)
  }

  #tell(list: List, result: ListResult | null): void {
    const { late, waiting } = list
    list.waiting = []
    if (result !== null) list.isPrivate = result.how === "private"
    if (list.isPrivate) {
      list.late = []
      for (const request of [...waiting, ...late]) this.#options.forward(request)
      return this.#options.onForwarded()
    }
    for (const request of waiting) this.#options.give(request, result?.text ?? null)
    if (result?.how === "shared" && !list.isStale) list.result = result.text
  }

  #afterTools(): void {
    if (!this.#options.isThere()) return
    const { isRead, isReading } = this.#lists.prompts
    if (this.#making.prompts === null) this.#take("prompts", [])
    else if (!isRead && !isReading) this.#load("prompts", true, true)
  }

  #loadAgain(kind: ListKind): void {
    const list = this.#lists[kind]
    if (list.late.length === 0 && list.changes++ >= 4) return
    this.#load(kind, false)
  }

  #load(kind: ListKind, tellsChange: boolean, isOfChain = false): void {
    const list = this.#lists[kind]
    list.generation++
    list.isReading = true
    list.isStale = false
    list.waiting = [...list.waiting, ...list.late]
    list.late = []
    this.#options.ask({ kind, generation: list.generation, tellsChange, isOfChain })
  }

  #take(kind: ListKind, items: ReadonlyArray<object>): void {
    const list = this.#lists[kind]
    list.isRead = true
    const before = list.known
    this.#keep(kind, items, true)
    if (!list.isOffered) list.whole = null
    else if (list.whole === null || list.known !== before) list.whole = JSON.stringify({ [kind]: items })
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

const unknown = (): List => ({
  known: null,
  generation: 0,
  isOffered: false,
  isPrivate: false,
  isReading: false,
  isRead: false,
  isStale: false,
  changes: 0,
  result: null,
  whole: null,
  waiting: [],
  late: []
})

/** The tools of a version: `sets` may be run twice in the first only. */
export const toolsOf = (version: number): ReadonlyArray<Tool> => [
  { name: "writes", inputSchema: { type: "object" }, annotations: { idempotentHint: false } },
  { name: "reads", inputSchema: { type: "object" }, annotations: { readOnlyHint: true } },
  { name: "sets", inputSchema: { type: "object" }, annotations: { idempotentHint: version % versions === 0 } },
  ...(version % versions === 2 ? [{ name: "more", inputSchema: { type: "object" as const } }] : [])
]

export const promptsOf = (version: number): ReadonlyArray<{ readonly name: string }> => [{ name: `p${version}` }]
