/** Lines with another id or token, put together from their own pieces. Pure. */
import type { Line } from "../lines/LineReader.ts"
import { type Envelope, Key } from "../message/Envelope.ts"

/** Where the pieces of a line go, its line feed last. */
export interface Sink {
  readonly push: (piece: string | Buffer) => void
}

/** The line as it is. */
export const whole = (out: Sink, line: Line): void => {
  out.push(line.cut(line.start, line.end))
  out.push("\n")
}

/** The line with `value`, JSON text, for one key. */
export const one = (out: Sink, line: Line, envelope: Envelope, key: Key, value: string): void => {
  out.push(line.cut(line.start, envelope.start[key]!))
  out.push(value)
  out.push(line.cut(envelope.end[key]!, line.end))
  out.push("\n")
}

/** The line with `id` for its id, and for its progress token where it has one. */
export const request = (out: Sink, line: Line, envelope: Envelope, id: number): void => {
  const value = String(id)
  if (!envelope.has(Key.token)) return one(out, line, envelope, Key.id, value)
  const isIdFirst = envelope.start[Key.id]! < envelope.start[Key.token]!
  const first = isIdFirst ? Key.id : Key.token
  const second = isIdFirst ? Key.token : Key.id
  out.push(line.cut(line.start, envelope.start[first]!))
  out.push(value)
  out.push(line.cut(envelope.end[first]!, envelope.start[second]!))
  out.push(value)
  out.push(line.cut(envelope.end[second]!, line.end))
  out.push("\n")
}

/** A line in pieces with `value` for the bytes from `from` to `to`, which one piece holds. */
export const pieces = (out: Sink, line: ReadonlyArray<Buffer>, from: number, to: number, value: string): void => {
  let offset = 0
  for (const piece of line) {
    const end = offset + piece.length
    if (from < offset || from >= end) out.push(piece)
    else {
      out.push(piece.subarray(0, from - offset))
      out.push(value)
      out.push(piece.subarray(to - offset))
    }
    offset = end
  }
  out.push("\n")
}
