/** Answers of HTTP that carry no server's message. */
import type { ServerResponse } from "node:http"
import { json } from "../mux/Reply.ts"

/** A message: latin-1 text, or a long one in the pieces in which it came. */
export type Message = string | LongMessage

/** Pieces of a message; strings are latin-1. */
export interface LongMessage {
  readonly pieces: ReadonlyArray<string | Buffer>
  /** Bytes. */
  readonly length: number
}

/** Answers with JSON. */
export const sendJson = (
  response: ServerResponse,
  status: number,
  message: Message,
  headers: ReadonlyArray<string> = []
): void => {
  response.writeHead(status, ["content-type", "application/json", "content-length", String(message.length), ...headers])
  if (typeof message === "string") return void response.end(message, "latin1")
  writePieces(response, message)
  response.end()
}

/** Writes a long message as it is. */
export const writePieces = (response: ServerResponse, { pieces }: LongMessage): void => {
  response.cork()
  for (const piece of pieces) {
    if (typeof piece === "string") response.write(piece, "latin1")
    else response.write(piece)
  }
  response.uncork()
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
