/**
 * A plain MCP client over one server's socket, enough for one call. Lives as long as its scope; a call that is
 * interrupted ends with the connection.
 */
import { Deferred, Effect, type Scope } from "effect"
import * as Net from "node:net"
import { type Line, LineReader } from "../lines/LineReader.ts"
import { Envelope, Key } from "../mux/Envelope.ts"
import { version } from "../version.ts"
import { ConnectionFailed, RequestFailed } from "./CommandError.ts"

export interface Options {
  readonly server: string
  /** The path of the server's socket. */
  readonly socket: string
  readonly onProgress: (progress: Progress) => void
}

/** https://modelcontextprotocol.io/specification/2025-11-25/basic/utilities/progress */
export interface Progress {
  readonly progress: number
  readonly total?: number
  readonly message?: string
}

export interface McpClient {
  readonly initialize: Effect.Effect<void, ConnectionFailed | RequestFailed>
  /** The result as the server wrote it. */
  readonly callTool: (
    tool: string,
    args: Readonly<Record<string, unknown>>
  ) => Effect.Effect<string, ConnectionFailed | RequestFailed>
  /** Tells the server that nobody waits for the call, and returns when that is written. */
  readonly cancel: (reason: string) => Effect.Effect<void>
}

export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<McpClient, ConnectionFailed, Scope.Scope> {
  const failed = (reason: string) =>
    new ConnectionFailed({ server: options.server, socket: options.socket, reason })
  const socket = yield* connect(options.socket, failed)
  const answers = new Map<number, Deferred.Deferred<string, ConnectionFailed | RequestFailed>>()

  const receive = (line: Line) => {
    const message = readMessage(line)
    if (message === undefined) return
    if (message.method !== undefined) {
      if (message.id !== undefined) socket.write(frame(replyTo(message)))
      else if (message.method === "notifications/progress") options.onProgress(message.params as Progress)
      return
    }
    const answer = answers.get(message.id as number)
    if (answer === undefined) return
    answers.delete(message.id as number)
    Deferred.doneUnsafe(
      answer,
      message.error === undefined ? Effect.succeed(message.result) : Effect.fail(requestFailed(message.error))
    )
  }
  const fail = (error: ConnectionFailed) => {
    for (const answer of answers.values()) Deferred.doneUnsafe(answer, Effect.fail(error))
    answers.clear()
  }
  const reader = new LineReader({
    maxLine,
    receiver: {
      onLine: receive,
      onLongLine: ({ length }) => fail(failed(`an answer of ${length} bytes is too long`))
    }
  })
  socket.on("data", (chunk) => reader.feed(chunk))
  socket.on("error", (error: NodeJS.ErrnoException) => fail(failed(error.code ?? error.message)))
  socket.on("close", () => fail(failed("the connection was closed")))

  const request = (id: number, method: string, params: object) =>
    Effect.suspend(() => {
      const answer = Deferred.makeUnsafe<string, ConnectionFailed | RequestFailed>()
      if (socket.destroyed) return Effect.fail(failed("the connection was closed"))
      answers.set(id, answer)
      socket.write(frame({ id, method, params }))
      return Deferred.await(answer)
    })

  return {
    initialize: Effect.gen(function* () {
      yield* request(initializeId, "initialize", {
        protocolVersion,
        capabilities: {},
        clientInfo: { name: "mcp-pool call", version }
      })
      socket.write(frame({ method: "notifications/initialized" }))
    }),
    callTool: (name, args) =>
      request(callId, "tools/call", { name, arguments: args, _meta: { progressToken: callId } }),
    cancel: (reason) =>
      Effect.callback<void>((resume) => {
        if (socket.destroyed || !answers.has(callId)) return resume(Effect.void)
        socket.end(frame({ method: "notifications/cancelled", params: { requestId: callId, reason } }), () =>
          resume(Effect.void)
        )
      })
  }
})

const protocolVersion = "2025-11-25"
const initializeId = 1
const callId = 2
/** More than any pool lets through by default, and still a bound. */
const maxLine = 256 * 1024 * 1024

const connect = (path: string, failed: (reason: string) => ConnectionFailed) =>
  Effect.acquireRelease(
    Effect.callback<Net.Socket, ConnectionFailed>((resume) => {
      const socket = Net.connect({ path })
      socket.once("error", (error: NodeJS.ErrnoException) => resume(Effect.fail(failed(error.code ?? error.message))))
      socket.once("connect", () => {
        socket.removeAllListeners("error")
        resume(Effect.succeed(socket))
      })
      return Effect.sync(() => socket.destroy())
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

interface Message {
  readonly id: unknown
  readonly method: unknown
  readonly params: unknown
  readonly error: unknown
  /** As it was written. */
  readonly result: string
}

/** Undefined for what is no message. */
const readMessage = (line: Line): Message | undefined => {
  const envelope = new Envelope()
  const text = line.bytes.toString("utf8", line.start, line.end)
  let message: unknown
  try {
    message = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof message !== "object" || message === null) return undefined
  envelope.scan(line.bytes, line.start, line.end)
  const result = envelope.has(Key.outcome)
    ? line.bytes.toString("utf8", envelope.start[Key.outcome], envelope.end[Key.outcome])
    : "null"
  return { id: undefined, method: undefined, params: undefined, error: undefined, ...message, result }
}

const frame = (message: object): string => `${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`

/** Nothing is offered but a sign of life. */
const replyTo = ({ id, method }: Message): object =>
  method === "ping"
    ? { id, result: {} }
    : { id, error: { code: -32601, message: `mcp-pool call does not support ${String(method)}` } }

const requestFailed = (error: unknown): RequestFailed => {
  const { code, message, data } = error as {
    readonly code?: unknown
    readonly message?: unknown
    readonly data?: { readonly kind?: unknown } | null
  }
  const kind = data?.kind
  return new RequestFailed({
    code: typeof code === "number" ? code : 0,
    reason: typeof message === "string" ? message : "",
    kind: typeof kind === "string" ? kind : null
  })
}
