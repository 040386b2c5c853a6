/** How the control API asks the daemon to stop. Lives as long as the daemon. */
import { Context, Effect, Latch, Layer } from "effect"

export class Shutdown extends Context.Service<
  Shutdown,
  {
    /** Asks for it and returns at once. */
    readonly request: Effect.Effect<void>
    /** Returns when somebody has asked. */
    readonly requested: Effect.Effect<void>
  }
>()("effect-mcp-pool/control/Shutdown") {}

export const make = Effect.gen(function* () {
  const latch = yield* Latch.make(false)
  return Shutdown.of({ request: Effect.asVoid(latch.open), requested: latch.await })
})

export const layer: Layer.Layer<Shutdown> = Layer.effect(Shutdown, make)
