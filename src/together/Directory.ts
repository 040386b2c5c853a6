/**
 * Which servers there are, what they say of themselves and list, and which of them a name or a URI means. Plain synchronous
 * code; lives as long as what it is of.
 */
import { nearest } from "../nearest.ts"
import type { Endpoint } from "../McpPool.ts"
import type { Handshake } from "../server/Handshake.ts"
import type { Refusal } from "../mux/Upstream.ts"
import { invalidParams } from "../WireError.ts"
import { Catalogue, type Joined, join, type ListOf, type Place, placeOf } from "./Catalogue.ts"
import * as Introduction from "./Introduction.ts"
import * as Kinds from "./Kinds.ts"
import { Member } from "./Member.ts"
import * as Names from "./Names.ts"
import { settle } from "./Settle.ts"
import { matches } from "./Templates.ts"

/** A server as the pool has it. */
export interface Server {
  readonly name: string
  readonly endpoint: Endpoint
}

export interface DirectoryOptions {
  /** A list that clients may have been given is another. */
  readonly onChanged: (kind: Kinds.Kind) => void
  /** A server is configured no more. */
  readonly onRetired: (member: Member) => void
  readonly onHidden: (kind: Kinds.Kind, hidden: Joined["hidden"]) => void
}

export class Directory {
  readonly #options: DirectoryOptions
  readonly #catalogue: Catalogue
  #members = new Map<string, Member>()
  #list: ReadonlyArray<Member> = []

  constructor(options: DirectoryOptions) {
    this.#options = options
    this.#catalogue = new Catalogue({ members: () => this.#list, onHidden: options.onHidden })
  }

  /** In the order of the configuration. */
  get members(): ReadonlyArray<Member> {
    return this.#list
  }

  get(name: string): Member | undefined {
    return this.#members.get(name)
  }

  /** These servers it is from now on; those that are the same stay. */
  become(servers: ReadonlyArray<Server>): void {
    const before = this.#members
    const members = new Map<string, Member>()
    for (const { endpoint, name } of servers) {
      const known = before.get(name)
      const isSame = known?.upstream === endpoint.upstream
      members.set(name, isSame ? known : this.#open({ name, endpoint }))
    }
    this.#members = members
    this.#list = [...members.values()]
    this.#catalogue.clear()
    for (const member of before.values()) {
      if (members.get(member.name) === member) continue
      member.close()
      this.#options.onRetired(member)
    }
    for (const kind of Kinds.all) this.#options.onChanged(kind)
  }

  close(): void {
    for (const member of this.#list) member.close()
    this.#members.clear()
    this.#list = []
  }

  /** What all say of themselves, as far as they do so soon. */
  shake(then: (handshake: Handshake) => void): () => void {
    const tasks = this.#list.map((member) => (done: () => void) => member.shake(done))
    return settle(tasks, shakePatience, (isWhole) => {
      if (!isWhole) for (const member of this.#list) member.giveUp()
      then(Introduction.handshakeOf(this.#list))
    })
  }

  /** A list of all, of those that give it soon; where some have one of their own for whoever asks, `listOf` has it. */
  whenFresh(kind: Kinds.Kind, listOf: ListOf | null, then: (joined: Joined, isWhole: boolean) => void): () => void {
    const shared: ListOf = (member) => (member.isOwn ? null : member.list(kind))
    const lists = this.#list.flatMap((member) => (listOf ?? shared)(member) ?? [])
    return settle(
      lists.map((list) => (done: () => void) => list.whenFresh(done)),
      listPatience,
      (isWhole) => {
        if (!isWhole) for (const list of lists) list.giveUp()
        const joined = listOf === null ? this.#catalogue.of(kind) : join(this.#list, listOf)
        then(
          joined,
          lists.every(({ isLate }) => !isLate)
        )
      }
    )
  }

  /**
   * Calls back once each server that lists for all has done so, however long ago, or so many that it `isEnough`, or they have
   * been waited for long enough.
   */
  whenRead(kinds: ReadonlyArray<Kinds.Kind>, isEnough: () => boolean, then: () => void): () => void {
    const shared = this.#list.filter(({ isOwn }) => !isOwn)
    const lists = kinds.flatMap((kind) => shared.map((member) => member.list(kind)))
    return settle(
      lists.map((list) => (done: () => void) => list.whenRead(done)),
      listPatience,
      (isWhole) => {
        if (!isWhole) for (const list of lists) list.giveUp()
        then()
      },
      isEnough
    )
  }

  /** Which tool or prompt is shown under a name; null where that is not known, or not yet. */
  find(kind: Kinds.Kind, shown: string): Place | null {
    const place = this.#catalogue.of(kind).places.get(shown)
    if (place !== undefined) return place
    const named = Names.plain(shown)
    const member = named === null ? undefined : this.#members.get(named.server)
    return named === null || member === undefined ? null : placeOf(member, named.name)
  }

  /** Whether it is known which server is the first that lists the resource. */
  isListed(uri: string): boolean {
    for (const member of this.#list) {
      if (member.isOwn) continue
      const { isLate, isRead, items } = member.list(Kinds.resources)
      if (items?.some(({ own }) => own === uri) === true) return true
      if (!isRead && !isLate) return false
    }
    return false
  }

  /** The servers that may have a resource, those first that say so; the others may have it all the same. */
  owners(uri: string): { readonly sure: ReadonlyArray<Member>; readonly others: ReadonlyArray<Member> } {
    const lister = this.#catalogue.of(Kinds.resources).places.get(uri)?.member
    if (lister !== undefined) return { sure: [lister], others: [] }
    const has = (member: Member) =>
      !member.isOwn && member.list(Kinds.templates).items?.some(({ own }) => matches(own, uri)) === true
    const may = (member: Member) => member.handshake === null || "resources" in member.handshake.capabilities
    const sure = this.#list.filter(has)
    const others = this.#list.filter((member) => !sure.includes(member) && may(member))
    // Who has never been there may have to be waited for.
    const isKnown = ({ handshake }: Member) => handshake !== null
    return { sure, others: [...others.filter(isKnown), ...others.filter((member) => !isKnown(member))] }
  }

  /** What a call is refused with that names nothing of any server. */
  unknown(kind: Kinds.Kind, shown: string): Refusal {
    const what = kind === Kinds.tools ? "tool" : "prompt"
    const meant = shown.length > longest ? undefined : nearest(shown, [...this.#catalogue.of(kind).places.keys()])
    const hint = meant === undefined ? "" : `; did you mean ${meant}?`
    return { code: invalidParams, message: `Unknown ${what}: ${shown.slice(0, longest)}${hint}` }
  }

  #open(server: Server): Member {
    const member: Member = new Member({
      ...server,
      onChanged: (kind) => {
        if (this.#members.get(server.name) !== member) return
        this.#catalogue.forget(kind)
        this.#options.onChanged(kind)
      }
    })
    return member
  }
}

/** How long a server is waited for, in milliseconds: for what it is, and for what it lists. */
const shakePatience = 2000
const listPatience = 5000
/** Nothing longer is shown. */
const longest = 64
