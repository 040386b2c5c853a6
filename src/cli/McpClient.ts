/**
 * A plain MCP client over one server's socket, enough for one call. Lives as long as its scope; what is still asked when
 * it closes is cancelled by the pool.
 */
import { type Cause, Deferred, Effect, Fiber, Option, Queue, Schema, type Scope, Stream } from "effect"
import * as Net from "node:net"
import { Progress } from "../Connections.ts"
import { type Line, LineReader } from "../lines/LineReader.ts"
import { Envelope, Key } from "../message/Envelope.ts"
import { version } from "../version.ts"
import { ConnectionFailed, RequestFailed } from "./CommandError.ts"

export interface McpClient {
  readonly initialize: Effect.Effect<void, ConnectionFailed | RequestFailed>
  /** Returns the result as the server wrote it. */
  readonly callTool: (options: {
    readonly name: string
    /** A JSON object, sent as it is written. */
    readonly args: string
    readonly onProgress: (progress: Progress) => Effect.Effect<void>
  }) => Effect.Effect<string, ConnectionFailed | RequestFailed>
  /** Tells the server that nobody waits for the call any more. */
  readonly cancel: (reason: string) => Effect.Effect<void>
}

export interface Options {
  readonly server: string
  /** The path of the server's socket. */
  readonly socket: string
}

export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<McpClient, ConnectionFailed, Scope.Scope> {
  const failed = (reason: string) => new ConnectionFailed({ ...options, reason })
  const socket = yield* connect(options.socket, failed)
  const answers = new Map<unknown, Deferred.Deferred<string, ConnectionFailed | RequestFailed>>()
  const progress = yield* Queue.make<Progress, Cause.Done>({ capacity: maxUnreadProgress, strategy: "sliding" })

  const answer = (id: unknown, outcome: Effect.Effect<string, ConnectionFailed | RequestFailed>) => {
    const waiting = answers.get(id)
    if (waiting === undefined) return
    answers.delete(id)
    Deferred.doneUnsafe(waiting, outcome)
  }
  const failAll = (error: ConnectionFailed) => {
    for (const id of answers.keys()) answer(id, Effect.fail(error))
  }
  const receive = (line: Line) => {
    const decoded = decodeMessage(line.bytes.toString("utf8", line.start, line.end))
    if (Option.isNone(decoded)) return
    const message = decoded.value
    if (message.method === undefined) {
      answer(message.id, "error" in message ? Effect.fail(requestFailed(message.error)) : Effect.succeed(outcome(line)))
    } else if ("id" in message) {
      socket.write(frame(replyTo(message.id, message.method)))
    } else if (message.method === "notifications/progress") {
      const update = decodeProgress(message.params)
      if (Option.isSome(update)) Queue.offerUnsafe(progress, update.value)
    }
  }
  const reader = new LineReader({
    maxLine,
    receiver: {
      onLine: receive,
      onLongLine: ({ length }) => failAll(failed(`it sent an answer of ${length} bytes`))
    }
  })
  socket.on("data", (chunk) => reader.feed(chunk))
  socket.on("error", (error: NodeJS.ErrnoException) => failAll(failed(error.code ?? error.message)))
  socket.on("close", () => failAll(failed("it closed the connection")))

  const request = (id: number, text: string) =>
    Effect.suspend(() => {
      if (socket.destroyed) return Effect.fail(failed("it closed the connection"))
      const waiting = Deferred.makeUnsafe<string, ConnectionFailed | RequestFailed>()
      answers.set(id, waiting)
      socket.write(text)
      return Deferred.await(waiting)
    })

  return {
    initialize: Effect.gen(function* () {
      const params = { protocolVersion, capabilities: {}, clientInfo: { name: "mcp-pool call", version } }
      yield* request(initializeId, frame({ id: initializeId, method: "initialize", params }))
      socket.write(frame({ method: "notifications/initialized" }))
    }),
    callTool: Effect.fnUntraced(function* ({ name, args, onProgress }) {
      const shown = yield* Stream.fromQueue(progress).pipe(Stream.runForEach(onProgress), Effect.forkChild)
      return yield* Effect.ensuring(
        request(callId, callFrame(name, args)),
        Effect.andThen(Queue.end(progress), Fiber.await(shown))
      )
    }),
    cancel: (reason) =>
      Effect.callback<void>((resume) => {
        if (socket.destroyed || !answers.has(callId)) return resume(Effect.void)
        const params = { requestId: callId, reason }
        socket.write(frame({ method: "notifications/cancelled", params }), () => resume(Effect.void))
      })
  }
})

const protocolVersion = "2025-11-25"
const initializeId = 1
const callId = 2
const maxUnreadProgress = 1024
/** Far more than a pool lets through by default, and still a bound. */
const maxLine = 256 * 1024 * 1024

const connect = (path: string, failed: (reason: string) => ConnectionFailed) =>
  Effect.acquireRelease(
    Effect.callback<Net.Socket, ConnectionFailed>((resume) => {
      const socket = Net.connect({ path })
      socket.once("error", (error: NodeJS.ErrnoException) => resume(Effect.fail(failed(error.code ?? error.message))))
      socket.once("connect", () => resume(Effect.succeed(socket)))
      return Effect.sync(() => socket.destroy())
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

const decodeMessage = Schema.decodeUnknownOption(
  Schema.fromJsonString(
    Schema.Struct({
      id: Schema.optionalKey(Schema.Unknown),
      method: Schema.optionalKey(Schema.String),
      params: Schema.optionalKey(Schema.Unknown),
      error: Schema.optionalKey(Schema.Unknown)
    })
  )
)
const decodeProgress = Schema.decodeUnknownOption(Progress)

const envelope = new Envelope()

/** A response's result, byte for byte. */
const outcome = ({ bytes, start, end }: Line): string => {
  envelope.scan(bytes, start, end)
  if (!envelope.has(Key.outcome)) return "null"
  return bytes.toString("utf8", envelope.start[Key.outcome], envelope.end[Key.outcome])
}

const frame = (message: object): string => `${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`

/** The arguments stand there as they were given: a line break in JSON is white space, and would end the frame. */
const callFrame = (name: string, args: string): string => {
  const params = `{"name":${JSON.stringify(name)},"arguments":${args.replace(/[\r\n]/g, " ")},"_meta":{"progressToken":${callId}}}`
  return `{"jsonrpc":"2.0","id":${callId},"method":"tools/call","params":${params}}\n`
}

/** Nothing is offered but a sign of life. */
const replyTo = (id: unknown, method: string): object =>
  method === "ping"
    ? { id, result: {} }
    : { id, error: { code: -32601, message: `mcp-pool call does not support ${method}` } }

const decodeError = Schema.decodeUnknownOption(
  Schema.Struct({ code: Schema.Finite, message: Schema.String, data: Schema.optionalKey(Schema.Unknown) })
)
const decodeKind = Schema.decodeUnknownOption(Schema.Struct({ kind: Schema.String }))

const requestFailed = (error: unknown): RequestFailed => {
  const { code, message, data } = Option.getOrElse(decodeError(error), () => ({ code: 0, message: "", data: null }))
  const kind = Option.getOrNull(Option.map(decodeKind(data), ({ kind }) => kind))
  return new RequestFailed({ code, reason: message, kind })
}
