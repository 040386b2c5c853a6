/** Runs the executable as its users do: as a process of its own. */
import { Effect } from "effect"
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

/** The executable's source, which Node runs as it is. */
export const bin = fileURLToPath(new URL("../../src/bin.ts", import.meta.url))

export interface Spawned {
  readonly child: ChildProcessWithoutNullStreams
  /** Returns when it has ended and everything it wrote has been read. */
  readonly ended: Effect.Effect<Ended>
  /** Returns what it has written to stdout once that ends in a line feed. */
  readonly line: Effect.Effect<string>
}

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly out: string
  readonly err: string
}

/** Started with nothing but HOME and PATH, as hosts do; killed when the scope closes. */
export const start = (
  args: ReadonlyArray<string>,
  options: { readonly home?: string; readonly cwd?: string; readonly env?: Readonly<Record<string, string>> } = {}
) =>
  Effect.acquireRelease(
    Effect.sync((): Spawned => {
      const child = spawn(process.execPath, [bin, ...args], {
        cwd: options.cwd,
        env: { HOME: options.home ?? "/nonexistent", PATH: process.env["PATH"], ...options.env }
      })
      let out = ""
      let err = ""
      let end: Ended | undefined
      child.stdin.on("error", () => {})
      child.stdout.setEncoding("utf8").on("data", (chunk) => (out += chunk))
      child.stderr.setEncoding("utf8").on("data", (chunk) => (err += chunk))
      child.on("close", (code, signal) => (end = { code, signal, out, err }))
      return {
        child,
        ended: Effect.callback((resume) => {
          if (end !== undefined) return resume(Effect.succeed(end))
          child.on("close", () => resume(Effect.succeed(end!)))
        }),
        line: Effect.callback((resume) => {
          const look = () => (out.endsWith("\n") ? resume(Effect.succeed(out)) : undefined)
          child.stdout.on("data", look)
          look()
        })
      }
    }),
    ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
  )

/** Runs to the end with an empty stdin. */
export const run = Effect.fnUntraced(function* (args: ReadonlyArray<string>) {
  const { child, ended } = yield* start(args)
  child.stdin.end()
  return yield* ended
}, Effect.scoped)
