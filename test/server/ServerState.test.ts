import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { isComing, isLegal, ServerState, StateChange } from "../../src/server/ServerState.ts"

const states = ServerState.literals

/** Each legal step. */
const legal: { readonly [S in ServerState]: ReadonlyArray<ServerState> } = {
  // A person or the daemon starts it, or its configuration is wrong.
  stopped: ["starting", "failed"],
  // It is ready, dies before that, is told to stop, ends by itself, or is given up.
  starting: ["running", "restarting", "stopping", "stopped", "crash-loop", "failed"],
  // The same once it is ready; or another process has taken over, or was to.
  running: ["running", "restarting", "stopping", "stopped", "crash-loop", "failed"],
  // The same while it waits for its next start, which may fail again.
  restarting: ["running", "restarting", "stopping", "stopped", "crash-loop", "failed"],
  // Its process is gone, or it is started again meanwhile.
  stopping: ["stopped", "restarting"],
  // Given up, but for an attempt now and then: it waits for that, or to be started, restarted or forgotten.
  "crash-loop": ["starting", "restarting", "stopped"],
  failed: ["starting", "restarting", "stopped"]
}

describe("ServerState", () => {
  it("names the seven states of the contract", () => {
    assert.deepStrictEqual([...states].sort(), [
      "crash-loop",
      "failed",
      "restarting",
      "running",
      "starting",
      "stopped",
      "stopping"
    ])
  })

  for (const from of states) {
    for (const to of states) {
      const allowed = legal[from].includes(to)
      it(`${allowed ? "allows" : "refuses"} ${from} -> ${to}`, () => {
        assert.strictEqual(isLegal(from, to), allowed)
      })
    }
  }

  it("lets a call wait only where a process is there or coming", () => {
    assert.deepStrictEqual(states.filter(isComing).sort(), ["restarting", "running", "starting"])
  })

  it("leads from every state to running and to stopped", () => {
    for (const from of states) {
      const reached = new Set<ServerState>([from])
      for (const state of reached) for (const to of states) if (isLegal(state, to)) reached.add(to)
      assert.isTrue(reached.has("running"), from)
      assert.isTrue(reached.has("stopped"), from)
    }
  })

  it("is part of a change that survives its encoding", () => {
    const change: StateChange = {
      server: "git",
      from: "running",
      to: "crash-loop",
      at: "2026-11-20T10:00:00.000Z",
      pid: null,
      cause: "failure",
      place: 0,
      failure: {
        at: "2026-11-20T10:00:00.000Z",
        phase: "running",
        kind: "ProcessExited",
        message: 'server "git" exited with code 3',
        classification: "port-in-use",
        pid: 4711,
        uptime: 1234.5,
        exitCode: 3,
        signal: null,
        inFlight: 2,
        stderr: ["listen EADDRINUSE: address already in use :::80", ""],
        hint: "end what holds port 80",
        nextAttemptAt: "2026-11-20T10:05:00.000Z"
      }
    }
    const text = JSON.stringify(Schema.encodeSync(StateChange)(change))
    assert.deepStrictEqual(Schema.decodeUnknownSync(StateChange)(JSON.parse(text)), change)
  })
})
