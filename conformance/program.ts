/** Programs of Node that run as long as a scope is open, or until they end by themselves. */
import { Data, Effect, type Scope } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { text } from "node:stream/consumers"

/** One that is running. */
export interface Program {
  readonly pid: number
  /** How it ended, with all that it wrote; null where it was killed. */
  readonly ended: Effect.Effect<Ended>
}

/** One that has ended. */
export interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** One that ended although it was to go on. */
export class EndedEarly extends Data.TaggedError("EndedEarly")<Ended> {
  override get message(): string {
    return `it ended with ${this.code}: ${this.err.trim().split("\n").at(-1)}`
  }
}

/** Starts one in a process group of its own, which ends with the scope: asked first, then killed. */
export const launch = Effect.fnUntraced(function* (
  args: ReadonlyArray<string>
): Effect.fn.Return<Program, never, Scope.Scope> {
  const start = () => {
    const child = spawn(process.execPath, args, { detached: true, stdio: ["ignore", "pipe", "pipe"] })
    const ended = Promise.all([once(child, "close"), text(child.stdout), text(child.stderr)]).then(
      ([, out, err]): Ended => ({ code: child.exitCode, out, err })
    )
    return { child, ended: Effect.promise(() => ended) }
  }
  const { child, ended } = yield* Effect.acquireRelease(Effect.sync(start), ({ child, ended }) =>
    Effect.sync(() => kill(child.pid!, "SIGTERM")).pipe(
      Effect.andThen(Effect.timeoutOption(ended, "10 seconds")),
      Effect.andThen(Effect.sync(() => kill(child.pid!, "SIGKILL")))
    )
  )
  return { pid: child.pid!, ended }
})

/** Runs one to its end. */
export const run = (args: ReadonlyArray<string>): Effect.Effect<Ended> =>
  Effect.scoped(Effect.flatMap(launch(args), ({ ended }) => ended))

/** The group, or what is left of it. */
const kill = (pid: number, signal: NodeJS.Signals): void => {
  try {
    process.kill(-pid, signal)
  } catch {
    // Nothing is left of it.
  }
}
