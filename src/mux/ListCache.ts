/**
 * One server's lists as it gives them: its tools kept, for status and for what may be run twice; of prompts, resources and
 * templates what shows whether they changed; and of each its first page, for sessions. Read from each new process, when the
 * server says so, and when a session asks for one that is not fresh. What was known last is given while there is no process.
 */
import type { ServerCapabilities, Tool } from "@modelcontextprotocol/sdk/types.js"
import type { CallOutcome } from "../CallOutcome.ts"
import type { Call } from "./Calls.ts"
import { type Kind, List, type ListOptions } from "./List.ts"
import type { Member } from "./Member.ts"
import type { KnownLists } from "./Upstream.ts"

export class ListCache implements KnownLists {
  /** The names of the first list that the process gave; null before it. */
  initialTools: ReadonlyArray<string> | null = null
  readonly #isThere: () => boolean
  readonly #recall: () => ReadonlyMap<string, Buffer>
  #hasRecalled = false
  readonly #tools: List
  readonly #others: ReadonlyArray<List>
  readonly #all: ReadonlyMap<string, List>
  #repeatable: ReadonlySet<string> = new Set()
  /** Processes so far. */
  #renewals = 0
  /** All have been read of the process that came last. */
  #isComplete = false
  #awaiting: Array<() => void> = []

  constructor(
    options: Pick<ListOptions, "ttl" | "isThere" | "ask" | "forward" | "onForwarded" | "account" | "onCursor"> & {
      /** A new process lists other things than the one before; the method announces it. */
      readonly onChanged: (method: string) => void
      /** What is known of earlier processes, by method, each as one answer without the id; asked for once, if ever. */
      readonly recall: () => ReadonlyMap<string, Buffer>
      /** That has changed; null where it is not known any more. */
      readonly onWhole: (method: string, whole: Buffer | null) => void
      /** The process that is there has these tools. */
      readonly onTools: (tools: ReadonlyArray<unknown>) => void
    }
  ) {
    this.#isThere = options.isThere
    this.#recall = options.recall
    const list = (kind: Kind, onItems: (items: ReadonlyArray<unknown>) => void = () => {}) =>
      new List({
        ...options,
        kind,
        onItems,
        onRead: kind === kinds.tools ? options.onTools : () => {},
        onWhole: (whole) => options.onWhole(kind.method, whole),
        onChanged: () => options.onChanged(kind.announcement)
      })
    this.#tools = list(kinds.tools, (items) => {
      const tools = (items as ReadonlyArray<Tool>).filter((tool) => tool.annotations !== undefined)
      this.#repeatable = new Set(tools.filter(isRepeatable).map(({ name }) => name))
    })
    this.#others = [kinds.prompts, kinds.resources, kinds.templates].map((kind) => list(kind))
    this.#all = new Map([this.#tools, ...this.#others].map((list) => [list.kind.method, list]))
  }

  /** The last good list; null before the first. */
  get tools(): ReadonlyArray<Tool> | null {
    this.#remember()
    // The cast: what is listed as tools has names, and is otherwise as the server gives it.
    return this.#tools.items as ReadonlyArray<Tool> | null
  }

  /** Whether the server says of a tool that to run it a second time does no harm. */
  isRepeatable(tool: string | null): boolean {
    return tool !== null && this.#repeatable.has(tool)
  }

  /** Whether requests for a whole list, by its method, are answered here: not those for what only the server can say. */
  answers(method: string): boolean {
    const list = this.#all.get(method)
    if (this.#isThere()) return list?.isShared ?? false
    this.#remember()
    return list !== undefined && list.whole !== null
  }

  /**
   * Answers a client's request for a whole list, which {@link answers} allows, with what the process that is there gave for
   * it, now or once it has been read; without one, with what was known last. Many that wait cost it one request. `kept` is
   * the line as it came.
   */
  answer(call: Call): void {
    const list = this.#all.get(call.method)
    if (this.#isThere()) list?.answer(call)
    else list?.recall(call)
  }

  /** Whether a member waits for a list. */
  has(member: Member): boolean {
    for (const list of this.#all.values()) if (list.has(member)) return true
    return false
  }

  texts(): ReadonlyMap<string, string | null> {
    this.#remember()
    const texts = new Map<string, string | null>()
    for (const { kind, text } of this.#all.values()) {
      const before = texts.get(kind.announcement)
      // Resources and their templates are announced as one.
      texts.set(
        kind.announcement,
        before === undefined ? text : text === null || before === null ? null : before + text
      )
    }
    return texts
  }

  whenRead(done: () => void): void {
    if (this.#isComplete) done()
    else this.#awaiting.push(done)
  }

  /** Withdraws a member's requests that wait here, or those alone that `isWanted` names. */
  withdraw(member: Member, outcome: CallOutcome, isWanted: (id: string) => boolean = () => true): void {
    for (const list of this.#all.values()) list.withdraw(member, outcome, isWanted)
  }

  /** A new process is there; `tools` where they have been read from it already. */
  renew(capabilities: ServerCapabilities, tools: ReadonlyArray<Tool> | null): void {
    const renewal = ++this.#renewals
    this.#isComplete = false
    // Sessions may have it from another daemon: they are told where it differs.
    this.#remember()
    for (const list of this.#all.values()) list.renew(list.kind.capability in capabilities)
    const listed = (items: ReadonlyArray<unknown> | null) => {
      if (items !== null) this.initialTools = (items as ReadonlyArray<Tool>).map(({ name }) => name)
      // One after another: what clients ask goes in between.
      this.#renewOthers(renewal, 0)
    }
    if (!this.#tools.isOffered) this.#tools.take([], listed)
    else if (tools !== null) this.#tools.take(tools, listed)
    else this.#tools.load(true, listed)
  }

  /** The server says by this notification that a list changed: one reading at a time, one more for all that came meanwhile. */
  refresh(method: string): void {
    for (const list of this.#all.values()) if (list.kind.announcement === method) list.refresh()
  }

  /** Calls back once the tools are not being read, as {@link List.whenSettled}. */
  whenSettled(done: () => void): void {
    this.#tools.whenSettled(done)
  }

  #remember(): void {
    if (this.#hasRecalled) return
    this.#hasRecalled = true
    for (const [method, answer] of this.#recall()) this.#all.get(method)?.remember(answer)
  }

  #renewOthers(renewal: number, index: number): void {
    const list = this.#others[index]
    // Where the process has ended meanwhile, the next one is asked anew.
    if (renewal !== this.#renewals || !this.#isThere()) return
    if (list === undefined) {
      this.#isComplete = true
      for (const done of this.#awaiting.splice(0)) done()
      return
    }
    const next = () => this.#renewOthers(renewal, index + 1)
    if (!list.isOffered) list.take([], next)
    // A client may have asked for it before its turn.
    else if (list.isRead || list.isReading) list.whenSettled(next)
    else list.load(true, next)
  }
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

/** The notifications that tell of changed lists. */
export const announcements: ReadonlyArray<string> = [
  ...new Set(Object.values(kinds).map(({ announcement }) => announcement))
]

/** As the specification defines the hints; `idempotentHint` means something only beside no `readOnlyHint`. */
const isRepeatable = ({ annotations }: Tool): boolean =>
  annotations?.readOnlyHint === true || annotations?.idempotentHint === true
