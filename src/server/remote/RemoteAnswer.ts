/** What comes for one request of a remote server: it is handed on as it is, and looked at for the request's answer. */
import type { Line, LineReceiver, LongLine } from "../../lines/LineReader.ts"
import { canonical, Envelope, Key, Shape } from "../../message/Envelope.ts"
import { idIn } from "../../message/Ids.ts"
import { responseIdOf } from "../../message/ResponseEnds.ts"

export class RemoteAnswer implements LineReceiver {
  readonly #id: number
  readonly #receiver: LineReceiver
  /** Told the answer, where that is to be read here, too. */
  readonly #onAnswer: ((text: string) => void) | null
  /** It has come. */
  isThere = false

  constructor(id: number, receiver: LineReceiver, onAnswer: ((text: string) => void) | null) {
    this.#id = id
    this.#receiver = receiver
    this.#onAnswer = onAnswer
  }

  onLine(line: Line): void {
    const isAnswer = !this.isThere && isResponse(line, this.#id)
    this.isThere ||= isAnswer
    if (isAnswer) this.#onAnswer?.(line.bytes.toString("utf8", line.start, line.end))
    this.#receiver.onLine(line)
  }

  onPieces(pieces: ReadonlyArray<Buffer>, length: number): boolean {
    // It comes again as a whole, where it is to be read here.
    if (this.#onAnswer !== null) return false
    this.isThere ||= envelope.scanResponsePieces(pieces) === this.#id
    return this.#receiver.onPieces?.(pieces, length) === true
  }

  onLongLine(line: LongLine): void {
    this.isThere ||= responseIdOf(line) === this.#id
    this.#receiver.onLongLine(line)
  }
}

const isResponse = ({ bytes, end, start }: Line, id: number): boolean => {
  const shape = envelope.scan(bytes, start, end)
  // Of protocol 2025-03-26: whoever sends one sends nothing after it.
  if (shape === Shape.batch) return true
  if (shape !== Shape.message) return false
  if (!envelope.irregular) return isOf(bytes, id)
  const regular = canonical(bytes.subarray(start, end))
  return regular !== null && envelope.scan(regular, 0, regular.length) === Shape.message && isOf(regular, id)
}

const isOf = (bytes: Uint8Array, id: number): boolean =>
  !envelope.has(Key.method) &&
  envelope.has(Key.outcome) &&
  idIn(bytes, envelope.start[Key.id]!, envelope.end[Key.id]!) === id

/** Nothing is kept in it from one line to the next. */
const envelope = new Envelope()
