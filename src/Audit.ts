/**
 * The audit file: one JSON line for each client's request that has ended; who asked what of which server, and how it
 * ended. Never arguments or results. No call waits for it or fails with it: lines are gathered and written by one fiber;
 * those that find no room, or that cannot be written, are counted, and the file says how many it lacks. Lives as long as
 * its scope, whose end writes what is left.
 */
import { Clock, Duration, Effect, Latch, Result, type Scope } from "effect"
import * as fs from "node:fs/promises"
import { constants } from "node:fs"
import type { EndedCall } from "./mux/CallAccount.ts"
import { ConfigFileError } from "./PoolError.ts"

/** An open audit file. */
export interface Audit {
  /** Costs what the line costs; the writing comes later. */
  readonly add: (call: EndedCall) => void
}

/**
 * Opens the file to append to it; it is made with mode 0600 where it is not there, and made anew with the next lines where
 * it is moved or removed meanwhile. One that cannot be opened, or is no regular file, is a mistake in the configuration.
 */
export const open = Effect.fnUntraced(function* (file: string): Effect.fn.Return<Audit, ConfigFileError, Scope.Scope> {
  const opened = Effect.tryPromise({ try: () => openFile(file), catch: reasonOf })
  const first = yield* Effect.mapError(
    opened,
    (reason) =>
      new ConfigFileError({
        file,
        line: null,
        column: null,
        reason: `cannot be the audit file (pool.audit): ${reason}`
      })
  )
  const hasLines = Latch.makeUnsafe()
  let current = first
  let text = ""
  /** Since the file last said so. */
  let lost = 0
  /** Its last line may be cut off. */
  let isTorn = false
  let isWarned = false

  const trouble = (reason: string) =>
    Effect.suspend(() => {
      if (isWarned) return Effect.void
      isWarned = true
      return Effect.logWarning(`the audit file ${file} cannot be written: ${reason}`)
    })

  /** Its name may stand for another file by now, or for none. Fails where what is written would be lost. */
  const follow = Effect.gen(function* () {
    const place = yield* Effect.tryPromise({ try: () => placeOf(current, file), catch: reasonOf })
    if (place === "there") return
    const next = yield* Effect.result(opened)
    if (Result.isFailure(next)) {
      // Under another name it is still the best there is.
      if (place === "moved") return yield* trouble(next.failure)
      return yield* Effect.fail(next.failure)
    }
    const before = current
    current = next.success
    isTorn = false
    isWarned = false
    yield* closed(before)
  })

  const append = (lines: string) =>
    Effect.gen(function* () {
      yield* follow
      const missed = lost
      const time = new Date(yield* Clock.currentTimeMillis).toISOString()
      const gap = missed === 0 ? "" : `${JSON.stringify({ time, lost: missed })}\n`
      const start = isTorn ? "\n" : ""
      isTorn = true
      yield* Effect.tryPromise({ try: () => current.appendFile(start + gap + lines), catch: reasonOf })
      isTorn = false
      lost -= missed
    })

  const write = Effect.suspend(() => {
    hasLines.closeUnsafe()
    if (text === "") return Effect.void
    const lines = text
    text = ""
    return Effect.matchEffect(append(lines), {
      onFailure: (reason) => {
        lost += lines.split("\n").length - 1
        return trouble(reason)
      },
      onSuccess: () => Effect.void
    })
  }).pipe(Effect.uninterruptible)

  // Last of all, when the fiber that writes is gone.
  yield* Effect.addFinalizer(() =>
    Effect.andThen(
      write,
      Effect.promise(() => current.close().catch(() => {}))
    )
  )
  yield* hasLines.await.pipe(
    Effect.andThen(Effect.sleep(gathering)),
    Effect.andThen(write),
    Effect.forever,
    Effect.forkScoped({ startImmediately: true })
  )

  return {
    add: (call) => {
      if (text.length >= maxUnwritten) {
        lost++
        return
      }
      if (text === "") hasLines.openUnsafe()
      text += lineOf(call)
    }
  }
})

const lineOf = (call: EndedCall): string => {
  const { answerBytes, client, method, millis, outcome, requestBytes, since, tool } = call
  const line = {
    time: new Date(since).toISOString(),
    session: client.id,
    client: bounded(client.clientInfo.name),
    server: client.server,
    method: bounded(method),
    tool: bounded(tool),
    outcome,
    ms: millis,
    bytes: { request: requestBytes, answer: answerBytes }
  }
  return `${JSON.stringify(line)}\n`
}

/** Clients choose their names, methods and tools. */
const bounded = (text: string | null): string | null =>
  text === null || text.length <= maxName ? text : `${text.slice(0, maxName - 1)}…`

const openFile = async (file: string): Promise<fs.FileHandle> => {
  // Without O_NONBLOCK a pipe that nobody reads would keep the opening waiting.
  const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK
  const handle = await fs.open(file, flags, 0o600)
  const stats = await handle.stat()
  if (stats.isFile()) return handle
  await handle.close()
  throw new Error("it is no regular file")
}

/** Whether a file is still the one of that name, has another name by now, or none at all. */
const placeOf = async (handle: fs.FileHandle, file: string): Promise<"there" | "moved" | "removed"> => {
  const mine = await handle.stat()
  const there = await fs.stat(file).catch(() => null)
  if (there !== null && mine.ino === there.ino && mine.dev === there.dev) return "there"
  return mine.nlink > 0 ? "moved" : "removed"
}

const closed = (handle: fs.FileHandle): Effect.Effect<void> => Effect.promise(() => handle.close().catch(() => {}))

const reasonOf = (cause: unknown): string => {
  const { code, message } = cause as NodeJS.ErrnoException
  return code ?? message
}

/** How long lines are gathered before they are written. */
const gathering = Duration.millis(50)
/** Characters. */
const maxUnwritten = 1024 * 1024
/** Characters. */
const maxName = 128
