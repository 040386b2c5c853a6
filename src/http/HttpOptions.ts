/** How HTTP is served: what `mcp-pool serve` was told of it. Pure. */
import type { Address } from "./Address.ts"

/** As a listener needs it. */
export interface HttpOptions {
  readonly address: Address
  /** `none`: whoever reaches it may use it. */
  readonly auth: "token" | "none"
  /** Names of hosts beside this machine's own, in lower case. */
  readonly allowedHosts: ReadonlyArray<string>
  /** Milliseconds after which a session that nobody uses is closed. */
  readonly idle: number
}

/** Unless another is given: half an hour, since most clients do not begin again by themselves. */
export const defaultIdle = 30 * 60_000
