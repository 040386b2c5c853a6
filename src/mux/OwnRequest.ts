/**
 * Requests that this process makes itself, as lines that an upstream takes: what it reads of them is known while they are
 * written, so that most need no scan. Pure.
 */
import { Line } from "../lines/LineReader.ts"
import { type Envelope, Key } from "../message/Envelope.ts"

/** A request as a line; of the envelope, jsonrpc, id, method, params, name and token are set as a scan would. */
export const write = (envelope: Envelope, id: number, method: string, params: object): Line => {
  const idText = String(id)
  const methodText = JSON.stringify(method)
  const content = JSON.stringify(params)
  const text = `${opening}"2.0"${beforeId}${idText}${beforeMethod}${methodText}${beforeParams}${content}}`
  if (text.length > shortLine || Buffer.byteLength(text) !== text.length) return scanned(envelope, text)
  const nameEnd = endOfName(content)
  if (nameEnd === null) return scanned(envelope, text)
  const { end, start } = envelope
  start.fill(-1)
  envelope.irregular = false
  let at = opening.length
  start[Key.jsonrpc] = at
  end[Key.jsonrpc] = at += 5
  start[Key.id] = at += beforeId.length
  end[Key.id] = at += idText.length
  start[Key.method] = at += beforeMethod.length
  end[Key.method] = at += methodText.length
  start[Key.params] = at += beforeParams.length
  end[Key.params] = at + content.length
  if (nameEnd > 0) {
    start[Key.name] = at + beforeName.length
    end[Key.name] = at + nameEnd
  }
  return Line.ofText(text)
}

const scanned = (envelope: Envelope, text: string): Line => {
  const line = Line.of(Buffer.from(text))
  // Short lines go on as text: many of them become one write.
  if (line.end <= shortLine) line.text = line.bytes.toString("latin1")
  envelope.scan(line.bytes, line.start, line.end)
  return line
}

/** Where the name that params begin with ends; 0 where they have none and no token; null where only a scan can tell. */
const endOfName = (params: string): number | null => {
  if (params.includes('"_meta"')) return null
  if (!params.startsWith(`${beforeName}"`)) return params.includes('"name"') ? null : 0
  const quote = params.indexOf('"', beforeName.length + 1)
  return params[quote - 1] === "\\" ? null : quote + 1
}

const opening = '{"jsonrpc":'
const beforeId = ',"id":'
const beforeMethod = ',"method":'
const beforeParams = ',"params":'
const beforeName = '{"name":'
/** Bytes, as `LineReader` has it. */
const shortLine = 64 * 1024
