/** Where this process serves HTTP itself: a server whose `url` points there would wait for itself. */
import { Context, Effect, type Scope } from "effect"
import type { Remote } from "../../config/Remote.ts"

/** One for the whole process, as ports are. */
export const OwnAddresses = Context.Reference<Set<string>>("effect-mcp-pool/server/remote/OwnAddresses", {
  defaultValue: () => new Set()
})

/** Known as long as the scope lives. */
export const add = Effect.fnUntraced(function* (
  where: { readonly host: string; readonly port: number } | { readonly socket: string }
): Effect.fn.Return<void, never, Scope.Scope> {
  const own = yield* OwnAddresses
  const keys = "socket" in where ? [unix(where.socket)] : [where.host, ...loopback].map((name) => tcp(name, where.port))
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      for (const key of keys) own.add(key)
    }),
    () =>
      Effect.sync(() => {
        for (const key of keys) own.delete(key)
      })
  )
})

/** Under which of them a server would be found. */
export const keyOf = ({ socketPath, url }: Remote): string => {
  if (socketPath !== null) return unix(socketPath)
  const { hostname, port, protocol } = new URL(url)
  return tcp(hostname.replace(/^\[(.*)\]$/, "$1"), Number(port) || (protocol === "https:" ? 443 : 80))
}

const tcp = (host: string, port: number): string => `${host.toLowerCase()} ${port}`
const unix = (path: string): string => `unix ${path}`
const loopback = ["127.0.0.1", "::1", "localhost"]
