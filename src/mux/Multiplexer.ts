/**
 * One process that many clients share: request ids and progress tokens of its own, one answer for each request, and
 * cancellation to the right one. Plain synchronous code on bytes; lives as long as the process.
 */
import type { CallOutcome } from "../CallOutcome.ts"
import { Line, type LongLine } from "../lines/LineReader.ts"
import type { LineSink } from "../lines/LineWriter.ts"
import { canonical, elements, Envelope, Key, Shape } from "../message/Envelope.ts"
import { idIn } from "../message/Ids.ts"
import { responseIdOf } from "../message/ResponseEnds.ts"
import { methodOf } from "../message/Words.ts"
import { OutcomeUnknown, RequestTimeout, ResultTooLarge } from "../PoolError.ts"
import type { ServerProcess } from "../server/ServerProcess.ts"
import type { Receiver } from "../server/Transport.ts"
import { type Ask, type Call, Calls } from "./Calls.ts"
import * as Cursors from "./Cursors.ts"
import * as Delivery from "./Delivery.ts"
import { type Endings, refuse } from "./Endings.ts"
import { ModernServer } from "./era/ModernServer.ts"
import * as Gating from "./Gating.ts"
import type { Member } from "./Member.ts"
import { Notifications, type NotificationsOptions } from "./Notifications.ts"
import { outcomeOf } from "./Outcome.ts"
import type { Peer } from "./Peer.ts"
import * as Remains from "./Remains.ts"
import * as Repeatable from "./Repeatable.ts"
import * as Reply from "./Reply.ts"
import type { Roster } from "./Roster.ts"
import * as Splice from "./Splice.ts"
import type { Client, Outcome, Refusal } from "./Upstream.ts"
import { verdictOf } from "./Verdict.ts"

export interface MultiplexerOptions extends Omit<NotificationsOptions, "process">, Endings {
  readonly server: string
  /** Bytes. */
  readonly maxLine: number
  /** A line of stdout that is no JSON-RPC message. */
  readonly onStray: (text: string) => void
  /** A list of the server has changed, by the method that says so. */
  readonly onListChanged: (method: string) => void
  /** The server has failed what it may be asked again: alone, where its client can be asked what it wants to know. */
  readonly onAgain: (call: Call, line: Line) => void
  /** The server takes more again. */
  readonly onDrain: () => void
  /** Of the process. */
  readonly roster: Roster
  /** A request will not be answered, though the process is there: it may have run, or not. `reason` says what broke. */
  readonly onLost: (call: Call | Ask, reason: string) => void
}

export class Multiplexer implements Receiver, Peer {
  readonly process: ServerProcess
  readonly calls = new Calls()
  /** What it lists, as far as gates look at it. */
  readonly roster: Roster
  readonly #options: MultiplexerOptions
  readonly #envelope = new Envelope()
  readonly #notifications: Notifications
  readonly #stdin: LineSink
  /** Where the process is of the other era than most sessions. */
  readonly #modern: ModernServer | null
  #heard = -1
  #heardAt = 0
  #isRetired = false
  #isEnded = false

  constructor(process: ServerProcess, options: MultiplexerOptions) {
    this.process = process
    this.#options = options
    this.#stdin = process.stdin
    this.roster = options.roster
    this.#notifications = new Notifications({ ...options, process: this })
    this.#stdin.onDrain = options.onDrain
    const { capabilities, era } = process.handshake
    const { calls } = this
    const fail = (call: Call, refusal: Refusal) => this.#fail(call, refusal)
    const { questions } = options
    this.#modern =
      era === "modern"
        ? new ModernServer({ process: this, stdin: this.#stdin, calls, questions, capabilities, fail })
        : null
  }

  /** Whether the server takes less than it is given: who has more should wait. */
  get isFull(): boolean {
    return this.#stdin.blocked && this.#stdin.unread > ahead
  }

  /** When it last answered a client's request, in milliseconds since the epoch; 0 before that. */
  get answeredAt(): number {
    return this.#heardAt
  }

  /** From here on it reads what the process writes. */
  begin(): void {
    this.process.attach(this)
    this.#modern?.begin()
  }

  // --- towards the process ---

  request(call: Call, line: Line, envelope: Envelope): void {
    const id = this.calls.add(call)
    if (this.#modern === null) Splice.request(this.#stdin, line, envelope, id)
    else this.#modern.request(call, line, envelope, id)
  }

  /** Asks the server something, for the pool itself or on behalf of a client; says the id. */
  ask(method: string, params: unknown, done: (outcome: Outcome) => void, client: Client | null): number {
    if (this.#modern?.asks(method, params, done) === true) return -1
    const id = this.calls.add({ client: null, isForClient: client !== null, deadlineFrom: Date.now(), done })
    this.#stdin.push(this.#modern?.ownRequest(id, method, params) ?? Reply.request(id, method, params))
    return id
  }

  /** Nobody waits for an answer to it: where the server does not read, it is lost. */
  notify(line: Line): void {
    if (!this.isFull && this.#modern === null) Splice.whole(this.#stdin, line)
  }

  /** A client's answer to a question, under the id (JSON text) that the server gave it; it never waits. */
  answer(line: Line, envelope: Envelope, id: string): void {
    Splice.one(this.#stdin, line, envelope, Key.id, id)
  }

  /** A client's progress on a question, under the token (JSON text) that the server gave it. */
  answerProgress(line: Line, envelope: Envelope, token: string): void {
    if (!this.isFull) Splice.one(this.#stdin, line, envelope, Key.progressToken, token)
  }

  /** The pool's own answer to a question; `id` is the server's, as JSON text. */
  answerItself(text: string): void {
    this.#stdin.push(text)
  }

  /** Cancels a client's calls by its own id for them; the cancellation goes on under the id that the server knows. */
  cancel(
    client: Client,
    isWanted: (id: string) => boolean,
    line: Line,
    envelope: Envelope,
    outcome: CallOutcome
  ): void {
    for (const [id, call] of this.calls.abandon(client, (call) => isWanted(call.id))) {
      if (this.#modern?.abandoned(id) !== true) Splice.one(this.#stdin, line, envelope, Key.requestId, String(id))
      this.#options.account.drop(call, outcome)
      this.#options.onSettled(call, outcome)
    }
  }

  /** The client is gone; says what it had here. */
  leave(client: Client): ReadonlyArray<Call> {
    return this.calls
      .abandon(client, () => true)
      .map(([id, call]) => {
        this.#cancelled(id, "the client is gone")
        return call
      })
  }

  /** Abandons what was sent at `before`, in milliseconds since the epoch, or earlier, but for whose deadline stands still. */
  expire(before: number, standsStill: (member: Member) => boolean): ReadonlyArray<Call | Ask> {
    const reason = new RequestTimeout({ server: this.#options.server }).message
    return this.calls.abandonSentBefore(before, standsStill).map(([id, call]) => {
      this.#cancelled(id, reason)
      return call
    })
  }

  /** Another process takes the calls from now on: this one ends what it has, and speaks for the server no more. */
  retire(): void {
    this.#isRetired = true
    this.#modern?.retire()
    const error = new OutcomeUnknown({ server: this.#options.server })
    for (const { done } of this.calls.takeOwn()) done({ kind: "refused", error })
  }

  /** Calls back once it holds no call any more. */
  whenIdle(done: () => void): void {
    if (this.calls.size === 0) return done()
    this.calls.onEmpty = done
  }

  /** The process has ended, or is being ended. */
  end(): Remains.Remains {
    this.#isEnded = true
    this.#modern?.end()
    this.calls.onEmpty = null
    return Remains.of(new Map(this.calls.takeAll()), this.#stdin.takeUnwritten())
  }

  #cancelled(requestId: number, reason: string): void {
    if (this.#modern?.abandoned(requestId) === true) return
    this.#stdin.push(Reply.notification("notifications/cancelled", { requestId, reason }))
  }

  // --- from the process ---

  onLine(line: Line): void {
    const envelope = this.#envelope
    const { bytes, end, start } = line
    if (end - start > shortLine && envelope.scanResponse(bytes, start, end)) return this.#response(line)
    const shape = envelope.scan(bytes, start, end)
    if (shape === Shape.message) this.#message(line)
    else if (shape === Shape.batch) this.#batch(line)
    else this.#stray(line)
  }

  /** A long response goes on piece by piece. */
  onPieces(pieces: ReadonlyArray<Buffer>, length: number): boolean {
    const id = this.#envelope.scanResponsePieces(pieces)
    if (id === null) return false
    const call = this.calls.get(id)
    // The pool's own answers are read as a whole, and what tells of tasks or cursors.
    if (call?.client === null) return false
    if (call !== undefined && this.#modern?.mayTake(call, pieces) === true) return false
    if (call !== undefined && Gating.ofList(call) !== null) return false
    const concern = (call ?? this.calls.getAbandoned(id))?.concern ?? null
    if (concern !== null) return false
    // Nobody waits for it; that it is answered counts.
    if (call === undefined) return (this.calls.takeAbandoned(id), true)
    this.calls.take(id)
    const outcome = verdictOf(pieces[0]!, this.#envelope)
    this.#options.account.end(call, outcome, length, this.#readAt())
    if (Delivery.hasRoom(call.client, length)) {
      const { end, start } = this.#envelope
      Splice.pieces(call.client.answerTo(call.id), pieces, start[Key.id]!, end[Key.id]!, call.id)
    }
    this.#options.onSettled(call, outcome)
    return true
  }

  onLongLine(line: LongLine): void {
    const id = responseIdOf(line)
    const call = id === null ? undefined : this.calls.take(id)
    if (id !== null && this.calls.takeAbandoned(id) !== undefined) return
    if (call === undefined) return this.#options.onStray(`a line of ${line.length} bytes, longer than maxLine`)
    const { maxLine, server } = this.#options
    refuse(call, new ResultTooLarge({ server, maxLine }), this.#options)
  }

  onLost(id: number, reason: string): void {
    const call = this.calls.take(id)
    if (call !== undefined) return this.#options.onLost(call, reason)
    this.calls.takeAbandoned(id)
    this.#modern?.lost(id)
  }

  #batch(line: Line): void {
    const spans = elements(line.bytes, line.start, line.end)
    if (spans === null) return this.#stray(line)
    for (const { from, to } of spans) {
      line.start = from
      line.end = to
      if (this.#envelope.scan(line.bytes, from, to) === Shape.message) this.#message(line)
    }
  }

  #message(line: Line): void {
    if (!this.#envelope.irregular) return this.#regular(line)
    const bytes = canonical(line.bytes.subarray(line.start, line.end))
    if (bytes === null) return this.#stray(line)
    this.#envelope.scan(bytes, 0, bytes.length)
    this.#regular(Line.of(bytes))
  }

  #regular(line: Line): void {
    const envelope = this.#envelope
    const hasId = envelope.has(Key.id)
    if (envelope.has(Key.method)) {
      if (hasId) this.#question(line, methodOf(line, envelope))
      else this.#notification(line, methodOf(line, envelope))
    } else if (hasId && envelope.has(Key.outcome)) this.#response(line)
    else this.#stray(line)
  }

  #stray(line: Line): void {
    this.#options.onStray(line.bytes.toString("utf8", line.start, Math.min(line.end, line.start + strayLength)))
  }

  #response(line: Line): void {
    const idStart = this.#envelope.start[Key.id]!
    const idEnd = this.#envelope.end[Key.id]!
    const id = idIn(line.bytes, idStart, idEnd)
    if (this.#modern?.takes(id, this.calls.get(id), line) === true) return
    const call = this.calls.take(id)
    if (call === undefined) return this.#late(id, line)
    if (call.client === null) return call.done(outcomeOf(line))
    if (call.concern !== null) this.#concerning(call, call.concern, id, line)
    const outcome = verdictOf(line.bytes, this.#envelope)
    const next = outcome === "ok" || !call.hasMissedQuestion ? null : Repeatable.again(call)
    if (next !== null) return this.#options.onAgain({ ...next.call, isInLane: true, hasSeenQuestion: false }, next.line)
    this.#options.account.end(call, outcome, line.end - line.start, this.#readAt())
    if (outcome === "rejected") this.#options.questions.rejected(this, call.client, line)
    const gate = Gating.ofList(call)
    if (gate === null) call.client.answer(call.id, line, this.#envelope)
    else Gating.answer(gate, this.roster, call, line, this.#envelope)
    this.#options.onSettled(call, outcome)
  }

  /** When what is being read came, in milliseconds since the epoch: one look at the clock for all that came at once. */
  #readAt(): number {
    const heard = this.process.heard()
    if (heard !== this.#heard) {
      this.#heard = heard
      this.#heardAt = Date.now()
    }
    return this.#heardAt
  }

  /** Ends a call that the process has answered, with an error that is not the process's. */
  #fail(call: Call, refusal: Refusal): void {
    this.#options.account.end(call, "rejected", 0, Date.now())
    call.client.fail(call.id, refusal)
    this.#options.onSettled(call, "rejected")
  }

  /** What an answer says beside what its client asked for. */
  #concerning(call: Call, concern: NonNullable<Call["concern"]>, id: number, line: Line): void {
    const { tasks } = this.#options
    if (concern === "makes a task") return tasks.created(this, id, call, line)
    if (concern !== "gives a cursor") return tasks.answered(this, concern.taskId, call.method, line)
    const cursor = Cursors.given(line)
    if (cursor !== null) Cursors.give(call.member, call.method, cursor, this)
  }

  /** Nobody waits for it: cancelled, expired, or never asked. */
  #late(id: number, line: Line): void {
    const abandoned = this.calls.takeAbandoned(id)
    if (abandoned === undefined || abandoned.concern === null || abandoned.concern === "gives a cursor") return
    const { concern, member, method } = abandoned
    if (concern === "makes a task") this.#options.tasks.unwanted(this, id, member, line)
    else this.#options.tasks.answered(this, concern.taskId, method, line)
  }

  #notification(line: Line, method: string): void {
    if (this.#isEnded || (this.#isRetired && !ofItsCalls.has(method))) return
    if (this.#modern !== null) {
      const said = this.#modern.translated(line, method)
      if (said === null) return
      if (said !== line) {
        line = said
        this.#envelope.scan(line.bytes, line.start, line.end)
      }
    }
    if (method === "notifications/cancelled") return this.#questionCancelled(line)
    if (method.endsWith("/list_changed")) this.#options.onListChanged(method)
    this.#notifications.deliver(line, this.#envelope, method)
  }

  #question(line: Line, method: string): void {
    if (method !== "ping") return this.#options.questions.ask(this, line, this.#envelope, method)
    this.answerItself(Reply.result(line.copy(this.#envelope.start[Key.id]!, this.#envelope.end[Key.id]!), "{}"))
  }

  #questionCancelled(line: Line): void {
    const envelope = this.#envelope
    if (!envelope.has(Key.requestId)) return
    const id = line.copy(envelope.start[Key.requestId]!, envelope.end[Key.requestId]!)
    this.#options.questions.cancelled(this, id, line, envelope)
  }
}

/** Notifications that belong to a call in flight: a process that drains goes on sending them. */
const ofItsCalls: ReadonlySet<string> = new Set([
  "notifications/progress",
  "notifications/message",
  "notifications/cancelled",
  "notifications/elicitation/complete",
  "notifications/tasks/status"
])

/** Up to here reading a whole line costs less than looking for its id from both ends. */
const shortLine = 4096
const strayLength = 1000
/** Bytes that wait for a server which takes less than it is given, before what comes waits elsewhere. */
const ahead = 256 * 1024
