/**
 * Runs the command line as the process: signals, exit codes, and what an error looks like. The only place that ends the
 * process of an Effect command.
 */
import { Cause, type Effect, Exit, Predicate, Runtime } from "effect"
import { readFileSync } from "node:fs"
import { exitCode } from "./CommandError.ts"
import { printable } from "../printable.ts"

/**
 * SIGINT, SIGTERM, and SIGHUP unless it is ignored already (`nohup`), interrupt the program; a second one ends it at once.
 * A program that sets `process.exitCode` when it is interrupted has stopped as it should.
 */
export const runMain = <E>(program: Effect.Effect<void, E>): void =>
  run(program, { disableErrorReporting: true, teardown })

const run = Runtime.makeRunMain(({ fiber, teardown }) => {
  let received: NodeJS.Signals | undefined
  let receivedAt = 0
  const onSignal = (signal: NodeJS.Signals) => {
    if (received === undefined) {
      received = signal
      receivedAt = performance.now()
      fiber.interruptUnsafe(fiber.id)
    } else setTimeout(() => process.exit(signalCode(signal)), receivedAt + twiceDelivered - performance.now())
  }
  // A reader that has seen enough ends the program, as it ends other programs.
  process.stdout.on("error", () => fiber.interruptUnsafe(fiber.id))
  process.stderr.on("error", () => {})
  const ignored = isHangupIgnored() ? "SIGHUP" : undefined
  for (const signal of signals) process.on(signal, signal === ignored ? () => {} : onSignal)
  fiber.addObserver((exit) =>
    teardown(exit, (code) => {
      if (received !== undefined && Exit.isFailure(exit)) end(Number(process.exitCode ?? signalCode(received)))
      else end(code)
    })
  )
})

/** npm passes on a signal that its whole group gets: what comes twice within so many milliseconds was meant once. */
const twiceDelivered = 250
const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const

/**
 * Whether this process was started with SIGHUP ignored. Node sets an inherited SIG_IGN back to the default before a program
 * can see it, so two traces are read instead: the shell's word that it ran `nohup`, and a parent that ignores it.
 */
const isHangupIgnored = (): boolean => {
  if (process.env["_"]?.endsWith("/nohup") === true) return true
  try {
    const mask = /^SigIgn:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${process.ppid}/status`, "latin1"))?.[1] ?? "0"
    return (BigInt(`0x${mask}`) & 1n) === 1n
  } catch {
    return false
  }
}

const signalNumbers: Readonly<Record<string, number>> = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 }
const signalCode = (signal: NodeJS.Signals): number => 128 + (signalNumbers[signal] ?? 0)

/** After what was printed has gone out: a pipe may still hold some of it. */
const end = (code: number): void => {
  process.stdout.write("", () => {
    const lost: NodeJS.ErrnoException | null = process.stdout.errored
    const isHeard = lost === null || process.exitCode !== undefined
    if (!isHeard && lost.code !== "EPIPE") process.stderr.write(`mcp-pool: the output is lost: ${lost.message}\n`)
    process.stderr.write("", () => process.exit(isHeard ? code : lost.code === "EPIPE" ? 0 : exitCode.failure))
  })
}

const teardown: Runtime.Teardown = (exit, onExit) => {
  if (Exit.isSuccess(exit)) return onExit(0)
  if (Cause.hasInterruptsOnly(exit.cause)) return onExit(signalCode("SIGINT"))
  const line = errorLine(exit.cause)
  if (line !== undefined) process.stderr.write(`${line}\n`)
  onExit(codeOf(Cause.squash(exit.cause)))
}

/** One line for an error; a stack as well for a bug; nothing for what has been printed already. */
export const errorLine = (cause: Cause.Cause<unknown>): string | undefined => {
  const error = Cause.squash(cause)
  if (Predicate.isTagged(error, "ShowHelp")) return undefined
  if (Cause.hasDies(cause)) return `mcp-pool: this is a bug: ${Cause.pretty(cause)}`
  return `mcp-pool: ${printable(error instanceof Error ? error.message : String(error))}`
}

/** The exit code that an error stands for. */
export const codeOf = (error: unknown): number => {
  if (Predicate.isTagged(error, "ShowHelp")) {
    return Predicate.hasProperty(error, "errors") && Array.isArray(error.errors) && error.errors.length === 0
      ? 0
      : exitCode.usage
  }
  const tag = Predicate.hasProperty(error, "_tag") && Predicate.isString(error._tag) ? error._tag : ""
  return codes[tag] ?? Runtime.getErrorExitCode(error)
}

/** The errors of the pool, which know nothing of exit codes. */
const codes: Readonly<Record<string, number>> = {
  ConfigFileError: exitCode.usage,
  ServerConfigError: exitCode.usage,
  DaemonNotRunning: exitCode.noDaemon,
  DaemonGone: exitCode.noDaemon,
  ServerNotFound: exitCode.unavailable,
  ServerUnavailable: exitCode.unavailable
}
