/**
 * A server among all of them: what it says of itself, and what it lists for everybody. Plain synchronous code; lives as long
 * as its name is configured.
 */
import { LocalClient } from "../mux/LocalClient.ts"
import type { Upstream } from "../mux/Upstream.ts"
import type { Endpoint } from "../McpPool.ts"
import { poolInfo, protocolVersions } from "../server/Era.ts"
import type { Handshake, Hello } from "../server/Handshake.ts"
import * as Kinds from "./Kinds.ts"
import { ServerList } from "./ServerList.ts"

export interface MemberOptions {
  readonly name: string
  readonly endpoint: Endpoint
  /** One of its lists is another. */
  readonly onChanged: (kind: Kinds.Kind) => void
}

export class Member {
  readonly name: string
  readonly endpoint: Endpoint
  readonly upstream: Upstream
  /** What it said last; null where that is not known. */
  handshake: Handshake | null = null
  readonly #lists: ReadonlyMap<Kinds.Kind, ServerList>
  #asker: LocalClient
  #wasOwn: boolean
  #waiting: Array<() => void> | null = null
  /** It was waited for in vain: nobody waits for that again until it has said what it is. */
  #isLate = false

  constructor({ endpoint, name, onChanged }: MemberOptions) {
    this.name = name
    this.endpoint = endpoint
    this.upstream = endpoint.upstream
    this.#wasOwn = this.upstream.isOwn
    this.#lists = new Map(
      Kinds.all.map((kind) => {
        const list = new ServerList({
          kind,
          server: name,
          isOffered: () => this.handshake === null || kind.capability in this.handshake.capabilities,
          ttl: () => this.upstream.listTtl,
          ask: (params, onAnswer) => {
            if ("cursor" in params) this.#asker.request(kind.method, params, onAnswer, { timeout: listTimeout })
            else this.#asker.list(kind.method, onAnswer, { timeout: listTimeout })
          },
          onChanged: () => onChanged(kind)
        })
        return [kind, list]
      })
    )
    this.#asker = this.#open()
  }

  /** It has a process for each session: what it lists is each one's own. */
  get isOwn(): boolean {
    return this.upstream.isOwn
  }

  /** What it lists for everybody. */
  list(kind: Kinds.Kind): ServerList {
    return this.#lists.get(kind)!
  }

  /** Calls back once it has said what it is, or cannot. */
  shake(done: () => void): void {
    if (this.isOwn) return done()
    const waiting = this.#isLate ? [] : [done]
    if (this.#isLate) done()
    if (this.#waiting === null) this.#introduce(waiting)
    else this.#waiting.push(...waiting)
  }

  #introduce(waiting: Array<() => void>): void {
    this.#waiting = waiting
    const asker = this.#asker
    const said = (handshake: Handshake | null) => {
      if (asker === this.#asker) this.#shaken(handshake)
    }
    this.upstream.handshake(asker, hello, said, () => said(null))
  }

  #shaken(handshake: Handshake | null): void {
    if (handshake !== null) {
      this.handshake = handshake
      this.#isLate = false
    }
    const waiting = this.#waiting ?? []
    this.#waiting = null
    for (const done of waiting) done()
  }

  /** Who waited for what it is goes on without it. */
  giveUp(): void {
    if (this.#waiting !== null) this.#isLate = true
  }

  /** It has started, or ended, or has become another: what it lists may be another too. */
  look(): void {
    if (this.#wasOwn !== this.isOwn) {
      this.#wasOwn = this.isOwn
      // Of one that has come by a process of its own, the process ends.
      this.#asker.close()
      this.#asker = this.#open()
      // What that was asked is not answered any more.
      this.#shaken(null)
      for (const list of this.#lists.values()) list.abandon()
    }
    // Of one that sleeps that would start it.
    if (this.handshake !== null) this.shake(() => {})
    if (!this.isOwn) for (const list of this.#lists.values()) list.outdate()
  }

  /** It is configured no more. */
  close(): void {
    this.#asker.close()
    for (const list of this.#lists.values()) list.rest()
  }

  #open(): LocalClient {
    const asker = new LocalClient({
      id: this.endpoint.sessionId(),
      server: this.name,
      upstream: this.upstream,
      role: "listener",
      onNotification: (method) => {
        for (const [kind, list] of this.#lists) if (kind.announcement === method) list.outdate()
      }
    })
    asker.open()
    return asker
  }
}

const hello: Hello = { protocolVersion: protocolVersions[0], capabilities: {}, clientInfo: poolInfo }
/** For one page, in milliseconds. */
const listTimeout = 60_000
