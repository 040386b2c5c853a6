/** How HTTP is served: what `mcp-pool serve` was told of it. Pure. */
import * as Address from "./Address.ts"

/** As a listener needs it. */
export interface HttpOptions {
  readonly address: Address.Address
  /** `none`: whoever reaches it may use it. */
  readonly auth: "token" | "none"
  /** Names of hosts beside this machine's own, in lower case. */
  readonly allowedHosts: ReadonlyArray<string>
  /** Milliseconds after which a session that nobody uses is closed. */
  readonly idle: number
  /** Where another program has the address, all else is served meanwhile; unless this is said, it is an error. */
  readonly waits?: boolean | undefined
}

/** Unless another is given: half an hour, since most clients do not begin again by themselves. */
export const defaultIdle = 30 * 60_000

/** What flags say, each understood for itself. */
export interface Said {
  readonly address?: Address.Address | undefined
  readonly auth?: HttpOptions["auth"] | undefined
  readonly allowedHosts: ReadonlyArray<string>
  /** Milliseconds. */
  readonly idle?: number | undefined
  readonly waits: boolean
}

/** What they say together: undefined for no HTTP, a text for why they do not agree. */
export const ofFlags = (said: Said): HttpOptions | undefined | string => {
  const { address, allowedHosts, auth, idle, waits } = said
  if (address === undefined) {
    const isMeant = auth !== undefined || idle !== undefined || waits || allowedHosts.length > 0
    return isMeant ? "--http-auth, --http-idle, --http-wait and --allowed-host need --http" : undefined
  }
  if (auth === "none" && !Address.isLoopback(address.host)) {
    return `--http-auth none is for an address of this machine alone, and ${address.host} is none`
  }
  return { address, auth: auth ?? "token", allowedHosts, idle: idle ?? defaultIdle, waits }
}

/** The flags that say the same. */
export const toFlags = ({ address, allowedHosts, auth, idle, waits = false }: HttpOptions): ReadonlyArray<string> => [
  "--http",
  Address.text(address),
  ...(auth === "token" ? [] : ["--http-auth", auth]),
  ...allowedHosts.flatMap((host) => ["--allowed-host", host]),
  ...(idle === defaultIdle ? [] : ["--http-idle", `${idle}ms`]),
  ...(waits ? ["--http-wait"] : [])
]
