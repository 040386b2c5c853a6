/** Which clients watch which resources: the server is asked once for each, and told when the last one goes. */
import { done as nothingToDo } from "./Outcome.ts"
import type { Client, Outcome } from "./Upstream.ts"

type Done = (outcome: Outcome) => void

interface Watched {
  readonly clients: Set<Client>
  /** Set while the server is being asked: who waits for its answer. */
  asking: Array<{ readonly client: Client; readonly done: Done }> | null
}

export interface SubscriptionsOptions {
  readonly ask: (method: string, params: unknown, done: Done, client: Client | null) => void
  /** Whether there is a process to be asked; where there is none, the next one is told all that is watched by then. */
  readonly isThere: () => boolean
}

export class Subscriptions {
  readonly #watched = new Map<string, Watched>()
  readonly #ask: SubscriptionsOptions["ask"]
  readonly #isThere: () => boolean
  /** How many processes there have been. */
  #generation = 0

  constructor({ ask, isThere }: SubscriptionsOptions) {
    this.#ask = ask
    this.#isThere = isThere
  }

  /** Whether anything is watched, or is to be. */
  get areWanted(): boolean {
    return this.#watched.size > 0
  }

  subscribe(client: Client, uri: string, done: Done): void {
    const watched = this.#watched.get(uri)
    if (watched === undefined) return this.#begin(client, uri, done)
    if (watched.asking !== null) watched.asking.push({ client, done })
    else {
      watched.clients.add(client)
      done(nothingToDo)
    }
  }

  unsubscribe(client: Client, uri: string): void {
    const watched = this.#watched.get(uri)
    if (watched === undefined) return
    if (watched.asking !== null) {
      for (const { done } of watched.asking.filter((waiting) => waiting.client === client)) {
        done(nothingToDo)
      }
      watched.asking = watched.asking.filter((waiting) => waiting.client !== client)
    }
    watched.clients.delete(client)
    this.#endIfUnwatched(uri, watched)
  }

  leave(client: Client): void {
    for (const [uri, watched] of this.#watched) {
      if (watched.asking !== null) watched.asking = watched.asking.filter((waiting) => waiting.client !== client)
      watched.clients.delete(client)
      this.#endIfUnwatched(uri, watched)
    }
  }

  /** Who is told of an update of `uri`: it may be a part of what was subscribed to. */
  watchers(uri: string): Iterable<Client> {
    const clients = new Set<Client>(this.#watched.get(uri)?.clients)
    for (const [watchedUri, watched] of this.#watched) {
      const parent = watchedUri.endsWith("/") ? watchedUri : `${watchedUri}/`
      if (uri.startsWith(parent)) for (const client of watched.clients) clients.add(client)
    }
    return clients
  }

  /** Asks a new process for everything that is watched. */
  renew(): void {
    this.#generation++
    for (const [uri, watched] of this.#watched) {
      if (watched.asking === null) this.#ask("resources/subscribe", { uri }, () => {}, null)
    }
  }

  #begin(client: Client, uri: string, done: Done): void {
    const watched: Watched = { clients: new Set(), asking: [{ client, done }] }
    this.#watched.set(uri, watched)
    const generation = this.#isThere() ? this.#generation : this.#generation + 1
    const answered = (outcome: Outcome) => {
      const asking = watched.asking ?? []
      watched.asking = null
      if (outcome.kind === "result") {
        for (const waiting of asking) watched.clients.add(waiting.client)
        // Another process has taken over since: it has to be asked too.
        const isAnothers = generation !== this.#generation && this.#isThere()
        if (isAnothers) this.#ask("resources/subscribe", { uri }, () => {}, null)
        this.#endIfUnwatched(uri, watched)
      } else if (this.#watched.get(uri) === watched) this.#watched.delete(uri)
      for (const waiting of asking) waiting.done(outcome)
    }
    this.#ask("resources/subscribe", { uri }, answered, client)
  }

  #endIfUnwatched(uri: string, watched: Watched): void {
    // While the server is being asked, its answer decides.
    if (watched.clients.size > 0 || watched.asking !== null || this.#watched.get(uri) !== watched) return
    this.#watched.delete(uri)
    if (this.#isThere()) this.#ask("resources/unsubscribe", { uri }, () => {}, null)
  }
}
