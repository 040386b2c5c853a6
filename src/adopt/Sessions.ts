/** Entries run as their hosts run them: each a session that has shaken hands and listed tools, open until its scope closes. */
import { Effect, type Scope } from "effect"
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process"
import type { Variables } from "../config/Interpolation.ts"
import type { Run } from "../hosts/Host.ts"
import { version } from "../version.ts"

/** A session, or why there is none. */
export interface Session {
  readonly pid: number | null
  /** In words; null where it answers. */
  readonly trouble: string | null
  /** How many tools it has; null where it has none to list. */
  readonly tools: number | null
}

/** Starts one and waits for its tools. Its process ends with the scope. */
export const open = Effect.fnUntraced(function* (
  run: Run,
  { cwd, env }: { readonly cwd: string; readonly env: Variables }
): Effect.fn.Return<Session, never, Scope.Scope> {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => spawn(run.command, [...run.args], { cwd, env, stdio: ["pipe", "pipe", "pipe"] })),
    close
  )
  return yield* converse(child)
})

/** Its host leaves; killed where it does not see that. */
const close = (child: ChildProcessWithoutNullStreams): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
    child.stdin.end()
  }).pipe(Effect.timeoutOrElse({ duration: "3 seconds", orElse: () => Effect.sync(() => void child.kill("SIGKILL")) }))

const converse = (child: ChildProcessWithoutNullStreams): Effect.Effect<Session> =>
  Effect.callback<Session>((resume) => {
    const pid = child.pid ?? null
    let out = ""
    let error = ""
    const done = (trouble: string | null, tools: number | null = null) =>
      resume(Effect.succeed({ pid, trouble, tools }))
    const send = (message: object) => child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`)
    const receive = (line: string) => {
      const message = parsed(line)
      if (message === undefined || message.method !== undefined) return
      if (message.error !== undefined) return done(message.error.message)
      if (message.id === 1) {
        send({ method: "notifications/initialized" })
        if (message.result?.capabilities?.tools === undefined) return done(null)
        send({ id: 2, method: "tools/list" })
      } else if (message.id === 2) done(null, message.result?.tools?.length ?? 0)
    }
    child.on("error", (cause) => done(cause.message))
    child.on("close", (code) => done(lastLine(error) ?? `it ended with code ${code}`))
    child.stdin.on("error", () => {})
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => (error = (error + chunk).slice(-maxError)))
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      const lines = (out + chunk).split("\n")
      out = lines.pop()!
      lines.forEach(receive)
    })
    const clientInfo = { name: "mcp-pool adopt", version }
    send({ id: 1, method: "initialize", params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo } })
  }).pipe(
    Effect.timeoutOrElse({
      duration: patience,
      orElse: () => Effect.succeed({ pid: child.pid ?? null, trouble: `no answer within ${patience}`, tools: null })
    })
  )

/** As long as a server may take that is downloaded first. */
const patience = "180 seconds"
const maxError = 4096

interface Message {
  readonly id?: unknown
  readonly method?: string
  readonly error?: { readonly message: string }
  readonly result?: { readonly capabilities?: { readonly tools?: unknown }; readonly tools?: ReadonlyArray<unknown> }
}

const parsed = (line: string): Message | undefined => {
  try {
    // The cast: a message of MCP, from our own bridge.
    return JSON.parse(line) as Message
  } catch {
    return undefined
  }
}

const lastLine = (text: string): string | undefined =>
  text
    .trim()
    .split("\n")
    .at(-1)
    ?.replace(/^mcp-pool: /, "") || undefined
