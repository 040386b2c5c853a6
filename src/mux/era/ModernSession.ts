/**
 * The modern side of a session: its requests, as far as they say themselves who asks, over the one connection that they
 * share. Lives as long as the session, from the first of them on.
 */
import type { Line } from "../../lines/LineReader.ts"
import { type Envelope, Key } from "../../message/Envelope.ts"
import { canonicalId } from "../../message/Ids.ts"
import type { Out, Upstream } from "../Upstream.ts"
import type { Stream } from "./ModernCall.ts"
import { type ModernRequest, ModernRequests } from "./ModernRequests.ts"

export interface ModernSessionOptions {
  readonly server: string
  readonly upstream: Upstream
  readonly out: Out
  readonly maxUnread: number
  /** One of its requests is answered, or needs no answer any more. */
  readonly settled: () => void
  readonly overflow: () => void
}

export class ModernSession {
  readonly #options: ModernSessionOptions
  readonly #requests: ModernRequests
  /** What has not ended, by the ids that the client gave. */
  readonly #open = new Map<string, { readonly cancel: () => void }>()

  constructor(options: ModernSessionOptions) {
    this.#options = options
    this.#requests = new ModernRequests({ ...options, socket: null })
  }

  receive(line: Line, envelope: Envelope, method: string): void {
    const { out, overflow, settled } = this.#options
    const id = canonicalId(line.copy(envelope.start[Key.id]!, envelope.end[Key.id]!))
    let isOwed = true
    let isOpen = true
    const settle = () => {
      if (isOwed) settled()
      isOwed = false
    }
    const close = () => {
      isOpen = false
      if (this.#open.get(id) === entry) this.#open.delete(id)
      settle()
    }
    const stream: Stream = { out, overflow, listens: settle, ended: close }
    let request: ModernRequest | null = null
    const entry = {
      cancel: () => {
        request?.cancel()
        close()
      }
    }
    // Where two have one id, the later one can be cancelled.
    this.#open.set(id, entry)
    request = this.#requests.receive(line, envelope, method, stream)
    if (!isOpen && this.#open.get(id) === entry) this.#open.delete(id)
  }

  /** Whether the request of this id was one of these. */
  cancel(id: string): boolean {
    const request = this.#open.get(canonicalId(id))
    request?.cancel()
    return request !== undefined
  }

  /** The client says nothing more. */
  inputEnded(): void {
    this.#requests.inputEnded()
  }

  /** The server tells nothing any more. */
  endListening(): void {
    this.#requests.endListening()
  }

  close(): void {
    this.#requests.close()
    this.#open.clear()
  }
}
