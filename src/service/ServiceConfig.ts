/** The configuration as a service has it: on its PATH, and without what a shell has set. */
import { Duration, Effect } from "effect"
import * as PoolConfig from "../config/PoolConfig.ts"
import type { ConfigFileError } from "../PoolError.ts"

/** Reads the files with a `PATH`; what systemd and launchd give besides is here as this process has it. */
export const load = Effect.fnUntraced(function* (
  files: ReadonlyArray<string>,
  path: string
): Effect.fn.Return<PoolConfig.PoolConfig, ConfigFileError> {
  const variables = yield* PoolConfig.HostEnvironment
  const kept = Object.entries(variables).filter(([name]) => given.has(name) || name.startsWith("LC_"))
  return yield* PoolConfig.loadFiles(files.length > 0 ? files : [yield* PoolConfig.defaultFile]).pipe(
    Effect.provideService(PoolConfig.HostEnvironment, { ...Object.fromEntries(kept), PATH: path }),
    // Only where mistakes in one server are mistakes in all.
    Effect.catchTag("ServerConfigError", Effect.die)
  )
})

const given: ReadonlySet<string> = new Set(["HOME", "LOGNAME", "USER", "SHELL", "LANG", "TMPDIR", "XDG_RUNTIME_DIR"])

/** Servers that lack a variable in the service which this process has, in one line each. */
export const lacking = Effect.fnUntraced(function* (
  service: PoolConfig.PoolConfig
): Effect.fn.Return<ReadonlyArray<{ readonly server: string; readonly variable: string; readonly file: string }>> {
  const variables = yield* PoolConfig.HostEnvironment
  return service.servers.flatMap((entry) => {
    if (entry._tag !== "Misconfigured") return []
    const { file, server, variable } = entry.error
    return variable !== null && variables[variable] !== undefined ? [{ server, variable, file }] : []
  })
})

/** How long its daemon may take to stop, in seconds: more than its slowest server is given, and room to spare. */
export const stopTimeout = ({ servers }: PoolConfig.PoolConfig): number => {
  const bounds = servers.map((entry) =>
    entry._tag === "Misconfigured"
      ? 0
      : Duration.toSeconds(entry.spec.pool.stop.stdin) + Duration.toSeconds(entry.spec.pool.stop.term)
  )
  return Math.max(leastStopTimeout, Math.ceil(Math.max(0, ...bounds)) + room)
}

/** As systemd has it where nothing is said. */
const leastStopTimeout = 90
const room = 30
