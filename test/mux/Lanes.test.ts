import { describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { vi } from "vitest"
import * as Choices from "../lines/Choices.ts"
import { event, settings } from "./LanesEvents.ts"
import { World } from "./LanesWorld.ts"
import { fakeTimers } from "./MuxHarness.ts"

describe("lanes", () => {
  // About 50 000 events.
  it.effect.prop(
    "bring each question to the session that caused it or to nobody, whatever clients and processes do and when",
    { setting: Choices.from(settings), events: Choices.many({ minimum: 80, maximum: 250 }, event) },
    ({ events, setting }) =>
      Effect.gen(function* () {
        yield* fakeTimers
        const world = new World(setting)
        for (const event of events) yield* world.step(event)
        yield* world.release
        yield* world.ask
        vi.clearAllTimers()
      }).pipe(Effect.scoped),
    { timeout: 120_000, arbitrary: { runs: 300, size: 250 } }
  )
})
