/**
 * A client under load, with as many calls in flight as it may have: each answer makes room for the next call. It keeps
 * account of its own; what comes and must not is a violation. At times it cancels, leaves, or leaves once all is answered,
 * and comes back.
 */
import * as net from "node:net"
import type { Dice } from "./Dice.ts"
import { isRepeatable, type SoakLedger, type Tool } from "./SoakLedger.ts"

/** What a client needs to know of the rest. */
export interface Observer {
  readonly ledger: SoakLedger
  /** Nothing may be lost: each answer must be a result. */
  readonly isCalm: boolean
  /** Crashes of processes so far, and without those that a request sent now may still meet. */
  readonly crashes: () => number
  readonly overcome: () => number
  /** Something has come; with the process where it is a result, and with `isUnknown` where that is what it says. */
  readonly onAnswer: (answer: { readonly pid: number | null; readonly isUnknown: boolean }) => void
}

interface Request {
  readonly marker: number
  readonly id: unknown
  readonly tool: Tool
  /** So long that the pool does not keep it. */
  readonly isLong: boolean
  readonly overcome: number
  isCancelled: boolean
  /** Which process has sent progress. */
  progressOf: number | null
}

interface Message {
  readonly id?: unknown
  readonly method?: string
  readonly params?: { readonly progressToken?: unknown; readonly message?: string }
  readonly result?: { readonly content?: ReadonlyArray<{ readonly text: string }>; readonly tools?: unknown }
  readonly error?: {
    readonly message: string
    readonly data?: { readonly kind?: string; readonly state?: string }
  }
}

interface Stamp {
  readonly marker: number
  readonly pid: number
}

export class SoakClient {
  readonly #path: string
  readonly #world: Observer
  readonly #dice: Dice
  readonly #depth: number
  readonly #open = new Map<string, Request>()
  /** Pings on their way: what came before one was sent before it. With the request that was cancelled just before it. */
  #barriers: Array<Request | null> = []
  #nextBarrier = 0
  #socket: net.Socket | null = null
  #isReady = false
  #isLeaving = false
  #isPaused = false

  /** `depth` is how many calls it has in flight; one with none makes only those that it is told to. */
  constructor(options: {
    readonly path: string
    readonly world: Observer
    readonly dice: Dice
    readonly depth: number
  }) {
    this.#path = options.path
    this.#world = options.world
    this.#dice = options.dice
    this.#depth = options.depth
    this.#connect()
  }

  /** Nothing is in flight, and it is there. */
  get isIdle(): boolean {
    return this.#isReady && !this.#isLeaving && this.#open.size === 0 && this.#barriers.length === 0
  }

  get open(): number {
    return this.#open.size
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
    this.#fill()
  }

  /** What still comes comes before its answer. */
  ping(): void {
    this.#barrier(null)
  }

  crash(how: "exit" | "answer" | "half" | "stdout"): void {
    this.#ask("crash", { how }, false)
  }

  close(): void {
    this.#socket?.destroy()
    this.#socket = null
  }

  // --- what it does ---

  #connect(): void {
    const socket = net.connect({ path: this.#path, allowHalfOpen: true })
    let rest = ""
    this.#socket = socket
    this.#isReady = false
    this.#isLeaving = false
    socket.setEncoding("utf8")
    socket.on("data", (text: string) => {
      const lines = (rest + text).split("\n")
      rest = lines.pop()!
      for (const line of lines) if (this.#socket === socket) this.#receive(line)
    })
    socket.on("error", (error) => {
      if (this.#socket === socket) this.#violate(`a connection failed: ${error.message}`)
    })
    socket.on("end", () => {
      if (this.#socket !== socket) return
      if (!this.#isLeaving) this.#violate("the pool hung up")
      if (rest !== "") this.#violate("the last line has no end")
      for (const { marker } of this.#open.values())
        this.#violate(`request ${marker} was lost as its client half-closed`)
      socket.end()
      this.#forget()
      this.#connect()
    })
    const clientInfo = { name: "soak", version: "1.0.0" }
    const params = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo }
    this.#write({ id: "initialize", method: "initialize", params })
  }

  /** Is gone at once. */
  #leave(): void {
    this.#socket?.destroy()
    this.#forget()
    this.#connect()
  }

  #forget(): void {
    for (const { marker } of this.#open.values()) this.#world.ledger.settle(marker, "left")
    this.#open.clear()
    this.#barriers = []
  }

  #fill(): void {
    while (this.#isReady && !this.#isLeaving && !this.#isPaused && this.#open.size < this.#depth) this.#askAnything()
  }

  #askAnything(): void {
    const dice = this.#dice
    const tool = dice.pick(mixture)
    if (tool === "list") return this.#ask(tool, {}, false)
    const pad = dice.chance(0.85) ? 0 : dice.pick(pads)
    const wait = tool === "slow" ? 5 + dice.below(25) : dice.chance(0.7) ? 0 : dice.below(10)
    const args = {
      ...(wait === 0 ? {} : { wait }),
      ...(dice.chance(0.02) ? { stall: 2 } : {}),
      ...(dice.chance(0.03) ? { size: 100_000 } : {}),
      ...(pad === 0 ? {} : { pad: padding.slice(0, pad) })
    }
    this.#ask(tool, args, pad > maxKept)
  }

  #ask(tool: Tool, args: object, isLong: boolean): void {
    const marker = this.#world.ledger.ask(tool)
    const id = this.#freeId()
    const request: Request = {
      marker,
      id,
      tool,
      isLong,
      overcome: this.#world.overcome(),
      isCancelled: false,
      progressOf: null
    }
    this.#open.set(JSON.stringify(id), request)
    if (tool === "list") return this.#write({ id, method: "tools/list", params: {} })
    const params = { name: tool, arguments: { marker, ...args }, _meta: { progressToken: id } }
    this.#write({ id, method: "tools/call", params })
  }

  /** The same few for all clients. */
  #freeId(): unknown {
    for (;;) {
      const id = this.#dice.pick(ids)
      if (!this.#open.has(JSON.stringify(id))) return id
    }
  }

  /** At times it does more than to ask again. */
  #whim(): void {
    if (this.#depth === 0 || this.#isPaused || this.#isLeaving || !this.#isReady) return
    const dice = this.#dice
    const whim = dice.next()
    if (whim < 0.04) {
      const request = dice.pick([...this.#open.values()].filter(({ isCancelled }) => !isCancelled))
      if (request === undefined) return
      request.isCancelled = true
      this.#write({ method: "notifications/cancelled", params: { requestId: request.id } })
      this.#barrier(request)
    } else if (whim < 0.043) this.#leave()
    else if (whim < 0.046) {
      this.#isLeaving = true
      this.#socket?.end()
    }
  }

  #barrier(request: Request | null): void {
    this.#write({ id: `barrier-${this.#nextBarrier + this.#barriers.length}`, method: "ping" })
    this.#barriers.push(request)
  }

  #write(message: object): void {
    this.#socket?.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`)
  }

  // --- what comes ---

  #receive(line: string): void {
    let message: Message
    try {
      message = JSON.parse(line) as Message
    } catch {
      return this.#violate(`a line that is no JSON: ${line.slice(0, 100)}`)
    }
    if (message.method !== undefined) this.#notified(message)
    else if (message.id === "initialize") this.#initialized(message)
    else if (typeof message.id === "string" && message.id.startsWith("barrier-")) this.#pong(message.id)
    else this.#answered(message)
  }

  #initialized({ error }: Message): void {
    if (error !== undefined) return this.#violate(`initialize failed: ${error.message}`)
    this.#isReady = true
    this.#write({ method: "notifications/initialized" })
    this.#fill()
    this.#world.onAnswer({ pid: null, isUnknown: false })
  }

  /** From here on a request that was cancelled before must not be answered. */
  #pong(id: string): void {
    if (this.#barriers.length === 0 || id !== `barrier-${this.#nextBarrier}`) this.#violate(`out of order: ${id}`)
    this.#nextBarrier++
    const request = this.#barriers.shift()
    if (request?.isCancelled === true && this.#open.get(JSON.stringify(request.id)) === request) {
      this.#end(request)
      this.#world.ledger.settle(request.marker, "cancelled")
    }
    this.#fill()
    this.#world.onAnswer({ pid: null, isUnknown: false })
  }

  #notified({ method, params }: Message): void {
    if (method !== "notifications/progress") return this.#violate(`a client was told ${method}`)
    const request = this.#open.get(JSON.stringify(params?.progressToken))
    const { marker, pid } = JSON.parse(params?.message ?? "{}") as Stamp
    if (request === undefined || request.marker !== marker) {
      return this.#violate(`progress of request ${marker} went to ${request?.marker ?? "nobody's token"}`)
    }
    if (request.progressOf !== null)
      this.#violate(`progress of request ${marker} came from ${request.progressOf} and ${pid}`)
    request.progressOf = pid
  }

  #answered(message: Message): void {
    const request = this.#open.get(JSON.stringify(message.id))
    if (request === undefined) {
      return this.#violate(`an answer for nobody: ${JSON.stringify(message).slice(0, 200)}`)
    }
    this.#end(request)
    const { error } = message
    const kind = error?.data?.kind ?? ""
    if (error === undefined) this.#result(request, message)
    else {
      if (this.#world.isCalm) this.#violate(`request ${request.marker} (${request.tool}) failed: ${error.message}`)
      if (kind === "OutcomeUnknown") this.#unknown(request)
      else if (notSent.has(kind)) {
        if (kind === "ServerUnavailable" && error.data?.state !== "refusing") this.#violate(error.message)
        this.#world.ledger.settle(request.marker, "not sent")
      } else {
        this.#world.ledger.settle(request.marker, "another error")
        this.#violate(`request ${request.marker} (${request.tool}) failed: ${error.message}`)
      }
      this.#world.onAnswer({ pid: null, isUnknown: kind === "OutcomeUnknown" })
    }
    this.#whim()
    this.#fill()
  }

  #result({ marker, progressOf, tool }: Request, { result }: Message): void {
    if (tool === "list") {
      if (!Array.isArray(result?.tools)) this.#violate(`request ${marker} asked for a list and got something else`)
      this.#world.ledger.settle(marker, "result")
      return this.#world.onAnswer({ pid: null, isUnknown: false })
    }
    const stamp = JSON.parse(result?.content?.[0]?.text ?? "{}") as Stamp
    if (stamp.marker !== marker) this.#violate(`request ${marker} got the result of ${stamp.marker}`)
    if (tool === "progress" ? progressOf !== stamp.pid : progressOf !== null) {
      this.#violate(`request ${marker} (${tool}) has progress from ${progressOf} and a result from ${stamp.pid}`)
    }
    this.#world.ledger.settle(marker, "result", stamp.pid)
    this.#world.onAnswer({ pid: stamp.pid, isUnknown: false })
  }

  #unknown({ isLong, marker, overcome, progressOf, tool }: Request): void {
    const isKept = (isRepeatable(tool) || tool === "list") && !isLong && progressOf === null
    if (isKept && this.#world.crashes() - overcome < 2) {
      this.#violate(`request ${marker} (${tool}) was given up at the first crash`)
    }
    this.#world.ledger.settle(marker, "unknown outcome")
  }

  #end(request: Request): void {
    this.#open.delete(JSON.stringify(request.id))
  }

  #violate(text: string): void {
    this.#world.ledger.violate(text)
  }
}

const mixture: ReadonlyArray<Tool> = [
  ...Array.from({ length: 6 }, () => "write" as const),
  ...Array.from({ length: 6 }, () => "read" as const),
  ...Array.from({ length: 3 }, () => "bump" as const),
  ...Array.from({ length: 2 }, () => "progress" as const),
  ...Array.from({ length: 2 }, () => "slow" as const),
  "list"
]
const ids = [
  0,
  1,
  2,
  3,
  4,
  5,
  6,
  7,
  "0",
  "1",
  "2",
  "3",
  "4",
  "5",
  "6",
  "7",
  -1,
  1.5,
  "",
  "ü€",
  'a"b\\',
  900_719_925_474
]
/** Errors that promise that the request was not sent. */
const notSent: ReadonlySet<string> = new Set(["ServerUnavailable", "QueueTimeout", "Overloaded"])
const pads = [4000, 20_000, 60_000, 70_000]
/** Bytes; longer lines are not kept by the pool. */
const maxKept = 64_000
const padding = "x".repeat(70_000)
