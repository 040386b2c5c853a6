/** Where HTTP is served: an address as a person writes it. Pure. */
import * as net from "node:net"

/** Where to listen. */
export interface Address {
  readonly host: string
  /** 0 for any that is free. */
  readonly port: number
}

/**
 * `PORT`, `HOST:PORT` or `[IPV6]:PORT`; undefined where it is none of these. Without a host it is 127.0.0.1; an address in
 * another spelling is as the system reads it: `0` is 0.0.0.0.
 */
export const parse = (text: string): Address | undefined => {
  const found = /^(?:(?:\[([\da-f:.]+)\]|([^\s:[\]/]+)):)?(\d{1,5})$/i.exec(text)
  if (found === null) return undefined
  const [, ipv6, name, digits] = found
  const port = Number(digits)
  if (port > maxPort || (ipv6 !== undefined && !net.isIPv6(ipv6))) return undefined
  const host = ipv6 === undefined ? (name ?? "127.0.0.1") : `[${ipv6}]`
  const known = URL.parse(`http://${host}`)
  if (known === null || known.href !== `http://${known.hostname}/`) return undefined
  return { host: known.hostname.replace(/^\[|\]$/g, ""), port }
}

/** As {@link parse} reads it. */
export const text = ({ host, port }: Address): string => `${net.isIPv6(host) ? `[${host}]` : host}:${port}`

/** Whether only this machine gets there. */
export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || (net.isIPv4(host) && host.startsWith("127."))

/** Its URL for programs on this machine. */
export const url = ({ host, port }: Address): string => {
  const reachable = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host
  return `http://${text({ host: reachable, port })}`
}

const maxPort = 65_535
