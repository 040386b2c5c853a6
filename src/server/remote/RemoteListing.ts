/**
 * All tools of a modern server, listed again: it has found the headers of a call wrong, and which arguments it wants in them
 * its list says. Nobody else gets the answers. Lives until the last page has come, or none comes.
 *
 * https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http
 */
import type { LineReceiver } from "../../lines/LineReader.ts"
import { poolMeta } from "../Era.ts"
import { Inbox } from "./RemoteBody.ts"
import { RemoteExchange } from "./RemoteExchange.ts"
import type { RemoteHttp } from "./RemoteHttp.ts"

export class RemoteListing {
  readonly #http: RemoteHttp
  readonly #maxLine: number
  /** Called once, and says whether all of it has come. */
  readonly #onOver: (isListed: boolean) => void
  readonly #timer: NodeJS.Timeout
  #page: RemoteExchange | null = null
  #pages = 0
  #isOver = false

  constructor(http: RemoteHttp, maxLine: number, onOver: (isListed: boolean) => void) {
    this.#http = http
    this.#maxLine = maxLine
    this.#onOver = onOver
    this.#timer = setTimeout(() => this.close(), listedWithin)
    this.#ask(null)
  }

  /** Nothing more is wanted of it. */
  close(): void {
    this.#over(false)
    this.#page?.close()
  }

  #ask(cursor: string | null): void {
    const id = firstId + this.#pages++
    const params = { _meta: poolMeta, ...(cursor === null ? {} : { cursor }) }
    const body = Buffer.from(JSON.stringify({ jsonrpc: "2.0", id, method: "tools/list", params }))
    let answer: unknown = null
    const receiver: LineReceiver = {
      onLine: ({ bytes, end, start }) => {
        answer = parse(bytes.toString("utf8", start, end))
      },
      onLongLine: () => {}
    }
    const inbox = new Inbox({ maxLine: this.#maxLine, maxHeld: this.#maxLine, receiver, onHeard: () => {} })
    this.#page = new RemoteExchange({ body, id, method: "tools/list", name: null }, this.#http, inbox, {
      onOver: () => {
        const { result } = (answer ?? {}) as { readonly result?: { readonly nextCursor?: unknown } | null }
        if (typeof result !== "object" || result === null) return this.#over(false)
        const { nextCursor } = result
        if (typeof nextCursor !== "string") return this.#over(true)
        if (this.#isOver || this.#pages >= maxPages) return this.#over(false)
        this.#ask(nextCursor)
      },
      onUnreachable: () => {},
      onStatus: () => {},
      onLost: () => {}
    })
    this.#page.begin(true)
  }

  #over(isListed: boolean): void {
    if (this.#isOver) return
    this.#isOver = true
    clearTimeout(this.#timer)
    this.#onOver(isListed)
  }
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** No id of what others ask is as large. */
const firstId = 900_000_000_000_000
const maxPages = 100
/** Milliseconds. */
const listedWithin = 10_000
