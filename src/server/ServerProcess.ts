/**
 * One incarnation of a server: a child process in a process group of its own, its lines, and its MCP handshake. A scoped
 * resource: closing the scope ends it as the specification asks (close stdin, wait, SIGTERM, wait, SIGKILL), whatever the
 * reason, and leaves no member of its group. The only file that spawns or signals servers.
 *
 * It stands on `node:child_process`, not on `effect/process`: the lines of all sessions pass here, and a Stream, a Sink
 * and a pass-through between pipe and multiplexer would cost more CPU than the multiplexing itself.
 */
import type { ServerCapabilities } from "@modelcontextprotocol/sdk/types.js"
import { Clock, Deferred, Duration, Effect, type Scope } from "effect"
import * as ChildProcess from "node:child_process"
import { existsSync } from "node:fs"
import type { Readable, Writable } from "node:stream"
import type { ServerSpec } from "../config/ServerSpec.ts"
import { Line, LineReader, type LineReceiver, type LongLine } from "../lines/LineReader.ts"
import { LineWriter } from "../lines/LineWriter.ts"
import { HandshakeFailed, methodNotFound, ProcessExited, SpawnFailed } from "../PoolError.ts"
import { version } from "../version.ts"
import * as ProcessTable from "./ProcessTable.ts"
import { Reaper, signalGroup } from "./Reaper.ts"
import type { ServerLog } from "./ServerLog.ts"

/** What a server answered to `initialize`. */
export interface Handshake {
  readonly protocolVersion: string
  readonly capabilities: ServerCapabilities
  /** The whole result, as it came. */
  readonly result: { readonly [key: string]: unknown }
}

export interface ServerProcess {
  readonly pid: number
  /** Milliseconds since the epoch. */
  readonly startedAt: number
  readonly handshake: Handshake
  readonly stdin: LineWriter
  /** From here on its lines go to `receiver`; lines that came since the handshake are handed over first. */
  readonly attach: (receiver: LineReceiver) => void
  /** Fails when the process has exited or closed its stdout. */
  readonly ended: Effect.Effect<never, ProcessExited>
}

/** The protocol version the pool asks servers for: the newest that has a handshake. */
export const protocolVersion = "2025-11-25"

/**
 * Spawns the command and shakes hands with it.
 *
 * Fails with `SpawnFailed`, with `HandshakeFailed` (no answer within `startTimeout`, an error, nonsense), or with
 * `ProcessExited` in phase `handshake`.
 */
export const make = Effect.fnUntraced(function* (
  spec: ServerSpec,
  log: ServerLog
): Effect.fn.Return<ServerProcess, SpawnFailed | HandshakeFailed | ProcessExited, Scope.Scope | Reaper> {
  const reaper = yield* Reaper
  const startedAt = yield* Clock.currentTimeMillis
  const ended = yield* Deferred.make<never, ProcessExited>()
  const shaken = yield* Deferred.make<Handshake, HandshakeFailed>()
  const child = yield* Effect.acquireRelease(
    Effect.tap(spawn(spec), ({ pid }) => reaper.guard(pid)),
    (child) => Effect.andThen(shutdown(child, spec.pool.stop), reaper.release(child.pid))
  )
  let readyAt = 0

  const stdin = new LineWriter(child.stdin)
  // A write to a process that is gone fails: its exit tells the story.
  child.stdin.on("error", () => {})

  // Before the multiplexer is there, the pool's own handshake receives the lines.
  const shake = (outcome: Handshake | HandshakeFailed) => {
    if (outcome instanceof HandshakeFailed) return Deferred.doneUnsafe(shaken, Effect.fail(outcome))
    readyAt = Date.now()
    stdin.push('{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
    // What follows in this chunk is kept, what follows in the pipe waits there.
    child.stdout.pause()
    receiver = backlog
    Deferred.doneUnsafe(shaken, Effect.succeed(outcome))
  }
  /** Only a ping may come before the answer to `initialize`. */
  const answer = (id: unknown, method: unknown) => {
    const outcome = method === "ping" ? { result: {} } : { error: { code: methodNotFound, message: "not initialized" } }
    stdin.push(`${JSON.stringify({ jsonrpc: "2.0", id, ...outcome })}\n`)
  }
  let receiver: LineReceiver = handshakeReceiver({ spec, log, pid: child.pid, answer, done: shake })
  const say = Effect.runSyncWith(yield* Effect.context<never>())
  /** A bug that one line brings to light must not take the others down. */
  const sayBug = (cause: unknown) => say(Effect.logError("this is a bug", cause))
  const early: Array<Buffer> = []
  const backlog: LineReceiver = {
    onLine: (line) => {
      early.push(line.copyBytes())
    },
    onLongLine: () => {}
  }
  const reader = new LineReader({
    maxLine: spec.pool.maxLine,
    receiver: {
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
  })

  const end = (exitCode: number | null, signal: string | null) => {
    const uptime = readyAt === 0 ? 0 : Date.now() - readyAt
    const phase = readyAt === 0 ? "handshake" : "running"
    Deferred.doneUnsafe(ended, Effect.fail(new ProcessExited({ server: spec.name, phase, exitCode, signal, uptime })))
  }
  let closing: NodeJS.Timeout | undefined
  child.stdout.on("data", (chunk: Buffer) => {
    reader.feed(chunk)
    // It makes more to be answered than it reads: it is not read either until it does.
    if (stdin.unread > spec.pool.maxUnread) child.stdout.pause()
  })
  child.stdin.on("drain", () => {
    if (receiver !== backlog && stdin.unread <= spec.pool.maxUnread) child.stdout.resume()
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
  drainStderr(child, log)

  const initialize = {
    jsonrpc: "2.0",
    id: 0,
    method: "initialize",
    params: { protocolVersion, capabilities: {}, clientInfo: { name: "mcp-pool", version } }
  }
  stdin.push(`${JSON.stringify(initialize)}\n`)
  const handshake = yield* Effect.raceFirst(Deferred.await(shaken), Deferred.await(ended)).pipe(
    Effect.timeoutOrElse({
      duration: spec.pool.startTimeout,
      orElse: () =>
        Effect.fail(
          new HandshakeFailed({
            server: spec.name,
            reason: `no answer to initialize within ${Duration.format(spec.pool.startTimeout)} (pool.startTimeout)`
          })
        )
    })
  )
  return {
    pid: child.pid,
    startedAt,
    handshake,
    stdin,
    attach: (next) => {
      receiver = next
      for (const bytes of early.splice(0)) next.onLine(Line.of(bytes))
      child.stdout.resume()
    },
    ended: Deferred.await(ended)
  }
})

/** A child whose pid is known. */
type Child = ChildProcess.ChildProcessByStdio<Writable, Readable, Readable> & { readonly pid: number }

const spawn = (spec: ServerSpec): Effect.Effect<Child, SpawnFailed> =>
  Effect.callback((resume) => {
    const fail = (cause: Error & { readonly code?: string }) => {
      const code = existsSync(spec.cwd) ? (cause.code ?? cause.message) : `no directory ${spec.cwd}`
      resume(Effect.fail(new SpawnFailed({ server: spec.name, command: spec.command, code, cause })))
    }
    try {
      const child = ChildProcess.spawn(spec.command, spec.args, {
        cwd: spec.cwd,
        env: spec.env,
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
 * Ends a process and its group as MCP's stdio lifecycle asks, and returns when none of it is alive. Its waits run on native
 * time: a finalizer cannot be interrupted, and must end under a test's clock too.
 */
const shutdown = Effect.fnUntraced(function* (child: Child, stop: ServerSpec["pool"]["stop"]) {
  child.stdin.end()
  // Its last words may block it on a full pipe.
  child.stdout.resume()
  if (hasExited(child) || !(yield* isGoneWithin(child, stop.stdin))) {
    signalGroup(child.pid, "SIGTERM")
    if (!(yield* isGoneWithin(child, stop.term))) {
      signalGroup(child.pid, "SIGKILL")
      yield* isGoneWithin(child, killTime)
    }
  }
  yield* lastWords(child)
  child.stdin.destroy()
  child.stdout.destroy()
  child.stderr.destroy()
})

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

const hasExited = (child: Child): boolean => child.exitCode !== null || child.signalCode !== null

/** Whether the process and every live member of its group are gone in time; zombies that nobody reaps do not count. */
const isGoneWithin = Effect.fnUntraced(function* (child: Child, within: Duration.Duration) {
  const deadline = performance.now() + Duration.toMillis(within)
  yield* exitWithin(child, Duration.toMillis(within))
  while (hasExited(child)) {
    if (!ProcessTable.groupExists(child.pid)) return true
    const processes = yield* ProcessTable.list
    if (!processes.some((info) => info.group === child.pid)) return true
    if (performance.now() >= deadline) return false
    yield* pause(groupPoll)
  }
  return false
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

/** Reads the answer to the pool's `initialize`. What else comes before it is not the pool's business. */
const handshakeReceiver = (options: {
  readonly spec: ServerSpec
  readonly log: ServerLog
  readonly pid: number
  readonly answer: (id: unknown, method: unknown) => void
  readonly done: (outcome: Handshake | HandshakeFailed) => void
}): LineReceiver => {
  const { answer, done, log, pid, spec } = options
  const fail = (reason: string) => done(new HandshakeFailed({ server: spec.name, reason }))
  return {
    onLine: (line: Line) => {
      const text = line.bytes.toString("utf8", line.start, line.end)
      const message = parse(text)
      if (message === undefined || !("method" in message || message["id"] === 0)) return log.stray(pid, text)
      if ("method" in message) {
        if ("id" in message) answer(message["id"], message["method"])
        return
      }
      const error = message["error"]
      const result = message["result"]
      if (isRecord(error)) return fail(`initialize was answered with error ${Number(error["code"])}`)
      if (!isRecord(result) || typeof result["protocolVersion"] !== "string") {
        return fail("initialize was answered without a protocolVersion")
      }
      const capabilities = isRecord(result["capabilities"]) ? result["capabilities"] : {}
      done({ protocolVersion: result["protocolVersion"], capabilities, result })
    },
    onLongLine: (line: LongLine) => log.stray(pid, `a line of ${line.length} bytes, longer than maxLine`)
  }
}

const isRecord = (value: unknown): value is { readonly [key: string]: unknown } =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const parse = (text: string): { readonly [key: string]: unknown } | undefined => {
  try {
    const value: unknown = JSON.parse(text)
    return isRecord(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** Reads stderr as fast as it comes, so that it never blocks the server, and keeps its last lines. */
const drainStderr = (child: Child, log: ServerLog): void => {
  const reader = new LineReader({
    maxLine: stderrLine,
    receiver: {
      onLine: (line) => log.add("stderr", child.pid, line.bytes.toString("utf8", line.start, line.end)),
      onLongLine: (line) => log.add("stderr", child.pid, line.head.toString("utf8"))
    }
  })
  child.stderr.on("data", (chunk: Buffer) => reader.feed(chunk))
  child.stderr.on("end", () => reader.feed(lineFeed))
}

const lineFeed = Buffer.from("\n")
const stderrLine = 4096
/** How long the last output of a process that exited is waited for, in milliseconds. */
const exitGrace = 20
/** How often a group that outlives its leader is looked at, in milliseconds. */
const groupPoll = 20
const killTime = Duration.seconds(5)
