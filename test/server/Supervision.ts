/** What tests of supervision share: a server with scripts, its way through the states, calls in flight, crashes. */
import { assert } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import type { PoolOptions } from "../../src/config/PoolOptions.ts"
import type { LogEntry } from "../../src/server/LogEntry.ts"
import * as ServerState from "../../src/server/ServerState.ts"
import type { Script } from "../fixtures/scripted.ts"
import * as LineClient from "../support/LineClient.ts"
import type * as States from "../support/States.ts"
import * as TestPool from "../support/TestPool.ts"
import * as Tools from "../support/Tools.ts"

/** The server `one`, not started; each start follows the next script, and the last one holds for all that come after. */
export const scripted = Effect.fnUntraced(function* (scripts: ReadonlyArray<Script>, pool: PoolOptions = {}) {
  const file = path.join(yield* TestPool.temporaryDirectory, "scripts")
  fs.writeFileSync(file, scripts.map((script) => JSON.stringify(script)).join("\n"))
  const command = process.execPath
  return yield* TestPool.make(
    ({ marker }) => ({ one: { command, args: [TestPool.fixture("scripted.ts"), `${marker}-one`, file], pool } }),
    { start: false }
  )
})

/** The states that a server went through. Each step is legal, begins where the one before ended, and tells why and when. */
export const wayOf = (states: States.States, server = "one"): ReadonlyArray<string> => {
  const steps = states.steps(server)
  let before: { readonly at: string; readonly to: ServerState.ServerState } = { at: "", to: "stopped" }
  for (const step of steps) {
    const { at, cause, failure, from, to } = step
    assert.strictEqual(from, before.to)
    assert.isTrue(ServerState.isLegal(from, to), `${from} -> ${to}`)
    assert.strictEqual(new Date(at).toISOString(), at)
    assert.isAtLeast(Date.parse(at), before.at === "" ? 0 : Date.parse(before.at))
    assert.include(causes[to], cause, `${from} -> ${to}`)
    assert.strictEqual(failure !== null, cause === "failure", `${from} -> ${to}`)
    if (failure !== null) assert.strictEqual(failure.at, at)
    before = step
  }
  return steps.map(({ to }) => to)
}

/** What may bring a server to a state. */
const causes: Readonly<Record<ServerState.ServerState, ReadonlyArray<ServerState.Trigger>>> = {
  starting: ["request"],
  // "failure": another process was to take over and could not.
  running: ["ready", "request", "age", "memory", "failure"],
  restarting: ["request", "failure", "attempt"],
  stopping: ["request", "idle"],
  stopped: ["request", "failure", "idle"],
  "crash-loop": ["failure"],
  failed: ["failure"]
}

/** Forks a call that the server does not answer until it is woken, and returns when the server has it. */
export const inFlight = Effect.fnUntraced(function* (client: LineClient.LineClient, id: string | number) {
  const call = yield* Effect.forkChild(client.call("sleep", { label: id }, { id: `call-${id}`, token: id }))
  yield* client.notification("notifications/progress")
  return call
})

/** Ends the process while it holds two calls, so that the server is to blame. */
export const crash = Effect.fnUntraced(function* (client: LineClient.LineClient) {
  const other = yield* inFlight(client, "other")
  const answers = [yield* client.call("exit", { code: 1 }), yield* Fiber.join(other)]
  for (const answer of answers) assert.strictEqual(LineClient.kindOf(answer), "OutcomeUnknown")
})

/** The pid of the process that answers. */
export const pidOf = (client: LineClient.LineClient) => Effect.map(Tools.stats(client), ({ pid }) => pid)

/** Returns with the first line that is logged so, now or when it comes. */
export const logged = ({ pool }: TestPool.TestPool, matches: (entry: LogEntry) => boolean) =>
  pool.logs("one", { follow: true }).pipe(
    Stream.filter(matches),
    Stream.runHead,
    Effect.flatMap((found) => Effect.fromOption(found)),
    Effect.orDie
  )
