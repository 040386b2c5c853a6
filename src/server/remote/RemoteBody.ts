/** The bodies of a remote server's answers, and who gets the messages in them. */
import type { IncomingMessage } from "node:http"
import { Line, LineReader, type LineReceiver } from "../../lines/LineReader.ts"
import type { Receiver } from "../Transport.ts"

export interface InboxOptions {
  /** Bytes of one message. */
  readonly maxLine: number
  /** Bytes of all messages together that have begun and not ended: beyond that one alone is read on. */
  readonly maxHeld: number
  readonly receiver: Receiver
  readonly onHeard: () => void
}

/** All answers that hold messages go through here: they wait while no more are wanted, or too many are there in parts. */
export class Inbox {
  readonly maxLine: number
  readonly receiver: Receiver
  readonly #options: InboxOptions
  /** Each with the bytes that are kept of a message that has begun. */
  readonly #open = new Map<IncomingMessage, number>()
  #held = 0
  #isCrowded = false
  #isPaused = false

  constructor(options: InboxOptions) {
    this.#options = options
    this.maxLine = options.maxLine
    this.receiver = options.receiver
  }

  pause(): void {
    this.#isPaused = true
    this.#flow()
  }

  resume(): void {
    this.#isPaused = false
    this.#flow()
  }

  /**
   * Reads a body; `onChunk` says how many bytes it keeps of a message that has begun. `onEnd` is called once, and says
   * whether all of it has come.
   */
  read(response: IncomingMessage, onChunk: (chunk: Buffer) => number, onEnd: (isWhole: boolean) => void): void {
    this.#open.set(response, 0)
    response.on("data", (chunk: Buffer) => {
      this.#options.onHeard()
      this.#keep(response, onChunk(chunk))
    })
    // Its end tells the story.
    response.on("error", () => {})
    response.once("close", () => {
      this.#keep(response, 0)
      this.#open.delete(response)
      onEnd(response.complete)
    })
    if (this.#isPaused || this.#isCrowded) response.pause()
  }

  #keep(response: IncomingMessage, held: number): void {
    const before = this.#open.get(response)
    if (before === undefined || before === held) return
    this.#open.set(response, held)
    this.#held += held - before
    const wasCrowded = this.#isCrowded
    this.#isCrowded = this.#held > this.#options.maxHeld
    if (wasCrowded || this.#isCrowded) this.#flow()
  }

  /** Where there is much, the largest goes on: it is nearest to its end, or to where nothing of it is kept any more. */
  #flow(): void {
    let first: IncomingMessage | null = null
    let most = -1
    for (const [response, held] of this.#open) {
      if (held > most) {
        first = response
        most = held
      }
    }
    for (const response of this.#open.keys()) {
      if (this.#isPaused || (this.#isCrowded && response !== first)) response.pause()
      else response.resume()
    }
  }

  /** Reads a body that is one message, or a batch. */
  readJson(response: IncomingMessage, receiver: LineReceiver, onEnd: (isWhole: boolean) => void): void {
    const { maxLine } = this
    let first: Buffer | null = null
    let lines: LineReader | null = null
    this.read(
      response,
      (chunk) => {
        if (first === null && lines === null) {
          first = chunk
          return 0
        }
        if (lines === null) {
          lines = new LineReader({ maxLine, receiver })
          lines.feed(onOneLine(first!))
          first = null
        }
        lines.feed(onOneLine(chunk))
        return lines.held
      },
      (isWhole) => {
        if (isWhole) {
          if (lines !== null) lines.feed(lineEnd)
          else if (first !== null) this.#whole(onOneLine(first), receiver)
        }
        onEnd(isWhole)
      }
    )
  }

  #whole(bytes: Buffer, receiver: LineReceiver): void {
    const { maxLine } = this
    if (bytes.length > maxLine) return new LineReader({ maxLine, receiver }).feed(Buffer.concat([bytes, lineEnd]))
    const line = Line.of(bytes)
    if (bytes.length <= short) line.text = bytes.toString("latin1")
    receiver.onLine(line)
  }
}

/** Reads what is no message, such as a page that tells of an error: its beginning, as text, or what of it comes soon. */
export const readText = (response: IncomingMessage, onText: (text: string) => void): void => {
  const chunks: Array<Buffer> = []
  let size = 0
  response.on("data", (chunk: Buffer) => {
    chunks.push(chunk)
    size += chunk.length
    if (size > maxText) response.destroy()
  })
  response.on("error", () => {})
  const timer = setTimeout(() => response.destroy(), textWithin)
  response.once("close", () => {
    clearTimeout(timer)
    onText(Buffer.concat(chunks).toString("utf8", 0, maxText))
  })
}

/** Nobody wants to know what it says; its connection is kept where it says little. */
export const discard = (response: IncomingMessage): void => readText(response, () => {})

export const isEvents = ({ headers }: IncomingMessage): boolean =>
  typeOf(headers["content-type"]) === "text/event-stream"

export const isJson = ({ headers }: IncomingMessage): boolean => typeOf(headers["content-type"]) === "application/json"

const typeOf = (contentType: string | undefined): string => (contentType ?? "").split(";", 1)[0]!.trim().toLowerCase()

/** In JSON, line ends are spaces. */
const onOneLine = (chunk: Buffer): Buffer => {
  if (!chunk.includes(lineFeed) && !chunk.includes(carriageReturn)) return chunk
  for (let i = 0; i < chunk.length; i++) if (chunk[i] === lineFeed || chunk[i] === carriageReturn) chunk[i] = space
  return chunk
}

/** Bytes. */
const maxText = 64 * 1024
/** Milliseconds. */
const textWithin = 2000
const short = 64 * 1024
const lineFeed = 0x0a
const carriageReturn = 0x0d
const space = 0x20
const lineEnd = Buffer.from("\n")
