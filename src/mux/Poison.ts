/** Calls that end the server each time they are made: counted by session and what they name, and refused from the third time on. */
import { ServerUnavailable } from "../PoolError.ts"
import type { Call } from "./Calls.ts"
import type { Client } from "./Upstream.ts"

export class Poison {
  readonly #server: string
  readonly #crashes = new WeakMap<object, Map<string, number>>()
  #hasCrashed = false

  constructor(server: string) {
    this.#server = server
  }

  /** The server crashed while it held this call alone. Says whether that goes to the call's account, not the server's. */
  crashed({ client, method, name }: Call): boolean {
    this.#hasCrashed = true
    const culprit = client.owner ?? client
    const tools = this.#crashes.get(culprit) ?? new Map<string, number>()
    const crashes = (tools.get(keyOf(method, name)) ?? 0) + 1
    this.#crashes.set(culprit, tools.set(keyOf(method, name), crashes))
    return crashes <= maxCrashes
  }

  refuses(client: Client, method: string, name: string | null): boolean {
    if (!this.#hasCrashed) return false
    return (this.#crashes.get(client.owner ?? client)?.get(keyOf(method, name)) ?? 0) >= maxCrashes
  }

  /** With what a session's call is refused; null where it is not. */
  refusal(client: Client, method: string, name: string | null): ServerUnavailable | null {
    if (!this.refuses(client, method, name)) return null
    const server = this.#server
    const hint = `it ended the server ${maxCrashes} times, alone: mcp-pool logs ${server}`
    return new ServerUnavailable({ server, state: "refusing", failure: null, hint, nextAttemptAt: null })
  }

  forget(client: Client): void {
    this.#crashes.delete(client)
  }
}

const keyOf = (method: string, name: string | null): string => (name === null ? method : `${method} ${name}`)

/** How often a call may end the server. */
const maxCrashes = 3
