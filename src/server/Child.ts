/**
 * A server's child process, in a process group of its own, and its pipes as a transport. A scoped resource: closing the
 * scope ends it as the specification asks (close stdin, wait, SIGTERM, wait, SIGKILL), whatever the reason, and leaves no
 * member of its group and nothing that carries its marker. The only file that spawns servers, and that signals them while
 * the pool lives.
 *
 * It stands on `node:child_process`, not on `effect/process`: the lines of all sessions pass here, and a Stream, a Sink
 * and a pass-through between pipe and multiplexer would cost more CPU than the multiplexing itself.
 */
import { Duration, Effect, type Scope } from "effect"
import * as ChildProcess from "node:child_process"
import { existsSync } from "node:fs"
import type { Readable, Writable } from "node:stream"
import type { ServerSpec } from "../config/ServerSpec.ts"
import { LineReader } from "../lines/LineReader.ts"
import { LineWriter } from "../lines/LineWriter.ts"
import { SpawnFailed } from "../PoolError.ts"
import * as ProcessTable from "./ProcessTable.ts"
import { type Marker, Reaper, signalGroup } from "./Reaper.ts"
import type { ServerLog } from "./ServerLog.ts"
import * as SessionFile from "./SessionFile.ts"
import type { Events, Transport } from "./Transport.ts"

/** A child that is guarded from its start until nothing of it is left. */
export const acquire = Effect.fnUntraced(function* (
  spec: ServerSpec
): Effect.fn.Return<Child, SpawnFailed, Scope.Scope | Reaper> {
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
  const { child } = yield* Effect.acquireRelease(
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
  return child
})

/** Its pipes. */
export const transport = (child: Child, spec: ServerSpec, log: ServerLog): Transport => {
  const { maxLine, maxUnread } = spec.pool
  const stdin = new LineWriter(child.stdin)
  let isPaused = false
  const open = ({ onEnd, onHeard, onWritten, receiver }: Events) => {
    const reader = new LineReader({ maxLine, receiver })
    const end = (exitCode: number | null, signal: string | null) => onEnd({ exitCode, signal })
    let closing: NodeJS.Timeout | undefined
    child.stdout.on("data", (chunk: Buffer) => {
      onHeard()
      reader.feed(chunk)
      // It makes more to be answered than it reads: it is not read either until it does.
      if (stdin.unread > maxUnread) child.stdout.pause()
    })
    child.stdin.on("drain", () => {
      if (!isPaused && stdin.unread <= maxUnread) child.stdout.resume()
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
    drainStderr(child, log, onWritten)
  }
  return {
    pid: child.pid,
    stdin,
    open,
    pause: () => {
      isPaused = true
      child.stdout.pause()
    },
    resume: () => {
      isPaused = false
      child.stdout.resume()
    },
    shaken: () => {},
    isOver: () => hasExited(child)
  }
}

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

const hasExited = (child: Child): boolean => child.exitCode !== null || child.signalCode !== null

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
