/**
 * Requests of 2026-07-28 to all servers as one: each goes, under the server's own names, to where that server's are, which
 * knows its era and what it asks; lists, discovery and subscriptions are answered here. Plain synchronous code.
 */
import type { Line } from "../lines/LineReader.ts"
import { Envelope, Key } from "../message/Envelope.ts"
import { decodeString, nameOf } from "../message/Words.ts"
import * as Cursors from "../mux/Cursors.ts"
import { read } from "../mux/era/Claim.ts"
import { filterOf, Listening } from "../mux/era/Listening.ts"
import type { Stream } from "../mux/era/ModernCall.ts"
import type { ModernRequest, Requests } from "../mux/era/ModernRequests.ts"
import * as Presented from "../mux/era/Presented.ts"
import * as Reply from "../mux/Reply.ts"
import { areOffered } from "../mux/Tasks.ts"
import type { Refusal } from "../mux/Upstream.ts"
import { Overloaded } from "../PoolError.ts"
import { invalidParams, methodNotFound } from "../WireError.ts"
import { Attempt } from "./Attempt.ts"
import type { Place } from "./Catalogue.ts"
import type { Handshake } from "../server/Handshake.ts"
import * as Completion from "./Completion.ts"
import { replaced } from "./Edit.ts"
import * as Kinds from "./Kinds.ts"
import type { Member } from "./Member.ts"
import { lacking, notFound } from "./Requests.ts"
import type { Together } from "./Together.ts"

export interface ModernTogetherOptions {
  /** The name under which it is asked. */
  readonly server: string
  readonly together: Together
  /** Bytes that may wait in a stream, or one message. */
  readonly maxUnread: number
  /** Where the requests of one server go. */
  readonly of: (member: Member) => Requests
}

/** A request that is on its way. */
interface Asked {
  /** As JSON text. */
  readonly id: string
  readonly method: string
  readonly stream: Stream
  /** How it is given up where it is now. */
  cancel: () => void
  isOver: boolean
}

export class ModernTogether implements Requests {
  readonly #options: ModernTogetherOptions
  readonly #envelope = new Envelope()
  /** Those that wait here. */
  readonly #waiting = new Set<Asked>()
  readonly #listening = new Set<Listening>()

  constructor(options: ModernTogetherOptions) {
    this.#options = options
  }

  receive(line: Line, envelope: Envelope, method: string, stream: Stream): ModernRequest {
    const id = line.copy(envelope.start[Key.id]!, envelope.end[Key.id]!)
    const asked: Asked = { id, method, stream, cancel: () => {}, isOver: false }
    this.#options.together.follow()
    const said = read(line, envelope)
    if ("refusal" in said) this.#fail(asked, said.refusal)
    else if (this.#waiting.size + this.#listening.size >= maxRequests) {
      const reason = `${maxRequests} requests of this client are not answered yet`
      this.#fail(asked, new Overloaded({ server: this.#options.server, reason }))
    } else this.#begin(asked, line, envelope)
    return {
      cancel: () => {
        asked.isOver = true
        this.#waiting.delete(asked)
        asked.cancel()
      }
    }
  }

  endListening(): void {
    for (const listening of this.#listening) listening.end()
    this.#listening.clear()
  }

  close(): void {
    for (const asked of this.#waiting) {
      asked.isOver = true
      asked.cancel()
    }
    this.#waiting.clear()
    for (const listening of this.#listening) listening.cancel()
    this.#listening.clear()
  }

  #begin(asked: Asked, line: Line, envelope: Envelope): void {
    const { method } = asked
    const kind = Kinds.byMethod.get(method)
    if (kind !== undefined) return this.#list(asked, line, kind)
    switch (method) {
      case "server/discover":
        return this.#discover(asked)
      case "tools/call":
        return this.#call(asked, line, envelope, Kinds.tools)
      case "prompts/get":
        return this.#call(asked, line, envelope, Kinds.prompts)
      case "resources/read":
        return this.#read(asked, line, envelope, decodeString(line, envelope, Key.uri))
      case "completion/complete":
        return this.#complete(asked, line, envelope)
      case "subscriptions/listen":
        return this.#listen(asked, line)
      case "tasks/get":
      case "tasks/update":
      case "tasks/cancel":
        return this.#task(asked, line)
      default:
        return this.#fail(asked, { code: methodNotFound, message: `there is no method "${method.slice(0, 64)}"` })
    }
  }

  // --- what is answered here ---

  #discover(asked: Asked): void {
    const { together } = this.#options
    this.#wait(
      asked,
      (done: (handshake: Handshake) => void) => together.directory.shake(done),
      (handshake) => this.#answer(asked, Reply.json(Presented.discoverResult(handshake, together.listTtl)))
    )
  }

  #list(asked: Asked, line: Line, kind: Kinds.Kind): void {
    if (Cursors.asked(line) !== null) {
      return this.#fail(asked, { code: invalidParams, message: "the list has one page, and so no cursor" })
    }
    const { together } = this.#options
    this.#wait(
      asked,
      (done: (page: { readonly items: Buffer; readonly isWhole: boolean }) => void) =>
        together.directory.whenFresh(kind, null, ({ items }, isWhole) => done({ items, isWhole })),
      ({ isWhole, items }) => {
        together.give(kind)
        const { out } = asked.stream
        out.push(`{"jsonrpc":"2.0","id":${asked.id},"result":{"${kind.key}":[`)
        if (items.length > 0) out.push(items)
        // What is missing may come at any time.
        out.push(`],${Presented.lacking(asked.method, isWhole ? together.listTtl : 0)}}}\n`)
        asked.stream.ended()
      }
    )
  }

  #listen(asked: Asked, line: Line): void {
    const kept = line.kept()
    const { maxUnread, server, together } = this.#options
    this.#wait(
      asked,
      (done: (handshake: Handshake) => void) => together.directory.shake(done),
      (handshake) => {
        const found = filterOf(kept, handshake)
        if ("refusal" in found) return this.#fail(asked, found.refusal)
        const { id, stream } = asked
        const listening = new Listening({
          id: nextListening--,
          server,
          upstream: together,
          clientInfo: { name: null, version: null },
          requestId: id,
          filter: found.filter,
          teller: null,
          isWatched: () => false,
          stream,
          maxUnread
        })
        this.#listening.add(listening)
        asked.cancel = () => {
          this.#listening.delete(listening)
          listening.cancel()
        }
        listening.begin()
      }
    )
  }

  // --- what goes to a server ---

  #call(asked: Asked, line: Line, envelope: Envelope, kind: Kinds.Kind): void {
    const shown = nameOf(line, envelope)
    if (shown === null) {
      return this.#fail(asked, { code: invalidParams, message: `${asked.method} needs params.name` })
    }
    this.#placed(asked, line, envelope, kind, shown, (place, line, envelope) =>
      this.#forward(asked, place.member, replaced(line, envelope, Key.name, place.own), envelope)
    )
  }

  #complete(asked: Asked, line: Line, envelope: Envelope): void {
    const about = Completion.of(line)
    if (about === null) {
      const message = "completion/complete needs params.ref, a prompt or a resource"
      return this.#fail(asked, { code: invalidParams, message })
    }
    if ("uri" in about) return this.#read(asked, line, envelope, about.uri)
    this.#placed(asked, line, envelope, Kinds.prompts, about.prompt, (place, line, envelope) => {
      const next = replaced(line, envelope, Key.params, Completion.paramsFor(line, envelope, place.name))
      envelope.scan(next.bytes, next.start, next.end)
      this.#forward(asked, place.member, next, envelope)
    })
  }

  /** To the server that made it: the others refuse what is no task of theirs, and no process of them hears of it. */
  #task(asked: Asked, line: Line): void {
    const makers = this.#options.together.directory.members.filter(
      ({ handshake, isOwn }) => !isOwn && handshake?.era === "modern" && areOffered(handshake)
    )
    const message = "there is no such task, or it is another client's"
    const refuse = () => this.#fail(asked, { code: invalidParams, message })
    this.#try(asked, makers, { line: line.kept(), isSure: true }, refuse)
  }

  /** To the server that has it; where nobody says so, to one after another until one answers. */
  #read(asked: Asked, line: Line, envelope: Envelope, uri: string | null): void {
    if (uri === null) return this.#fail(asked, { code: invalidParams, message: `${asked.method} needs params.uri` })
    const { directory } = this.#options.together
    let later: Line | null = null
    this.#wait<void>(
      asked,
      (done) => directory.whenRead([Kinds.resources, Kinds.templates], () => directory.isListed(uri), done),
      () => {
        const { others, sure } = directory.owners(uri)
        const [only, ...more] = sure
        const isSure = only !== undefined && more.length === 0
        if (!isSure) {
          const refuse = () => this.#fail(asked, { ...notFound(uri), code: invalidParams })
          const isListed = only !== undefined
          return this.#try(asked, isListed ? sure : others, { line: later ?? line.kept(), isSure: isListed }, refuse)
        }
        if (later === null) return this.#forward(asked, only, line, envelope)
        this.#envelope.scan(later.bytes, later.start, later.end)
        this.#forward(asked, only, later, this.#envelope)
      }
    )
    if (this.#waiting.has(asked)) later = line.kept()
  }

  /** One after another; `refuse` says what nobody having it comes to. */
  #try(asked: Asked, members: ReadonlyArray<Member>, search: Search, refuse: () => void): void {
    const [member, ...others] = members
    if (asked.isOver) return
    if (member === undefined) return refuse()
    const { isSure, line } = search
    const envelope = new Envelope()
    envelope.scan(line.bytes, line.start, line.end)
    const stream = new Attempt(asked.stream, (code, passOn) =>
      this.#try(asked, others, search, isSure && !lacking.has(code) ? passOn : refuse)
    )
    this.#forward({ ...asked, stream }, member, line, envelope, asked)
  }

  #forward(asked: Asked, member: Member, line: Line, envelope: Envelope, whose: Asked = asked): void {
    const before = whose.cancel
    const { cancel } = this.#options.of(member).receive(line, envelope, asked.method, asked.stream)
    // Refused at once, it is another server's by now.
    if (whose.cancel === before) whose.cancel = cancel
  }

  /** Goes on with the place of a tool or prompt, at once where that is known. */
  #placed(
    asked: Asked,
    line: Line,
    envelope: Envelope,
    kind: Kinds.Kind,
    shown: string,
    then: (place: Place, line: Line, envelope: Envelope) => void
  ): void {
    const { directory } = this.#options.together
    const place = directory.find(kind, shown)
    if (place !== null) return then(place, line, envelope)
    const later = line.kept()
    this.#wait<void>(
      asked,
      (done) => directory.whenRead([kind], () => directory.find(kind, shown) !== null, done),
      () => {
        const place = directory.find(kind, shown)
        if (place === null) return this.#fail(asked, directory.unknown(kind, shown))
        this.#envelope.scan(later.bytes, later.start, later.end)
        then(place, later, this.#envelope)
      }
    )
  }

  // --- what waits, and answers ---

  /** Goes on with what `begin` calls back with, unless it is given up. */
  #wait<A>(asked: Asked, begin: (done: (value: A) => void) => () => void, then: (value: A) => void): void {
    let isDone = false
    const giveUp = begin((value) => {
      isDone = true
      this.#waiting.delete(asked)
      if (!asked.isOver) then(value)
    })
    if (isDone) return
    this.#waiting.add(asked)
    asked.cancel = giveUp
  }

  #answer({ id, stream }: Asked, result: string): void {
    stream.out.push(Reply.result(id, result))
    stream.ended()
  }

  #fail({ id, stream }: Asked, refusal: Refusal): void {
    stream.out.push(Reply.failure(id, refusal))
    stream.ended()
  }
}

/** A request that one of several servers can answer. */
interface Search {
  readonly line: Line
  /** They say so themselves: what else is wrong there is the news. */
  readonly isSure: boolean
}

/** Of one owner. */
const maxRequests = 4096
/** Beside those of `ModernRequests`. */
let nextListening = -(2 ** 41)
