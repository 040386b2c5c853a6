/** The body of a request, read within a bound. */
import type { IncomingMessage } from "node:http"

/** Reads it; where it is longer than `max`, `onTooLong` is called in place of `onBody`, and the rest is not kept. */
export const read = (
  request: IncomingMessage,
  max: number,
  onBody: (body: Buffer) => void,
  onTooLong: () => void
): void => {
  let first: Buffer | null = null
  let others: Array<Buffer> | null = null
  let size = 0
  request.on("data", (chunk: Buffer) => {
    if (size > max) return
    size += chunk.length
    if (size > max) {
      first = others = null
      onTooLong()
    } else if (first === null) first = chunk
    else (others ??= [first]).push(chunk)
  })
  request.on("end", () => {
    if (size <= max) onBody(others === null ? (first ?? empty) : Buffer.concat(others))
  })
  // Its client has gone: nothing of it is taken.
  request.on("error", () => {})
}

/** The body as one line: in JSON, line ends are spaces. */
export const onOneLine = (body: Buffer): Buffer => {
  if (!body.includes(lineFeed) && !body.includes(carriageReturn)) return body
  const line = Buffer.from(body)
  for (let i = 0; i < line.length; i++) if (line[i] === lineFeed || line[i] === carriageReturn) line[i] = space
  return line
}

const empty = Buffer.alloc(0)
const lineFeed = 0x0a
const carriageReturn = 0x0d
const space = 0x20
