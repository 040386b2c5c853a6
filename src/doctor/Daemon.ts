/** Whether a daemon answers, which version it has, and how its servers are. */
import { Cause, Effect, Exit, Option } from "effect"
import type { DaemonStatus } from "../control/ControlApi.ts"
import * as ControlClient from "../control/ControlClient.ts"
import type { ServerStatus } from "../PoolStatus.ts"
import * as Summary from "../pin/Summary.ts"
import * as RuntimeDir from "../RuntimeDir.ts"
import { version } from "../version.ts"
import * as Files from "./Files.ts"
import { type Finding, of } from "./Finding.ts"
import type { Owner } from "../server/ProcessRecord.ts"
import * as Shell from "../Shell.ts"

const { ok, problem, warning } = of("daemon")

/** What answered at the control socket. */
export type Daemon =
  | { readonly kind: "none"; readonly code: string }
  /** Something listens that gives no answer, or none that can be understood. */
  | { readonly kind: "strange" }
  | { readonly kind: "running"; readonly status: DaemonStatus }

/** Asks it; changes nothing. */
export const ask = (runtimeDir: string): Effect.Effect<Daemon> =>
  ControlClient.make({ runtimeDir }).pipe(
    Effect.flatMap(({ status }) => status),
    Effect.scoped,
    Effect.timeoutOption(patience),
    Effect.exit,
    Effect.map((exit): Daemon => {
      if (Exit.isSuccess(exit)) {
        return Option.match(exit.value, {
          onNone: () => ({ kind: "strange" }),
          onSome: (status) => ({ kind: "running", status })
        })
      }
      const error = Cause.squash(exit.cause)
      return error instanceof ControlClient.DaemonNotRunning ? { kind: "none", code: error.code } : { kind: "strange" }
    })
  )

const patience = "3 seconds"

export interface Options {
  readonly runtimeDir: string
  /** Whose record of processes there is. */
  readonly owner: Owner
  readonly commands: Shell.Commands
  /** The configured names that are looked at. */
  readonly configured: ReadonlyArray<string>
  /** Those of them whose mistake has been told already. */
  readonly misconfigured: ReadonlySet<string>
  readonly isLookedAt: (server: string) => boolean
}

export const check = (daemon: Daemon, options: Options): ReadonlyArray<Finding> => {
  const { commands, owner, runtimeDir } = options
  const socket = RuntimeDir.controlSocket(runtimeDir)
  if (daemon.kind === "running") return running(daemon.status, options)
  if (owner.kind === "live") {
    const message = `the daemon with process ${owner.pid} does not answer: ${daemon.kind === "none" ? daemon.code : "it is stuck, or of another version"}`
    return [problem(socket, message, `${Shell.line("kill", String(owner.pid))}, then ${commands.serve}`)]
  }
  if (daemon.kind === "none") return atRest(socket, daemon.code, commands)
  const message = "something listens there that does not answer as a daemon of this version does"
  return [problem(socket, message, `end what ${Shell.line("lsof", socket)} shows, then ${commands.serve}`)]
}

const atRest = (socket: string, code: string, commands: Shell.Commands): ReadonlyArray<Finding> => {
  const there = Files.look(socket)
  if (there === undefined) return [ok(socket, `no daemon runs: ${commands.serve} starts one`)]
  if (!there.isSocket()) {
    const what = there.isSymbolicLink() ? "a symbolic link" : "something that is no socket"
    return [problem(socket, `${what} is in the way of the daemon`, Shell.line("rm", socket))]
  }
  if (code !== "ECONNREFUSED" && code !== "ENOENT") {
    return [problem(socket, `a daemon may run, but it cannot be reached: ${code}`, Shell.line("ls", "-l", socket))]
  }
  const message =
    "no daemon runs, and the last one did not end by itself: the next mcp-pool serve takes over its socket"
  return [warning(socket, message, commands.serve)]
}

const running = (status: DaemonStatus, options: Options): ReadonlyArray<Finding> => {
  const { commands, configured, isLookedAt, misconfigured } = options
  const servers = status.servers.filter(({ name }) => isLookedAt(name))
  const count = servers.filter(({ state }) => state === "running").length
  const subject = `pid ${status.pid}`
  const again = `${commands.pool("shutdown")} && ${commands.serve}`
  const findings: Array<Finding> = []
  if (status.version !== version) {
    findings.push(warning(subject, `the daemon has version ${status.version}, and this is ${version}`, again))
  }
  const unknown = configured.filter((name) => !status.servers.some((server) => server.name === name))
  if (unknown.length > 0) {
    const message = `the daemon does not know ${unknown.join(", ")}: it read its configuration before, or another one`
    findings.push(warning(subject, message, again))
  }
  for (const server of servers) {
    const isTold = misconfigured.has(server.name) && server.lastFailure?.phase === "configuration"
    if (!isTold) findings.push(...condition(server, commands))
    const said = server.pin === undefined ? null : Summary.inWords(server.pin)
    if (said !== null) findings.push(warning(server.name, said, commands.pool("pin", server.name)))
  }
  if (findings.length > 0) return findings
  return [
    ok(
      subject,
      `a daemon of version ${status.version} runs, pid ${status.pid}: ${count} of ${servers.length} servers run`
    )
  ]
}

/** A server that should run and does not. */
const condition = ({ lastFailure, name, state }: ServerStatus, commands: Shell.Commands): ReadonlyArray<Finding> => {
  if (state === "restarting") return [warning(name, "is being restarted", commands.pool("logs", name))]
  if (state !== "failed" && state !== "crash-loop") return []
  const why = lastFailure === null ? "" : `: ${lastFailure.message} (${lastFailure.classification})`
  return [
    problem(
      name,
      [`is ${state === "failed" ? "failed" : "in a crash loop"}${why}`, ...(lastFailure?.stderr ?? [])].join("\n"),
      lastFailure?.hint ?? commands.pool("logs", name)
    )
  ]
}
