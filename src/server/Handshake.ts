/** What a server and its client say of themselves before anything else, in either era. Pure. */
import type { ServerCapabilities } from "@modelcontextprotocol/sdk/types.js"
import type { PoolSettings } from "../config/ServerSpec.ts"
import { type Era, modernVersion, poolInfo, protocolVersions } from "./Era.ts"

/** What a server answered to `initialize`, or to `server/discover` where it is modern. */
export interface Handshake {
  readonly era: Era
  readonly protocolVersion: string
  readonly capabilities: ServerCapabilities
  /** The whole result, as it came. */
  readonly result: { readonly [key: string]: unknown }
}

/**
 * What a server says of itself, of the one era or of the other; null where it is nothing that the pool understands, or in
 * a version that it does not speak.
 */
export const handshakeOf = (result: unknown): Handshake | null => {
  if (!isRecord(result)) return null
  const capabilities = isRecord(result["capabilities"]) ? result["capabilities"] : {}
  const versions = result["supportedVersions"]
  if (Array.isArray(versions)) {
    return versions.includes(modernVersion)
      ? { era: "modern", protocolVersion: modernVersion, capabilities, result }
      : null
  }
  const protocolVersion = protocolVersions.find((version) => version === result["protocolVersion"])
  return protocolVersion === undefined ? null : { era: "legacy", protocolVersion, capabilities, result }
}

/** What a client says of itself in `initialize`. */
export interface Hello {
  readonly protocolVersion: string
  readonly capabilities: object
  readonly clientInfo: object
}

/** What the pool says: it can be asked all that it can pass on to a session, and the roots that it was given. */
export const helloOf = ({ questions, roots }: Pick<PoolSettings, "questions" | "roots">): Hello => ({
  protocolVersion: protocolVersions[0],
  capabilities: {
    ...(questions === "deny" ? {} : { sampling: { tools: {} }, elicitation: { form: {}, url: {} } }),
    ...(roots === undefined ? {} : { roots: {} })
  },
  clientInfo: poolInfo
})

const isRecord = (value: unknown): value is { readonly [key: string]: unknown } =>
  typeof value === "object" && value !== null && !Array.isArray(value)
