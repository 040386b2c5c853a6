import { describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import * as Choices from "../lines/Choices.ts"
import { turn, turns } from "../lines/Turn.ts"
import { fakeTimers } from "./MuxHarness.ts"
import { events } from "./RoutingEvents.ts"
import { World } from "./RoutingWorld.ts"

describe("routing", () => {
  it.effect.prop(
    "gives each request one answer, its owner's, whatever clients and processes do and when",
    { stories: Choices.many({ minimum: 70, maximum: 200 }, events) },
    ({ stories }) =>
      Effect.gen(function* () {
        yield* fakeTimers
        const world = new World()
        for (const event of stories.flat()) {
          world.step(event)
          if (event._tag !== "Turn") continue
          yield* turn
          world.read()
          world.checkTold()
        }
        world.release()
        yield* turns(4)
        world.read()
        world.checkTold()
        world.end()
        yield* turns(4)
        world.read()
        world.check()
        vi.clearAllTimers()
      }).pipe(Effect.scoped),
    { timeout: 120_000, arbitrary: { runs: 500, size: 200 } }
  )
})
