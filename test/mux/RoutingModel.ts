/** What the world of routing keeps beside each request, client and process. */
import type { Client, Message, Process } from "./MuxHarness.ts"
import type { Kind, Making } from "./RoutingEvents.ts"
import type { ListAsk, ListKind } from "./RoutingLists.ts"

/** A request of a client, from when the client has sent it. */
export interface Request {
  /** Unique in the world; the server sees it and repeats it. */
  readonly marker: number
  readonly client: ModelClient
  /** Its id and token as they must be given back. */
  readonly id: string
  readonly token: string | null
  readonly kind: Kind
  /** Where it stands among what its server must have been told. */
  at: number
  /** It may be made once more. */
  readonly isKept: boolean
  /** It has been, or waits to be. */
  isRetry: boolean
  isDelivered: boolean
  isWithdrawn: boolean
}

/** A line that a client must be told: all of it, or how it begins. */
export interface Expected {
  readonly text: string
  readonly isWhole: boolean
}

export interface ModelClient {
  readonly client: Client
  readonly told: Array<string>
  readonly expected: Array<Expected>
  readonly requests: Array<Request>
  /** How often a call of it, alone, was the end of a process. */
  readonly crashes: Map<string, number>
  isInitialized: boolean
  isGone: boolean
}

/** A request that has reached a server. */
export interface Call {
  readonly request: Request
  readonly upstreamId: number
}

export interface ModelServer {
  readonly making: Making
  readonly process: Process
  /** Whether it ends as soon as it is drained, within the message that drains it. */
  readonly endsDrained: boolean
  /** What it was told, and what it must have been told, in the same words. */
  readonly told: Array<string>
  readonly expected: Array<string>
  /** In the order in which it was asked. */
  readonly pending: Array<Request>
  /** What was taken back and is not answered: it may go on, and say something. */
  readonly abandoned: Set<Request>
  /** What it has seen of them. */
  readonly calls: Array<Call>
  /** The requests for whole lists that it was sent, the pool's own and clients', and those that it has seen. */
  readonly asks: Array<ListAsk | Request>
  /** With where they stand among what it must have been told. */
  readonly openAsks: Map<ListAsk, number>
  readonly lists: Array<Message>
  readonly ids: Set<number>
  isHeld: boolean
  isBroken: boolean
  isDrained: boolean
}

/** The whole list that a request asks for; null where it asks for something else. */
export const listOf = ({ kind: { isWhole, method } }: Request): ListKind | null =>
  isWhole === true ? (method.slice(0, -"/list".length) as ListKind) : null

export const release = (server: ModelServer): void => {
  server.isHeld = false
  server.process.stdin.release()
}

/** A server holds a request no more; says whether it did. */
export const settle = ({ abandoned, pending }: ModelServer, request: Request): boolean => {
  abandoned.delete(request)
  const index = pending.indexOf(request)
  if (index !== -1) pending.splice(index, 1)
  return index !== -1
}

export const keyOf = ({ kind }: Request): string => `${kind.method} ${kind.name}`

export const crashesOf = (request: Request): number => request.client.crashes.get(keyOf(request)) ?? 0

export const whole = (text: string): Expected => ({ text, isWhole: true })

export const canonical = (json: string): string => JSON.stringify(JSON.parse(json))
