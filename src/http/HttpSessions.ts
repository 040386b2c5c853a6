/**
 * All sessions over HTTP, by the ids that their clients know: random, good for one server each, and of no use to who may
 * not ask at all. Plain synchronous code; lives as long as the listener.
 */
import type { Endpoint } from "../McpPool.ts"
import type { Session } from "../mux/Session.ts"
import type { SessionOut } from "../mux/SessionOut.ts"
import { EventStore } from "./EventStore.ts"
import { HttpSession } from "./HttpSession.ts"
import * as Route from "./Route.ts"

export interface HttpSessionsOptions {
  /** Looks without a use after which a session is closed. */
  readonly maxIdle: number
  /** A session begins; what is returned is called when it is over. */
  readonly onOpen: (session: HttpSession, endpoint: Endpoint) => () => void
  /** The pool closes one: why. */
  readonly onClose: (session: Session<SessionOut>, reason: string) => void
}

export class HttpSessions {
  readonly #store = new EventStore({ maxBytes: maxStored, maxAge: maxStoredAge })
  readonly #options: HttpSessionsOptions
  /** Set while it is waited for until all is answered. */
  #onAnswered: (() => void) | null = null
  readonly #sessions = new Map<string, Known>()

  constructor(options: HttpSessionsOptions) {
    this.#options = options
  }

  /** All of them. */
  get all(): ReadonlyArray<Session<SessionOut>> {
    return Array.from(this.#sessions.values(), ({ session }) => session.session)
  }

  /** Calls back once all that was asked is answered; what is returned takes that back. */
  readonly whenAnswered = (done: () => void): (() => void) => {
    this.#onAnswered = done
    this.#tellAnswered()
    return () => (this.#onAnswered = null)
  }

  /** The session of that id, if it is one with this server; null is all of them as one. */
  get(id: string, server: string | null): HttpSession | undefined {
    const known = this.#sessions.get(id)
    return known?.server === server ? known.session : undefined
  }

  /** Begins one; undefined where there are as many as there may be, and somebody waits in each. */
  open(server: string | null, endpoint: Endpoint): HttpSession | undefined {
    if (this.#sessions.size >= maxSessions && !this.#makeRoom()) return undefined
    const session: HttpSession = new HttpSession({
      id: crypto.randomUUID(),
      server: server ?? Route.together,
      endpoint,
      store: this.#store,
      onClose: (reason) => {
        if (session.isClosed) return
        this.close(session, 404, reason)
        this.#options.onClose(session.session, reason)
      },
      onIdle: () => this.#tellAnswered()
    })
    this.#sessions.set(session.id, { session, server, leave: this.#options.onOpen(session, endpoint) })
    return session
  }

  /** Ends one; from here on its id is nobody's. */
  close(session: HttpSession, status: 404 | 503, message: string): void {
    const known = this.#sessions.get(session.id)
    if (known === undefined) return
    this.#sessions.delete(session.id)
    known.leave()
    session.close(status, message)
    this.#tellAnswered()
  }

  /** Ends all. */
  closeAll(status: 404 | 503, message: string): void {
    for (const { session } of this.#sessions.values()) this.close(session, status, message)
  }

  /** Called now and then. */
  look(): void {
    this.#store.tick()
    for (const { session } of this.#sessions.values()) {
      session.look()
      if (session.idle > this.#options.maxIdle) this.close(session, 404, "the session was not used for long")
    }
  }

  #tellAnswered(): void {
    if (this.#onAnswered === null) return
    for (const { session } of this.#sessions.values()) if (session.session.inFlight > 0) return
    this.#onAnswered()
    this.#onAnswered = null
  }

  /** Ends the one that was not used for longest; false where all are used. */
  #makeRoom(): boolean {
    let longest: HttpSession | undefined
    for (const { session } of this.#sessions.values()) {
      if (session.isUsed || (longest !== undefined && longest.idle >= session.idle)) continue
      longest = session
    }
    if (longest === undefined) return false
    this.close(longest, 404, "another session took its place")
    return true
  }
}

interface Known {
  readonly session: HttpSession
  /** Null is all of them as one. */
  readonly server: string | null
  readonly leave: () => void
}

const maxSessions = 4096
/** Bytes, of all sessions. */
const maxStored = 64 * 1024 * 1024
/** Looks: five minutes. */
const maxStoredAge = 60
