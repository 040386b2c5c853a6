/**
 * Hosts of both eras over the executable's `connect` and over a Unix socket, on servers of both: SDK 2 as it is told to
 * speak, SDK 1 as it can.
 */
import { assert, describe, it } from "@effect/vitest"
import { StdioClientTransport as Stdio2 } from "@modelcontextprotocol/client/stdio"
import { StdioClientTransport as Stdio1 } from "@modelcontextprotocol/sdk/client/stdio.js"
import { Effect, Queue, type Scope } from "effect"
import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as RuntimeDir from "../src/RuntimeDir.ts"
import { watched } from "./fixtures/conformance/content.ts"
import * as EraClient from "./support/EraClient.ts"
import * as Processes from "./support/Processes.ts"
import * as TestPool from "./support/TestPool.ts"

const bin = fileURLToPath(new URL("../dist/bin/bin.js", import.meta.url))
const everything = fileURLToPath(
  new URL("../node_modules/@modelcontextprotocol/server-everything/dist/index.js", import.meta.url)
)

/** A pool with a fixture of each era, and a server that many hosts have. */
const pool = TestPool.make(({ marker }) => ({
  legacy: EraClient.fixture("legacy", marker),
  modern: EraClient.fixture("modern", marker),
  own: EraClient.fixture("legacy", `${marker}-own`, { sharing: "per-session" }),
  "own-modern": EraClient.fixture("modern", `${marker}-own`, { sharing: "per-session" }),
  everything: { command: process.execPath, args: [everything, "stdio", marker] }
}))

/** What a host that knows only commands runs. */
const command = (runtimeDir: string, server: string) => ({
  command: process.execPath,
  args: [bin, "connect", server, "--runtime-dir", runtimeDir],
  env: { HOME: runtimeDir, PATH: process.env["PATH"] ?? "" },
  stderr: "pipe" as const
})

/** A Unix socket as the SDKs take it. */
const socketTransport = (socketPath: string): object => {
  const socket = net.connect(socketPath)
  let rest = ""
  const transport: {
    onmessage?: (message: object) => void
    onclose?: () => void
    start: () => Promise<void>
    send: (message: object) => Promise<void>
    close: () => Promise<void>
  } = {
    start: () =>
      new Promise((resolve, reject) => {
        socket.setEncoding("utf8")
        socket.once("connect", resolve).once("error", reject)
        socket.on("close", () => transport.onclose?.())
        socket.on("data", (chunk: string) => {
          const lines = (rest + chunk).split("\n")
          rest = lines.pop() ?? ""
          for (const line of lines) transport.onmessage?.(JSON.parse(line) as object)
        })
      }),
    send: async (message) => void socket.write(`${JSON.stringify(message)}\n`),
    close: async () => void socket.destroy()
  }
  return transport
}

const asks = (client: {
  callTool(params: { name: string; arguments?: { [name: string]: unknown } }): Promise<object>
}): Effect.Effect<void> =>
  Effect.gen(function* () {
    const result = yield* Effect.promise(() =>
      client.callTool({ name: "test_elicitation", arguments: { message: "Who?" } })
    )
    assert.include(EraClient.textOf(result), "action=accept")
    const rounds = yield* Effect.promise(() => client.callTool({ name: "test_input_required_result_multi_round" }))
    assert.strictEqual(EraClient.textOf(rounds), "a name likes a color")
  })

const servers = ["legacy", "modern", "own", "own-modern"] as const

describe.each(servers)("connect, to the %s server", (server) => {
  it.live("gives a host of SDK 2 what it asks for, in each mode", () =>
    Effect.gen(function* () {
      const { runtimeDir } = yield* pool
      for (const mode of ["legacy", "auto", "modern"] as const) {
        const client = yield* EraClient.connect2(new Stdio2(command(runtimeDir, server)), mode)
        assert.strictEqual(client.getProtocolEra(), mode === "legacy" ? "legacy" : "modern")
        yield* asks(client)
      }
    })
  )

  it.live("gives a host of SDK 1 the same", () =>
    Effect.gen(function* () {
      const { runtimeDir } = yield* pool
      yield* asks(yield* EraClient.connect1(new Stdio1(command(runtimeDir, server))))
    })
  )
})

describe.each(servers)("a Unix socket, of the %s server", (server) => {
  it.live("carries modern requests as they are", () =>
    Effect.gen(function* () {
      const { pool: made, runtimeDir } = yield* pool
      const transport = socketTransport(RuntimeDir.serverSocket(runtimeDir, server))
      const client = yield* EraClient.connect2(transport, "modern")
      yield* asks(client)
      const changes = yield* Queue.unbounded<string>()
      const method = "notifications/resources/updated"
      client.setNotificationHandler(method, () => void Queue.offerUnsafe(changes, method))
      yield* Effect.promise(() => client.listen({ resourceSubscriptions: [watched] }))
      yield* Effect.promise(() => client.callTool({ name: "test_trigger_resource_change" }))
      assert.strictEqual(yield* Queue.take(changes), method)
      // One session, whatever it is made of.
      const sessions = (yield* made.sessions).filter((session) => session.server === server)
      assert.lengthOf(sessions, 1)
    })
  )
})

describe("server-everything", () => {
  it.live("is what it is to modern clients too", () =>
    Effect.gen(function* () {
      const { runtimeDir } = yield* pool
      const transport = socketTransport(RuntimeDir.serverSocket(runtimeDir, "everything"))
      const client = yield* EraClient.connect2(transport, "auto")
      assert.strictEqual(client.getProtocolEra(), "modern")
      const { tools } = yield* Effect.promise(() => client.listTools())
      assert.isAbove(tools.length, 5)
      const echo = yield* Effect.promise(() => client.callTool({ name: "echo", arguments: { message: "hé 漢" } }))
      assert.strictEqual(EraClient.textOf(echo), "Echo: hé 漢")
      const { resources } = yield* Effect.promise(() => client.listResources())
      yield* Effect.promise(() => client.readResource({ uri: resources[0]!.uri }))
      const { prompts } = yield* Effect.promise(() => client.listPrompts())
      assert.isNotEmpty(prompts)
    })
  )
})

describe("a server that was found to be modern", () => {
  it.live("is asked server/discover at once by the next daemon", () =>
    Effect.gen(function* () {
      const runtimeDir = yield* TestPool.temporaryDirectory
      const script = path.join(runtimeDir, "server.mjs")
      fs.writeFileSync(script, asksOnce)
      const log = path.join(runtimeDir, "asked")
      const options = { runtimeDir, remembers: true, marker: "fixture-once-modern" }
      const servers = () => ({ once: { command: process.execPath, args: [script, log] } })
      for (const asked of ["initialize,server/discover", "server/discover"]) {
        fs.writeFileSync(log, "")
        const made: Effect.Effect<void, never, Scope.Scope> = Effect.flatMap(TestPool.make(servers, options), (pool) =>
          Effect.map(pool.pool.isRunning("once"), (isRunning) => assert.isTrue(isRunning))
        ) as Effect.Effect<void, never, Scope.Scope>
        yield* Effect.scoped(made)
        assert.strictEqual(
          fs.readFileSync(log, "utf8").trim().split("\n").slice(0, asked.split(",").length).join(","),
          asked
        )
      }
      yield* Effect.orDie(Processes.gone(script))
    })
  )
})

/** A modern server by hand, which keeps what it was asked. */
const asksOnce = `
import { appendFileSync } from "node:fs"
import { createInterface } from "node:readline"
const say = (message) => process.stdout.write(JSON.stringify({ jsonrpc: "2.0", ...message }) + "\\n")
createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, method } = JSON.parse(line)
  if (id === undefined) return
  appendFileSync(process.argv[2], method + "\\n")
  if (method !== "server/discover") return say({ id, error: { code: -32022, message: "Unsupported protocol version" } })
  say({ id, result: { resultType: "complete", supportedVersions: ["2026-07-28"], capabilities: {}, ttlMs: 0, cacheScope: "private" } })
})
`
