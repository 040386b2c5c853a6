/**
 * Arguments of tools that a modern server wants in headers, too: which these are, its list of tools says (`x-mcp-header`).
 * What stands there wrongly, and tools that were never listed, have none.
 *
 * https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http
 */
import { encoded, type Marked, markedIn, valueOf } from "../MarkedArguments.ts"

/** Those of one server. */
export class RemoteParams {
  readonly #byTool = new Map<string, ReadonlyArray<Marked>>()

  /** An answer to `tools/list`, as JSON text. */
  listed(text: string): void {
    if (this.#byTool.size === 0 && !text.includes("x-mcp-header")) return
    const tools = memberOf(memberOf(parse(text), "result"), "tools")
    for (const tool of Array.isArray(tools) ? (tools as ReadonlyArray<unknown>) : []) {
      const name = memberOf(tool, "name")
      if (typeof name !== "string") continue
      const marked = markedIn(memberOf(tool, "inputSchema"))
      if (marked.length > 0 && this.#byTool.size < maxTools) this.#byTool.set(name, marked)
      else this.#byTool.delete(name)
    }
  }

  /** The headers of a call, by its tool and its JSON text. */
  headers(tool: string, body: Buffer): Readonly<Record<string, string>> {
    const marked = this.#byTool.get(tool)
    if (marked === undefined) return {}
    const given = memberOf(memberOf(parse(body.toString("utf8")), "params"), "arguments")
    return Object.fromEntries(
      marked.flatMap((argument) => {
        const value = valueOf(argument, given)
        return value === null ? [] : [[`Mcp-Param-${argument.name}`, encoded(value)]]
      })
    )
  }
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

const maxTools = 10_000
