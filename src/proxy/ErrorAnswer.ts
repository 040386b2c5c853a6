/** JSON-RPC error objects as typed errors. Pure. */
import { Option, Schema } from "effect"
import { RequestRejected } from "../Connections.ts"
import {
  OutcomeUnknown,
  Overloaded,
  QueueTimeout,
  type RequestError,
  RequestTimeout,
  ResultTooLarge,
  ServerUnavailable
} from "../PoolError.ts"

/** Why a request has no result. */
export type Refused = RequestError | RequestRejected

/** JSON-RPC's internal error. */
export const malformed = -32603

/** What an error answer of a pool's socket means: the pool's own error, or the server's. */
export const refusedBy = (server: string, error: unknown): Refused => {
  const rejected = rejectedBy(server, error)
  return ownError(server, rejected.reason, rejected.data) ?? rejected
}

/** A server's error object as a typed error. */
export const rejectedBy = (server: string, error: unknown): RequestRejected => {
  const decoded = decodeError(error)
  if (Option.isNone(decoded)) {
    return new RequestRejected({ server, code: malformed, reason: "the answer's error is malformed" })
  }
  const { message, ...rest } = decoded.value
  return new RequestRejected({ server, reason: message, ...rest })
}

/** The pool's own error as `PoolError.toWire` wrote it; null where it is another's. Some facts stand in the message alone. */
const ownError = (server: string, message: string, data: unknown): RequestError | null => {
  const decoded = decodeOwn(data)
  if (Option.isNone(decoded) || decoded.value.server !== server) return null
  const { failure, kind, nextAttemptAt = null, state = "unavailable" } = decoded.value
  switch (kind) {
    case "ServerUnavailable": {
      const facts = { server, state, failure: failure?.kind ?? null, nextAttemptAt }
      const plain = new ServerUnavailable({ ...facts, hint: failure?.hint ?? null })
      const hint = failure === undefined ? after(`${plain.message}: `, message) : null
      return hint === null ? plain : new ServerUnavailable({ ...facts, hint })
    }
    case "ResultTooLarge": {
      const maxLine = /\((\d{1,15}) bytes\)$/.exec(message)?.[1]
      return maxLine === undefined ? null : new ResultTooLarge({ server, maxLine: Number(maxLine) })
    }
    case "Overloaded": {
      const { message: prefix } = new Overloaded({ server, reason: "" })
      return new Overloaded({ server, reason: after(prefix, message) ?? message })
    }
    case "OutcomeUnknown":
      return new OutcomeUnknown({ server })
    case "RequestTimeout":
      return new RequestTimeout({ server })
    case "QueueTimeout":
      return new QueueTimeout({ server })
  }
}

const decodeError = Schema.decodeUnknownOption(
  Schema.Struct({ code: Schema.Finite, message: Schema.String, data: Schema.optionalKey(Schema.Unknown) })
)
const decodeOwn = Schema.decodeUnknownOption(
  Schema.Struct({
    kind: Schema.Literals([
      "ServerUnavailable",
      "OutcomeUnknown",
      "RequestTimeout",
      "QueueTimeout",
      "ResultTooLarge",
      "Overloaded"
    ]),
    server: Schema.String,
    state: Schema.optionalKey(Schema.String),
    failure: Schema.optionalKey(
      Schema.Struct({ kind: Schema.String, hint: Schema.optionalKey(Schema.NullOr(Schema.String)) })
    ),
    nextAttemptAt: Schema.optionalKey(Schema.NullOr(Schema.String))
  })
)

const after = (prefix: string, text: string): string | null =>
  text.startsWith(prefix) ? text.slice(prefix.length) : null
