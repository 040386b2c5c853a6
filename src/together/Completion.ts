/** What a request for completions is about. Pure. */
import type { Line } from "../lines/LineReader.ts"
import { type Envelope, Key } from "../message/Envelope.ts"
import * as Reply from "../mux/Reply.ts"

/** A prompt by its shown name, or a resource by its URI or template; null where the request says neither. */
export const of = (line: Line): { readonly prompt: string } | { readonly uri: string } | null => {
  const { params } = JSON.parse(line.bytes.toString("utf8", line.start, line.end)) as {
    readonly params?: { readonly ref?: { readonly name?: unknown; readonly uri?: unknown } | null } | null
  }
  const { name, uri } = params?.ref ?? {}
  if (typeof name === "string") return { prompt: name }
  return typeof uri === "string" ? { uri } : null
}

/** The params of the request with another name for the prompt, as JSON text. */
export const paramsFor = (line: Line, envelope: Envelope, name: string): string => {
  const text = line.bytes.toString("utf8", envelope.start[Key.params], envelope.end[Key.params])
  const params = JSON.parse(text) as { readonly ref: object }
  return Reply.json({ ...params, ref: { ...params.ref, name } })
}
