/**
 * Who goes when: a server's requests go to a process as long as its limits allow, and wait in turns where they do not; what
 * asks questions goes in a lane, alone against all other sessions. Plain synchronous code.
 */
import type * as CallOutcome from "../CallOutcome.ts"
import type { Line } from "../lines/LineReader.ts"
import { Envelope } from "../message/Envelope.ts"
import type { RequestError } from "../PoolError.ts"
import type { CallAccount } from "./CallAccount.ts"
import type { Call } from "./Calls.ts"
import * as Gating from "./Gating.ts"
import type { Member } from "./Member.ts"
import type { Places } from "./Places.ts"
import * as Placing from "./Placing.ts"
import type { Questions } from "./Questions.ts"
import type { Replica } from "./Replica.ts"
import type { Tasks } from "./Tasks.ts"
import { Turns } from "./Turns.ts"
import { type Client, makesCalls } from "./Upstream.ts"

export interface AdmissionOptions {
  readonly server: string
  /** How long a request waits for its turn, in milliseconds. */
  readonly queueTimeout: number
  /** Requests of one session that processes hold at a time. */
  readonly maxInFlight: number
  /** Requests of all sessions that processes hold at a time. */
  readonly maxConcurrency: number
  readonly account: CallAccount
  readonly places: Places
  readonly questions: Questions
  readonly tasks: Tasks
  /** Who may be asked something. */
  readonly everybody: ReadonlySet<Client>
  /** Something waits that is looked at again some time: see {@link Admission.expire}. */
  readonly onWaiting: () => void
  /** A request's turn has been passed on with those of its member. */
  readonly onPassedOn: (call: Call, line: Line) => void
}

export class Admission {
  readonly #options: AdmissionOptions
  /** What waits for room, or for a process; and what waits for a lane. */
  readonly #turns: Turns
  readonly #laneTurns: Turns
  readonly #envelope = new Envelope()
  #executing = 0

  constructor(options: AdmissionOptions) {
    this.#options = options
    const { queueTimeout: timeout, server } = options
    this.#turns = new Turns({ server, timeout })
    this.#laneTurns = new Turns({ server, timeout })
  }

  get isEmpty(): boolean {
    return this.#turns.isEmpty && this.#laneTurns.isEmpty
  }

  get areLanesAwaited(): boolean {
    return !this.#laneTurns.isEmpty
  }

  /** A request that has just come goes now, or waits for its turn. */
  admit(call: Call, home: Replica, line: Line, envelope: Envelope): void {
    const { member } = call
    const isFirst = member.asked > 0 || !this.#turnsOf(call).has(member)
    const place = isFirst ? this.#placeFor(call, home, 0) : null
    if (place !== null) this.#pass(place, call, line, envelope, call.since)
    else this.enter(call, home, line.kept(), (error) => error)
  }

  /** It goes, whatever the limits; `now` in milliseconds since the epoch. */
  send({ process, replica }: Placing.Place, call: Call, line: Line, envelope: Envelope, now: number): void {
    call.deadlineFrom = now
    if (this.#executing >= maxKeptCalls) call.kept = null
    this.#count(call.member, 1)
    replica.usedAt = now
    replica.request(process, call, line, envelope)
  }

  /** What went is with its process no more. */
  returned({ member }: Call): void {
    this.#count(member, -1)
  }

  /** It waits for its turn; where that does not come, `errorOf` says what to answer. */
  enter(call: Call, home: Replica, line: Line, errorOf: (error: RequestError) => RequestError): void {
    const { account, onPassedOn, onWaiting, places } = this.#options
    const { client, id, member } = call
    const since = Date.now()
    const go = (): boolean => {
      if (home.unavailable !== null) return (refused(home.unavailable), true)
      const place = this.#placeFor(call, home, Date.now() - since)
      if (place === null) return (places.wake(home), false)
      this.#envelope.scan(line.bytes, line.start, line.end)
      this.#pass(place, call, line, this.#envelope, Date.now())
      return true
    }
    const refused = (error: RequestError) => {
      account.fail(call, errorOf(error))
      client.settled()
    }
    const withdrawn = (outcome: CallOutcome.CallOutcome) => {
      account.drop(call, outcome)
      client.settled()
    }
    const passOn = () => onPassedOn(call, line)
    const bytes = line.end - line.start
    this.#turnsOf(call).enter({ member, id, bytes, go, refuse: refused, withdrawn, passOn })
    places.wake(home)
    onWaiting()
  }

  /** Withdraws what a member has waiting, or those alone that `isId` names. */
  withdraw(member: Member, outcome: CallOutcome.CallOutcome, isId?: (id: string) => boolean): void {
    for (const turns of [this.#turns, this.#laneTurns]) turns.withdraw(member, outcome, isId)
  }

  /** What a member has waiting goes elsewhere. */
  passOn(member: Member): void {
    for (const turns of [this.#turns, this.#laneTurns]) turns.passOn(member)
  }

  /** Lets go what can. */
  pump(): void {
    if (!this.#laneTurns.isEmpty) this.#laneTurns.pump()
    if (!this.#turns.isEmpty) this.#turns.pump()
  }

  /** Refuses what has waited for too long; `now` in milliseconds since the epoch. */
  expire(now: number): void {
    this.#turns.expire(now)
    this.#laneTurns.expire(now)
  }

  #count(member: Member, difference: 1 | -1): void {
    member.executing += difference
    member.owner.executing += difference
    this.#executing += difference
  }

  #turnsOf({ isInLane }: Call): Turns {
    return isInLane ? this.#laneTurns : this.#turns
  }

  #placeFor(call: Call, home: Replica, waited: number): Placing.Place | null {
    const { member } = call
    // Who is asked may go on: its answer may depend on it.
    const isAsked = member.asked > 0
    const { maxConcurrency, maxInFlight, places } = this.#options
    if (!isAsked && (member.owner.executing >= maxInFlight || this.#executing >= maxConcurrency)) return null
    const isPage = call.concern === "gives a cursor"
    const ordinary = () => (isPage ? Placing.atHome(home) : Placing.ordinary(member, home, places.all))
    const place = call.isInLane ? this.#lane(member, home, waited) : ordinary()
    if (place === null || (place.process.isFull && !isAsked)) return null
    // What the process lists is looked at first.
    return Gating.ofCall(call) === null || place.process.roster.isKnownFor(call) ? place : null
  }

  /** It goes, unless its name does not offer what it calls. */
  #pass(place: Placing.Place, call: Call, line: Line, envelope: Envelope, now: number): void {
    const refusal = Gating.ofCall(call)?.refusal(call.name, place.process.roster.digests) ?? null
    if (refusal === null) return this.send(place, call, line, envelope, now)
    this.#options.account.drop(call, "rejected")
    call.client.fail(call.id, refusal)
    call.client.settled()
  }

  #lane(member: Member, home: Replica, waited: number): Placing.Place | null {
    const { everybody, places, questions, tasks } = this.#options
    const found = Placing.lane({
      member,
      home,
      replicas: places.all,
      asker: questions.askerOf(member),
      areOthersWaiting: this.#laneTurns.hasOthers(member),
      isAlone: isOneAlone(everybody),
      waited,
      tasks
    })
    if (found === null || "process" in found) return found
    places.want(found.wanted, "start")
    return null
  }
}

/** Whether nobody else makes calls. */
const isOneAlone = (clients: Iterable<Client>): boolean => {
  let count = 0
  for (const { role } of clients) if (makesCalls(role) && ++count > 1) return false
  return true
}

/** So many requests are kept at a time, so that they can be made again. */
const maxKeptCalls = 256
