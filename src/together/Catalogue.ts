/**
 * What all servers list for everybody, joined: as the bytes of one page, and by the names under which it is shown. Kept
 * until a list changes. Plain synchronous code.
 */
import * as Reply from "../mux/Reply.ts"
import type * as Kinds from "./Kinds.ts"
import type { Member } from "./Member.ts"
import type { ServerList } from "./ServerList.ts"

/** Whose an item is, and what its server calls it. */
export interface Place {
  readonly member: Member
  readonly name: string
  /** The name as JSON text. */
  readonly own: string
}

/** One list of all servers. */
export interface Joined {
  /** The items as JSON text without the brackets. */
  readonly items: Buffer
  readonly places: ReadonlyMap<string, Place>
  /** What another server before shows under the same name or URI, by server. */
  readonly hidden: ReadonlyMap<string, ReadonlyArray<string>>
}

/** Which list of a server counts; null for none. */
export type ListOf = (member: Member) => ServerList | null

/** The lists of all, in the order of the servers; of what several show under one name the first is meant. */
export const join = (members: Iterable<Member>, listOf: ListOf): Joined => {
  const places = new Map<string, Place>()
  const hidden = new Map<string, Array<string>>()
  const texts: Array<string> = []
  for (const member of members) {
    for (const item of listOf(member)?.items ?? []) {
      if (places.has(item.shown)) {
        const others = hidden.get(member.name)
        if (others === undefined) hidden.set(member.name, [item.shown])
        else others.push(item.shown)
        continue
      }
      places.set(item.shown, placeOf(member, item.own))
      texts.push(item.text)
    }
  }
  return { items: Buffer.from(texts.join()), places, hidden }
}

/** Where a server has something that it calls so. */
export const placeOf = (member: Member, name: string): Place => ({ member, name, own: Reply.json(name) })

export class Catalogue {
  readonly #members: () => Iterable<Member>
  readonly #onHidden: (kind: Kinds.Kind, hidden: Joined["hidden"]) => void
  readonly #joined = new Map<Kinds.Kind, Joined>()

  constructor(options: {
    readonly members: () => Iterable<Member>
    /** Some servers list what others list before them. */
    readonly onHidden: (kind: Kinds.Kind, hidden: Joined["hidden"]) => void
  }) {
    this.#members = options.members
    this.#onHidden = options.onHidden
  }

  /** What is known of a list now; the same value until that changes. */
  of(kind: Kinds.Kind): Joined {
    const known = this.#joined.get(kind)
    if (known !== undefined) return known
    const joined = join(this.#members(), (member) => (member.isOwn ? null : member.list(kind)))
    this.#joined.set(kind, joined)
    if (joined.hidden.size > 0) this.#onHidden(kind, joined.hidden)
    return joined
  }

  /** It is another. */
  forget(kind: Kinds.Kind): void {
    this.#joined.delete(kind)
  }

  /** All are others. */
  clear(): void {
    this.#joined.clear()
  }
}
