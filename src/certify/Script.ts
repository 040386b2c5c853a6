/**
 * What each of two clients asks: a call of every tool that may be called, prompts, resources, and the lists at the end.
 * Which tools may be called their annotations say, or a person. Pure but for the validation of arguments.
 */
import type { Tool } from "@modelcontextprotocol/sdk/types.js"
import { Effect } from "effect"
import { mistakesIn } from "../proxy/Arguments.ts"
import * as Arguments from "./Arguments.ts"
import type { Step } from "./Conversation.ts"

/** The same thing, as each of the two clients asks for it. */
export interface Exercise {
  readonly a: Step
  readonly b: Step
  /** It takes so long that it is asked once, and once with all the others at once. */
  readonly isSlow: boolean
}

export interface Prompt {
  readonly name: string
  readonly arguments: ReadonlyArray<{ readonly name: string; readonly required: boolean }>
}

/** Each client's own word: letters only, so that it stays one word wherever it turns up. */
export interface Words {
  readonly a: string
  readonly b: string
}

/** Two words that mean nothing and have nothing in common. */
export const words = (): Words => ({ a: `kor${random("bdfgklmnprst")}`, b: `zyx${random("cdhjqvwz")}` })

const random = (consonants: string): string => {
  let word = ""
  for (let i = 0; i < 5; i++) word += consonants[Math.floor(Math.random() * consonants.length)]! + "aeiou"[i]!
  return word
}

/**
 * Why a tool is not called; null where it may be. A scratch process has the user's own files and accounts, so that only
 * what says that it reads is called, and what a person names.
 */
export const reluctance = (tool: Tool, mayCall: ReadonlySet<string>): string | null => {
  if (tool.execution?.taskSupport === "required") return "it runs as a task only"
  if (tool.annotations?.readOnlyHint === true || mayCall.has(tool.name)) return null
  return "it does not say that it only reads"
}

/** Calls of a tool for one client: its plainest arguments, or all of them; fails with why there are none. */
export const call = Effect.fnUntraced(function* (tool: Tool, wish: Arguments.Wish): Effect.fn.Return<Step, string> {
  const made = Arguments.make(tool.inputSchema, wish)
  if ("reason" in made) return yield* Effect.fail(made.reason)
  const [mistake] = yield* mistakesIn(tool.inputSchema, made.value)
  if (mistake !== undefined) {
    const where = mistake.path === "" ? "its arguments" : `argument ${JSON.stringify(mistake.path.slice(1, 80))}`
    return yield* Effect.fail(`${where} could not be made: ${mistake.reason.slice(0, 120)}`)
  }
  return { method: "tools/call", name: tool.name, params: { name: tool.name, arguments: made.value } }
})

/** A prompt for one client. */
export const prompt = ({ arguments: args, name }: Prompt, wish: Arguments.Wish): Step => {
  const made = Arguments.make(
    {
      type: "object",
      properties: Object.fromEntries(args.map(({ name }) => [name, { type: "string" }])),
      required: args.flatMap(({ name, required }) => (required ? [name] : []))
    },
    wish
  )
  const given = "value" in made ? { arguments: made.value } : {}
  return { method: "prompts/get", name, params: { name, ...given } }
}

export const read = (uri: string): Step => ({ method: "resources/read", name: uri, params: { uri } })

export const list = (method: string): Step => ({ method, name: null, params: {} })
