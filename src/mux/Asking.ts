/**
 * Which tools, prompts and resources of one server ask their clients something: learnt from what they do, and remembered.
 * What asks runs in a lane. Plain synchronous code.
 */
import type { Asker } from "../server/AskerStore.ts"
import type { Abandoned, Call } from "./Calls.ts"

/** How a server's questions are treated: as its tools are found to ask, as if every tool asked, or not at all. */
export type QuestionPolicy = "auto" | "lane" | "deny"

export class Asking {
  readonly #policy: QuestionPolicy
  readonly #askers = new Map<string, Map<string, Asker>>()
  readonly #onChange: (askers: ReadonlyArray<Asker>) => void
  #size = 0

  constructor(options: {
    readonly policy: QuestionPolicy
    readonly known: ReadonlyArray<Asker>
    /** What is known now. */
    readonly onChange: (askers: ReadonlyArray<Asker>) => void
  }) {
    this.#policy = options.policy
    this.#onChange = options.onChange
    for (const asker of options.known) this.#set(asker)
  }

  get all(): ReadonlyArray<Asker> {
    return [...this.#askers.values()].flatMap((askers) => [...askers.values()])
  }

  needsLane(method: string, name: string | null): boolean {
    if (this.#size === 0 && this.#policy !== "lane") return false
    if (this.#policy === "deny") return false
    if (this.#policy === "lane") return methods.has(method) || method === completes
    return name !== null && this.#askers.get(method)?.has(name) === true
  }

  /** A question came while these were not answered; nothing else can have asked it where they are `all`. */
  learn(calls: Iterable<Abandoned>, { areAll }: { readonly areAll: boolean }): void {
    const candidates = new Map<string, Asker>()
    for (const { method, name } of calls) {
      if (name === null || !methods.has(method)) continue
      candidates.set(`${method} ${name}`, { method, name, isCertain: false })
    }
    let hasChanged = false
    for (const candidate of candidates.values()) {
      const asker = { ...candidate, isCertain: areAll && candidates.size === 1 }
      const known = this.#askers.get(asker.method)?.get(asker.name)
      if (known !== undefined && (known.isCertain || !asker.isCertain)) continue
      hasChanged = this.#set(asker) || hasChanged
    }
    if (hasChanged) this.#onChange(this.all)
  }

  /** A call ran alone to its end, and nothing was asked: if it was only suspected, it was another. */
  acquit({ method, name }: Call): void {
    const askers = this.#askers.get(method)
    if (name === null || askers?.get(name)?.isCertain !== false) return
    askers.delete(name)
    this.#size--
    this.#onChange(this.all)
  }

  #set(asker: Asker): boolean {
    const askers = this.#askers.get(asker.method) ?? new Map<string, Asker>()
    const isNew = !askers.has(asker.name)
    if (isNew && this.#size >= maxAskers) return false
    this.#askers.set(asker.method, askers.set(asker.name, asker))
    if (isNew) this.#size++
    return true
  }
}

/** It asks nothing; but a question that came beside another session's would not be certain to belong to the lane. */
const completes = "completion/complete"
const methods: ReadonlySet<string> = new Set(["tools/call", "prompts/get", "resources/read"])
/** Of one server: names of tools are few, URIs of resources need not be. */
const maxAskers = 4096
