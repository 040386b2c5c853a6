/** What is known of one client of all servers: its parts at them, and what waits for them. Plain synchronous code. */
import type { Client } from "../mux/Upstream.ts"
import type { Hello } from "../server/Handshake.ts"
import type * as Kinds from "./Kinds.ts"
import type { Member } from "./Member.ts"
import { Part } from "./Part.ts"
import type { ServerList } from "./ServerList.ts"

export class Seat {
  readonly client: Client
  /** From its `initialize`. */
  hello: Hello
  /** The announcements of lists that it was given and has not been told of since. */
  readonly given = new Set<string>()
  /** Where it watches resources. */
  readonly watched = new Map<string, Part>()
  readonly #onChanged: (seat: Seat, kind: Kinds.Kind) => void
  readonly #parts = new Map<Member, Part>()
  /** Where its tasks are, the oldest first. */
  readonly #tasks = new Map<string, Part>()
  /** Requests of its that wait for lists, by their ids as JSON text, and how they are given up. */
  readonly #waiting = new Map<string, () => void>()

  constructor(client: Client, hello: Hello, onChanged: (seat: Seat, kind: Kinds.Kind) => void) {
    this.client = client
    this.hello = hello
    this.#onChanged = onChanged
  }

  get parts(): Iterable<Part> {
    return this.#parts.values()
  }

  /** Its part at a server, if it has one. */
  known(member: Member): Part | undefined {
    return this.#parts.get(member)
  }

  /** Its part at a server, which it has from now on. */
  part(member: Member): Part {
    const known = this.#parts.get(member)
    if (known !== undefined) return known
    const part = new Part({ client: this.client, member, onChanged: (kind) => this.#onChanged(this, kind) })
    this.#parts.set(member, part)
    return part
  }

  /** The same, to be asked something. */
  asked(member: Member): Part {
    const part = this.part(member)
    if (!part.hasShaken) part.shake(this.hello)
    return part
  }

  /** What a server lists for it. */
  list(member: Member, kind: Kinds.Kind): ServerList {
    return member.isOwn ? this.asked(member).list(kind) : member.list(kind)
  }

  // --- requests that wait ---

  /** A request waits until `begin` calls back, unless it does at once; it counts meanwhile. Says whether it waits. */
  wait(id: string, begin: (done: () => void) => () => void, then: () => void): boolean {
    let isNow = true
    let isDone = false
    const done = () => {
      isDone = true
      if (isNow) return
      if (!this.#waiting.delete(id)) return
      then()
      this.client.settled()
    }
    const giveUp = begin(done)
    isNow = false
    if (!isDone) {
      this.client.inFlight++
      this.#waiting.set(id, giveUp)
    } else then()
    return !isDone
  }

  /** It does not want an answer any more. */
  forget(isWanted: (id: string) => boolean): void {
    for (const [id, giveUp] of this.#waiting) {
      if (!isWanted(id)) continue
      this.#waiting.delete(id)
      giveUp()
      this.client.settled()
    }
  }

  // --- tasks ---

  /** Where one of its tasks is. */
  taskAt(taskId: string): Part | undefined {
    return this.#tasks.get(taskId)
  }

  addTask(taskId: string, part: Part): void {
    for (const oldest of this.#tasks.keys()) {
      if (this.#tasks.size < maxTasks) break
      this.#tasks.delete(oldest)
    }
    this.#tasks.set(taskId, part)
  }

  // --- its end ---

  /** A server is gone. */
  leave(member: Member): void {
    const part = this.#parts.get(member)
    if (part === undefined) return
    this.#parts.delete(member)
    part.abandon()
    for (const places of [this.watched, this.#tasks]) {
      for (const [key, place] of places) if (place === part) places.delete(key)
    }
  }

  close(): void {
    for (const giveUp of this.#waiting.values()) giveUp()
    this.#waiting.clear()
    for (const part of this.#parts.values()) part.leave()
    this.#parts.clear()
  }
}

/** Of one client. */
const maxTasks = 4096
