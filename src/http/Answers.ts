/** Answers of HTTP that carry no server's message. */
import type { ServerResponse } from "node:http"
import { json } from "../mux/Reply.ts"

/** A message in a body: latin-1 text, or bytes. */
export type Message = string | Buffer

/** Answers with JSON. */
export const sendJson = (
  response: ServerResponse,
  status: number,
  message: Message,
  headers: ReadonlyArray<string> = []
): void => {
  response.writeHead(status, ["content-type", "application/json", "content-length", String(message.length), ...headers])
  if (typeof message === "string") response.end(message, "latin1")
  else response.end(message)
}

/** Refuses a request, in words for a person; `code` is the JSON-RPC error's. */
export const refuse = (
  response: ServerResponse,
  status: number,
  error: { readonly code: number; readonly message: string; readonly data?: unknown },
  headers: ReadonlyArray<string> = []
): void => {
  if (response.headersSent || response.destroyed) return
  sendJson(response, status, `{"jsonrpc":"2.0","id":null,"error":${json(error)}}`, headers)
}

/** Takes what needs no answer. */
export const accept = (response: ServerResponse, status: 200 | 202): void => {
  response.writeHead(status, ["content-length", "0"])
  response.end()
}
