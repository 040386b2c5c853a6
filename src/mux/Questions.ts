/**
 * What the processes of one server ask their clients: to which session a question goes, and when that is certain. It is
 * where all that a process was asked and has not answered belongs to one session, which declared that it can be asked;
 * a question that names a task is for the task's owner. Everything else is refused to the server, never guessed.
 *
 * Rules 12 to 16 of MCP's sharing; SEP-2260: a question belongs to a request of the client that is asked.
 */
import { Line } from "../lines/LineReader.ts"
import { type Envelope, Key } from "../message/Envelope.ts"
import { canonicalId, idIn } from "../message/Ids.ts"
import { Overloaded, QuestionNotAttributable } from "../PoolError.ts"
import { methodNotFound } from "../WireError.ts"
import type { Asking, QuestionPolicy } from "./Asking.ts"
import * as Capabilities from "./Capabilities.ts"
import * as Delivery from "./Delivery.ts"
import type { Member } from "./Member.ts"
import type { Peer } from "./Peer.ts"
import * as Reply from "./Reply.ts"
import * as Splice from "./Splice.ts"
import type { Tasks } from "./Tasks.ts"
import type { Client, Refusal } from "./Upstream.ts"

/** A root as `roots/list` tells of it. */
export interface Root {
  readonly uri: string
  readonly name?: string
}

export interface QuestionsOptions {
  readonly server: string
  readonly policy: QuestionPolicy | "own"
  /** The only session, where it is asked whatever the server asks. */
  readonly sole: () => Member | null
  readonly roots: ReadonlyArray<Root> | undefined
  readonly asking: Asking
  readonly tasks: Tasks
  /** A member can go on: its question is answered. */
  readonly onAnswered: () => void
}

/** A question that waits for its answer. */
interface Question {
  readonly process: Peer
  readonly member: Member
  readonly client: Client
  /** The server's own id and progress token, as JSON text. */
  readonly id: string
  readonly token: string | null
  /** Takes the client's answer in place of the process, or null once the client is gone. */
  readonly take: ((answer: Line | null) => void) | null
}

/** A member that a process asks: its deadlines there stand still. */
interface Stillness {
  questions: number
  /** Milliseconds since the epoch. */
  readonly since: number
}

export class Questions {
  readonly #options: QuestionsOptions
  /** By the id and token under which their clients know them. */
  readonly #questions = new Map<number, Question>()
  readonly #still = new Map<Peer, Map<Member, Stillness>>()
  /** Pages elsewhere that are not completed, by the ids that processes gave them: whose they are. */
  readonly #pages = new Map<Peer, Map<string, Client>>()
  /** Clients that say nothing more. */
  readonly #silent = new WeakSet<Client>()

  constructor(options: QuestionsOptions) {
    this.#options = options
  }

  /** Whether clients are asked at all. */
  get areAsked(): boolean {
    return this.#options.policy !== "deny"
  }

  /** A process asks something. */
  ask(process: Peer, line: Line, envelope: Envelope, method: string): void {
    const id = line.copy(envelope.start[Key.id]!, envelope.end[Key.id]!)
    if (method === "roots/list" && this.#options.policy !== "own") return this.#answerRoots(process, id)
    const params = paramsOf(line)
    const asked = this.#attribute(process, method, params)
    if ("refusal" in asked) return process.answerItself(Reply.failure(id, asked.refusal))
    const { client, member } = asked
    if (this.#questions.size >= maxQuestions) {
      const reason = `${maxQuestions} questions of this server are not answered yet`
      return process.answerItself(Reply.failure(id, new Overloaded({ server: this.#options.server, reason })))
    }
    const isHeard = !this.#silent.has(client) && Delivery.hasRoom(client, line.end - line.start)
    if (!isHeard) return process.answerItself(this.#gone(id))
    const token = envelope.has(Key.token) ? line.copy(envelope.start[Key.token]!, envelope.end[Key.token]!) : null
    const own = nextId++
    this.#begin(own, { process, member, client, id, token, take: null }, params)
    Splice.request(client.during(null), line, envelope, own)
  }

  /**
   * A process has answered a client's call with a question: no doubt whose it is. `take` gets the client's answer, or null
   * where it is gone. The returned function takes the question back.
   */
  put(
    { client, member, process }: Pick<Question, "process" | "member" | "client">,
    method: string,
    params: { readonly [key: string]: unknown },
    take: (answer: Line | null) => void
  ): () => void {
    if (this.#silent.has(client)) {
      take(Line.ofText(this.#gone("null").trimEnd()))
      return () => {}
    }
    const own = nextId++
    const question: Question = { process, member, client, id: "null", token: null, take }
    this.#begin(own, question, params)
    const text = Reply.request(own, method, params)
    if (Delivery.hasRoom(client, text.length)) client.during(null).push(text)
    return () => {
      if (this.#questions.get(own) === question) this.#takeBack(own, question, "its request is over")
    }
  }

  #begin(own: number, question: Question, { elicitationId }: { readonly [key: string]: unknown }): void {
    this.#questions.set(own, question)
    this.#stop(question.process, question.member)
    if (typeof elicitationId === "string") this.#remember(question.process, elicitationId, question.client)
  }

  #takeBack(own: number, question: Question, reason: string): void {
    const text = Reply.notification("notifications/cancelled", { requestId: own, reason })
    if (Delivery.hasRoom(question.client, text.length)) question.client.during(null).push(text)
    this.#end(own, question)
  }

  /**
   * A process has refused a call of a client. Where it says that a page elsewhere is needed first, that is the client's
   * (URLElicitationRequiredError, https://modelcontextprotocol.io/specification/2025-11-25/client/elicitation).
   */
  rejected(process: Peer, client: Client, line: Line): void {
    if (!line.bytes.subarray(line.start, line.end).includes(pageRequired)) return
    const { error } = JSON.parse(line.bytes.toString("utf8", line.start, line.end)) as {
      readonly error?: { readonly code?: unknown; readonly data?: { readonly elicitations?: unknown } | null }
    }
    const pages = error?.code === Number(pageRequired) ? error.data?.elicitations : undefined
    for (const page of Array.isArray(pages) ? (pages as ReadonlyArray<{ readonly elicitationId?: unknown }>) : []) {
      if (typeof page?.elicitationId === "string") this.#remember(process, page.elicitationId, client)
    }
  }

  /** A client answers; what it was not asked, or no longer, is nobody's. */
  answer(client: Client, line: Line, envelope: Envelope): void {
    const own = idIn(line.bytes, envelope.start[Key.id]!, envelope.end[Key.id]!)
    const question = this.#questions.get(own)
    if (question?.client !== client) return
    if (question.take === null) question.process.answer(line, envelope, question.id)
    this.#end(own, question)
    question.take?.(line)
  }

  /** A client tells how far its answer is. */
  progress(client: Client, line: Line, envelope: Envelope): void {
    const own = idIn(line.bytes, envelope.start[Key.progressToken]!, envelope.end[Key.progressToken]!)
    const question = this.#questions.get(own)
    if (question?.client !== client || question.token === null) return
    question.process.answerProgress(line, envelope, question.token)
  }

  /** The server does not want to know any more. */
  cancelled(process: Peer, id: string, line: Line, envelope: Envelope): void {
    const wanted = canonicalId(id)
    for (const [own, question] of this.#questions) {
      if (question.process !== process || canonicalId(question.id) !== wanted) continue
      if (Delivery.hasRoom(question.client, line.end - line.start)) {
        Splice.one(question.client.during(null), line, envelope, Key.requestId, String(own))
      }
      this.#end(own, question)
    }
  }

  /** A client is gone: who asked it is told. */
  leave(client: Client): void {
    for (const [own, question] of this.#questions) {
      if (question.client !== client) continue
      if (question.take === null) question.process.answerItself(this.#gone(question.id))
      this.#end(own, question)
      question.take?.(null)
    }
    for (const pages of this.#pages.values()) {
      for (const [id, owner] of pages) if (owner === client) pages.delete(id)
    }
  }

  /** A client answers nothing any more, though it is there. */
  inputEnded(client: Client): void {
    this.#silent.add(client)
    for (const [own, question] of this.#questions) {
      if (question.client !== client) continue
      const refusal = this.#gone(question.id)
      if (question.take === null) question.process.answerItself(refusal)
      this.#end(own, question)
      question.take?.(Line.ofText(refusal.trimEnd()))
    }
  }

  /** A process has ended: its questions need no answer. */
  endOf(process: Peer): void {
    this.#pages.delete(process)
    for (const [own, question] of this.#questions) {
      if (question.process !== process) continue
      this.#takeBack(own, question, "the server has ended")
    }
  }

  /** Whether a process asks this member something. */
  isAsking(process: Peer, member: Member): boolean {
    return this.#still.get(process)?.has(member) === true
  }

  /** Whether a process waits for the answer to a question. */
  waits(process: Peer): boolean {
    return this.#still.has(process)
  }

  /** The process that asks this member something, if one does. */
  askerOf(member: Member): Peer | null {
    if (member.asked === 0) return null
    for (const [process, members] of this.#still) if (members.has(member)) return process
    return null
  }

  /** Whose page elsewhere (`elicitation.url`) it was that is completed now. */
  completed(process: Peer, elicitationId: string): Client | null {
    const pages = this.#pages.get(process)
    const client = pages?.get(elicitationId) ?? null
    pages?.delete(elicitationId)
    return client
  }

  #remember(process: Peer, elicitationId: string, client: Client): void {
    const pages = this.#pages.get(process) ?? new Map<string, Client>()
    this.#pages.set(process, pages)
    // The oldest is the likeliest to be completed, or given up.
    for (const id of pages.keys()) {
      if (pages.size < maxPages) break
      pages.delete(id)
    }
    pages.set(elicitationId, client)
  }

  #answerRoots(process: Peer, id: string): void {
    const { roots } = this.#options
    const undeclared = { code: methodNotFound, message: "the pool declares no roots (pool.roots)" }
    process.answerItself(roots === undefined ? Reply.failure(id, undeclared) : Reply.result(id, Reply.json({ roots })))
  }

  /** Whom a question is for, or why nobody is asked. */
  #attribute(
    process: Peer,
    method: string,
    params: { readonly [key: string]: unknown }
  ): { readonly member: Member; readonly client: Client } | { readonly refusal: Refusal | QuestionNotAttributable } {
    const { asking, policy, sole, tasks } = this.#options
    const refuse = (reason: string) => ({
      refusal: new QuestionNotAttributable({ server: this.#options.server, reason })
    })
    if (policy === "own") {
      const member = sole()
      return member === null || member.client === null
        ? refuse("its client is gone")
        : { member, client: member.client }
    }
    if (policy === "deny") return { refusal: { code: methodNotFound, message: "the pool declares no such capability" } }
    const task = relatedTask(params)
    if (task !== null) {
      const member = tasks.ownerOf(process, task)
      if (member === null || member.client === null) return refuse("its task is not known, or its client is gone")
      return this.#asked(member, member.client, method, params)
    }
    const calls = [...process.calls.clients()]
    for (const call of calls) call.hasSeenQuestion = true
    asking.learn(process.calls.unanswered(), { areAll: process.calls.areAllKnown })
    const first = calls[0]?.member
    if (first === undefined) return refuse("no call is in flight that it could belong to")
    const isOfOne = process.calls.areOnlyOf(first)
    // Requests of one client side by side: one that it was not asked about yet.
    const free = calls.filter(({ member }) => member.asked === 0)
    const asked = isOfOne ? calls[0]! : (free.find(({ wasAsked }) => !wasAsked) ?? free[0] ?? calls[0]!)
    asked.wasAsked = true
    const { member } = asked
    if ((!isOfOne && !process.calls.areOnlyOfOwner(member.owner)) || !tasks.areOnlyOf(process, member)) {
      for (const call of calls) call.hasMissedQuestion = true
      return refuse("calls of several clients are in flight; from now on such calls run apart")
    }
    if (member.client === null) return refuse("its client is gone")
    return this.#asked(member, member.client, method, params)
  }

  #asked(member: Member, client: Client, method: string, params: { readonly [key: string]: unknown }) {
    const refusal = Capabilities.refusal(client.capabilities, method, params)
    return refusal === null ? { member, client } : { refusal }
  }

  #gone(id: string): string {
    const reason = "the client that was asked is gone"
    return Reply.failure(id, new QuestionNotAttributable({ server: this.#options.server, reason }))
  }

  #stop(process: Peer, member: Member): void {
    member.asked++
    const members = this.#still.get(process) ?? new Map<Member, Stillness>()
    this.#still.set(process, members)
    const stillness = members.get(member)
    if (stillness === undefined) members.set(member, { questions: 1, since: Date.now() })
    else stillness.questions++
  }

  #end(own: number, { member, process }: Question): void {
    this.#questions.delete(own)
    member.asked--
    const members = this.#still.get(process)
    const stillness = members?.get(member)
    if (members === undefined || stillness === undefined || --stillness.questions > 0) return
    members.delete(member)
    if (members.size === 0) this.#still.delete(process)
    const now = Date.now()
    for (const call of process.calls.of(member)) call.deadlineFrom += now - Math.max(stillness.since, call.deadlineFrom)
    this.#options.onAnswered()
  }
}

/**
 * The id of the next question, of whichever server: a client's late answer to one process, or to the daemon before, must be
 * no answer to another's question.
 */
let nextId = Date.now()

const paramsOf = (line: Line): { readonly [key: string]: unknown } => {
  const { params } = JSON.parse(line.bytes.toString("utf8", line.start, line.end)) as { readonly params?: unknown }
  return typeof params === "object" && params !== null ? (params as { readonly [key: string]: unknown }) : {}
}

/** The task that a question belongs to, by `_meta["io.modelcontextprotocol/related-task"]` (2025-11-25, tasks). */
const relatedTask = ({ _meta }: { readonly [key: string]: unknown }): string | null => {
  const meta = (_meta ?? {}) as { readonly [key: string]: unknown }
  const related = meta["io.modelcontextprotocol/related-task"] as { readonly taskId?: unknown } | undefined
  return typeof related?.taskId === "string" ? related.taskId : null
}

/** Of one server, that wait for their answers. */
export const maxQuestions = 1024
/** The code of a call's error that names pages to be opened first. */
const pageRequired = "-32042"
/** Of one process. */
const maxPages = 1024
