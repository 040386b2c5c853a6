/**
 * The two eras of the protocol: what begins with `initialize`, up to 2025-11-25, and what begins with nothing, since
 * 2026-07-28, where each request says who asks (https://modelcontextprotocol.io/specification/2026-07-28/basic). Pure.
 */
import { version } from "../version.ts"

/** As the SDKs call them. */
export type Era = "legacy" | "modern"

/** The versions that begin with `initialize`, the newest first; the pool asks servers for that one. */
export const protocolVersions = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05", "2024-10-07"] as const

/** The version of the modern era. */
export const modernVersion = "2026-07-28"

/** All that clients may speak, the newest first. */
export const supportedVersions: ReadonlyArray<string> = [modernVersion, ...protocolVersions]

/** Keys of `_meta`. */
export const metaKeys = {
  version: "io.modelcontextprotocol/protocolVersion",
  capabilities: "io.modelcontextprotocol/clientCapabilities",
  client: "io.modelcontextprotocol/clientInfo",
  level: "io.modelcontextprotocol/logLevel",
  server: "io.modelcontextprotocol/serverInfo",
  subscription: "io.modelcontextprotocol/subscriptionId"
} as const

/** The extension by which a modern server goes on with a call after its answer, at the client that declares it. */
export const tasksExtension = "io.modelcontextprotocol/tasks"

/** Codes that 2026-07-28 gives its own errors. */
export const missingCapability = -32021
export const unsupportedVersion = -32022

/** What the pool says of itself. */
export const poolInfo = { name: "mcp-pool", version }

/** The `_meta` of a modern request of somebody. */
export const metaOf = (of: {
  readonly capabilities: object
  readonly clientInfo: object
}): { readonly [key: string]: unknown } => ({
  [metaKeys.version]: modernVersion,
  [metaKeys.capabilities]: of.capabilities,
  [metaKeys.client]: of.clientInfo
})

/** Of a request that the pool makes for itself: it can be asked nothing. */
export const poolMeta = metaOf({ capabilities: {}, clientInfo: poolInfo })

/** The same of one about a task. */
export const poolTasksMeta = metaOf({ capabilities: { extensions: { [tasksExtension]: {} } }, clientInfo: poolInfo })
