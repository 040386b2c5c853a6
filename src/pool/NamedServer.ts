/**
 * One name of a pool: its sessions, the server that stands behind it now, and those that stood there before and end what
 * they have. Lives as long as the name is configured.
 */
import { Clock, Effect, type Latch, type Scope } from "effect"
import type { ServerEntry } from "../config/PoolConfig.ts"
import { hostOf } from "../config/Remote.ts"
import type { PoolSettings } from "../config/ServerSpec.ts"
import type { Figures } from "../Metrics.ts"
import type { CallAccount } from "../mux/CallAccount.ts"
import type { Switch } from "../mux/Switch.ts"
import type { Client } from "../mux/Upstream.ts"
import type { PooledServer } from "./PooledServer.ts"
import type { ServerStatus, SessionStatus } from "../PoolStatus.ts"
import * as ProcessTable from "../server/ProcessTable.ts"
import type { Failure, StateChange } from "../server/ServerState.ts"

/** A name, and what stands behind it. */
export interface NamedServer {
  readonly name: string
  /** Those of the configuration are its to change and to remove. */
  readonly isConfigured: boolean
  readonly upstream: Switch
  /** Open once it is not configured any more, and what its sessions had in flight is answered. */
  readonly removed: Latch.Latch
  /** Of its metrics. */
  readonly scope: Scope.Closeable
  entry: ServerEntry
  /** Its own, though the process may be made with another name's. */
  settings: PoolSettings
  server: PooledServer
  /** Where something of its sessions is under way still. */
  readonly before: Set<PooledServer>
  /** Of processes before those of the server that it has now. */
  restartsBefore: number
  /** Of servers before, and of those that were to take over. */
  failuresBefore: ReadonlyArray<Failure>
}

/** What `status` says of it. */
export const statusOf = (
  { before, entry, failuresBefore, name, restartsBefore, server, upstream }: NamedServer,
  table: ReadonlyArray<ProcessTable.ProcessInfo>,
  socket: string | null,
  pin: ServerStatus["pin"]
): ServerStatus => {
  const processesOf = (server: PooledServer, isReplaced: boolean) =>
    server.processes().map(({ draining, inFlight, process }) => ({
      pid: process.pid,
      startedAt: new Date(process.startedAt).toISOString(),
      memory: ProcessTable.usageOf(process.pid, table).memory || null,
      inFlight,
      draining: draining || isReplaced
    }))
  // One that other names still have is no process of this name.
  const replaced = [...before].filter(({ names }) => names.length === 0)
  const processes = [...processesOf(server, false), ...replaced.flatMap((server) => processesOf(server, true))]
  const first = processes.find(({ draining }) => !draining)
  const clients = sessionsIn(upstream)
  const remote = entry._tag === "Configured" ? entry.spec.remote : null
  const failures = [...failuresBefore, ...server.failures()]
    .sort((a, b) => a.at.localeCompare(b.at))
    .slice(-maxFailures)
  return {
    name,
    state: server.state(),
    asleep: server.isAsleep(),
    fingerprint: entry._tag === "Configured" ? entry.spec.fingerprint : null,
    pid: first?.pid ?? null,
    ...(remote === null ? {} : { host: hostOf(remote) }),
    processes,
    restarts: restartsBefore + server.restarts(),
    sessions: clients.length,
    inFlight: clients.reduce((sum, client) => sum + client.inFlight, 0),
    tools: server.toolCount(),
    socket,
    ...(pin === undefined ? {} : { pin }),
    startedAt: first?.startedAt ?? null,
    lastFailure: failures.at(-1) ?? null,
    failures
  }
}

/** The step of a name that has this server now, or that was to have it and has it not: then with the failure. */
export const stepOf = (
  name: string,
  from: StateChange["from"],
  server: PooledServer,
  failure: Failure | null = null
): Effect.Effect<StateChange> =>
  Effect.map(Clock.currentTimeMillis, (now) => ({
    server: name,
    from,
    to: server.state(),
    at: new Date(now).toISOString(),
    pid: server.processes()[0]?.process.pid ?? null,
    cause: "request",
    place: 0,
    failure
  }))

/** What metrics say of it, whichever server it has. */
export const figuresOf = (named: NamedServer, account: CallAccount): Figures => ({
  traffic: account.trafficOf(named.name),
  sessions: () => sessionsIn(named.upstream).length,
  restarts: () => named.restartsBefore + named.server.restarts()
})

/** The sessions among clients, as they are shown. */
export const sessionsOf = (clients: Iterable<Client>): ReadonlyArray<SessionStatus> =>
  sessionsIn({ clients }).map(sessionOf)

/** Not what is only a part of a session. */
const sessionsIn = ({ clients }: { readonly clients: Iterable<Client> }): ReadonlyArray<Client> =>
  [...clients].filter(({ role }) => role === "session" || role === "connection")

const sessionOf = (client: Client): SessionStatus => ({
  id: client.id,
  server: client.server,
  client: client.clientInfo.name,
  version: client.clientInfo.version,
  since: new Date(client.since).toISOString(),
  inFlight: client.inFlight,
  calls: client.calls
})

const maxFailures = 20
