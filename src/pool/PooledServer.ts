/**
 * One server of a pool, under all the names that share its process: its sessions' requests, its supervision, its log and
 * its failures, wired together. Lives until the pool has no use for it; whoever makes it must stop it in the end.
 */
import type { Tool } from "@modelcontextprotocol/sdk/types.js"
import { Effect, type Schedule, type Scope } from "effect"
import { variable } from "../config/Interpolation.ts"
import * as PoolConfig from "../config/PoolConfig.ts"
import { defaultPool, type PoolSettings } from "../config/ServerSpec.ts"
import type { CallAccount } from "../mux/CallAccount.ts"
import type { Pins } from "../pin/Pins.ts"
import * as PerSession from "./PerSession.ts"
import type { ToolStatus } from "../PoolStatus.ts"
import * as Failures from "../server/Failures.ts"
import type { Reaper } from "../server/Reaper.ts"
import type { Ended } from "../server/RestartPolicy.ts"
import * as ServerLog from "../server/ServerLog.ts"
import type { Failure, StateChange } from "../server/ServerState.ts"
import * as SupervisedSharing from "./SupervisedSharing.ts"

/** One server, under one name or several. */
export interface PooledServer extends Pick<
  SupervisedSharing.Served,
  | "upstream"
  | "state"
  | "isAsleep"
  | "processes"
  | "restarts"
  | "begin"
  | "start"
  | "stop"
  | "restart"
  | "settled"
  | "proven"
  | "pinsChanged"
> {
  /** Whose steps its steps are: those that it serves now. */
  readonly names: Array<string>
  /** What it is made with, whichever of its names they came from. */
  readonly settings: PoolSettings
  readonly log: ServerLog.ServerLog
  /** Its last ones, oldest first. */
  readonly failures: () => ReadonlyArray<Failure>
  /** How many tools it lists; null where that is not known. */
  readonly toolCount: () => number | null
  /** Those as it listed them last; null where that is not known. */
  readonly toolList: () => ReadonlyArray<Tool> | null
  /** The tools that it listed last, under that name. */
  readonly tools: (name: string) => ReadonlyArray<ToolStatus>
  /** Whether it answers within 5 seconds. */
  readonly ping: Effect.Effect<boolean>
  /** Returns when its tools have been read, or after 5 seconds. */
  readonly listed: Effect.Effect<void>
}

/** The server of an entry, which nobody has started yet, and which serves no name yet. */
export const make = Effect.fnUntraced(function* (
  entry: PoolConfig.ServerEntry,
  options: {
    readonly restartSchedule: Schedule.Schedule<unknown, Ended> | undefined
    /** Where its settings do not say. */
    readonly start: "eager" | "lazy"
    readonly account: CallAccount
    readonly pins: Pins
    /** Of the server whose place it takes; its own where there is none. */
    readonly log: ServerLog.ServerLog | undefined
    readonly onChange: (change: StateChange, names: ReadonlyArray<string>) => void
  }
): Effect.fn.Return<PooledServer, never, Reaper | Scope.Scope> {
  const server = entry._tag === "Configured" ? entry.spec : entry.error
  const settings = settingsOf(entry)
  const variables = yield* PoolConfig.HostEnvironment
  const say = Effect.runSyncWith(yield* Effect.context<never>())
  const log =
    options.log ??
    ServerLog.make({
      onStray: (count) =>
        say(Effect.annotateLogs(Effect.logWarning(strayLine(entry.name, count)), { server: entry.name }))
    })
  const failures = Failures.make(server, log, (name) => variable(variables, name) !== undefined)
  const names: Array<string> = []
  const served = yield* (settings.sharing.policy === "per-session" ? PerSession.make : SupervisedSharing.make)({
    entry,
    settings,
    restartSchedule: options.restartSchedule,
    start: options.start,
    log,
    failures,
    onChange: (change) => options.onChange(change, names),
    account: options.account,
    pins: {
      // Whoever comes by another name is held to one that it has.
      of: (name) => options.pins.of(names.includes(name) ? name : (names[0] ?? name)),
      gates: () => options.pins.gatesOf(names)
    }
  })
  return {
    names,
    settings,
    log,
    failures: failures.all,
    processes: served.processes,
    restarts: served.restarts,
    proven: served.proven,
    pinsChanged: served.pinsChanged,
    upstream: served.upstream,
    state: served.state,
    isAsleep: served.isAsleep,
    begin: served.begin,
    start: served.start,
    stop: served.stop,
    restart: served.restart,
    settled: served.settled,
    toolList: served.tools,
    toolCount: () => served.tools()?.length ?? null,
    tools: (server) =>
      (served.tools() ?? []).map(({ description, inputSchema, name, outputSchema, title }) => ({
        ...markOf(options.pins.markOf(server, name)),
        server,
        name,
        title: title ?? null,
        description: description ?? null,
        inputSchema: inputSchema ?? null,
        ...(outputSchema === undefined ? {} : { outputSchema })
      })),
    ping: served
      .answered("ping")
      .pipe(Effect.as(true), Effect.timeoutOrElse({ duration: patience, orElse: () => Effect.succeed(false) })),
    listed: Effect.timeoutOrElse(served.listed, { duration: patience, orElse: () => Effect.void })
  }
})

const markOf = (pin: ToolStatus["pin"]): Pick<ToolStatus, "pin"> => (pin === undefined ? {} : { pin })

/** The settings of an entry, and the defaults for one that is wrong. */
export const settingsOf = (entry: PoolConfig.ServerEntry): PoolSettings =>
  entry._tag === "Configured" ? entry.spec.pool : defaultPool

const strayLine = (server: string, count: number): string =>
  `${server} has printed ${count === 1 ? "a line" : `${count} lines`} on stdout that is no JSON-RPC message: mcp-pool logs ${server}`

const patience = "5 seconds"
