/** The transport's own headers of one message. Pure. */
import { modernVersion } from "../Era.ts"
import { encoded } from "../MarkedArguments.ts"

/**
 * What a message of the modern era says in headers beside its body.
 *
 * https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http
 */
export const modernHeaders = (method: string, name: string | null): Readonly<Record<string, string>> => ({
  ...accept,
  "MCP-Protocol-Version": modernVersion,
  "Mcp-Method": encoded(method),
  ...(name === null ? {} : { "Mcp-Name": encoded(name) })
})

/** Of every message. */
export const accept = { Accept: "application/json, text/event-stream" }

/** A session id that can be said again: visible ASCII. */
export const sessionIdOf = (header: string | ReadonlyArray<string> | undefined): string | null =>
  typeof header === "string" && /^[!-~]+$/.test(header) ? header : null
