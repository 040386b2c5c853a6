import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"
import { progressLine, resultText } from "../../src/cli/call.ts"
import * as RuntimeDir from "../../src/RuntimeDir.ts"
import * as Harness from "../control/ControlHarness.ts"
import { command } from "./CommandLine.ts"

interface Message {
  readonly id?: number
  readonly method?: string
  readonly params?: Record<string, unknown>
  readonly error?: unknown
}

/** A server at its own socket, until the scope closes; what `answer` returns is written as it is. */
const serveMcp = Effect.fnUntraced(function* (socket: string, answer: (message: Message) => string) {
  const received: Array<Message> = []
  const open = new Set<Net.Socket>()
  yield* Effect.acquireRelease(
    Effect.callback<Net.Server>((resume) => {
      Fs.mkdirSync(Path.dirname(socket), { recursive: true })
      const server = Net.createServer((connection) => {
        open.add(connection)
        let text = ""
        connection.on("error", () => {})
        connection.setEncoding("utf8").on("data", (chunk) => {
          const lines = (text + chunk).split("\n")
          text = lines.pop()!
          for (const line of lines) {
            const message = JSON.parse(line)
            received.push(message)
            connection.write(answer(message))
          }
        })
      }).listen(socket, () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.sync(() => {
        server.close()
        for (const connection of open) connection.destroy()
      })
  )
  return received
})

const line = (message: object) => `${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`

/** Answers `initialize`, and `tools/call` with lines that know the request's id. */
const answering =
  (onCall: (id: number) => string) =>
  ({ id, method }: Message): string => {
    if (method === "initialize") return line({ id, result: { protocolVersion: "2025-11-25", capabilities: {} } })
    return method === "tools/call" ? onCall(id!) : ""
  }

const text = (text: string) => ({ content: [{ type: "text", text }] })

const serveAnswer = Effect.fnUntraced(function* (onCall: (id: number) => string) {
  const runtimeDir = yield* Harness.temporaryDirectory
  const received = yield* serveMcp(RuntimeDir.serverSocket(runtimeDir, "git"), answering(onCall))
  return { runtimeDir, received }
})

describe("call", () => {
  it.live("shakes hands, calls the tool and prints its text", () =>
    Effect.gen(function* () {
      const { runtimeDir, received } = yield* serveAnswer((id) => line({ id, result: text("hello\nworld") }))
      const outcome = yield* command(runtimeDir, "call", "git", "log", "--args", '{"n":1,\n"a":[]}')
      assert.deepStrictEqual(outcome, { code: 0, out: "hello\nworld", err: "" })
      assert.deepStrictEqual(
        received.map(({ method }) => method),
        ["initialize", "notifications/initialized", "tools/call"]
      )
      const { name, arguments: args } = received[2]!.params!
      assert.deepStrictEqual({ name, args }, { name: "log", args: { n: 1, a: [] } })
    })
  )

  it.live("prints each step of progress on stderr", () =>
    Effect.gen(function* () {
      const step = (params: object) => line({ method: "notifications/progress", params })
      const { runtimeDir } = yield* serveAnswer(
        (id) =>
          step({ progressToken: 2, progress: 1, total: 2, message: "half" }) +
          step({ progressToken: 2, progress: 2 }) +
          line({ id, result: text("done") })
      )
      const outcome = yield* command(runtimeDir, "call", "git", "log")
      assert.deepStrictEqual(outcome, { code: 0, out: "done", err: "progress 1/2: half\nprogress 2" })
    })
  )

  it.live("prints the result byte for byte with --json", () =>
    Effect.gen(function* () {
      const result = '{"isError" : false,"content":[ {"text":"é\\u00e9","type":"text"} ],"n":1.0}'
      const { runtimeDir } = yield* serveAnswer((id) => `{"result":${result},"id":${id},"jsonrpc":"2.0"}\n`)
      assert.strictEqual((yield* command(runtimeDir, "call", "git", "log", "--json")).out, result)
    })
  )

  it.live("fails with exit code 5 and the text of a tool that failed", () =>
    Effect.gen(function* () {
      const { runtimeDir } = yield* serveAnswer((id) =>
        line({ id, result: { ...text("no such branch"), isError: true } })
      )
      const outcome = yield* command(runtimeDir, "call", "git", "log")
      assert.deepStrictEqual(outcome, { code: 5, out: "", err: "mcp-pool: git log failed: no such branch" })
      const { code, out } = yield* command(runtimeDir, "call", "git", "log", "--json")
      assert.strictEqual(code, 5)
      assert.strictEqual(JSON.parse(out).isError, true)
    })
  )

  it.live("fails with the exit code that a JSON-RPC error stands for", () =>
    Effect.gen(function* () {
      const kinds = [undefined, "ServerUnavailable", "QueueTimeout", "RequestTimeout", "OutcomeUnknown"]
      const codes: Array<number> = []
      for (const kind of kinds) {
        const error = { code: -32602, message: "it is so", ...(kind === undefined ? {} : { data: { kind } }) }
        const { runtimeDir } = yield* serveAnswer((id) => line({ id, error }))
        const { code, err } = yield* command(runtimeDir, "call", "git", "log")
        assert.strictEqual(err, "mcp-pool: it is so")
        codes.push(code)
      }
      assert.deepStrictEqual(codes, [5, 4, 4, 1, 1])
    })
  )

  it.live("cancels the call when its time is over, with exit code 1", () =>
    Effect.gen(function* () {
      const cancelled = yield* Deferred.make<unknown>()
      const runtimeDir = yield* Harness.temporaryDirectory
      const answer = answering(() => "")
      yield* serveMcp(RuntimeDir.serverSocket(runtimeDir, "git"), (message) => {
        if (message.method === "notifications/cancelled") Deferred.doneUnsafe(cancelled, Effect.succeed(message.params))
        return answer(message)
      })
      const outcome = yield* command(runtimeDir, "call", "git", "log", "--timeout", "50ms")
      assert.deepStrictEqual(outcome, {
        code: 1,
        out: "",
        err: "mcp-pool: no answer from git log within 50ms: cancelled"
      })
      assert.deepStrictEqual(yield* Deferred.await(cancelled), { requestId: 2, reason: "timed out" })
    })
  )

  it.live("answers a ping and refuses other questions of the server", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* Harness.temporaryDirectory
      const questions = line({ id: "a", method: "ping" }) + line({ id: "b", method: "roots/list" })
      const answer = answering(() => questions)
      const received = yield* serveMcp(RuntimeDir.serverSocket(runtimeDir, "git"), (message) =>
        "error" in message ? line({ id: 2, result: text("done") }) : answer(message)
      )
      assert.strictEqual((yield* command(runtimeDir, "call", "git", "log")).out, "done")
      assert.deepStrictEqual(received.slice(3), [
        { jsonrpc: "2.0", id: "a", result: {} },
        { jsonrpc: "2.0", id: "b", error: { code: -32601, message: "mcp-pool call does not support roots/list" } }
      ] as Array<object>)
    })
  )

  it.live("finds the socket of a server that has it elsewhere", () =>
    Effect.gen(function* () {
      const directory = yield* Harness.temporaryDirectory
      const socket = Path.join(directory, "git.sock")
      yield* serveMcp(
        socket,
        answering((id) => line({ id, result: text("elsewhere") }))
      )
      const { runtimeDir } = yield* Harness.serve({ servers: [Harness.server("git", { socket })] })
      assert.strictEqual((yield* command(runtimeDir, "call", "git", "log")).out, "elsewhere")
    })
  )

  it.live("fails with exit code 4 where the server's socket is not served", () =>
    Effect.gen(function* () {
      const { runtimeDir } = yield* Harness.serve({ servers: [Harness.server("git")] })
      const { code, err } = yield* command(runtimeDir, "call", "git", "log")
      const socket = RuntimeDir.serverSocket(runtimeDir, "git")
      assert.deepStrictEqual(
        { code, err },
        { code: 4, err: `mcp-pool: server "git" cannot be reached at ${socket}: ENOENT` }
      )
    })
  )

  it.live("fails with exit code 4 where the connection is closed instead of an answer", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* Harness.temporaryDirectory
      const socket = RuntimeDir.serverSocket(runtimeDir, "git")
      yield* Effect.acquireRelease(
        Effect.callback<Net.Server>((resume) => {
          Fs.mkdirSync(Path.dirname(socket), { recursive: true })
          const server = Net.createServer((connection) => connection.end())
          server.listen(socket, () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.sync(() => server.close())
      )
      const { code, err } = yield* command(runtimeDir, "call", "git", "log")
      assert.deepStrictEqual(
        { code, err },
        { code: 4, err: `mcp-pool: server "git" cannot be reached at ${socket}: it closed the connection` }
      )
    })
  )
})

describe("resultText", () => {
  it("describes content that is no text on one line each", () => {
    const data = Buffer.alloc(12_345).toString("base64")
    assert.strictEqual(
      resultText({
        content: [
          { type: "text", text: "Here:" },
          { type: "image", data, mimeType: "image/png" },
          { type: "resource_link", uri: "file:///a.txt", mimeType: "text/plain" },
          { type: "resource", resource: { uri: "file:///b.txt", mimeType: "text/plain", text: "12345" } },
          { type: "hologram" }
        ]
      }),
      [
        "Here:",
        "[image image/png, 12 kB]",
        "[resource_link file:///a.txt text/plain]",
        "[resource file:///b.txt text/plain, 5 B]",
        "[hologram]"
      ].join("\n")
    )
  })

  it("writes structured content where there is no text", () => {
    assert.strictEqual(resultText({ content: [], structuredContent: { a: 1 } }), '{\n  "a": 1\n}')
    assert.strictEqual(resultText({ structuredContent: { a: 1 }, ...text("one") }), "one")
    assert.strictEqual(resultText({}), "")
  })
})

describe("progressLine", () => {
  it("writes what is known", () => {
    assert.strictEqual(progressLine({ progress: 0.5 }), "progress 0.5")
    assert.strictEqual(progressLine({ progress: 1, total: 4, message: "a\x1b[2J" }), "progress 1/4: a[2J")
  })
})
