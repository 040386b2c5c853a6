/** The headers `Mcp-Param-…` of a tool's call, which must agree with its arguments (see `MarkedArguments`). Pure. */
import type { Tool } from "@modelcontextprotocol/sdk/types.js"
import type { Refusal } from "../mux/Upstream.ts"
import { decoded, type Marked, markedIn, valueOf } from "../server/MarkedArguments.ts"
import { disagree } from "./ModernHeaders.ts"

/** The value of a header, by its name in lower case; undefined where it is not there. */
export type HeaderOf = (name: string) => string | undefined

/** Why a call is refused whose tool has marked arguments; null where all that it has of them agree. */
export const mismatch = (marked: ReadonlyArray<Marked>, args: unknown, headerOf: HeaderOf): Refusal | null => {
  for (const argument of marked) {
    const value = valueOf(argument, args)
    if (value === null) continue
    const header = `mcp-param-${argument.name.toLowerCase()}`
    const given = headerOf(header)
    const said = given === undefined ? undefined : decoded(given)
    const isSameNumber = said !== undefined && decimal.test(said) && Number(said) === Number(value)
    if (said === value || (argument.isNumber && isSameNumber)) continue
    return disagree(header, given, `the body has another value as ${argument.path.join(".")}`)
  }
  return null
}

/** What of a tool's arguments headers say again; nothing where the tool is not among these. */
export const markedOf = (tools: ReadonlyArray<Tool>, tool: string): ReadonlyArray<Marked> => {
  let byTool = known.get(tools)
  if (byTool === undefined) {
    byTool = new Map(tools.map(({ inputSchema, name }) => [name, markedIn(inputSchema)] as const))
    known.set(tools, byTool)
  }
  return byTool.get(tool) ?? []
}

const known = new WeakMap<ReadonlyArray<Tool>, ReadonlyMap<string, ReadonlyArray<Marked>>>()
const decimal = /^-?\d+(\.\d+)?$/
