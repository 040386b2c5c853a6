/** `mcp-pool serve --http` as a process: what it says of itself, whom it serves, and how it goes. */
import { assert, describe, it } from "@effect/vitest"
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js"
import { Effect } from "effect"
import * as fs from "node:fs"
import * as RuntimeDir from "../src/RuntimeDir.ts"
import { command } from "./cli/CommandLine.ts"
import * as Spawned from "./cli/Spawned.ts"
import * as GatewayProcess from "./support/GatewayProcess.ts"
import * as HttpClient from "./support/HttpClient.ts"
import * as LineClient from "./support/LineClient.ts"
import * as TestPool from "./support/TestPool.ts"

const setUp = (...flags: ReadonlyArray<string>) =>
  GatewayProcess.start((marker) => ({ shared: TestPool.fixtures(marker).server("shared") }), flags)

describe("serve --http", () => {
  it.live("serves a client that has its token", () =>
    Effect.gen(function* () {
      const { runtimeDir, url } = yield* setUp("--http", "0")
      assert.match(url, /^http:\/\/127\.0\.0\.1:\d+$/)
      const token = fs.readFileSync(RuntimeDir.httpTokenFile(runtimeDir), "utf8").trim()
      const connect = (headers: { [name: string]: string }) => {
        const transport = new StreamableHTTPClientTransport(new URL(`${url}/servers/shared/mcp`), {
          requestInit: { headers }
        })
        const client = new Client({ name: "http-test", version: "1" })
        return Effect.as(
          Effect.tryPromise({ try: () => client.connect(transport), catch: (cause) => cause as Error }),
          client
        )
      }
      assert.include((yield* Effect.flip(connect({}))).message, "bearer token")
      const client = yield* connect({ authorization: `Bearer ${token}` })
      const { content } = yield* Effect.promise(() => client.callTool({ name: "echo", arguments: { text: "hi" } }))
      assert.deepStrictEqual(content as object, [{ type: "text", text: "hi" }])
      yield* Effect.promise(() => client.close())
    })
  )

  it.live("is gone soon after SIGTERM, with streams open", () =>
    Effect.gen(function* () {
      const { daemon, url } = yield* setUp("--http", "127.0.0.1:0", "--http-auth", "none")
      const sessions = yield* Effect.all(Array.from({ length: 20 }, () => HttpClient.begin({ url }, "shared")))
      const streams = yield* Effect.forEach(sessions, (session) => session.listen())
      const calls = yield* Effect.forEach(sessions, (session) =>
        session.postOpen(HttpClient.callOf("sleep", { label: "x" }))
      )
      for (const call of calls) yield* call.event
      const from = performance.now()
      yield* daemon.signal("SIGTERM")
      assert.strictEqual(yield* daemon.exited, 0)
      const took = performance.now() - from
      for (const stream of [...streams, ...calls]) yield* stream.ended
      // The calls are told that nobody knows what became of them.
      for (const call of calls) assert.include(call.text(), '"kind":"')
      // On a machine that has little else to do, a tenth of a second.
      assert.isBelow(took, 2000)
    })
  )

  it.live("answers over HTTP what a daemon's end leaves no time for", () =>
    Effect.gen(function* () {
      const { daemon, runtimeDir, url } = yield* setUp("--http", "127.0.0.1:0", "--http-auth", "none")
      const session = yield* HttpClient.begin({ url }, "shared")
      const calling = yield* session.postOpen(HttpClient.callOf("sleep", { millis: 700 }))
      yield* calling.event
      yield* command(runtimeDir, "shutdown", "--handover")
      yield* daemon.exited
      yield* calling.event
      assert.strictEqual(LineClient.textOf(yield* calling.message), "slept")
    })
  )

  for (const [what, flags, said] of [
    ["an address that is none", ["--http", "nowhere:http"], "PORT, HOST:PORT or [IPV6]:PORT"],
    ["an address for everybody without a token", ["--http", "0.0.0.0:0", "--http-auth", "none"], "0.0.0.0 is none"],
    ["a way to ask without a place to", ["--http-auth", "none"], "need --http"],
    ["a host that is none", ["--http", "0", "--allowed-host", "http://x/"], "the name of a host"]
  ] as const) {
    it.live(`exits with 2 for ${what}`, () =>
      Effect.gen(function* () {
        const runtimeDir = yield* TestPool.temporaryDirectory
        const { code, err } = yield* Spawned.run(["serve", "--runtime-dir", runtimeDir, ...flags])
        assert.strictEqual(code, 2)
        assert.include(err, said)
        assert.deepStrictEqual(fs.readdirSync(runtimeDir), [])
      })
    )
  }
})
