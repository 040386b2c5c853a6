import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as PoolError from "../src/PoolError.ts"
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
        reason: textOrNull(choices),
        hint: textOrNull(choices)
      })
    ],
    [31002, new PoolError.OutcomeUnknown({ server })],
    [31003, new PoolError.RequestTimeout({ server })],
    [31004, new PoolError.QueueTimeout({ server })],
    [31005, new PoolError.ResultTooLarge({ server, maxLine: choices.below(1_000_000) })],
    [31006, new PoolError.Overloaded({ server, reason: text(choices) })]
  ]
})

describe("PoolError", () => {
  describe("toWire", () => {
    it.effect.prop(
      "gives each error its code, its message, and no data but kind, server and state",
      { errors },
      ({ errors }) =>
        Effect.sync(() => {
          for (const [code, error] of errors) {
            const wire = JSON.parse(PoolError.toWire(error)) as { readonly [key: string]: unknown }
            assert.deepStrictEqual(wire, {
              code,
              message: error.message,
              data: {
                kind: error._tag,
                server: error.server,
                ...(error._tag === "ServerUnavailable" ? { state: error.state } : {})
              }
            })
          }
        }),
      { arbitrary: { runs: 200 } }
    )

    it("writes one line", () => {
      const error = new PoolError.ServerUnavailable({ server: "a\nb", state: "failed", reason: "x\r\ny", hint: null })
      assert.notMatch(PoolError.toWire(error), /[\r\n]/)
    })

    it("keeps its codes out of the ranges that JSON-RPC and MCP reserve", () => {
      const error = new PoolError.OutcomeUnknown({ server: "git" })
      const { code } = JSON.parse(PoolError.toWire(error)) as { readonly code: number }
      assert.isFalse(code >= -32768 && code <= -32000)
    })
  })

  it("uses JSON-RPC's own codes for its own conditions", () => {
    const { invalidParams, invalidRequest, methodNotFound, parseError } = PoolError
    assert.deepStrictEqual(
      [parseError, invalidRequest, methodNotFound, invalidParams],
      [-32700, -32600, -32601, -32602]
    )
  })

  describe("messages", () => {
    it("say what is unavailable, why, and what can be done", () => {
      const { message } = new PoolError.ServerUnavailable({
        server: "git",
        state: "failed",
        reason: "it fell",
        hint: "pick it up"
      })
      for (const part of ['"git"', "it fell", "pick it up"]) assert.include(message, part)
    })

    it("say how a process ended", () => {
      const exited = (fields: { readonly exitCode: number | null; readonly signal: string | null }) =>
        new PoolError.ProcessExited({ server: "git", phase: "running", uptime: 1, ...fields }).message
      assert.strictEqual(exited({ exitCode: 3, signal: null }), 'server "git" exited with code 3')
      assert.strictEqual(exited({ exitCode: null, signal: "SIGKILL" }), 'server "git" was ended by SIGKILL')
      assert.strictEqual(exited({ exitCode: null, signal: null }), 'server "git" closed its stdout')
      const early = new PoolError.ProcessExited({
        server: "git",
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
