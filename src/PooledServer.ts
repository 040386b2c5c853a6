/**
 * One server of a pool, under all the names that share its process: its sessions' requests, its supervision, its log and
 * its failures, wired together. Lives as long as the pool; whoever makes it must stop its supervisor in the end.
 */
import { Effect, type Schedule, type Scope } from "effect"
import { variable } from "./config/Interpolation.ts"
import * as PoolConfig from "./config/PoolConfig.ts"
import { defaultPool, type PoolSettings } from "./config/ServerSpec.ts"
import type { Figures } from "./Metrics.ts"
import { CallAccount, type EndedCall } from "./mux/CallAccount.ts"
import type { Client } from "./mux/Upstream.ts"
import * as PerSession from "./PerSession.ts"
import type { ServerStatus, SessionStatus, ToolStatus } from "./PoolStatus.ts"
import * as Failures from "./server/Failures.ts"
import * as ProcessTable from "./server/ProcessTable.ts"
import type { Reaper } from "./server/Reaper.ts"
import type { Ended } from "./server/RestartPolicy.ts"
import * as ServerLog from "./server/ServerLog.ts"
import type { StateChange } from "./server/ServerState.ts"
import * as SupervisedSharing from "./SupervisedSharing.ts"

/** One server, under one name or several. */
export interface PooledServer extends Pick<
  SupervisedSharing.Served,
  "upstream" | "state" | "start" | "stop" | "restart" | "settled"
> {
  /** The first one's settings hold for all. */
  readonly names: Array<string>
  readonly log: ServerLog.ServerLog
  /** What `status` says of it under one of its names. */
  readonly status: (
    name: string,
    processes: ReadonlyArray<ProcessTable.ProcessInfo>,
    socket: string | null
  ) => ServerStatus
  /** What metrics say of it under one of its names. */
  readonly figures: (name: string) => Figures
  /** Who is connected, under any of its names. */
  readonly sessions: () => ReadonlyArray<SessionStatus>
  /** The tools that it listed last, under that name. */
  readonly tools: (name: string) => ReadonlyArray<ToolStatus>
  /** Whether it answers within 5 seconds. */
  readonly ping: Effect.Effect<boolean>
  /** Returns when its tools have been read, or after 5 seconds. */
  readonly listed: Effect.Effect<void>
}

/** The server of an entry, which nobody has started yet. */
export const make = Effect.fnUntraced(function* (
  entry: PoolConfig.ServerEntry,
  options: {
    readonly restartSchedule: Schedule.Schedule<unknown, Ended> | undefined
    /** Each call is logged. */
    readonly isDebug: boolean
    /** Told of each client's request that has ended. */
    readonly onCall: ((call: EndedCall) => void) | undefined
    readonly onChange: (change: StateChange, names: ReadonlyArray<string>) => void
  }
): Effect.fn.Return<PooledServer, never, Reaper | Scope.Scope> {
  const server = entry._tag === "Configured" ? entry.spec : entry.error
  const settings = settingsOf(entry)
  const variables = yield* PoolConfig.HostEnvironment
  const say = Effect.runSyncWith(yield* Effect.context<never>())
  const log = ServerLog.make({
    onStray: (count) =>
      say(Effect.annotateLogs(Effect.logWarning(strayLine(entry.name, count)), { server: entry.name }))
  })
  const failures = Failures.make(server, log, (name) => variable(variables, name) !== undefined)
  const names = [entry.name]
  const onDebuggedCall = (call: EndedCall) => {
    const { client, method, millis, outcome, tool } = call
    const facts = { session: client.id, server: client.server, method, tool, millis, outcome }
    say(Effect.annotateLogs(Effect.logDebug("call"), facts))
    options.onCall?.(call)
  }
  const account = new CallAccount(options.isDebug ? onDebuggedCall : options.onCall)
  const served = yield* (settings.sharing.policy === "per-session" ? PerSession.make : SupervisedSharing.make)({
    entry,
    settings,
    restartSchedule: options.restartSchedule,
    log,
    failures,
    onChange: (change) => options.onChange(change, names),
    account
  })
  const sessionsOf = (name: string) => [...served.clients()].filter((client) => client.server === name)
  return {
    names,
    log,
    upstream: served.upstream,
    state: served.state,
    start: served.start,
    stop: served.stop,
    restart: served.restart,
    settled: served.settled,
    status: (name, table, socket) => {
      const processes = served.processes().map(({ draining, inFlight, process }) => ({
        pid: process.pid,
        startedAt: new Date(process.startedAt).toISOString(),
        memory: ProcessTable.usageOf(process.pid, table).memory || null,
        inFlight,
        draining
      }))
      const first = processes.find(({ draining }) => !draining)
      const mine = sessionsOf(name)
      return {
        name,
        state: served.state(),
        fingerprint: entry._tag === "Configured" ? entry.spec.fingerprint : null,
        pid: first?.pid ?? null,
        processes,
        restarts: served.restarts(),
        sessions: mine.length,
        inFlight: mine.reduce((sum, client) => sum + client.inFlight, 0),
        tools: served.tools()?.length ?? null,
        socket,
        startedAt: first?.startedAt ?? null,
        lastFailure: failures.all().at(-1) ?? null,
        failures: failures.all()
      }
    },
    figures: (name) => ({
      traffic: account.trafficOf(name),
      sessions: () => sessionsOf(name).length,
      restarts: served.restarts
    }),
    sessions: () => [...served.clients()].map(sessionOf),
    tools: (server) =>
      (served.tools() ?? []).map(({ description, inputSchema, name, outputSchema, title }) => ({
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

/** The settings of an entry, and the defaults for one that is wrong. */
export const settingsOf = (entry: PoolConfig.ServerEntry): PoolSettings =>
  entry._tag === "Configured" ? entry.spec.pool : defaultPool

const strayLine = (server: string, count: number): string =>
  `${server} has printed ${count === 1 ? "a line" : `${count} lines`} on stdout that is no JSON-RPC message: mcp-pool logs ${server}`

const sessionOf = (client: Client): SessionStatus => ({
  id: client.id,
  server: client.server,
  client: client.clientInfo.name,
  version: client.clientInfo.version,
  since: new Date(client.since).toISOString(),
  inFlight: client.inFlight,
  calls: client.calls
})

const patience = "5 seconds"
