/**
 * What one process has been asked and has not answered: by the id under which it knows it, in the order of asking. What
 * nobody waits for any more (cancelled, expired) stays known by its owner until the process answers it or ends.
 */
import { Line } from "../lines/LineReader.ts"
import { type Envelope, Key } from "../message/Envelope.ts"
import { IdTable } from "./IdTable.ts"
import type { Member } from "./Member.ts"
import type { Owner } from "./Owner.ts"
import type { Traffic } from "./Traffic.ts"
import type { Client, Outcome } from "./Upstream.ts"

/** A client's request on its way. */
export interface Call {
  readonly client: Client
  readonly member: Member
  /** The client's own id, as JSON text. */
  readonly id: string
  /** The client's own progress token, as JSON text; null where it gave none. */
  readonly token: string | null
  readonly method: string
  /** What it names: a tool or prompt, or the URI of a resource that is read. */
  readonly name: string | null
  /** Bytes, as it came. */
  readonly bytes: number
  /** Where it is counted. */
  readonly traffic: Traffic
  /** When it came, in milliseconds since the epoch. */
  readonly since: number
  /** From when on its deadline counts: later than `since` where it stood still. */
  deadlineFrom: number
  /** The line as it came, where it may be run a second time; else null. */
  kept: string | null
  /** The line as it came, where its answer may ask for more; else null. */
  sent: string | null
  /** How often it did. */
  rounds: number
  /** It is the second time. */
  readonly isRetry: boolean
  /** It runs alone against all other sessions. */
  readonly isInLane: boolean
  /** What its answer says beside what the client asked for: which task there is now, how this one is, or how it goes on. */
  readonly concern: "makes a task" | { readonly taskId: string } | "gives a cursor" | null
  /** Something of it has reached its client: progress. */
  isDelivered: boolean
  /** The process asked something while it was in flight. */
  hasSeenQuestion: boolean
  /** And that was asked of it, as far as is known. */
  wasAsked: boolean
  /** One of those was refused, since it may have been another client's: what fails then may have failed by that. */
  hasMissedQuestion: boolean
}

/** A client's request as it comes, which counts from now on. */
export const begin = (
  line: Line,
  envelope: Envelope,
  { client, concern, isInLane, kept, member, method, name, traffic }: BegunCall
): Call => {
  const bytes = line.end - line.start
  client.inFlight++
  traffic.begin(bytes)
  return {
    client,
    member,
    id: line.copy(envelope.start[Key.id]!, envelope.end[Key.id]!),
    token: envelope.has(Key.token) ? line.copy(envelope.start[Key.token]!, envelope.end[Key.token]!) : null,
    method,
    name,
    bytes,
    traffic,
    since: Date.now(),
    deadlineFrom: 0,
    kept,
    sent: null,
    rounds: 0,
    isRetry: false,
    isInLane,
    concern,
    isDelivered: false,
    hasSeenQuestion: false,
    wasAsked: false,
    hasMissedQuestion: false
  }
}

/** As its client wrote it: a line that a process was given and did not take has the process's id and token. */
export const asItCame = (line: Line, envelope: Envelope, { id, token }: Call): Line => {
  const own = [{ key: Key.id, text: id }, ...(token === null ? [] : [{ key: Key.token, text: token }])]
  let rest = line.copy(line.start, line.end)
  for (const { key, text } of own.sort((a, b) => envelope.start[b.key]! - envelope.start[a.key]!)) {
    rest = rest.slice(0, envelope.start[key]! - line.start) + text + rest.slice(envelope.end[key]! - line.start)
  }
  return Line.ofText(rest)
}

type BegunCall = Pick<Call, "client" | "member" | "method" | "name" | "traffic" | "kept" | "isInLane" | "concern">

/** A request of the pool's own. */
export interface Ask {
  readonly client: null
  /** A client waits for it. */
  readonly isForClient: boolean
  /** As a call has it. */
  readonly deadlineFrom: number
  readonly done: (outcome: Outcome) => void
}

/** What a server has not answered though nobody waits for it any more. */
export type Abandoned = Pick<Call, "member" | "method" | "name" | "isInLane" | "concern">

export class Calls {
  /** Called each time the last one goes. */
  onEmpty: (() => void) | null = null
  /**
   * Whose the lane is: the right to be asked here. It belongs to a session, with all calls that this one has in it. Who is
   * asked here may come in beside it, and takes it over when its owner has gone.
   */
  laneOwner: Member | null = null
  readonly #calls = new IdTable<Call | Ask>()
  readonly #abandoned = new Map<number, Abandoned & { readonly at: number }>()
  /** When more were abandoned than are kept, if ever: whose they are is not known any more. */
  #blurredAt: number | null = null
  /** How many calls members have in the lane. */
  readonly #inLane = new Map<Member, number>()

  get size(): number {
    return this.#calls.size
  }

  /** Adds one and says its id, which is never used again. */
  add(call: Call | Ask): number {
    const id = this.#calls.add(call)
    if (call.client !== null && call.isInLane) {
      this.#inLane.set(call.member, (this.#inLane.get(call.member) ?? 0) + 1)
      this.laneOwner ??= call.member
    }
    return id
  }

  get(id: number): Call | Ask | undefined {
    return this.#calls.get(id)
  }

  /** The server has answered it; undefined where nobody waits for that. */
  take(id: number): Call | Ask | undefined {
    const call = this.#calls.get(id)
    if (call !== undefined) this.#delete(id, call)
    return call
  }

  getAbandoned(id: number): Abandoned | undefined {
    return this.#abandoned.get(id)
  }

  /** The server has answered what nobody waits for. */
  takeAbandoned(id: number): Abandoned | undefined {
    const abandoned = this.#abandoned.get(id)
    this.#abandoned.delete(id)
    return abandoned
  }

  takeAll(): ReadonlyArray<readonly [id: number, call: Call | Ask]> {
    const all = [...this.#calls]
    for (const [id] of all) this.#calls.take(id)
    this.#abandoned.clear()
    return all
  }

  /** Abandons a client's calls, those alone for which `isWanted` holds. */
  abandon(client: Client, isWanted: (call: Call) => boolean): ReadonlyArray<readonly [id: number, call: Call]> {
    const taken: Array<readonly [number, Call]> = []
    for (const [id, call] of this.#calls) {
      if (call.client !== client || !isWanted(call)) continue
      this.#abandon(id, call)
      taken.push([id, call])
    }
    return taken
  }

  /** Abandons what was sent at `before` or earlier, but for those whose deadline stands still. */
  abandonSentBefore(
    before: number,
    standsStill: (member: Member) => boolean
  ): ReadonlyArray<readonly [id: number, call: Call | Ask]> {
    const taken: Array<readonly [number, Call | Ask]> = []
    for (const [id, call] of this.#calls) {
      if (call.deadlineFrom > before || (call.client !== null && standsStill(call.member))) continue
      if (call.client === null) this.#delete(id, call)
      else this.#abandon(id, call)
      taken.push([id, call])
    }
    return taken
  }

  /** Takes what nobody but the pool itself waits for. */
  takeOwn(): ReadonlyArray<Ask> {
    const taken: Array<Ask> = []
    for (const [id, call] of this.#calls) {
      if (call.client !== null || call.isForClient) continue
      this.#delete(id, call)
      taken.push(call)
    }
    return taken
  }

  /** How many are clients'. */
  ofClients(): number {
    let count = 0
    for (const [, { client }] of this.#calls) if (client !== null) count++
    return count
  }

  /** A member's, in the order of asking. */
  *of(member: Member): Iterable<Call> {
    for (const [, call] of this.#calls) if (call.client !== null && call.member === member) yield call
  }

  /** All clients', in the order of asking. */
  *clients(): Iterable<Call> {
    for (const [, call] of this.#calls) if (call.client !== null) yield call
  }

  /** All that clients asked here and the server has not answered, abandoned or not, as far as it is known. */
  *unanswered(): Iterable<Abandoned> {
    yield* this.clients()
    yield* this.#abandoned.values()
  }

  /** Whether that is all there is. */
  get areAllKnown(): boolean {
    return this.#blurredAt === null
  }

  /** A call of the only client that waits for some here, lists aside; one that wants log messages, if one does. */
  soleCall(): Call | null {
    let sole: Call | null = null
    for (const call of this.clients()) {
      if (areForAll.has(call.method)) continue
      if (sole !== null && !isSame(call.member, sole.member)) return null
      if (sole === null || sole.client.level === null) sole = call
    }
    return sole
  }

  /** Whether all that clients asked here and the server has not answered, abandoned or not, is this member's. */
  areOnlyOf(member: Member): boolean {
    return this.#areAll((other) => other === member)
  }

  /** The same for all that are this one's, where that is one client. */
  areOnlyOfOwner(owner: Owner): boolean {
    return owner.isOneClient && this.#areAll((other) => other.owner === owner)
  }

  /**
   * Whether what the server says now of what it does can be about nobody else: what was abandoned a while ago, which most
   * servers never answer, is taken to have ended. `now` is in milliseconds since the epoch.
   */
  isSaidToOnly(member: Member, now: number): boolean {
    const before = now - aWhile
    if (this.#blurredAt !== null && this.#blurredAt > before) return false
    for (const { at, member: other, method } of this.#abandoned.values()) {
      if (at > before && !areForAll.has(method) && !isSame(other, member)) return false
    }
    return true
  }

  /** Whether anything was abandoned, and may still ask. */
  get haveAbandoned(): boolean {
    return this.#blurredAt !== null || this.#abandoned.size > 0
  }

  /** Whether a call that ran alone was abandoned, and may still ask, as far as it is known. */
  get isTainted(): boolean {
    for (const { isInLane } of this.#abandoned.values()) if (isInLane) return true
    return false
  }

  #areAll(isWanted: (member: Member) => boolean): boolean {
    if (this.#blurredAt !== null) return false
    for (const { member } of this.#abandoned.values()) if (!isWanted(member)) return false
    for (const call of this.clients()) if (!isWanted(call.member)) return false
    return true
  }

  #abandon(id: number, call: Call): void {
    const { concern, isInLane, member, method, name } = call
    const at = Date.now()
    if (this.#abandoned.size < maxAbandoned) this.#abandoned.set(id, { member, method, name, isInLane, concern, at })
    else this.#blurredAt = at
    this.#delete(id, call)
  }

  #delete(id: number, call: Call | Ask): void {
    this.#calls.take(id)
    if (call.client !== null && call.isInLane) this.#leaveLane(call.member)
    if (this.#calls.size === 0) this.onEmpty?.()
  }

  #leaveLane(member: Member): void {
    const left = this.#inLane.get(member)! - 1
    if (left > 0) return void this.#inLane.set(member, left)
    this.#inLane.delete(member)
    if (this.laneOwner === member) [this.laneOwner = null] = this.#inLane.keys()
  }
}

/** Two of one client. */
const isSame = (one: Member, other: Member): boolean =>
  one === other || (one.owner === other.owner && one.owner.isOneClient)

/** What a server says while it answers these says nothing of who asked: all are given the same. */
const areForAll: ReadonlySet<string> = new Set([
  "tools/list",
  "prompts/list",
  "resources/list",
  "resources/templates/list"
])

/** Milliseconds. */
const aWhile = 60_000
/** What is kept of abandoned calls of one process. */
const maxAbandoned = 1024
