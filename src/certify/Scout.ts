/**
 * A first look at a server: what it offers, and which arguments each tool takes. Makes the script that is then performed,
 * and says of everything else why it is not in it.
 */
import type { Tool } from "@modelcontextprotocol/sdk/types.js"
import { Duration, Effect, Result } from "effect"
import type { Ended } from "../server/ServerProcess.ts"
import * as Arguments from "./Arguments.ts"
import type { Step } from "./Conversation.ts"
import * as Play from "./Play.ts"
import * as Script from "./Script.ts"

/** What became of one tool, prompt or resource in the first look. */
export interface Trial {
  readonly kind: "tool" | "prompt" | "resource"
  readonly name: string
  /** `exercised`; answered each time with an error; not answered in time; or not asked at all. */
  readonly outcome: "exercised" | "refused" | "silent" | "not exercised"
  /** Null where it was exercised. */
  readonly reason: string | null
}

export interface Scouted {
  readonly script: ReadonlyArray<Script.Exercise>
  readonly trials: ReadonlyArray<Trial>
}

export const scout = Effect.fnUntraced(function* (
  scratch: Play.Scratch,
  words: Script.Words,
  /** Tools that a person allows to be called. */
  mayCall: ReadonlySet<string>
): Effect.fn.Return<Scouted, Ended> {
  const { capabilities } = scratch.process.handshake
  const script: Array<Script.Exercise> = []
  const trials: Array<Trial> = []
  const note = (kind: Trial["kind"], name: string, outcome: Trial["outcome"], reason: string | null) =>
    void trials.push({ kind, name, outcome, reason })

  /** Tries what `stepOf` makes until it is answered well, and keeps what was. */
  const attempt = Effect.fnUntraced(function* (
    kind: Trial["kind"],
    name: string,
    stepOf: (wish: Arguments.Wish) => Effect.Effect<Step, string>
  ) {
    let best: {
      readonly a: Step
      readonly wish: Pick<Arguments.Wish, "attempt" | "isBrief">
      readonly isGood: boolean
      readonly isSlow: boolean
    } | null = null
    let why = ""
    let last = ""
    let isBrief = false
    for (let attempt = 0; attempt < Arguments.attempts && best?.isGood !== true; attempt++) {
      const made = yield* Effect.result(stepOf({ word: words.a, choice: 0, isFull: isBrief, isBrief, attempt }))
      if (Result.isFailure(made)) {
        why ||= made.failure
        continue
      }
      const asked = JSON.stringify(made.success.params)
      if (asked === last) continue
      last = asked
      const [took, trace] = yield* Effect.timed(Play.ask(scratch, made.success))
      if (trace === null) {
        if (isBrief || kind !== "tool")
          return note(kind, name, "silent", `no answer within ${Duration.format(Play.patience)}`)
        isBrief = true
        continue
      }
      const isGood = Play.isGood(trace)
      if (best === null || isGood)
        best = { a: made.success, wish: { attempt, isBrief }, isGood, isSlow: Duration.isGreaterThan(took, slow) }
    }
    if (best === null) return note(kind, name, "not exercised", why)
    script.push({ a: best.a, b: yield* otherOf(best.a, best.wish, stepOf), isSlow: best.isSlow })
    if (best.isGood) note(kind, name, "exercised", null)
    else note(kind, name, "refused", "each answer was an error")
  })

  /** All arguments and the other word where that is taken, so that it leaves as many traces as it can. */
  const otherOf = Effect.fnUntraced(function* (
    a: Step,
    wish: Pick<Arguments.Wish, "attempt" | "isBrief">,
    stepOf: (wish: Arguments.Wish) => Effect.Effect<Step, string>
  ) {
    for (const isFull of [true, false]) {
      const made = yield* Effect.result(stepOf({ ...wish, word: words.b, choice: 1, isFull }))
      if (Result.isSuccess(made) && Play.isGood(yield* Play.ask(scratch, made.success))) return made.success
    }
    return a
  })

  const tools = "tools" in capabilities ? (yield* listAll(scratch, "tools")).filter(isTool) : []
  for (const [index, tool] of tools.entries()) {
    const reluctance =
      index < maxTools ? Script.reluctance(tool, mayCall) : `only the first ${maxTools} tools are looked at`
    if (reluctance !== null) note("tool", tool.name, "not exercised", reluctance)
    else yield* attempt("tool", tool.name, (wish) => Script.call(tool, wish))
  }
  for (const name of mayCall) {
    if (!tools.some((tool) => tool.name === name)) note("tool", name, "not exercised", "the server lists no such tool")
  }
  const prompts = "prompts" in capabilities ? (yield* listAll(scratch, "prompts")).flatMap(promptOf) : []
  for (const prompt of prompts.slice(0, maxOthers)) {
    yield* attempt("prompt", prompt.name, (wish) => Effect.succeed(Script.prompt(prompt, wish)))
  }
  const resources = "resources" in capabilities ? (yield* listAll(scratch, "resources")).flatMap(uriOf) : []
  for (const [index, uri] of resources.slice(0, maxOthers).entries()) {
    const other = resources[index + 1] ?? resources[0]!
    yield* attempt("resource", uri, ({ choice }) => Effect.succeed(Script.read(choice === 0 ? uri : other)))
  }
  for (const [kind, all] of [
    ["prompt", prompts.map(({ name }) => name)],
    ["resource", resources]
  ] as const) {
    for (const name of all.slice(maxOthers)) note(kind, name, "not exercised", `only the first ${maxOthers} are`)
  }
  // The lists come last, since a call may change them.
  for (const kind of ["tools", "prompts", "resources"] as const) {
    const step = Script.list(`${kind}/list`)
    if (kind in capabilities) script.push({ a: step, b: step, isSlow: false })
  }
  return { script, trials }
})

/** What was answered in the first look and then no more, where two clients shared a process, was not exercised enough. */
export const confirmed = (
  trials: ReadonlyArray<Trial>,
  together: ReadonlyArray<ReadonlyArray<Play.Told>>
): ReadonlyArray<Trial> =>
  trials.map((trial) => {
    const isIt = ({ step }: Play.Told) => step.name === trial.name && step.method === methods[trial.kind]
    const isAnswered = together.every((told) => told.some((one) => isIt(one) && Play.isGood(one.trace)))
    if (trial.outcome !== "exercised" || isAnswered) return trial
    return { ...trial, outcome: "refused", reason: "beside another client it was not answered with a result" }
  })

const methods = { tool: "tools/call", prompt: "prompts/get", resource: "resources/read" } as const

/** All pages of one of its lists; what came so far where it answers with an error. */
const listAll = Effect.fnUntraced(function* (
  scratch: Play.Scratch,
  kind: "tools" | "prompts" | "resources"
): Effect.fn.Return<ReadonlyArray<unknown>, Ended> {
  const all: Array<unknown> = []
  let cursor: string | undefined
  for (let page = 0; page < maxPages; page++) {
    const step = { ...Script.list(`${kind}/list`), params: cursor === undefined ? {} : { cursor } }
    const trace = yield* Play.ask(scratch, step)
    if (!isRecord(trace?.result) || !Array.isArray(trace.result[kind])) return all
    all.push(...(trace.result[kind] as ReadonlyArray<unknown>))
    const { nextCursor } = trace.result
    if (typeof nextCursor !== "string") return all
    cursor = nextCursor
  }
  return all
})

const promptOf = (listed: unknown): ReadonlyArray<Script.Prompt> => {
  if (!isRecord(listed) || typeof listed["name"] !== "string") return []
  const args = Array.isArray(listed["arguments"]) ? (listed["arguments"] as ReadonlyArray<unknown>) : []
  return [
    {
      name: listed["name"],
      arguments: args.flatMap((one) =>
        isRecord(one) && typeof one["name"] === "string"
          ? [{ name: one["name"], required: one["required"] === true }]
          : []
      )
    }
  ]
}

const uriOf = (listed: unknown): ReadonlyArray<string> =>
  isRecord(listed) && typeof listed["uri"] === "string" ? [listed["uri"]] : []

const isTool = (listed: unknown): listed is Tool =>
  isRecord(listed) && typeof listed["name"] === "string" && isRecord(listed["inputSchema"])

const isRecord = (value: unknown): value is { readonly [key: string]: unknown } =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const slow = Duration.millis(500)
const maxTools = 100
/** Prompts, and resources. */
const maxOthers = 8
const maxPages = 100
