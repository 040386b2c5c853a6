/**
 * One server as an `Upstream` of many clients, over one process or several: which session has its home where, and what
 * becomes of its requests. When one goes is up to `Admission`. Plain synchronous code.
 */
import * as CallOutcome from "../CallOutcome.ts"
import { Line } from "../lines/LineReader.ts"
import { type Envelope, Key } from "../message/Envelope.ts"
import { isSameId } from "../message/Ids.ts"
import { decodeString, namedTask, nameOf } from "../message/Words.ts"
import type { RequestError } from "../PoolError.ts"
import type { Asker } from "../server/AskerStore.ts"
import type { Handshake, Hello } from "../server/Handshake.ts"
import { invalidParams, methodNotFound } from "../WireError.ts"
import { Admission, type AdmissionOptions } from "./Admission.ts"
import { Alarm } from "./Alarm.ts"
import { Asking, type QuestionPolicy } from "./Asking.ts"
import * as Calls from "./Calls.ts"
import * as Cursors from "./Cursors.ts"
import { Departures } from "./Departures.ts"
import * as Gating from "./Gating.ts"
import type { ListCache } from "./ListCache.ts"
import * as Member from "./Member.ts"
import type * as Owner from "./Owner.ts"
import type { Endings } from "./Endings.ts"
import type { Multiplexer } from "./Multiplexer.ts"
import { done as nothingToDo } from "./Outcome.ts"
import { Places, type PlacesOptions } from "./Places.ts"
import * as Placing from "./Placing.ts"
import { Poison } from "./Poison.ts"
import { Questions, type Root } from "./Questions.ts"
import { Replica, type ReplicaOptions } from "./Replica.ts"
import * as Repeatable from "./Repeatable.ts"
import * as Reply from "./Reply.ts"
import { asksForTask, Tasks } from "./Tasks.ts"
import type { Traffic } from "./Traffic.ts"
import type { Client, Outcome, Refusal, Replaceable, Upstream } from "./Upstream.ts"

export interface SharingOptions
  extends
    Pick<AdmissionOptions, "maxInFlight" | "maxConcurrency">,
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
      | "pins"
    > {
  /** `"own"`: it has one session, which is asked whatever the server asks. */
  readonly questions: QuestionPolicy | "own"
  readonly roots: ReadonlyArray<Root> | undefined
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

export class Sharing implements Replaceable {
  readonly clients = new Set<Client>()
  readonly isOwn: boolean
  readonly asking: Asking
  readonly replicas: ReadonlyArray<Replica>
  readonly #options: SharingOptions
  readonly #places: Places
  /** Where those have their home that share their turns. */
  readonly #homes = new WeakMap<Owner.Owner, Replica>()
  readonly #memberships = new Map<Client, Membership>()
  readonly #departures: Departures
  readonly #questions: Questions
  readonly #tasks = new Tasks()
  readonly #poison: Poison
  readonly #admission: Admission
  readonly #alarm = new Alarm((now) => this.#sweep(now))

  constructor(options: SharingOptions) {
    this.#options = options
    const { questions, server } = options
    this.#poison = new Poison(server)
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
      onAnswered: () => this.#admission.pump()
    })
    const parts = { questions: this.#questions, tasks: this.#tasks }
    this.#places = new Places({ ...options, ...parts }, (index) => this.#replica(index))
    this.replicas = this.#places.all
    this.#admission = new Admission({
      ...options,
      ...parts,
      places: this.#places,
      everybody: this.clients,
      onWaiting: () => this.#alarm.soon(),
      onPassedOn: (call, line) => this.#departures.passOn(call, line)
    })
    this.#departures = new Departures({ account: options.account, isBusy: (client) => this.#isBusy(client) })
  }

  /** The lists of the server, as its first home gives them. */
  get lists(): ListCache {
    return this.replicas[0]!.lists
  }

  get listTtl(): number {
    return this.#options.listTtl
  }

  // --- sessions ---

  join(client: Client): void {
    this.clients.add(client)
    const known = this.#memberships.get(client)
    // It may come back before it has left.
    this.#departures.forget(client)
    const { owner } = client
    const home = known?.home ?? (owner && this.#homes.get(owner)) ?? this.#places.homeForNew()
    if (owner !== null) this.#homes.set(owner, home)
    home.clients.add(client)
    const traffic = this.#options.account.trafficOf(client.server)
    this.#memberships.set(client, {
      member: known?.member ?? Member.make(client, this.#options.pins.of(client.server)),
      home,
      traffic
    })
    for (const { levels } of this.replicas) levels.membersChanged()
  }

  leave(client: Client): void {
    const membership = this.#memberships.get(client)
    if (membership === undefined) return
    const { home, member } = membership
    this.#memberships.delete(client)
    this.#departures.forget(client)
    this.clients.delete(client)
    for (const waiting of [this.#admission, home.lists]) waiting.withdraw(member, "cancelled")
    this.#questions.leave(client)
    this.#tasks.leave(member)
    for (const replica of this.replicas) replica.leave(client)
    member.client = null
    this.#poison.forget(client)
    for (const { levels } of this.replicas) levels.membersChanged()
    this.#admission.pump()
    this.#alarm.soon()
  }

  handOver(client: Client, next: Upstream, done: () => void): void {
    const membership = this.#memberships.get(client)
    if (membership === undefined) return done()
    const { home, member } = membership
    this.#departures.begin(client, next, done)
    this.clients.delete(client)
    home.release(client)
    for (const { levels } of this.replicas) levels.membersChanged()
    this.#admission.passOn(member)
    this.#departures.endIfIdle(client)
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
    const refusal = home.unavailable ?? this.#poison.refusal(client, method, name)
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
      kept:
        cursor === null && Repeatable.isKept(this.lists, method, name, line) ? line.copy(line.start, line.end) : null,
      isInLane,
      concern: isPaged
        ? "gives a cursor"
        : home.mayHaveTasks && !this.isOwn && asksForTask(line)
          ? "makes a task"
          : null
    })
    this.#admission.admit(call, home, line, envelope)
  }

  list(client: Client, line: Line, envelope: Envelope, method: string): void {
    const { home, member, traffic } = this.#of(client)
    const isHere = home.unavailable === null && home.lists.answers(method)
    if (!isHere || this.asking.needsLane(method, null)) return this.request(client, line, envelope, method)
    const kept = line.copy(line.start, line.end)
    const facts = { name: null, kept, isInLane: false, concern: null }
    home.lists.answer(Calls.begin(line, envelope, { client, member, method, traffic, ...facts }))
  }

  notify(client: Client, line: Line, method: string): void {
    // A client's roots never change what others may touch.
    if (method === rootsChanged && !this.isOwn) return
    const { home, member } = this.#of(client)
    if (Gating.passes(member, line)) home.current?.notify(line)
  }

  answer(client: Client, line: Line, envelope: Envelope): void {
    this.#questions.answer(client, line, envelope)
  }

  inputEnded(client: Client): void {
    this.#questions.inputEnded(client)
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
    for (const waiting of [this.#admission, home.lists]) waiting.withdraw(member, unsent, isWanted)
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

  /** It waits for its turn, here or where its client is now. */
  #enter(call: Calls.Call, line: Line, errorOf: (error: RequestError) => RequestError): void {
    if (this.#departures.has(call.client)) this.#departures.passOn(call, line)
    else this.#admission.enter(call, this.#of(call.client).home, line, errorOf)
  }

  #isBusy(client: Client): boolean {
    const { home, member } = this.#of(client)
    return member.executing > 0 || member.asked > 0 || home.lists.has(member) || this.#tasks.hasLiveOf(member)
  }

  /** A process that ended held it, or failed it: it goes to the next, or once more. */
  #again(call: Calls.Call, line: Line, errorOf: (error: RequestError) => RequestError): void {
    this.#admission.returned(call)
    this.#enter(call, line, errorOf)
    if (!this.#departures.isEmpty) this.#departures.endIfIdle(call.client)
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
    this.#admission.send(place, call, line, envelope, call.since)
  }

  readonly #onSettled: Endings["onSettled"] = (call, outcome) => {
    this.#admission.returned(call)
    if (call.isInLane && CallOutcome.isAnswer(outcome) && !call.hasSeenQuestion) this.asking.acquit(call)
    call.client.settled()
    if (!this.#departures.isEmpty) this.#departures.endIfIdle(call.client)
    // A process that ended has more to say first; what comes next follows then.
    if (outcome !== "outcome-unknown") this.#admission.pump()
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
        this.#admission.pump()
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
    this.#admission.expire(now)
    this.#admission.pump()
    this.#departures.endIdle()
    let isBusy = !this.#admission.isEmpty || !this.#departures.isEmpty
    for (const replica of this.replicas) if (replica.sweep(now)) isBusy = true
    const next = this.#places.sweep(now, this.#admission.areLanesAwaited)
    if (isBusy) this.#alarm.soon()
    else this.#alarm.within(next)
  }
}

const unknownCursor: Refusal = {
  code: invalidParams,
  message: "this session was given no such cursor, or by a process that is gone: begin with the first page"
}

/** What a client says of its roots. */
export const rootsChanged = "notifications/roots/list_changed"

const noLogging = Reply.json({ code: methodNotFound, message: "the server offers no logging" })
