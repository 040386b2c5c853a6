/**
 * The headers `Mcp-Param-…` of a tool's call, which say again what of its arguments the tool's definition marks with
 * `x-mcp-header`, so that who stands between need not read the body: they must agree. Pure.
 *
 * https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http
 */
import type { Tool } from "@modelcontextprotocol/sdk/types.js"
import type { Refusal } from "../mux/Upstream.ts"
import { decoded, disagree } from "./ModernHeaders.ts"

/** An argument that a header says again. */
interface Marked {
  /** In lower case. */
  readonly header: string
  /** Where it stands in the arguments. */
  readonly path: ReadonlyArray<string>
  readonly isNumber: boolean
}

/** The value of a header, by its name in lower case; undefined where it is not there. */
export type HeaderOf = (name: string) => string | undefined

/** Why a call is refused whose tool has marked arguments; null where all that it has of them agree. */
export const mismatch = (marked: ReadonlyArray<Marked>, args: unknown, headerOf: HeaderOf): Refusal | null => {
  for (const { header, isNumber, path } of marked) {
    const value = textOf(path.reduce<unknown>((node, key) => (isRecord(node) ? node[key] : undefined), args))
    if (value === null) continue
    const given = headerOf(header)
    const said = given === undefined ? undefined : decoded(given)
    const isSame =
      said === value || (isNumber && said !== undefined && decimal.test(said) && Number(said) === Number(value))
    if (!isSame) return disagree(header, given, `the body has another value as ${path.join(".")}`)
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

/** Only what properties alone lead to can be marked; where two have one header, no client sends any. */
const markedIn = (schema: unknown): ReadonlyArray<Marked> => {
  const marked: Array<Marked> = []
  const visit = (node: unknown, path: ReadonlyArray<string>): void => {
    if (!isRecord(node) || path.length > deepest) return
    const { properties, type, "x-mcp-header": name } = node
    if (path.length > 0 && typeof name === "string" && token.test(name) && types.has(type)) {
      marked.push({
        header: `mcp-param-${name.toLowerCase()}`,
        path,
        isNumber: type === "integer" || type === "number"
      })
    }
    if (isRecord(properties)) for (const [key, child] of Object.entries(properties)) visit(child, [...path, key])
  }
  visit(schema, [])
  return new Set(marked.map(({ header }) => header)).size === marked.length ? marked : []
}

/** As a header says it; null where it says nothing of it. */
const textOf = (value: unknown): string | null => {
  if (typeof value === "string" || typeof value === "boolean") return String(value)
  const isExact = typeof value === "number" && (!Number.isInteger(value) || Number.isSafeInteger(value))
  return isExact ? String(value) : null
}

const isRecord = (value: unknown): value is { readonly [key: string]: unknown } =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const known = new WeakMap<ReadonlyArray<Tool>, ReadonlyMap<string, ReadonlyArray<Marked>>>()
const types: ReadonlySet<unknown> = new Set(["string", "integer", "boolean", "number"])
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const decimal = /^-?\d+(\.\d+)?$/
const deepest = 32
