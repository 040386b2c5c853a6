/**
 * One incarnation of a server: a child process in a process group of its own, its lines, its MCP handshake and the
 * preflight. A scoped resource: closing the scope ends it as the specification asks (close stdin, wait, SIGTERM, wait,
 * SIGKILL), whatever the reason, and leaves no member of its group and nothing that carries its marker. The only file that
 * spawns servers, and that signals them while the pool lives.
 *
 * It stands on `node:child_process`, not on `effect/process`: the lines of all sessions pass here, and a Stream, a Sink
 * and a pass-through between pipe and multiplexer would cost more CPU than the multiplexing itself.
 */
import type { Tool } from "@modelcontextprotocol/sdk/types.js"
import { Clock, Deferred, Duration, Effect, Option, type Scope } from "effect"
import * as ChildProcess from "node:child_process"
import { existsSync } from "node:fs"
import type { Readable, Writable } from "node:stream"
import type { ServerSpec } from "../config/ServerSpec.ts"
import { Line, LineReader, type LineReceiver } from "../lines/LineReader.ts"
import { LineWriter } from "../lines/LineWriter.ts"
import { HandshakeFailed, type Phase, PreflightFailed, ProcessExited, SpawnFailed } from "../PoolError.ts"
import { type Handshake, type Hello, helloOf, Opening } from "./Opening.ts"
import * as EraStore from "./EraStore.ts"
import * as ProcessTable from "./ProcessTable.ts"
import { type Marker, Reaper, signalGroup } from "./Reaper.ts"
import type { ServerLog } from "./ServerLog.ts"
import * as SessionFile from "./SessionFile.ts"

export type { Handshake }

export interface ServerProcess {
  readonly pid: number
  /** Milliseconds since the epoch. */
  readonly startedAt: number
  readonly handshake: Handshake
  /** What the preflight listed; null where there was none, and where that is private. */
  readonly tools: ReadonlyArray<Tool> | null
  readonly stdin: LineWriter
  /** From here on its lines go to `receiver`; what came since the handshake is handed over first. */
  readonly attach: (receiver: LineReceiver) => void
  /** How often it has written something to stdout. */
  readonly heard: () => number
  /** Fails when the process has exited or closed its stdout. */
  readonly ended: Effect.Effect<never, ProcessExited>
}

/** Where a process comes from, and for whom it is. */
export interface Beginning {
  /** What it is told in `initialize`. */
  readonly hello: Hello
  /** Whether the pool itself says `notifications/initialized`, and does not leave that to a session. */
  readonly announces: boolean
  readonly spawned: Effect.Effect<Spawned, SpawnFailed, Scope.Scope | Reaper>
}

/** A child that has not been spoken to, and ends with the scope in which it was acquired. */
export interface Spawned {
  readonly child: Child
}

/** One of the pool's own, for whoever comes. */
const beginning = (spec: ServerSpec): Beginning => ({
  hello: helloOf(spec.pool),
  announces: true,
  spawned: acquire(spec)
})

/** Why there is no process, or none any more. */
export type Failed = SpawnFailed | HandshakeFailed | PreflightFailed | ProcessExited

/**
 * Spawns the command, shakes hands with it and, where there are tools that it `mustList`, looks whether it lists them.
 *
 * Fails with `SpawnFailed`; with `HandshakeFailed` (no answer within `startTimeout`, an error, nonsense); with
 * `PreflightFailed`; or with `ProcessExited` in phase `handshake` or `preflight`.
 */
export const make = Effect.fnUntraced(function* (
  spec: ServerSpec,
  log: ServerLog,
  mustList: ReadonlyArray<string>,
  { announces, hello, spawned }: Beginning = beginning(spec)
): Effect.fn.Return<ServerProcess, Failed, Scope.Scope | Reaper> {
  const startedAt = yield* Clock.currentTimeMillis
  const ended = yield* Deferred.make<never, ProcessExited>()
  const { directory } = yield* Reaper
  const era = EraStore.read(directory, spec)
  const { child } = yield* spawned
  const { pid } = child
  let phase: Phase = "handshake"
  let readyAt = startedAt
  let hasWritten = false
  let heard = 0

  const stdin = new LineWriter(child.stdin)
  const opening = new Opening({
    hello,
    era,
    announces: announces || mustList.length > 0,
    roots: spec.pool.roots,
    write: (line) => stdin.push(line),
    onStray: (text) => log.stray(pid, text),
    // What follows in this chunk is kept, what follows in the pipe waits there.
    onAnswer: () => child.stdout.pause(),
    onAwait: () => child.stdout.resume()
  })
  // Before the multiplexer is there, the pool itself receives the lines.
  let receiver: LineReceiver = opening
  const say = Effect.runSyncWith(yield* Effect.context<never>())
  /** A bug that one line brings to light must not take the others down. */
  const sayBug = (cause: unknown) => say(Effect.logError("this is a bug", cause))
  const guarded: LineReceiver = {
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
    onLongLine: (line) => receiver.onLongLine(line)
  }
  const reader = new LineReader({ maxLine: spec.pool.maxLine, receiver: guarded })

  const end = (exitCode: number | null, signal: string | null) => {
    const uptime = phase === "running" ? Date.now() - readyAt : 0
    const error = new ProcessExited({ server: spec.name, pid, phase, exitCode, signal, uptime })
    Deferred.doneUnsafe(ended, Effect.fail(error))
  }
  let closing: NodeJS.Timeout | undefined
  child.stdout.on("data", (chunk: Buffer) => {
    heard++
    reader.feed(chunk)
    // It makes more to be answered than it reads: it is not read either until it does.
    if (stdin.unread > spec.pool.maxUnread) child.stdout.pause()
  })
  child.stdin.on("drain", () => {
    const isRead = receiver !== opening || opening.isAwaiting
    if (isRead && stdin.unread <= spec.pool.maxUnread) child.stdout.resume()
  })
  child.stdin.on("error", () => {
    // A write to a process that is gone fails: its exit tells the story. One that lives on reads no more.
    setTimeout(() => hasExited(child) || end(null, null), stdinGrace)
  })
  child.stdout.on("close", () => {
    // Without stdout it serves nobody, even if it lives on.
    if (!hasExited(child)) closing = setTimeout(end, exitGrace, null, null)
    else end(child.exitCode, child.signalCode)
  })
  child.on("exit", (exitCode, signal) => {
    // What it wrote just before is still in the pipe; a grandchild may hold the pipe open for ever.
    if (closing !== undefined || child.stdout.destroyed) {
      clearTimeout(closing)
      end(exitCode, signal)
    } else {
      // One more turn: after a stall the timer comes before what can be read.
      setTimeout(() => setImmediate(end, exitCode, signal), exitGrace)
    }
  })
  drainStderr(child, log, () => {
    hasWritten = true
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
      child.stdout.resume()
    },
    heard: () => heard,
    ended: Deferred.await(ended)
  }
})

/** A child that is guarded from its start until nothing of it is left. */
export const acquire = Effect.fnUntraced(function* (
  spec: ServerSpec
): Effect.fn.Return<Spawned, SpawnFailed, Scope.Scope | Reaper> {
  const reaper = yield* Reaper
  const { extraEnv, sessionFile, stop } = spec.pool
  const acquired = Effect.gen(function* () {
    const marker = yield* reaper.mark
    const file =
      sessionFile === undefined
        ? null
        : yield* Effect.mapError(
            SessionFile.write(reaper.directory, marker.value, sessionFile.content),
            (cause) =>
              new SpawnFailed({ server: spec.name, command: spec.command, code: `session file: ${cause.code}`, cause })
          )
    const env = {
      ...spec.env,
      ...extraEnv,
      ...(sessionFile === undefined || file === null ? {} : { [sessionFile.variable]: file }),
      [marker.variable]: marker.value
    }
    const child = yield* spawn(spec, env).pipe(
      Effect.tapError(() => (file === null ? Effect.void : SessionFile.remove(file)))
    )
    yield* reaper.guard(child.pid, marker)
    return { child, marker, file }
  })
  return yield* Effect.acquireRelease(
    acquired,
    Effect.fnUntraced(function* ({ child, file, marker }) {
      const left = yield* shutdown(child, marker, stop)
      if (left.length > 0) {
        // Guarded until the pool itself ends, and its session file stays: what still runs may read it.
        return yield* Effect.logError(`${spec.name}: SIGKILL did not end ${left.join(", ")}`)
      }
      yield* reaper.release(child.pid)
      if (file !== null) yield* SessionFile.remove(file)
    })
  )
})

/** A child whose pid is known. */
export type Child = ChildProcess.ChildProcessByStdio<Writable, Readable, Readable> & { readonly pid: number }

const spawn = (spec: ServerSpec, env: Readonly<Record<string, string>>): Effect.Effect<Child, SpawnFailed> =>
  Effect.callback((resume) => {
    const fail = (cause: Error & { readonly code?: string }) => {
      const code = existsSync(spec.cwd) ? (cause.code ?? cause.message) : `no directory ${spec.cwd}`
      resume(Effect.fail(new SpawnFailed({ server: spec.name, command: spec.command, code, cause })))
    }
    try {
      const child = ChildProcess.spawn(spec.command, spec.args, {
        cwd: spec.cwd,
        env,
        // A group of its own, so that whatever it starts can be ended with it.
        detached: true,
        stdio: ["pipe", "pipe", "pipe"]
      })
      child.on("error", fail)
      // Node sets the pid synchronously where the spawn succeeded.
      if (child.pid !== undefined) resume(Effect.succeed(child as Child))
    } catch (cause) {
      fail(cause as Error)
    }
  })

/**
 * Ends a process, its group and what carries its marker as MCP's stdio lifecycle asks; returns with what is left alive,
 * which is nothing but in the strangest cases. Its waits run on native time: a finalizer cannot be interrupted, and must
 * end under a test's clock too.
 */
const shutdown = Effect.fnUntraced(function* (child: Child, marker: Marker, stop: ServerSpec["pool"]["stop"]) {
  child.stdin.end()
  // Its last words may block it on a full pipe.
  child.stdout.resume()
  // One that has ended, or talks to nobody any more, need not be asked kindly: another waits to be started.
  const isOver = hasExited(child) || child.stdout.closed || child.stdin.errored !== null
  let left = yield* leftAfter(child, marker, isOver ? Duration.zero : stop.stdin)
  if (left.length > 0) {
    signalAll(child, left, "SIGTERM")
    left = yield* leftAfter(child, marker, stop.term)
  }
  // Again and again: what is killed may have started something in between.
  for (const deadline = performance.now() + killTime; left.length > 0 && performance.now() < deadline;) {
    signalAll(child, left, "SIGKILL")
    left = yield* leftAfter(child, marker, groupPoll)
  }
  yield* lastWords(child)
  child.stdin.destroy()
  child.stdout.destroy()
  child.stderr.destroy()
  return left
})

/** The group and, since some of it may have left the group, each of them. */
const signalAll = (child: Child, pids: ReadonlyArray<number>, signal: NodeJS.Signals): void => {
  signalGroup(child.pid, signal)
  for (const pid of pids) {
    try {
      process.kill(pid, signal)
    } catch {
      // It is gone.
    }
  }
}

/** What it wrote to stderr just before may still be in the pipe. */
const lastWords = (child: Child): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (child.stderr.readableEnded || child.stderr.destroyed) return resume(Effect.void)
    const done = () => {
      clearTimeout(timer)
      child.stderr.off("end", done)
      resume(Effect.void)
    }
    const timer = setTimeout(done, exitGrace)
    child.stderr.once("end", done)
  })

export const hasExited = (child: Child): boolean => child.exitCode !== null || child.signalCode !== null

/** What of it is alive once it has ended or its time is over; zombies that nobody reaps are not. */
const leftAfter = Effect.fnUntraced(function* (child: Child, marker: Marker, within: Duration.Duration) {
  const deadline = performance.now() + Duration.toMillis(within)
  yield* exitWithin(child, Duration.toMillis(within))
  for (;;) {
    const left = yield* ProcessTable.members(child.pid, marker)
    if (left.length === 0 || performance.now() >= deadline) return left
    yield* pause(Duration.toMillis(groupPoll))
  }
})

const exitWithin = (child: Child, millis: number): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (hasExited(child)) return resume(Effect.void)
    const done = () => {
      clearTimeout(timer)
      child.off("exit", done)
      resume(Effect.void)
    }
    const timer = setTimeout(done, millis)
    child.once("exit", done)
  })

const pause = (millis: number): Effect.Effect<void> =>
  Effect.callback((resume) => {
    setTimeout(() => resume(Effect.void), millis)
  })

/** Reads stderr as fast as it comes, so that it never blocks the server, and keeps its last lines. */
const drainStderr = (child: Child, log: ServerLog, onWritten: () => void): void => {
  const reader = new LineReader({
    maxLine: stderrLine,
    receiver: {
      onLine: (line) => log.add("stderr", child.pid, line.bytes.toString("utf8", line.start, line.end)),
      onLongLine: (line) => log.add("stderr", child.pid, line.head.toString("utf8"))
    }
  })
  child.stderr.on("data", (chunk: Buffer) => {
    onWritten()
    reader.feed(chunk)
  })
  child.stderr.on("end", () => reader.feed(lineFeed))
}

const lineFeed = Buffer.from("\n")
const stderrLine = 4096
/** How long the last output of a process that exited is waited for, in milliseconds. */
const exitGrace = 20
/** How long the exit of a process that takes no more is waited for, in milliseconds. */
const stdinGrace = 100
/** How often a group that outlives its leader is looked at, in milliseconds. */
const groupPoll = Duration.millis(20)
const killTime = 5000
/** How long tools that are missing after the handshake may still be registered. */
const registration = "2 seconds"
/** How many times `startTimeout` a start may take that goes on writing to stderr. */
const maxPeriods = 10
