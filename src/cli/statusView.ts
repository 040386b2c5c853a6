/** The status of the daemon as people read it. Pure. */
import type { DaemonStatus } from "../control/ControlApi.ts"
import type { ServerStatus } from "../PoolStatus.ts"
import type { Failure, ServerState, StateChange } from "../server/ServerState.ts"
import { printable } from "../printable.ts"
import { type Column, type Paint, size, span, table } from "./Text.ts"

export interface Options {
  /** Milliseconds since 1970. */
  readonly now: number
  readonly paint: Paint
}

/** The daemon, a table of its servers, and what went wrong below each that failed. */
export const statusLines = (status: DaemonStatus, options: Options): ReadonlyArray<string> => {
  const { now, paint } = options
  const head = [
    `mcp-pool ${status.version}`,
    `pid ${status.pid}`,
    `up ${since(status.startedAt, now)}`,
    ...(status.http === null ? [] : [status.http.url]),
    status.runtimeDir
  ]
  const [titles, ...rows] = table(status.servers, columns(options), paint)
  if (status.servers.length === 0) return [head.join(" · "), "", "no server is configured"]
  return [
    head.join(" · "),
    "",
    titles!,
    ...status.servers.flatMap((server, i) => [rows[i]!, ...failureLines(server, options)])
  ]
}

const columns = ({ now, paint }: Options): ReadonlyArray<Column<ServerStatus>> => [
  { head: "SERVER", text: ({ name }) => printable(name), style: paint.bold },
  { head: "STATE", text: ({ state }) => state, style: (text, { state }) => stateStyle(state, paint)(text) },
  { head: "PID", text: ({ pid }) => orDash(pid), right: true },
  { head: "UPTIME", text: ({ startedAt }) => (startedAt === null ? "-" : since(startedAt, now)), right: true },
  { head: "RESTARTS", text: ({ restarts }) => String(restarts), right: true },
  { head: "SESSIONS", text: ({ sessions }) => String(sessions), right: true },
  { head: "IN FLIGHT", text: ({ inFlight }) => String(inFlight), right: true },
  { head: "TOOLS", text: ({ tools }) => orDash(tools), right: true },
  { head: "MEMORY", text: memory, right: true }
]

const stateStyle = (state: ServerState, paint: Paint): ((text: string) => string) => {
  switch (state) {
    case "running":
      return paint.green
    case "failed":
    case "crash-loop":
      return paint.red
    case "stopped":
      return paint.dim
    default:
      return paint.yellow
  }
}

const failureLines = ({ lastFailure, state }: ServerStatus, { now, paint }: Options): ReadonlyArray<string> => {
  if (lastFailure === null) return []
  const style = state === "failed" || state === "crash-loop" ? paint.red : paint.dim
  const next = lastFailure.nextAttemptAt
  return [
    `  ${style(`${printable(lastFailure.message)}, ${since(lastFailure.at, now)} ago`)}`,
    ...(lastFailure.hint === null ? [] : [`  hint: ${printable(lastFailure.hint)}`]),
    ...(next === null || Date.parse(next) <= now ? [] : [`  next attempt in ${span(Date.parse(next) - now)}`])
  ]
}

/** One step of one server, on a line. */
export const changeLine = ({ at, server, from, to, pid, failure }: StateChange, paint: Paint): string => {
  const running = pid === null || to !== "running" ? "" : ` pid ${pid}`
  const step = `${paint.dim(at)} ${paint.bold(printable(server))} ${from} -> ${stateStyle(to, paint)(to)}${running}`
  return failure === null ? step : `${step}: ${reason(failure)}`
}

/** What became of a server that was told to do something. */
export const stateLine = ({ name, state, pid, lastFailure }: ServerStatus, paint: Paint): string => {
  const line = `${paint.bold(printable(name))} is ${stateStyle(state, paint)(state)}`
  if (state === "running") return pid === null ? line : `${line}, pid ${pid}`
  return lastFailure === null || state === "stopped" ? line : `${line}: ${reason(lastFailure)}`
}

const reason = ({ message, hint }: Failure): string => printable(hint === null ? message : `${message} (${hint})`)

const memory = ({ processes }: ServerStatus): string => {
  const known = processes.flatMap(({ memory }) => (memory === null ? [] : [memory]))
  return known.length === 0 ? "-" : size(known.reduce((sum, bytes) => sum + bytes, 0))
}

const orDash = (value: number | null): string => (value === null ? "-" : String(value))

const since = (iso: string, now: number): string => span(now - Date.parse(iso))
