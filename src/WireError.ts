/** Errors as they go over the wire: JSON-RPC's codes and the pool's own, and what a client is told. Pure. */
import type {
  ConfigFileError,
  ProjectNotTrusted,
  QuestionNotAttributable,
  RequestError,
  ServerNotFound
} from "./PoolError.ts"

/** JSON-RPC's own codes (https://www.jsonrpc.org/specification#error_object). */
export const parseError = -32700
/** What was sent is no request. */
export const invalidRequest = -32600
/** The method does not exist. */
export const methodNotFound = -32601
/** The method takes no such parameters, or there is no such tool. */
export const invalidParams = -32602

/** The pool's own, for what should not happen. */
export const internalError = 31099

/** The pool's own codes: outside the ranges that JSON-RPC and MCP reserve. */
const codes: { readonly [Tag in (RequestError | QuestionNotAttributable)["_tag"]]: number } = {
  ServerUnavailable: 31001,
  OutcomeUnknown: 31002,
  RequestTimeout: 31003,
  QueueTimeout: 31004,
  ResultTooLarge: 31005,
  Overloaded: 31006,
  QuestionNotAttributable: 31007
}

/**
 * A JSON-RPC error object as JSON text. All that `data` tells is the error's own fields: never stderr, arguments or an
 * environment. `proxy/ErrorAnswer.ts` reads it back.
 */
export const toWire = (error: RequestError | QuestionNotAttributable): string =>
  JSON.stringify({
    code: codes[error._tag],
    message: error.message,
    data: { kind: error._tag, server: error.server, ...factsOf(error) }
  })

/** What a client is told beside kind and server. */
const factsOf = (error: RequestError | QuestionNotAttributable): object => {
  switch (error._tag) {
    case "ServerUnavailable": {
      const { failure, hint, nextAttemptAt, state } = error
      if (failure !== null) return { state, failure: { kind: failure, hint }, nextAttemptAt }
      return hint === null ? { state } : { state, hint }
    }
    case "ResultTooLarge":
      return { maxLine: error.maxLine }
    case "Overloaded":
    case "QuestionNotAttributable":
      return { reason: error.reason }
    default:
      return {}
  }
}

/** Why `connect` gets no session with a server. */
export type OpenError = ServerNotFound | ConfigFileError | ProjectNotTrusted

/** What `connect` is told of an error: under which kind and code a host sees it, and what `connect` exits with. */
export const toRefusal = (
  error: OpenError
): { readonly kind: string; readonly code: number; readonly message: string; readonly exitCode: number } => ({
  kind: error._tag,
  code: codes.ServerUnavailable,
  message: error.message,
  exitCode: refusalExitCodes[error._tag]
})

/** Those of the command line: 2 where a configuration is to be mended, 4 where a server is not to be had. */
const refusalExitCodes: { readonly [Tag in OpenError["_tag"]]: number } = {
  ServerNotFound: 4,
  ConfigFileError: 2,
  ProjectNotTrusted: 4
}
