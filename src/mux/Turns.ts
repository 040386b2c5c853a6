/**
 * What sessions may not have under way yet: each one's in order, bounded in bytes and in time, and one of each session
 * after one of every other, so that who has much waiting delays the others by no more than a turn. Those that share their
 * turns count as one. Plain synchronous code.
 */
import type { CallOutcome } from "../CallOutcome.ts"
import { Overloaded, QueueTimeout, type RequestError } from "../PoolError.ts"
import type { Member } from "./Member.ts"
import type { Owner } from "./Owner.ts"

/** It goes, is refused, is withdrawn or goes elsewhere: one of these, once. */
export interface Turn {
  readonly member: Member
  /** The client's own id as JSON text. */
  readonly id: string
  readonly bytes: number
  /** Says whether it could go. */
  readonly go: () => boolean
  readonly refuse: (error: RequestError) => void
  readonly withdrawn: (outcome: CallOutcome) => void
  readonly passOn: () => void
}

interface Line {
  readonly turns: Array<Turn & { readonly deadline: number }>
  bytes: number
}

export class Turns {
  readonly #server: string
  /** Milliseconds. */
  readonly #timeout: number
  /** In the order of their turns. */
  readonly #lines = new Map<Owner, Line>()
  #isPumping = false
  /** Amidst its going it is not withdrawn any more. */
  #going: Turn | null = null

  constructor(options: { readonly server: string; readonly timeout: number }) {
    this.#server = options.server
    this.#timeout = options.timeout
  }

  get isEmpty(): boolean {
    return this.#lines.size === 0
  }

  /** Whether a member has something here, which goes first. */
  has(member: Member): boolean {
    return this.#lines.has(member.owner)
  }

  /** Whether somebody else has. */
  hasOthers(member: Member): boolean {
    return this.#lines.size > (this.#lines.has(member.owner) ? 1 : 0)
  }

  enter(turn: Turn): void {
    const line = this.#lines.get(turn.member.owner) ?? { turns: [], bytes: 0 }
    const bytes = turn.bytes + overhead
    if (line.bytes > 0 && line.bytes + bytes > maxBytes) {
      const reason = `more than ${maxBytes / 1024 / 1024} MiB of this client's requests are waiting already`
      return turn.refuse(new Overloaded({ server: this.#server, reason }))
    }
    line.turns.push({ ...turn, deadline: Date.now() + this.#timeout })
    line.bytes += bytes
    this.#lines.set(turn.member.owner, line)
  }

  /** Lets go what can, one of each member after the other, until nobody's first can. */
  pump(): void {
    // What goes may be answered at once, which makes room for more: the loop sees to that.
    if (this.#isPumping) return
    this.#isPumping = true
    for (let isMoving = true; isMoving && this.#lines.size > 0;) {
      isMoving = false
      for (const owner of Array.from(this.#lines.keys())) if (this.#next(owner)) isMoving = true
    }
    this.#isPumping = false
  }

  /** Refuses those whose time is over; `now` in milliseconds since the epoch. */
  expire(now: number): void {
    const late = this.#take(({ deadline }) => deadline <= now)
    for (const turn of late) turn.refuse(new QueueTimeout({ server: this.#server }))
  }

  /** Withdraws what a member has here, or those alone that `isId` names. */
  withdraw(member: Member, outcome: CallOutcome, isId: (id: string) => boolean = () => true): void {
    if (!this.#lines.has(member.owner)) return
    for (const turn of this.#take((turn) => turn.member === member && isId(turn.id))) {
      if (turn !== this.#going) turn.withdrawn(outcome)
    }
  }

  /** What a member has here goes elsewhere, in its order. */
  passOn(member: Member): void {
    for (const turn of this.#take((turn) => turn.member === member)) if (turn !== this.#going) turn.passOn()
  }

  /** Refuses all. */
  refuse(error: RequestError): void {
    for (const turn of this.#take(() => true)) turn.refuse(error)
  }

  /** Lets a member's first go, if it can, and puts the member behind the others. */
  #next(owner: Owner): boolean {
    const turn = this.#lines.get(owner)?.turns[0]
    if (turn === undefined) return false
    this.#going = turn
    const hasGone = turn.go()
    this.#going = null
    if (!hasGone) return false
    // Its answer may have been the end of its session.
    const line = this.#lines.get(owner)
    if (line?.turns[0] !== turn) return true
    line.turns.shift()
    line.bytes -= turn.bytes + overhead
    this.#lines.delete(owner)
    if (line.turns.length > 0) this.#lines.set(owner, line)
    return true
  }

  #take(isTaken: (turn: Turn & { readonly deadline: number }) => boolean): ReadonlyArray<Turn> {
    const taken: Array<Turn> = []
    for (const [owner, line] of this.#lines) {
      const left = line.turns.filter((turn) => !isTaken(turn) || (taken.push(turn), false))
      if (left.length === line.turns.length) continue
      if (left.length === 0) this.#lines.delete(owner)
      else this.#lines.set(owner, { turns: left, bytes: left.reduce((sum, { bytes }) => sum + bytes + overhead, 0) })
    }
    return taken
  }
}

/** Of one session, in bytes; a single request may be larger. */
const maxBytes = 16 * 1024 * 1024
/** What one that waits costs beside its line, in bytes. */
const overhead = 1024
