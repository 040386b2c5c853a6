/**
 * The account of a pool's calls: each is counted under the name by which its client came, and told of when it has ended.
 * Plain synchronous code; lives as long as the pool, whichever servers, processes and sharings it has meanwhile.
 */
import * as CallOutcome from "../CallOutcome.ts"
import type { Line } from "../lines/LineReader.ts"
import { type Envelope, Key } from "../message/Envelope.ts"
import { nameOf } from "../message/Words.ts"
import type { RequestError } from "../PoolError.ts"
import type { Call } from "./Calls.ts"
import { Traffic } from "./Traffic.ts"
import type { Client } from "./Upstream.ts"

/** A client's request that has ended. Its names are the client's own words: any text of any length. */
export interface EndedCall {
  readonly client: Client
  readonly method: string
  /** Or the prompt; null where it names none. */
  readonly tool: string | null
  /** When it came, in milliseconds since the epoch. */
  readonly since: number
  readonly millis: number
  readonly outcome: CallOutcome.CallOutcome
  readonly requestBytes: number
  /** Of the server's answer; 0 where it gave none. */
  readonly answerBytes: number
}

export class CallAccount {
  readonly #onCall: ((call: EndedCall) => void) | undefined
  readonly #traffic = new Map<string, Traffic>()

  /** `onCall` is told of each call that has ended; it costs nothing where it is not there. */
  constructor(onCall?: (call: EndedCall) => void) {
    this.#onCall = onCall
  }

  /** What the calls under a server's name came to. */
  trafficOf(name: string): Traffic {
    let traffic = this.#traffic.get(name)
    if (traffic === undefined) this.#traffic.set(name, (traffic = new Traffic()))
    return traffic
  }

  /**
   * A call has ended: said before its client is told. `answerBytes` are those of the server's answer, 0 where it gave none;
   * `now` is in milliseconds since the epoch.
   */
  end(call: Call, outcome: CallOutcome.CallOutcome, answerBytes: number, now: number): void {
    const millis = Math.max(0, now - call.since)
    call.traffic.end(outcome, millis, answerBytes)
    if (this.#onCall === undefined) return
    const { bytes: requestBytes, client, method, name, since } = call
    const tool = method === readsResource ? null : name
    this.#onCall({ client, method, tool, since, millis, outcome, requestBytes, answerBytes })
  }

  /** A call ends without an answer: its client knows, or is told elsewhere. */
  drop(call: Call, outcome: CallOutcome.CallOutcome): void {
    this.end(call, outcome, 0, Date.now())
  }

  /** A call that no process has seen goes elsewhere, where it counts from its beginning. */
  withdraw({ bytes, traffic }: Call): void {
    traffic.withdraw(bytes)
  }

  /** A name is no server's any more. */
  forget(name: string): void {
    this.#traffic.delete(name)
  }

  /** A call ends with one of the pool's own errors, which its client is told; says which outcome that is. */
  fail(call: Call, error: RequestError): CallOutcome.CallOutcome {
    const outcome = CallOutcome.ofError(error)
    this.drop(call, outcome)
    call.client.fail(call.id, error)
    return outcome
  }

  /** A request that goes nowhere: it begins and ends at once. */
  refuse(client: Client, line: Line, envelope: Envelope, method: string, error: RequestError): void {
    const outcome = CallOutcome.ofError(error)
    const requestBytes = line.end - line.start
    const traffic = this.trafficOf(client.server)
    traffic.begin(requestBytes)
    traffic.end(outcome, 0, 0)
    if (this.#onCall !== undefined) {
      const tool = method === readsResource ? null : nameOf(line, envelope)
      this.#onCall({ client, method, tool, since: Date.now(), millis: 0, outcome, requestBytes, answerBytes: 0 })
    }
    client.fail(line.copy(envelope.start[Key.id]!, envelope.end[Key.id]!), error)
  }
}

/** What it names is no tool. */
const readsResource = "resources/read"
