/**
 * Streamable HTTP in front of the pool's servers, for clients of 2025-03-26 to 2025-11-25: who may ask, what they ask for,
 * and in which session. Plain synchronous code; lives as long as the listener.
 *
 * https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#streamable-http
 */
import { isUtf8 } from "node:buffer"
import type { IncomingMessage, ServerResponse } from "node:http"
import { Line } from "../lines/LineReader.ts"
import type { Endpoint } from "../McpPool.ts"
import { Envelope, Key, Shape } from "../message/Envelope.ts"
import { methodOf } from "../message/Words.ts"
import type { ServerNotFound } from "../PoolError.ts"
import * as Claim from "../mux/era/Claim.ts"
import { invalidRequest, parseError } from "../WireError.ts"
import { headerMismatch } from "./ModernHeaders.ts"
import { modernVersion, supportedVersions, unsupportedVersion } from "../server/Era.ts"
import * as Access from "./Access.ts"
import { accept, type Message, refuse, sendJson } from "./Answers.ts"
import * as Body from "./Body.ts"
import { parseId } from "./EventStream.ts"
import * as Headers from "./Headers.ts"
import type { HttpSession } from "./HttpSession.ts"
import type { HttpSessions } from "./HttpSessions.ts"
import type { ModernPosts } from "./ModernPosts.ts"
import * as Route from "./Route.ts"

export interface GatewayOptions {
  readonly rules: Access.Rules
  readonly sessions: HttpSessions
  readonly posts: ModernPosts
  /** Null is all servers as one. */
  readonly find: (name: string | null) => Endpoint | ServerNotFound
  /** Writes the pool's figures. */
  readonly sendMetrics: (response: ServerResponse) => void
  /** What a client's bytes brought to light. */
  readonly onBug: (cause: unknown) => void
}

export class Gateway {
  readonly #options: GatewayOptions
  readonly #line = new Line()
  readonly #envelope = new Envelope()
  /** What a connection has shown already. */
  readonly #shown = new WeakMap<object, string>()
  #isEnding = false

  constructor(options: GatewayOptions) {
    this.#options = options
  }

  /** From here on no session begins. */
  end(): void {
    this.#isEnding = true
  }

  /** Answers a request; who comes over a Unix socket has shown by that who it is. */
  handle(request: IncomingMessage, response: ServerResponse, isLocal: boolean): void {
    try {
      const { rules } = this.#options
      if (Access.isAmbiguous(request.rawHeaders)) {
        return refuseRequest(response, 400, "Host and Authorization must stand there once")
      }
      const refused = isLocal ? null : Access.refuseHost(credentialsOf(request), rules)
      if (refused !== null) return refuseRequest(response, refused.status, refused.message)
      const route = Route.parse(request.url ?? "/")
      if (route?.to === "health") return this.#health(request, response)
      if (!isLocal && !this.#hasToken(request)) return refuseStranger(response)
      if (route === undefined) return refuseRequest(response, 404, nothingHere)
      if (route.to === "metrics") this.#metrics(request, response)
      else this.#server(request, response, route.to === "server" ? route.name : null)
    } catch (cause) {
      this.#bug(response, cause)
    }
  }

  /** Looked at once a connection: what it has shown need not be kept from it. */
  #hasToken(request: IncomingMessage): boolean {
    const { rules } = this.#options
    if (rules.digest === null) return true
    const { authorization } = request.headers
    if (authorization === undefined) return false
    if (this.#shown.get(request.socket) === authorization) return true
    if (!Access.hasToken(authorization, rules.digest)) return false
    this.#shown.set(request.socket, authorization)
    return true
  }

  #health(request: IncomingMessage, response: ServerResponse): void {
    if (request.method !== "GET") return refuseMethod(response, "GET")
    sendJson(response, this.#isEnding ? 503 : 200, this.#isEnding ? '{"status":"stopping"}' : '{"status":"ok"}')
  }

  #metrics(request: IncomingMessage, response: ServerResponse): void {
    if (request.method !== "GET") return refuseMethod(response, "GET")
    this.#options.sendMetrics(response)
  }

  #server(request: IncomingMessage, response: ServerResponse, name: string | null): void {
    const { headers, method } = request
    if (method === "POST") {
      if (!Headers.isJson(headers["content-type"])) {
        return refuseRequest(response, 415, "the content type must be application/json")
      }
      if (!Headers.acceptsBoth(headers.accept)) {
        return refuseRequest(response, 406, "the request must accept application/json and text/event-stream")
      }
    } else if (method === "GET") {
      if (!Headers.acceptsEvents(headers.accept)) {
        return refuseRequest(response, 406, "the request must accept text/event-stream")
      }
    } else if (method !== "DELETE") return refuseMethod(response, "GET, POST, DELETE")
    const version = textOf(headers["mcp-protocol-version"])
    const id = version === modernVersion ? undefined : textOf(headers["mcp-session-id"])
    const standsAlone = method === "POST" && id === undefined
    if (version === modernVersion && !standsAlone) return refuseMethod(response, "POST")
    if (!standsAlone && !Headers.isKnownVersion(version)) return refuseVersion(response, version)
    if (id === undefined) {
      if (standsAlone) return this.#alone(request, response, name, version)
      return refuseRequest(response, 400, "the request needs the header Mcp-Session-Id")
    }
    const session = this.#options.sessions.get(id, name)
    if (session === undefined)
      return refuseRequest(response, 404, "there is no such session, or no more: begin another")
    if (method === "POST") this.#post(request, response, session, version)
    else if (method === "GET") this.#get(request, response, session, version)
    else {
      this.#options.sessions.close(session, 404, "its client has ended the session")
      accept(response, 200)
    }
  }

  #get(request: IncomingMessage, response: ServerResponse, session: HttpSession, version: string | undefined): void {
    const last = textOf(request.headers["last-event-id"])
    if (last === undefined) return session.listen(response, version)
    const at = parseId(last)
    if (at === undefined || !session.resume(response, version, at)) {
      refuseRequest(response, 400, "Last-Event-ID names no stream that could be gone on with")
    }
  }

  #post(request: IncomingMessage, response: ServerResponse, session: HttpSession, version: string | undefined): void {
    this.#read(request, response, session.maxLine, (body) => {
      if (session.isClosed) return refuseRequest(response, 404, "the session is over: begin another")
      session.post(this.#lineOf(body), { response, version, isBatch: isArray(body) })
    })
  }

  /** A message without a session begins one, or is of the modern era. */
  #alone(request: IncomingMessage, response: ServerResponse, name: string | null, version: string | undefined): void {
    const endpoint = this.#options.find(name)
    if ("message" in endpoint) return refuseRequest(response, 404, endpoint.message)
    this.#read(request, response, endpoint.settings.maxLine, (body) => {
      if (this.#isEnding) return refuseRequest(response, 503, "the pool is about to end: ask again in a moment")
      const line = this.#lineOf(body)
      const envelope = this.#envelope
      const shape = envelope.scan(line.bytes, line.start, line.end)
      if (shape === Shape.invalid) return refuse(response, 400, { code: parseError, message: "the body is not JSON" })
      if (shape === Shape.message && envelope.irregular) return refuseRequest(response, 400, "a key stands there twice")
      const isMade = shape === Shape.message && Claim.isMade(line, envelope)
      const isRequest = shape === Shape.message && envelope.has(Key.id) && envelope.has(Key.method)
      const begins = isRequest && !isMade && methodOf(line, envelope) === "initialize"
      if (shape === Shape.message && !begins && (isMade || version === modernVersion)) {
        const { headers } = request
        const other = (name: string) => textOf(headers[name])
        const said = { version, method: other("mcp-method"), name: other("mcp-name"), other }
        const server = name ?? Route.together
        return this.#options.posts.post(line, envelope, { endpoint, headers: said, response, server })
      }
      if (version === modernVersion) {
        const what = begins ? "initialize is of an earlier revision than the header says" : "2026-07-28 has no batches"
        return refuse(response, 400, { code: begins ? headerMismatch : invalidRequest, message: what })
      }
      if (!Headers.isKnownVersion(version)) return refuseVersion(response, version)
      if (!begins) {
        return refuseRequest(response, 400, "without the header Mcp-Session-Id a message must be initialize")
      }
      const session = this.#options.sessions.open(name, endpoint)
      if (session === undefined) return refuseRequest(response, 503, "there are too many sessions")
      const id = line.copy(envelope.start[Key.id]!, envelope.end[Key.id]!)
      const onAnswer = (message: Message) => {
        const isRefused = typeof message === "string" && message.startsWith(`{"jsonrpc":"2.0","id":${id},"error":`)
        if (isRefused) this.#options.sessions.close(session, 404, "it did not begin")
        return !isRefused
      }
      session.post(line, { response, version, isBatch: false, headers: ["mcp-session-id", session.id], onAnswer })
    })
  }

  #read(request: IncomingMessage, response: ServerResponse, maxLine: number, onBody: (body: Buffer) => void): void {
    const max = Math.min(maxBody, maxLine)
    const onTooLong = () =>
      refuseRequest(response, 413, `the body is longer than ${max} bytes`, ["connection", "close"])
    if (Number(request.headers["content-length"] ?? 0) > max) return onTooLong()
    if (request.headers.expect !== undefined && request.httpVersion !== "1.0") response.writeContinue()
    const onWhole = (body: Buffer) => {
      try {
        if (!isUtf8(body)) return refuse(response, 400, { code: parseError, message: "the body is not UTF-8" })
        onBody(Body.onOneLine(body))
      } catch (cause) {
        this.#bug(response, cause)
      }
    }
    Body.read(request, max, onWhole, onTooLong)
  }

  /** Valid until the next one. */
  #lineOf(body: Buffer): Line {
    const line = this.#line
    line.bytes = body
    line.start = 0
    line.end = body.length
    line.text = body.length <= short ? body.toString("latin1") : null
    return line
  }

  /** A bug that one client's bytes bring to light must not take the others down. */
  #bug(response: ServerResponse, cause: unknown): void {
    this.#options.onBug(cause)
    refuseRequest(response, 500, "the pool met a bug: look into its log")
  }
}

const credentialsOf = ({ headers: { host, origin } }: IncomingMessage): Access.Credentials => ({ host, origin })

const textOf = (header: string | Array<string> | undefined): string | undefined =>
  typeof header === "object" ? header.join(", ") : header

const refuseRequest = (
  response: ServerResponse,
  status: number,
  message: string,
  headers?: ReadonlyArray<string>
): void => refuse(response, status, { code: invalidRequest, message }, headers)

const refuseStranger = (response: ServerResponse): void =>
  refuseRequest(response, 401, "a bearer token is needed: the file http-token of the runtime directory has it", [
    "www-authenticate",
    'Bearer realm="mcp-pool"'
  ])

const refuseMethod = (response: ServerResponse, allowed: string): void =>
  refuseRequest(response, 405, `only ${allowed} can be asked here`, ["allow", allowed])

/** As 2026-07-28 has it, so that its clients know what to fall back to. */
const refuseVersion = (response: ServerResponse, requested: string | undefined): void =>
  refuse(response, 400, {
    code: unsupportedVersion,
    message: "Unsupported protocol version",
    data: { supported: supportedVersions, requested }
  })

const isArray = (body: Buffer): boolean => {
  for (const byte of body) if (byte > space) return byte === bracket
  return false
}

const nothingHere = `nothing is here: a server is at ${Route.pathOf("NAME")}, and all of them are at ${Route.together}`
/** Bytes. */
const maxBody = 4 * 1024 * 1024
/** Up to here a line is cheaper as a string than as bytes. */
const short = 64 * 1024
const space = 0x20
const bracket = 0x5b
