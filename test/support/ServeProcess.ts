/** `mcp-pool serve` as a process of its own, whose log is read. Killed with the scope, if it still lives. */
import { Effect, type Scope } from "effect"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

const bin = fileURLToPath(new URL("../../src/bin.ts", import.meta.url))

export interface ServeProcess {
  readonly pid: number
  /** Returns when its sockets listen; dies where it ends before. */
  readonly serving: Effect.Effect<void>
  /** Returns when it has exited, with how. */
  readonly exited: Effect.Effect<number | NodeJS.Signals>
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void>
  /** What it has logged so far. */
  readonly log: () => string
}

/** Starts it with little of an environment, as a host starts programs. */
export const start = (
  args: ReadonlyArray<string>,
  options: { readonly env?: Readonly<Record<string, string>>; readonly cwd?: string } = {}
): Effect.Effect<ServeProcess, never, Scope.Scope> =>
  Effect.gen(function* () {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, [bin, "serve", ...args], {
          cwd: options.cwd,
          env: { HOME: "/nonexistent", PATH: process.env["PATH"], ...options.env },
          stdio: ["ignore", "ignore", "pipe"]
        })
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    let log = ""
    let end: number | NodeJS.Signals | undefined
    child.stderr.setEncoding("utf8").on("data", (chunk) => (log += chunk))
    child.on("close", (code, signal) => (end = code ?? signal ?? "SIGKILL"))
    const ended: ServeProcess["exited"] = Effect.callback((resume) => {
      if (end !== undefined) return resume(Effect.succeed(end))
      child.on("close", () => resume(Effect.succeed(end!)))
    })
    const said = Effect.callback<void>((resume) => {
      const look = () => (/ serves \d+ servers in /.test(log) ? resume(Effect.void) : undefined)
      child.stderr.on("data", look)
      look()
    })
    return {
      pid: child.pid ?? 0,
      serving: Effect.raceFirst(
        said,
        Effect.flatMap(ended, () => Effect.die(new Error(`it ended before it served: ${log}`)))
      ),
      exited: ended,
      signal: (signal) => Effect.sync(() => void child.kill(signal)),
      log: () => log
    } satisfies ServeProcess
  })
