/**
 * One server as an `Upstream` of many clients, over one process or several: which session has its home where, which
 * process a request goes to, and when. Requests wait here in turns; what asks questions runs in a lane, alone against all
 * other sessions. Plain synchronous code.
 */
import * as CallOutcome from "../CallOutcome.ts"
import { Line } from "../lines/LineReader.ts"
import { invalidParams, methodNotFound, type RequestError, ServerUnavailable } from "../PoolError.ts"
import type { Asker } from "../server/AskerStore.ts"
import type { Handshake, Hello } from "../server/Opening.ts"
import { Alarm } from "./Alarm.ts"
import { Asking, type QuestionPolicy } from "./Asking.ts"
import * as Calls from "./Calls.ts"
import * as Cursors from "./Cursors.ts"
import { Envelope, Key } from "./Envelope.ts"
import type { ListCache } from "./ListCache.ts"
import * as Member from "./Member.ts"
import { type Endings, isSameId, type Multiplexer } from "./Multiplexer.ts"
import { done as nothingToDo } from "./Outcome.ts"
import { Places, type PlacesOptions } from "./Places.ts"
import * as Placing from "./Placing.ts"
import { maxCrashes, Poison } from "./Poison.ts"
import { Questions, type Root } from "./Questions.ts"
import { Replica, type ReplicaOptions } from "./Replica.ts"
import * as Reply from "./Reply.ts"
import { asksForTask, namedTask, Tasks } from "./Tasks.ts"
import type { Traffic } from "./Traffic.ts"
import { Turns } from "./Turns.ts"
import type { Client, Outcome, Refusal, Replaceable, Upstream } from "./Upstream.ts"
import { decodeString, nameOf } from "./Words.ts"

export interface SharingOptions
  extends
    Pick<PlacesOptions, "replicas" | "idleStop" | "onWanted">,
    Pick<
      ReplicaOptions,
      | "server"
      | "logMessages"
      | "maxLine"
      | "queueTimeout"
      | "requestTimeout"
      | "listTtl"
      | "onStray"
      | "unavailable"
      | "account"
      | "memory"
    > {
  /** `"own"`: it has one session, which is asked whatever the server asks. */
  readonly questions: QuestionPolicy | "own"
  readonly roots: ReadonlyArray<Root> | undefined
  /** Requests of one session that processes hold at a time. */
  readonly maxInFlight: number
  /** Requests of all sessions that processes hold at a time. */
  readonly maxConcurrency: number
  /** What is known to ask already. */
  readonly askers: ReadonlyArray<Asker>
  readonly onAskers: (askers: ReadonlyArray<Asker>) => void
}

/** A session, and the place where all goes that needs no lane. */
interface Membership {
  readonly member: Member.Member
  readonly home: Replica
  /** Where its calls count. */
  readonly traffic: Traffic
}

/** A session that is another upstream's from now on, and has something under way here. */
interface Leaving {
  /** Where its requests go that no process here has seen. */
  readonly next: Upstream
  /** Told once nothing of it is under way. */
  readonly done: () => void
}

export class Sharing implements Replaceable {
  readonly clients = new Set<Client>()
  readonly isOwn: boolean
  readonly asking: Asking
  readonly replicas: ReadonlyArray<Replica>
  readonly #options: SharingOptions
  readonly #places: Places
  readonly #memberships = new Map<Client, Membership>()
  readonly #leaving = new Map<Client, Leaving>()
  readonly #questions: Questions
  readonly #tasks = new Tasks()
  readonly #poison = new Poison()
  /** What waits for room, or for a process; and what waits for a lane. */
  readonly #turns: Turns
  readonly #laneTurns: Turns
  readonly #envelope = new Envelope()
  readonly #alarm = new Alarm((now) => this.#sweep(now))
  #executing = 0

  constructor(options: SharingOptions) {
    this.#options = options
    const { queueTimeout: timeout, server } = options
    this.#turns = new Turns({ server, timeout })
    this.#laneTurns = new Turns({ server, timeout })
    const { questions } = options
    this.isOwn = questions === "own"
    this.asking = new Asking({
      policy: questions === "own" ? "deny" : questions,
      known: options.askers,
      onChange: options.onAskers
    })
    this.#questions = new Questions({
      server,
      policy: options.questions,
      sole: () => this.#memberships.values().next().value?.member ?? null,
      roots: options.roots,
      asking: this.asking,
      tasks: this.#tasks,
      onAnswered: () => this.#pump()
    })
    const parts = { questions: this.#questions, tasks: this.#tasks }
    this.#places = new Places({ ...options, ...parts }, (index) => this.#replica(index))
    this.replicas = this.#places.all
  }

  /** The lists of the server, as its first home gives them. */
  get lists(): ListCache {
    return this.replicas[0]!.lists
  }

  // --- sessions ---

  join(client: Client): void {
    this.clients.add(client)
    const known = this.#memberships.get(client)
    // It may come back before it has left.
    this.#leaving.delete(client)
    const home = known?.home ?? this.#places.homeForNew()
    home.clients.add(client)
    const traffic = this.#options.account.trafficOf(client.server)
    this.#memberships.set(client, { member: known?.member ?? Member.make(client), home, traffic })
    for (const { levels } of this.replicas) levels.membersChanged()
  }

  leave(client: Client): void {
    const membership = this.#memberships.get(client)
    if (membership === undefined) return
    const { home, member } = membership
    this.#memberships.delete(client)
    this.#leaving.delete(client)
    this.clients.delete(client)
    for (const turns of [this.#turns, this.#laneTurns, home.lists]) turns.withdraw(member, "cancelled")
    this.#questions.leave(client)
    this.#tasks.leave(member)
    for (const replica of this.replicas) replica.leave(client)
    member.client = null
    this.#poison.forget(client)
    for (const { levels } of this.replicas) levels.membersChanged()
    this.#pump()
    this.#alarm.soon()
  }

  handOver(client: Client, next: Upstream, done: () => void): void {
    const membership = this.#memberships.get(client)
    if (membership === undefined) return done()
    const { home, member } = membership
    this.#leaving.set(client, { next, done })
    this.clients.delete(client)
    home.release(client)
    for (const { levels } of this.replicas) levels.membersChanged()
    for (const turns of [this.#turns, this.#laneTurns]) turns.passOn(member)
    this.#endIfIdle(client)
    this.#alarm.soon()
  }

  hasTask(client: Client, line: Line): boolean {
    const { taskId } = namedTask(line)
    return taskId !== null && this.#tasks.processOf(this.#of(client).member, taskId) !== null
  }

  handshake(
    client: Client,
    _: Hello,
    onHandshake: (handshake: Handshake) => void,
    onRefusal: (error: RequestError) => void
  ): void {
    const { home } = this.#of(client)
    if (home.handshake !== null) return onHandshake(home.handshake)
    const onProcess = ({ process }: Multiplexer) => onHandshake(process.handshake)
    home.await({ client, onProcess, onRefusal })
  }

  request(client: Client, line: Line, envelope: Envelope, method: string): void {
    const { home, member, traffic } = this.#of(client)
    const name = method === "resources/read" ? decodeString(line, envelope, Key.uri) : nameOf(line, envelope)
    const refusal = home.unavailable ?? (this.#poison.refuses(client, method, name) ? this.#refusing() : null)
    if (refusal !== null) return this.#options.account.refuse(client, line, envelope, method, refusal)
    if (method.startsWith("tasks/") && !this.isOwn) return this.#taskRequest(client, line, envelope, method)
    const isPaged = Cursors.isPaged(method) && !this.isOwn
    const cursor = isPaged ? Cursors.asked(line) : null
    if (cursor !== null && !Cursors.isOf(member, method, cursor, home.current)) {
      return client.fail(line.copy(envelope.start[Key.id]!, envelope.end[Key.id]!), unknownCursor)
    }
    const isInLane = this.asking.needsLane(method, name)
    const call = Calls.begin(line, envelope, {
      client,
      member,
      method,
      name,
      traffic,
      kept: cursor === null && this.#keeps(method, name, line) ? line.copy(line.start, line.end) : null,
      isInLane,
      concern: isPaged
        ? "gives a cursor"
        : home.mayHaveTasks && !this.isOwn && asksForTask(line)
          ? "makes a task"
          : null
    })
    const turns = isInLane ? this.#laneTurns : this.#turns
    const place = turns.has(member) && member.asked === 0 ? null : this.#placeFor(call, home, 0)
    if (place !== null) return this.#send(place, call, line, envelope, call.since)
    this.#enter(call, line.kept(), (error) => error)
  }

  list(client: Client, line: Line, envelope: Envelope, method: string): void {
    const { home, member, traffic } = this.#of(client)
    const isHere = home.unavailable === null && home.lists.answers(method)
    if (!isHere || this.asking.needsLane(method, null)) return this.request(client, line, envelope, method)
    const kept = line.copy(line.start, line.end)
    const facts = { name: null, kept, isInLane: false, concern: null }
    home.lists.answer(Calls.begin(line, envelope, { client, member, method, traffic, ...facts }))
  }

  notify(client: Client, line: Line): void {
    this.#of(client).home.current?.notify(line)
  }

  answer(client: Client, line: Line, envelope: Envelope): void {
    this.#questions.answer(client, line, envelope)
  }

  answerProgress(client: Client, line: Line, envelope: Envelope): void {
    this.#questions.progress(client, line, envelope)
  }

  cancel(
    client: Client,
    id: string,
    line: Line,
    envelope: Envelope,
    outcome: CallOutcome.CallOutcome = "cancelled"
  ): void {
    const isWanted = isSameId(id)
    const { home, member } = this.#of(client)
    const unsent = outcome === "request-timeout" ? "queue-timeout" : outcome
    for (const turns of [this.#turns, this.#laneTurns, home.lists]) turns.withdraw(member, unsent, isWanted)
    for (const replica of this.replicas) {
      for (const multiplexer of replica.all()) multiplexer.cancel(client, isWanted, line, envelope, outcome)
    }
    this.#alarm.soon()
  }

  levelChanged(client: Client, done: (outcome: Outcome) => void): void {
    const { home } = this.#of(client)
    const { handshake } = home
    if (handshake !== null && !("logging" in handshake.capabilities)) {
      return done({ kind: "error", text: noLogging })
    }
    // The process that it gets when it is needed is told.
    const isNoted = home.isAsleep && handshake !== null
    if (isNoted) done(nothingToDo)
    for (const replica of this.replicas) {
      if (replica === home && !isNoted) replica.levels.merge(done, client)
      else if (replica.current !== null) replica.levels.merge(() => {}, null)
    }
  }

  subscribe(client: Client, uri: string, done: (outcome: Outcome) => void): void {
    this.#of(client).home.subscriptions.subscribe(client, uri, done)
  }

  unsubscribe(client: Client, uri: string): void {
    this.#of(client).home.subscriptions.unsubscribe(client, uri)
  }

  // --- where a request goes, and when ---

  #of(client: Client): Membership {
    return this.#memberships.get(client)!
  }

  #placeFor(call: Calls.Call, home: Replica, waited: number): Placing.Place | null {
    const { member } = call
    // Who is asked may go on: its answer may depend on it.
    const isAsked = member.asked > 0
    const { maxConcurrency, maxInFlight } = this.#options
    if (!isAsked && (member.executing >= maxInFlight || this.#executing >= maxConcurrency)) return null
    const isPage = call.concern === "gives a cursor"
    const ordinary = () => (isPage ? Placing.atHome(home) : Placing.ordinary(member, home, this.replicas))
    const place = call.isInLane ? this.#lane(member, home, waited) : ordinary()
    return place === null || (place.process.isFull && !isAsked) ? null : place
  }

  #lane(member: Member.Member, home: Replica, waited: number): Placing.Place | null {
    const found = Placing.lane({
      member,
      home,
      replicas: this.replicas,
      asker: this.#questions.askerOf(member),
      areOthersWaiting: this.#laneTurns.hasOthers(member),
      isAlone: this.clients.size === 1,
      waited,
      tasks: this.#tasks
    })
    if (found === null || "process" in found) return found
    this.#places.want(found.wanted, "start")
    return null
  }

  /** `now` in milliseconds since the epoch. */
  #send({ process, replica }: Placing.Place, call: Calls.Call, line: Line, envelope: Envelope, now: number): void {
    call.deadlineFrom = now
    if (this.#executing >= maxKeptCalls) call.kept = null
    call.member.executing++
    this.#executing++
    replica.usedAt = now
    replica.request(process, call, line, envelope)
  }

  /** It waits for its turn; where that does not come, `errorOf` says what to answer. */
  #enter(call: Calls.Call, line: Line, errorOf: (error: RequestError) => RequestError): void {
    const { client, id, isInLane, member } = call
    const leaving = this.#leaving.get(client)
    if (leaving !== undefined) return this.#passOn(call, line, leaving)
    const { home } = this.#of(client)
    const since = Date.now()
    const go = (): boolean => {
      if (home.unavailable !== null) return (refused(home.unavailable), true)
      const place = this.#placeFor(call, home, Date.now() - since)
      if (place === null) return (this.#places.wake(home), false)
      this.#envelope.scan(line.bytes, line.start, line.end)
      this.#send(place, call, line, this.#envelope, Date.now())
      return true
    }
    const { account } = this.#options
    const refused = (error: RequestError) => {
      account.fail(call, errorOf(error))
      client.settled()
    }
    const withdrawn = (outcome: CallOutcome.CallOutcome) => {
      account.drop(call, outcome)
      client.settled()
    }
    const turns = isInLane ? this.#laneTurns : this.#turns
    const passOn = () => this.#passOn(call, line, this.#leaving.get(client)!)
    turns.enter({ member, id, bytes: line.end - line.start, go, refuse: refused, withdrawn, passOn })
    this.#places.wake(home)
    this.#alarm.soon()
  }

  /** No process here has seen it, or it may be run twice: where its client is now it begins anew. */
  #passOn(call: Calls.Call, line: Line, { next }: Leaving): void {
    const { client, method } = call
    this.#options.account.withdraw(call)
    client.inFlight--
    this.#envelope.scan(line.bytes, line.start, line.end)
    const own = Calls.asItCame(line, this.#envelope, call)
    this.#envelope.scan(own.bytes, own.start, own.end)
    next.request(client, own, this.#envelope, method)
  }

  #endIfIdle(client: Client): void {
    const leaving = this.#leaving.get(client)
    if (leaving === undefined) return
    const { home, member } = this.#of(client)
    const isBusy = member.executing > 0 || member.asked > 0 || home.lists.has(member) || this.#tasks.hasLiveOf(member)
    if (isBusy) return
    this.#leaving.delete(client)
    leaving.done()
  }

  /** A process that ended held it: it goes to the next. */
  #again(call: Calls.Call, line: Line, errorOf: (error: RequestError) => RequestError): void {
    call.member.executing--
    this.#executing--
    this.#enter(call, line, errorOf)
    if (this.#leaving.size > 0) this.#endIfIdle(call.client)
  }

  #pump(): void {
    if (!this.#laneTurns.isEmpty) this.#laneTurns.pump()
    if (!this.#turns.isEmpty) this.#turns.pump()
  }

  /** A task is its maker's alone: it is asked about where it runs. */
  #taskRequest(client: Client, line: Line, envelope: Envelope, method: string): void {
    const { member, traffic } = this.#of(client)
    const id = line.copy(envelope.start[Key.id]!, envelope.end[Key.id]!)
    const unknown: Refusal = { code: invalidParams, message: "this session has no such task" }
    if (method === "tasks/list") {
      return client.fail(id, { code: methodNotFound, message: "a shared server does not list tasks" })
    }
    const { taskId } = namedTask(line)
    const peer = taskId === null ? null : this.#tasks.processOf(member, taskId)
    const place = peer === null ? null : Placing.placeOf(peer, this.replicas)
    if (taskId === null || place === null) return client.fail(id, unknown)
    const facts = { name: null, kept: null, isInLane: false, concern: { taskId } }
    const call = Calls.begin(line, envelope, { client, member, method, traffic, ...facts })
    this.#send(place, call, line, envelope, call.since)
  }

  /** Whether a request is kept, so that it can be made again: what only reads, and tools that say that it does no harm. */
  #keeps(method: string, name: string | null, line: Line): boolean {
    const isRepeatable = method === "tools/call" ? this.lists.isRepeatable(name) : reads.has(method)
    return isRepeatable && line.end - line.start <= maxKept
  }

  #refusing(): ServerUnavailable {
    const { server } = this.#options
    const hint = `it ended the server ${maxCrashes} times, alone: mcp-pool logs ${server}`
    return new ServerUnavailable({ server, state: "refusing", failure: null, hint, nextAttemptAt: null })
  }

  readonly #onSettled: Endings["onSettled"] = (call, outcome) => {
    call.member.executing--
    this.#executing--
    if (call.isInLane && CallOutcome.isAnswer(outcome) && !call.hasSeenQuestion) this.asking.acquit(call)
    call.client.settled()
    if (this.#leaving.size > 0) this.#endIfIdle(call.client)
    // A process that ended has more to say first; what comes next follows then.
    if (outcome !== "outcome-unknown") this.#pump()
  }

  // --- places ---

  #replica(index: number): Replica {
    return new Replica({
      ...this.#options,
      isHome: index < this.#options.replicas.homes && !this.isOwn,
      everybody: this.clients,
      questions: this.#questions,
      tasks: this.#tasks,
      poison: this.#poison,
      onSettled: this.#onSettled,
      onChange: () => {
        this.#pump()
        if (this.#places.areWatched) this.#alarm.soon()
      },
      onNeeded: (replica) => this.#places.wake(replica),
      onUnlisted: (call) => this.#enter(call, Line.ofText(call.kept ?? ""), (error) => error),
      onAgain: (call, line, errorOf) => this.#again(call, line, errorOf),
      sweepSoon: () => this.#alarm.soon()
    })
  }

  /**
   * The process of a place is about to be ended, since nobody uses it: says whether that still holds. What comes from now on
   * waits for another.
   */
  rest(replica: Replica): boolean {
    if (!this.#places.isIdle(replica, Date.now())) return false
    replica.sleep()
    return true
  }

  #sweep(now: number): void {
    this.#turns.expire(now)
    this.#laneTurns.expire(now)
    this.#pump()
    for (const client of this.#leaving.keys()) this.#endIfIdle(client)
    let isBusy = !this.#turns.isEmpty || !this.#laneTurns.isEmpty || this.#leaving.size > 0
    for (const replica of this.replicas) if (replica.sweep(now)) isBusy = true
    const next = this.#places.sweep(now, !this.#laneTurns.isEmpty)
    if (isBusy) this.#alarm.soon()
    else this.#alarm.within(next)
  }
}

/** Requests that only read. */
const reads: ReadonlySet<string> = new Set([
  "tools/list",
  "prompts/list",
  "resources/list",
  "resources/templates/list",
  "resources/read"
])

const unknownCursor: Refusal = {
  code: invalidParams,
  message: "this session was given no such cursor, or by a process that is gone: begin with the first page"
}

const noLogging = Reply.json({ code: methodNotFound, message: "the server offers no logging" })

/** What is kept of requests that may be made again: so long each, in bytes, and so many. */
const maxKept = 64 * 1024
const maxKeptCalls = 256
