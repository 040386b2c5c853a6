/**
 * One request of a modern client on its way through a server: what it says of who asks, where what belongs to it goes, and
 * what the server wants to know of its client before it can answer. While the client finds that out, the call is held.
 *
 * https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/mrtr
 */
import { missingCapability } from "../../server/Era.ts"
import * as Capabilities from "../Capabilities.ts"
import * as Reply from "../Reply.ts"
import type { Out, Refusal } from "../Upstream.ts"
import type { Claim } from "./Claim.ts"
import * as RequestState from "./RequestState.ts"

/** Where what belongs to one request goes. */
export interface Stream {
  /** Whole messages, in pieces. */
  readonly out: Out
  /** Its last message has been pushed: the answer. */
  readonly ended: () => void
  /** It is a subscription from now on; its last message comes where the server ends it. */
  readonly listens: () => void
  /** More is waiting for its client than may. */
  readonly overflow: () => void
}

/** What a server wants to know. */
interface Pending {
  /** The id by which it is asked, as JSON text. */
  readonly own: string
  readonly method: string
  readonly params: { readonly [key: string]: unknown }
  /** Of its line. */
  readonly bytes: number
}

export class ModernCall {
  /** The client's id for it now, as JSON text, and the one with which it went to the server. */
  id: string
  readonly sentId: string
  /** The same of its progress token; null where there is none. */
  token: string | null
  readonly sentToken: string | null
  readonly method: string
  readonly name: string | null
  readonly claim: Claim
  readonly capabilities: Capabilities.Capabilities
  /** Null while its client is away, to find out what the server wants to know. */
  stream: Stream | null
  /** The answer that came meanwhile. */
  kept: Buffer | null = null
  /** It has been cancelled before it went anywhere. */
  isOver = false
  readonly #server: string
  readonly #pending = new Map<string, Pending>()
  readonly #maxUnread: number
  #missing: { readonly [key: string]: unknown } | null = null
  #handle: string | null = null
  #round = 0
  /** Milliseconds since the epoch; 0 where its client has not been asked what is wanted now. */
  #until = 0

  constructor(options: {
    readonly server: string
    readonly id: string
    readonly token: string | null
    readonly method: string
    readonly name: string | null
    readonly claim: Claim
    readonly stream: Stream
    readonly maxUnread: number
  }) {
    this.#server = options.server
    this.id = this.sentId = options.id
    this.token = this.sentToken = options.token
    this.method = options.method
    this.name = options.name
    this.claim = options.claim
    this.capabilities = Capabilities.read(options.claim.capabilities)
    this.stream = options.stream
    this.#maxUnread = options.maxUnread
  }

  /** Under which it is held once something is asked: most calls ask nothing. */
  get handle(): string {
    return (this.#handle ??= RequestState.makeHandle())
  }

  /** Whether there is room for so many bytes; where not, its client is told so, or closed. */
  hasRoom(bytes: number): boolean {
    if (this.stream === null) return false
    const { unread } = this.stream.out
    if (unread === 0 || unread + bytes <= this.#maxUnread) return true
    this.stream.overflow()
    return false
  }

  /** Its answer, as a whole line. */
  end(text: string): void {
    if (this.hasRoom(text.length)) this.stream?.out.push(text)
    this.ended()
  }

  /** Its answer has been pushed. */
  ended(): void {
    const { stream } = this
    this.stream = null
    stream?.ended()
  }

  fail(refusal: Refusal): void {
    this.end(Reply.failure(this.id, refusal))
  }

  /** The server wants to know something: what it is refused with, or null where its client can be asked. */
  wants(own: string, method: string, params: Pending["params"], bytes: number): Refusal | null {
    let sum = bytes
    for (const pending of this.#pending.values()) sum += pending.bytes
    if (this.isAsked && sum > this.#maxUnread) return tooMuch
    const refusal =
      method === "roots/list" && this.capabilities.roots
        ? null
        : Capabilities.refusal(this.capabilities, method, params)
    if (refusal === null) {
      this.#pending.set(`${method.slice(0, method.indexOf("/"))}-${own}`, { own, method, params, bytes })
      // Who is away comes back with the state that it has.
      if (this.stream !== null) this.#until = 0
    } else this.#missing ??= neededFor(method, params)
    return refusal
  }

  /** The server does not want to know any more. */
  unwanted(own: string): void {
    for (const [key, pending] of this.#pending) if (pending.own === own) this.#pending.delete(key)
  }

  get isAsked(): boolean {
    return this.#pending.size > 0
  }

  /** Whether its client has ever been asked anything. */
  get wasAsked(): boolean {
    return this.#round > 0 || this.isAsked
  }

  /** The server's own ids of what it wants to know and will not be told. */
  givenUp(): ReadonlyArray<string> {
    const given = Array.from(this.#pending.values(), ({ own }) => own)
    this.#pending.clear()
    return given
  }

  /** What it needed and its client has not declared. */
  get missing(): Refusal | null {
    if (this.#missing === null) return null
    const data = { requiredCapabilities: this.#missing }
    return { code: missingCapability, message: "the request does not declare what the server needs", data }
  }

  /** Its client has to open pages, and ask once more then. */
  opens(pages: { readonly [key: string]: unknown }, signature: string | null): void {
    if (this.capabilities.url) return this.#needs({ inputRequests: pages }, signature)
    this.#missing = { elicitation: { url: {} } }
    this.fail(this.missing!)
  }

  /** Its client is about to be asked: says for how many milliseconds it is waited for. Who finds out nothing gains none. */
  hold(now: number): number {
    this.#round++
    if (this.#until === 0) this.#until = now + RequestState.maxHeld
    return this.#until - now
  }

  /** Answers what its client has to find out first; it is away from then on. */
  ask(signature: string | null): void {
    const requests = Array.from(this.#pending, ([key, { method, params }]) => [key, { method, params }] as const)
    const requestState = RequestState.sign(this.#server, {
      handle: this.handle,
      round: this.#round,
      until: this.#until
    })
    this.#needs({ inputRequests: Object.fromEntries(requests), requestState }, signature)
  }

  #needs(what: object, signature: string | null): void {
    const members = Reply.json({ resultType: "input_required", ...what }).slice(1, -1)
    this.end(Reply.result(this.id, signature === null ? `{${members}}` : `{${members},${signature}}`))
  }

  /** Whether this is the state that went with the last question. */
  isOf({ round, until }: RequestState.State): boolean {
    return this.stream === null && round === this.#round && until === this.#until
  }

  /** What its client has found out, by the server's own ids; what it has left out is asked again. */
  take(responses: { readonly [key: string]: unknown }): ReadonlyArray<readonly [own: string, result: unknown]> {
    return Object.entries(responses).flatMap(([key, result]) => {
      const pending = this.#pending.get(key)
      if (pending === undefined || typeof result !== "object" || result === null) return []
      this.#pending.delete(key)
      this.#until = 0
      return [[pending.own, result] as const]
    })
  }
}

const tooMuch: Refusal = { code: -32600, message: "more is asked already than may wait for the client" }

const neededFor = (method: string, params: Pending["params"]): { readonly [key: string]: unknown } => {
  if (method === "roots/list") return { roots: {} }
  if (method !== "sampling/createMessage") return { elicitation: params["mode"] === "url" ? { url: {} } : { form: {} } }
  const usesTools = params["tools"] !== undefined || params["toolChoice"] !== undefined
  return { sampling: usesTools ? { tools: {} } : {} }
}
