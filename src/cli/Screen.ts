/** Where a command's output goes: whether it is a terminal, with colours, and how wide. */
import { Effect, Terminal } from "effect"
import { TerminalCapabilities } from "effect/cli"
import { type Paint, paint } from "./Text.ts"

export interface Screen {
  readonly paint: Paint
  /** Whether what was written can be written over. */
  readonly canRedraw: boolean
  /** In columns; unbounded where it is no terminal. */
  readonly width: number
}

export const screen: Effect.Effect<Screen, never, Terminal.Terminal> = Effect.gen(function* () {
  const terminal = yield* Terminal.Terminal
  const capabilities = yield* TerminalCapabilities.TerminalCapabilities
  return {
    paint: paint(capabilities.canColor),
    canRedraw: capabilities.canAnimate,
    width: (yield* terminal.columns) || Infinity
  }
})
