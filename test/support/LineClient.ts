/** An MCP client as plain as can be: lines of JSON over a Unix socket, and all that came back. Lives as long as its scope. */
import { Data, Effect, type Scope } from "effect"
import * as net from "node:net"
import type { DaemonWord } from "../../src/BridgeProtocol.ts"

/** A line from the pool. */
export interface Message {
  readonly jsonrpc: "2.0"
  readonly id?: unknown
  readonly method?: string
  readonly params?: { readonly [name: string]: unknown }
  readonly result?: { readonly [name: string]: unknown }
  readonly error?: { readonly code: number; readonly message: string; readonly data?: unknown }
  /** What the daemon says to `connect` alone. */
  readonly "mcp-pool"?: string
  readonly reason?: string
}

/** What was waited for did not come. */
export class NothingCame extends Data.TaggedError("NothingCame")<{ readonly waitedFor: string; readonly why: string }> {
  override get message(): string {
    return `${this.waitedFor}: ${this.why}`
  }
}

export interface LineClient {
  /** Everything so far, in order. */
  readonly received: () => ReadonlyArray<Message>
  /** Sends one message. */
  readonly send: (message: object) => Effect.Effect<void>
  /** Sends bytes as they are. */
  readonly sendRaw: (bytes: string | Uint8Array) => Effect.Effect<void>
  /** Returns when all that was sent has been taken by the system. */
  readonly flushed: Effect.Effect<void>
  /** Sends a request and waits for its answer; ids count from 0 unless given. */
  readonly request: (method: string, params?: object, id?: unknown) => Effect.Effect<Message, NothingCame>
  /** `tools/call`; with `token` it asks for progress. */
  readonly call: (
    name: string,
    args?: object,
    options?: { readonly id?: unknown; readonly token?: unknown }
  ) => Effect.Effect<Message, NothingCame>
  readonly notify: (method: string, params?: object) => Effect.Effect<void>
  /** Takes the next answer to a request, now or when it comes. */
  readonly answer: (id: unknown) => Effect.Effect<Message, NothingCame>
  /** Takes the next notification of a method, now or when it comes. */
  readonly notification: (method: string) => Effect.Effect<Message, NothingCame>
  /** Takes the next word of the daemon's to `connect`, now or when it comes. */
  readonly word: (word: DaemonWord["mcp-pool"]) => Effect.Effect<Message, NothingCame>
  /** The handshake; its result. */
  readonly initialize: Effect.Effect<Message, NothingCame>
  /** Sends no more. */
  readonly halfClose: Effect.Effect<void>
  /** Is gone at once. */
  readonly destroy: Effect.Effect<void>
  /** Reads no more. */
  readonly pause: Effect.Effect<void>
  readonly resume: Effect.Effect<void>
  /** Returns when the connection has closed. */
  readonly closed: Effect.Effect<void, NothingCame>
}

interface Waiter {
  readonly matches: (message: Message) => boolean
  readonly found: (message: Message) => void
  readonly ended: () => void
}

/** Connects to the socket at a path. */
export const connect = Effect.fnUntraced(function* (
  path: string
): Effect.fn.Return<LineClient, NothingCame, Scope.Scope> {
  const socket = yield* Effect.acquireRelease(dial(path), (socket) => Effect.sync(() => socket.destroy()))
  const received: Array<Message> = []
  let untaken: Array<Message> = []
  let waiters: Array<Waiter> = []
  let nextId = 0

  const receive = (line: string) => {
    const message = JSON.parse(line) as Message
    received.push(message)
    const waiter = waiters.find((waiter) => waiter.matches(message))
    if (waiter === undefined) untaken.push(message)
    else {
      waiters = waiters.filter((other) => other !== waiter)
      waiter.found(message)
    }
  }
  let pieces: Array<Buffer> = []
  socket.on("data", (chunk) => {
    let from = 0
    for (let end = chunk.indexOf(lineFeed); end !== -1; end = chunk.indexOf(lineFeed, from)) {
      receive(Buffer.concat([...pieces, chunk.subarray(from, end)]).toString())
      pieces = []
      from = end + 1
    }
    if (from < chunk.length) pieces.push(chunk.subarray(from))
  })
  socket.on("close", () => {
    for (const waiter of waiters.splice(0)) waiter.ended()
  })

  const take = (waitedFor: string, matches: (message: Message) => boolean) =>
    bounded(
      waitedFor,
      Effect.callback<Message, NothingCame>((resume) => {
        const found = (message: Message) => resume(Effect.succeed(message))
        const ended = () => resume(Effect.fail(new NothingCame({ waitedFor, why: "the connection has closed" })))
        const message = untaken.find(matches)
        if (message !== undefined) {
          untaken = untaken.filter((other) => other !== message)
          return found(message)
        }
        if (socket.destroyed) return ended()
        const waiter = { matches, found, ended }
        waiters.push(waiter)
        return Effect.sync(() => {
          waiters = waiters.filter((other) => other !== waiter)
        })
      })
    )

  const sendRaw: LineClient["sendRaw"] = (bytes) => Effect.sync(() => void socket.write(bytes))
  const send: LineClient["send"] = (message) => sendRaw(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`)
  const notify: LineClient["notify"] = (method, params) => send({ method, params })
  const answer: LineClient["answer"] = (id) => {
    const wanted = JSON.stringify(id)
    return take(
      `the answer to ${wanted}`,
      (message) => message.method === undefined && JSON.stringify(message.id) === wanted
    )
  }
  const request: LineClient["request"] = (method, params, id) =>
    Effect.suspend(() => {
      const used = id === undefined ? nextId++ : id
      return Effect.andThen(send({ id: used, method, params }), answer(used))
    })

  return {
    received: () => received,
    send,
    sendRaw,
    flushed: Effect.callback((resume) => {
      socket.write("", () => resume(Effect.void))
    }),
    request,
    call: (name, args = {}, { id, token } = {}) => {
      const meta = token === undefined ? {} : { _meta: { progressToken: token } }
      return request("tools/call", { name, arguments: args, ...meta }, id)
    },
    notify,
    answer,
    notification: (method) => take(method, (message) => message.method === method),
    word: (word) => take(word, (message) => message["mcp-pool"] === word),
    initialize: Effect.gen(function* () {
      const answer = yield* request("initialize", {
        protocolVersion: "2025-11-25",
        capabilities: {},
        clientInfo: { name: "line-client", version: "1.0.0" }
      })
      yield* notify("notifications/initialized")
      return answer
    }),
    halfClose: Effect.sync(() => void socket.end()),
    destroy: Effect.sync(() => void socket.destroy()),
    pause: Effect.sync(() => void socket.pause()),
    resume: Effect.sync(() => void socket.resume()),
    closed: bounded(
      "the end of the connection",
      Effect.callback<void>((resume) => {
        if (socket.closed) return resume(Effect.void)
        socket.once("close", () => resume(Effect.void))
      })
    )
  }
})

/** What a socket answers to requests without parameters, each after the one before: lines as they came. */
export const rawAnswers = Effect.fnUntraced(function* (path: string, methods: ReadonlyArray<string>) {
  const socket = yield* Effect.acquireRelease(dial(path), (socket) => Effect.sync(() => socket.destroy()))
  let text = ""
  let onLine: ((line: string) => void) | null = null
  socket.on("data", (chunk) => {
    text += chunk.toString("utf8")
    if (text.endsWith("\n")) onLine?.(text)
  })
  return yield* Effect.forEach(methods, (method, id) =>
    bounded(
      method,
      Effect.callback<string>((resume) => {
        text = ""
        onLine = (line) => resume(Effect.succeed(line))
        socket.write(`${JSON.stringify({ jsonrpc: "2.0", id, method })}\n`)
      })
    )
  )
})

/** The text of a tool's result, or the message of its error. */
export const textOf = (message: Message): string => {
  if (message.error !== undefined) return message.error.message
  const content = message.result?.["content"] as ReadonlyArray<{ readonly text: string }>
  return content[0]?.text ?? ""
}

/** The kind of the pool's own error; undefined for a result, and for the server's own error. */
export const kindOf = (message: Message): unknown =>
  (message.error?.data as { readonly kind?: unknown } | undefined)?.kind

const dial = (path: string): Effect.Effect<net.Socket, NothingCame> =>
  Effect.callback((resume) => {
    const socket = net.connect({ path, allowHalfOpen: true })
    socket.once("connect", () => resume(Effect.succeed(socket)))
    // What goes wrong later ends the connection; "close" follows.
    socket.on("error", (error) => resume(Effect.fail(new NothingCame({ waitedFor: path, why: error.message }))))
    socket.on("end", () => socket.end())
  })

/** Nothing that a test waits for takes so long. */
const bounded = <A, E>(waitedFor: string, effect: Effect.Effect<A, E>): Effect.Effect<A, E | NothingCame> =>
  Effect.timeoutOrElse(effect, {
    duration: "5 seconds",
    orElse: () => Effect.fail(new NothingCame({ waitedFor, why: "not within 5 seconds" }))
  })

const lineFeed = 0x0a
