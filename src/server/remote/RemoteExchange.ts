/**
 * One message on its way to a remote server, and what comes back: nothing, one message, or a stream of them, which goes on
 * elsewhere where it breaks and can be taken up again. Lives until its answer has come or cannot come any more.
 */
import type { ClientRequest, IncomingMessage } from "node:http"
import { EventReader } from "./EventReader.ts"
import { RemoteAnswer } from "./RemoteAnswer.ts"
import * as RemoteBody from "./RemoteBody.ts"
import * as RemoteHeaders from "./RemoteHeaders.ts"
import type { RemoteHttp } from "./RemoteHttp.ts"
import type { Item } from "./RemoteOutbox.ts"
import { RemoteStream } from "./RemoteStream.ts"

/** What an exchange came to, as far as others have to do with it. */
export interface ExchangeEvents {
  /** It is over; called once. */
  readonly onOver: (exchange: RemoteExchange) => void
  /** Nobody can be reached there: the message was not sent. */
  readonly onUnreachable: (item: Item | null, error: NodeJS.ErrnoException) => void
  /** It was answered with a status that is none of success; `text` is the beginning of what was said. */
  readonly onStatus: (item: Item, response: IncomingMessage, text: string) => void
  /** A request may have run, and its answer will not come. */
  readonly onLost: (item: Item, reason: string) => void
}

export class RemoteExchange {
  readonly item: Item
  readonly #http: RemoteHttp
  readonly #inbox: RemoteBody.Inbox
  readonly #events: ExchangeEvents
  #request: ClientRequest | null = null
  #stream: RemoteStream | null = null
  #timer: NodeJS.Timeout | null = null
  #lastEventId: string | null = null
  #retry: number | null = null
  /** Null where none comes. */
  readonly #answer: RemoteAnswer | null
  #isOver = false

  constructor(item: Item, http: RemoteHttp, inbox: RemoteBody.Inbox, events: ExchangeEvents) {
    this.item = item
    this.#http = http
    this.#inbox = inbox
    this.#events = events
    const onAnswer = item.method === "tools/list" ? (text: string) => http.params.listed(text) : null
    this.#answer = item.id === null ? null : new RemoteAnswer(item.id, inbox.receiver, onAnswer)
  }

  begin(isModern: boolean): void {
    const { item } = this
    const headers =
      isModern || item.method === "server/discover"
        ? { ...RemoteHeaders.modernHeaders(item.method, item.name), ...this.#params() }
        : RemoteHeaders.accept
    // A request waits for its answer; what has none is taken at once, or never.
    if (item.id === null) this.#timer = setTimeout(() => this.#lost("not taken in time"), takenWithin)
    this.#request = this.#http.send("POST", headers, item.body, {
      onResponse: (response) => this.#read(response),
      onError: (error, isSent) => {
        if (this.#isOver) return
        if (isSent) return this.#lost(codeOf(error))
        this.#events.onUnreachable(item, error)
        this.#over()
      }
    })
  }

  #params(): Readonly<Record<string, string>> {
    const { body, method, name } = this.item
    return method === "tools/call" && name !== null ? this.#http.params.headers(name, body) : {}
  }

  /** Nothing more is wanted of it. */
  close(): void {
    this.#over()
    this.#request?.destroy()
  }

  #read(response: IncomingMessage): void {
    if (this.#isOver) return void response.destroy()
    const { item } = this
    const status = response.statusCode ?? 0
    if (status < 200 || status > 299) {
      return RemoteBody.readText(response, (text) => {
        if (this.#isOver) return
        this.#events.onStatus(item, response, text)
        this.#over()
      })
    }
    if (this.#answer === null) return RemoteBody.readText(response, () => this.#over())
    if (item.method === "initialize")
      this.#http.sessionId = RemoteHeaders.sessionIdOf(response.headers["mcp-session-id"])
    if (RemoteBody.isEvents(response)) this.#readEvents(response, this.#answer)
    else if (RemoteBody.isJson(response)) {
      this.#inbox.readJson(response, this.#answer, (isWhole) => {
        this.#ended(isWhole ? "what came is not its answer" : "the connection broke")
      })
    } else {
      RemoteBody.discard(response)
      const type = /^[\w.+-]+\/[\w.+-]+/.exec(response.headers["content-type"] ?? "")?.[0] ?? "nothing"
      this.#lost(`HTTP ${status} with ${type}, which is no message`)
    }
  }

  #readEvents(response: IncomingMessage, receiver: RemoteAnswer): void {
    const reader = new EventReader({
      maxLine: this.#inbox.maxLine,
      receiver,
      onId: (id) => {
        this.#lastEventId = id
      },
      onRetry: (millis) => {
        this.#retry = millis
      }
    })
    this.#inbox.read(
      response,
      (chunk) => {
        const wasThere = receiver.isThere
        reader.feed(chunk)
        // Its stream should end now; one that stays open is not kept.
        if (!wasThere && receiver.isThere) this.#timer = setTimeout(() => this.close(), endsWithin)
        return reader.held
      },
      () => this.#ended("the stream ended")
    )
  }

  #ended(reason: string): void {
    if (this.#isOver) return
    const answer = this.#answer
    if (answer === null || answer.isThere) return this.#over()
    if (this.#lastEventId === null || this.#lastEventId === "") return this.#lost(reason)
    this.#stream = new RemoteStream({
      http: this.#http,
      inbox: this.#inbox,
      receiver: answer,
      lastEventId: this.#lastEventId,
      retry: this.#retry,
      isDone: () => answer.isThere,
      onOver: (why) => {
        if (why === null) return this.#over()
        this.#lost("status" in why ? `${reason}, then HTTP ${why.status}` : why.reason)
      },
      onUnreachable: (error) => {
        this.#lost(codeOf(error))
        this.#events.onUnreachable(null, error)
      }
    })
    this.#stream.begin()
  }

  #lost(reason: string): void {
    if (this.#isOver) return
    this.#events.onLost(this.item, reason)
    this.close()
  }

  #over(): void {
    if (this.#isOver) return
    this.#isOver = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#stream?.close()
    this.#events.onOver(this)
  }
}

/** What is said of an error: Node's messages show addresses. */
export const codeOf = (error: NodeJS.ErrnoException): string => error.code ?? "broken"

/** Milliseconds. */
const takenWithin = 30_000
const endsWithin = 1000
