/**
 * A remote MCP server by hand: plain HTTP at a port of its own, in the test's own process, so that a test decides what each
 * message is answered with, when, and how it goes wrong. Lives as long as its scope.
 */
import { Effect, type Scope } from "effect"
import * as http from "node:http"
import * as https from "node:https"
import type { AddressInfo } from "node:net"

/** A message as it came. */
export interface Message {
  readonly id?: number | string
  readonly method?: string
  readonly params?: { readonly [name: string]: unknown }
  readonly result?: { readonly [name: string]: unknown }
}

/** One request of the pool's, and what to answer. */
export interface Exchange {
  readonly method: string
  readonly path: string
  readonly headers: http.IncomingHttpHeaders
  /** As Node has them: names and values in turns. */
  readonly rawHeaders: ReadonlyArray<string>
  /** Null where there is no body. */
  readonly message: Message | null
  readonly response: http.ServerResponse
  /** One message as JSON, under the request's id unless it has one. */
  readonly json: (message: object, headers?: http.OutgoingHttpHeaders) => void
  readonly result: (result: object, headers?: http.OutgoingHttpHeaders) => void
  readonly status: (status: number, headers?: http.OutgoingHttpHeaders, body?: string) => void
  /** Begins a stream of events, or adds one to it. */
  readonly event: (message: object, id?: string) => void
  /** The connection breaks at once. */
  readonly reset: () => void
}

export interface RemoteServer {
  readonly url: string
  readonly port: number
  /** All that came so far. */
  readonly exchanges: () => ReadonlyArray<Exchange>
  /** Those of a method of HTTP or of MCP. */
  readonly of: (method: string) => ReadonlyArray<Exchange>
  /** Takes the next that matches, now or when it comes. */
  readonly next: (method: string) => Effect.Effect<Exchange>
  /** From now on it is answered like that; null for what it answers by itself. */
  readonly answer: (method: string, answer: ((exchange: Exchange) => void) | null) => void
  /** All its connections break, and it takes no more, until it is `up` again, at the same port. */
  readonly down: Effect.Effect<void>
  readonly up: Effect.Effect<void>
  /** Connections that are open. */
  readonly connections: () => number
}

export const make = Effect.fnUntraced(function* (
  /** In place of a port. */
  socket?: string,
  /** In place of plain HTTP. */
  tls?: { readonly key: string; readonly cert: string }
): Effect.fn.Return<RemoteServer, never, Scope.Scope> {
  const all: Array<Exchange> = []
  let untaken: Array<Exchange> = []
  const waiters = new Set<() => void>()
  const answers = new Map<string, (exchange: Exchange) => void>()
  let sessions = 0
  const usual: { readonly [method: string]: (exchange: Exchange) => void } = {
    initialize: ({ result }) => result(hello, { "mcp-session-id": `session-${++sessions}` }),
    "tools/list": ({ result }) => result({ tools }),
    "tools/call": ({ message, result }) => {
      const { arguments: given, name } = (message?.params ?? {}) as {
        readonly arguments?: object
        readonly name: string
      }
      result({ content: [{ type: "text", text: `${name} ${JSON.stringify(given ?? {})}` }] })
    },
    ping: ({ result }) => result({}),
    GET: ({ status }) => status(405),
    DELETE: ({ status }) => status(200)
  }
  const handle = (exchange: Exchange) => {
    all.push(exchange)
    untaken.push(exchange)
    const names = namesOf(exchange)
    const given = names.map((name) => answers.get(name)).find((answer) => answer !== undefined)
    const own = names.map((name) => usual[name]).find((answer) => answer !== undefined)
    if (given !== undefined) given(exchange)
    else if (own !== undefined) own(exchange)
    else if (exchange.message?.method === undefined || exchange.message.id === undefined) exchange.status(202)
    else exchange.json({ error: { code: -32601, message: "no such method" } })
    for (const look of waiters) look()
  }
  const receive: http.RequestListener = (request, response) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => handle(exchangeOf(request, response, Buffer.concat(chunks).toString())))
  }
  const server = tls === undefined ? http.createServer(receive) : https.createServer(tls, receive)
  const listen = (port: number) =>
    Effect.callback<void>((resume) => {
      const where = socket === undefined ? { port, host: "127.0.0.1" } : { path: socket }
      server.listen(where, () => resume(Effect.void))
    })
  const down = Effect.callback<void>((resume) => {
    server.close(() => resume(Effect.void))
    server.closeAllConnections()
  })
  yield* Effect.acquireRelease(listen(0), () => down)
  const { port } = socket === undefined ? (server.address() as AddressInfo) : { port: 0 }
  let connections = 0
  server.on("connection", (socket) => {
    connections++
    socket.on("close", () => connections--)
  })
  return {
    url: `${tls === undefined ? "http" : "https"}://127.0.0.1:${port}/mcp`,
    port,
    exchanges: () => all,
    of: (method) => all.filter((exchange) => namesOf(exchange).includes(method)),
    next: (method) =>
      Effect.callback<Exchange>((resume) => {
        const look = () => {
          const found = untaken.find((exchange) => namesOf(exchange).includes(method))
          if (found === undefined) return
          untaken = untaken.filter((other) => other !== found)
          waiters.delete(look)
          resume(Effect.succeed(found))
        }
        waiters.add(look)
        look()
        return Effect.sync(() => waiters.delete(look))
      }).pipe(Effect.timeout("5 seconds"), Effect.orDie),
    answer: (method, answer) => {
      if (answer === null) answers.delete(method)
      else answers.set(method, answer)
    },
    down,
    up: Effect.suspend(() => listen(port)),
    connections: () => connections
  }
})

/** What it says of itself, unless a test has it say else. */
export const hello = {
  protocolVersion: "2025-11-25",
  capabilities: { tools: { listChanged: true } },
  serverInfo: { name: "remote", version: "1" }
}

export const tools = [{ name: "echo", inputSchema: { type: "object" } }]

const exchangeOf = (request: http.IncomingMessage, response: http.ServerResponse, body: string): Exchange => {
  const message = body === "" ? null : (JSON.parse(body) as Message)
  const json: Exchange["json"] = (given, headers) => {
    response.writeHead(200, { "content-type": "application/json", ...headers })
    response.end(JSON.stringify({ jsonrpc: "2.0", id: message?.id, ...given }))
  }
  return {
    method: request.method ?? "",
    path: request.url ?? "",
    headers: request.headers,
    rawHeaders: request.rawHeaders,
    message,
    response,
    json,
    result: (result, headers) => json({ result }, headers),
    status: (status, headers, text) => {
      response.writeHead(status, headers)
      response.end(text)
    },
    event: (given, id) => {
      if (!response.headersSent) response.writeHead(200, { "content-type": "text/event-stream" })
      const text = JSON.stringify({ jsonrpc: "2.0", ...given })
      response.write(`${id === undefined ? "" : `id: ${id}\n`}data: ${text}\n\n`)
    },
    reset: () => void request.socket.resetAndDestroy()
  }
}

/** Most of all the tool that is called, then the method of MCP, then that of HTTP. */
const namesOf = ({ message, method }: Exchange): ReadonlyArray<string> => [
  ...(message?.method === "tools/call" ? [String(message.params?.["name"])] : []),
  ...(message === null ? [] : [message.method ?? "answer"]),
  method
]
