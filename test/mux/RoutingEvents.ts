/** What may happen between a multiplexer, its processes and its clients, in any order. */
import type { Choices } from "../lines/Choices.ts"

/** A client's request as it writes it. */
export interface Asking {
  /** JSON text. */
  readonly id: string
  /** JSON text; null for none. */
  readonly token: string | null
  readonly shape: number
}

export type Event =
  | { readonly _tag: "Nothing" | "Turn" | "Attach" | "Crash" | "GiveUp" | "Hope" | "HoldStdin" | "ReleaseStdin" }
  | { readonly _tag: "Ask"; readonly client: number; readonly asking: ReadonlyArray<Asking>; readonly chunk: number }
  | { readonly _tag: "Cancel"; readonly client: number; readonly id: string; readonly shape: number }
  | { readonly _tag: "Ping"; readonly client: number; readonly id: string }
  | { readonly _tag: "Tell" | "Leave" | "Join" | "Initialized" | "HoldOut" | "ReleaseOut"; readonly client: number }
  | { readonly _tag: "ClientGarbage"; readonly client: number; readonly index: number }
  | { readonly _tag: "Answer" | "Progress"; readonly call: number; readonly shape: number; readonly isLate: boolean }
  | { readonly _tag: "AnswerBatch"; readonly calls: ReadonlyArray<number> }
  | { readonly _tag: "AnswerList"; readonly call: number }
  | { readonly _tag: "Question" | "Announce" | "ServerGarbage"; readonly index: number; readonly call: number }

/** So many clients connect at once. */
export const clientCount = 4

export const event = (choices: Choices): Event => {
  // A tape of zeros, to which events shrink, is none.
  if (choices.below(50) === 0) return { _tag: "Nothing" }
  const client = choices.below(clientCount)
  const call = choices.below(1000)
  const shape = choices.below(100)
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
    () => ({ _tag: "AnswerBatch", calls: [1, 2, 3].map(() => choices.below(1000)) }),
    () => ({ _tag: "AnswerList", call }),
    ...times(4, () => ({ _tag: choices.of(["Question", "Announce", "ServerGarbage"]), index: shape, call })),
    ...times(10, () => ({ _tag: "Turn" })),
    ...times(5, () => ({ _tag: "Attach" })),
    ...times(2, () => ({ _tag: choices.of(["Crash", "GiveUp", "Hope"]) })),
    ...times(3, () => ({ _tag: choices.of(["HoldStdin", "ReleaseStdin", "ReleaseStdin", "ReleaseStdin"]) }))
  ])()
}

const times = (count: number, make: () => Event): Array<() => Event> => Array.from({ length: count }, () => make)

const asking = (choices: Choices): Asking => ({
  id: choices.of(ids),
  token: choices.chance(60) ? choices.of(ids) : null,
  shape: choices.below(100)
})

/** In pieces of how many bytes a client's lines come. */
const chunk = (choices: Choices): number => choices.of([1_000_000, 1_000_000, 100, 7, 1])

/** Ids and tokens: of all types, few enough to collide, some of them equal though they are written differently. */
const ids = '0|1|1|1.0|"1"|2|-1|10|1e1|12345678901234567890|null|true|""|"a"|"\\u0061"|"é漢😀"|{"a":1}|[1, 2]'.split(
  "|"
)
