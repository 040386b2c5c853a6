/** Lines with more in them than they came with, put together from their own pieces. Pure. */
import type { Line } from "../../lines/LineReader.ts"
import { type Envelope, Key } from "../../message/Envelope.ts"
import type { Sink } from "../Splice.ts"

/** Text in place of the bytes from `from` to `to`, as offsets into a line. */
export interface Edit {
  readonly from: number
  readonly to: number
  /** Latin-1. */
  readonly text: string
}

/** The line with its edits, which do not overlap. */
export const write = (out: Sink, line: Line, edits: ReadonlyArray<Edit>): void => {
  let at = line.start
  for (const { from, text, to } of [...edits].sort((a, b) => a.from - b.from)) {
    if (from > at) out.push(line.cut(at, from))
    out.push(text)
    at = to
  }
  if (line.end > at) out.push(line.cut(at, line.end))
  out.push("\n")
}

/** The same of a line in pieces; each edit is within one of them. */
export const writePieces = (out: Sink, pieces: ReadonlyArray<Buffer>, edits: ReadonlyArray<Edit>): void => {
  const sorted = [...edits].sort((a, b) => a.from - b.from)
  let offset = 0
  for (const piece of pieces) {
    let at = offset
    const end = offset + piece.length
    for (let edit = sorted[0]; edit !== undefined && edit.from < end; edit = sorted[0]) {
      sorted.shift()
      if (edit.from > at) out.push(piece.subarray(at - offset, edit.from - offset))
      out.push(edit.text)
      at = edit.to
    }
    if (at === offset) out.push(piece)
    else if (end > at) out.push(piece.subarray(at - offset))
    offset = end
  }
  out.push("\n")
}

/** Another id, and that for its progress token too, where a request has one. */
export const ids = (envelope: Envelope, id: number): ReadonlyArray<Edit> => {
  const text = String(id)
  const edit = (key: Key) => ({ from: envelope.start[key]!, to: envelope.end[key]!, text })
  return envelope.has(Key.token) ? [edit(Key.id), edit(Key.token)] : [edit(Key.id)]
}

/** A request with these members in its `_meta`, where they hold whatever it says there, and with `others` in its params. */
export const params = (line: Line, envelope: Envelope, meta: string, others: string = ""): ReadonlyArray<Edit> => {
  const rest = others === "" ? "" : `,${others}`
  if (!envelope.has(Key.params)) {
    const at = envelope.end[Key.method]!
    return [{ from: at, to: at, text: `,"params":{"_meta":{${meta}}${rest}}` }]
  }
  const end = envelope.end[Key.params]! - 1
  if (!envelope.has(Key.meta)) {
    const text = `"_meta":{${meta}}${rest}`
    return [{ from: end, to: end, text: isEmpty(line, envelope, Key.params) ? text : `,${text}` }]
  }
  const inParams = rest === "" ? [] : [{ from: end, to: end, text: rest }]
  const from = envelope.start[Key.meta]!
  const to = envelope.end[Key.meta]!
  if (line.bytes[from] !== brace) return [{ from, to, text: `{${meta}}` }, ...inParams]
  // The last of two keys is the one that counts.
  const text = isEmpty(line, envelope, Key.meta) ? meta : `,${meta}`
  return [{ from: to - 1, to: to - 1, text }, ...inParams]
}

/** The same, written. */
export const members = (value: { readonly [key: string]: unknown }, json: (value: unknown) => string): string =>
  json(value).slice(1, -1)

const isEmpty = (line: Line, envelope: Envelope, key: Key): boolean => {
  for (let i = envelope.start[key]! + 1; i < envelope.end[key]! - 1; i++) if (line.bytes[i]! > space) return false
  return true
}

const brace = 0x7b
const space = 0x20
