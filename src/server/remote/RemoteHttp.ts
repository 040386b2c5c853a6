/**
 * The HTTP requests of one incarnation of a remote server: connections that are kept, the headers of the configuration and
 * the transport's own. Lives as long as the incarnation.
 *
 * https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#streamable-http
 */
import type * as Http from "node:http"
import type * as Https from "node:https"
import type { TLSSocket } from "node:tls"
import type { Remote } from "../../config/Remote.ts"
import * as RemoteBody from "./RemoteBody.ts"
import { accept } from "./RemoteHeaders.ts"
import { RemoteParams } from "./RemoteParams.ts"

/** What a request came to. */
export interface Handlers {
  /** Nothing of the answer has been read. */
  readonly onResponse: (response: Http.IncomingMessage) => void
  /** There is no answer; `isSent` says whether the server may have got something of it. */
  readonly onError: (error: NodeJS.ErrnoException, isSent: boolean) => void
}

export class RemoteHttp {
  readonly #remote: Remote
  readonly #http: typeof Http | typeof Https
  readonly #agent: Http.Agent
  readonly #isTls: boolean
  #url: URL
  #redirects = 0
  #wondering: Array<(isKnown: boolean) => void> = []
  /** What the server gave in its answer to `initialize`. */
  sessionId: string | null = null
  /** Which arguments the server wants in headers. */
  readonly params = new RemoteParams()
  /** What was agreed on. */
  protocolVersion: string | null = null

  constructor(remote: Remote) {
    this.#remote = remote
    this.#url = new URL(remote.url)
    this.#isTls = this.#url.protocol === "https:"
    this.#http = this.#isTls ? process.getBuiltinModule("node:https") : process.getBuiltinModule("node:http")
    this.#agent = new this.#http.Agent({
      keepAlive: true,
      // Most servers close what idles for 5 seconds: what is sent at that moment is lost.
      timeout: idleTime,
      keepAliveInitialDelay: 15_000,
      maxFreeSockets: 64
    } as Http.AgentOptions)
  }

  send(
    method: "POST" | "GET" | "DELETE",
    headers: Readonly<Record<string, string>>,
    body: Buffer | null,
    { onError, onResponse }: Handlers
  ): Http.ClientRequest {
    const { hostname, pathname, port, search } = this.#url
    const { socketPath } = this.#remote
    const request = this.#http.request({
      agent: this.#agent,
      method,
      path: pathname + search,
      ...(socketPath === null
        ? { hostname: hostname.replace(/^\[(.*)\]$/, "$1"), port: port === "" ? null : port }
        : { socketPath }),
      headers: {
        ...this.#remote.headers,
        ...(this.sessionId === null ? {} : { "Mcp-Session-Id": this.sessionId }),
        ...(this.protocolVersion === null ? {} : { "MCP-Protocol-Version": this.protocolVersion }),
        ...headers,
        ...(body === null ? {} : { "Content-Type": "application/json", "Content-Length": body.length })
      }
    })
    let isConnected = false
    let response: Http.IncomingMessage | null = null
    request.once("socket", (socket) => {
      if (!socket.connecting && !(this.#isTls && (socket as TLSSocket).getProtocol() === null)) {
        isConnected = true
        return
      }
      const timer = setTimeout(() => request.destroy(timedOut()), connectTime)
      socket.once("close", () => clearTimeout(timer))
      socket.once(this.#isTls ? "secureConnect" : "connect", () => {
        clearTimeout(timer)
        isConnected = true
      })
    })
    // What breaks after that is told by the answer.
    request.on("error", (error) => {
      if (response === null) onError(error, isConnected)
    })
    request.once("response", (answer) => {
      response = answer
      onResponse(answer)
    })
    request.end(body ?? undefined)
    return request
  }

  /** Asks the server whether it knows its session: who wonders while it is asked gets the same answer. */
  isSessionKnown(done: (isKnown: boolean) => void): void {
    this.#wondering.push(done)
    if (this.#wondering.length > 1) return
    const told = (isKnown: boolean) => {
      clearTimeout(timer)
      for (const done of this.#wondering.splice(0)) done(isKnown)
    }
    const request = this.send("POST", accept, ping, {
      onResponse: (response) => {
        RemoteBody.discard(response)
        const status = response.statusCode ?? 0
        told(status >= 200 && status < 300)
      },
      onError: () => told(false)
    })
    const timer = setTimeout(() => request.destroy(timedOut()), knownWithin)
  }

  /** Where an answer points: true where what was sent goes there from now on, else the origin that it points to. */
  redirect({ headers, statusCode }: Http.IncomingMessage): true | string {
    const to = URL.parse(headers.location ?? "", this.#url.href)
    if (to === null) return "nowhere"
    const isOwn = to.origin === this.#url.origin && this.#remote.socketPath === null
    if (isOwn && (statusCode === 307 || statusCode === 308) && this.#redirects < maxRedirects) {
      this.#redirects++
      this.#url = to
      return true
    }
    return isOwn ? "another path" : to.origin
  }

  close(): void {
    this.#agent.destroy()
  }
}

const timedOut = (): NodeJS.ErrnoException =>
  Object.assign(new Error("no connection"), { code: "ETIMEDOUT" }) as NodeJS.ErrnoException

/** How long a connection may take, in milliseconds. */
const connectTime = 10_000
/** How long a connection is kept that nobody uses, in milliseconds. */
const idleTime = 4000
const maxRedirects = 3
/** How long the session is asked about, in milliseconds. */
const knownWithin = 5000
/** Its id is nobody else's. */
const ping = Buffer.from('{"jsonrpc":"2.0","id":"session","method":"ping"}')
