/**
 * The seam between sessions and servers: what a session may ask of whatever stands behind a server's name, and what it
 * offers in return. To a session, one process, several of them or a remote server look the same.
 */
import type { CallOutcome } from "../CallOutcome.ts"
import type { Line } from "../lines/LineReader.ts"
import type { Envelope } from "../message/Envelope.ts"
import type { RequestError } from "../PoolError.ts"
import type { Handshake, Hello } from "../server/Handshake.ts"
import type { Capabilities } from "./Capabilities.ts"
import type { Owner } from "./Owner.ts"

/** A JSON-RPC error object of the server's own, or one of the pool's errors. */
export type Refusal = RequestError | { readonly code: number; readonly message: string; readonly data?: unknown }

/** How a request that the pool makes of a server ends. Texts are JSON as the server wrote it, as latin-1. */
export type Outcome =
  | { readonly kind: "result"; readonly text: string; readonly value: unknown }
  /** The server's own error. */
  | { readonly kind: "error"; readonly text: string }
  | { readonly kind: "refused"; readonly error: RequestError }

/** Where lines for a client go, in pieces, its line feed last. */
export interface Out {
  /** Bytes that it has not taken yet. */
  readonly unread: number
  /** Strings are latin-1. */
  readonly push: (piece: string | Buffer) => void
}

/**
 * What a client is: a session; a connection of the modern era, whose requests are clients themselves; one of those; or what
 * only listens. The last two are part of something that is counted elsewhere.
 */
export type Role = "session" | "connection" | "request" | "listener"

/** Whether a server may have to ask it something. */
export const makesCalls = (role: Role): boolean => role === "session" || role === "request"

/** A session as an upstream sees it. */
export interface Client {
  /** Unique in the daemon. */
  readonly id: number
  /** The name under which it came to the server. */
  readonly server: string
  readonly role: Role
  /** With whom it shares its turns; null where it has its own. */
  readonly owner: Owner | null
  /** Where goes what belongs to no request of its; what is unread there is all that it has not taken yet. */
  readonly out: Out
  /** Where the answer to its request `id` (JSON text as it came) goes: one line. */
  readonly answerTo: (id: string) => Out
  /** Where goes what belongs to its request `id`, or where that is null to one of those that are in flight. */
  readonly during: (id: string | null) => Out
  /** Bytes that may wait for it, or one message. */
  readonly maxUnread: number
  /** It has sent `notifications/initialized`: what is everybody's is for it too. */
  readonly initialized: boolean
  /** The level of `logging/setLevel` as an index into `logLevels`; null where it never asked. */
  readonly level: number | null
  /** What it can be asked, from its `initialize`. */
  readonly capabilities: Capabilities
  /**
   * What its requests say to a modern server: members of `_meta` as latin-1 JSON text, without its capabilities where
   * clients are not asked. Null where its requests say so themselves.
   */
  readonly meta: ((areAsked: boolean) => string) | null
  readonly clientInfo: { readonly name: string | null; readonly version: string | null }
  /** Milliseconds since the epoch. */
  readonly since: number
  /** Requests so far. */
  readonly calls: number
  /** Requests that are not answered yet. */
  inFlight: number
  /** The server's response to its request `id` (JSON text as it came), under the pool's id; valid only during the call. */
  readonly answer: (id: string, line: Line, envelope: Envelope) => void
  /** Answers its request `id` (JSON text as it came) with an error. */
  readonly fail: (id: string, refusal: Refusal) => void
  /** One of its requests is answered, or needs no answer any more. */
  readonly settled: () => void
  /** It has too much unread: it is closed, and takes nothing more. */
  readonly overflow: () => void
}

/** What sessions talk to: one process or several, the same to them. */
export interface Upstream {
  /** The client is there: lists that change and log messages are told to it from now on. */
  readonly join: (client: Client) => void
  /** Its calls are cancelled at the server, its subscriptions dropped, its log level forgotten. */
  readonly leave: (client: Client) => void
  /** The server has a process for this session alone: it is told what the client says of itself, and takes all it says. */
  readonly isOwn: boolean
  /** How long its lists are fresh, in milliseconds, where the server does not say less. */
  readonly listTtl: number
  /**
   * The server's answer to `initialize`: at once where it is known, else when a process is ready. `hello` are the params of
   * the client's own.
   */
  readonly handshake: (
    client: Client,
    hello: Hello,
    onHandshake: (handshake: Handshake) => void,
    onRefusal: (error: RequestError) => void
  ) => void
  /** Forwards a request; its answer goes to the client under the id as it came. */
  readonly request: (client: Client, line: Line, envelope: Envelope, method: string) => void
  /** The same for a list from its beginning, without further parameters: what is known of it may be the answer. */
  readonly list: (client: Client, line: Line, envelope: Envelope, method: string) => void
  /** The client's answer to a question, under the id by which it was asked. */
  readonly answer: (client: Client, line: Line, envelope: Envelope) => void
  /** The client's progress on a question, under the token that came with it. */
  readonly answerProgress: (client: Client, line: Line, envelope: Envelope) => void
  /** The client says nothing more, though it still hears: what it is asked, now or later, has no answer. */
  readonly inputEnded: (client: Client) => void
  /** Forwards a notification as it is, where it is the server's to hear. */
  readonly notify: (client: Client, line: Line, method: string) => void
  /** Cancels the client's request whose id is `id` (JSON text); no answer follows. It counts as `outcome`: `cancelled`. */
  readonly cancel: (client: Client, id: string, line: Line, envelope: Envelope, outcome?: CallOutcome) => void
  /** The client's `level` has changed; the server is told the most verbose level of all. */
  readonly levelChanged: (client: Client, done: (outcome: Outcome) => void) => void
  /** The client wants to hear of the resource; the server is asked where nobody does yet. */
  readonly subscribe: (client: Client, uri: string, done: (outcome: Outcome) => void) => void
  /** It does not any more; the server is told with the last one. */
  readonly unsubscribe: (client: Client, uri: string) => void
}

/** An upstream that another can take the place of while its clients stay. */
export interface Replaceable extends Upstream {
  /** What all its clients are given; null where each has its own. */
  readonly lists: KnownLists | null
  /**
   * What comes is another's from now on: the client hears only of what it has under way here. Its requests that no process
   * has seen go to `next`. Calls back once nothing of it is under way: then it is to leave.
   */
  readonly handOver: (client: Client, next: Upstream, done: () => void) => void
  /** Whether the request is about a task that the client has here. */
  readonly hasTask: (client: Client, line: Line) => boolean
}

/** What a server's lists are, as far as it takes to see whether another's differ. */
export interface KnownLists {
  /** Each as text, by the notification that tells of its changes; null where it was never read. */
  readonly texts: () => ReadonlyMap<string, string | null>
  /** Calls back once all have been read of the process that is there, or of the next one. */
  readonly whenRead: (done: () => void) => void
}
