/**
 * What a modern process needs to know before it can answer a legacy client's call: its answer asks for it, the client is
 * asked as its own era has it, and the call is made again with what it said, until the process has enough. To the client
 * all of that is one request.
 *
 * https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/mrtr
 */
import { Line } from "../../lines/LineReader.ts"
import { Envelope } from "../../message/Envelope.ts"
import { internalError } from "../../WireError.ts"
import type { Call, Calls } from "../Calls.ts"
import * as Capabilities from "../Capabilities.ts"
import type { Peer } from "../Peer.ts"
import { maxQuestions, type Questions } from "../Questions.ts"
import * as Reply from "../Reply.ts"
import type { Refusal } from "../Upstream.ts"

export interface InputRequiredOptions {
  readonly process: Peer
  readonly calls: Calls
  readonly questions: Questions
  /** Makes a call again, under another id, with these members in its params: JSON text. */
  readonly again: (call: Call, id: number, line: Line, envelope: Envelope, members: string) => void
  /** Ends a call, which the process does not hold any more. */
  readonly fail: (call: Call, refusal: Refusal) => void
}

/** A call whose client is being asked. */
interface Round {
  readonly call: Call
  readonly answers: Map<string, unknown>
  readonly requestState: unknown
  readonly takeBack: Array<() => void>
  /** Questions without an answer. */
  left: number
}

export class InputRequired {
  readonly #options: InputRequiredOptions
  readonly #rounds = new Map<number, Round>()
  readonly #envelope = new Envelope()

  constructor(options: InputRequiredOptions) {
    this.#options = options
  }

  /** The process has answered the call under this id: true where that is only what it needs to know. */
  takes(id: number, call: Call, line: Line): boolean {
    if (!mayAsk.has(call.method) || !line.bytes.subarray(line.start, line.end).includes(mark)) return false
    const result = resultOf(line)
    if (result?.["resultType"] !== "input_required") return false
    const { calls } = this.#options
    // It stays in flight: the next id first, so that the process is not idle in between.
    const next = calls.add(call)
    calls.take(id)
    this.#ask(next, call, result)
    return true
  }

  /** Nobody waits for the call any more: true where the process does not hold it either. */
  abandoned(id: number): boolean {
    const round = this.#rounds.get(id)
    if (round === undefined) return false
    this.#rounds.delete(id)
    this.#options.calls.takeAbandoned(id)
    for (const takeBack of round.takeBack) takeBack()
    return true
  }

  /** The process has ended, or is being ended. */
  end(): void {
    this.#rounds.clear()
  }

  #ask(id: number, call: Call, result: { readonly [key: string]: unknown }): void {
    const { inputRequests, requestState } = result
    const questions = Object.entries(isRecord(inputRequests) ? inputRequests : {})
    const round: Round = { call, answers: new Map(), requestState, takeBack: [], left: questions.length }
    this.#rounds.set(id, round)
    if (call.sent === null) return this.#fail(id, "the request is too long to be made again with what the server asks")
    if (++call.rounds > maxRounds) return this.#fail(id, `the server has asked ${maxRounds} times, and asks again`)
    if (questions.length > maxQuestions) {
      return this.#fail(id, `the server asks more than ${maxQuestions} questions at once`)
    }
    for (const [, question] of questions) {
      const refusal = refusalOf(call, question)
      if (refusal !== null) return this.#fail(id, refusal)
    }
    const { process } = this.#options
    const { member } = call
    for (const [key, question] of questions) {
      // The cast: `refusalOf` has looked.
      const { method, params } = question as { readonly method: string; readonly params?: unknown }
      const asked = { process, member, client: call.client }
      const take = (answer: Line | null) => this.#answered(id, round, key, answer)
      round.takeBack.push(this.#options.questions.put(asked, method, isRecord(params) ? params : {}, take))
    }
    if (questions.length === 0) this.#again(id, round)
  }

  #answered(id: number, round: Round, key: string, answer: Line | null): void {
    // Its client is gone, and the call with it; or the round is over.
    if (answer === null || this.#rounds.get(id) !== round) return
    const { error, result } = messageOf(answer)
    if (isRecord(error)) {
      const { code, message } = error
      const text = `the client did not answer what the server asked: ${typeof message === "string" ? message : "an error"}`
      return this.#fail(id, text, typeof code === "number" ? code : internalError)
    }
    round.answers.set(key, result)
    if (--round.left === 0) this.#again(id, round)
  }

  #again(id: number, { answers, call, requestState }: Round): void {
    this.#rounds.delete(id)
    const line = Line.of(Buffer.from(call.sent ?? "", "latin1"))
    this.#envelope.scan(line.bytes, line.start, line.end)
    const members = [
      ...(answers.size === 0 ? [] : [`"inputResponses":${Reply.json(Object.fromEntries(answers))}`]),
      ...(typeof requestState === "string" ? [`"requestState":${Reply.json(requestState)}`] : [])
    ]
    this.#options.again(call, id, line, this.#envelope, members.join(","))
  }

  #fail(id: number, message: string, code: number = internalError): void {
    const { calls, fail } = this.#options
    const round = this.#rounds.get(id)!
    this.#rounds.delete(id)
    for (const takeBack of round.takeBack) takeBack()
    if (calls.take(id) !== undefined) fail(round.call, { code, message })
  }
}

/** Why a client is not asked this; null where it can be. */
const refusalOf = ({ client }: Call, question: unknown): string | null => {
  if (!isRecord(question) || typeof question["method"] !== "string") return "the server asks what is no question"
  const { method, params } = question
  if (method === "roots/list") {
    return client.capabilities.roots ? null : "the client of this call did not declare roots"
  }
  return Capabilities.refusal(client.capabilities, method, params)?.message ?? null
}

const messageOf = (line: Line): { readonly [key: string]: unknown } =>
  JSON.parse(line.bytes.toString("utf8", line.start, line.end)) as { readonly [key: string]: unknown }

const resultOf = (line: Line): { readonly [key: string]: unknown } | undefined => {
  try {
    const { result } = messageOf(line)
    return isRecord(result) ? result : undefined
  } catch {
    return undefined
  }
}

const isRecord = (value: unknown): value is { readonly [key: string]: unknown } =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** What may be answered with a question. */
export const mayAsk: ReadonlySet<string> = new Set(["tools/call", "prompts/get", "resources/read"])
/** Without this an answer is no question; with it, it has to be read. */
export const mark = '"input_required"'
/** Of one call. */
const maxRounds = 32
