/**
 * `Connections` of a running daemon: one MCP connection a server over its Unix socket, opened at its first request and
 * anew at the next one where it broke. Lives as long as its layer's scope. The messages' path is plain callbacks.
 */
import { Config, Effect, Layer, Option, Predicate, Result, Schema, type Scope } from "effect"
import * as Net from "node:net"
import * as Os from "node:os"
import {
  Connections,
  type ConnectionError,
  type ListChange,
  listChanges,
  Progress,
  RequestRejected
} from "../Connections.ts"
import * as ControlClient from "../control/ControlClient.ts"
import { type Line, LineReader, type LongLine } from "../lines/LineReader.ts"
import { LineWriter } from "../lines/LineWriter.ts"
import { responseIdOf } from "../message/ResponseEnds.ts"
import * as Reply from "../mux/Reply.ts"
import {
  OutcomeUnknown,
  Overloaded,
  RequestTimeout,
  ResultTooLarge,
  ServerNotFound,
  ServerUnavailable
} from "../PoolError.ts"
import * as RuntimeDir from "../RuntimeDir.ts"
import * as Feed from "../server/Feed.ts"
import { version } from "../version.ts"
import { methodNotFound } from "../WireError.ts"
import { malformed, type Refused, refusedBy } from "./ErrorAnswer.ts"

/** Which daemon. */
export interface Options {
  /** Where the daemon's sockets are; by default where the command line looks for them. */
  readonly runtimeDir?: string | undefined
}

/** The connections to the daemon; fails where none serves the directory. */
export const make = Effect.fnUntraced(function* (
  options: Options = {}
): Effect.fn.Return<Connections["Service"], ControlClient.DaemonNotRunning, Scope.Scope> {
  const runtimeDir = yield* resolve(options.runtimeDir)
  const sockets = yield* socketsOf(runtimeDir)
  const names = [...sockets.keys()]
  const changes = Feed.make<ListChange>(maxUnseenChanges)
  const connections = new Map<string, Connection>()
  const known = new Set<string>()
  let isClosed = false
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      isClosed = true
      for (const connection of connections.values()) connection.close()
    })
  )

  const open = (server: string, path: string): Connection => {
    const connection = new Connection({
      server,
      path,
      hint: `is its daemon there? mcp-pool status --runtime-dir ${runtimeDir}`,
      onReady: () => {
        // What the server said while there was no connection, nobody has heard.
        if (known.has(server)) for (const list of listChanges.values()) changes.publish({ server, list })
        known.add(server)
      },
      onListChanged: (list) => changes.publish({ server, list })
    })
    connections.set(server, connection)
    return connection
  }

  const request: Connections["Service"]["request"] = (
    server,
    method,
    params,
    { onProgress, timeout = Infinity } = {}
  ) =>
    Effect.callback<unknown, ConnectionError>((resume) => {
      const path = sockets.get(server)
      if (path === undefined) return resume(Effect.fail(new ServerNotFound({ server, names })))
      if (isClosed) return resume(Effect.fail(unreachable(server, "closed", null)))
      const current = connections.get(server)
      const connection = current === undefined || current.isEnded ? open(server, path) : current
      const id = connection.ask(method, params, {
        deadline: performance.now() + timeout,
        done: (outcome) => resume(Effect.fromResult(outcome)),
        onProgress:
          onProgress === undefined
            ? undefined
            : (progress) => {
                try {
                  onProgress(progress)
                } catch (cause) {
                  // A bug of one caller must not take the others' connection down.
                  connection.withdraw(id, "interrupted")
                  resume(Effect.die(cause))
                }
              }
      })
      return Effect.sync(() => void connection.withdraw(id, "interrupted"))
    })

  return Connections.of({
    names,
    request,
    changes: changes.stream,
    ready: ControlClient.make({ runtimeDir }).pipe(
      Effect.flatMap(({ settled }) => settled),
      Effect.scoped,
      Effect.ignore
    )
  })
})

/** Which servers there are is asked once, when the layer is built. */
export const layer = (options: Options = {}): Layer.Layer<Connections, ControlClient.DaemonNotRunning> =>
  Layer.effect(Connections, make(options))

const resolve = Effect.fnUntraced(function* (flag: string | undefined) {
  const variable = yield* Effect.orDie(Config.option(Config.String("MCP_POOL_RUNTIME_DIR")))
  const env = { MCP_POOL_RUNTIME_DIR: Option.getOrUndefined(variable) }
  return RuntimeDir.resolve({ flag, env, home: Os.homedir() })
})

/** The path of each server's socket, by name. */
const socketsOf = (runtimeDir: string): Effect.Effect<ReadonlyMap<string, string>, ControlClient.DaemonNotRunning> =>
  ControlClient.make({ runtimeDir }).pipe(
    Effect.flatMap(({ status }) => status),
    Effect.scoped,
    Effect.map(
      ({ servers }) =>
        new Map(servers.map(({ name, socket }) => [name, socket ?? RuntimeDir.serverSocket(runtimeDir, name)]))
    ),
    Effect.catchTag("DaemonGone", () =>
      Effect.fail(new ControlClient.DaemonNotRunning({ runtimeDir, code: "ECONNRESET" }))
    )
  )

type Outcome = Result.Result<unknown, Refused>

interface Asked {
  /** Milliseconds, as `performance` counts them. */
  readonly deadline: number
  readonly done: (outcome: Outcome) => void
  readonly onProgress: ((progress: Progress) => void) | undefined
}

interface ConnectionOptions {
  readonly server: string
  /** Of its socket. */
  readonly path: string
  /** What a person can do where nobody answers there. */
  readonly hint: string
  /** The handshake is done. */
  readonly onReady: () => void
  readonly onListChanged: (list: ListChange["list"]) => void
}

/** One connection, from dialling to its end. Fibers go on within `done`, so it must be ready for anything they ask. */
class Connection {
  /** Nothing can be asked of it any more. */
  isEnded = false
  readonly #options: ConnectionOptions
  readonly #socket: Net.Socket
  readonly #out: LineWriter
  readonly #asked = new Map<number, Asked>()
  /** Requests as text, while they wait for the handshake; null once that is done. */
  #held: Map<number, string> | null = new Map()
  #heldLength = 0
  #nextId = initializeId + 1
  /** One for all deadlines, and only while there are some. */
  #sweep: NodeJS.Timeout | null = null

  constructor(options: ConnectionOptions) {
    this.#options = options
    this.#socket = Net.connect({ path: options.path })
    this.#out = new LineWriter(this.#socket)
    const reader = new LineReader({
      maxLine,
      receiver: { onLine: (line) => this.#receive(line), onLongLine: (line) => this.#receiveLong(line) }
    })
    this.#socket.on("data", (chunk) => reader.feed(chunk))
    this.#socket.on("error", (error: NodeJS.ErrnoException) => this.#break(error.code ?? error.message))
    this.#socket.on("end", () => this.#break("it closed the connection"))
    this.#socket.on("close", () => this.#break("it closed the connection"))
    const done = (outcome: Outcome) => this.#onHandshake(outcome)
    this.#asked.set(initializeId, { deadline: Infinity, done, onProgress: undefined })
    const clientInfo = { name: "effect-mcp-pool", version }
    this.#out.push(Reply.request(initializeId, "initialize", { protocolVersion, capabilities: {}, clientInfo }))
  }

  /** Its id, by which it can be withdrawn; `done` is called once, unless it is. */
  ask(method: string, params: { readonly [key: string]: unknown }, asked: Asked): number {
    const id = this.#nextId++
    const text = Reply.request(id, method, withToken(params, asked.onProgress === undefined ? undefined : id))
    const excess = this.#excess()
    if (excess !== null) {
      asked.done(Result.fail(new Overloaded({ server: this.#options.server, reason: excess })))
      return id
    }
    this.#asked.set(id, asked)
    if (asked.deadline !== Infinity) this.#sweepSoon()
    if (this.#held === null) this.#out.push(text)
    else {
      this.#held.set(id, text)
      this.#heldLength += text.length
    }
    return id
  }

  /** Nobody waits for it any more: it is cancelled at the server, if it was sent. Says whether it was still unanswered. */
  withdraw(id: number, reason: string): boolean {
    if (!this.#asked.delete(id)) return false
    const held = this.#held?.get(id)
    if (held === undefined) this.#out.push(Reply.notification("notifications/cancelled", { requestId: id, reason }))
    else {
      this.#held?.delete(id)
      this.#heldLength -= held.length
    }
    return true
  }

  close(): void {
    this.#end(unreachable(this.#options.server, "closed", null))
  }

  #break(reason: string): void {
    this.#end(unreachable(this.#options.server, reason, this.#options.hint))
  }

  /** What was sent may have run; what was held has not, for that reason. */
  #end(reason: Refused): void {
    if (this.isEnded) return
    this.isEnded = true
    clearTimeout(this.#sweep ?? undefined)
    this.#out.discard()
    this.#socket.destroy()
    const outcome = Result.fail(this.#held === null ? new OutcomeUnknown({ server: this.#options.server }) : reason)
    const asked = [...this.#asked.values()]
    this.#asked.clear()
    for (const { done } of asked) done(outcome)
  }

  #sweepSoon(): void {
    this.#sweep ??= setTimeout(() => {
      this.#sweep = null
      const now = performance.now()
      const late = [...this.#asked].filter(([, { deadline }]) => deadline <= now)
      for (const [id, { done }] of late) {
        // Fibers go on within `done`: it may be withdrawn by now.
        if (!this.withdraw(id, "timed out")) continue
        done(Result.fail(new RequestTimeout({ server: this.#options.server })))
      }
      if ([...this.#asked.values()].some(({ deadline }) => deadline !== Infinity)) this.#sweepSoon()
    }, sweepInterval)
  }

  #onHandshake(outcome: Outcome): void {
    if (Result.isFailure(outcome)) return this.#end(outcome.failure)
    this.#out.push(Reply.notification("notifications/initialized"))
    for (const text of this.#held?.values() ?? []) this.#out.push(text)
    this.#held = null
    this.#heldLength = 0
    this.#options.onReady()
  }

  /** Why nothing more can be asked now; null where it can. */
  #excess(): string | null {
    if (this.#asked.size >= maxInFlight) return `${maxInFlight} requests are not answered yet`
    return this.#heldLength + this.#out.unread > maxUnsent ? "too much has not been sent yet" : null
  }

  #receive(line: Line): void {
    if (this.isEnded) return
    const decoded = decodeMessage(line.bytes.toString("utf8", line.start, line.end))
    if (Option.isNone(decoded)) return
    const { error, id, method, params, result } = decoded.value
    if (method === undefined) {
      if (typeof id === "number") this.#answer(id, outcomeOf(this.#options.server, result, error))
    } else if ("id" in decoded.value) this.#answerQuestion(JSON.stringify(id), method)
    else if (method === "notifications/progress") this.#progress(params)
    else {
      const list = listChanges.get(method)
      if (list !== undefined) this.#options.onListChanged(list)
    }
  }

  #receiveLong(line: LongLine): void {
    const id = responseIdOf(line)
    // Whose it was does not show, and one would wait for ever.
    if (id === null) return this.#break("it sent a line that is too long")
    this.#answer(id, Result.fail(new ResultTooLarge({ server: this.#options.server, maxLine })))
  }

  #answer(id: number, outcome: Outcome): void {
    const asked = this.#asked.get(id)
    if (asked === undefined) return
    this.#asked.delete(id)
    asked.done(outcome)
  }

  #progress(params: unknown): void {
    const token = decodeToken(params)
    const update = decodeProgress(params)
    if (Option.isNone(token) || Option.isNone(update)) return
    this.#asked.get(token.value.progressToken)?.onProgress?.(update.value)
  }

  /** Nothing is offered but a sign of life; `id` is JSON text. */
  #answerQuestion(id: string, method: string): void {
    if (this.#out.unread > maxUnsent) return this.#break("it reads nothing")
    const unsupported = { code: methodNotFound, message: `effect-mcp-pool does not support ${method}` }
    this.#out.push(method === "ping" ? Reply.result(id, "{}") : Reply.failure(id, unsupported))
  }
}

const protocolVersion = "2025-11-25"
const initializeId = 0
/** What a session of the daemon takes. */
const maxInFlight = 4096
/** Bytes. */
const maxUnsent = 64 * 1024 * 1024
/** Bytes: far more than a pool lets through by default, and still a bound. */
const maxLine = 256 * 1024 * 1024
/** Milliseconds. */
const sweepInterval = 50
const maxUnseenChanges = 1024

const decodeMessage = Schema.decodeUnknownOption(
  Schema.fromJsonString(
    Schema.Struct({
      id: Schema.optionalKey(Schema.Unknown),
      method: Schema.optionalKey(Schema.String),
      params: Schema.optionalKey(Schema.Unknown),
      result: Schema.optionalKey(Schema.Unknown),
      error: Schema.optionalKey(Schema.Unknown)
    })
  )
)
const decodeProgress = Schema.decodeUnknownOption(Progress)
const decodeToken = Schema.decodeUnknownOption(Schema.Struct({ progressToken: Schema.Finite }))

/** The params with the connection's own token, or with none: another one might be that of another request. */
const withToken = (params: { readonly [key: string]: unknown }, progressToken: number | undefined): object => {
  const { _meta } = params
  const { progressToken: foreign, ...meta } = Predicate.isObject(_meta) ? _meta : { progressToken: undefined }
  if (progressToken !== undefined) return { ...params, _meta: { ...meta, progressToken } }
  return foreign === undefined ? params : { ...params, _meta: meta }
}

const outcomeOf = (server: string, result: unknown, error: unknown): Outcome => {
  if (error !== undefined && error !== null) return Result.fail(refusedBy(server, error))
  if (result !== undefined) return Result.succeed(result)
  return Result.fail(new RequestRejected({ server, code: malformed, reason: "the answer has no result" }))
}

const unreachable = (server: string, failure: string, hint: string | null): ServerUnavailable =>
  new ServerUnavailable({ server, state: "unreachable", failure, hint, nextAttemptAt: null })
