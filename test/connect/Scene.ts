/** A conversation between a host and daemons that a test plays: every line that either has been given. */
import { Conversation } from "../../src/connect/Conversation.ts"
import { LineReader } from "../../src/lines/LineReader.ts"

export interface Message {
  readonly jsonrpc: string
  readonly id?: unknown
  readonly method?: string
  readonly params?: { readonly [name: string]: unknown }
  readonly result?: unknown
  readonly error?: { readonly code: number; readonly message: string; readonly data?: unknown }
}

/** Takes pieces; each line must be JSON. */
class Ear {
  #text = ""
  readonly lines: Array<Message> = []

  push(piece: string | Buffer): void {
    this.#text += typeof piece === "string" ? piece : piece.toString("latin1")
    const lines = this.#text.split("\n")
    this.#text = lines.pop()!
    for (const line of lines) this.lines.push(JSON.parse(Buffer.from(line, "latin1").toString()))
  }

  /** What came since the last time. */
  take(): ReadonlyArray<Message> {
    if (this.#text !== "") throw new Error(`a torn line: ${this.#text}`)
    return this.lines.splice(0)
  }
}

export class Scene {
  readonly host = new Ear()
  daemon = new Ear()
  /** How often something waited for a daemon; true: a request. */
  readonly waiting: Array<boolean> = []
  strangers = 0
  readonly conversation: Conversation
  readonly #fromHost: LineReader
  #fromDaemon: LineReader

  constructor(server = "git") {
    this.conversation = new Conversation({
      server,
      host: this.host,
      random: "r",
      onWaiting: (isRequest) => this.waiting.push(isRequest),
      onStranger: () => this.strangers++
    })
    this.#fromHost = this.#reader("fromHost")
    this.#fromDaemon = this.#reader("fromDaemon")
  }

  #reader(side: "fromHost" | "fromDaemon"): LineReader {
    return new LineReader({ maxLine: 100_000, receiver: this.conversation[side] })
  }

  /** A daemon comes. */
  open(server = "git"): void {
    this.daemon = new Ear()
    this.#fromDaemon = this.#reader("fromDaemon")
    this.conversation.open(this.daemon, server)
  }

  hostSays(...messages: ReadonlyArray<object>): void {
    this.hostSaysRaw(messages.map((message) => `${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`).join(""))
  }

  hostSaysRaw(text: string): void {
    this.#fromHost.feed(Buffer.from(text))
  }

  daemonSays(...messages: ReadonlyArray<object>): void {
    this.daemonSaysRaw(messages.map((message) => `${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`).join(""))
  }

  daemonSaysRaw(text: string): void {
    this.#fromDaemon.feed(Buffer.from(text))
  }

  /** The daemon is killed, and never got these. */
  kill(...unwritten: ReadonlyArray<object>): number {
    return this.conversation.close(Buffer.from(unwritten.map((message) => `${JSON.stringify(message)}\n`).join("")))
  }

  /** A host that has shaken hands, with a daemon. */
  static greeted(): Scene {
    const scene = new Scene()
    scene.open()
    scene.hostSays(hello)
    scene.daemonSays({ id: 0, result: handshake })
    scene.hostSays({ method: "notifications/initialized" })
    scene.daemon.take()
    scene.host.take()
    return scene
  }

  /** Another daemon comes and shakes hands; what it was told before and after. */
  reopen(): ReadonlyArray<Message> {
    this.open()
    const [again] = this.daemon.take()
    this.daemonSays({ id: again?.id, result: handshake })
    return this.daemon.take()
  }
}

export const hello = {
  id: 0,
  method: "initialize",
  params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "hôst ✓", version: "1" } }
}

export const handshake = { protocolVersion: "2025-11-25", capabilities: {}, serverInfo: { name: "git", version: "1" } }
