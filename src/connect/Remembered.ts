/** What a host has said that the next daemon must be told as well, and which lists the host knows. */
import { type Message, withId } from "./Message.ts"
import * as Wire from "./Wire.ts"

export class Remembered {
  /** Its `initialize`, as it came. */
  #hello: string | null = null
  #isAnswered = false
  /** Its `notifications/initialized`, with the line feed. */
  #initialized: string | null = null
  /** JSON text. */
  #level: string | null = null
  /** URIs as JSON text. */
  readonly #subscriptions = new Set<string>()
  /** The digest of each list that the host knows, by method. */
  readonly #lists = new Map<string, number>()

  /** The host has asked this: what is to be noted for its answer. */
  note(request: Message): string {
    switch (request.method) {
      case "initialize":
        this.#hello = request.text()
        this.#isAnswered = false
        return "initialize"
      case "logging/setLevel":
        this.#level = request.param("level") ?? this.#level
        return ""
      case "resources/subscribe": {
        const uri = request.param("uri")
        if (uri === undefined) return ""
        this.#subscriptions.add(uri)
        return uri
      }
      case "resources/unsubscribe":
        this.#subscriptions.delete(request.param("uri") ?? "")
        return ""
      case "tools/list":
      case "prompts/list":
      case "resources/list":
      case "resources/templates/list":
        // Who has said no `initialize` is told only of what it listens to.
        return this.#hello === null || request.param("cursor") !== undefined ? "" : request.method
      default:
        return ""
    }
  }

  /** The answer to a request with this note has come. */
  answered(note: string, answer: Message): void {
    if (note === "" || note === "listening") return
    if (note === "initialize") {
      this.#isAnswered = !answer.isError
      if (answer.isError) this.#hello = null
    } else if (note.startsWith('"')) {
      if (answer.isError) this.#subscriptions.delete(note)
    } else if (!answer.isError) this.#lists.set(note, digestOf(answer))
  }

  initialized(notification: Message): void {
    this.#initialized = notification.keep().join("")
  }

  /** The host's `initialize`, as it came or with another id; null where the host said none. */
  hello(id?: string): string | null {
    if (this.#hello === null) return null
    return id === undefined ? `${this.#hello}\n` : withId(this.#hello, id)
  }

  /** The host has been told who the server is. */
  get isOpen(): boolean {
    return this.#isAnswered && this.#hello !== null
  }

  /** What follows on the answer to `initialize`. */
  replay(ownId: () => string): ReadonlyArray<string> {
    const lines: Array<string> = []
    if (this.#initialized !== null) lines.push(this.#initialized)
    if (this.#level !== null) lines.push(Wire.request(ownId(), "logging/setLevel", `{"level":${this.#level}}`))
    for (const uri of this.#subscriptions) {
      lines.push(Wire.request(ownId(), "resources/subscribe", `{"uri":${uri}}`))
    }
    return lines
  }

  /** The lists that the host knows, as methods. */
  get lists(): ReadonlyArray<string> {
    return [...this.#lists.keys()]
  }

  /** The list as it is now: what the host is to be told, or null. */
  compare(method: string, answer: Message): string | null {
    if (answer.isError) return null
    const now = digestOf(answer)
    if (now === this.#lists.get(method)) return null
    this.#lists.set(method, now)
    return Wire.notification(Wire.listChanged(method))
  }
}

/** FNV-1a of an answer's result (http://www.isthe.com/chongo/tech/comp/fnv/), 32 bits; enough to see a change. */
const digestOf = (answer: Message): number => {
  const text = answer.outcome()
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash
}
