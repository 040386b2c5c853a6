/** The failures of one server: each explained when it happens, the last 20 kept. */
import { isInherited } from "../config/Environment.ts"
import type { ServerSpec } from "../config/ServerSpec.ts"
import type { ProcessError, ServerConfigError } from "../PoolError.ts"
import { printable } from "../printable.ts"
import { diagnose } from "./Diagnosis.ts"
import type { Traces } from "./Sayings.ts"
import type { ServerLog } from "./ServerLog.ts"
import type { Failure } from "./ServerState.ts"

export interface Failures {
  /** Keeps the record of one. */
  readonly add: (end: ProcessError, facts: Facts) => Failure
  /** The last ones, oldest first. */
  readonly all: () => ReadonlyArray<Failure>
}

/** What an error does not know of itself. */
export interface Facts {
  /** Milliseconds since the epoch. */
  readonly now: number
  /** Clients' requests that were lost with it. */
  readonly inFlight: number
  /** Milliseconds since the epoch; null where none is planned. */
  readonly nextAttemptAt: number | null
  /** What to do, beside what comes from how it ended. */
  readonly also?: string
}

export const make = (server: ServerSpec | ServerConfigError, log: ServerLog, isKnown: Traces["isKnown"]): Failures => {
  const env = "env" in server ? { ...server.env, ...server.pool.extraEnv } : {}
  const traces = { given: new Set(Object.keys(env)), isKnown }
  const declared = Object.entries(env).flatMap(([name, value]) => (isInherited(name) ? [] : [value]))
  const content = "pool" in server ? (server.pool.sessionFile?.content ?? "null") : "null"
  const conceal = concealing([...declared, ...textsOf(JSON.parse(content))])
  let failures: ReadonlyArray<Failure> = []
  return {
    add: (end, { also, inFlight, nextAttemptAt, now }) => {
      const pid = "pid" in end ? end.pid : null
      const stderr = pid === null ? [] : log.lastOf(pid, maxRead)
      const diagnosis = diagnose(end, { ...traces, stderr })
      const failure: Failure = {
        at: iso(now),
        phase: phaseOf(end),
        kind: end._tag,
        message: end.message,
        classification: diagnosis.classification,
        pid,
        uptime: "uptime" in end && phaseOf(end) === "running" ? end.uptime : null,
        exitCode: end._tag === "ProcessExited" ? end.exitCode : null,
        signal: end._tag === "ProcessExited" ? end.signal : null,
        inFlight,
        stderr: stderr.slice(-maxLines).map((line) => conceal(printable(line)).slice(0, maxLength)),
        hint: also === undefined ? diagnosis.hint : diagnosis.hint === null ? also : `${diagnosis.hint}; ${also}`,
        nextAttemptAt: nextAttemptAt === null ? null : iso(nextAttemptAt)
      }
      failures = [...failures.slice(1 - maxFailures), failure]
      return failure
    },
    all: () => failures
  }
}

/** A failure on one line. */
export const explained = ({ classification, hint, message }: Failure): string =>
  `${message}${classification === "unknown" ? "" : ` (${classification})`}${hint === null ? "" : ` — ${hint}`}`

const iso = (millis: number): string => new Date(millis).toISOString()

const phaseOf = (end: ProcessError): Failure["phase"] => {
  switch (end._tag) {
    case "ServerConfigError":
      return "configuration"
    case "SpawnFailed":
      return "spawn"
    case "HandshakeFailed":
      return "handshake"
    case "PreflightFailed":
      return "preflight"
    case "ProbeFailed":
      return "running"
    case "ProcessExited":
    case "RemoteEnded":
      return end.phase
  }
}

/** Values of its environment and session file that a server prints are not shown again, but for the shortest. */
const concealing = (values: ReadonlyArray<string>): ((printed: string) => string) => {
  const secrets = values
    .flatMap((value) => value.split(/\r?\n/).map(printable))
    .filter(({ length }) => length >= minSecret)
    // One may be a part of another.
    .sort((a, b) => b.length - a.length)
  return (printed) => secrets.reduce((text, secret) => text.replaceAll(secret, "***"), printed)
}

/** All texts in a JSON value. */
const textsOf = (value: unknown): ReadonlyArray<string> => {
  if (typeof value === "string") return [value]
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(textsOf) : []
}

const minSecret = 6

const maxFailures = 20
/** Of stderr: lines that are read, lines that are kept, and characters of each. */
const maxRead = 60
const maxLines = 10
const maxLength = 300
