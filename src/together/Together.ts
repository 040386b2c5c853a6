/**
 * All servers as one `Upstream`: each client has a part at every server that it has to do with, and what it asks goes to the
 * server that it means. Plain synchronous code; lives as long as the listener.
 */
import type { CallOutcome } from "../CallOutcome.ts"
import type { Line } from "../lines/LineReader.ts"
import type { Envelope } from "../message/Envelope.ts"
import { isSameId } from "../message/Ids.ts"
import { announce } from "../mux/Notifications.ts"
import { done as nothingToDo } from "../mux/Outcome.ts"
import * as Reply from "../mux/Reply.ts"
import { rootsChanged } from "../mux/Sharing.ts"
import type { Client, Outcome, Upstream } from "../mux/Upstream.ts"
import { poolInfo, protocolVersions } from "../server/Era.ts"
import type { Handshake, Hello } from "../server/Handshake.ts"
import { methodNotFound } from "../WireError.ts"
import type { Joined } from "./Catalogue.ts"
import { Directory, type Server } from "./Directory.ts"
import type * as Kinds from "./Kinds.ts"
import type { Member } from "./Member.ts"
import { notFound, Requests } from "./Requests.ts"
import { Seat } from "./Seat.ts"

export interface TogetherOptions {
  /** Called before anything is looked up: the servers may be others now. */
  readonly follow: () => void
  /** Servers list what others list before them. */
  readonly onHidden: (kind: Kinds.Kind, hidden: Joined["hidden"]) => void
}

export class Together implements Upstream {
  readonly isOwn = false
  readonly directory: Directory
  /** Called before anything is looked up. */
  readonly follow: () => void
  readonly #requests: Requests
  readonly #seats = new Map<Client, Seat>()
  /** Servers that are configured no more, and answer what they have. */
  readonly #retired = new Set<Member>()
  /** The announcements of lists that anybody was given and nobody has been told of since. */
  readonly #given = new Set<string>()

  constructor({ follow, onHidden }: TogetherOptions) {
    this.follow = follow
    this.directory = new Directory({
      onChanged: (kind) => this.#changed(kind),
      onRetired: (member) => this.#retired.add(member),
      onHidden
    })
    this.#requests = new Requests({ directory: this.directory, given: this.#given })
  }

  /** Who has joined and not left. */
  get clients(): Iterable<Client> {
    return this.#seats.keys()
  }

  /** The shortest of all. */
  get listTtl(): number {
    return Math.min(...this.directory.members.map(({ upstream }) => upstream.listTtl), longestTtl)
  }

  /** These servers it is from now on. */
  become(servers: ReadonlyArray<Server>): void {
    this.directory.become(servers)
  }

  /** The server that had this upstream has answered what it had, and is gone. */
  gone(upstream: Upstream): void {
    for (const member of this.#retired) {
      if (member.upstream !== upstream) continue
      this.#retired.delete(member)
      for (const seat of this.#seats.values()) seat.leave(member)
    }
  }

  /** A server has started, or ended. */
  look(name: string): void {
    this.directory.get(name)?.look()
  }

  close(): void {
    for (const seat of this.#seats.values()) seat.close()
    this.#seats.clear()
    this.directory.close()
  }

  // --- sessions ---

  join(client: Client): void {
    this.follow()
    this.#seats.set(client, new Seat(client, nobody, (seat, kind) => tell(seat, kind)))
  }

  leave(client: Client): void {
    this.#seats.get(client)?.close()
    this.#seats.delete(client)
  }

  handshake(client: Client, hello: Hello, onHandshake: (handshake: Handshake) => void): void {
    this.#seats.get(client)!.hello = hello
    this.directory.shake((handshake) => {
      if (this.#seats.has(client)) onHandshake(handshake)
    })
  }

  request(client: Client, line: Line, envelope: Envelope, method: string): void {
    this.follow()
    this.#requests.request(this.#seats.get(client)!, line, envelope, method)
  }

  list(client: Client, line: Line, envelope: Envelope, method: string): void {
    this.request(client, line, envelope, method)
  }

  /** What clients say unasked is about their session with one server, and so means none of several; roots are theirs. */
  notify(client: Client, line: Line, method: string): void {
    if (method !== rootsChanged) return
    for (const part of this.#seats.get(client)!.parts) {
      if (part.member.isOwn) part.member.upstream.notify(part, line, method)
    }
  }

  /** Questions of all servers have ids of their own: only one has asked under this. */
  answer(client: Client, line: Line, envelope: Envelope): void {
    for (const part of this.#seats.get(client)!.parts) part.member.upstream.answer(part, line, envelope)
  }

  answerProgress(client: Client, line: Line, envelope: Envelope): void {
    for (const part of this.#seats.get(client)!.parts) part.member.upstream.answerProgress(part, line, envelope)
  }

  inputEnded(client: Client): void {
    for (const part of this.#seats.get(client)!.parts) part.member.upstream.inputEnded(part)
  }

  cancel(client: Client, id: string, line: Line, envelope: Envelope, outcome?: CallOutcome): void {
    const seat = this.#seats.get(client)!
    const isWanted = isSameId(id)
    seat.forget(isWanted)
    for (const part of seat.parts) {
      if (!part.isBusy) continue
      part.forget(isWanted)
      part.member.upstream.cancel(part, id, line, envelope, outcome)
    }
  }

  /** It holds for all servers: at once for those that are there, and for the others when they come. */
  levelChanged(client: Client, done: (outcome: Outcome) => void): void {
    const seat = this.#seats.get(client)!
    const { members } = this.directory
    const canLog = members.some(({ handshake }) => handshake === null || "logging" in handshake.capabilities)
    if (!canLog) return done({ kind: "error", text: noLogging })
    for (const member of members) {
      const known = seat.known(member)
      // A part that comes now says its level itself.
      if (known === undefined) {
        if (!member.isOwn) seat.part(member)
      } else if (!member.isOwn || known.hasShaken) member.upstream.levelChanged(known, () => {})
    }
    done(nothingToDo)
  }

  /** Where the resource is; where nobody says so, the first server that takes it. */
  subscribe(client: Client, uri: string, done: (outcome: Outcome) => void): void {
    const seat = this.#seats.get(client)!
    this.#requests.whenPlaced(seat, uri, (sure, others) => {
      const canWatch = ({ handshake }: Member) => handshake?.capabilities.resources?.subscribe === true
      const among = sure.length > 0 ? sure : others
      this.#subscribe(seat, uri, among.filter(canWatch), done)
    })
  }

  #subscribe(seat: Seat, uri: string, among: ReadonlyArray<Member>, done: (outcome: Outcome) => void): void {
    const [member, ...others] = among
    if (!this.#seats.has(seat.client)) return
    if (member === undefined) return done({ kind: "error", text: Reply.json(notFound(uri)) })
    const part = seat.asked(member)
    member.upstream.subscribe(part, uri, (outcome) => {
      if (outcome.kind === "result") seat.watched.set(uri, part)
      else if (others.length > 0) return this.#subscribe(seat, uri, others, done)
      done(outcome)
    })
  }

  unsubscribe(client: Client, uri: string): void {
    const seat = this.#seats.get(client)!
    const part = seat.watched.get(uri)
    seat.watched.delete(uri)
    part?.member.upstream.unsubscribe(part, uri)
  }

  // --- lists ---

  /** Somebody who is no session is given a list. */
  give({ announcement }: Kinds.Kind): void {
    this.#given.add(announcement)
  }

  /** Who was given the list is told once that it is another; who only listens, where anybody was given it. */
  #changed({ announcement }: Kinds.Kind): void {
    const wasGiven = this.#given.delete(announcement)
    const clients: Array<Client> = []
    for (const { client, given } of this.#seats.values()) {
      if (given.delete(announcement) || (wasGiven && client.role === "listener")) clients.push(client)
    }
    announce(clients, announcement)
  }
}

/** A list that only this client has is another. */
const tell = ({ client, given }: Seat, { announcement }: Kinds.Kind): void => {
  if (given.delete(announcement)) announce([client], announcement)
}

/** Of a client that has not said anything yet. */
const nobody: Hello = { protocolVersion: protocolVersions[0], capabilities: {}, clientInfo: poolInfo }
const noLogging = Reply.json({ code: methodNotFound, message: "no server offers logging" })
/** Milliseconds. */
const longestTtl = 300_000
