/** One server started for a moment: whether it gets ready, how long that takes, which tools it has. */
import { Clock, Duration, Effect, Option, Result, Semaphore } from "effect"
import * as PoolConfig from "../config/PoolConfig.ts"
import { variable } from "../config/Interpolation.ts"
import type { ServerSpec } from "../config/ServerSpec.ts"
import * as Failures from "../server/Failures.ts"
import { helloOf } from "../server/Handshake.ts"
import { Opening } from "../server/Opening.ts"
import * as ProcessTable from "../server/ProcessTable.ts"
import * as Reaper from "../server/Reaper.ts"
import * as ServerLog from "../server/ServerLog.ts"
import * as ServerProcess from "../server/ServerProcess.ts"
import type { Daemon } from "./Daemon.ts"
import { type Finding, of } from "./Finding.ts"
import * as Shell from "../Shell.ts"

const { ok, problem, warning } = of("starts")

/** Starts them side by side, a few at once, and returns when all their processes are gone. */
export const check = Effect.fnUntraced(function* (options: {
  readonly specs: ReadonlyArray<ServerSpec>
  readonly daemon: Daemon
  readonly commands: Shell.Commands
}): Effect.fn.Return<ReadonlyArray<Finding>> {
  const { commands, daemon, specs } = options
  // Two names may be one process, and that may stand no other beside it.
  const turns = new Map(specs.map(({ identity }) => [identity, Semaphore.makeUnsafe(1)]))
  const findings = yield* Effect.forEach(
    specs,
    (spec) => {
      const running = runningIn(daemon, spec.name)
      return running === undefined
        ? turns.get(spec.identity)!.withPermits(1)(attempt(spec, commands))
        : Effect.succeed([ok(spec.name, `not started: the daemon has it running, ${running}`)])
    },
    { concurrency: atOnce }
  ).pipe(Effect.provide(Reaper.layer()))
  return findings.flat()
})

const atOnce = 4

/** It may hold what a second one would need: a port, a lock. */
const runningIn = (daemon: Daemon, name: string): string | undefined => {
  if (daemon.kind !== "running") return undefined
  const server = daemon.status.servers.find((server) => server.name === name)
  if (server === undefined || server.processes.length === 0) return undefined
  const pids = server.processes.map(({ pid }) => pid).join(", ")
  return `${server.host === undefined ? `pid ${pids}` : `at ${server.host}`}${server.tools === null ? "" : `, ${toolsOf(server.tools)}`}`
}

const attempt = Effect.fnUntraced(function* (spec: ServerSpec, commands: Shell.Commands) {
  const variables = yield* PoolConfig.HostEnvironment
  const log = ServerLog.make()
  const failures = Failures.make(spec, log, (name) => variable(variables, name) !== undefined)
  const begin = yield* Clock.currentTimeMillis
  const outcome = yield* Effect.gen(function* () {
    const process = yield* ServerProcess.make(spec, log, spec.pool.requiredTools)
    const readyAt = yield* Clock.currentTimeMillis
    const tools = process.tools ?? (yield* listTools(process))
    return { pid: process.pid, took: readyAt - begin, tools }
  }).pipe(Effect.scoped, Effect.result)

  const pid = Result.isSuccess(outcome) ? outcome.success.pid : "pid" in outcome.failure ? outcome.failure.pid : null
  const left = pid === null ? [] : yield* ProcessTable.members(pid, null)
  const remains =
    left.length === 0
      ? []
      : [problem(spec.name, `SIGKILL did not end ${left.join(", ")}`, Shell.line("kill", "-KILL", ...left.map(String)))]
  if (Result.isFailure(outcome)) {
    const failure = failures.add(outcome.failure, {
      now: yield* Clock.currentTimeMillis,
      inFlight: 0,
      nextAttemptAt: null
    })
    const message = [`${failure.message} (${failure.classification})`, ...failure.stderr].join("\n")
    const hint =
      failure.kind === "PreflightFailed"
        ? `mend "pool.requiredTools" of the server in ${spec.source}, or have the server list them`
        : inOtherWords(failure.hint ?? `mend its entry in ${spec.source}`, spec.name, commands)
    return [problem(spec.name, message, hint), ...remains]
  }
  const { took, tools } = outcome.success
  const ready = `ready in ${seconds(took)}`
  return tools === null
    ? [warning(spec.name, `${ready}, but it did not list its tools`, null), ...remains]
    : [ok(spec.name, `${ready}, ${toolsOf(tools.length)}`), ...remains]
})

/** Hints are for servers of a daemon, whose log holds what is shown here, and which can start them again. */
export const inOtherWords = (hint: string, server: string, commands: Shell.Commands): string =>
  hint
    .replaceAll(`see what it printed: mcp-pool logs ${server}`, "see what it printed")
    .replaceAll(`mcp-pool logs ${server}`, "what it printed")
    .replaceAll(`mcp-pool restart ${server}`, commands.start(server))
    .replaceAll(`mcp-pool start ${server}`, commands.start(server))

/** All that it lists; null where it does not within its time. A server without tools has none to list. */
const listTools = Effect.fnUntraced(function* (process: ServerProcess.ServerProcess) {
  if (process.handshake.capabilities.tools === undefined) return []
  const opening = new Opening({
    hello: helloOf({ questions: "deny", roots: undefined }),
    era: process.handshake.era,
    announces: false,
    roots: undefined,
    write: (line) => process.stdin.push(line),
    onStray: () => {},
    onAnswer: () => {},
    onAwait: () => {}
  })
  process.attach(opening)
  const listed = yield* Effect.raceFirst(opening.listTools, process.ended).pipe(
    Effect.timeoutOption(Duration.seconds(10)),
    Effect.map(Option.flatten)
  )
  return Option.getOrNull(listed)
})

const toolsOf = (count: number): string => (count === 1 ? "1 tool" : `${count} tools`)

const seconds = (millis: number): string => `${(millis / 1000).toFixed(millis < 10_000 ? 2 : 0)} s`
