/** The commands of the system that the service needs (`systemctl`, `launchctl`, `loginctl`, a login shell), each bounded. */
import { Context, Effect } from "effect"
import { spawn } from "node:child_process"

/** How a command ended. */
export interface Outcome {
  /** Null where it could not be started, was ended by a signal or took too long. */
  readonly code: number | null
  /** What it wrote to stdout, without white space around it. */
  readonly out: string
  /** What it wrote to stderr, or why it could not be started, without white space around it. */
  readonly err: string
}

/** One command line that is run. */
export interface Request {
  readonly argv: readonly [string, ...ReadonlyArray<string>]
  /** Added to this process's own environment, or all of it. */
  readonly env?:
    | { readonly add: Readonly<Record<string, string>> }
    | { readonly only: Readonly<Record<string, string>> }
  /** Milliseconds, after which it is killed; unless given, longer than a service may take to stop. */
  readonly patience?: number
}

/** Runs one, and returns how it ended. */
export type Run = (request: Request) => Effect.Effect<Outcome>

/** Runs them; tests have a double of it. */
export const SystemCommand = Context.Reference<Run>("effect-mcp-pool/service/SystemCommand", {
  defaultValue: () => runIt
})

/** The group of its own is what is killed: a shell's profile may have started others. */
const runIt: Run = ({ argv: [command, ...args], env, patience = usualPatience }) =>
  Effect.callback((resume) => {
    const child = spawn(command, args, {
      cwd: "/",
      env: env === undefined ? process.env : "only" in env ? env.only : { ...process.env, ...env.add },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true
    })
    let out = ""
    let err = ""
    const kill = () => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL")
      } catch {
        // It is gone.
      }
      // Whoever left the group may still hold the pipes.
      child.stdout.destroy()
      child.stderr.destroy()
    }
    const done = (code: number | null) => {
      clearTimeout(timer)
      resume(Effect.succeed({ code, out: out.trim(), err: err.trim() }))
    }
    const timer = setTimeout(() => {
      err += `\nno end within ${patience / 1000} s`
      kill()
    }, patience)
    child.on("error", (cause) => {
      err += cause.message
      if (child.pid === undefined) done(null)
    })
    child.on("close", done)
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      if (out.length < maxOutput) out += chunk
    })
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      if (err.length < maxOutput) err += chunk
    })
    return Effect.sync(() => {
      clearTimeout(timer)
      kill()
    })
  })

const usualPatience = 150_000
/** Characters. */
const maxOutput = 1024 * 1024
