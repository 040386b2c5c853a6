/** What may happen between a server's sharing, its processes and its clients, in any order. */
import type { Choices } from "../lines/Choices.ts"

/** A client's request as it writes it. */
export interface Asking {
  /** JSON text. */
  readonly id: string
  /** JSON text; null for none. */
  readonly token: string | null
  readonly shape: number
  readonly kind: Kind
}

/** What is asked; `name` is a tool. `isWhole`: a list from its beginning, with no parameters. */
export interface Kind {
  readonly method: string
  readonly name: string | null
  readonly isWhole?: boolean
}

/** The versions of a server: their lists differ, and so do the tools that may be run twice. */
export const versions = 3

/** A process as it will be: null for lists that it has not. */
export interface Making {
  readonly tools: number | null
  /** It has listed them before it was ready. */
  readonly isPreflighted: boolean
  readonly prompts: number | null
}

export type Event =
  | { readonly _tag: "Nothing" | "Turn" | "GiveUp" | "Hope" | "Sleep" }
  /** `isRolling`: also where there is one already. */
  | { readonly _tag: "Attach"; readonly making: Making; readonly isRolling: boolean }
  | { readonly _tag: "Crash" | "Stop" | "HoldStdin" | "ReleaseStdin" | "BreakStdin"; readonly server: number }
  | { readonly _tag: "Ask"; readonly client: number; readonly asking: ReadonlyArray<Asking>; readonly chunk: number }
  | { readonly _tag: "Cancel"; readonly client: number; readonly id: string; readonly shape: number }
  | { readonly _tag: "Ping"; readonly client: number; readonly id: string }
  | { readonly _tag: "Tell" | "Leave" | "Join" | "Initialized" | "HoldOut" | "ReleaseOut"; readonly client: number }
  | { readonly _tag: "ClientGarbage"; readonly client: number; readonly index: number }
  | { readonly _tag: "Answer" | "Progress"; readonly call: number; readonly shape: number; readonly isLate: boolean }
  | { readonly _tag: "AnswerBatch"; readonly server: number; readonly calls: ReadonlyArray<number> }
  | { readonly _tag: "AnswerList"; readonly list: number; readonly how: ListAnswer }
  | {
      readonly _tag: "Question" | "Announce" | "ServerGarbage"
      readonly server: number
      readonly index: number
      readonly call: number
    }

/** How a server answers for a list: `brief` is fresh for no time at all. */
export type ListAnswer = "shared" | "brief" | "private" | "error"

/** So many clients connect at once. */
export const clientCount = 4

/** Most are one event, some a story that chance would hardly tell. */
export const events = (choices: Choices): ReadonlyArray<Event> => {
  // A tape of zeros, to which events shrink, is none.
  if (choices.below(50) === 0) return [{ _tag: "Nothing" }]
  if (choices.below(25) !== 0) return [event(choices)]
  const client = choices.below(2)
  const ask = (kind: Kind): Event => ({ _tag: "Ask", client, asking: [{ ...asking(choices), kind }], chunk: 1_000_000 })
  const attach: Event = { _tag: "Attach", making: making(choices), isRolling: true }
  const current = 0
  return choices.of<() => ReadonlyArray<Event>>([
    // One that falls over one call each time.
    () => {
      const kind = choices.of(kinds.slice(0, 2))
      const fall: ReadonlyArray<Event> = [attach, ask(kind), { _tag: "Turn" }, { _tag: "Crash", server: current }]
      const alone: ReadonlyArray<Event> = [{ _tag: "Crash", server: current }, { _tag: "GiveUp" }]
      return [{ _tag: "Join", client }, ...alone, ...fall, ...fall, ...fall, attach, ask(kind)]
    },
    // One that does not read, and is replaced.
    () => [
      { _tag: "HoldStdin", server: current },
      ask(kinds[1]!),
      { _tag: "Turn" },
      ask(choices.of(kinds)),
      attach,
      ask(choices.of(kinds)),
      { _tag: "Crash", server: choices.below(2) }
    ],
    // One whose lists change while they are asked for.
    () => {
      const list = () => ask(choices.of(kinds.filter(({ isWhole }) => isWhole === true)))
      const change = (): Event => ({ _tag: "Announce", server: current, index: choices.below(2), call: 1 })
      const answer = (): Event => ({
        _tag: "AnswerList",
        list: 1 + choices.below(9),
        how: choices.of(listAnswers)
      })
      const turn: Event = { _tag: "Turn" }
      const cancel: Event = { _tag: "Cancel", client, id: choices.of(ids), shape: 0 }
      const changes = [list(), change(), list(), turn, change(), choices.of([list(), cancel]), answer(), turn]
      return [
        { _tag: "Join", client },
        attach,
        turn,
        answer(),
        turn,
        answer(),
        turn,
        ...changes,
        answer(),
        list(),
        turn
      ]
    },
    // One that sleeps, and is asked for its lists and for something else.
    () => [
      attach,
      { _tag: "Turn" },
      ...[0, 1].map((): Event => ({ _tag: "AnswerList", list: 1 + choices.below(9), how: "shared" })),
      { _tag: "Turn" },
      { _tag: "Sleep" },
      ...[0, 1].map(() => ask(choices.of(kinds))),
      choices.of<Event>([attach, { _tag: "GiveUp" }])
    ],
    // One that ends before it has read its lists.
    () => [attach, { _tag: "Turn" }, { _tag: "Crash", server: current }, attach, { _tag: "Turn" }]
  ])()
}

const event = (choices: Choices): Event => {
  const client = choices.below(clientCount)
  const call = choices.below(1000)
  const shape = choices.below(100)
  // The one that takes requests, more often than one that drains.
  const server = choices.of([0, 0, 0, 1, 2])
  return choices.of<() => Event>([
    ...times(9, () => ({ _tag: "Ask", client, asking: [asking(choices)], chunk: chunk(choices) })),
    () => ({ _tag: "Ask", client, asking: [1, 2, 3].map(() => asking(choices)), chunk: chunk(choices) }),
    ...times(4, () => ({ _tag: "Cancel", client, id: choices.of(ids), shape })),
    () => ({ _tag: "Ping", client, id: choices.of(ids) }),
    ...times(4, () => ({ _tag: choices.of(["Leave", "Initialized", "HoldOut", "ReleaseOut"]), client })),
    ...times(2, () => ({ _tag: "Join", client })),
    () => ({ _tag: "Tell", client }),
    () => ({ _tag: "ClientGarbage", client, index: shape }),
    ...times(9, () => ({ _tag: "Answer", call, shape, isLate: choices.chance(25) })),
    ...times(5, () => ({ _tag: "Progress", call, shape, isLate: choices.chance(25) })),
    () => ({ _tag: "AnswerBatch", server, calls: [1, 2, 3].map(() => choices.below(1000)) }),
    ...times(3, () => ({ _tag: "AnswerList", list: call, how: choices.of(listAnswers) })),
    ...times(4, () => ({ _tag: choices.of(["Question", "Announce", "ServerGarbage"]), server, index: shape, call })),
    ...times(10, () => ({ _tag: "Turn" })),
    ...times(6, () => ({ _tag: "Attach", making: making(choices), isRolling: choices.chance(40) })),
    ...times(3, () => ({ _tag: choices.of(["Crash", "Crash", "Stop"]), server })),
    () => ({ _tag: choices.of(["GiveUp", "Hope"]) }),
    ...times(2, () => ({ _tag: "Sleep" })),
    ...times(3, () => ({
      _tag: choices.of(["HoldStdin", "ReleaseStdin", "ReleaseStdin", "BreakStdin", "ReleaseStdin", "ReleaseStdin"]),
      server
    }))
  ])()
}

const listAnswers: ReadonlyArray<ListAnswer> = ["shared", "shared", "shared", "shared", "brief", "private", "error"]

const times = (count: number, make: () => Event): Array<() => Event> => Array.from({ length: count }, () => make)

const making = (choices: Choices): Making => ({
  tools: choices.of([0, 0, 0, 1, 2, null]),
  isPreflighted: choices.chance(30),
  prompts: choices.of([null, 0, 0, 1])
})

const asking = (choices: Choices): Asking => ({
  id: choices.of(ids),
  token: choices.chance(60) ? choices.of(ids) : null,
  shape: choices.below(100),
  kind: choices.of(kinds)
})

/** In pieces of how many bytes a client's lines come. */
const chunk = (choices: Choices): number => choices.of([1_000_000, 1_000_000, 100, 7, 1])

const kinds: ReadonlyArray<Kind> = [
  { method: "tools/call", name: "writes" },
  { method: "tools/call", name: "reads" },
  { method: "tools/call", name: "sets" },
  { method: "tools/call", name: "gone" },
  { method: "tools/call", name: null },
  { method: "resources/read", name: null },
  { method: "resources/templates/list", name: null },
  { method: "prompts/get", name: "reads" },
  { method: "tools/list", name: null, isWhole: true },
  { method: "prompts/list", name: null, isWhole: true },
  { method: "tools/list", name: null }
]

/** Ids and tokens: of all types, few enough to collide, some of them equal though they are written differently. */
const ids = '0|1|1|1.0|"1"|2|-1|10|1e1|12345678901234567890|null|true|""|"a"|"\\u0061"|"é漢😀"|{"a":1}|[1, 2]'.split(
  "|"
)
