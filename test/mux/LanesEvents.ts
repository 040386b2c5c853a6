/** What may happen between a server's places, its processes that ask and its clients that are asked, in any order. */
import type { SharingOptions } from "../../src/mux/Sharing.ts"
import type { Choices } from "../lines/Choices.ts"

/** What is called, and what its handler does: `always` asks before it answers, `sometimes` may, `never` does not. */
export interface Target {
  readonly method: string
  readonly name: string
  readonly asks: "always" | "sometimes" | "never"
}

export type QuestionKind = (typeof questionKinds)[number]

/** Numbers choose among what is there. */
export type Event =
  | { readonly _tag: "Nothing" }
  | { readonly _tag: "Call"; readonly client: number; readonly target: Target; readonly isTask: boolean }
  | { readonly _tag: "Answer" | "Progress" | "Log" | "Cancel"; readonly call: number }
  | { readonly _tag: "Question"; readonly call: number; readonly kind: QuestionKind }
  | { readonly _tag: "Reply" | "Withdraw" | "ReplyProgress" | "Complete"; readonly question: number }
  | { readonly _tag: "Steal"; readonly client: number; readonly question: number }
  | { readonly _tag: "TaskQuestion"; readonly task: number; readonly kind: QuestionKind }
  | { readonly _tag: "TaskEnd"; readonly task: number }
  | { readonly _tag: "TaskRequest"; readonly client: number; readonly task: number; readonly method: string }
  | { readonly _tag: "Subscribe" | "Unsubscribe"; readonly client: number; readonly uri: string }
  | { readonly _tag: "Updated"; readonly server: number; readonly uri: string }
  | { readonly _tag: "Join"; readonly client: number; readonly capabilities: object }
  | { readonly _tag: "Leave"; readonly client: number }
  | { readonly _tag: "Crash" | "Replace"; readonly server: number }
  | { readonly _tag: "Fulfil"; readonly wish: number; readonly fails: boolean }
  | { readonly _tag: "Advance"; readonly millis: number }

/** So many clients connect at once. */
export const clientCount = 4

/** How a server is shared, and of what kind it is. */
export interface Setting {
  readonly sharing: Partial<SharingOptions>
  /** As MCP has it: it does not answer what was cancelled. */
  readonly isSilent: boolean
}

export const settings = (choices: Choices): Setting => ({
  isSilent: choices.chance(50),
  sharing: sharing(choices)
})

const sharing = (choices: Choices): Partial<SharingOptions> => ({
  replicas: choices.of([
    { min: 1, max: 1, homes: 1 },
    { min: 1, max: 4, homes: 1 },
    { min: 2, max: 3, homes: 3 }
  ]),
  requestTimeout: choices.of([null, null, 5000]),
  idleStop: choices.of([null, null, 400, 3000]),
  maxInFlight: choices.of([Infinity, Infinity, 2]),
  maxConcurrency: choices.of([Infinity, Infinity, 4]),
  roots: choices.of([undefined, [{ uri: "file:///r" }]])
})

export const event = (choices: Choices): Event => {
  if (choices.below(100) === 0) return { _tag: "Nothing" }
  const client = choices.below(clientCount)
  const call = choices.below(1000)
  const question = choices.below(1000)
  const task = choices.below(1000)
  const server = choices.below(10)
  const kind = choices.of(questionKinds)
  const uri = choices.of(["x:///1", "x:///2"])
  return choices.of<() => Event>([
    ...times(12, () => ({ _tag: "Call", client, target: choices.of(targets), isTask: choices.chance(8) })),
    ...times(10, () => ({ _tag: "Answer", call })),
    ...times(8, () => ({ _tag: "Question", call, kind })),
    ...times(8, () => ({ _tag: "Reply", question })),
    ...times(3, () => ({ _tag: "Cancel", call })),
    ...times(2, () => ({ _tag: choices.of(["Progress", "Log"]), call })),
    ...times(3, () => ({ _tag: choices.of(["Withdraw", "ReplyProgress", "Complete"]), question })),
    () => ({ _tag: "Steal", client, question }),
    ...times(2, () => ({ _tag: "TaskQuestion", task, kind })),
    () => ({ _tag: "TaskEnd", task }),
    () => ({ _tag: "TaskRequest", client, task, method: choices.of(["tasks/get", "tasks/result", "tasks/list"]) }),
    ...times(2, () => ({ _tag: choices.of(["Subscribe", "Subscribe", "Unsubscribe"]), client, uri })),
    () => ({ _tag: "Updated", server, uri }),
    ...times(3, () => ({ _tag: "Join", client, capabilities: choices.of(capabilities) })),
    () => ({ _tag: "Leave", client }),
    () => ({ _tag: choices.of(["Crash", "Replace"]), server }),
    ...times(3, () => ({ _tag: "Fulfil", wish: call, fails: choices.chance(15) })),
    ...times(3, () => ({ _tag: "Advance", millis: choices.chance(4) ? 400_000 : choices.of([250, 250, 1000, 2000]) }))
  ])()
}

const times = (count: number, make: () => Event): Array<() => Event> => Array.from({ length: count }, () => make)

export const targets: ReadonlyArray<Target> = [
  { method: "tools/call", name: "plain", asks: "never" },
  { method: "tools/call", name: "reads", asks: "never" },
  { method: "tools/call", name: "asks", asks: "always" },
  { method: "tools/call", name: "asks too", asks: "always" },
  { method: "tools/call", name: "may ask", asks: "sometimes" },
  { method: "prompts/get", name: "asks", asks: "sometimes" },
  { method: "prompts/get", name: "plain", asks: "never" },
  { method: "resources/read", name: "x:///1", asks: "sometimes" },
  { method: "resources/read", name: "x:///2", asks: "never" }
]

/** What a client declares. */
export const capabilities: ReadonlyArray<object> = [
  { sampling: { tools: {} }, elicitation: { form: {}, url: {} }, roots: {} },
  { sampling: { tools: {} }, elicitation: { form: {}, url: {} } },
  { sampling: {}, elicitation: {} },
  { elicitation: { url: {} } },
  {}
]

const questionKinds = ["sampling", "sampling.tools", "elicitation.form", "elicitation.url", "roots"] as const
