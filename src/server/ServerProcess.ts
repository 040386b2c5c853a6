/**
 * One incarnation of a server: what carries its lines, its MCP handshake and the preflight. A scoped resource: closing the
 * scope ends it, whatever the reason, as its transport does (`Child`, `Remote`).
 */
import type { Tool } from "@modelcontextprotocol/sdk/types.js"
import { Clock, Deferred, Duration, Effect, Option, type Scope } from "effect"
import type { ServerSpec } from "../config/ServerSpec.ts"
import { Line } from "../lines/LineReader.ts"
import type { LineSink } from "../lines/LineWriter.ts"
import {
  HandshakeFailed,
  type Phase,
  PreflightFailed,
  ProcessExited,
  RemoteEnded,
  type SpawnFailed
} from "../PoolError.ts"
import * as Child from "./Child.ts"
import { type Handshake, type Hello, helloOf } from "./Handshake.ts"
import { Opening } from "./Opening.ts"
import * as EraStore from "./EraStore.ts"
import { Reaper } from "./Reaper.ts"
import type { ServerLog } from "./ServerLog.ts"
import type { Ending, Receiver, Transport } from "./Transport.ts"

export type { Handshake }

export interface ServerProcess {
  /** Of the child process; null where the server runs elsewhere. */
  readonly pid: number | null
  /** Milliseconds since the epoch. */
  readonly startedAt: number
  readonly handshake: Handshake
  /** What the preflight listed; null where there was none, and where that is private. */
  readonly tools: ReadonlyArray<Tool> | null
  readonly stdin: LineSink
  /** From here on its lines go to `receiver`; what came since the handshake is handed over first. */
  readonly attach: (receiver: Receiver) => void
  /** How often it has said something. */
  readonly heard: () => number
  /** Fails when the process has exited or closed its stdout, or the remote server is not to be had any more. */
  readonly ended: Effect.Effect<never, Ended>
}

/** Where a process comes from, and for whom it is. */
export interface Beginning {
  /** What it is told in `initialize`. */
  readonly hello: Hello
  /** Whether the pool itself says `notifications/initialized`, and does not leave that to a session. */
  readonly announces: boolean
  /** It has not been spoken to, and ends with the scope. */
  readonly transport: Effect.Effect<Transport, SpawnFailed, Scope.Scope | Reaper>
}

/** One of the pool's own, for whoever comes. */
const beginning = (spec: ServerSpec, log: ServerLog): Beginning => ({
  hello: helloOf(spec.pool),
  announces: true,
  transport: acquire(spec, log)
})

/** Spawns the server's command, or gets ready to speak to where it runs. */
export const acquire = (
  spec: ServerSpec,
  log: ServerLog
): Effect.Effect<Transport, SpawnFailed, Scope.Scope | Reaper> => {
  const { remote } = spec
  return remote === null
    ? Effect.map(Child.acquire(spec), (child) => Child.transport(child, spec, log))
    : // Loaded by who has one.
      Effect.flatMap(
        Effect.promise(() => import("./remote/Remote.ts")),
        (Remote) => Remote.acquire(spec, remote, log)
      )
}

/** Why one has ended by itself. */
export type Ended = ProcessExited | RemoteEnded

/** Why there is no process, or none any more. */
export type Failed = SpawnFailed | HandshakeFailed | PreflightFailed | Ended

/**
 * Spawns the command, or calls where it runs, shakes hands with it and, where there are tools that it `mustList`, looks
 * whether it lists them.
 *
 * Fails with `SpawnFailed`; with `HandshakeFailed` (no answer within `startTimeout`, an error, nonsense); with
 * `PreflightFailed`; or with `ProcessExited` or `RemoteEnded` in phase `handshake` or `preflight`.
 */
export const make = Effect.fnUntraced(function* (
  spec: ServerSpec,
  log: ServerLog,
  mustList: ReadonlyArray<string>,
  { announces, hello, transport: acquired }: Beginning = beginning(spec, log)
): Effect.fn.Return<ServerProcess, Failed, Scope.Scope | Reaper> {
  const startedAt = yield* Clock.currentTimeMillis
  const ended = yield* Deferred.make<never, Ended>()
  const { directory } = yield* Reaper
  const era = EraStore.read(directory, spec)
  const transport = yield* acquired
  const { pid, stdin } = transport
  let phase: Phase = "handshake"
  let readyAt = startedAt
  let hasWritten = false
  let heard = 0

  const opening = new Opening({
    hello,
    era,
    announces: announces || mustList.length > 0,
    roots: spec.pool.roots,
    write: (line) => stdin.push(line),
    onStray: (text) => log.stray(pid, text),
    // What follows in this chunk is kept, what follows in the pipe waits there.
    onAnswer: () => transport.pause(),
    onAwait: () => transport.resume(),
    onShaken: (handshake) => transport.shaken(handshake)
  })
  // Before the multiplexer is there, the pool itself receives the lines.
  let receiver: Receiver = opening
  const say = Effect.runSyncWith(yield* Effect.context<never>())
  /** A bug that one line brings to light must not take the others down. */
  const sayBug = (cause: unknown) => say(Effect.logError("this is a bug", cause))
  const guarded: Receiver = {
    onLine: (line) => {
      try {
        receiver.onLine(line)
      } catch (cause) {
        sayBug(cause)
      }
    },
    onPieces: (pieces, length) => {
      try {
        return receiver.onPieces?.(pieces, length) === true
      } catch (cause) {
        sayBug(cause)
        return true
      }
    },
    onLongLine: (line) => receiver.onLongLine(line),
    onLost: (id, reason) => receiver.onLost?.(id, reason)
  }
  const end = (ending: Ending) => {
    const uptime = phase === "running" ? Date.now() - readyAt : 0
    const facts = { server: spec.name, phase, uptime }
    const error =
      "ending" in ending ? new RemoteEnded({ ...facts, ...ending }) : new ProcessExited({ ...facts, ...ending, pid })
    Deferred.doneUnsafe(ended, Effect.fail(error))
  }
  transport.open({
    receiver: guarded,
    onHeard: () => void heard++,
    onWritten: () => {
      hasWritten = true
    },
    onEnd: end
  })

  const failed = (reason: string, timedOut: boolean) =>
    new HandshakeFailed({ server: spec.name, pid, timedOut, reason })
  const open = Effect.gen(function* () {
    const handshake = yield* Effect.mapError(opening.open, (reason) => failed(reason, false))
    phase = "preflight"
    return { handshake, tools: mustList.length === 0 ? null : yield* preflight }
  })
  const preflight = Effect.gen(function* () {
    for (let again = true; ; again = false) {
      const tools = yield* opening.listTools
      const listed = Option.match(tools, { onNone: () => null, onSome: (tools) => tools.map(({ name }) => name) })
      const missing = mustList.filter((name) => listed?.includes(name) !== true)
      if (Option.isSome(tools) && missing.length === 0) return tools.value
      // Some register their tools after the handshake, and say so.
      if (again && Option.isSome(yield* Effect.timeoutOption(opening.toolsChanged, registration))) continue
      return yield* new PreflightFailed({ server: spec.name, pid, missing, listed, timedOut: false })
    }
  })
  /** Fails after a `startTimeout` in which it wrote nothing to stderr: what downloads or compiles says so there. */
  const patience = Effect.gen(function* () {
    const { startTimeout } = spec.pool
    let periods = 0
    do {
      hasWritten = false
      yield* Effect.sleep(startTimeout)
      periods++
    } while (hasWritten && periods < maxPeriods)
    if (phase === "preflight") {
      return yield* new PreflightFailed({ server: spec.name, pid, missing: mustList, listed: null, timedOut: true })
    }
    const within = `${Duration.format(startTimeout)} (pool.startTimeout)`
    const still = periods === 1 ? "" : `, though it has written to stderr for ${periods} times as long`
    return yield* failed(`no answer to initialize within ${within}${still}`, true)
  })
  const { handshake, tools } = yield* Effect.raceFirst(Effect.raceFirst(open, patience), Deferred.await(ended)).pipe(
    // Perhaps it is not what it was.
    Effect.tapError(() => Effect.sync(() => era === "modern" && EraStore.write(directory, spec, "legacy")))
  )
  if (handshake.era !== era) EraStore.write(directory, spec, handshake.era)
  phase = "running"
  readyAt = Date.now()
  return {
    pid,
    startedAt,
    handshake,
    // What is one client's is not taken for everybody's.
    tools: opening.areToolsPrivate ? null : tools,
    stdin,
    attach: (next) => {
      receiver = next
      for (const bytes of opening.takeEarly()) guarded.onLine(Line.of(bytes))
      transport.resume()
    },
    heard: () => heard,
    ended: Deferred.await(ended)
  }
})

/** How long tools that are missing after the handshake may still be registered. */
const registration = "2 seconds"
/** How many times `startTimeout` a start may take that goes on writing to stderr. */
const maxPeriods = 10
