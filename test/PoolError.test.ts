import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as PoolError from "../src/PoolError.ts"
import * as WireError from "../src/WireError.ts"
import * as Choices from "./lines/Choices.ts"

const text = (choices: Choices.Choices): string =>
  choices.of(["", "git", "é 漢", 'a"b\\c\n', "SECRET=hunter2", "/home/ada/x --token abc", `n${choices.below(1000)}`])

const textOrNull = (choices: Choices.Choices): string | null => (choices.chance(30) ? null : text(choices))

/** Each error that a session may answer with, and its code on the wire. */
const errors = Choices.from((choices): ReadonlyArray<readonly [code: number, error: PoolError.RequestError]> => {
  const server = text(choices)
  return [
    [
      31001,
      new PoolError.ServerUnavailable({
        server,
        state: choices.of(["stopped", "failed", "crash-loop"]),
        failure: choices.of([null, "port-in-use", "unknown"]),
        hint: textOrNull(choices),
        nextAttemptAt: choices.of([null, "2026-01-01T00:00:00.000Z"])
      })
    ],
    [31002, new PoolError.OutcomeUnknown({ server })],
    [31003, new PoolError.RequestTimeout({ server })],
    [31004, new PoolError.QueueTimeout({ server })],
    [31005, new PoolError.ResultTooLarge({ server, maxLine: choices.below(1_000_000) })],
    [31006, new PoolError.Overloaded({ server, reason: text(choices) })]
  ]
})

/** `git`, stopped, with nothing to say, but for what is given. */
const unavailable = (over: Partial<PoolError.ServerUnavailable>) =>
  new PoolError.ServerUnavailable({
    server: "git",
    state: "stopped",
    failure: null,
    hint: null,
    nextAttemptAt: null,
    ...over
  })

/** What is said beside kind and server. */
const dataOf = (error: PoolError.RequestError): object => {
  if (error._tag === "Overloaded") return { reason: error.reason }
  if (error._tag === "ResultTooLarge") return { maxLine: error.maxLine }
  if (error._tag !== "ServerUnavailable") return {}
  const { failure, hint, nextAttemptAt, state } = error
  if (failure === null) return hint === null ? { state } : { state, hint }
  return { state, failure: { kind: failure, hint }, nextAttemptAt }
}

describe("PoolError", () => {
  describe("toWire", () => {
    it.effect.prop(
      "gives each error its code, its message, and as data its kind and its own fields",
      { errors },
      ({ errors }) =>
        Effect.sync(() => {
          for (const [code, error] of errors) {
            const wire = JSON.parse(WireError.toWire(error)) as { readonly [key: string]: unknown }
            assert.deepStrictEqual(wire, {
              code,
              message: error.message,
              data: {
                kind: error._tag,
                server: error.server,
                ...dataOf(error)
              }
            })
          }
        }),
      { arbitrary: { runs: 200 } }
    )

    it("writes one line", () => {
      const hint = "x\r\ny"
      const error = unavailable({ server: "a\nb", state: "failed", failure: "unknown", hint })
      assert.notMatch(WireError.toWire(error), /[\r\n]/)
    })

    it("tells of a server in a crash loop why, what to do and when it is tried again", () => {
      const failure = { failure: "port-in-use", hint: "end what holds port 80" }
      const data = (nextAttemptAt: string | null) =>
        JSON.parse(WireError.toWire(unavailable({ state: "crash-loop", ...failure, nextAttemptAt }))).data
      for (const nextAttemptAt of ["2026-01-01T00:05:00.000Z", null]) {
        assert.deepStrictEqual(data(nextAttemptAt), {
          kind: "ServerUnavailable",
          server: "git",
          state: "crash-loop",
          failure: { kind: "port-in-use", hint: "end what holds port 80" },
          nextAttemptAt
        })
      }
    })

    it("tells of a server that did not fail its state, and what can be done", () => {
      const error = unavailable({ state: "stopped", hint: "start it: mcp-pool start git" })
      assert.deepStrictEqual(JSON.parse(WireError.toWire(error)).data, {
        kind: "ServerUnavailable",
        server: "git",
        state: "stopped",
        hint: "start it: mcp-pool start git"
      })
    })

    it("keeps its codes out of the ranges that JSON-RPC and MCP reserve", () => {
      const error = new PoolError.OutcomeUnknown({ server: "git" })
      const { code } = JSON.parse(WireError.toWire(error)) as { readonly code: number }
      assert.isFalse(code >= -32768 && code <= -32000)
    })
  })

  it("uses JSON-RPC's own codes for its own conditions", () => {
    const { invalidParams, invalidRequest, methodNotFound, parseError } = WireError
    assert.deepStrictEqual(
      [parseError, invalidRequest, methodNotFound, invalidParams],
      [-32700, -32600, -32601, -32602]
    )
  })

  describe("messages", () => {
    it("say what is unavailable, why, what can be done, and when it is tried again", () => {
      const message = (over: Partial<PoolError.ServerUnavailable>) => unavailable(over).message
      const hint = "pick it up"
      assert.strictEqual(message({ state: "failed", failure: "permission" }), 'server "git" cannot run (permission)')
      assert.strictEqual(
        message({ state: "crash-loop", failure: "timeout", hint, nextAttemptAt: "2026-01-01T00:05:00.000Z" }),
        'server "git" is in a crash loop (timeout): pick it up; next attempt at 2026-01-01T00:05:00.000Z'
      )
      assert.strictEqual(message({ state: "stopped", hint }), 'server "git" is stopped: pick it up')
      assert.strictEqual(message({ state: "refusing", hint }), 'server "git" refuses this call: pick it up')
    })

    it("say that a restart came to nothing, and why", () => {
      const { message } = new PoolError.RestartFailed({ server: "git", reason: "it fell", hint: "pick it up" })
      assert.strictEqual(message, 'server "git" was not restarted: it fell: pick it up')
    })

    it("say which tools are missing, and name no more of them than can be read", () => {
      const message = (missing: ReadonlyArray<string>, listed: ReadonlyArray<string> | null) =>
        new PoolError.PreflightFailed({ server: "git", pid: 1, missing, listed, timedOut: false }).message
      assert.strictEqual(message(["log"], []), 'server "git" lacks tool log; it has none')
      assert.strictEqual(message(["log", "show"], ["diff"]), 'server "git" lacks tools log, show; it has diff')
      assert.strictEqual(message(["log"], null), 'server "git" did not list its tools: tool log may be missing')
      const many = Array.from({ length: 1000 }, (_, i) => `t${i}`)
      assert.match(message(["log"], many), /t18, t19 and 980 more$/)
    })

    it("say how a process ended", () => {
      const exited = (fields: { readonly exitCode: number | null; readonly signal: string | null }) =>
        new PoolError.ProcessExited({ server: "git", pid: 1, phase: "running", uptime: 1, ...fields }).message
      assert.strictEqual(exited({ exitCode: 3, signal: null }), 'server "git" exited with code 3')
      assert.strictEqual(exited({ exitCode: null, signal: "SIGKILL" }), 'server "git" was ended by SIGKILL')
      assert.strictEqual(exited({ exitCode: null, signal: null }), 'server "git" closed its stdin or stdout')
      const early = new PoolError.ProcessExited({
        server: "git",
        pid: 1,
        phase: "handshake",
        exitCode: 0,
        signal: null,
        uptime: 0
      })
      assert.strictEqual(early.message, 'server "git" exited with code 0 before it answered initialize')
    })

    it("say which servers there are where one is not", () => {
      const message = (names: ReadonlyArray<string>) => new PoolError.ServerNotFound({ server: "gti", names }).message
      assert.strictEqual(message([]), 'no server "gti": no server is configured')
      assert.strictEqual(message(["git", "time"]), 'no server "gti": there are git, time')
    })

    it("say where a mistake of the configuration is", () => {
      const file = (line: number | null) =>
        new PoolError.ConfigFileError({ file: "/p/.mcp.json", line, column: line, reason: "no value" }).message
      assert.strictEqual(file(3), "/p/.mcp.json:3:3: no value")
      assert.strictEqual(file(null), "/p/.mcp.json: no value")
      const field = new PoolError.ServerConfigError({
        server: "git",
        file: "/p/.mcp.json",
        field: "env.TOKEN",
        variable: "TOKEN",
        reason: "${TOKEN} has no value"
      })
      assert.strictEqual(field.message, '/p/.mcp.json: server "git" field "env.TOKEN": ${TOKEN} has no value')
    })

    it("keep the cause of a failed start to themselves", () => {
      const cause = new Error("spawn /x ENOENT with SECRET")
      const failed = new PoolError.SpawnFailed({ server: "git", command: "/x", code: "ENOENT", cause })
      assert.strictEqual(failed.message, 'server "git" did not start: /x: ENOENT')
    })
  })
})
