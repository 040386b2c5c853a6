/**
 * The upstream of one name, whichever server stands behind it: its sessions stay where they are while another server takes
 * the place of the one before. Plain synchronous code; lives as long as the name is configured, and as its last session.
 */
import type { CallOutcome } from "../CallOutcome.ts"
import type { Line } from "../lines/LineReader.ts"
import type { Envelope } from "../message/Envelope.ts"
import type { RequestError } from "../PoolError.ts"
import type { Handshake, Hello } from "../server/Handshake.ts"
import { announcements } from "./ListCache.ts"
import { announce } from "./Notifications.ts"
import type { Client, Outcome, Replaceable, Upstream } from "./Upstream.ts"

/** What is known of a session, so that another server can be told. */
interface Seat {
  /** From its `initialize`. */
  hello: Hello | null
  /** It says nothing more. */
  isInputAtEnd: boolean
  /** What it watches. */
  readonly uris: Set<string>
  /** What it has asked and waits for, in order: each asks the server that is there then. */
  readonly asking: Set<() => void>
  /** Servers where something of it is still under way. */
  readonly before: Set<Replaceable>
}

/** A server whose sessions have been moved to another. */
interface Replaced {
  /** Sessions that have something under way there. */
  sessions: number
  readonly done: () => void
}

export class Switch implements Upstream {
  readonly #seats = new Map<Client, Seat>()
  readonly #replaced = new Map<Replaceable, Replaced>()
  #current: Replaceable
  /** The lists that sessions were given, until those of the server that is there have been compared with them. */
  #given: ReadonlyMap<string, string | null> | null = null

  constructor(current: Replaceable) {
    this.#current = current
  }

  /** Who has joined and not left. */
  get clients(): Iterable<Client> {
    return this.#seats.keys()
  }

  get isOwn(): boolean {
    return this.#current.isOwn
  }

  get listTtl(): number {
    return this.#current.listTtl
  }

  /**
   * All that comes goes to `next`, which is told what each session has asked for: who it is, its log level, what it watches.
   * Sessions are told of lists that are others there. Calls back once the server before has nothing of theirs under way.
   */
  moveTo(next: Replaceable, done: () => void): void {
    const old = this.#current
    if (old === next) return done()
    const given = this.#given ?? old.lists?.texts() ?? null
    this.#current = next
    const replaced = { sessions: this.#seats.size, done }
    this.#replaced.set(old, replaced)
    // It may come back to one that its sessions have not left yet.
    const left = this.#replaced.get(next)
    if (left !== undefined) this.#end(next, left)
    for (const [client, seat] of this.#seats) {
      seat.before.delete(next)
      seat.before.add(old)
      next.join(client)
      this.#introduce(client, seat, next)
      old.handOver(client, this, () => {
        // It has come back, or has gone.
        if (seat.before.delete(old)) this.#left(old, client)
      })
    }
    this.#compare(given, next)
    if (this.#seats.size === 0) this.#end(old, replaced)
  }

  join(client: Client): void {
    this.#seats.set(client, { hello: null, isInputAtEnd: false, uris: new Set(), asking: new Set(), before: new Set() })
    this.#current.join(client)
  }

  leave(client: Client): void {
    const seat = this.#seats.get(client)
    if (seat === undefined) return
    this.#seats.delete(client)
    this.#current.leave(client)
    for (const old of seat.before) {
      seat.before.delete(old)
      this.#left(old, client)
    }
  }

  handshake(
    client: Client,
    hello: Hello,
    onHandshake: (handshake: Handshake) => void,
    onRefusal: (error: RequestError) => void
  ): void {
    const seat = this.#seats.get(client)!
    seat.hello = hello
    this.#ask<readonly [Handshake | null, RequestError | null]>(
      seat,
      (upstream, done) =>
        upstream.handshake(
          client,
          hello,
          (handshake) => done([handshake, null]),
          (error) => done([null, error])
        ),
      ([handshake, error]) => {
        if (handshake !== null) onHandshake(handshake)
        else if (error !== null) onRefusal(error)
      }
    )
  }

  request(client: Client, line: Line, envelope: Envelope, method: string): void {
    if (this.#replaced.size > 0 && method.startsWith("tasks/")) return this.#taskRequest(client, line, envelope, method)
    this.#current.request(client, line, envelope, method)
  }

  list(client: Client, line: Line, envelope: Envelope, method: string): void {
    this.#current.list(client, line, envelope, method)
  }

  notify(client: Client, line: Line, method: string): void {
    this.#current.notify(client, line, method)
  }

  answer(client: Client, line: Line, envelope: Envelope): void {
    this.#current.answer(client, line, envelope)
    if (this.#replaced.size > 0) for (const old of this.#before(client)) old.answer(client, line, envelope)
  }

  answerProgress(client: Client, line: Line, envelope: Envelope): void {
    this.#current.answerProgress(client, line, envelope)
    if (this.#replaced.size > 0) for (const old of this.#before(client)) old.answerProgress(client, line, envelope)
  }

  inputEnded(client: Client): void {
    this.#seats.get(client)!.isInputAtEnd = true
    this.#current.inputEnded(client)
    for (const old of this.#before(client)) old.inputEnded(client)
  }

  cancel(client: Client, id: string, line: Line, envelope: Envelope, outcome?: CallOutcome): void {
    this.#current.cancel(client, id, line, envelope, outcome)
    if (this.#replaced.size > 0) for (const old of this.#before(client)) old.cancel(client, id, line, envelope, outcome)
  }

  levelChanged(client: Client, done: (outcome: Outcome) => void): void {
    const seat = this.#seats.get(client)!
    this.#ask(seat, (upstream, done) => upstream.levelChanged(client, done), done)
  }

  subscribe(client: Client, uri: string, done: (outcome: Outcome) => void): void {
    const seat = this.#seats.get(client)!
    const told = (outcome: Outcome) => {
      if (outcome.kind === "result") seat.uris.add(uri)
      done(outcome)
    }
    this.#ask(seat, (upstream, done) => upstream.subscribe(client, uri, done), told)
  }

  unsubscribe(client: Client, uri: string): void {
    this.#current.unsubscribe(client, uri)
    this.#seats.get(client)!.uris.delete(uri)
  }

  /** The session waits for an answer of whichever server is there: another one is asked again, and the first is not heard. */
  #ask<A>(seat: Seat, ask: (upstream: Upstream, done: (outcome: A) => void) => void, done: (outcome: A) => void): void {
    let round = 0
    const again = () => {
      const mine = ++round
      ask(this.#current, (outcome) => {
        if (mine === round && seat.asking.delete(again)) done(outcome)
      })
    }
    seat.asking.add(again)
    again()
  }

  /** Tells a server what a session has asked for before it came there. */
  #introduce(client: Client, { asking, hello, isInputAtEnd, uris }: Seat, next: Replaceable): void {
    if (hello !== null && next.isOwn) next.handshake(client, hello, ignored, ignored)
    for (const again of Array.from(asking)) again()
    if (client.level !== null) next.levelChanged(client, ignored)
    for (const uri of uris) next.subscribe(client, uri, ignored)
    if (isInputAtEnd) next.inputEnded(client)
  }

  /** Announces to sessions which of their lists are others now, as soon as that is known. */
  #compare(given: ReadonlyMap<string, string | null> | null, next: Replaceable): void {
    this.#given = given
    const clients = [...this.#seats.keys()]
    const tell = (
      isOther: (method: string, text: string | null) => boolean,
      texts: ReadonlyMap<string, string | null>
    ) => {
      this.#given = null
      const there = clients.filter((client) => this.#seats.has(client))
      for (const [method, text] of texts) if (isOther(method, text)) announce(there, method)
    }
    const { lists } = next
    // A session's own lists are known to nobody else.
    if (lists === null || given === null) return tell(() => true, lists?.texts() ?? given ?? unknown)
    lists.whenRead(() => {
      if (this.#current !== next) return
      tell((method, text) => text === null || !isSame(text, given.get(method) ?? null), lists.texts())
    })
  }

  /** A task is asked about where it runs. */
  #taskRequest(client: Client, line: Line, envelope: Envelope, method: string): void {
    const old = [...this.#before(client)].find((old) => old.hasTask(client, line))
    const upstream = old ?? this.#current
    upstream.request(client, line, envelope, method)
  }

  #before(client: Client): Iterable<Replaceable> {
    return this.#seats.get(client)?.before ?? []
  }

  /** Nothing of a session is under way at a server where it was before. */
  #left(old: Replaceable, client: Client): void {
    old.leave(client)
    const replaced = this.#replaced.get(old)
    if (replaced === undefined) return
    replaced.sessions--
    if (replaced.sessions === 0) this.#end(old, replaced)
  }

  #end(old: Replaceable, { done }: Replaced): void {
    this.#replaced.delete(old)
    done()
  }
}

/** Who was given nothing has not missed that there is nothing. */
const isSame = (text: string, given: string | null): boolean =>
  given === null ? /^(\[\])*$/.test(text) : text === given

const ignored = () => {}
const unknown: ReadonlyMap<string, string | null> = new Map(announcements.map((method) => [method, null]))
