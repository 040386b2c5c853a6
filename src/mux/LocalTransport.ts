/**
 * A session in this process behind the interface that the SDKs call a transport: messages as values on one side, a session's
 * lines on the other. So an SDK's client here is a client like any behind a socket. Plain synchronous code; lives from
 * `start` to `close`.
 */
import { Writable } from "node:stream"
import { LineReader } from "../lines/LineReader.ts"
import { LineWriter } from "../lines/LineWriter.ts"
import { Session } from "./Session.ts"
import type { Upstream } from "./Upstream.ts"

/** A JSON-RPC message, as far as a transport looks at it. */
export interface TransportMessage {
  readonly jsonrpc: "2.0"
}

/**
 * What `Client.connect` takes, of `@modelcontextprotocol/sdk` 1 and of `@modelcontextprotocol/client` 2
 * (https://github.com/modelcontextprotocol/typescript-sdk), in words of our own: neither needs to be there.
 */
export interface Transport {
  /** Begins the session, once; the client does that. Rejects where the pool is closed. */
  readonly start: () => Promise<void>
  /** Gives the session a message; rejects where the transport is not open. */
  readonly send: (message: TransportMessage) => Promise<void>
  /** Ends the session: its calls are cancelled at the server, its subscriptions dropped. */
  readonly close: () => Promise<void>
  /** Called once, by `close` too. */
  onclose?: (() => void) | undefined
  /** Why the pool closed it, or what `onmessage` threw. */
  onerror?: ((error: Error) => void) | undefined
  onmessage?: ((message: TransportMessage) => void) | undefined
}

/** What a pool gives a transport. */
export interface LocalTransportOptions {
  /** Unique in the pool. */
  readonly id: number
  readonly server: string
  readonly upstream: Upstream
  /** Bytes. */
  readonly maxLine: number
  /** Bytes. */
  readonly maxUnread: number
  /** Says whether it may begin. */
  readonly onStart: () => boolean
  readonly onEnd: () => void
}

/** A pool's transport. */
export class LocalTransport implements Transport {
  onclose?: (() => void) | undefined
  onerror?: ((error: Error) => void) | undefined
  onmessage?: ((message: TransportMessage) => void) | undefined
  readonly #options: LocalTransportOptions
  /** Set while it is open. */
  #session: Session | null = null
  #isStarted = false

  constructor(options: LocalTransportOptions) {
    this.#options = options
  }

  readonly start = async (): Promise<void> => {
    if (this.#isStarted) throw new Error("a transport starts once: take another one from the pool")
    const { id, maxLine, maxUnread, onStart, server, upstream } = this.#options
    if (!onStart()) throw notOpen(server)
    this.#isStarted = true
    this.#session = new Session({
      id,
      server,
      upstream,
      maxLine,
      maxUnread,
      out: new LineWriter(this.#inbox()),
      connection: {
        // Later: the session is amidst something.
        close: (reason) =>
          queueMicrotask(() => {
            if (this.#session === null) return
            this.onerror?.(new Error(`server "${server}" closed the session: ${reason}`))
            this.#end()
          }),
        onIdle: () => {}
      }
    })
  }

  readonly send = async (message: TransportMessage): Promise<void> => {
    if (this.#session === null) throw notOpen(this.#options.server)
    this.#session.feed(Buffer.from(`${JSON.stringify(message)}\n`))
  }

  readonly close = async (): Promise<void> => this.#end()

  /** Where the session writes: read again, and told in messages. */
  #inbox(): Writable {
    let texts: Array<string> = []
    const reader = new LineReader({
      maxLine: Infinity,
      receiver: {
        onLine: ({ bytes, end, start }) => texts.push(bytes.toString("utf8", start, end)),
        onLongLine: () => {}
      }
    })
    return new Writable({
      write: (chunk: Buffer, _, done) => {
        reader.feed(chunk)
        const batch = texts
        texts = []
        this.#tell(batch, 0, done)
      }
    })
  }

  /**
   * One message after another, each once the promises have settled that the one before resolved: the SDKs look at an answer
   * at once and at a notification in a promise, so that progress would come after its answer, and be dropped.
   */
  #tell(batch: ReadonlyArray<string>, next: number, done: () => void): void {
    if (next === batch.length) return done()
    this.#tellOne(batch[next]!)
    queueMicrotask(() => process.nextTick(() => this.#tell(batch, next + 1, done)))
  }

  #tellOne(text: string): void {
    // One before it may have closed it.
    if (this.#session === null) return
    try {
      // The cast: what the pool lets through to a client is JSON-RPC.
      this.onmessage?.(JSON.parse(text) as TransportMessage)
    } catch (cause) {
      this.onerror?.(cause instanceof Error ? cause : new Error(String(cause)))
    }
  }

  #end(): void {
    const session = this.#session
    if (session === null) return
    this.#session = null
    session.close()
    this.#options.onEnd()
    this.onclose?.()
  }
}

const notOpen = (server: string): Error => new Error(`the transport to server "${server}" is not open`)
