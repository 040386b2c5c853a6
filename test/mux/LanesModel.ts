/** What the world of lanes knows of each client, process, request, question and task. */
import type { Client, Message, Process } from "./MuxHarness.ts"
import type { QuestionKind, Target } from "./LanesEvents.ts"

export interface ModelClient {
  readonly client: Client
  readonly capabilities: { readonly [name: string]: { readonly [name: string]: unknown } | undefined }
  readonly requests: Map<number, Request>
  /** URIs for which its subscription is answered. */
  readonly subscribed: Set<string>
  /** The URI of each request that subscribes. */
  readonly subscribing: Map<number, string>
  isGone: boolean
  nextId: number
}

export interface Request {
  /** Unique in the world; the server sees it. */
  readonly marker: number
  readonly client: ModelClient
  /** The client's own id. */
  readonly id: number
  readonly method: string
  /** Null for one about a task. */
  readonly target: Target | null
  readonly isTask: boolean
  /** By what the pool had been shown to that point. */
  readonly isInLane: boolean
  readonly isSuspect: boolean
  /** Milliseconds since the epoch. */
  readonly since: number
  /** Where its client was being asked when it made it. */
  readonly askers: ReadonlyArray<ModelServer>
  state: "open" | "answered" | "cancelled"
  /** Where it was seen, in order. */
  readonly calls: Array<Call>
}

/** A request at a process. */
export interface Call {
  readonly request: Request
  readonly server: ModelServer
  readonly upstreamId: number
  /** The task that it asks about. */
  readonly taskId: string | null
  /** Its client was being asked when it came. */
  readonly isGuest: boolean
  hasAsked: boolean
  isAnswered: boolean
}

export interface Question {
  /** Unique in the world; whoever is asked sees it. */
  readonly n: number
  readonly server: ModelServer
  /** The process's own. */
  readonly id: number
  readonly kind: QuestionKind
  /** Whose request caused it. */
  readonly owner: ModelClient
  readonly call: Call | null
  readonly mustReach: boolean
  /** The id under which it reached its client. */
  ownId: number | null
  /** What its client answered. */
  reply: object | null
  /** What the process was told. */
  answer: Message | null
  isWithdrawn: boolean
  /** Its client was told so. */
  isTakenBack: boolean
  isCompleted: boolean
}

export interface Task {
  readonly id: string
  readonly server: ModelServer
  readonly owner: ModelClient
  isLive: boolean
}

export interface ModelServer {
  readonly process: Process
  readonly place: number
  readonly calls: Map<number, Call>
  readonly questions: Map<number, Question>
  readonly tasks: Map<string, Task>
  readonly subscriptions: Set<string>
  isEnded: boolean
}

/** Calls that a process has not answered, whether somebody waits for them or not. */
export const unanswered = ({ calls }: ModelServer): ReadonlyArray<Call> =>
  [...calls.values()].filter(({ isAnswered }) => !isAnswered)

/** Those that somebody waits for. */
export const inFlight = (server: ModelServer): ReadonlyArray<Call> =>
  unanswered(server).filter(({ request }) => request.state === "open")

/** Delivered, and neither answered by its client nor taken back. */
export const isOut = ({ isWithdrawn, ownId, owner, reply, server }: Question): boolean =>
  ownId !== null && reply === null && !isWithdrawn && !owner.isGone && !server.isEnded

export const liveTasks = ({ tasks }: ModelServer): ReadonlyArray<Task> =>
  [...tasks.values()].filter(({ isLive }) => isLive)

export const hasDeclared = ({ capabilities: { elicitation, sampling } }: ModelClient, kind: QuestionKind): boolean => {
  switch (kind) {
    case "sampling":
      return sampling !== undefined
    case "sampling.tools":
      return sampling?.["tools"] !== undefined
    case "elicitation.form":
      return elicitation !== undefined && (elicitation["form"] !== undefined || elicitation["url"] === undefined)
    case "elicitation.url":
      return elicitation?.["url"] !== undefined
    case "roots":
      return false
  }
}

/** A question as a process writes it. */
export const questionText = (question: Omit<Question, "mustReach">, task: Task | null): object => {
  const { id, kind, n, owner } = question
  const meta = task === null ? {} : { "io.modelcontextprotocol/related-task": { taskId: task.id } }
  const params = { n, owner: owner.client.session.id, _meta: { progressToken: `p${id}`, ...meta } }
  const [method, more] = {
    sampling: ["sampling/createMessage", {}] as const,
    "sampling.tools": ["sampling/createMessage", { tools: [] }] as const,
    "elicitation.form": ["elicitation/create", n % 2 === 0 ? {} : { mode: "form" }] as const,
    "elicitation.url": ["elicitation/create", { mode: "url", elicitationId: `e${id}` }] as const,
    roots: ["roots/list", {}] as const
  }[kind]
  return { jsonrpc: "2.0", id, method, params: { ...params, ...more } }
}
