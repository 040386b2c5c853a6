/**
 * Arguments of tools that a modern server wants in headers, too: which these are, its list of tools says (`x-mcp-header`).
 * What stands there wrongly, and tools that were never listed, have none.
 *
 * https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http
 */
import { encoded } from "./RemoteHeaders.ts"

/** One argument: where it stands, and in which header. */
interface Declared {
  readonly path: ReadonlyArray<string>
  readonly header: string
}

/** Those of one server. */
export class RemoteParams {
  readonly #byTool = new Map<string, ReadonlyArray<Declared>>()

  /** An answer to `tools/list`, as JSON text. */
  listed(text: string): void {
    if (this.#byTool.size === 0 && !text.includes("x-mcp-header")) return
    const tools = memberOf(memberOf(parse(text), "result"), "tools")
    for (const tool of Array.isArray(tools) ? (tools as ReadonlyArray<unknown>) : []) {
      const name = memberOf(tool, "name")
      if (typeof name !== "string") continue
      const declared = declaredIn(memberOf(tool, "inputSchema"), [])
      if (declared.length > 0 && this.#byTool.size < maxTools) this.#byTool.set(name, declared)
      else this.#byTool.delete(name)
    }
  }

  /** The headers of a call, by its tool and its JSON text. */
  headers(tool: string, body: Buffer): Readonly<Record<string, string>> {
    const declared = this.#byTool.get(tool)
    if (declared === undefined) return {}
    const given = memberOf(memberOf(parse(body.toString("utf8")), "params"), "arguments")
    return Object.fromEntries(
      declared.flatMap(({ header, path }) => {
        const value = path.reduce(memberOf, given)
        return value === null || !primitive.has(typeof value) ? [] : [[`Mcp-Param-${header}`, encoded(String(value))]]
      })
    )
  }
}

/** Along `properties` alone: what stands elsewhere is no one argument. */
const declaredIn = (schema: unknown, path: ReadonlyArray<string>): ReadonlyArray<Declared> => {
  const header = path.length === 0 ? undefined : memberOf(schema, "x-mcp-header")
  const own = typeof header === "string" && isToken.test(header) ? [{ path, header }] : []
  const properties = memberOf(schema, "properties")
  if (typeof properties !== "object" || properties === null || path.length >= maxDepth) return own
  return [...own, ...Object.entries(properties).flatMap(([name, inner]) => declaredIn(inner, [...path, name]))]
}

const memberOf = (value: unknown, key: string): unknown =>
  typeof value === "object" && value !== null && Object.hasOwn(value, key)
    ? (value as { readonly [key: string]: unknown })[key]
    : undefined

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const primitive: ReadonlySet<string> = new Set(["string", "number", "boolean"])
const isToken = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$/
const maxDepth = 16
const maxTools = 10_000
