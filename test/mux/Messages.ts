/** Messages as tests write and read them, and the tools that they name. */
import { type Message, notification, request } from "./MuxHarness.ts"

/** `[method, params]` of each. */
export const asked = (messages: ReadonlyArray<Message>): ReadonlyArray<readonly [unknown, unknown]> =>
  messages.map(({ method, params }) => [method, params])

export const methods = (messages: ReadonlyArray<Message>): ReadonlyArray<string | undefined> =>
  messages.map(({ method }) => method)

/** The ids of the answers, each with the kind of its error or null. */
export const outcomes = (messages: ReadonlyArray<Message>): ReadonlyArray<readonly [id: unknown, kind: unknown]> =>
  messages.map(({ error, id }) => [id, error === undefined ? null : (error.data?.["kind"] ?? error.code)])

/** Tools of which some may be run twice. */
export const tools = [
  { name: "writes", inputSchema: { type: "object" as const }, annotations: { destructiveHint: true } },
  { name: "reads", inputSchema: { type: "object" as const }, annotations: { readOnlyHint: true } },
  { name: "sets", inputSchema: { type: "object" as const }, annotations: { idempotentHint: true } },
  {
    name: "never",
    inputSchema: { type: "object" as const },
    annotations: { readOnlyHint: false, idempotentHint: false }
  }
]

/** What a process is made of that has them, and need not be asked. */
export const withTools = { capabilities: { tools: {} }, tools }

export const call = (id: unknown, name: string, params: object = {}) => request(id, "tools/call", { name, ...params })

export const cancelled = (requestId: unknown) => notification("notifications/cancelled", { requestId })

/** Progress of a call that a server was told. */
export const progressOf = ({ params }: Message, progress: number) =>
  notification("notifications/progress", {
    progressToken: (params!["_meta"] as { readonly progressToken: unknown }).progressToken,
    progress
  })

/** What tells a test's messages apart. */
export const markers = (messages: ReadonlyArray<Message>) => messages.map(({ params }) => params?.["n"])
