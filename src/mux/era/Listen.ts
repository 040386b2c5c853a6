/**
 * What the pool listens to at one modern process, by one `subscriptions/listen`: its changes of lists, and all resources that
 * sessions watch. Where those are others, another one takes its place as soon as the server has acknowledged it.
 *
 * https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/subscriptions
 */
import type { ServerCapabilities } from "@modelcontextprotocol/sdk/types.js"
import { metaKeys, poolMeta } from "../../server/Era.ts"
import { done as nothingToDo } from "../Outcome.ts"
import * as Reply from "../Reply.ts"
import type { Outcome } from "../Upstream.ts"

type Done = (outcome: Outcome) => void

export interface ListenOptions {
  readonly capabilities: ServerCapabilities
  readonly write: (text: string) => void
  /** An id that the process has not seen. */
  readonly nextId: () => number
}

/** What of a notification is looked at here. */
export interface Heard {
  readonly _meta?: { readonly [key: string]: unknown } | null
  readonly notifications?: { readonly resourceSubscriptions?: unknown } | null
}

interface Asked {
  readonly id: number
  readonly uris: ReadonlySet<string>
  /** Milliseconds since the epoch. */
  readonly since: number
}

export class Listen {
  readonly #options: ListenOptions
  readonly #lists: { readonly [key: string]: true }
  readonly #wanted = new Set<string>()
  /** Who waits to hear whether a resource is watched. */
  #waiting: Array<{ readonly uri: string; readonly done: Done }> = []
  #current: Asked | null = null
  /** It has been asked for, and is not acknowledged yet. */
  #next: Asked | null = null
  /** What is wanted is another thing since it was last asked for. */
  #isStale = false
  #isOver = false

  constructor(options: ListenOptions) {
    this.#options = options
    const { prompts, resources, tools } = options.capabilities
    this.#lists = {
      ...(tools?.listChanged === true ? { toolsListChanged: true } : {}),
      ...(prompts?.listChanged === true ? { promptsListChanged: true } : {}),
      ...(resources?.listChanged === true ? { resourcesListChanged: true } : {})
    }
  }

  /** The process is there. */
  begin(): void {
    if (Object.keys(this.#lists).length > 0) this.#changed()
  }

  /** Another process speaks for the server from now on. */
  end(): void {
    this.#isOver = true
    for (const asked of [this.#current, this.#next]) if (asked !== null) this.#cancel(asked)
    this.#current = null
    this.#next = null
  }

  subscribe(uri: string, done: Done): void {
    const isWatched = this.#wanted.has(uri) && this.#current?.uris.has(uri) === true
    this.#wanted.add(uri)
    if (isWatched) return done(nothingToDo)
    this.#waiting.push({ uri, done })
    this.#changed()
  }

  unsubscribe(uri: string): void {
    if (this.#wanted.delete(uri)) this.#changed()
  }

  /** What comes under this subscription is heard: not twice while another takes its place. */
  isHeard(params: Heard): boolean {
    const id = params._meta?.[metaKeys.subscription]
    return id === undefined || id === this.#current?.id
  }

  acknowledged(params: Heard): void {
    const next = this.#next
    if (next === null || params._meta?.[metaKeys.subscription] !== next.id) return
    const before = this.#current
    this.#current = next
    this.#next = null
    const honoured = params.notifications?.resourceSubscriptions
    for (const uri of next.uris) {
      const isHonoured = Array.isArray(honoured) && honoured.includes(uri)
      this.#tell(uri, isHonoured ? nothingToDo : { kind: "error", text: notWatched })
      if (!isHonoured) this.#wanted.delete(uri)
    }
    if (before !== null) this.#cancel(before)
    if (this.#isStale) this.#changed()
  }

  /** The process has answered the request of this id: true where it was one of these, which is over then. */
  answered(id: number, outcome: () => Outcome): boolean {
    if (this.#next?.id === id) {
      const { uris } = this.#next
      this.#next = null
      const refusal = outcome()
      for (const uri of uris) {
        if (this.#current?.uris.has(uri) === true) continue
        this.#wanted.delete(uri)
        this.#tell(uri, refusal.kind === "error" ? refusal : { kind: "error", text: notWatched })
      }
      if (this.#isStale) this.#changed()
      return true
    }
    if (this.#current?.id !== id) return false
    const { since } = this.#current
    this.#current = null
    // One that always ends at once is not asked for ever.
    if (Date.now() - since > shortest) this.#changed()
    return true
  }

  #changed(): void {
    this.#isStale = true
    queueMicrotask(() => this.#ask())
  }

  #ask(): void {
    if (!this.#isStale || this.#next !== null || this.#isOver) return
    this.#isStale = false
    const uris = new Set(this.#wanted)
    if (uris.size === 0 && Object.keys(this.#lists).length === 0) {
      if (this.#current !== null) this.#cancel(this.#current)
      this.#current = null
      return
    }
    this.#next = { id: this.#options.nextId(), uris, since: Date.now() }
    const resources = uris.size === 0 ? {} : { resourceSubscriptions: [...uris] }
    const notifications = { ...this.#lists, ...resources }
    this.#options.write(Reply.request(this.#next.id, "subscriptions/listen", { _meta: poolMeta, notifications }))
  }

  #tell(uri: string, outcome: Outcome): void {
    const waiting = this.#waiting.filter((waiting) => waiting.uri === uri)
    this.#waiting = this.#waiting.filter((waiting) => waiting.uri !== uri)
    for (const { done } of waiting) done(outcome)
  }

  #cancel({ id }: Asked): void {
    const params = { requestId: id, reason: "it is not listened to any more" }
    this.#options.write(Reply.notification("notifications/cancelled", params))
  }
}

const notWatched = Reply.json({ code: -32602, message: "the server does not tell of changes of this resource" })
/** Milliseconds. */
const shortest = 1000
