/** How the control API asks the daemon to stop. Lives as long as the daemon. */
import { Context, Deferred, type Duration, Effect, Latch, Layer } from "effect"
import { SocketSessions, layer as layerSessions } from "../listen/SocketSessions.ts"
import type { Drained } from "../PoolStatus.ts"

export class Shutdown extends Context.Service<
  Shutdown,
  {
    /** Asks for it and returns at once. */
    readonly request: Effect.Effect<void>
    /** Returns when somebody has asked. */
    readonly requested: Effect.Effect<void>
    /**
     * Lets all that clients have asked be answered, up to the deadline, takes no new sessions meanwhile, and returns what
     * came of it. The stop follows when it is asked for, or a second later. Begun once, it goes through.
     */
    readonly handover: (deadline: Duration.Input) => Effect.Effect<Drained>
  }
>()("effect-mcp-pool/control/Shutdown") {}

export const make = Effect.gen(function* () {
  const latch = yield* Latch.make(false)
  const sessions = yield* SocketSessions
  const scope = yield* Effect.scope
  let drained: Deferred.Deferred<Drained> | undefined

  const handover: Shutdown["Service"]["handover"] = Effect.fnUntraced(function* (deadline) {
    if (drained === undefined) {
      const outcome = Deferred.makeUnsafe<Drained>()
      drained = outcome
      yield* sessions
        .drain({ reason: "handover", deadline })
        .pipe(
          Deferred.into(outcome),
          Effect.andThen(Effect.sleep(readingTime)),
          Effect.andThen(latch.open),
          Effect.forkIn(scope, { startImmediately: true })
        )
    }
    return yield* Deferred.await(drained)
  })

  return Shutdown.of({ request: Effect.asVoid(latch.open), requested: latch.await, handover })
})

/** Over the sessions of the daemon's listeners. */
export const layer: Layer.Layer<Shutdown> = Layer.effect(Shutdown, make).pipe(Layer.provide(layerSessions))

/** For whoever asked to read what came of it, and to ask for the rest. */
const readingTime = "1 second"
