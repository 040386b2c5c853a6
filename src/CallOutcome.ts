/** How a call ended, in one word: the same in metrics, in the audit file, in spans and in the log. Pure. */
import type { RequestError } from "./PoolError.ts"

/** Every word, for a client's request to a server. */
export const callOutcomes = [
  /** The server gave a result. */
  "ok",
  /** The server gave a result that says that the tool failed (`isError`). */
  "tool-error",
  /** The server answered with a JSON-RPC error. */
  "rejected",
  /** There was no process, and none was coming. */
  "unavailable",
  /** The process ended while it held the call. */
  "outcome-unknown",
  /** No process was there in time; it was not sent. */
  "queue-timeout",
  /** The server did not answer in time. */
  "request-timeout",
  /** The result was longer than `maxLine`. */
  "result-too-large",
  /** Too much was waiting; it was not sent. */
  "overloaded",
  /** Its client cancelled it, or left. */
  "cancelled"
] as const
/** One of them. */
export type CallOutcome = (typeof callOutcomes)[number]

/** Whether the server has answered. */
export const isAnswer = (outcome: CallOutcome): boolean =>
  outcome === "ok" || outcome === "tool-error" || outcome === "rejected"

/** Of one of the pool's own errors. */
export const ofError = ({ _tag }: RequestError): CallOutcome => byTag[_tag]

const byTag: { readonly [Tag in RequestError["_tag"]]: CallOutcome } = {
  ServerUnavailable: "unavailable",
  OutcomeUnknown: "outcome-unknown",
  QueueTimeout: "queue-timeout",
  RequestTimeout: "request-timeout",
  ResultTooLarge: "result-too-large",
  Overloaded: "overloaded"
}
