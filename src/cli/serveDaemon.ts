/** The daemon in the foreground, as `mcp-pool serve` runs it. */
import { Clock, Console, Effect, type LogLevel } from "effect"
import { homedir } from "node:os"
import type { DaemonStatus } from "../control/ControlApi.ts"
import type { HttpOptions } from "../http/HttpOptions.ts"
import type { ToolStatus } from "../PoolStatus.ts"
import * as RuntimeDir from "../RuntimeDir.ts"
import * as YoungGeneration from "./youngGeneration.ts"

export interface ServeOptions {
  /** Empty: `~/.config/mcp-pool/config.json`. */
  readonly configFiles: ReadonlyArray<string>
  readonly runtimeDir: string
  readonly strict: boolean
  /** As `connect` starts it. */
  readonly background: boolean
  /** A changed file reloads. */
  readonly watchConfig: boolean
  /** How HTTP is served, if it is. */
  readonly http?: HttpOptions | undefined
  /** Undefined: pretty on a terminal, else JSON lines. */
  readonly logFormat: "pretty" | "json" | undefined
  readonly logLevel: LogLevel.LogLevel
}

export const serveDaemon = Effect.fnUntraced(function* (options: ServeOptions) {
  YoungGeneration.bound()
  // A daemon outlives whoever read its first words.
  process.stdout.removeAllListeners("error").on("error", () => {})
  // Loaded here, so that no other command loads it.
  const Daemon = yield* Effect.promise(() => import("../Daemon.ts"))
  const isRead = process.stderr.isTTY && !options.background
  const logFormat = options.logFormat ?? (isRead ? "pretty" : "json")
  yield* Daemon.run({
    ...options,
    logFormat,
    ...(logFormat === "pretty" ? { onReady: welcome(options.runtimeDir) } : {})
  }).pipe(
    // Asked to stop by a signal, and stopped: that is no failure.
    Effect.onInterrupt(() => Effect.sync(() => (process.exitCode = 0)))
  )
})

/** Shows a person what runs and what to try next. */
const welcome = (runtimeDir: string) =>
  Effect.fnUntraced(function* (status: DaemonStatus, tools: ReadonlyArray<ToolStatus>) {
    const { welcomeLines } = yield* Effect.promise(() => import("./welcome.ts"))
    const now = yield* Clock.currentTimeMillis
    const color = process.stdout.isTTY && process.env["NO_COLOR"] === undefined
    yield* Console.log(welcomeLines(status, tools, { now, color, command: commandLine(runtimeDir) }).join("\n"))
  })

/** How a person reaches this daemon: through npx in a checkout, and with the directory where it is not the usual one. */
const commandLine = (directory: string): string => {
  const program = process.env["npm_lifecycle_event"] === undefined ? "mcp-pool" : "npx mcp-pool"
  const usual = RuntimeDir.resolve({ flag: undefined, env: {}, home: homedir() })
  return directory === usual ? program : `${program} --runtime-dir ${directory}`
}
