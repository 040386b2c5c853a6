/**
 * One stream of events of a session (https://html.spec.whatwg.org/multipage/server-sent-events.html): numbered, kept for a
 * client that loses its connection, and carried on over the next connection that asks for it.
 */
import type { ServerResponse } from "node:http"
import { type Message, writePieces } from "./Answers.ts"
import type { EventLog } from "./EventStore.ts"
import * as Headers from "./Headers.ts"
import { Reading } from "./Reading.ts"

/** Where a connection takes a stream up. */
export interface Taking {
  /** Its client's revision. */
  readonly version: string | undefined
  /** The number of the last event that it has. */
  readonly after: number
  readonly headers?: ReadonlyArray<string> | undefined
}

export class EventStream {
  /** Within its session. */
  readonly number: number
  readonly #log: EventLog | null
  #response: ServerResponse | null = null
  /** Nothing follows. */
  isEnded = false
  #last = 0
  #sent = 0
  #isQuiet = true
  #looks = 0
  #reading = new Reading()

  constructor(number: number, log: EventLog | null) {
    this.number = number
    this.#log = log
  }

  /** Whether a connection carries it. */
  get isCarried(): boolean {
    return this.#response !== null
  }

  /** Bytes that its client has not taken yet. */
  get unread(): number {
    return this.#response?.writableLength ?? 0
  }

  /** The number of its last event. */
  get last(): number {
    return this.#last
  }

  /** The number of the last event that was written to a connection. */
  get sent(): number {
    return this.#sent
  }

  /** Goes on over this connection, from the event after the last one that the client has; one before it is let go. */
  carry(response: ServerResponse, { after, headers = [], version }: Taking): void {
    if (this.#response !== null) letGo(this.#response)
    this.#response = response
    this.#reading = new Reading()
    response.writeHead(200, [...eventHeaders, ...headers])
    response.once("close", () => {
      if (this.#response === response) this.#response = null
    })
    if (this.#log === null) response.flushHeaders()
    else if (Headers.isPrimed(version)) this.#write(`id: ${this.#id(after)}\nretry: ${retry}\ndata: \n\n`)
    else response.flushHeaders()
    for (const { message, number } of this.#log?.after(this.number, after) ?? []) this.#event(number, message)
    if (this.isEnded) response.end()
  }

  /** Sends a message, or keeps it until somebody comes for it. */
  send(json: Message): void {
    const message = onOneLine(json)
    const number = ++this.#last
    this.#log?.add(this.number, number, message)
    if (this.#response !== null) this.#event(number, message)
  }

  /** Nothing follows. */
  end(): void {
    this.isEnded = true
    this.#response?.end()
  }

  /** Its session is over. */
  close(): void {
    this.isEnded = true
    if (this.#response !== null) letGo(this.#response)
  }

  /** Called now and then: says that it is still there where nothing else was said, and lets go of who does not read. */
  look(): void {
    const response = this.#response
    if (response === null) return
    if (this.#reading.isOver(response)) response.destroy()
    else if (this.#isQuiet && response.writableLength === 0 && ++this.#looks >= quiet) {
      this.#looks = 0
      response.write(":\n\n")
    }
    if (!this.#isQuiet) this.#looks = 0
    this.#isQuiet = true
  }

  #id(number: number): string {
    return `${this.number}-${number}`
  }

  #event(number: number, message: Message): void {
    this.#sent = number
    const id = this.#log === null ? "" : `id: ${this.#id(number)}\n`
    const head = `event: message\n${id}data: `
    if (typeof message === "string") return this.#write(`${head}${message}\n\n`)
    this.#write(head)
    writePieces(this.#response!, message)
    this.#write("\n\n")
  }

  #write(text: string): void {
    this.#isQuiet = false
    this.#response!.write(text, "latin1")
  }
}

/** Ends what nobody looks after any more: who does not read what is left goes without. */
const letGo = (response: ServerResponse): void => {
  if (response.writableLength > maxLeft) return void response.destroy()
  response.socket?.setTimeout(lastWords)
  response.end()
}

/** The stream and the event that an event's id names; undefined where it is none. */
export const parseId = (id: string): { readonly stream: number; readonly number: number } | undefined => {
  const found = /^(\d{1,9})-(\d{1,9})$/.exec(id)
  return found === null ? undefined : { stream: Number(found[1]), number: Number(found[2]) }
}

/** A carriage return ends a line of an event; in JSON it is a space. */
const onOneLine = (json: Message): Message => {
  if (typeof json === "string") return json.replaceAll("\r", " ")
  if (!json.pieces.some((piece) => piece.includes("\r"))) return json
  const text = (piece: string | Buffer) => (typeof piece === "string" ? piece : piece.toString("latin1"))
  return { pieces: json.pieces.map((piece) => text(piece).replaceAll("\r", " ")), length: json.length }
}

const eventHeaders = [
  "content-type",
  "text/event-stream",
  "cache-control",
  "no-cache, no-transform",
  "x-accel-buffering",
  "no"
]
/** Milliseconds that a client waits before it comes back. */
const retry = 1000
/** Bytes that may be left to read, and milliseconds in which nothing of it is. */
const maxLeft = 64 * 1024
const lastWords = 10_000
/** How many looks in a row may find that nothing was said. */
const quiet = 3
