/** A request with another value for one key, and its envelope with it. Pure. */
import { Line } from "../lines/LineReader.ts"
import type { Envelope, Key } from "../message/Envelope.ts"

/** The line with `text`, latin-1 JSON text, as the value of a key that it has; the envelope is the new line's from here on. */
export const replaced = (line: Line, envelope: Envelope, key: Key, text: string): Line => {
  const from = envelope.start[key]!
  const to = envelope.end[key]!
  const next = line.text === null ? bytesOf(line, from, to, text) : textOf(line.text, line, from, to, text)
  shift(envelope, to, line.start, text.length - (to - from))
  return next
}

const textOf = (whole: string, { end, start }: Line, from: number, to: number, text: string): Line =>
  Line.ofText(whole.slice(start, from) + text + whole.slice(to, end))

const bytesOf = ({ bytes, end, start }: Line, from: number, to: number, text: string): Line =>
  Line.of(Buffer.concat([bytes.subarray(start, from), Buffer.from(text, "latin1"), bytes.subarray(to, end)]))

/** What stands behind `to` has moved by `delta`, and all of it by what stood before the line. */
const shift = ({ end, start }: Envelope, to: number, base: number, delta: number): void => {
  for (let key = 0; key < start.length; key++) {
    const at = start[key]!
    if (at < 0) continue
    start[key] = (at >= to ? at + delta : at) - base
    const last = end[key]!
    end[key] = (last >= to ? last + delta : last) - base
  }
}
