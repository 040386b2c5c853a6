/** What a client sends that no server would answer: it is told so. Pure. */
import type { Line, LongLine } from "../lines/LineReader.ts"
import { type Envelope, Key, maxBatch } from "../message/Envelope.ts"
import { invalidParams, invalidRequest } from "../WireError.ts"
import type { Refusal } from "./Upstream.ts"

export const notAMessage: Refusal = { code: invalidRequest, message: "this is not a JSON-RPC message" }

export const batchEmpty: Refusal = { code: invalidRequest, message: "the batch is empty" }

export const batchTooLong: Refusal = {
  code: invalidRequest,
  message: `the batch has more than ${maxBatch} messages`
}

/** Of a line that is no object and no array. */
export const isJson = (line: Line): boolean => {
  try {
    JSON.parse(line.bytes.toString("utf8", line.start, line.end))
    return true
  } catch {
    return false
  }
}

/** What a server would silently ignore, and leave its client waiting for. */
export const of = (line: Line, envelope: Envelope): Refusal | null => {
  const { bytes } = line
  if (!envelope.has(Key.jsonrpc) || line.copy(envelope.start[Key.jsonrpc]!, envelope.end[Key.jsonrpc]!) !== '"2.0"') {
    return { code: invalidRequest, message: 'a message needs "jsonrpc":"2.0"' }
  }
  if (bytes[envelope.start[Key.method]!] !== quote) return { code: invalidRequest, message: "method must be a string" }
  if (envelope.has(Key.params) && bytes[envelope.start[Key.params]!] !== brace) {
    return { code: invalidParams, message: "params must be an object" }
  }
  return null
}

/** The id of a request that is too long, where its head or tail shows one, as JSON text. */
export const idOf = (line: LongLine): string | undefined => {
  const head =
    /^\s*\{\s*(?:"(?:jsonrpc|method)"\s*:\s*"[^"\\]{0,128}"\s*,\s*){0,2}"id"\s*:\s*(\d+|"[^"\\]{0,128}")\s*,/.exec(
      line.head.toString("latin1")
    )
  const tail = /,\s*"id"\s*:\s*(\d+|"[^"\\]{0,128}")\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$/.exec(
    line.tail.toString("latin1")
  )
  return head?.[1] ?? tail?.[1]
}

/** Of a line that is longer than `maxLine`, in bytes. */
export const tooLong = ({ length }: LongLine, maxLine: number): Refusal => ({
  code: invalidRequest,
  message: `the line of ${length} bytes is longer than maxLine (${maxLine} bytes)`
})

const quote = 0x22
const brace = 0x7b
