/** The log level of a server that many clients share: the most verbose that any of them wants. */
import * as LogLevel from "./LogLevel.ts"
import { done as nothingToDo } from "./Outcome.ts"
import type { Client, Outcome } from "./Upstream.ts"

type Done = (outcome: Outcome) => void

export interface LogLevelsOptions {
  readonly clients: ReadonlySet<Client>
  readonly ask: (method: string, params: unknown, done: Done, client: Client | null) => void
}

export class LogLevels {
  readonly #options: LogLevelsOptions
  /** What the server was told; null while nobody asked. */
  #level: number | null = null

  constructor(options: LogLevelsOptions) {
    this.#options = options
  }

  get isAsked(): boolean {
    return this.#level !== null
  }

  /** A client asks for another level. */
  merge(done: Done, client: Client | null): void {
    const level = LogLevel.merged(this.#options.clients)
    if (level === null || level === this.#level) return done(nothingToDo)
    const before = this.#level
    this.#level = level
    const answered = (outcome: Outcome) => {
      // Refused: the next one asks again.
      if (outcome.kind === "error" && this.#level === level) this.#level = before
      done(outcome)
    }
    this.#ask(level, answered, client)
  }

  /** A client has come, and counts as `info` until it asks; or one has gone. */
  membersChanged(): void {
    if (this.#level !== null) this.merge(() => {}, null)
  }

  /** Tells a new process. */
  renew(): void {
    this.#level = LogLevel.merged(this.#options.clients) ?? this.#level
    if (this.#level !== null) this.#ask(this.#level, () => {}, null)
  }

  #ask(level: number, done: Done, client: Client | null): void {
    this.#options.ask("logging/setLevel", { level: LogLevel.logLevels[level] }, done, client)
  }
}
