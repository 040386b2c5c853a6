/**
 * One place of a server: the process that takes requests there, those that drain after they were replaced, what the pool
 * itself asks, and what becomes of requests when a process ends. Plain synchronous code; outlives the processes that its
 * supervisor gives it.
 */
import type { Line } from "../lines/LineReader.ts"
import type { Envelope } from "../message/Envelope.ts"
import { OutcomeUnknown, type RequestError, RequestTimeout } from "../PoolError.ts"
import type { Handshake, ServerProcess } from "../server/ServerProcess.ts"
import type { Call } from "./Calls.ts"
import * as Cursors from "./Cursors.ts"
import { type Endings, refuse } from "./Endings.ts"
import type { Pins } from "./Gate.ts"
import { ListCache } from "./ListCache.ts"
import { LogLevels } from "./LogLevels.ts"
import type { Memory } from "./Memory.ts"
import { Multiplexer } from "./Multiplexer.ts"
import { announce } from "./Notifications.ts"
import type { Poison } from "./Poison.ts"
import type { Questions } from "./Questions.ts"
import * as Repeatable from "./Repeatable.ts"
import { Roster } from "./Roster.ts"
import { Subscriptions } from "./Subscriptions.ts"
import { areOffered, type Tasks } from "./Tasks.ts"
import type { Client, Outcome } from "./Upstream.ts"
import { type Waiting, WaitingRoom } from "./WaitingRoom.ts"

export interface ReplicaOptions extends Endings, Pick<Repeatable.AfterEnd, "onAgain"> {
  readonly server: string
  readonly logMessages: "owner" | "all" | "none"
  /** Bytes. */
  readonly maxLine: number
  /** Milliseconds. */
  readonly queueTimeout: number
  /** Milliseconds; null for none. */
  readonly requestTimeout: number | null
  /** How long lists are fresh, in milliseconds. */
  readonly listTtl: number
  /** A line of stdout that is no JSON-RPC message. */
  readonly onStray: (pid: number | null, text: string) => void
  /** Why it has no process yet. */
  readonly unavailable: RequestError
  /** Sessions may have their home here: it is asked for its lists. */
  readonly isHome: boolean
  /** What is known of the server without a process, where its sessions share that. */
  readonly memory: Memory
  /** Of the names that the server has. */
  readonly pins: Pins
  /** All sessions of the server, wherever their home is. */
  readonly everybody: ReadonlySet<Client>
  readonly questions: Questions
  readonly tasks: Tasks
  readonly poison: Poison
  /** A client's request for a list goes to the process after all. */
  readonly onUnlisted: (call: Call) => void
  /** A client's request waits here, and its process is asleep. */
  readonly onNeeded: (replica: Replica) => void
  /** There is a process, or another, or room in it, or none will come. */
  readonly onChange: (replica: Replica) => void
  /** Something has a deadline now. */
  readonly sweepSoon: () => void
}

/** What ended with a process. */
export interface Loss {
  /** Clients' requests that it held. */
  readonly inFlight: number
  /** It held one alone, which therefore is the suspect: the crash goes to that call's account. */
  readonly isOfOneCall: boolean
}

export class Replica {
  /** The sessions whose home it is. */
  readonly clients = new Set<Client>()
  readonly lists: ListCache
  readonly subscriptions: Subscriptions
  readonly levels: LogLevels
  /** Takes all new requests. */
  current: Multiplexer | null = null
  /** Why there is no process and none is coming; null while there is hope. */
  unavailable: RequestError | null
  /** Another process is to take over, since this one may still ask what nobody waits for. */
  isRenewing = false
  /** Before then another attempt at that is not worth it, in milliseconds since the epoch. */
  renewableAt = 0
  /** It was told to have a process. */
  isWanted = false
  /** It has no process, and gets one as soon as it is needed. */
  isAsleep = false
  /** When it was last of use, in milliseconds since the epoch. */
  usedAt = Date.now()
  /** It was in use when that was looked at last. */
  wasUsed = false
  readonly #options: ReplicaOptions
  readonly #waiting: WaitingRoom
  readonly #draining = new Set<Multiplexer>()
  /** Of the last process. */
  #handshake: Handshake | null = null

  constructor(options: ReplicaOptions) {
    this.#options = options
    this.unavailable = options.unavailable
    this.#waiting = new WaitingRoom({ server: options.server, timeout: options.queueTimeout })
    const isThere = () => this.current !== null
    this.subscriptions = new Subscriptions({
      ask: (method, params, done, client) => this.ask(method, params, done, client),
      isThere
    })
    this.lists = new ListCache({
      ttl: options.listTtl,
      account: options.account,
      forward: options.onUnlisted,
      onForwarded: () => options.onChange(this),
      onCursor: ({ member, method }, cursor) => {
        if (this.current !== null) Cursors.give(member, method, cursor, this.current)
      },
      ask: (method, params, done) => this.ask(method, params, done),
      isThere,
      onChanged: (method) => announce(this.clients, method),
      onTools: (tools) => this.current?.roster.saw(tools, true),
      recall: () => (options.isHome ? options.memory.lists : new Map()),
      onWhole: (method, whole) => {
        if (options.isHome) options.memory.listed(method, whole)
      }
    })
    this.levels = new LogLevels({
      clients: options.everybody,
      ask: (method, params, done, client) => this.ask(method, params, done, client)
    })
  }

  // --- processes, from the supervisor ---

  /** A process is ready: what waits goes to it, and what comes. One that was there before drains. */
  attach(process: ServerProcess): void {
    const multiplexer = this.#multiplexer(process)
    const replaced = this.current
    this.current = multiplexer
    this.isRenewing = this.isAsleep = false
    if (replaced !== null) {
      this.#draining.add(replaced)
      replaced.retire()
    }
    this.#handshake = process.handshake
    this.unavailable = null
    this.usedAt = Date.now()
    // First, so that what it lists is known before others ask for it.
    multiplexer.roster.look(process.tools)
    if (this.#options.isHome) {
      this.lists.renew(process.handshake.capabilities, process.tools)
      this.#options.memory.shook(process.handshake)
    }
    this.subscriptions.renew()
    if ("logging" in process.handshake.capabilities) this.levels.renew()
    this.#waiting.admit(multiplexer)
    // After the answer to `initialize`, which may wait here.
    multiplexer.begin()
    this.#options.onChange(this)
  }

  /**
   * A process has ended by itself (a crash), or is being ended. What never reached it goes to the next, and so does, once,
   * what may be run twice; the rest has an unknown outcome.
   */
  detach(process: ServerProcess, how: { readonly isCrash: boolean }): Loss {
    const multiplexer = this.#of(process)
    if (multiplexer === undefined) return { inFlight: 0, isOfOneCall: false }
    const { poison, questions, server, tasks } = this.#options
    if (multiplexer === this.current) {
      this.current = null
      this.isRenewing = false
    }
    this.#draining.delete(multiplexer)
    const { calls, sole, unwritten } = multiplexer.end()
    questions.endOf(multiplexer)
    tasks.endOf(multiplexer)
    const isOfOneCall = how.isCrash && sole !== null && poison.crashed(sole)
    const unknown = new OutcomeUnknown({ server })
    for (const call of calls) Repeatable.afterEnd(call, unwritten.get(call), unknown, this.#options)
    this.#options.onChange(this)
    return { inFlight: calls.filter(({ client }) => client !== null).length, isOfOneCall }
  }

  /** Calls back once a process that drains holds no request and no task any more. */
  whenDrained(process: ServerProcess, done: () => void): void {
    const multiplexer = this.#of(process)
    if (multiplexer === undefined) done()
    else multiplexer.whenIdle(() => this.#options.tasks.whenIdle(multiplexer, done))
  }

  /** The server's answer to `initialize`, as it was given last; null where it is not known. */
  get handshake(): Handshake | null {
    return this.#handshake ?? (this.#options.isHome ? this.#options.memory.handshake : null)
  }

  /** Whether its process can have tasks, as far as that is known. */
  get mayHaveTasks(): boolean {
    return this.#handshake === null || areOffered(this.#handshake)
  }

  /** A process is to come. */
  expect(): void {
    this.isWanted = true
    this.isAsleep = false
    this.setUnavailable(null)
  }

  /** Its process, if it has one, takes no more and is about to be ended; what comes waits for another. */
  sleep(): void {
    const { current } = this
    this.isAsleep = true
    this.isWanted = false
    this.unavailable = null
    if (current !== null) {
      this.current = null
      this.#draining.add(current)
      current.retire()
    }
    if (!this.#waiting.isEmpty) this.#options.onNeeded(this)
    this.#options.onChange(this)
  }

  /** Without a process: whether one is coming (`null`), or why not. */
  setUnavailable(error: RequestError | null): void {
    this.unavailable = error
    if (error === null) return
    this.isAsleep = false
    this.#waiting.refuse(error)
    this.#options.onChange(this)
  }

  /** What was to take over has, or failed. */
  renewed(): void {
    if (!this.isRenewing) return
    this.isRenewing = false
    this.renewableAt = Date.now() + renewPause
    this.#options.onChange(this)
  }

  /** It has no process, and was not told to have one. */
  get isIdle(): boolean {
    return !this.isWanted && this.current === null
  }

  /** Clients' requests that a process holds. */
  callsOf(process: ServerProcess): number {
    return this.#of(process)?.calls.ofClients() ?? 0
  }

  /** What its process lists is to be judged by other gates. */
  pinsChanged(): void {
    this.current?.roster.look(this.current.process.tools)
  }

  /** The process that takes requests, and those that drain. */
  all(): ReadonlyArray<Multiplexer> {
    return this.current === null ? [...this.#draining] : [this.current, ...this.#draining]
  }

  // --- the pool's own requests ---

  /**
   * Asks the server something, for the pool itself or on behalf of a client; the latter once more where a process ended
   * meanwhile, since that is to subscribe or to set a level. The returned function forgets the request.
   */
  ask(method: string, params: unknown, done: (outcome: Outcome) => void, client: Client | null = null): () => void {
    if (client === null) return this.#askOnce(method, params, done, null)
    return this.#askOnce(
      method,
      params,
      (outcome) => {
        const isLost = outcome.kind === "refused" && outcome.error._tag === "OutcomeUnknown"
        if (isLost && this.#options.everybody.has(client)) this.#askOnce(method, params, done, client)
        else done(outcome)
      },
      client
    )
  }

  #askOnce(method: string, params: unknown, done: (outcome: Outcome) => void, client: Client | null): () => void {
    let forget = () => {}
    const send = (multiplexer: Multiplexer) => {
      const id = multiplexer.ask(method, params, done, client)
      forget = () => void multiplexer.calls.take(id)
      if (this.#options.requestTimeout !== null) this.#options.sweepSoon()
    }
    // Nobody's: its answer may be for others too.
    const onRefusal = (error: RequestError) => done({ kind: "refused", error })
    if (this.current !== null) send(this.current)
    else this.await({ client: null, onProcess: send, onRefusal }, client !== null)
    return () => forget()
  }

  /** What needs a process, whichever it is, waits for one to come. What only the pool itself would like to know can wait. */
  await(waiting: Waiting, isNeeded = true): void {
    if (this.unavailable !== null) return waiting.onRefusal(this.unavailable)
    this.#waiting.enter(waiting)
    this.#options.sweepSoon()
    if (this.isAsleep && isNeeded) this.#options.onNeeded(this)
  }

  // --- sessions ---

  /** What comes is not for the client any more, and what waits for a process is asked elsewhere. */
  release(client: Client): void {
    if (this.clients.delete(client)) this.usedAt = Date.now()
    this.#waiting.leave(client)
    this.subscriptions.leave(client)
  }

  leave(client: Client): void {
    this.release(client)
    for (const multiplexer of this.all()) {
      for (const call of multiplexer.leave(client)) {
        this.#options.account.drop(call, "cancelled")
        this.#options.onSettled(call, "cancelled")
      }
    }
  }

  /** Hands a request to a process of this place. */
  request(multiplexer: Multiplexer, call: Call, line: Line, envelope: Envelope): void {
    multiplexer.request(call, line, envelope)
    if (this.#options.requestTimeout !== null) this.#options.sweepSoon()
  }

  /** Refuses what is late at `now`, in milliseconds since the epoch; says whether something else may become so. */
  sweep(now: number): boolean {
    this.#waiting.expire(now)
    const { questions, requestTimeout, server } = this.#options
    if (requestTimeout === null) return !this.#waiting.isEmpty
    const error = new RequestTimeout({ server })
    for (const multiplexer of this.all()) {
      const standsStill = (member: Call["member"]) => questions.isAsking(multiplexer, member)
      for (const call of multiplexer.expire(now - requestTimeout, standsStill)) refuse(call, error, this.#options)
    }
    return !this.#waiting.isEmpty || this.all().some(({ calls }) => calls.size > 0)
  }

  #multiplexer(process: ServerProcess): Multiplexer {
    const { logMessages, maxLine, onStray, pins, questions, server, tasks } = this.#options
    const multiplexer: Multiplexer = new Multiplexer(process, {
      server,
      maxLine,
      logMessages,
      clients: this.clients,
      subscriptions: this.subscriptions,
      questions,
      tasks,
      isLevelAsked: () => this.levels.isAsked,
      onStray: (text) => onStray(process.pid, text),
      onListChanged: (method) => {
        // First, so that whoever has been given a list finds it compared.
        if (method === "notifications/tools/list_changed") multiplexer.roster.refreshIfRead()
        if (this.#options.isHome) this.lists.refresh(method)
      },
      account: this.#options.account,
      onSettled: this.#options.onSettled,
      onAgain: (call, line) => {
        this.#options.onAgain(call, line, (error) => error)
        this.#options.onChange(this)
      },
      onDrain: () => this.#options.onChange(this),
      roster: new Roster({
        ask: (params, done) => {
          multiplexer.ask("tools/list", params, done, null)
          if (this.#options.requestTimeout !== null) this.#options.sweepSoon()
        },
        hasTools: "tools" in process.handshake.capabilities,
        gates: pins.gates,
        isCurrent: () => multiplexer === this.current,
        onRead: () => this.#options.onChange(this)
      }),
      onLost: (call, reason) => {
        Repeatable.afterEnd(call, undefined, new OutcomeUnknown({ server, reason }), this.#options)
        this.#options.onChange(this)
      }
    })
    return multiplexer
  }

  #of(process: ServerProcess): Multiplexer | undefined {
    return this.all().find((multiplexer) => multiplexer.process === process)
  }
}

/** Between attempts to replace a process that may still ask what nobody waits for, in milliseconds. */
const renewPause = 30_000
