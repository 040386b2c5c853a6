/**
 * Who may ask over HTTP: the host that a request names and the page that it comes from, since a browser reaches loopback
 * too (DNS rebinding), and the token. Pure.
 *
 * https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#security-warning
 */
import type * as Crypto from "node:crypto"

/** What a request says of where it comes from. */
export interface Credentials {
  readonly host: string | undefined
  readonly origin: string | undefined
}

/** What it must say. */
export interface Rules {
  /** Names of hosts, as {@link hostOf} has them. */
  readonly hosts: ReadonlySet<string>
  /** Of the token; null where none is needed. */
  readonly digest: Buffer | null
}

/** Why a request is refused. */
export interface Refused {
  readonly status: 403
  readonly message: string
}

/** The names under which this machine is known to itself. */
export const localHosts: ReadonlyArray<string> = ["localhost", "127.0.0.1", "[::1]"]

/** The host in `HOST[:PORT]`, in lower case and without the port; undefined where there is none. */
export const hostOf = (text: string): string | undefined =>
  /^(\[[\da-f:.]+\]|[^\s:@/?#[\]]+)(?::\d{1,5})?$/i.exec(text)?.[1]?.toLowerCase()

/** Whether the request names a host that is served, and comes from no page of another. */
export const refuseHost = ({ host, origin }: Credentials, { hosts }: Rules): Refused | null => {
  const named = host === undefined ? undefined : hostOf(host)
  if (named === undefined || !hosts.has(named)) {
    const what =
      host === undefined ? "the request names no host" : `the host "${host.slice(0, 100)}" is not served here`
    return { status: 403, message: `${what}: add it with --allowed-host` }
  }
  if (origin === undefined) return null
  const page = /^https?:\/\/(.+)$/i.exec(origin)?.[1]
  const from = page === undefined ? undefined : hostOf(page)
  if (from !== undefined && hosts.has(from)) return null
  return {
    status: 403,
    message: `pages of "${origin.slice(0, 100)}" may not ask here: add their host with --allowed-host`
  }
}

/** Whether a header of a request, which says who asks, stands there twice: who reads it elsewhere may take the other one. */
export const isAmbiguous = (rawHeaders: ReadonlyArray<string>): boolean => {
  let hosts = 0
  let tokens = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!
    if (name.length === "host".length && name.toLowerCase() === "host") hosts++
    else if (name.length === "authorization".length && name.toLowerCase() === "authorization") tokens++
  }
  return hosts > 1 || tokens > 1
}

/** Whether a header `Authorization` shows the token. */
export const hasToken = (authorization: string, digest: Buffer): boolean => {
  const token = /^Bearer +(\S+) *$/i.exec(authorization)?.[1]
  return token !== undefined && crypto().timingSafeEqual(digestOf(token), digest)
}

/** Of equal length whatever the token, so that comparing two tells nothing of either. */
export const digestOf = (token: string): Buffer => crypto().createHash("sha256").update(token).digest()

/** Taken where it is needed: its import costs 2 ms of each start of the daemon, with HTTP or without. */
const crypto = (): typeof Crypto => process.getBuiltinModule("node:crypto")
