/**
 * A server that runs elsewhere, as an incarnation of it: a session over HTTP that all clients share. A scoped resource:
 * closing the scope ends the session there. Loaded by who has such a server.
 */
import { Duration, Effect, type Scope } from "effect"
import type { Remote } from "../../config/Remote.ts"
import type { ServerSpec } from "../../config/ServerSpec.ts"
import * as OwnAddresses from "./OwnAddresses.ts"
import { RemoteTransport } from "./RemoteTransport.ts"
import type { ServerLog } from "../ServerLog.ts"
import type { Transport } from "../Transport.ts"

/** Nothing is sent before the first line is. */
export const acquire = (
  spec: ServerSpec,
  remote: Remote,
  log: ServerLog
): Effect.Effect<Transport, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.map(OwnAddresses.OwnAddresses, (own) => {
      const key = OwnAddresses.keyOf(remote)
      return new RemoteTransport({ spec, remote, log, isOwn: () => own.has(key) })
    }),
    (transport) =>
      Effect.callback<void>((resume) =>
        transport.close(Duration.toMillis(spec.pool.stop.stdin), () => resume(Effect.void))
      )
  )
