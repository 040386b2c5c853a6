/** The SDK's own client on a pooled server in the same process. */
import { assert, describe, it } from "@effect/vitest"
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js"
import { ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js"
import { Effect, Queue, type Scope } from "effect"
import type * as McpPool from "../src/McpPool.ts"
import * as Processes from "./support/Processes.ts"
import * as TestPool from "./support/TestPool.ts"

/** The members of a transport of `@modelcontextprotocol/client` 2.4, which is not installed here. */
interface Transport2 {
  start(): Promise<void>
  send(message: Message2, options?: { readonly requestSignal?: AbortSignal | undefined }): Promise<void>
  close(): Promise<void>
  readonly hasPerRequestStream?: boolean
  onclose?: (() => void) | undefined
  onerror?: ((error: Error) => void) | undefined
  onmessage?: (<M extends Message2>(message: M, extra?: { readonly request?: unknown }) => void) | undefined
  sessionId?: string | undefined
  setProtocolVersion?: ((version: string) => void) | undefined
  setSupportedProtocolVersions?: ((versions: Array<string>) => void) | undefined
}
interface Message2 {
  jsonrpc: "2.0"
  id?: string | number
  method?: string
  params?: { [key: string]: unknown }
  error?: { code: number; message: string }
}

const one = TestPool.make(({ server }) => ({ one: server("one") }))

/** A connected client, which closes with the scope. */
const connect = Effect.fnUntraced(function* (
  pool: McpPool.McpPool["Service"],
  options: ConstructorParameters<typeof Client>[1] = {}
): Effect.fn.Return<{ readonly client: Client; readonly transport: McpPool.Transport }, unknown, Scope.Scope> {
  const transport = yield* pool.transport("one")
  // It is one of the SDK's without a cast.
  const itself: Transport = transport
  const client = yield* Effect.acquireRelease(
    Effect.sync(() => new Client({ name: "sdk-client", version: "1.2.3" }, options)),
    (client) => Effect.promise(() => client.close())
  )
  yield* Effect.tryPromise(() => client.connect(itself))
  return { client, transport }
})

const call = (client: Client, name: string, args: { readonly [key: string]: unknown } = {}) =>
  Effect.map(
    Effect.tryPromise(() => client.callTool({ name, arguments: args })),
    (result) => textOf(result)
  )

const textOf = (result: object): string => (result as { readonly content: [{ readonly text: string }] }).content[0].text

const statsOf = (client: Client) =>
  Effect.map(
    call(client, "stats"),
    (text) =>
      JSON.parse(text) as {
        readonly initializations: number
        readonly cancellations: ReadonlyArray<{ readonly label: unknown }>
      }
  )

describe("McpPool.transport", () => {
  it.live("lets an SDK client list and call tools, as a session like any", () =>
    Effect.gen(function* () {
      const { pool } = yield* one
      const { client } = yield* connect(pool)
      assert.deepInclude(client.getServerVersion(), { name: "fixture" })
      const { tools } = yield* Effect.tryPromise(() => client.listTools())
      assert.deepStrictEqual(
        tools.map(({ name }) => name),
        ["echo", "sleep", "progress", "stats"]
      )
      assert.strictEqual(yield* call(client, "echo", { text: "hé 漢" }), "hé 漢")
      const [session] = yield* pool.sessions
      assert.deepInclude(session, { server: "one", client: "sdk-client", version: "1.2.3", inFlight: 0, calls: 3 })
    })
  )

  it.live("tells progress before the result", () =>
    Effect.gen(function* () {
      const { client } = yield* connect((yield* one).pool)
      const told: Array<number> = []
      const result = yield* Effect.tryPromise(() =>
        client.callTool({ name: "progress", arguments: { count: 3, label: "x" } }, undefined, {
          onprogress: ({ progress }) => told.push(progress)
        })
      )
      assert.strictEqual(textOf(result), "x")
      assert.deepStrictEqual(told, [1, 2, 3])
    })
  )

  it.live("cancels at the server what its client aborts", () =>
    Effect.gen(function* () {
      const { client } = yield* connect((yield* one).pool)
      const abort = new AbortController()
      const error = yield* Effect.flip(
        Effect.tryPromise(() =>
          client.callTool({ name: "sleep", arguments: { label: "a" } }, undefined, {
            signal: abort.signal,
            onprogress: () => abort.abort("enough")
          })
        )
      )
      assert.include(String(error.cause), "enough")
      assert.deepStrictEqual(
        (yield* statsOf(client)).cancellations.map(({ label }) => label),
        ["a"]
      )
    })
  )

  it.live("tells when the server's list of tools has changed", () =>
    Effect.gen(function* () {
      const changed = yield* Queue.unbounded<ReadonlyArray<string>>()
      const { client } = yield* connect((yield* one).pool, {
        listChanged: {
          tools: {
            debounceMs: 0,
            onChanged: (_, tools) =>
              void Queue.offerUnsafe(
                changed,
                (tools ?? []).map(({ name }) => name)
              )
          }
        }
      })
      yield* call(client, "add_tool", { name: "length" })
      assert.include(yield* Queue.take(changed), "length")
    })
  )

  it.live("asks its client what the server asks, amidst a call", () =>
    Effect.gen(function* () {
      const { client } = yield* connect((yield* one).pool, { capabilities: { elicitation: {} } })
      client.setRequestHandler(ElicitRequestSchema, ({ params }) => ({
        action: "accept",
        content: { said: params.message }
      }))
      const requestedSchema = { type: "object", properties: { said: { type: "string" } } }
      const params = { message: "Who is it?", requestedSchema }
      const answer = JSON.parse(yield* call(client, "ask", { method: "elicitation/create", params })) as {
        readonly result: unknown
      }
      assert.deepStrictEqual(answer.result, { action: "accept", content: { said: "Who is it?" } })
    })
  )

  it.live("gives each of two clients with equal ids its own answers, from one process", () =>
    Effect.gen(function* () {
      const { marker, pool } = yield* one
      const [{ client: first }, { client: second }] = yield* Effect.all([connect(pool), connect(pool)])
      const texts = Array.from({ length: 50 }, (_, i): [string, string] => [`first ${i}`, `second ${i}`])
      const answers = yield* Effect.forEach(
        texts,
        ([a, b]) => Effect.all([call(first, "echo", { text: a }), call(second, "echo", { text: b })]),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(answers, texts)
      assert.strictEqual((yield* statsOf(first)).initializations, 1)
      assert.lengthOf(yield* Processes.withMarker(marker), 1)
      const sessions = yield* pool.sessions
      assert.lengthOf(new Set(sessions.map(({ id }) => id)), 2)
    })
  )

  it.live("ends the session when its client closes, and cancels its calls at the server", () =>
    Effect.gen(function* () {
      const { pool } = yield* one
      const { client } = yield* connect(pool)
      const { client: other } = yield* connect(pool)
      const began = Promise.withResolvers<void>()
      const pending = client
        .callTool({ name: "sleep", arguments: { label: "left" } }, undefined, { onprogress: () => began.resolve() })
        .catch(String)
      yield* Effect.promise(() => began.promise)
      yield* Effect.promise(() => client.close())
      assert.include(yield* Effect.promise(() => pending), "Connection closed")
      assert.lengthOf(yield* pool.sessions, 1)
      assert.deepStrictEqual(
        (yield* statsOf(other)).cancellations.map(({ label }) => label),
        ["left"]
      )
    })
  )

  it.live("stays open while its server crashes and comes again", () =>
    Effect.gen(function* () {
      const { pool, states } = yield* one
      const { client } = yield* connect(pool)
      const error = yield* Effect.flip(call(client, "exit", { code: 1 }))
      assert.include(String(error.cause), "it may have run, or not")
      assert.strictEqual(yield* call(client, "echo", { text: "again" }), "again")
      assert.strictEqual((yield* states.reached("one", "running", 2)).to, "running")
    })
  )

  it.live("closes with its pool, before the servers, and leaves no process", () =>
    Effect.gen(function* () {
      const { close, marker, pool } = yield* one
      const { client, transport } = yield* connect(pool)
      const [pid] = yield* Processes.withMarker(marker)
      const closed = Promise.withResolvers<boolean>()
      client.onclose = () => closed.resolve(process.kill(pid!, 0))
      const faulty = yield* pool.transport("one")
      faulty.onclose = () => {
        throw new Error("a bug of the application")
      }
      yield* Effect.promise(faulty.start)
      const pending = client.callTool({ name: "sleep", arguments: {} }).catch(String)
      yield* close
      assert.isTrue(yield* Effect.promise(() => closed.promise))
      assert.include(yield* Effect.promise(() => pending), "Connection closed")
      assert.deepStrictEqual(yield* Processes.withMarker(marker), [])
      assert.isFalse(yield* Processes.isAlive(pid!))
      const late = yield* pool.transport("one")
      for (const start of [late.start, transport.start]) {
        yield* Effect.flip(Effect.tryPromise(start))
      }
    })
  )

  it.live("bears a probe that does not say who asks, and another start, as SDK 2 has it", () =>
    Effect.gen(function* () {
      const { pool } = yield* one
      const transport: Transport2 = yield* pool.transport("one")
      const probed = Promise.withResolvers<Message2>()
      transport.onmessage = probed.resolve
      yield* Effect.promise(() => transport.start())
      yield* Effect.promise(() =>
        transport.send({ jsonrpc: "2.0", id: "server-discover-probe-1", method: "server/discover", params: {} })
      )
      const { error, id } = yield* Effect.promise(() => probed.promise)
      assert.deepStrictEqual([id, error?.code], ["server-discover-probe-1", -32602])
      // It takes the open transport over, and its protocol starts every transport.
      transport.onmessage = undefined
      transport.start = () => Promise.resolve()
      const client = new Client({ name: "sdk-client", version: "1.2.3" })
      yield* Effect.tryPromise(() => client.connect(transport as Transport))
      assert.strictEqual(yield* call(client, "echo", { text: "hi" }), "hi")
      yield* Effect.promise(() => client.close())
      assert.deepStrictEqual(yield* pool.sessions, [])
    })
  )

  it.live("is there for configured servers alone", () =>
    Effect.gen(function* () {
      const { pool } = yield* one
      const error = yield* Effect.flip(pool.transport("two"))
      assert.strictEqual(error._tag, "ServerNotFound")
    })
  )
})
