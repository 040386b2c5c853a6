/** The conformance fixture by itself, in both eras: what the suites are run against has to be what it says it is. */
import { assert, describe, it } from "@effect/vitest"
import { Client as Client2, type ClientOptions as ClientOptions2 } from "@modelcontextprotocol/client"
import { StdioClientTransport as Stdio2 } from "@modelcontextprotocol/client/stdio"
import { Client as Client1 } from "@modelcontextprotocol/sdk/client/index.js"
import { StdioClientTransport as Stdio1 } from "@modelcontextprotocol/sdk/client/stdio.js"
import { StreamableHTTPClientTransport as Http1 } from "@modelcontextprotocol/sdk/client/streamableHttp.js"
import * as Types1 from "@modelcontextprotocol/sdk/types.js"
import { Effect, Queue, type Scope } from "effect"
import { randomUUID } from "node:crypto"
import * as path from "node:path"
import { askingPrompt, askingTools } from "./fixtures/conformance/asking.ts"
import { prompts, resources, watched } from "./fixtures/conformance/content.ts"
import { type Era, serve } from "./fixtures/conformance/http.ts"
import { tools } from "./fixtures/conformance/tools.ts"
import * as Processes from "./support/Processes.ts"

const client = { name: "conformance-fixture-test", version: "1.0.0" }
const everything = { sampling: {}, elicitation: {}, roots: {} }

/** How a fixture is started, with a marker: when the scope closes, nothing may carry it. */
const command = Effect.fnUntraced(function* (
  era: Era
): Effect.fn.Return<{ command: string; args: Array<string> }, never, Scope.Scope> {
  const marker = `fixture-${randomUUID()}`
  yield* Effect.addFinalizer(() => Effect.orDie(Processes.gone(marker)))
  const script = path.join(import.meta.dirname, `fixtures/conformance/${era}.ts`)
  return { command: process.execPath, args: [script, marker] }
})

const closing = <C extends { readonly close: () => Promise<void> }>(client: C) =>
  Effect.acquireRelease(Effect.succeed(client), (client) => Effect.promise(() => client.close()))

/** A client of SDK 1 on the legacy fixture, which answers all questions where it can be asked. */
const connect1 = Effect.fnUntraced(function* (
  capabilities: Types1.ClientCapabilities = everything
): Effect.fn.Return<Client1, never, Scope.Scope> {
  const transport = new Stdio1(yield* command("legacy"))
  const it = yield* closing(new Client1(client, { capabilities }))
  if (capabilities.elicitation) {
    it.setRequestHandler(Types1.ElicitRequestSchema, ({ params }) => ({ action: "accept", content: filled(params) }))
  }
  if (capabilities.sampling) it.setRequestHandler(Types1.CreateMessageRequestSchema, () => ({ ...said }))
  if (capabilities.roots) it.setRequestHandler(Types1.ListRootsRequestSchema, () => ({ roots: [...roots] }))
  yield* Effect.promise(() => it.connect(transport))
  return it
})

/** The same of SDK 2 on the modern one. */
const connect2 = Effect.fnUntraced(function* (
  options: ClientOptions2 = {}
): Effect.fn.Return<Client2, never, Scope.Scope> {
  const transport = new Stdio2(yield* command("modern"))
  const versionNegotiation = { mode: { pin: "2026-07-28" } } as const
  const it = yield* closing(new Client2(client, { capabilities: everything, versionNegotiation, ...options }))
  const { elicitation, sampling } = options.capabilities ?? everything
  if (elicitation) {
    it.setRequestHandler("elicitation/create", ({ params }) => ({ action: "accept", content: filled(params) }))
  }
  if (sampling) it.setRequestHandler("sampling/createMessage", () => ({ ...said }))
  if (elicitation) it.setRequestHandler("roots/list", () => ({ roots: [...roots] }))
  yield* Effect.promise(() => it.connect(transport))
  return it
})

const said = { role: "assistant", content: { type: "text", text: "Paris" }, model: "test" } as const
const roots = [{ uri: "file:///test/root" }]

/** A form with all that it requires. */
const filled = (params: object): { [name: string]: string | boolean } => {
  const { properties, required } = (
    params as {
      readonly requestedSchema: {
        readonly properties: { readonly [name: string]: { readonly type: string } }
        readonly required: ReadonlyArray<string>
      }
    }
  ).requestedSchema
  return Object.fromEntries(required.map((name) => [name, properties[name]!.type === "boolean" ? true : `a ${name}`]))
}

const textOf = (result: object): string => (result as { readonly content: [{ readonly text: string }] }).content[0].text

/** What each tool that asks needs, and what it says in the end. */
const asked: { readonly [tool: string]: readonly [args: { [name: string]: string }, text: string] } = {
  test_sampling: [{ prompt: "Say it" }, "LLM response: Paris"],
  test_elicitation: [
    { message: "Who?" },
    'User response: action=accept, content={"username":"a username","email":"a email"}'
  ],
  test_elicitation_sep1034_defaults: [{}, "Elicitation completed: action=accept, content={}"],
  test_elicitation_sep1330_enums: [{}, "Elicitation completed: action=accept, content={}"],
  test_streaming_elicitation: [{}, 'Went on: action=accept, content={"ok":true}'],
  test_missing_capability: [{}, "Paris"],
  test_input_required_result_elicitation: [{}, "Hello, a name!"],
  test_input_required_result_sampling: [{}, "Paris"],
  test_input_required_result_list_roots: [{}, 'The roots are [{"uri":"file:///test/root"}]'],
  test_input_required_result_request_state: [{}, 'state-ok: action=accept, content={"ok":true}'],
  test_input_required_result_tampered_state: [{}, 'The state is as it was: action=accept, content={"ok":true}'],
  test_input_required_result_multiple_inputs: [{}, 'Paris a name at [{"uri":"file:///test/root"}]'],
  test_input_required_result_multi_round: [{}, "a name likes a color"],
  test_input_required_result_capabilities: [{}, "Asked client_roots, greeting, user_name"]
}

const toolNames = [...tools, ...askingTools].map(({ name }) => name)
const promptNames = [...prompts, askingPrompt].map(({ name }) => name)

/** What clients of both SDKs do in one way. */
interface Client {
  listTools(): Promise<{ tools: ReadonlyArray<{ readonly name: string; readonly inputSchema: object }> }>
  listPrompts(): Promise<{ prompts: ReadonlyArray<{ readonly name: string }> }>
  listResources(): Promise<{ resources: ReadonlyArray<{ readonly uri: string }> }>
  listResourceTemplates(): Promise<{ resourceTemplates: ReadonlyArray<object> }>
  callTool(params: { name: string; arguments?: { [name: string]: unknown } }): Promise<object>
  getPrompt(params: { name: string }): Promise<object>
  complete(params: Types1.CompleteRequest["params"]): Promise<Types1.CompleteResult>
}

const lists = Effect.fnUntraced(function* (client: Client) {
  const listed = yield* Effect.promise(() => client.listTools())
  assert.deepStrictEqual(
    listed.tools.map(({ name }) => name),
    toolNames
  )
  const schema = listed.tools.find(({ name }) => name === "json_schema_2020_12_tool")?.inputSchema
  assert.deepStrictEqual(schema, tools.find(({ name }) => name === "json_schema_2020_12_tool")?.inputSchema)
  assert.deepStrictEqual(
    (yield* Effect.promise(() => client.listPrompts())).prompts.map(({ name }) => name),
    promptNames
  )
  assert.deepStrictEqual(
    (yield* Effect.promise(() => client.listResources())).resources.map(({ uri }) => uri),
    resources.map(({ uri }) => uri)
  )
  assert.lengthOf((yield* Effect.promise(() => client.listResourceTemplates())).resourceTemplates, 1)
  const ref = { type: "ref/prompt" as const, name: "test_prompt_with_arguments" }
  const argument = { name: "arg1", value: "par" }
  const { completion } = yield* Effect.promise(() => client.complete({ ref, argument }))
  assert.deepStrictEqual(completion.values, ["paris", "park", "party"])
})

const asks = Effect.fnUntraced(function* (client: Client) {
  assert.sameMembers(
    Object.keys(asked),
    askingTools.map(({ name }) => name)
  )
  for (const [name, [args, text]] of Object.entries(asked)) {
    assert.strictEqual(textOf(yield* Effect.promise(() => client.callTool({ name, arguments: args }))), text)
  }
  const { messages } = (yield* Effect.promise(() => client.getPrompt({ name: askingPrompt.name }))) as {
    readonly messages: [{ readonly content: { readonly text: string } }]
  }
  assert.strictEqual(messages[0].content.text, "The context is a context")
})

/** The code of what it fails with. */
const codeOf = (attempt: () => Promise<unknown>): Effect.Effect<unknown> =>
  Effect.promise(() =>
    attempt().then(
      () => undefined,
      (error: { readonly code?: unknown }) => error.code
    )
  )

/**
 * What the server sends from now on, in its order: a client may hand out an answer before the notification that came before it,
 * and then drops progress for good.
 */
const record = (client: Client1 | Client2): ReadonlyArray<Received> => {
  const received: Array<Received> = []
  // The two SDKs have types of their own for the same.
  const transport = client.transport as { onmessage?: (message: object, extra?: unknown) => void }
  const { onmessage } = transport
  transport.onmessage = (message, extra) => {
    received.push(message)
    onmessage?.(message, extra)
  }
  return received
}

interface Received {
  readonly method?: string
  readonly params?: { readonly progress?: number; readonly data?: unknown }
}

/** What one call is told before its answer. */
const toldBy = Effect.fnUntraced(function* (client: Client1 | Client2, name: string) {
  const received = record(client)
  const onprogress = () => undefined
  yield* Effect.promise(async (): Promise<object> =>
    client instanceof Client1
      ? await client.callTool({ name }, undefined, { onprogress })
      : await client.callTool({ name }, { onprogress })
  )
  return received.map(({ method, params }) =>
    method === undefined ? "the answer" : (params?.progress ?? params?.data)
  )
})

describe("the conformance fixture of 2025-11-25, with a client of SDK 1", () => {
  it.live("lists what the suites ask for, and completes", () => Effect.flatMap(connect1(), lists))

  it.live("asks its client within the call, round by round", () => Effect.flatMap(connect1(), asks))

  it.live("does not ask for what its client has not declared", () =>
    Effect.gen(function* () {
      const client = yield* connect1({ sampling: {} })
      const result = yield* Effect.promise(() =>
        client.callTool({ name: "test_elicitation", arguments: { message: "" } })
      )
      assert.isTrue(result.isError)
      assert.include(textOf(result), "does not declare elicitation")
      const modest = yield* Effect.promise(() => client.callTool({ name: "test_input_required_result_capabilities" }))
      assert.strictEqual(textOf(modest), "Asked greeting")
    })
  )

  it.live("tells of progress and logs on the way, as far as its client listens", () =>
    Effect.gen(function* () {
      const client = yield* connect1()
      assert.deepStrictEqual(yield* toldBy(client, "test_tool_with_progress"), [0, 50, 100, "the answer"])
      const [started, , completed, answer] = yield* toldBy(client, "test_tool_with_logging")
      assert.deepStrictEqual(
        [started, completed, answer],
        ["Tool execution started", "Tool execution completed", "the answer"]
      )
      yield* Effect.promise(() => client.setLoggingLevel("warning"))
      assert.deepStrictEqual(yield* toldBy(client, "test_logging_tool"), ["the answer"])
    })
  )

  it.live("tells of a changed list, and of the watched resource while it is subscribed to", () =>
    Effect.gen(function* () {
      const client = yield* connect1()
      const changes = yield* Queue.unbounded<string>()
      client.fallbackNotificationHandler = ({ method }) => Promise.resolve(void Queue.offerUnsafe(changes, method))
      const call = (name: string) => Effect.promise(() => client.callTool({ name }))
      yield* call("test_trigger_resource_change")
      yield* call("test_trigger_tool_change")
      assert.strictEqual(yield* Queue.take(changes), "notifications/tools/list_changed")
      const { tools } = yield* Effect.promise(() => client.listTools())
      assert.include(tools.find(({ name }) => name === "test_trigger_tool_change")?.description, "changed 1 times")
      yield* call("test_trigger_prompt_change")
      assert.strictEqual(yield* Queue.take(changes), "notifications/prompts/list_changed")
      yield* Effect.promise(() => client.subscribeResource({ uri: watched }))
      yield* call("test_trigger_resource_change")
      assert.strictEqual(yield* Queue.take(changes), "notifications/resources/updated")
      const { contents } = yield* Effect.promise(() => client.readResource({ uri: watched }))
      assert.deepInclude(contents[0], { text: "Changed 2 times" })
      assert.strictEqual(yield* codeOf(() => client.readResource({ uri: "test://none" })), -32002)
    })
  )
})

describe("the conformance fixture of 2026-07-28, with a client of SDK 2", () => {
  it.live("lists what the suites ask for, and completes", () => Effect.flatMap(connect2(), lists))

  it.live("asks its client by its results, round by round", () => Effect.flatMap(connect2(), asks))

  it.live("is of no revision before, as a client of SDK 1 sees", () =>
    Effect.gen(function* () {
      const transport = new Stdio1(yield* command("modern"))
      const it = yield* closing(new Client1(client))
      assert.strictEqual(yield* codeOf(() => it.connect(transport)), -32022)
    })
  )

  it.live("refuses what needs a capability that the request does not declare", () =>
    Effect.gen(function* () {
      const client = yield* connect2({ capabilities: { sampling: {} } })
      assert.strictEqual(
        yield* codeOf(() => client.callTool({ name: "test_input_required_result_elicitation" })),
        -32021
      )
      const modest = yield* Effect.promise(() => client.callTool({ name: "test_input_required_result_capabilities" }))
      assert.strictEqual(textOf(modest), "Asked greeting")
    })
  )

  it.live("refuses a state that it has not made, and asks again what was not answered", () =>
    Effect.gen(function* () {
      const client = yield* connect2({ inputRequired: { autoFulfill: false } })
      const call = (params: object) =>
        client.callTool({ name: "test_input_required_result_tampered_state", ...params }, { allowInputRequired: true })
      const first = (yield* Effect.promise(() => call({}))) as object as {
        readonly requestState: string
        readonly inputRequests: object
      }
      assert.containsAllKeys(first.inputRequests, ["confirm"])
      const inputResponses = { confirm: { action: "accept", content: { ok: true } } }
      const again = yield* Effect.promise(() => call({ inputResponses: {}, requestState: first.requestState }))
      assert.containsAllKeys(again, ["inputRequests"])
      assert.strictEqual(
        yield* codeOf(() => call({ inputResponses, requestState: `${first.requestState}-TAMPERED` })),
        -32602
      )
      const last = yield* Effect.promise(() => call({ inputResponses, requestState: first.requestState }))
      assert.include(textOf(last), "The state is as it was")
    })
  )

  it.live("tells of progress, and how long its lists are fresh", () =>
    Effect.gen(function* () {
      const client = yield* connect2()
      assert.deepStrictEqual(yield* toldBy(client, "test_tool_with_progress"), [0, 50, 100, "the answer"])
      const lists = yield* Effect.promise(() => client.listTools())
      assert.deepInclude(lists, { ttlMs: 60_000, cacheScope: "public" })
      assert.strictEqual(yield* codeOf(() => client.readResource({ uri: "test://none" })), -32602)
    })
  )

  it.live("tells those that listen of what they listen to", () =>
    Effect.gen(function* () {
      const client = yield* connect2()
      const changes = yield* Queue.unbounded<string>()
      for (const method of [
        "notifications/tools/list_changed",
        "notifications/prompts/list_changed",
        "notifications/resources/updated"
      ] as const) {
        client.setNotificationHandler(method, () => void Queue.offerUnsafe(changes, method))
      }
      const call = (name: string) => Effect.promise(() => client.callTool({ name }))
      yield* Effect.promise(() => client.listen({ toolsListChanged: true, resourceSubscriptions: [watched] }))
      yield* call("test_trigger_prompt_change")
      yield* call("test_trigger_resource_change")
      assert.strictEqual(yield* Queue.take(changes), "notifications/resources/updated")
      yield* call("test_trigger_tool_change")
      assert.strictEqual(yield* Queue.take(changes), "notifications/tools/list_changed")
      const { tools } = yield* Effect.promise(() => client.listTools(undefined, { cacheMode: "refresh" }))
      assert.include(tools.find(({ name }) => name === "test_trigger_tool_change")?.description, "changed 1 times")
    })
  )
})

describe("the conformance fixture over HTTP", () => {
  const serving = (era: Era) =>
    Effect.acquireRelease(
      Effect.promise(() => serve(era)),
      ({ close }) => Effect.promise(close)
    )

  it.live("asks a client of SDK 1 on the stream of its call", () =>
    Effect.gen(function* () {
      const { url } = yield* serving("legacy")
      const it = yield* closing(new Client1(client, { capabilities: everything }))
      it.setRequestHandler(Types1.CreateMessageRequestSchema, () => ({ ...said }))
      const transport = new Http1(new URL(url))
      // The SDK's own class is not quite its own interface under exactOptionalPropertyTypes.
      yield* Effect.promise(() => it.connect(transport as Parameters<typeof it.connect>[0]))
      const result = yield* Effect.promise(() =>
        it.callTool({ name: "test_sampling", arguments: { prompt: "Say it" } })
      )
      assert.strictEqual(textOf(result), "LLM response: Paris")
    })
  )

  it.live("refuses other hosts", () =>
    Effect.gen(function* () {
      for (const era of ["legacy", "modern"] as const) {
        const { url } = yield* serving(era)
        const { status } = yield* Effect.promise(() =>
          fetch(url, { method: "POST", headers: { origin: "http://evil.example.com" }, body: "{}" })
        )
        assert.strictEqual(status, 403)
      }
    })
  )
})
