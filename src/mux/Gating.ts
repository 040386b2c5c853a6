/** Which calls and lists a name's gate looks at, and what becomes of them. Plain synchronous code. */
import { Line } from "../lines/LineReader.ts"
import type { Envelope } from "../message/Envelope.ts"
import type { Call } from "./Calls.ts"
import type { Gate } from "./Gate.ts"
import type { Member } from "./Member.ts"
import { outcomeOf } from "./Outcome.ts"
import * as Reply from "./Reply.ts"
import type { Roster } from "./Roster.ts"

/** What a call of a tool has to pass; null where there is nothing. */
export const ofCall = (call: Call): Gate | null => {
  const { gate } = call.member.pin
  return gate !== null && gate.blocks && call.method === "tools/call" ? gate : null
}

/** What looks at a list of tools on its way to its client; null where nothing does. */
export const ofList = (call: Call): Gate | null => (call.method === "tools/list" ? call.member.pin.gate : null)

/** Whether what a client sends without an id may pass: a call in the shape of a notification is one that no gate has seen. */
export const passes = ({ pin }: Member, line: Line): boolean => {
  if (pin.gate?.blocks !== true) return true
  const { method } = JSON.parse(line.bytes.toString("utf8", line.start, line.end)) as { readonly method: string }
  return method.startsWith("notifications/")
}

/** Answers a client's request for a list of tools with what the process has answered, as far as it is offered. */
export const answer = (gate: Gate, roster: Roster, { client, id }: Call, line: Line, envelope: Envelope): void => {
  const outcome = outcomeOf(line)
  if (outcome.kind === "result") roster.saw(toolsOf(outcome.value), false)
  if (!gate.blocks) return client.answer(id, line, envelope)
  // The id is its client's in the end. What is not JSON, however little, is not passed on: others may read it all the same.
  const isResult = outcome.kind === "result"
  const text = isResult ? Reply.result("0", gate.offered(outcome.text)) : Reply.error("0", outcome.text)
  const own = Line.ofText(text.slice(0, -1))
  envelope.scan(own.bytes, own.start, own.end)
  client.answer(id, own, envelope)
}

/** What stands in a page of a list. */
const toolsOf = (page: unknown): ReadonlyArray<unknown> => {
  const tools = (page as { readonly tools?: unknown } | null)?.tools
  return Array.isArray(tools) ? tools : []
}
