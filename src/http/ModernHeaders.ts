/**
 * What the headers of a modern request say beside its body, so that who stands between need not read that: they must agree.
 * Pure. https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http
 */
import type { Refusal } from "../mux/Upstream.ts"
import { modernVersion } from "../server/Era.ts"
import { decoded } from "../server/MarkedArguments.ts"

/** The code of what is refused here. */
export const headerMismatch = -32020

/** The headers, as they came. */
export interface ModernHeaders {
  readonly version: string | undefined
  readonly method: string | undefined
  readonly name: string | undefined
  /** Any other, by its name in lower case. */
  readonly other: (name: string) => string | undefined
}

/** Why a request is refused whose method is `method`, and whose body names `name`; null where all agree. */
export const mismatch = (headers: ModernHeaders, method: string, name: string | null): Refusal | null => {
  if (headers.version !== modernVersion) {
    return disagree("MCP-Protocol-Version", headers.version, `the body is of ${modernVersion}`)
  }
  if (headers.method !== method) return disagree("Mcp-Method", headers.method, `the method is ${method}`)
  if (!named.has(method) || name === null) return null
  const said = headers.name === undefined ? undefined : decoded(headers.name)
  return said === name ? null : disagree("Mcp-Name", headers.name, `the body names ${name}`)
}

/** The same where the body's own version is refused: that the header says another comes first. */
export const otherVersion = ({ version }: ModernHeaders, refusal: Refusal): Refusal | null => {
  const { requested } = (("data" in refusal ? refusal.data : undefined) ?? {}) as { readonly requested?: unknown }
  if (typeof requested !== "string" || requested === version) return null
  return disagree("MCP-Protocol-Version", version, `the body is of ${requested.slice(0, 100)}`)
}

/** The refusal of a header; what it says may be anything. */
export const disagree = (header: string, value: string | undefined, body: string): Refusal => ({
  code: headerMismatch,
  message: `the headers and the body disagree: ${value === undefined ? `there is no ${header}` : `${header} is ${value}`}, and ${body}`,
  data: { mismatch: { header: value ?? null, body } }
})

const named: ReadonlySet<string> = new Set([
  "tools/call",
  "prompts/get",
  "resources/read",
  // https://modelcontextprotocol.io/seps/2663-tasks-extension
  "tasks/get",
  "tasks/update",
  "tasks/cancel"
])
