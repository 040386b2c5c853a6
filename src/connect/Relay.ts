/**
 * The process between a host's stdio and the daemon: finds a daemon or starts one, and finds the next when it goes. Ends
 * when its host does.
 */
import type { Socket } from "node:net"
import * as BridgeProtocol from "../BridgeProtocol.ts"
import { LineReader } from "../lines/LineReader.ts"
import { LineWriter } from "../lines/LineWriter.ts"
import * as RuntimeDir from "../RuntimeDir.ts"
import { Conversation, maxLine } from "./Conversation.ts"
import { dial, look, type Wanted, type Way } from "./Dialing.ts"
import type { Waking } from "./Waking.ts"
import * as Wire from "./Wire.ts"

export interface RelayOptions extends Wanted {
  /** Whether a daemon may be started where there is none. */
  readonly mayStart: boolean
  /** What starts one. */
  readonly command: ReadonlyArray<string>
  /** Called where the daemon was reached without a word about the project. */
  readonly onNoProject: () => void
}

/** One connection to a daemon. */
interface Connection {
  readonly socket: Socket
  readonly out: LineWriter
  readonly since: number
  /** Why it ends; null while nobody has said. */
  closing: BridgeProtocol.Closing["reason"] | "stranger" | null
}

export class Relay {
  readonly #options: RelayOptions
  readonly #host = new LineWriter(process.stdout)
  readonly #conversation: Conversation
  readonly #input: LineReader
  #waking: Waking | null = null
  #connection: Connection | null = null
  #wasOpen = false
  #isInputAtEnd = false
  #mayStart: boolean
  /** Somebody needs a daemon: one is started where none comes. */
  #isWanted = true
  /** A daemon is not started before, nor a refusal asked for again; milliseconds since the epoch. */
  #notBefore = 0
  /** Since when a daemon is missed. */
  #since = Date.now()
  #isDialing = false
  #timer: NodeJS.Timeout | undefined
  /** Milliseconds until the next attempt, until the next after something went wrong, and until another daemon is started. */
  #delay = shortest
  #retry = firstRetry
  #pause = 0
  /** What stderr was told last. */
  #said = ""

  constructor(options: RelayOptions) {
    this.#options = options
    this.#mayStart = options.mayStart
    this.#conversation = new Conversation({
      server: options.server,
      host: this.#host,
      random: Math.random().toString(36).slice(2),
      onWaiting: (isRequest) => this.#waits(isRequest),
      onStranger: () => this.#leave("stranger")
    })
    this.#input = new LineReader({ maxLine, receiver: this.#conversation.fromHost })
  }

  start(): void {
    this.#dial()
  }

  #dial(): void {
    if (this.#isDialing || this.#connection !== null) return
    clearTimeout(this.#timer)
    this.#isDialing = true
    const done =
      <A extends ReadonlyArray<unknown>>(then: (...args: A) => void) =>
      (...args: A) => {
        this.#isDialing = false
        then(...args)
      }
    dial(this.#options, {
      onOpen: done((way) => this.#open(way)),
      onRefused: done((refused) => void this.#refused(refused)),
      onClosing: done((reason) => this.#missAfter(reason)),
      onAbsent: done((code) => this.#absent(code))
    })
  }

  #later(delay: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#dial(), delay)
  }

  #open(way: Way): void {
    this.#waking?.release()
    const { socket } = way
    const out = new LineWriter(socket)
    const connection: Connection = { socket, out, since: Date.now(), closing: null }
    this.#connection = connection
    if (!way.hasWords) {
      this.#options.onNoProject()
      // A sandbox that sees its servers and no more is no place for a daemon.
      this.#mayStart &&= isThere(RuntimeDir.controlSocket(this.#options.runtimeDir))
    }
    const { fromDaemon } = this.#conversation
    const onWord = (word: BridgeProtocol.DaemonWord) => {
      if (word["mcp-pool"] === "pause") {
        this.#conversation.pause()
        out.push(BridgeProtocol.line({ "mcp-pool": "paused" }))
      } else if (word["mcp-pool"] === "closing") connection.closing = word.reason
    }
    const receiver = { ...fromDaemon }
    if (way.hasWords) {
      receiver.onLine = (line) => {
        const isWord = line.bytes[line.start + 3] === thirdOfWord && line.text !== null
        const word = isWord
          ? BridgeProtocol.parse<BridgeProtocol.DaemonWord>(line.text!.slice(line.start, line.end))
          : undefined
        if (word === undefined) fromDaemon.onLine(line)
        else onWord(word)
      }
    }
    const reader = new LineReader({ maxLine, receiver })
    const feed = (chunk: Buffer) => {
      reader.feed(chunk)
      if (this.#host.blocked || this.#host.unread > maxUnread) socket.pause()
    }
    out.onDrain = () => this.#listen()
    this.#conversation.open(out, way.server)
    if (!this.#wasOpen) this.#begin()
    way.listen(feed, () => this.#gone(connection))
    this.#listen()
  }

  /** The host is listened to from the first connection on. */
  #begin(): void {
    this.#wasOpen = true
    const { stdin, stdout } = process
    // A host that is gone needs no word.
    stdout.on("error", () => process.exit(0))
    this.#host.onDrain = () => void this.#connection?.socket.resume()
    stdin.on("data", (chunk: Buffer) => {
      this.#input.feed(chunk)
      this.#listen()
    })
    const end = () => {
      if (this.#isInputAtEnd) return
      // The last line may lack its line feed.
      this.#input.feed(lineFeed)
      this.#isInputAtEnd = true
      this.#listen()
    }
    stdin.once("end", end)
    stdin.once("error", end)
  }

  /** Reads on while somebody takes what is read; passes on the end. */
  #listen(): void {
    const connection = this.#connection
    const isFull =
      this.#conversation.held > maxHeld ||
      (connection !== null && (connection.out.blocked || connection.out.unread > maxUnread))
    if (this.#isInputAtEnd) {
      if (this.#conversation.held > 0) return
      if (connection === null) return exitAfter(this.#host, 0)
      if (this.#conversation.isOpen) connection.out.end()
    } else if (isFull) process.stdin.pause()
    else if (process.stdin.isPaused()) process.stdin.resume()
  }

  /** The connection ends from here. */
  #leave(reason: "stranger"): void {
    const connection = this.#connection
    if (connection === null) return
    connection.closing = reason
    this.#gone(connection)
  }

  #gone(connection: Connection): void {
    if (this.#connection !== connection) return
    this.#connection = null
    const { closing, out, since, socket } = connection
    const lost = this.#conversation.close(out.takeUnwritten())
    socket.destroy()
    if (this.#isInputAtEnd && this.#conversation.held === 0) return exitAfter(this.#host, 0)
    if (Date.now() - since > longEnough) {
      this.#retry = firstRetry
      this.#pause = 0
    }
    if (closing === "stranger") return this.#askAgainLater()
    if (closing === null) {
      const calls = lost === 0 ? "" : `; ${lost} of its calls may have run, or not`
      this.#say(`the daemon is gone${calls}: looking for the next`)
    }
    this.#missAfter(closing)
    this.#listen()
  }

  /** A daemon has ended, for this reason. */
  #missAfter(reason: BridgeProtocol.Closing["reason"] | null): void {
    const now = Date.now()
    this.#since = now
    this.#delay = shortest
    this.#notBefore = 0
    this.#isWanted = reason !== "shutdown" || !this.#wasOpen || this.#conversation.held > 0
    if (reason === "handover") this.#notBefore = now + handover
    else if (reason === null) this.#pauseStarts(now)
    this.#dial()
  }

  async #refused(refused: BridgeProtocol.Refused): Promise<void> {
    this.#waking?.release()
    const { code, exitCode, kind, message } = refused
    const error: Wire.Failure = { code, message, data: { kind, server: this.#options.server } }
    if (this.#wasOpen) this.#refuse(error)
    else (await seldom.refusal()).refuse(error, exitCode)
  }

  /** A daemon that goes again and again is not started as often; the host waits meanwhile, so it is not for long. */
  #pauseStarts(now: number): void {
    this.#notBefore = now + this.#pause
    this.#pause = Math.min(Math.max(firstPause, this.#pause * 2), longestPause)
  }

  /** Until a daemon takes the server's requests, they are answered with this. */
  #refuse(error: Wire.Failure): void {
    // One came while it was found out that none would.
    if (this.#connection !== null) return
    this.#say(error.message)
    this.#conversation.refuse(Wire.json(error))
    this.#askAgainLater()
    this.#listen()
  }

  /** Nobody is to be started meanwhile: nothing is missed before the host asks for something. */
  #askAgainLater(): void {
    this.#isWanted = false
    const delay = this.#nextRetry()
    this.#notBefore = Date.now() + delay
    this.#later(delay)
  }

  #absent(code: string | null): void {
    const { runtimeDir } = this.#options
    const now = Date.now()
    const missed = now - this.#since
    if (code === null) {
      // It may be about to open its sockets, or to end.
      if (missed > (this.#wasOpen ? patience : grace)) return void this.#nameless(missed)
    } else if (code !== "ENOENT" && code !== "ECONNREFUSED") {
      return void this.#fail(`no daemon can be reached at ${runtimeDir}: ${code}`)
    } else if (!this.#mayStart) {
      const message = `no daemon at ${runtimeDir}: start one with "mcp-pool serve"`
      if (!this.#wasOpen || (missed > patience && this.#conversation.held > 0)) return void this.#fail(message)
    } else if (this.#isWanted && now >= this.#notBefore) {
      if (missed > patience) {
        this.#waking?.release()
        return void this.#fail(
          `no daemon came up at ${runtimeDir} within ${patience / 1000} s: see ${runtimeDir}/daemon.log`
        )
      }
      return void this.#wake()
    }
    this.#again()
  }

  #again(): void {
    this.#later(this.#delay)
    const longest = this.#isWanted || this.#conversation.held > 0 ? longestWanted : longestIdle
    this.#delay = Math.min(this.#delay * 1.25, longest)
  }

  async #wake(): Promise<void> {
    const { command, runtimeDir } = this.#options
    try {
      if (this.#waking === null) {
        const { Waking } = await seldom.waking()
        const onFailure = (message: string, wasEnded: boolean) => this.#startFailed(message, wasEnded)
        this.#waking = new Waking({ runtimeDir, command, onFailure })
      }
      // First: it may fail at once.
      this.#again()
      this.#waking.wake()
    } catch (cause) {
      clearTimeout(this.#timer)
      await this.#fail(`no daemon can be started at ${runtimeDir}: ${(cause as Error).message}`)
    }
  }

  /** A daemon is there that has no socket of this server. */
  async #nameless(missed: number): Promise<void> {
    const { runtimeDir, server } = this.#options
    const found = await seldom.refusal().catch(() => null)
    if (found === null) return this.#fail(`server "${server}" has no socket here`)
    const { askNames, noSuchServer, refuse } = found
    askNames(runtimeDir, (names) => {
      const isKnown = names === undefined || names.includes(server)
      if (isKnown && missed < namelessPatience) return this.#later(grace / 4)
      const error = Wire.unavailable(server, noSuchServer(server, names))
      if (this.#wasOpen) this.#refuse(error)
      else refuse(error, serverUnavailable)
    })
  }

  async #fail(message: string): Promise<void> {
    const error = Wire.unavailable(this.#options.server, message)
    if (this.#wasOpen) this.#refuse(error)
    else (await seldom.refusal()).refuse(error, noDaemon)
  }

  /** What was started has ended: for nothing, where another was quicker, or one that somebody ended has to be started again. */
  #startFailed(message: string, wasEnded: boolean): void {
    if (this.#connection !== null) return
    const now = Date.now()
    if (wasEnded && now - this.#since < endedPatience) {
      this.#pauseStarts(now)
      return this.#later(shortest)
    }
    clearTimeout(this.#timer)
    look(this.#options.runtimeDir, (code) => (code === null ? this.#later(shortest) : void this.#fail(message)))
  }

  #waits(isRequest: boolean): void {
    if (this.#connection !== null || !isRequest || this.#isWanted) return
    this.#isWanted = true
    this.#since = Date.now()
    this.#delay = shortest
    if (!this.#isDialing) this.#later(Math.max(0, this.#notBefore - Date.now()))
  }

  #nextRetry(): number {
    const delay = this.#retry
    this.#retry = Math.min(delay * 2, longestRetry)
    return delay
  }

  #say(message: string): void {
    if (message === this.#said) return
    this.#said = message
    process.stderr.write(`mcp-pool: ${message}\n`)
  }
}

/**
 * What most of these processes never do, in files that they never read. An update may have replaced them since this process
 * began, so what they export may become more, and nothing else.
 */
const seldom = {
  refusal: () => import("./Refusal.ts"),
  waking: () => import("./Waking.ts")
}

const isThere = (path: string): boolean => process.getBuiltinModule("node:fs").existsSync(path)

/** After what was written has gone out. */
const exit = (code: number): void => void process.stdout.write("", () => process.exit(code))

/** Once the host has taken what waits for it. */
const exitAfter = (host: LineWriter, code: number): void => {
  if (host.unread === 0) return exit(code)
  host.onDrain = () => exit(code)
}

// The exit codes of the whole command line.
const noDaemon = 3
const serverUnavailable = 4

/** Milliseconds between attempts to reach a daemon. */
const shortest = 15
const longestWanted = 500
const longestIdle = 5000
/** Milliseconds between attempts after something went wrong. */
const firstRetry = 2000
const longestRetry = 10_000
/** Milliseconds until another daemon is started, where more than one went as soon as it had come. */
const firstPause = 250
const longestPause = 2000
/** Milliseconds for which a daemon that somebody ends at its start is started again. */
const endedPatience = 10_000
/** Milliseconds after which a connection was a good one. */
const longEnough = 5000
/** Milliseconds for which a successor is waited for. */
const handover = 3000
/** Milliseconds that a daemon may take from its start to its sockets. */
const patience = 30_000
const namelessPatience = 4000
const grace = 1000
/** Bytes that wait for a daemon. */
const maxHeld = 16 * 1024 * 1024
/** Bytes that wait for a reader. */
const maxUnread = 1024 * 1024
const lineFeed = Buffer.from("\n")
/** What tells `{"mcp-pool"` from `{"method"`. */
const thirdOfWord = 0x63
