/**
 * The modern requests of one owner at one server, each of which stands alone, whatever the era of the server and whatever
 * carries them: a session's connection, or one HTTP request each. Plain synchronous code.
 *
 * https://modelcontextprotocol.io/specification/2026-07-28/basic
 */
import type { Line } from "../../lines/LineReader.ts"
import { forServer, Overloaded, type RequestError, ServerUnavailable } from "../../PoolError.ts"
import { protocolVersions } from "../../server/Era.ts"
import type { Handshake, Hello } from "../../server/Handshake.ts"
import { Envelope, Key } from "../../message/Envelope.ts"
import { invalidParams, methodNotFound } from "../../WireError.ts"
import * as Owner from "../Owner.ts"
import * as Reply from "../Reply.ts"
import type { Client, Refusal, Upstream } from "../Upstream.ts"
import { decodeString, nameOf } from "../../message/Words.ts"
import { type Claim, read } from "./Claim.ts"
import { mayAsk } from "./InputRequired.ts"
import { filterOf, Listening } from "./Listening.ts"
import { ModernCall, type Stream } from "./ModernCall.ts"
import { ModernCaller } from "./ModernCaller.ts"
import * as Presented from "./Presented.ts"
import * as RequestState from "./RequestState.ts"

export interface ModernRequestsOptions {
  readonly server: string
  readonly upstream: Upstream
  /** Bytes that may wait in a stream, or one message. */
  readonly maxUnread: number
  /** Where a server is to be had that has a process for each session; null where these requests are one session's. */
  readonly socket: string | null
}

/** A request that has been taken. */
export interface ModernRequest {
  /** Its client does not want an answer any more, or is gone: none comes. */
  readonly cancel: () => void
}

/** Where modern requests go. */
export interface Requests {
  /**
   * Takes a request, as it came: `line` and `envelope` are read before this returns. What belongs to it goes to its stream,
   * its answer last; nothing before this returns, unless it is answered at once.
   */
  readonly receive: (line: Line, envelope: Envelope, method: string, stream: Stream) => ModernRequest
  /** The server tells nothing any more: subscriptions end, and their clients are told. */
  readonly endListening: () => void
  /** Who asked is gone. */
  readonly close: () => void
}

interface Held {
  readonly call: ModernCall
  readonly caller: ModernCaller
  readonly timer: NodeJS.Timeout
}

export class ModernRequests implements Requests {
  readonly #options: ModernRequestsOptions
  readonly #owner: Owner.Owner
  readonly #envelope = new Envelope()
  readonly #callers = new Set<ModernCaller>()
  readonly #listening = new Set<Listening>()
  readonly #held = new Map<string, Held>()
  #free: Array<ModernCaller> = []
  #signed: { readonly handshake: Handshake; readonly text: string } | null = null
  #lingering: NodeJS.Timeout | null = null
  /** The process of a session's own has been told that the session is there. */
  #isAnnounced = false
  #isInputAtEnd = false
  #isClosed = false

  constructor(options: ModernRequestsOptions) {
    this.#options = options
    this.#owner = Owner.make({ isOneClient: options.socket === null })
  }

  /** Requests that are not answered, calls that are held, and subscriptions. */
  get size(): number {
    return this.#callers.size - this.#free.length + this.#listening.size + this.#held.size
  }

  receive(line: Line, envelope: Envelope, method: string, stream: Stream): ModernRequest {
    const { server, socket, upstream } = this.#options
    const id = line.copy(envelope.start[Key.id]!, envelope.end[Key.id]!)
    const fail = (refusal: Refusal | RequestError): ModernRequest => {
      const error = "_tag" in refusal ? forServer(refusal, server) : refusal
      stream.out.push(Reply.failure(id, error))
      stream.ended()
      return nothing
    }
    const said = read(line, envelope)
    if ("refusal" in said) return fail(said.refusal)
    if (removed.has(method)) return fail(noSuchMethod(method))
    if (upstream.isOwn && socket !== null) {
      const hint = `it has a process for each session: connect to ${socket}`
      return fail(new ServerUnavailable({ server, state: "per-session", failure: null, hint, nextAttemptAt: null }))
    }
    if (this.size >= maxRequests) {
      return fail(new Overloaded({ server, reason: `${maxRequests} requests of this client are not answered yet` }))
    }
    const { claim } = said
    const token = envelope.has(Key.token) ? line.copy(envelope.start[Key.token]!, envelope.end[Key.token]!) : null
    const name = method === "resources/read" ? decodeString(line, envelope, Key.uri) : nameOf(line, envelope)
    const { maxUnread } = this.#options
    const call = new ModernCall({ server, id, token, method, name, claim, stream, maxUnread })
    const caller = this.#take(claim)
    let cancel = () => {
      call.isOver = true
    }
    this.#shake(caller, claim, line, envelope, {
      refused: (error) => {
        this.#release(caller)
        if (!call.isOver) fail(error)
      },
      shaken: (handshake, line, envelope) => {
        if (call.isOver || this.#isClosed) return this.#release(caller)
        cancel = this.#begin(call, caller, handshake, line, envelope)
      }
    })
    return { cancel: () => cancel() }
  }

  endListening(): void {
    for (const listening of this.#listening) listening.end()
    this.#listening.clear()
  }

  /** Who asked says nothing more: nobody comes back to a call that is held. */
  inputEnded(): void {
    this.#isInputAtEnd = true
    for (const { call, caller, timer } of this.#held.values()) {
      clearTimeout(timer)
      caller.cancel(call, notBack)
    }
    this.#held.clear()
  }

  close(): void {
    this.#isClosed = true
    if (this.#lingering !== null) clearTimeout(this.#lingering)
    for (const { timer } of this.#held.values()) clearTimeout(timer)
    this.#held.clear()
    for (const listening of this.#listening) listening.cancel()
    this.#listening.clear()
    for (const caller of this.#callers) caller.leave()
    this.#callers.clear()
    this.#free = []
  }

  /** A request and the server know each other; says how it is cancelled. */
  #begin(call: ModernCall, caller: ModernCaller, handshake: Handshake, line: Line, envelope: Envelope): () => void {
    const { method } = call
    caller.signature = this.#signatureOf(handshake)
    if (method === "server/discover") {
      this.#release(caller)
      call.end(this.#discovered(call.id, handshake))
      return nothing.cancel
    }
    if (method === "subscriptions/listen") {
      this.#release(caller)
      return this.#listen(call, this.#options.upstream.isOwn ? caller : null, handshake, line)
    }
    // Tasks of the two eras have nothing in common.
    if (caller.signature !== null && method.startsWith("tasks/")) {
      this.#release(caller)
      return refused(call, noSuchMethod(method))
    }
    const back = caller.signature !== null && mayAsk.has(method) ? retryOf(line) : null
    if (back !== null) {
      this.#release(caller)
      return this.#resume(call, back)
    }
    if (mayAsk.has(method) && this.#held.size >= maxHeldCalls) {
      this.#release(caller)
      const { server } = this.#options
      const reason = `${maxHeldCalls} calls of this client wait for what it finds out`
      return refused(call, forServer(new Overloaded({ server, reason }), server))
    }
    const { stream } = call
    caller.begin(call, line, envelope)
    return () => cancelOf(caller, call, stream)
  }

  #signatureOf(handshake: Handshake): string | null {
    if (handshake.era === "modern") return null
    if (this.#signed?.handshake !== handshake) {
      this.#signed = { handshake, text: Presented.signature(handshake) }
    }
    return this.#signed.text
  }

  #discovered(id: string, handshake: Handshake): string {
    try {
      return Reply.result(id, Reply.json(Presented.discoverResult(handshake, this.#options.upstream.listTtl)))
    } catch {
      return Reply.failure(id, { code: -32603, message: "what the server says of itself is nested too deeply" })
    }
  }

  #listen(call: ModernCall, teller: ModernCaller | null, handshake: Handshake, line: Line): () => void {
    const found = filterOf(line, handshake)
    if ("refusal" in found) return refused(call, found.refusal)
    const { maxUnread, server, upstream } = this.#options
    const clientInfo = infoOf(call.claim)
    const { filter } = found
    const stream = call.stream!
    const about = { id: nextListening--, server, upstream, clientInfo, requestId: call.id }
    const isWatched = (uri: string) => [...this.#listening].some((other) => other.watches(uri))
    const listening = new Listening({ ...about, filter, stream, maxUnread, teller, isWatched })
    this.#listening.add(listening)
    listening.begin()
    return () => {
      this.#listening.delete(listening)
      listening.cancel()
    }
  }

  /** The answer to what a server wanted to know, with the call that it belongs to. */
  #resume(retry: ModernCall, { requestState, responses }: Retry): () => void {
    const state = RequestState.verify(this.#options.server, requestState, Date.now())
    const held = state === null ? undefined : this.#held.get(state.handle)
    const isSame = held?.call.method === retry.method && held.call.name === retry.name
    if (state === null || held === undefined || !isSame || !held.call.isOf(state)) {
      return refused(retry, { code: invalidParams, message: "requestState is not one of a call that waits for this" })
    }
    const { call, caller, timer } = held
    clearTimeout(timer)
    this.#held.delete(state.handle)
    call.id = retry.id
    call.token = retry.token
    call.stream = retry.stream
    caller.resume(call, responses)
    return () => cancelOf(caller, call, retry.stream)
  }

  readonly #hold = (call: ModernCall, caller: ModernCaller): boolean => {
    if (this.#isInputAtEnd) return false
    const timer = setTimeout(() => {
      this.#held.delete(call.handle)
      caller.cancel(call, notBack)
    }, call.hold(Date.now()))
    this.#held.set(call.handle, { call, caller, timer: timer.unref() })
    return true
  }

  // --- clients at the upstream ---

  #take(claim: Claim): ModernCaller {
    const { server, upstream } = this.#options
    // A process of its own has one client.
    const [only] = this.#callers
    if (upstream.isOwn && only !== undefined) return only
    const free = this.#free.pop()
    if (free !== undefined) return free
    const caller = new ModernCaller({
      server,
      upstream,
      owner: this.#owner,
      clientInfo: infoOf(claim),
      hold: this.#hold,
      onNews: (line, envelope, method) => {
        for (const listening of this.#listening) listening.hear(line, envelope, method)
      },
      onFree: (caller) => this.#release(caller)
    })
    this.#callers.add(caller)
    return caller
  }

  #release(caller: ModernCaller): void {
    if (this.#isClosed || this.#options.upstream.isOwn || !caller.isFree) return
    if (caller.isSpent) {
      this.#callers.delete(caller)
      return caller.leave()
    }
    if (this.#free.includes(caller)) return
    this.#free.push(caller)
    this.#lingering ??= setTimeout(() => {
      this.#lingering = null
      for (const idle of this.#free.splice(0)) {
        this.#callers.delete(idle)
        idle.leave()
      }
    }, linger).unref()
  }

  #shake(
    caller: ModernCaller,
    claim: Claim,
    line: Line,
    envelope: Envelope,
    on: {
      readonly shaken: (handshake: Handshake, line: Line, envelope: Envelope) => void
      readonly refused: (error: RequestError) => void
    }
  ): void {
    const { upstream } = this.#options
    let later: Line | null = null
    let isDone = false
    const shaken = (handshake: Handshake) => {
      isDone = true
      if (upstream.isOwn && handshake.era === "legacy") this.#announce(caller)
      if (later === null) return on.shaken(handshake, line, envelope)
      this.#envelope.scan(later.bytes, later.start, later.end)
      on.shaken(handshake, later, this.#envelope)
    }
    const refused = (error: RequestError) => {
      isDone = true
      on.refused(error)
    }
    upstream.handshake(caller, helloOf(claim), shaken, refused)
    if (!isDone) later = line.kept()
  }

  /** A legacy process of a session's own waits for that. */
  #announce(caller: ModernCaller): void {
    if (this.#isAnnounced) return
    this.#isAnnounced = true
    caller.announce()
  }
}

/** One that has been answered is not cancelled, though it may be held. */
const cancelOf = (caller: ModernCaller, call: ModernCall, stream: Stream | null): void => {
  if (stream !== null && call.stream === stream) caller.cancel(call, "its client has cancelled it")
}

const noSuchMethod = (method: string): Refusal => ({
  code: methodNotFound,
  message: `2026-07-28 has no "${method}", as far as this server speaks it`
})

const refused = (call: ModernCall, refusal: Refusal): (() => void) => {
  call.fail(refusal)
  return nothing.cancel
}

interface Retry {
  readonly requestState: string
  readonly responses: { readonly [key: string]: unknown }
}

/** What a request brings back; null where it is the first of its kind. */
const retryOf = (line: Line): Retry | null => {
  if (!line.bytes.subarray(line.start, line.end).includes('"requestState"')) return null
  const { params } = JSON.parse(line.bytes.toString("utf8", line.start, line.end)) as {
    readonly params?: { readonly requestState?: unknown; readonly inputResponses?: unknown }
  }
  if (params?.requestState === undefined) return null
  const { inputResponses, requestState } = params
  const responses = typeof inputResponses === "object" && inputResponses !== null ? inputResponses : {}
  return { requestState: String(requestState), responses: responses as Retry["responses"] }
}

const infoOf = ({ clientInfo }: Claim): Client["clientInfo"] => {
  const text = (value: unknown) => (typeof value === "string" ? value.slice(0, 100) : null)
  return { name: text(clientInfo?.["name"]), version: text(clientInfo?.["version"]) }
}

const helloOf = ({ capabilities, clientInfo }: Claim): Hello => ({
  protocolVersion: protocolVersions[0],
  capabilities,
  clientInfo: clientInfo ?? {}
})

const notBack = "its client has not come back with what the server asked"
const nothing: ModernRequest = { cancel: () => {} }

/** What 2026-07-28 has no more. */
const removed: ReadonlySet<string> = new Set([
  "initialize",
  "ping",
  "logging/setLevel",
  "resources/subscribe",
  "resources/unsubscribe",
  "tasks/list",
  "tasks/result"
])
/** Of one owner at one server. */
const maxRequests = 4096
/** The same of calls that are held. */
const maxHeldCalls = 256
/** How long a client at the upstream stays without use, in milliseconds. */
const linger = 1000
/** Beside those of `ModernCaller`. */
let nextListening = -(2 ** 40)
