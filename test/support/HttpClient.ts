/** An HTTP client as plain as can be: what is sent is what is written here, and nothing is tried twice. */
import { Cause, Data, Effect, Queue, type Scope } from "effect"
import * as http from "node:http"
import type { Message } from "./LineClient.ts"

/** Where a gateway is: a URL, or the path of its socket. */
export type Target = { readonly url: string } | { readonly socketPath: string }

/** What is asked. */
export interface Asked {
  readonly method?: string
  readonly path?: string
  readonly headers?: { readonly [name: string]: string }
  /** An object is sent as JSON, a list of pieces in chunks. */
  /** No header is added to those given. */
  readonly bare?: boolean
  readonly body?: object | string | Buffer | ReadonlyArray<Buffer>
}

/** An answer that has ended. */
export interface Answer {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly text: string
  /** Its messages: of a body of JSON one, of events all that are none of the stream's own. */
  readonly messages: ReadonlyArray<Message>
}

/** One event. */
export interface ServerEvent {
  readonly id: string | undefined
  readonly retry: string | undefined
  readonly data: string
}

/** An answer that goes on. */
export interface Streaming {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  /** Takes the next event, now or when it comes; comments are none. */
  readonly event: Effect.Effect<ServerEvent, NoAnswer>
  /** The same, as a message. */
  readonly message: Effect.Effect<Message, NoAnswer>
  /** All that came. */
  readonly text: () => string
  /** Returns when it has ended. */
  readonly ended: Effect.Effect<void>
  /** Reads no more, until it does again. */
  readonly pause: Effect.Effect<void>
  readonly resume: Effect.Effect<void>
  /** Is gone at once. */
  readonly cut: Effect.Effect<void>
}

/** The connection ended before what was waited for. */
export class NoAnswer extends Data.TaggedError("NoAnswer")<{ readonly message: string }> {}

/** Asks, and returns with the head of the answer; the connection ends with the scope. */
export const open = Effect.fnUntraced(function* (
  target: Target,
  asked: Asked
): Effect.fn.Return<Streaming, NoAnswer, Scope.Scope> {
  const events = yield* Queue.unbounded<ServerEvent, NoAnswer>()
  const request = yield* Effect.acquireRelease(
    Effect.sync(() => http.request(optionsOf(target, asked))),
    (request) => Effect.sync(() => request.destroy())
  )
  const response = yield* Effect.callback<http.IncomingMessage, NoAnswer>((resume) => {
    request.on("response", (response) => resume(Effect.succeed(response)))
    request.on("error", (error) => resume(Effect.fail(new NoAnswer({ message: error.message }))))
    send(request, asked.body)
  })
  let text = ""
  let rest = ""
  let isEnded = false
  const waiting: Array<() => void> = []
  response.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk
    const blocks = (rest + chunk).split("\n\n")
    rest = blocks.pop() ?? ""
    for (const event of blocks.map(eventOf)) if (event !== undefined) Queue.offerUnsafe(events, event)
  })
  response.on("error", () => {})
  response.on("close", () => {
    isEnded = true
    Queue.failCauseUnsafe(events, Cause.fail(new NoAnswer({ message: `it has ended: ${text}` })))
    for (const done of waiting.splice(0)) done()
  })
  const event = Queue.take(events)
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    event,
    message: Effect.map(event, ({ data }) => JSON.parse(data) as Message),
    text: () => text,
    ended: Effect.callback<void>((resume) => {
      if (isEnded) resume(Effect.void)
      else waiting.push(() => resume(Effect.void))
    }),
    pause: Effect.sync(() => void response.pause()),
    resume: Effect.sync(() => void response.resume()),
    cut: Effect.sync(() => request.destroy())
  }
})

/** Asks, and returns with the whole answer. */
export const ask = (target: Target, asked: Asked): Effect.Effect<Answer, NoAnswer> =>
  Effect.scoped(
    Effect.gen(function* () {
      const { ended, headers, status, text } = yield* open(target, asked)
      yield* ended
      return { status, headers, text: text(), messages: messagesOf(headers, text()) }
    })
  )

/** A session as its client knows it. */
export interface Session {
  readonly id: string
  /** The headers of each of its requests. */
  readonly headers: { readonly [name: string]: string }
  readonly path: string
  /** Sends a message, or several. */
  readonly post: (body: NonNullable<Asked["body"]>) => Effect.Effect<Answer, NoAnswer>
  /** The same, with an answer that goes on. */
  readonly postOpen: (body: NonNullable<Asked["body"]>) => Effect.Effect<Streaming, NoAnswer, Scope.Scope>
  /** Calls a tool; its answer. */
  readonly call: (name: string, args?: object, id?: unknown) => Effect.Effect<Answer, NoAnswer>
  readonly listen: (headers?: { readonly [name: string]: string }) => Effect.Effect<Streaming, NoAnswer, Scope.Scope>
  readonly end: Effect.Effect<Answer, NoAnswer>
}

/** Begins a session with a server. */
export const begin = Effect.fnUntraced(function* (
  target: Target,
  server: string,
  options: {
    readonly headers?: { readonly [name: string]: string }
    readonly capabilities?: object
    readonly version?: string
    /** In place of the server's. */
    readonly path?: string
  } = {}
): Effect.fn.Return<Session, NoAnswer> {
  const path = options.path ?? `/servers/${server}/mcp`
  const { capabilities = {}, version = "2025-11-25" } = options
  const begun = yield* ask(target, { path, headers: options.headers ?? {}, body: initialize(capabilities, version) })
  const id = begun.headers["mcp-session-id"]
  if (typeof id !== "string") return yield* new NoAnswer({ message: `${begun.status} ${begun.text}` })
  const headers = { ...options.headers, "mcp-session-id": id, "mcp-protocol-version": version }
  const post: Session["post"] = (body) => ask(target, { path, headers, body })
  yield* post({ jsonrpc: "2.0", method: "notifications/initialized" })
  return {
    id,
    headers,
    path,
    post,
    postOpen: (body) => open(target, { path, headers, body }),
    call: (name, args = {}, id = 1) => post(callOf(name, args, id)),
    listen: (more = {}) => open(target, { method: "GET", path, headers: { ...headers, ...more } }),
    end: ask(target, { method: "DELETE", path, headers })
  }
})

/** The first message of a session. */
export const initialize = (capabilities: object = {}, protocolVersion = "2025-11-25"): object => ({
  jsonrpc: "2.0",
  id: 0,
  method: "initialize",
  params: { protocolVersion, capabilities, clientInfo: { name: "http-test", version: "1" } }
})

/** A call of a tool, with a progress token. */
export const callOf = (name: string, args: object = {}, id: unknown = 1): object => ({
  jsonrpc: "2.0",
  id,
  method: "tools/call",
  params: { name, arguments: args, _meta: { progressToken: `token ${JSON.stringify(id)}` } }
})

const optionsOf = (target: Target, { bare, headers, method, path = "/", body }: Asked): http.RequestOptions => {
  const where = "url" in target ? urlOf(target.url) : target
  const isPost = body !== undefined && (method === undefined || method === "POST")
  const usual = isPost
    ? { "content-type": "application/json", accept: "application/json, text/event-stream" }
    : { accept: "text/event-stream" }
  return {
    ...where,
    method: method ?? (isPost ? "POST" : "GET"),
    path,
    headers: { ...(bare === true ? {} : usual), ...headers },
    agent: false
  }
}

const urlOf = (url: string): http.RequestOptions => {
  const { hostname, port } = new URL(url)
  return { host: hostname, port }
}

const send = (request: http.ClientRequest, body: Asked["body"]): void => {
  if (body === undefined) request.end()
  else if (typeof body === "string" || Buffer.isBuffer(body)) request.end(body)
  else if (Array.isArray(body) && body.every(Buffer.isBuffer)) {
    for (const piece of body) request.write(piece)
    request.end()
  } else request.end(JSON.stringify(body))
}

const eventOf = (block: string): ServerEvent | undefined => {
  const field = (name: string) =>
    block
      .split("\n")
      .flatMap((line) => (line.startsWith(`${name}: `) ? [line.slice(name.length + 2)] : []))
      .at(0)
  const data = field("data")
  return data === undefined ? undefined : { id: field("id"), retry: field("retry"), data }
}

const messagesOf = (headers: http.IncomingHttpHeaders, text: string): ReadonlyArray<Message> => {
  if (text === "") return []
  if (headers["content-type"] === "application/json") return [JSON.parse(text) as Message]
  if (headers["content-type"] !== "text/event-stream") return []
  return text.split("\n\n").flatMap((block) => {
    const data = eventOf(block)?.data
    return data === undefined || data === "" ? [] : [JSON.parse(data) as Message]
  })
}
