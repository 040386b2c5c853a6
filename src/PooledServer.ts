/**
 * One server of a pool, under all the names that share its process: its sessions' requests, its supervision, its log and
 * its failures, wired together. Lives as long as the pool; whoever makes it must stop its supervisor in the end.
 */
import { Duration, Effect, type Schedule } from "effect"
import { variable } from "./config/Interpolation.ts"
import * as PoolConfig from "./config/PoolConfig.ts"
import { defaultPool, type PoolSettings } from "./config/ServerSpec.ts"
import { Sharing, type SharingOptions } from "./mux/Sharing.ts"
import type { Client } from "./mux/Upstream.ts"
import { ServerUnavailable } from "./PoolError.ts"
import type { ServerStatus, SessionStatus, ToolStatus } from "./PoolStatus.ts"
import * as Failures from "./server/Failures.ts"
import * as ProcessTable from "./server/ProcessTable.ts"
import type { Reaper } from "./server/Reaper.ts"
import type { Ended } from "./server/RestartPolicy.ts"
import * as ServerLog from "./server/ServerLog.ts"
import { type Failure, isComing, type ServerState, type StateChange } from "./server/ServerState.ts"
import type { ServerProcess } from "./server/ServerProcess.ts"
import * as Supervisor from "./server/Supervisor.ts"

export interface PooledServer {
  /** The first one's settings hold for all. */
  readonly names: Array<string>
  readonly log: ServerLog.ServerLog
  readonly sharing: Sharing
  readonly supervisor: Supervisor.Supervisor
  /** What `status` says of it under one of its names. */
  readonly status: (
    name: string,
    processes: ReadonlyArray<ProcessTable.ProcessInfo>,
    socket: string | null
  ) => ServerStatus
  readonly sessions: () => ReadonlyArray<SessionStatus>
  readonly tools: (name: string) => ReadonlyArray<ToolStatus>
  /** Whether it answers within 5 seconds. */
  readonly ping: Effect.Effect<boolean>
  /** Returns when its tools have been read, or after 5 seconds. */
  readonly listed: Effect.Effect<void>
}

export const make = Effect.fnUntraced(function* (
  entry: PoolConfig.ServerEntry,
  options: {
    readonly restartSchedule: Schedule.Schedule<unknown, Ended> | undefined
    /** Each call is logged. */
    readonly isDebug: boolean
    readonly onChange: (change: StateChange, names: ReadonlyArray<string>) => void
  }
): Effect.fn.Return<PooledServer, never, Reaper> {
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
  const onCall: SharingOptions["onCall"] = (call) =>
    say(Effect.annotateLogs(Effect.logDebug("call"), { ...call, pid: supervisor.process()?.pid ?? "none" }))
  const sharing = new Sharing({
    server: entry.name,
    logMessages: settings.logMessages,
    maxLine: settings.maxLine,
    queueTimeout: millis(settings.queueTimeout),
    requestTimeout: settings.requestTimeout === undefined ? null : millis(settings.requestTimeout),
    unavailable: unavailable(entry.name, "stopped", null),
    onStray: (pid, text) => log.stray(pid, text),
    ...(options.isDebug ? { onCall } : {})
  })
  const supervisor: Supervisor.Supervisor = yield* Supervisor.make({
    name: entry.name,
    server,
    schedule: options.restartSchedule,
    failures,
    log,
    observer: {
      onProcess: (process) => sharing.attach(process),
      onProcessEnd: (process, how) => sharing.detach(process, how),
      whenDrained: (process, done) => sharing.whenDrained(process, done),
      isIdle: (process) => sharing.callsOf(process) === 0,
      ask: (method) => answered(sharing, method),
      initialTools: () => sharing.lists.initialTools ?? [],
      onChange: (change) => {
        sharing.setUnavailable(isComing(change.to) ? null : unavailable(entry.name, change.to, failures.all().at(-1)))
        options.onChange(change, names)
      }
    }
  })
  return {
    names,
    log,
    sharing,
    supervisor,
    status: (name, table, socket) => {
      const statusOf = (process: ServerProcess, draining: boolean) => ({
        pid: process.pid,
        startedAt: new Date(process.startedAt).toISOString(),
        memory: ProcessTable.usageOf(process.pid, table).memory || null,
        inFlight: sharing.inFlight(process),
        draining
      })
      const process = supervisor.process()
      const current = process === null ? [] : [statusOf(process, false)]
      const mine = [...sharing.clients].filter((client) => client.server === name)
      return {
        name,
        state: supervisor.state(),
        fingerprint: entry._tag === "Configured" ? entry.spec.fingerprint : null,
        pid: current[0]?.pid ?? null,
        processes: [...current, ...supervisor.draining().map((process) => statusOf(process, true))],
        restarts: supervisor.restarts(),
        sessions: mine.length,
        inFlight: mine.reduce((sum, client) => sum + client.inFlight, 0),
        tools: sharing.lists.tools?.length ?? null,
        socket,
        startedAt: current[0]?.startedAt ?? null,
        lastFailure: failures.all().at(-1) ?? null,
        failures: failures.all()
      }
    },
    sessions: () => [...sharing.clients].map(sessionOf),
    tools: (server) =>
      (sharing.lists.tools ?? []).map(({ description, inputSchema, name, title }) => ({
        server,
        name,
        title: title ?? null,
        description: description ?? null,
        inputSchema: inputSchema ?? null
      })),
    ping: answered(sharing, "ping").pipe(
      Effect.as(true),
      Effect.timeoutOrElse({ duration: patience, orElse: () => Effect.succeed(false) })
    ),
    listed: Effect.callback<void>((resume) => sharing.lists.whenSettled(() => resume(Effect.void))).pipe(
      Effect.timeoutOrElse({ duration: patience, orElse: () => Effect.void })
    )
  }
})

/** The settings of an entry, and the defaults for one that is wrong. */
export const settingsOf = (entry: PoolConfig.ServerEntry): PoolSettings =>
  entry._tag === "Configured" ? entry.spec.pool : defaultPool

const strayLine = (server: string, count: number): string =>
  `${server} has printed ${count === 1 ? "a line" : `${count} lines`} on stdout that is no JSON-RPC message: mcp-pool logs ${server}`

const unavailable = (server: string, state: ServerState, last: Failure | null | undefined): ServerUnavailable =>
  (state === "crash-loop" || state === "failed") && last
    ? new ServerUnavailable({
        server,
        state,
        failure: last.classification,
        hint: last.hint,
        nextAttemptAt: last.nextAttemptAt
      })
    : new ServerUnavailable({
        server,
        state,
        failure: null,
        hint: `start it: mcp-pool start ${server}`,
        nextAttemptAt: null
      })

/** Returns when the server answers; its own error is an answer, the pool's is not. */
const answered = (sharing: Sharing, method: "ping" | "tools/list"): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const withdraw = sharing.ask(method, {}, (outcome) => {
      if (outcome.kind !== "refused") resume(Effect.void)
    })
    return Effect.sync(withdraw)
  })

const sessionOf = (client: Client): SessionStatus => ({
  id: client.id,
  server: client.server,
  client: client.clientInfo.name,
  version: client.clientInfo.version,
  since: new Date(client.since).toISOString(),
  inFlight: client.inFlight,
  calls: client.calls
})

const millis = Duration.toMillis
const patience = "5 seconds"
