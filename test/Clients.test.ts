/**
 * The clients that people have, on `mcp-pool serve --http` as a process: both SDKs over HTTP, over `http.sock` and over
 * `connect`, and the Inspector's command line.
 */
import { assert, describe, it } from "@effect/vitest"
import { type Client as Client2, StreamableHTTPClientTransport as Http2 } from "@modelcontextprotocol/client"
import { StdioClientTransport as Stdio2 } from "@modelcontextprotocol/client/stdio"
import type { Client as Client1 } from "@modelcontextprotocol/sdk/client/index.js"
import { StdioClientTransport as Stdio1 } from "@modelcontextprotocol/sdk/client/stdio.js"
import { StreamableHTTPClientTransport as Http1 } from "@modelcontextprotocol/sdk/client/streamableHttp.js"
import {
  CallToolResultSchema,
  ResourceUpdatedNotificationSchema,
  ToolListChangedNotificationSchema
} from "@modelcontextprotocol/sdk/types.js"
import { Deferred, Effect, Exit, Queue, type Scope } from "effect"
import { execFile } from "node:child_process"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as RuntimeDir from "../src/RuntimeDir.ts"
import { command } from "./cli/CommandLine.ts"
import { watched } from "./fixtures/conformance/content.ts"
import * as EraClient from "./support/EraClient.ts"
import * as GatewayProcess from "./support/GatewayProcess.ts"
import * as SocketFetch from "./support/SocketFetch.ts"
import * as TestPool from "./support/TestPool.ts"

const bin = fileURLToPath(new URL("../dist/bin/bin.js", import.meta.url))
const inspector = fileURLToPath(
  new URL("../node_modules/@modelcontextprotocol/inspector-cli/build/index.js", import.meta.url)
)

const gateway = GatewayProcess.start((marker) => ({
  legacy: EraClient.fixture("legacy", marker),
  modern: EraClient.fixture("modern", marker),
  shared: TestPool.fixtures(marker).server("shared"),
  everything: GatewayProcess.everything(marker)
}))
type Gateway = GatewayProcess.GatewayProcess

const bridge = ({ runtimeDir }: Gateway, server: string) => ({
  command: process.execPath,
  args: [bin, "connect", server, "--runtime-dir", runtimeDir],
  env: { HOME: runtimeDir, PATH: process.env["PATH"] ?? "" },
  stderr: "pipe" as const
})

/** With its token, over the fetch that is given. */
const over = (gateway: Gateway, server: string, fetch?: typeof globalThis.fetch) => {
  const { headers, url } = gateway.of(server)
  const options = { requestInit: { headers }, ...(fetch === undefined ? {} : { fetch }) }
  return { one: () => new Http1(url, options), two: () => new Http2(url, options) }
}

type Ways = (gateway: Gateway, server: string) => { readonly one: () => object; readonly two: () => object }
const ways: ReadonlyArray<readonly [string, Ways]> = [
  ["HTTP", (gateway, server) => over(gateway, server)],
  [
    "http.sock",
    (gateway, server) => {
      const fetch = SocketFetch.make(RuntimeDir.httpSocket(gateway.runtimeDir)) as typeof globalThis.fetch
      const url = new URL(`http://localhost/servers/${server}/mcp`)
      return { one: () => new Http1(url, { fetch }), two: () => new Http2(url, { fetch }) }
    }
  ],
  [
    "connect",
    (gateway, server) => ({
      one: () => new Stdio1(bridge(gateway, server)),
      two: () => new Stdio2(bridge(gateway, server))
    })
  ]
]

interface AnyClient {
  listTools(): Promise<{ readonly tools: ReadonlyArray<{ readonly name: string }> }>
  callTool(params: { readonly name: string; readonly arguments?: { [name: string]: unknown } }): Promise<object>
}

/** Lists, calls, and is asked; the tools that ask and what they say are the fixture's own. */
const works = (client: AnyClient, what: string) =>
  Effect.gen(function* () {
    const call = (name: string, args: { [name: string]: unknown } = {}) =>
      Effect.map(
        Effect.promise(() => client.callTool({ name, arguments: args })),
        EraClient.textOf
      )
    const { tools } = yield* Effect.promise(() => client.listTools())
    assert.include(
      tools.map(({ name }) => name),
      "test_simple_text",
      what
    )
    assert.include(yield* call("test_simple_text"), "simple text", what)
    for (const name of ["test_elicitation", "test_sampling", "test_input_required_result_multi_round"]) {
      const [args, text] = EraClient.asked[name]!
      assert.strictEqual(yield* call(name, args), text, `${what}, ${name}`)
    }
  })

describe.each(ways)("over %s", (_, way) => {
  it.live(
    "clients of both SDKs, in each mode, have what servers of both eras give",
    () =>
      Effect.gen(function* () {
        const it = yield* gateway
        for (const server of ["legacy", "modern"]) {
          const { one, two } = way(it, server)
          const first = yield* EraClient.connect1(one())
          yield* works(first, `SDK 1, ${server}`)
          yield* progresses(first, () => first.callTool(telling, CallToolResultSchema, { onprogress: () => {} }))
          for (const mode of ["legacy", "auto", "modern"] as const) {
            const client = yield* EraClient.connect2(two(), mode)
            assert.strictEqual(client.getProtocolEra(), mode === "legacy" ? "legacy" : "modern")
            yield* works(client, `SDK 2, ${mode}, ${server}`)
            yield* progresses(client, () => client.callTool(telling, { onprogress: () => {} }))
          }
        }
      }),
    60_000
  )
})

const telling = { name: "test_tool_with_progress" }

/** What came, since SDK 1 drops progress that comes with the answer. */
const progresses = (client: Client1 | Client2, call: () => Promise<unknown>) =>
  Effect.gen(function* () {
    const said = EraClient.record(client)
    yield* Effect.promise(call)
    assert.deepStrictEqual(
      said.flatMap(({ params }) => params?.progress ?? []),
      [0, 50, 100]
    )
  })

/** A fetch whose streams can be cut off as a lost network does. */
const fragile = () => {
  const open = new Set<AbortController>()
  const fetch: typeof globalThis.fetch = (url, init = {}) => {
    const controller = new AbortController()
    open.add(controller)
    const signals = [controller.signal, ...(init.signal ? [init.signal] : [])]
    return globalThis.fetch(url, { ...init, signal: AbortSignal.any(signals) })
  }
  const cut = Effect.sync(() => {
    for (const controller of open) controller.abort()
    open.clear()
  })
  return { fetch, cut }
}

const echo = (client: AnyClient, text: string) =>
  Effect.map(
    Effect.promise(() => client.callTool({ name: "echo", arguments: { text } })),
    (result) => assert.strictEqual(EraClient.textOf(result), text)
  )

const sessionsOf = ({ runtimeDir }: Gateway) =>
  Effect.map(command(runtimeDir, "sessions", "--json"), ({ out }) => JSON.parse(out) as ReadonlyArray<unknown>)

describe("a client of SDK 1 over HTTP", () => {
  it.live("hears over its GET stream of lists that change and of what it has subscribed to", () =>
    Effect.gen(function* () {
      const it = yield* gateway
      const client = yield* EraClient.connect1(over(it, "legacy").one())
      const heard = yield* Queue.unbounded<string>()
      client.setNotificationHandler(
        ToolListChangedNotificationSchema,
        ({ method }) => void Queue.offerUnsafe(heard, method)
      )
      client.setNotificationHandler(
        ResourceUpdatedNotificationSchema,
        ({ params }) => void Queue.offerUnsafe(heard, params.uri)
      )
      yield* Effect.promise(() => client.subscribeResource({ uri: watched }))
      yield* Effect.promise(() => client.callTool({ name: "test_trigger_resource_change" }))
      assert.strictEqual(yield* Queue.take(heard), watched)
      yield* Effect.promise(() => client.unsubscribeResource({ uri: watched }))
      yield* Effect.promise(() => client.callTool({ name: "test_trigger_resource_change" }))
      yield* Effect.promise(() => client.callTool({ name: "test_trigger_tool_change" }))
      assert.strictEqual(yield* Queue.take(heard), "notifications/tools/list_changed")
    })
  )

  it.live("has the answer to a call whose stream broke, and what else came meanwhile", () =>
    Effect.gen(function* () {
      const it = yield* gateway
      const { cut, fetch } = fragile()
      const client = yield* EraClient.connect1(over(it, "shared", fetch).one())
      const other = yield* EraClient.connect1(over(it, "shared").one())
      const changed = yield* Deferred.make<void>()
      client.setNotificationHandler(ToolListChangedNotificationSchema, () => {
        Deferred.doneUnsafe(changed, Exit.void)
      })
      const calling = yield* longCall(client)
      yield* cut
      yield* Effect.promise(() => other.callTool({ name: "add_tool", arguments: { name: "new" } }))
      yield* Effect.promise(() => other.callTool({ name: "wake", arguments: { label: "x" } }))
      assert.strictEqual(EraClient.textOf(yield* calling.answer), "woken")
      yield* Deferred.await(changed)
      yield* echo(client, "and goes on")
    })
  )

  it.live("cancels its own call, and no other", () =>
    Effect.gen(function* () {
      const it = yield* gateway
      const client = yield* EraClient.connect1(over(it, "shared").one())
      const other = yield* EraClient.connect1(over(it, "shared").one())
      const kept = yield* longCall(other, "kept")
      const calling = yield* longCall(client, "gone")
      yield* calling.cancel
      const until = yield* Effect.promise(() =>
        client.callTool({ name: "until", arguments: { list: "cancellations", count: 1 } })
      )
      const [{ label }] = JSON.parse(EraClient.textOf(until)) as [{ readonly label: unknown }]
      assert.strictEqual(label, "gone")
      yield* Effect.promise(() => client.callTool({ name: "wake", arguments: { label: "kept" } }))
      assert.strictEqual(EraClient.textOf(yield* kept.answer), "woken")
    })
  )

  it.live("ends its session, is told 404 where another has, and begins again", () =>
    Effect.gen(function* () {
      const it = yield* gateway
      const { headers, url } = it.of("shared")
      const first = over(it, "shared").one()
      const client = yield* EraClient.connect1(first)
      yield* echo(client, "one")
      const ended = yield* Effect.promise(() =>
        fetch(url, { method: "DELETE", headers: { ...headers, "mcp-session-id": first.sessionId! } })
      )
      assert.strictEqual(ended.status, 200)
      const failure = yield* EraClient.failureOf(() => client.listTools())
      assert.strictEqual(failure.code, 404)
      const second = over(it, "shared").one()
      yield* echo(yield* EraClient.connect1(second), "two")
      assert.lengthOf(yield* sessionsOf(it), 1)
      yield* Effect.promise(() => second.terminateSession())
      assert.deepStrictEqual(yield* sessionsOf(it), [])
    })
  )
})

/** A call that lasts until it is woken, and has reached the server. */
const longCall = (client: Client1, label = "x") =>
  Effect.callback<{ readonly answer: Effect.Effect<object>; readonly cancel: Effect.Effect<void> }>((resume) => {
    const controller = new AbortController()
    const outcome = client
      .callTool({ name: "sleep", arguments: { label } }, CallToolResultSchema, {
        signal: controller.signal,
        onprogress: () =>
          resume(
            Effect.succeed({ answer: Effect.promise(() => outcome), cancel: Effect.sync(() => controller.abort()) })
          )
      })
      .catch((error: unknown) => ({ error }))
  })

/** Runs the Inspector; its folder has to be where it is run, since it looks for its own version there. */
const inspect = (home: string, ...args: ReadonlyArray<string>): Effect.Effect<Inspected, never, Scope.Scope> =>
  Effect.callback((resume) => {
    const child = execFile(
      process.execPath,
      [inspector, ...args],
      { cwd: path.dirname(inspector), env: { HOME: home, PATH: process.env["PATH"] } },
      (error, out, err) => resume(Effect.succeed({ isDone: error === null, out, err }))
    )
    return Effect.sync(() => child.kill("SIGKILL"))
  })
interface Inspected {
  readonly isDone: boolean
  readonly out: string
  readonly err: string
}

describe("the Inspector's command line", () => {
  it.live(
    "lists and calls over HTTP, with the token, and over connect",
    () =>
      Effect.gen(function* () {
        const it = yield* gateway
        const { headers, url } = it.of("everything")
        const overHttp = [url.href, "--transport", "http"]
        const token = ["--header", `Authorization: ${headers["authorization"]}`]
        const flags = ["--", "--runtime-dir", it.runtimeDir]
        const list = ["--method", "tools/list"]
        const call = ["--method", "tools/call", "--tool-name", "echo", "--tool-arg", "message=hé 漢"]
        for (const [before, after] of [
          [[...overHttp, ...token], []],
          [[process.execPath, bin, "connect", "everything"], flags]
        ]) {
          const listed = yield* inspect(it.runtimeDir, ...before!, ...list, ...after!)
          assert.isTrue(listed.isDone, listed.err)
          const { tools } = JSON.parse(listed.out) as { readonly tools: ReadonlyArray<{ readonly name: string }> }
          assert.include(
            tools.map(({ name }) => name),
            "echo"
          )
          const called = yield* inspect(it.runtimeDir, ...before!, ...call, ...after!)
          assert.isTrue(called.isDone, called.err)
          assert.strictEqual(EraClient.textOf(JSON.parse(called.out) as object), "Echo: hé 漢")
        }
        const refused = yield* inspect(it.runtimeDir, ...overHttp, ...list)
        assert.isFalse(refused.isDone)
        assert.include(refused.err, "bearer token")
      }),
    60_000
  )
})
