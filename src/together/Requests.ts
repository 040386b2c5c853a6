/**
 * Where a session's requests go that are for one of all servers: by the name of a tool or prompt, by the URI of a resource,
 * by the task; and lists, which are answered here. Plain synchronous code.
 */
import type { Line } from "../lines/LineReader.ts"
import { Envelope, Key } from "../message/Envelope.ts"
import { decodeString, namedTask, nameOf } from "../message/Words.ts"
import * as Cursors from "../mux/Cursors.ts"
import { hasRoom } from "../mux/Delivery.ts"
import { asksForTask } from "../mux/Tasks.ts"
import type { Refusal } from "../mux/Upstream.ts"
import { Overloaded } from "../PoolError.ts"
import { invalidParams, methodNotFound } from "../WireError.ts"
import { type ListOf, type Place, placeOf } from "./Catalogue.ts"
import * as Completion from "./Completion.ts"
import type { Directory } from "./Directory.ts"
import { replaced } from "./Edit.ts"
import * as Kinds from "./Kinds.ts"
import type { Member } from "./Member.ts"
import type { Concern } from "./Part.ts"
import type { Seat } from "./Seat.ts"

export interface RequestsOptions {
  readonly directory: Directory
  /** Takes the announcements of lists that somebody is given. */
  readonly given: Set<string>
}

export class Requests {
  readonly #directory: Directory
  readonly #given: Set<string>
  readonly #envelope = new Envelope()

  constructor({ directory, given }: RequestsOptions) {
    this.#directory = directory
    this.#given = given
  }

  request(seat: Seat, line: Line, envelope: Envelope, method: string): void {
    switch (method) {
      case "tools/call":
        return this.#call(seat, line, envelope, method, Kinds.tools)
      case "prompts/get":
        return this.#call(seat, line, envelope, method, Kinds.prompts)
      case "resources/read":
        return this.#read(seat, line, envelope, method)
      case "completion/complete":
        return this.#complete(seat, line, envelope, method)
    }
    const kind = Kinds.byMethod.get(method)
    if (kind !== undefined) return this.#list(seat, line, envelope, kind)
    if (method.startsWith("tasks/") && method !== "tasks/list") return this.#task(seat, line, envelope, method)
    seat.client.fail(idOf(line, envelope), {
      code: methodNotFound,
      message: `there is no method "${method.slice(0, 64)}"`
    })
  }

  /** Calls back with the servers that may have a resource, once that is known. */
  whenPlaced(
    seat: Seat,
    uri: string,
    then: (sure: ReadonlyArray<Member>, others: ReadonlyArray<Member>) => void
  ): () => void {
    const isListed = () => this.#directory.isListed(uri)
    return this.#directory.whenRead([Kinds.resources, Kinds.templates], isListed, () => {
      const { others, sure } = this.#directory.owners(uri)
      // A process of the client's own that is there may say that it has it.
      const own = others.filter((member) => {
        const items = seat.known(member)?.list(Kinds.resources).items
        return member.isOwn && items?.some((item) => item.own === uri) === true
      })
      then(sure.length > 0 ? sure : own, others)
    })
  }

  // --- tools and prompts ---

  #call(seat: Seat, line: Line, envelope: Envelope, method: string, kind: Kinds.Kind): void {
    const shown = nameOf(line, envelope)
    if (shown === null) {
      const message = `${method} needs params.name`
      return seat.client.fail(idOf(line, envelope), { code: invalidParams, message })
    }
    const place = this.#find(seat, kind, shown)
    if (place !== null) return this.#forward(seat, place, line, envelope, method)
    this.#later(
      seat,
      line,
      envelope,
      (done) => this.#directory.whenRead([kind], () => this.#find(seat, kind, shown) !== null, done),
      (line, envelope) => {
        const place = this.#find(seat, kind, shown)
        if (place !== null) return this.#forward(seat, place, line, envelope, method)
        seat.client.fail(idOf(line, envelope), this.#directory.unknown(kind, shown))
      }
    )
  }

  #find(seat: Seat, kind: Kinds.Kind, shown: string): Place | null {
    const place = this.#directory.find(kind, shown)
    if (place !== null) return place
    for (const { member } of seat.parts) {
      if (!member.isOwn) continue
      const item = seat.list(member, kind).items?.find((item) => item.shown === shown)
      if (item !== undefined) return placeOf(member, item.own)
    }
    return null
  }

  #forward(seat: Seat, { member, own }: Place, line: Line, envelope: Envelope, method: string): void {
    const id = idOf(line, envelope)
    this.#send(seat, member, id, replaced(line, envelope, Key.name, own), envelope, method, asking)
  }

  #send(
    seat: Seat,
    member: Member,
    id: string,
    line: Line,
    envelope: Envelope,
    method: string,
    concern: Concern
  ): void {
    const part = seat.asked(member)
    const mayMakeTask = member.handshake === null || "tasks" in member.handshake.capabilities
    const makesTask = mayMakeTask && concern === asking && asksForTask(line)
    part.begin(id, makesTask ? { mayAsk: true, onTask: (taskId) => seat.addTask(taskId, part) } : concern)
    member.upstream.request(part, line, envelope, method)
  }

  #task(seat: Seat, line: Line, envelope: Envelope, method: string): void {
    const { taskId } = namedTask(line)
    const part = taskId === null ? undefined : seat.taskAt(taskId)
    const id = idOf(line, envelope)
    if (part === undefined) {
      return seat.client.fail(id, { code: invalidParams, message: "this session has no such task" })
    }
    part.begin(id, method === "tasks/result" ? patient : plain)
    part.member.upstream.request(part, line, envelope, method)
  }

  // --- resources ---

  #read(seat: Seat, line: Line, envelope: Envelope, method: string): void {
    const uri = decodeString(line, envelope, Key.uri)
    if (uri === null) {
      return seat.client.fail(idOf(line, envelope), { code: invalidParams, message: `${method} needs params.uri` })
    }
    this.#placed(seat, line, envelope, uri, method)
  }

  /** To the server that has it; where nobody says so, to one after another until one answers. */
  #placed(seat: Seat, line: Line, envelope: Envelope, uri: string, method: string): void {
    let found: { readonly sure: ReadonlyArray<Member>; readonly others: ReadonlyArray<Member> } = nowhere
    this.#later(
      seat,
      line,
      envelope,
      (done) =>
        this.whenPlaced(seat, uri, (sure, others) => {
          found = { sure, others }
          done()
        }),
      (line, envelope) => {
        const id = idOf(line, envelope)
        const { others, sure } = found
        const [only, ...more] = sure
        if (only !== undefined && more.length === 0) {
          return this.#send(seat, only, id, line, envelope, method, patient)
        }
        const isSure = only !== undefined
        const refuse = () => seat.client.fail(id, notFound(uri))
        this.#try(seat, isSure ? sure : others, { id, line: line.kept(), method, isSure }, refuse)
      }
    )
  }

  /** One after another; `refuse` says what nobody having it comes to. */
  #try(seat: Seat, members: ReadonlyArray<Member>, search: Search, refuse: () => void): void {
    const [member, ...others] = members
    if (member === undefined) return refuse()
    const { id, isSure, line, method } = search
    const envelope = new Envelope()
    envelope.scan(line.bytes, line.start, line.end)
    const onError = (code: unknown, passOn: () => void) =>
      this.#try(seat, others, search, isSure && !lacking.has(code) ? passOn : refuse)
    this.#send(seat, member, id, line, envelope, method, { mayAsk: true, onError })
  }

  // --- completion ---

  #complete(seat: Seat, line: Line, envelope: Envelope, method: string): void {
    const about = Completion.of(line)
    if (about === null) {
      const message = "completion/complete needs params.ref, a prompt or a resource"
      return seat.client.fail(idOf(line, envelope), { code: invalidParams, message })
    }
    if ("uri" in about) return this.#placed(seat, line, envelope, about.uri, method)
    this.#later(
      seat,
      line,
      envelope,
      (done) => {
        const isFound = () => this.#find(seat, Kinds.prompts, about.prompt) !== null
        if (!isFound()) return this.#directory.whenRead([Kinds.prompts], isFound, done)
        done()
        return () => {}
      },
      (line, envelope) => {
        const id = idOf(line, envelope)
        const place = this.#find(seat, Kinds.prompts, about.prompt)
        if (place === null) return seat.client.fail(id, this.#directory.unknown(Kinds.prompts, about.prompt))
        const next = replaced(line, envelope, Key.params, Completion.paramsFor(line, envelope, place.name))
        envelope.scan(next.bytes, next.start, next.end)
        this.#send(seat, place.member, id, next, envelope, method, plain)
      }
    )
  }

  // --- lists ---

  #list(seat: Seat, line: Line, envelope: Envelope, kind: Kinds.Kind): void {
    const id = idOf(line, envelope)
    const { client } = seat
    if (Cursors.asked(line) !== null) {
      return client.fail(id, { code: invalidParams, message: "the list has one page, and so no cursor" })
    }
    if (client.inFlight >= maxInFlight) return client.fail(id, overloaded())
    const hasOwn = this.#directory.members.some(({ isOwn }) => isOwn)
    const listOf: ListOf | null = hasOwn ? (member) => seat.list(member, kind) : null
    let items: Buffer = nothing
    seat.wait(
      id,
      (done) =>
        this.#directory.whenFresh(kind, listOf, (joined) => {
          items = joined.items
          done()
        }),
      () => {
        this.#given.add(kind.announcement)
        seat.given.add(kind.announcement)
        if (!hasRoom(client, items.length)) return
        const out = client.answerTo(id)
        out.push(`{"jsonrpc":"2.0","id":${id},"result":{"${kind.key}":[`)
        if (items.length > 0) out.push(items)
        out.push("]}}\n")
      }
    )
  }

  // --- what waits ---

  /** Goes on with the request once something is known; with the same line where that is so already. */
  #later(
    seat: Seat,
    line: Line,
    envelope: Envelope,
    begin: (done: () => void) => () => void,
    then: (line: Line, envelope: Envelope) => void
  ): void {
    const id = idOf(line, envelope)
    if (seat.client.inFlight >= maxInFlight) return seat.client.fail(id, overloaded())
    let kept: Line | null = null
    const waits = seat.wait(id, begin, () => {
      if (kept === null) return then(line, envelope)
      this.#envelope.scan(kept.bytes, kept.start, kept.end)
      then(kept, this.#envelope)
    })
    if (waits) kept = line.kept()
  }
}

/** A request about a resource that several servers may have. */
interface Search {
  readonly id: string
  readonly line: Line
  readonly method: string
  /** They say so themselves: what else is wrong there is the news. */
  readonly isSure: boolean
}

/** A resource that no server has, as 2025-11-25 says so. */
export const notFound = (uri: string): Exclude<Refusal, { readonly _tag: string }> => ({
  code: -32002,
  message: "Resource not found",
  data: { uri }
})

const idOf = (line: Line, envelope: Envelope): string => line.copy(envelope.start[Key.id]!, envelope.end[Key.id]!)

/** The codes by which a server says that it has no such thing. */
export const lacking: ReadonlySet<unknown> = new Set([-32002, invalidParams, methodNotFound])

const overloaded = () =>
  new Overloaded({ server: "/mcp", reason: `${maxInFlight} requests of this client are not answered yet` })

/** What a server may have to ask something for, and may answer with a task. */
const asking: Concern = { mayAsk: true }
const patient: Concern = { mayAsk: true }
const plain: Concern = { mayAsk: false }
const nowhere = { sure: [], others: [] }
const nothing = Buffer.alloc(0)
/** Requests of one client that are not answered yet. */
const maxInFlight = 4096
