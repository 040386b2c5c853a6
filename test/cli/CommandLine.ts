/** Runs command lines inside the test's own process. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Cause, Effect, Exit, Layer } from "effect"
import { TerminalCapabilities } from "effect/cli"
import { TestConsole } from "effect/testing"
import { codeOf, errorLine } from "../../src/cli/runMain.ts"
import { run } from "../../src/cli/tree.ts"
import * as Usage from "../../src/cli/usage.ts"

/** What a command line needs, with a console that remembers and no terminal. */
export const environment = Layer.mergeAll(
  NodeServices.layer,
  Usage.layer,
  TestConsole.layer,
  Layer.succeed(TerminalCapabilities.TerminalCapabilities, { canColor: false, canAnimate: false, canPrompt: false })
)

export interface Outcome {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** One command line against a directory: what it prints, and the exit code it stands for. */
export const command = (runtimeDir: string, ...args: ReadonlyArray<string>): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    const exit = yield* Effect.exit(run([...args, "--runtime-dir", runtimeDir]))
    const out = (yield* TestConsole.logLines).join("\n")
    const printed = yield* TestConsole.errorLines
    if (Exit.isSuccess(exit)) return { code: 0, out, err: printed.join("\n") }
    const line = errorLine(exit.cause)
    const err = [...printed, ...(line === undefined ? [] : [line])].join("\n")
    return { code: codeOf(Cause.squash(exit.cause)), out, err }
  }).pipe(Effect.provide(environment))
