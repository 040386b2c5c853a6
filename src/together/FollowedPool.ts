/** All servers of a pool as one, whichever they are: follows those that come and go. Lives as long as its scope. */
import { Effect, Exit, FiberSet, type Scope, Stream } from "effect"
import * as Address from "../config/Address.ts"
import { defaultPool } from "../config/ServerSpec.ts"
import { type Endpoint, McpPool } from "../McpPool.ts"
import type { Server } from "./Directory.ts"
import { Together } from "./Together.ts"

/** What a listener needs to serve all of them. */
export interface TogetherEndpoint extends Endpoint {
  readonly upstream: Together
}

/** All of them, and how they are looked after. */
export interface FollowedPool {
  readonly endpoint: TogetherEndpoint
  /** Called now and then. */
  readonly follow: () => void
}

/** All servers of the configuration, not those that projects have for themselves. */
export const make = Effect.gen(function* (): Effect.fn.Return<FollowedPool, never, McpPool | Scope.Scope> {
  const pool = yield* McpPool
  const services = yield* Effect.context<never>()
  const say = Effect.runSyncWith(services)
  const fork = yield* FiberSet.makeRuntime<never>()
  const sessionId = yield* pool.include(() => together.clients)
  let names: ReadonlyArray<string> | null = null

  const find = (name: string): ReadonlyArray<Server> => {
    const found = Effect.runSyncExit(pool.endpoint(name))
    return Exit.isSuccess(found) ? [{ name, endpoint: found.value }] : []
  }
  const watched = new WeakSet<Endpoint["upstream"]>()
  const watch = ({ endpoint: { removed, upstream } }: Server) => {
    if (watched.has(upstream)) return
    watched.add(upstream)
    fork(
      Effect.andThen(
        removed,
        Effect.sync(() => {
          // It may be over before anybody has asked for anything.
          follow()
          together.gone(upstream)
        })
      )
    )
  }
  const follow = () => {
    if (pool.names === names) return
    names = pool.names
    const servers = names.filter((name) => Address.parse(name) === undefined).flatMap(find)
    for (const server of servers) watch(server)
    together.become(servers)
  }
  const together = new Together({
    follow,
    onHidden: (kind, hidden) => {
      for (const [server, items] of hidden) {
        const what = items.length === 1 ? `${kind.key} "${items[0]}"` : `${items.length} ${kind.key}`
        say(
          Effect.logInfo(
            `${server} lists ${what} that another server before it lists: at /mcp that one's is meant`
          ).pipe(Effect.annotateLogs({ server }))
        )
      }
    }
  })
  follow()
  yield* Effect.addFinalizer(() => Effect.sync(() => together.close()))
  yield* pool.changes.pipe(
    Stream.runForEach(({ cause, server, to }) =>
      Effect.sync(() => {
        follow()
        // One that goes to sleep lists what it did, and a look might wake it.
        const sleeps = to === "stopped" && cause !== "request"
        if (settled.has(to) && !sleeps) together.look(server)
      })
    ),
    Effect.forkScoped({ startImmediately: true })
  )
  const endpoint = { upstream: together, settings: defaultPool, sessionId, removed: Effect.never }
  return { endpoint, follow }
})

/** The states in which what a server lists may be another. */
const settled: ReadonlySet<string> = new Set(["running", "stopped", "failed", "crash-loop"])
