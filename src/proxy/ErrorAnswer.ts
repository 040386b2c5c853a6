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
  return ownError(server, rejected.data) ?? rejected
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

/** The pool's own error as `WireError.toWire` wrote it; null where it is another's. */
const ownError = (server: string, data: unknown): RequestError | null => {
  const own = Option.getOrNull(decodeOwn(data))
  if (own === null || own.server !== server) return null
  switch (own.kind) {
    case "ServerUnavailable": {
      const { failure, hint = null, nextAttemptAt = null, state } = own
      const told = { server, state, nextAttemptAt }
      return failure === undefined
        ? new ServerUnavailable({ ...told, failure: null, hint })
        : new ServerUnavailable({ ...told, failure: failure.kind, hint: failure.hint })
    }
    case "ResultTooLarge":
      return new ResultTooLarge({ server, maxLine: own.maxLine })
    case "Overloaded":
      return new Overloaded({ server, reason: own.reason })
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
const server = Schema.String
const decodeOwn = Schema.decodeUnknownOption(
  Schema.Union([
    Schema.Struct({
      kind: Schema.Literal("ServerUnavailable"),
      server,
      state: Schema.String,
      failure: Schema.optionalKey(Schema.Struct({ kind: Schema.String, hint: Schema.NullOr(Schema.String) })),
      hint: Schema.optionalKey(Schema.String),
      nextAttemptAt: Schema.optionalKey(Schema.NullOr(Schema.String))
    }),
    Schema.Struct({ kind: Schema.Literal("ResultTooLarge"), server, maxLine: Schema.Int }),
    Schema.Struct({ kind: Schema.Literal("Overloaded"), server, reason: Schema.String }),
    Schema.Struct({ kind: Schema.Literals(["OutcomeUnknown", "RequestTimeout", "QueueTimeout"]), server })
  ])
)
