/**
 * All that is said to one scratch process and heard from it, seen closer than the pool's multiplexer does: it gives each
 * request an id and a progress token of its own, and keeps what does not fit. Plain synchronous code; lives as long as the
 * process.
 */
import type { Line, LineReceiver, LongLine } from "../lines/LineReader.ts"
import type { Root } from "../config/ServerSpec.ts"
import { methodNotFound } from "../WireError.ts"

/** A request as it is made. */
export interface Step {
  readonly method: string
  /** The tool's or prompt's name, the resource's URI; null for others. */
  readonly name: string | null
  readonly params: { readonly [key: string]: unknown }
}

/** What its client gets for a request, in the shape in which it is compared. */
export interface Trace {
  result?: unknown
  error?: unknown
  /** `params` of progress notifications, without the token. */
  readonly progress: Array<unknown>
  /** `params` of log messages, while nothing else was in flight. */
  readonly log: Array<unknown>
}

/** A question that the process asked. */
export interface Question {
  readonly method: string
  /** Of an elicitation. */
  readonly mode: string | null
  /** Calls, prompts and reads that were in flight then. */
  readonly during: ReadonlyArray<Pick<Step, "method" | "name">>
}

/** What is counted of one process; samples are texts as they came, bounded. */
export interface Observations {
  requests: number
  /** Answers under an id that no request had, or that was answered already. */
  readonly strange: Array<string>
  /** Progress under a token that no request had. */
  readonly strangeProgress: Array<string>
  /** Progress for a request after its answer. */
  lateProgress: number
  progress: number
  /** Answers to what was cancelled before. */
  answeredAfterCancel: number
  readonly questions: Array<Question>
  /** Lines that are not MCP. */
  readonly stray: Array<string>
}

interface Pending {
  readonly step: Step
  readonly trace: Trace
  readonly onAnswer: (trace: Trace) => void
  isCancelled: boolean
  isLogged: boolean
}

export class Conversation implements LineReceiver {
  readonly observations: Observations = {
    requests: 0,
    strange: [],
    strangeProgress: [],
    lateProgress: 0,
    progress: 0,
    answeredAfterCancel: 0,
    questions: [],
    stray: []
  }
  readonly #write: (line: string) => void
  readonly #roots: ReadonlyArray<Root> | undefined
  readonly #pending = new Map<number, Pending>()
  readonly #answered = new Set<number>()
  #lastId = 0

  constructor(options: {
    readonly write: (line: string) => void
    /** The answer to `roots/list`; undefined where they are not declared. */
    readonly roots: ReadonlyArray<Root> | undefined
  }) {
    this.#write = options.write
    this.#roots = options.roots
  }

  /** Whether something was asked and neither answered nor cancelled. */
  get isBusy(): boolean {
    for (const { isCancelled } of this.#pending.values()) if (!isCancelled) return true
    return false
  }

  /** Says the id, under which it can be cancelled. The answer may be an error. */
  request(step: Step, onAnswer: (trace: Trace) => void): number {
    // In steps that nobody foresees: an answer that tells its id varies by itself.
    const id = (this.#lastId += 1 + Math.floor(Math.random() * 1000))
    const trace: Trace = { progress: [], log: [] }
    this.#pending.set(id, { step, trace, onAnswer, isCancelled: false, isLogged: !this.isBusy })
    for (const pending of this.#pending.values()) if (pending.trace !== trace) pending.isLogged = false
    this.observations.requests++
    this.#say({ id, method: step.method, params: { ...step.params, _meta: { progressToken: id } } })
    return id
  }

  /** No answer is waited for any more. */
  cancel(id: number): void {
    const pending = this.#pending.get(id)
    if (pending === undefined) return
    pending.isCancelled = true
    this.#say({ method: "notifications/cancelled", params: { requestId: id, reason: "the client does not wait" } })
  }

  onLine(line: Line): void {
    const text = line.bytes.toString("utf8", line.start, line.end)
    const message = parse(text)
    if (Array.isArray(message)) for (const one of message) this.#message(one, text)
    else this.#message(message, text)
  }

  onLongLine(line: LongLine): void {
    this.#stray(`a line of ${line.length} bytes`)
  }

  #message(message: unknown, text: string): void {
    if (!isRecord(message) || message["jsonrpc"] !== "2.0") return this.#stray(text)
    const { error, id, method, params, result } = message
    if (typeof method === "string") {
      if (id !== undefined) return this.#question(id, method, isRecord(params) ? params : {})
      return this.#notification(method, isRecord(params) ? params : {}, text)
    }
    if (id === undefined || (result === undefined && error === undefined)) return this.#stray(text)
    this.#answer(id, { result, error }, text)
  }

  #answer(id: unknown, { error, result }: { readonly error: unknown; readonly result: unknown }, text: string): void {
    const pending = typeof id === "number" ? this.#pending.get(id) : undefined
    if (pending === undefined) return keep(this.observations.strange, text)
    this.#pending.delete(id as number)
    this.#answered.add(id as number)
    if (pending.isCancelled) {
      this.observations.answeredAfterCancel++
      return
    }
    if (error === undefined) pending.trace.result = result
    else pending.trace.error = error
    pending.onAnswer(pending.trace)
  }

  #notification(method: string, params: { readonly [key: string]: unknown }, text: string): void {
    if (method === "notifications/progress") return this.#progress(params, text)
    if (method !== "notifications/message") return
    for (const { isCancelled, isLogged, trace } of this.#pending.values()) {
      if (isLogged && !isCancelled && trace.log.length < maxKept) trace.log.push(params)
    }
  }

  #progress({ progressToken, ...told }: { readonly [key: string]: unknown }, text: string): void {
    this.observations.progress++
    const pending = typeof progressToken === "number" ? this.#pending.get(progressToken) : undefined
    if (pending !== undefined) {
      if (pending.trace.progress.length < maxKept) pending.trace.progress.push(told)
    } else if (this.#answered.has(progressToken as number)) this.observations.lateProgress++
    else keep(this.observations.strangeProgress, text)
  }

  /** Nobody sits at either client: a form is declined, and a model has nothing to say. */
  #question(id: unknown, method: string, params: { readonly [key: string]: unknown }): void {
    if (method === "ping") return this.#say({ id, result: {} })
    const during = [...this.#pending.values()]
      .flatMap(({ step }) => (step.name === null ? [] : [{ method: step.method, name: step.name }]))
      .filter(
        ({ method, name }, index, all) => index === all.findIndex((one) => one.method === method && one.name === name)
      )
    const mode = method === "elicitation/create" ? (params["mode"] === "url" ? "url" : "form") : null
    if (this.observations.questions.length < maxKept) this.observations.questions.push({ method, mode, during })
    if (method === "roots/list" && this.#roots !== undefined) return this.#say({ id, result: { roots: this.#roots } })
    if (method === "elicitation/create") return this.#say({ id, result: { action: "decline" } })
    if (method === "sampling/createMessage") {
      const content = { type: "text", text: "I have nothing to say." }
      return this.#say({ id, result: { role: "assistant", content, model: "none", stopReason: "endTurn" } })
    }
    this.#say({ id, error: { code: methodNotFound, message: `no client answers ${method}` } })
  }

  #stray(text: string): void {
    keep(this.observations.stray, text)
  }

  #say(message: object): void {
    this.#write(Buffer.from(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`).toString("latin1"))
  }
}

const keep = (samples: Array<string>, text: string): void => {
  if (samples.length < maxSamples) samples.push(text.slice(0, sampleLength))
}

const isRecord = (value: unknown): value is { readonly [key: string]: unknown } =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Notifications of one request, and questions of one process. */
const maxKept = 1000
const maxSamples = 100
const sampleLength = 200
