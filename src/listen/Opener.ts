/** Which server `connect` means. Lives as long as its layer's scope. */
import { Context, Effect, Layer } from "effect"
import { type Endpoint, McpPool } from "../McpPool.ts"
import type { OpenError } from "../WireError.ts"

/** What `connect` asks for: a name and a directory, and never a command. */
export interface Wanted {
  readonly server: string
  /** An absolute path; null for the pool's own servers alone. */
  readonly project: string | null
}

/** A server that was found. */
export interface Found {
  /** Its name in the pool. */
  readonly address: string
  /** What stands behind it. */
  readonly endpoint: Endpoint
}

export class Opener extends Context.Service<
  Opener,
  {
    /** Finds the server, or says what a person can do. */
    readonly open: (wanted: Wanted) => Effect.Effect<Found, OpenError>
  }
>()("effect-mcp-pool/listen/Opener") {}

/** The servers of the pool's own configuration, whatever the project. */
export const layer: Layer.Layer<Opener, never, McpPool> = Layer.effect(
  Opener,
  Effect.map(McpPool, (pool) =>
    Opener.of({
      open: ({ server }) => Effect.map(pool.endpoint(server), (endpoint) => ({ address: server, endpoint }))
    })
  )
)
