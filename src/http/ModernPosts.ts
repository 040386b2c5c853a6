/**
 * The requests of 2026-07-28 that come over HTTP: to each server as those of one owner, since all have the same token.
 * Plain synchronous code; lives as long as the listener.
 */
import type { ServerResponse } from "node:http"
import type { Line } from "../lines/LineReader.ts"
import type { Endpoint } from "../McpPool.ts"
import { type Envelope, Key } from "../message/Envelope.ts"
import { decodeString, methodOf, namedTask, nameOf } from "../message/Words.ts"
import * as Claim from "../mux/era/Claim.ts"
import { ModernRequests, type Requests } from "../mux/era/ModernRequests.ts"
import * as Mistakes from "../mux/Mistakes.ts"
import * as Reply from "../mux/Reply.ts"
import type { Refusal, Upstream } from "../mux/Upstream.ts"
import * as Kinds from "../together/Kinds.ts"
import { ModernTogether } from "../together/ModernTogether.ts"
import { Together } from "../together/Together.ts"
import { invalidRequest } from "../WireError.ts"
import { accept, sendJson } from "./Answers.ts"
import { mismatch, type ModernHeaders, otherVersion } from "./ModernHeaders.ts"
import * as ParamHeaders from "./ParamHeaders.ts"
import { ModernPost } from "./ModernPost.ts"
import { Untaken } from "./Reading.ts"

export interface ModernPostsOptions {
  /** Where a server's own socket is. */
  readonly socketOf: (server: string) => string
  /** A server has its first request; it is told of when the server is configured no more. */
  readonly onOpen: (endpoint: Endpoint, onRemoved: () => void) => void
}

/** What was asked, and where the answer goes. */
export interface ModernAsked {
  readonly server: string
  readonly endpoint: Endpoint
  readonly headers: ModernHeaders
  readonly response: ServerResponse
}

export class ModernPosts {
  readonly #options: ModernPostsOptions
  readonly #requests = new Map<Upstream, Requests>()
  /** In no order, each at its place: what was in a `Set` of long life stays until V8 looks through all that is old. */
  readonly #open: Array<ModernPost> = []
  readonly #untaken = new Untaken()
  #onAnswered: (() => void) | null = null

  constructor(options: ModernPostsOptions) {
    this.#options = options
  }

  /** Requests that are not answered; subscriptions are none. */
  get inFlight(): number {
    let count = 0
    for (const post of this.#open) if (!post.isListening) count++
    return count
  }

  /** A message, which an envelope has been made of. */
  post(line: Line, envelope: Envelope, { endpoint, headers, response, server }: ModernAsked): void {
    const hasId = envelope.has(Key.id)
    const id = hasId ? line.copy(envelope.start[Key.id]!, envelope.end[Key.id]!) : "null"
    const refuse = (refusal: Refusal) => sendJson(response, 400, Reply.failure(id, refusal).trimEnd())
    if (!envelope.has(Key.method)) return refuse({ code: invalidRequest, message: "a message needs a method" })
    const mistake = Mistakes.of(line, envelope)
    if (mistake !== null) return refuse(mistake)
    const method = methodOf(line, envelope)
    if (!hasId) {
      const isOther = headers.method !== undefined && headers.method !== method
      return isOther ? refuse(mismatch(headers, method, null)!) : accept(response, 202)
    }
    const said = Claim.read(line, envelope)
    if ("refusal" in said) return refuse(otherVersion(headers, said.refusal) ?? said.refusal)
    const disagreement = mismatch(headers, method, named(line, envelope, method))
    if (disagreement !== null) return refuse(disagreement)
    const other = paramsMismatch(line, envelope, method, { endpoint, headers })
    if (other !== null) return refuse(other)
    const post = new ModernPost(response, () => {
      this.#leave(post)
      this.#untaken.add(response)
      this.#tellAnswered()
    })
    post.place = this.#open.push(post) - 1
    const request = this.#of(server, endpoint).receive(line, envelope, method, post)
    response.once("close", () => {
      if (post.isEnded) return
      request.cancel()
      post.ended()
    })
  }

  /** Subscriptions end, and their clients are told. */
  endListening(): void {
    for (const requests of this.#requests.values()) requests.endListening()
  }

  /** Calls back once all that was asked is answered; what is returned takes that back. */
  readonly whenAnswered = (done: () => void): (() => void) => {
    this.#onAnswered = done
    this.#tellAnswered()
    return () => (this.#onAnswered = null)
  }

  /** Ends all. */
  close(): void {
    this.endListening()
    for (const requests of this.#requests.values()) requests.close()
    this.#requests.clear()
    for (const post of this.#open.slice()) post.ended()
  }

  /** Called now and then. */
  look(): void {
    for (const post of this.#open) post.look()
    this.#untaken.look()
  }

  #of(server: string, endpoint: Endpoint): Requests {
    const { upstream } = endpoint
    const known = this.#requests.get(upstream)
    if (known !== undefined) return known
    const requests = this.#make(server, endpoint)
    this.#requests.set(upstream, requests)
    this.#options.onOpen(endpoint, () => {
      this.#requests.delete(upstream)
      requests.endListening()
      requests.close()
    })
    return requests
  }

  /** The last one takes its place. */
  #leave(post: ModernPost): void {
    const last = this.#open.pop()!
    if (last === post) return
    this.#open[post.place] = last
    last.place = post.place
  }

  #make(server: string, { settings: { maxUnread }, upstream }: Endpoint): Requests {
    return upstream instanceof Together
      ? new ModernTogether({
          server,
          together: upstream,
          maxUnread,
          of: ({ endpoint, name }) => this.#of(name, endpoint)
        })
      : new ModernRequests({ server, upstream, maxUnread, socket: this.#options.socketOf(server) })
  }

  #tellAnswered(): void {
    if (this.#onAnswered === null || this.inFlight > 0) return
    this.#onAnswered()
    this.#onAnswered = null
  }
}

/** What the body of a request names. */
const named = (line: Line, envelope: Envelope, method: string): string | null => {
  if (method.startsWith("tasks/")) return namedTask(line).taskId
  return method === "resources/read" ? decodeString(line, envelope, Key.uri) : nameOf(line, envelope)
}

/** The same of what headers say again of a tool's arguments, as far as the tool is known. */
const paramsMismatch = (
  line: Line,
  envelope: Envelope,
  method: string,
  { endpoint, headers }: Pick<ModernAsked, "endpoint" | "headers">
): Refusal | null => {
  const shown = method === "tools/call" ? nameOf(line, envelope) : null
  if (shown === null) return null
  const { tool, tools } = meant(endpoint, shown)
  const marked = tools == null ? [] : ParamHeaders.markedOf(tools, tool)
  if (marked.length === 0) return null
  const { params } = JSON.parse(line.bytes.toString("utf8", line.start, line.end)) as { readonly params?: unknown }
  return ParamHeaders.mismatch(marked, (params as { readonly arguments?: unknown }).arguments, headers.other)
}

/** Which tool of which list a name means. */
const meant = ({ tools, upstream }: Endpoint, shown: string) => {
  if (!(upstream instanceof Together)) return { tool: shown, tools: tools?.() }
  const place = upstream.directory.find(Kinds.tools, shown)
  return { tool: place?.name ?? shown, tools: place?.member.endpoint.tools?.() }
}
