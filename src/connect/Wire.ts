/**
 * The messages that `connect` writes itself, as ASCII lines. The codes are those of `PoolError.ts`, which would bring Effect
 * along; a test holds them to it.
 */

import { escaped } from "../ascii.ts"

/** The error object of an answer. */
export interface Failure {
  readonly code: number
  readonly message: string
  readonly data: { readonly kind: string; readonly server: string }
}

/** Nobody can be asked now. */
export const unavailable = (server: string, message: string): Failure => ({
  code: 31001,
  message,
  data: { kind: "ServerUnavailable", server }
})

/** The daemon ended while it held the request. */
export const outcomeUnknown = (server: string): Failure => ({
  code: 31002,
  message: `the daemon ended while it held this request for server "${server}": it may have run, or not`,
  data: { kind: "OutcomeUnknown", server }
})

/** The answer is longer than `connect` passes on. */
export const resultTooLarge = (server: string, maxLine: number): Failure & { readonly data: { maxLine: number } } => ({
  code: 31005,
  message: `the result of server "${server}" is longer than ${maxLine} bytes`,
  data: { kind: "ResultTooLarge", server, maxLine }
})

/** JSON-RPC's own, for a request that is longer than `connect` passes on. */
export const tooLong = (length: number, maxLine: number): { readonly code: number; readonly message: string } => ({
  code: -32600,
  message: `the line of ${length} bytes is longer than ${maxLine} bytes`
})

/** A line; `id` and `error` are JSON text. */
export const error = (id: string, error: string): string => `{"jsonrpc":"2.0","id":${id},"error":${error}}\n`

/** A line; `id` is JSON text. */
export const failure = (id: string, error: { readonly code: number; readonly message: string }): string =>
  `{"jsonrpc":"2.0","id":${id},"error":${json(error)}}\n`

/** A line, the end of a `subscriptions/listen`; `id` is JSON text. */
export const listenedTo = (id: string): string =>
  `{"jsonrpc":"2.0","id":${id},"result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":${id}}}}\n`

/** A line; `id` and `params` are JSON text. */
export const request = (id: string, method: string, params?: string): string =>
  params === undefined
    ? `{"jsonrpc":"2.0","id":${id},"method":"${method}"}\n`
    : `{"jsonrpc":"2.0","id":${id},"method":"${method}","params":${params}}\n`

/** A line; `params` is JSON text. */
export const notification = (method: string, params?: string): string =>
  params === undefined
    ? `{"jsonrpc":"2.0","method":"${method}"}\n`
    : `{"jsonrpc":"2.0","method":"${method}","params":${params}}\n`

/** The method that says that a list, of this method, has changed. */
export const listChanged = (method: string): string => `notifications/${method.split("/")[0]}/list_changed`

/** JSON text in ASCII, so that it may stand among the latin-1 text of lines. */
export const json = (value: unknown): string => escaped(JSON.stringify(value))
