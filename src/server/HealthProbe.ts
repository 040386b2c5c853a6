/** Whether an idle process still lives: asked for something cheap now and then, and given up after several misses. */
import { Effect, Option } from "effect"
import type { Probe } from "../config/ServerSpec.ts"
import { ProbeFailed } from "../PoolError.ts"

export interface HealthProbeOptions {
  readonly server: string
  readonly pid: number | null
  readonly probe: Probe
  /** No client waits for it: a process that is busy is not probed. */
  readonly isIdle: () => boolean
  /** Asks it; any answer is one, an error too. May never return. */
  readonly ask: (method: "ping" | "tools/list") => Effect.Effect<void>
  /** How often it has said anything. */
  readonly heard: () => number
  /** CPU milliseconds that it has used. */
  readonly cpu: Effect.Effect<number>
  /** How long it has run, in milliseconds. */
  readonly uptime: Effect.Effect<number>
}

/**
 * Fails when so many probes in a row had no answer. The ladder: `ping`, then `tools/list`, since some servers ignore
 * pings (and are not sent another); then whatever else it said, and CPU time, since one that works is not dead.
 */
export const watch = Effect.fnUntraced(function* (options: HealthProbeOptions): Effect.fn.Return<never, ProbeFailed> {
  const { ask, cpu, heard, isIdle, pid, probe, server, uptime } = options
  const answers = (method: "ping" | "tools/list") => Effect.timeoutOption(ask(method), probe.timeout)
  let method: "ping" | "tools/list" = "ping"
  let misses = 0
  let used = yield* cpu
  let said = heard()
  while (misses < probe.misses) {
    yield* Effect.sleep(probe.interval)
    if (!isIdle()) {
      misses = 0
      continue
    }
    let answer = yield* answers(method)
    if (Option.isNone(answer) && method === "ping" && isIdle()) {
      answer = yield* answers("tools/list")
      if (Option.isSome(answer)) method = "tools/list"
    }
    const [usedBefore, saidBefore] = [used, said]
    used = yield* cpu
    said = heard()
    if (Option.isSome(answer) || used > usedBefore || said !== saidBefore) misses = 0
    // A call that came meanwhile makes it a busy process: nothing is known.
    else if (isIdle()) misses++
  }
  return yield* new ProbeFailed({ server, pid, misses, uptime: yield* uptime })
})
