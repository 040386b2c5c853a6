/**
 * One process of the modern era, as its multiplexer speaks to it: requests of legacy clients say who asks, what the pool
 * itself asks is asked in its words, and what it says unasked is told in those of the other era. Requests of modern clients
 * pass as they are. Plain synchronous code; lives as long as the process.
 */
import type { ServerCapabilities } from "@modelcontextprotocol/sdk/types.js"
import { Line } from "../../lines/LineReader.ts"
import type { LineSink } from "../../lines/LineWriter.ts"
import type { Envelope } from "../../message/Envelope.ts"
import { holds } from "../../message/ResponseEnds.ts"
import { poolMeta, poolTasksMeta } from "../../server/Era.ts"
import type { Ask, Call, Calls } from "../Calls.ts"
import { done as nothingToDo, outcomeOf } from "../Outcome.ts"
import type { Peer } from "../Peer.ts"
import type { Questions } from "../Questions.ts"
import * as Reply from "../Reply.ts"
import * as Splice from "../Splice.ts"
import type { Outcome, Refusal } from "../Upstream.ts"
import * as Edits from "./Edits.ts"
import { InputRequired, mark, mayAsk } from "./InputRequired.ts"
import { type Heard, Listen } from "./Listen.ts"

export interface ModernServerOptions {
  readonly process: Peer
  readonly stdin: LineSink
  readonly calls: Calls
  readonly questions: Questions
  readonly capabilities: ServerCapabilities
  /** Ends a call, which the process does not hold any more. */
  readonly fail: (call: Call, refusal: Refusal) => void
}

export class ModernServer {
  readonly #options: ModernServerOptions
  readonly #inputs: InputRequired
  readonly #listen: Listen

  constructor(options: ModernServerOptions) {
    this.#options = options
    const { calls, capabilities, fail, process, questions, stdin } = options
    this.#inputs = new InputRequired({
      process,
      calls,
      questions,
      fail,
      again: (call, id, line, envelope, members) => this.#write(call, line, envelope, id, members)
    })
    this.#listen = new Listen({ capabilities, write: (text) => stdin.push(text), nextId: () => idOfNobody(calls) })
  }

  begin(): void {
    this.#listen.begin()
  }

  /** Another process speaks for the server from now on. */
  retire(): void {
    this.#listen.end()
  }

  /** The process has ended, or is being ended. */
  end(): void {
    this.#inputs.end()
  }

  request(call: Call, line: Line, envelope: Envelope, id: number): void {
    if (call.client.meta === null) return Splice.request(this.#options.stdin, line, envelope, id)
    if (mayAsk.has(call.method) && line.end - line.start <= maxKept) call.sent = line.copy(line.start, line.end)
    this.#write(call, line, envelope, id, "")
  }

  /** What the pool asks where the modern era has other words for it, or none: true where it is taken care of. */
  asks(method: string, params: unknown, done: (outcome: Outcome) => void): boolean {
    switch (method) {
      // Each request says for itself which log messages it wants.
      case "logging/setLevel":
        done(nothingToDo)
        return true
      case "resources/subscribe":
        this.#listen.subscribe(uriOf(params), done)
        return true
      case "resources/unsubscribe":
        this.#listen.unsubscribe(uriOf(params))
        done(nothingToDo)
        return true
      default:
        return false
    }
  }

  /** A request of the pool's own, in the words of this era. */
  ownRequest(id: number, method: string, params: unknown): string {
    const given = typeof params === "object" && params !== null ? params : {}
    const _meta = method === "tasks/cancel" ? poolTasksMeta : poolMeta
    return Reply.request(id, method === "ping" ? "server/discover" : method, { ...given, _meta })
  }

  /** Whether a response is no client's answer. */
  takes(id: number, call: Call | Ask | undefined, line: Line): boolean {
    if (call === undefined) return this.#listen.answered(id, () => outcomeOf(line))
    return call.client !== null && call.client.meta !== null && this.#inputs.takes(id, call, line)
  }

  /** What was asked under this id is not answered any more. */
  lost(id: number): void {
    this.#listen.answered(id, () => nothingToDo)
  }

  /** Whether a response in pieces may be none. */
  mayTake(call: Call, pieces: ReadonlyArray<Buffer>): boolean {
    return call.client.meta !== null && mayAsk.has(call.method) && holds(pieces, mark, 0)
  }

  /** Nobody waits for the call any more: true where the process does not hold it either. */
  abandoned(id: number): boolean {
    return this.#inputs.abandoned(id)
  }

  /** What it says unasked, as a legacy server says it; null where that is nobody's. */
  translated(line: Line, method: string): Line | null {
    switch (method) {
      case "notifications/subscriptions/acknowledged":
        this.#listen.acknowledged(paramsOf(line))
        return null
      case "notifications/tools/list_changed":
      case "notifications/prompts/list_changed":
      case "notifications/resources/list_changed":
        return this.#listen.isHeard(paramsOf(line)) ? said(Reply.notification(method)) : null
      case "notifications/resources/updated": {
        const { uri, ...params } = paramsOf(line)
        return this.#listen.isHeard(params) ? said(Reply.notification(method, { uri })) : null
      }
      default:
        return line
    }
  }

  #write({ client }: Call, line: Line, envelope: Envelope, id: number, members: string): void {
    const { questions, stdin } = this.#options
    const meta = client.meta === null ? "" : client.meta(questions.areAsked)
    Edits.write(stdin, line, [...Edits.ids(envelope, id), ...Edits.params(line, envelope, meta, members)])
  }
}

/** An id that no other request has. */
const idOfNobody = (calls: Calls): number => {
  const id = calls.add({ client: null, isForClient: false, deadlineFrom: Infinity, done: () => {} })
  calls.take(id)
  return id
}

const said = (text: string): Line => Line.ofText(text.slice(0, -1))

const uriOf = (params: unknown): string => String((params as { readonly uri?: unknown }).uri)

const paramsOf = (line: Line): Heard & { readonly uri?: unknown } => {
  const { params } = JSON.parse(line.bytes.toString("utf8", line.start, line.end)) as { readonly params?: unknown }
  return typeof params === "object" && params !== null ? params : {}
}

/** Bytes of a request that is kept, so that it can be made again with what the server asks. */
const maxKept = 1024 * 1024
