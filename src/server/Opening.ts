/**
 * The pool's own conversation with a new process, before sessions are let in: it asks one thing after another, answers
 * what the server asks, and keeps what the server says meanwhile for later. Lives until sessions are let in.
 */
import type { Tool } from "@modelcontextprotocol/sdk/types.js"
import { Effect, Option } from "effect"
import type { PoolSettings } from "../config/ServerSpec.ts"
import type { Line, LongLine } from "../lines/LineReader.ts"
import { internalError, methodNotFound } from "../WireError.ts"
import { type Era, metaOf, poolMeta } from "./Era.ts"
import { type Handshake, handshakeOf, type Hello } from "./Handshake.ts"
import type { Receiver } from "./Transport.ts"

export interface OpeningOptions {
  readonly hello: Hello
  /** What the server was found to be before: what it is asked first. */
  readonly era: Era
  /** Whether `notifications/initialized` follows. */
  readonly announces: boolean
  /** The answer to `roots/list`; undefined where they are not declared. */
  readonly roots: PoolSettings["roots"]
  readonly write: (line: string) => void
  /** A line that is no JSON-RPC message. */
  readonly onStray: (text: string) => void
  /** Nothing is awaited: what else the server says may stay in the pipe, and until when. */
  readonly onAnswer: () => void
  readonly onAwait: () => void
  /** The handshake is done, and nothing has been said since. */
  readonly onShaken?: (handshake: Handshake) => void
}

interface Answer {
  readonly result: unknown
  /** The server's own error. */
  readonly error: { readonly [key: string]: unknown } | null
}

export class Opening implements Receiver {
  readonly #options: OpeningOptions
  #nextId = 0
  #awaited: { readonly id: number; readonly resume: (answer: Answer) => void } | null = null
  /** The server has said so since it was last asked for its tools. */
  #hasListChanged = false
  #onListChanged: (() => void) | null = null
  #early: Array<Buffer> = []
  #earlyBytes = 0
  #isShaken = false
  /** It says that the tools which it lists are one client's alone. */
  areToolsPrivate = false
  /** It has answered `initialize` with an error. */
  #hasRefused = false
  #era: Era

  constructor(options: OpeningOptions) {
    this.#options = options
    this.#era = options.era
  }

  /** The handshake, of the one era or of the other; fails with what is wrong with the server's answer. */
  readonly open: Effect.Effect<Handshake, string> = Effect.suspend(() =>
    this.#options.era === "legacy"
      ? this.#initialize.pipe(
          // One that knows no `initialize` says so by an error: what else is wrong with it is the news then.
          Effect.catch((reason) =>
            this.#hasRefused ? Effect.mapError(this.#discoverInTime, () => reason) : Effect.fail(reason)
          )
        )
      : this.#discover.pipe(Effect.catch(() => this.#initialize))
  ).pipe(
    Effect.tap((handshake) =>
      Effect.sync(() => {
        const { era } = handshake
        this.#era = era
        this.#options.onShaken?.(handshake)
        this.#isShaken = true
        if (this.#options.announces && era === "legacy") this.#say({ method: "notifications/initialized" })
      })
    )
  )

  readonly #initialize: Effect.Effect<Handshake, string> = Effect.suspend(() =>
    this.#ask("initialize", this.#options.hello)
  ).pipe(
    Effect.flatMap(({ error, result }) => {
      if (error !== null) {
        this.#hasRefused = true
        return Effect.fail(`initialize was answered with ${nameOf(error)}`)
      }
      if (!isRecord(result) || typeof result["protocolVersion"] !== "string") {
        return Effect.fail("initialize was answered without a protocolVersion")
      }
      const handshake = handshakeOf(result)
      if (handshake === null) {
        return Effect.fail(`the pool does not speak its protocol version ${JSON.stringify(result["protocolVersion"])}`)
      }
      return Effect.succeed(handshake)
    })
  )

  readonly #discover: Effect.Effect<Handshake, string> = Effect.suspend(() =>
    this.#ask("server/discover", { _meta: metaOf(this.#options.hello) })
  ).pipe(
    Effect.flatMap(({ error, result }) => {
      if (error !== null) return Effect.fail(`server/discover was answered with ${nameOf(error)}`)
      const handshake = handshakeOf(result)
      if (handshake?.era !== "modern")
        return Effect.fail("server/discover was answered without a version of the pool's")
      return Effect.succeed(handshake)
    })
  )

  /** One that refused `initialize` may be silent from then on. */
  readonly #discoverInTime: Effect.Effect<Handshake, string> = Effect.flatMap(
    Effect.timeoutOption(this.#discover, discoverTime),
    Option.match({ onNone: () => Effect.fail("no answer to server/discover"), onSome: Effect.succeed })
  )

  /** All pages of its tools; none where it answers with an error. */
  readonly listTools: Effect.Effect<Option.Option<ReadonlyArray<Tool>>> = Effect.gen({ self: this }, function* () {
    const tools: Array<Tool> = []
    this.#hasListChanged = false
    let cursor: string | undefined
    do {
      const meta = this.#era === "modern" ? { _meta: poolMeta } : {}
      const { error, result } = yield* this.#ask("tools/list", { ...meta, ...(cursor === undefined ? {} : { cursor }) })
      if (error !== null || !isRecord(result) || !Array.isArray(result["tools"])) return Option.none()
      if (result["cacheScope"] === "private") this.areToolsPrivate = true
      tools.push(...(result["tools"] as Array<unknown>).filter(isTool))
      cursor = typeof result["nextCursor"] === "string" ? result["nextCursor"] : undefined
    } while (cursor !== undefined && tools.length < maxTools)
    return Option.some(tools)
  })

  /** Returns when the server says that its tools have changed since they were listed. */
  readonly toolsChanged: Effect.Effect<void> = Effect.callback((resume) => {
    if (this.#hasListChanged) return resume(Effect.void)
    this.#options.onAwait()
    this.#onListChanged = () => resume(Effect.void)
    return Effect.sync(() => {
      this.#onListChanged = null
    })
  })

  /** Whether the server is to say something. */
  get isAwaiting(): boolean {
    return this.#awaited !== null || this.#onListChanged !== null
  }

  /** Notifications since the handshake, as they came. */
  takeEarly(): ReadonlyArray<Buffer> {
    return this.#early.splice(0)
  }

  onLine(line: Line): void {
    const text = line.bytes.toString("utf8", line.start, line.end)
    const message = parse(text)
    if (message === undefined) return this.#options.onStray(text)
    const { error, id, method, result } = message
    if (method !== undefined) {
      if (id !== undefined) return this.#answer(id, method)
      if (this.#isShaken) this.#keep(line)
      if (method === "notifications/tools/list_changed") {
        this.#hasListChanged = true
        this.#onListChanged?.()
      }
      return
    }
    const awaited = this.#awaited
    if (awaited === null || id !== awaited.id) {
      // Nobody waits for it any more, or it was never asked for.
      return typeof id === "number" && id < this.#nextId ? undefined : this.#options.onStray(text)
    }
    this.#awaited = null
    this.#options.onAnswer()
    awaited.resume({ result, error: isRecord(error) ? error : null })
  }

  onLost(id: number, reason: string): void {
    const awaited = this.#awaited
    if (awaited?.id !== id) return
    this.#awaited = null
    awaited.resume({ result: undefined, error: { code: internalError, message: reason } })
  }

  onLongLine(line: LongLine): void {
    this.#options.onStray(`a line of ${line.length} bytes, longer than maxLine`)
  }

  #ask(method: string, params: object): Effect.Effect<Answer> {
    return Effect.callback((resume) => {
      const id = this.#nextId++
      this.#awaited = { id, resume: (answer) => resume(Effect.succeed(answer)) }
      this.#say({ id, method, params })
      this.#options.onAwait()
      return Effect.sync(() => {
        this.#awaited = null
      })
    })
  }

  /** Only a ping may come before `initialized`; later the pool knows its roots, and has no client to ask. */
  #answer(id: unknown, method: unknown): void {
    const { roots } = this.#options
    if (method === "roots/list" && roots !== undefined) return this.#say({ id, result: { roots } })
    const error = { code: methodNotFound, message: "nobody is there to ask yet" }
    this.#say(method === "ping" ? { id, result: {} } : { id, error })
  }

  #keep(line: Line): void {
    this.#earlyBytes += line.end - line.start
    if (this.#earlyBytes <= maxEarly) this.#early.push(line.copyBytes())
  }

  #say(message: object): void {
    this.#options.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`)
  }
}

const isRecord = (value: unknown): value is { readonly [key: string]: unknown } =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** The pool's own, which its transport gives, tell what happened; what a server writes is not shown. */
const nameOf = ({ code, message }: NonNullable<Answer["error"]>): string =>
  code === internalError ? String(message) : `error ${Number(code)}`

const isTool = (value: unknown): value is Tool => isRecord(value) && typeof value["name"] === "string"

const parse = (text: string): { readonly [key: string]: unknown } | undefined => {
  try {
    const value: unknown = JSON.parse(text)
    return isRecord(value) && ("method" in value || "id" in value) ? value : undefined
  } catch {
    return undefined
  }
}

/** Where a server's pages do not end. */
const maxTools = 10_000
/** How long `server/discover` is waited for where `initialize` was refused. */
const discoverTime = "5 seconds"
/** Bytes of notifications that are kept. */
const maxEarly = 1024 * 1024
