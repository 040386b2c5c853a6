/** What counts against a server's budget. */
import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"
import { ProbeFailed, ProcessExited, RemoteEnded, SpawnFailed } from "../../src/PoolError.ts"
import * as RestartAccount from "../../src/server/RestartAccount.ts"

const ended = (ending: RemoteEnded["ending"], uptime: number) =>
  new RemoteEnded({ server: "far", phase: "running", ending, reason: "HTTP 404", uptime })

describe("RestartAccount", () => {
  it("grants another session where one was good for a while, and charges all else", () => {
    assert.isTrue(RestartAccount.isFree(ended("session-over", 1000)))
    assert.isFalse(RestartAccount.isFree(ended("session-over", 999)))
    assert.isFalse(RestartAccount.isFree(ended("unreachable", 100_000)))
    assert.isFalse(RestartAccount.isFree(new ProbeFailed({ server: "far", pid: null, misses: 3, uptime: 100_000 })))
  })

  it("knows how long each one ran, wherever it did", () => {
    const exit = { server: "near", pid: 7, exitCode: 1, signal: null, phase: "running" } as const
    for (const [end, uptime] of [
      [ended("unreachable", 400_000), 400_000],
      [new ProcessExited({ ...exit, uptime: 5 }), 5],
      [new ProbeFailed({ server: "far", pid: null, misses: 3, uptime: 9 }), 9],
      [new SpawnFailed({ server: "near", command: "x", code: "ENOENT", cause: null }), 0]
    ] as const) {
      assert.deepStrictEqual(RestartAccount.lifeOf(end, 3), { startedAt: 3, uptime: Duration.millis(uptime) })
    }
  })
})
