/** The status of the daemon as people read it. Pure. */
import * as Address from "../config/Address.ts"
import type { DaemonStatus } from "../control/ControlApi.ts"
import type { ServerStatus } from "../PoolStatus.ts"
import type { Failure, ServerState, StateChange } from "../server/ServerState.ts"
import { printable } from "../printable.ts"
import * as Summary from "../pin/Summary.ts"
import * as Shell from "../Shell.ts"
import { type Column, firstLine, type Paint, size, span, table } from "./Text.ts"

export interface Options {
  /** Milliseconds since 1970. */
  readonly now: number
  readonly paint: Paint
  /** In columns: what a server wrote is cut to it. Unbounded unless given. */
  readonly width?: number
  /** The home directory, which is shown as `~`; shown in full unless given. */
  readonly home?: string
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
  if (status.servers.length === 0) return [head.join(" · "), "", "no server is configured"]
  const rows = status.servers.flatMap(rowsOf)
  const [titles, ...lines] = table(rows, columns(options), paint)
  return [
    head.join(" · "),
    "",
    titles!,
    ...rows.flatMap(({ isLast, server }, i) => [
      lines[i]!,
      ...(isLast
        ? [...asleepLines(server, options), ...pinLines(server, options), ...failureLines(server, options)]
        : [])
    ])
  ]
}

/** A server with all its processes, or one of those beside its first. */
interface Row {
  readonly server: ServerStatus
  readonly other: Process | null
  /** Of its server. */
  readonly isLast: boolean
}

type Process = ServerStatus["processes"][number]

const rowsOf = (server: ServerStatus): ReadonlyArray<Row> => {
  const first = taking(server)
  const processes = [null, ...server.processes.filter((process) => process !== first)]
  return processes.map((other, i) => ({ server, other, isLast: i === processes.length - 1 }))
}

/** The first of the processes that take requests. */
const taking = ({ processes }: ServerStatus): Process | undefined => processes.find(({ draining }) => !draining)

const columns = ({ home = "/", now, paint }: Options): ReadonlyArray<Column<Row>> => {
  const pid = (process: Process | undefined) => orDash(process?.pid ?? null)
  const place = (server: ServerStatus) => (server.host === undefined ? pid(taking(server)) : printable(server.host))
  const uptime = (process: Process | undefined) => (process === undefined ? "-" : since(process.startedAt, now))
  const all: ReadonlyArray<Column<ServerStatus> & { readonly ofOther?: (process: Process) => string }> = [
    {
      head: "SERVER",
      text: ({ name }) => printable(Address.shorten(name, home)),
      ofOther: ({ draining }) => (draining ? "└ draining" : "└ process"),
      style: paint.bold
    },
    { head: "STATE", text: ({ state }) => state, style: (text, { state }) => stateStyle(state, paint)(text) },
    { head: "PID", text: place, ofOther: pid, right: true },
    { head: "UPTIME", text: (server) => uptime(taking(server)), ofOther: uptime, right: true },
    { head: "RESTARTS", text: ({ restarts }) => String(restarts), right: true },
    { head: "SESSIONS", text: ({ sessions }) => String(sessions), right: true },
    { head: "IN FLIGHT", text: inFlight, ofOther: inFlight, right: true },
    { head: "TOOLS", text: ({ tools }) => orDash(tools), right: true },
    { head: "MEMORY", text: ({ processes }) => memory(processes), ofOther: (one) => memory([one]), right: true }
  ]
  return all.map(({ ofOther, style, text, ...column }) => ({
    ...column,
    text: ({ other, server }) => (other === null ? text(server) : (ofOther?.(other) ?? "")),
    style: (text, { other, server }) => (other === null ? (style?.(text, server) ?? text) : paint.dim(text))
  }))
}

const inFlight = ({ inFlight }: { readonly inFlight: number }): string => String(inFlight)

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

/** Why one does not run that is not stopped for good. */
const asleepLines = ({ asleep }: ServerStatus, { paint }: Options): ReadonlyArray<string> =>
  asleep === true ? [`  ${paint.dim("starts with its next call")}`] : []

/** What is not as it was accepted. */
const pinLines = ({ name, pin }: ServerStatus, { paint }: Options): ReadonlyArray<string> => {
  if (pin === undefined) return []
  const said = Summary.inWords(pin)
  return said === null ? [] : [`  ${paint.yellow(printable(said))}: ${Shell.line("mcp-pool", "pin", name)}`]
}

/** What went wrong last: in full where that may still matter, on a line where the server has been running since. */
const failureLines = (
  { lastFailure: failure, state }: ServerStatus,
  { now, paint, width = Infinity }: Options
): ReadonlyArray<string> => {
  if (failure === null) return []
  const { at, hint, inFlight, nextAttemptAt, stderr } = failure
  const lost = inFlight === 0 ? "" : `, ${inFlight} ${inFlight === 1 ? "request" : "requests"} lost`
  const what = `${printable(classified(failure))}${lost}, ${since(at, now)} ago`
  if (state === "running" && now - Date.parse(at) > recent) return [`  ${paint.dim(what)}`]
  return [
    `  ${state === "failed" || state === "crash-loop" ? paint.red(what) : paint.dim(what)}`,
    ...stderr.slice(-maxStderr).map((line) => `  ${paint.dim(`│ ${firstLine(line, width - 4)}`.trimEnd())}`),
    ...(hint === null ? [] : [`  hint: ${printable(hint)}`]),
    ...(nextAttemptAt === null || Date.parse(nextAttemptAt) <= now
      ? []
      : [`  next attempt in ${span(Date.parse(nextAttemptAt) - now)}`])
  ]
}

/** One step of one server, on a line. */
export const changeLine = ({ at, server, from, to, pid, failure }: StateChange, paint: Paint): string => {
  const running = pid === null || to !== "running" ? "" : ` pid ${pid}`
  const subject = `${paint.dim(at)} ${paint.bold(printable(server))}`
  const state = `${stateStyle(to, paint)(to)}${running}`
  if (failure === null) return `${subject} ${from} -> ${state}`
  return from === "running" && to === "running"
    ? `${subject} stays ${state}, was not replaced: ${reason(failure)}`
    : `${subject} ${from} -> ${state}: ${reason(failure)}`
}

/** What became of a server that was told to do something. */
export const stateLine = ({ asleep, name, state, pid, lastFailure }: ServerStatus, paint: Paint): string => {
  const line = `${paint.bold(printable(name))} is ${stateStyle(state, paint)(state)}`
  if (asleep === true) return `${line}, and starts with its next call`
  if (state === "running") return pid === null ? line : `${line}, pid ${pid}`
  return lastFailure === null || state === "stopped" ? line : `${line}: ${reason(lastFailure)}`
}

const reason = (failure: Failure): string =>
  printable(failure.hint === null ? classified(failure) : `${classified(failure)}: ${failure.hint}`)

const classified = ({ classification, message }: Failure): string =>
  classification === "unknown" ? message : `${message} (${classification})`

const memory = (processes: ReadonlyArray<Process>): string => {
  const known = processes.flatMap(({ memory }) => (memory === null ? [] : [memory]))
  return known.length === 0 ? "-" : size(known.reduce((sum, bytes) => sum + bytes, 0))
}

const orDash = (value: number | null): string => (value === null ? "-" : String(value))

const since = (iso: string, now: number): string => span(now - Date.parse(iso))

/** Milliseconds after which a failure of a server that runs is history. */
const recent = 10 * 60_000
/** Lines of what a process wrote last. */
const maxStderr = 3
