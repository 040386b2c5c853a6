/** A server's sharing between processes and clients that live in memory: what each side writes is looked at, or waited for. */
import { Effect } from "effect"
import { vi } from "vitest"
import { LineReader, type LineReceiver } from "../../src/lines/LineReader.ts"
import { LineWriter } from "../../src/lines/LineWriter.ts"
import { CallAccount, type EndedCall } from "../../src/mux/CallAccount.ts"
import { Memory } from "../../src/mux/Memory.ts"
import type { Loss, Replica } from "../../src/mux/Replica.ts"
import { Sharing, type SharingOptions } from "../../src/mux/Sharing.ts"
import { Session } from "../../src/mux/Session.ts"
import type { Upstream } from "../../src/mux/Upstream.ts"
import { ServerUnavailable } from "../../src/PoolError.ts"
import type { ServerProcess } from "../../src/server/ServerProcess.ts"
import { MemoryWritable } from "../lines/MemoryWritable.ts"
import { turn } from "../lines/Turn.ts"

/** A message as a test reads it. */
export interface Message {
  readonly jsonrpc?: string
  readonly id?: unknown
  readonly method?: string
  readonly params?: { readonly [key: string]: unknown }
  readonly result?: { readonly [key: string]: unknown }
  readonly error?: {
    readonly code: number
    readonly message: string
    readonly data?: { readonly [key: string]: unknown }
  }
}

export const parse = (line: string): Message => JSON.parse(line) as Message

/** The lines that were written to a stream. */
export class Inbox {
  #rest: Buffer = Buffer.alloc(0)
  #lines: Array<string> = []
  #waiting: ((line: string) => void) | null = null

  constructor(stream: MemoryWritable) {
    stream.onWrite = (bytes) => {
      let from = 0
      for (let end = bytes.indexOf("\n"); end !== -1; end = bytes.indexOf("\n", from)) {
        const line = Buffer.concat([this.#rest, bytes.subarray(from, end)]).toString("utf8")
        this.#rest = Buffer.alloc(0)
        from = end + 1
        const waiting = this.#waiting
        this.#waiting = null
        if (waiting !== null) waiting(line)
        else this.#lines.push(line)
      }
      this.#rest = Buffer.concat([this.#rest, bytes.subarray(from)])
    }
  }

  /** What has come since it was last looked at, as it was written. */
  lines(): Array<string> {
    return this.#lines.splice(0)
  }

  /** Whether a line has begun and not ended. */
  get isWithinLine(): boolean {
    return this.#rest.length > 0
  }

  /** The same, read. */
  messages(): Array<Message> {
    return this.lines().map(parse)
  }

  /** The next one, as soon as it comes. */
  readonly next: Effect.Effect<Message> = Effect.callback((resume) => {
    const line = this.#lines.shift()
    if (line !== undefined) return resume(Effect.succeed(parse(line)))
    this.#waiting = (line) => resume(Effect.succeed(parse(line)))
  })
}

const textOf = (message: string | object): string => (typeof message === "string" ? message : JSON.stringify(message))

export interface Process {
  readonly process: ServerProcess
  readonly stdin: MemoryWritable
  /** What the server was told, since it was last asked, once all that is on its way has come. */
  readonly told: Effect.Effect<ReadonlyArray<Message>>
  readonly inbox: Inbox
  /** One line of the server's stdout, in one piece or in pieces of so many bytes. */
  readonly say: (message: string | object, piece?: number) => void
  /** Answers a request of the pool. */
  readonly answer: (request: Message, result?: object) => void
}

export const makeProcess = (options?: {
  readonly capabilities?: ServerProcess["handshake"]["capabilities"]
  readonly era?: ServerProcess["handshake"]["era"]
  readonly result?: object
  readonly stdin?: MemoryWritable
  readonly maxLine?: number
  readonly tools?: ServerProcess["tools"]
  /** It has no prompts and no resources, answers so by itself, and what it was told does not show it. */
  readonly isEmpty?: boolean
}): Process => {
  const stdin = options?.stdin ?? new MemoryWritable()
  const inbox = new Inbox(stdin)
  const protocolVersion = "2025-11-25"
  const capabilities = options?.capabilities ?? {}
  let receiver: LineReceiver = { onLine: () => {}, onLongLine: () => {} }
  const reader = new LineReader({
    maxLine: options?.maxLine ?? maxLine,
    receiver: {
      onLine: (line) => receiver.onLine(line),
      onLongLine: (line) => receiver.onLongLine(line),
      onPieces: (pieces, length) => receiver.onPieces?.(pieces, length) ?? false
    }
  })
  let heard = 0
  const say: Process["say"] = (message, piece = Infinity) => {
    heard++
    const bytes = Buffer.from(`${textOf(message)}\n`)
    for (let at = 0; at < bytes.length; at += piece) reader.feed(bytes.subarray(at, at + piece))
  }
  const answer: Process["answer"] = ({ id }, result = {}) => say({ jsonrpc: "2.0", id, result })
  return {
    process: {
      pid: 1,
      startedAt: 0,
      handshake: {
        era: options?.era ?? "legacy",
        protocolVersion,
        capabilities,
        result: { protocolVersion, capabilities, serverInfo: { name: "s", version: "1" }, ...options?.result }
      },
      tools: options?.tools ?? null,
      stdin: new LineWriter(stdin),
      attach: (next) => {
        receiver = next
      },
      heard: () => heard,
      ended: Effect.never
    },
    stdin,
    inbox,
    told: Effect.map(turn, () =>
      inbox.messages().filter((message) => {
        const key = options?.isEmpty === true ? emptyLists[message.method ?? ""] : undefined
        if (key !== undefined) answer(message, { [key]: [] })
        return key === undefined
      })
    ),
    say,
    answer
  }
}

/** Where the items of a list stand in its answer. */
const emptyLists: { readonly [method: string]: string } = {
  "prompts/list": "prompts",
  "resources/list": "resources",
  "resources/templates/list": "resourceTemplates"
}

export interface Client {
  readonly session: Session
  readonly out: MemoryWritable
  readonly inbox: Inbox
  /** What happened to its connection: `idle`, and `close` with the reason. */
  readonly events: Array<string>
  readonly send: (...messages: ReadonlyArray<string | object>) => void
  /** What it was told, since it was last asked, once all that is on its way has come. */
  readonly told: Effect.Effect<ReadonlyArray<Message>>
}

export interface Mux {
  readonly sharing: Sharing
  /** Its first place, and the only one unless it is told otherwise. */
  readonly replica: Replica
  /** What it wants of which place, in order. */
  readonly wanted: Array<string>
  /** Lines of stdout that were no messages. */
  readonly strays: Array<string>
  readonly calls: Array<EndedCall>
  readonly account: CallAccount
  /** Gives it a process, which it returns. */
  readonly attach: (options?: Parameters<typeof makeProcess>[0]) => Process
  /** Requests that the process holds that it was given last. */
  readonly inFlight: () => number
  /** A process ends, the one that it was given last if no other is named: a crash, unless it is told otherwise. */
  readonly detach: (how?: { readonly isCrash?: boolean; readonly process?: Process }) => Loss
  readonly client: (options?: {
    readonly maxLine?: number
    readonly maxUnread?: number
    readonly out?: MemoryWritable
    /** In place of the server itself. */
    readonly upstream?: Upstream
    /** It has said `notifications/initialized`. */
    readonly initialized?: boolean
  }) => Client
}

/** A server without a process: one is coming, unless it is told otherwise. */
export const makeMux = (options?: Partial<SharingOptions> & { readonly isComing?: boolean }): Mux => {
  const strays: Array<string> = []
  const calls: Mux["calls"] = []
  const account = new CallAccount((call) => calls.push(call))
  const wanted: Array<string> = []
  const sharing: Sharing = new Sharing({
    server: "git",
    logMessages: "owner",
    maxLine,
    queueTimeout: 30_000,
    requestTimeout: null,
    listTtl: 300_000,
    replicas: { min: 1, max: 1, homes: 1 },
    idleStop: null,
    memory: new Memory(null),
    questions: "auto",
    roots: undefined,
    maxInFlight: Infinity,
    maxConcurrency: Infinity,
    askers: [],
    onAskers: () => {},
    onWanted: (replica, what) => {
      wanted.push(`${what} ${sharing.replicas.indexOf(replica)}`)
    },
    onStray: (_, text) => {
      strays.push(text)
    },
    account,
    pins: { of: () => ({ gate: null }), gates: () => [] },
    unavailable,
    ...options
  })
  const replica = sharing.replicas[0]!
  if (options?.isComing !== false) replica.setUnavailable(null)
  let nextId = 1
  let last: Process | null = null
  return {
    sharing,
    replica,
    wanted,
    strays,
    calls,
    account,
    attach: (options) => {
      const process = makeProcess(options)
      replica.attach(process.process)
      last = process
      return process
    },
    inFlight: () => (last === null ? 0 : held(replica, last)),
    detach: (how) => replica.detach((how?.process ?? last!).process, { isCrash: how?.isCrash ?? true }),
    client: (options) => {
      const out = options?.out ?? new MemoryWritable()
      const events: Array<string> = []
      const session = new Session({
        id: nextId++,
        server: "git",
        upstream: options?.upstream ?? sharing,
        out: new LineWriter(out),
        maxLine: options?.maxLine ?? maxLine,
        maxUnread: options?.maxUnread ?? 32 * 1024 * 1024,
        connection: {
          close: (reason) => {
            events.push(`close: ${reason}`)
          },
          onIdle: () => {
            events.push("idle")
          }
        }
      })
      const inbox = new Inbox(out)
      const send: Client["send"] = (...messages) =>
        session.feed(Buffer.from(messages.map((message) => `${textOf(message)}\n`).join("")))
      if (options?.initialized === true) send({ jsonrpc: "2.0", method: "notifications/initialized" })
      return { session, out, inbox, events, send, told: Effect.map(turn, () => inbox.messages()) }
    }
  }
}

/** Requests that a process holds, the pool's own among them. */
export const held = (replica: Replica, { process }: Process): number =>
  replica.all().find((multiplexer) => multiplexer.process === process)?.calls.size ?? 0

/** Why there is no process. */
export const unavailable = new ServerUnavailable({
  server: "git",
  state: "failed",
  failure: "unknown",
  hint: "it fell",
  nextAttemptAt: null
})

export const request = (id: unknown, method: string, params: object = {}): object => ({
  jsonrpc: "2.0",
  id,
  method,
  params
})

export const notification = (method: string, params: object = {}): object => ({ jsonrpc: "2.0", method, params })

/** A server with a process and so many clients that have said `initialized`. */
export const makeShared = (
  count: number,
  options?: Parameters<typeof makeMux>[0],
  process?: Parameters<Mux["attach"]>[0]
) => {
  const mux = makeMux(options)
  const server = mux.attach(process)
  return { mux, server, clients: Array.from({ length: count }, () => mux.client({ initialized: true })) }
}

/** Time stands still, and goes on where a test says so. */
export const fakeTimers = Effect.acquireRelease(
  Effect.sync(() => vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] })),
  () => Effect.sync(() => vi.useRealTimers())
)

const maxLine = 10 * 1024 * 1024
