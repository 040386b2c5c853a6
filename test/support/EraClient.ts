/** Clients of both SDKs, which answer what they are asked, and the conformance fixtures of both eras in a pool. */
import { Client as Client2, type ClientOptions as ClientOptions2 } from "@modelcontextprotocol/client"
import { Client as Client1 } from "@modelcontextprotocol/sdk/client/index.js"
import type { Transport as Transport1 } from "@modelcontextprotocol/sdk/shared/transport.js"
import * as Types1 from "@modelcontextprotocol/sdk/types.js"
import { Effect, type Scope } from "effect"
import * as path from "node:path"
import type { PoolOptions } from "../../src/config/PoolOptions.ts"
import type { ServerOptions } from "../../src/config/ServerSpec.ts"

const info = { name: "era-client", version: "1.0.0" }

/** What the clients declare unless told otherwise. */
export const everything = { sampling: {}, elicitation: {}, roots: {} }

const said = { role: "assistant", content: { type: "text", text: "Paris" }, model: "test" } as const
const roots = [{ uri: "file:///test/root" }]

/** The conformance fixture of an era, as an entry of a pool. */
export const fixture = (era: "legacy" | "modern", marker: string, pool: PoolOptions = {}): ServerOptions => ({
  command: process.execPath,
  args: [path.join(import.meta.dirname, `../fixtures/conformance/${era}.ts`), marker],
  pool
})

/** A form with all that it requires. */
const filled = (params: object): { [name: string]: string | boolean } => {
  const { properties, required = [] } = (
    params as {
      readonly requestedSchema: {
        readonly properties: { readonly [name: string]: { readonly type: string } }
        readonly required?: ReadonlyArray<string>
      }
    }
  ).requestedSchema
  return Object.fromEntries(required.map((name) => [name, properties[name]!.type === "boolean" ? true : `a ${name}`]))
}

const closing = <C extends { readonly close: () => Promise<void> }>(client: C) =>
  Effect.acquireRelease(Effect.succeed(client), (client) => Effect.promise(() => client.close()))

/** A connected client of SDK 1. */
export const connect1 = Effect.fnUntraced(function* (
  transport: object,
  capabilities: Types1.ClientCapabilities = everything
): Effect.fn.Return<Client1, never, Scope.Scope> {
  const it = yield* closing(new Client1(info, { capabilities }))
  if (capabilities.elicitation) {
    it.setRequestHandler(Types1.ElicitRequestSchema, ({ params }) => ({ action: "accept", content: filled(params) }))
  }
  if (capabilities.sampling) it.setRequestHandler(Types1.CreateMessageRequestSchema, () => ({ ...said }))
  if (capabilities.roots) it.setRequestHandler(Types1.ListRootsRequestSchema, () => ({ roots: [...roots] }))
  yield* Effect.promise(() => it.connect(transport as Transport1))
  return it
})

/** A connected client of SDK 2, in the mode. */
export const connect2 = Effect.fnUntraced(function* (
  transport: object,
  mode: "legacy" | "auto" | "modern",
  options: ClientOptions2 = {}
): Effect.fn.Return<Client2, never, Scope.Scope> {
  const versionNegotiation = { mode: mode === "modern" ? { pin: "2026-07-28" } : mode } as const
  const it = yield* closing(new Client2(info, { capabilities: everything, versionNegotiation, ...options }))
  const { elicitation, sampling, roots: canList } = options.capabilities ?? everything
  if (elicitation) {
    it.setRequestHandler("elicitation/create", ({ params }) => ({ action: "accept", content: filled(params) }))
  }
  if (sampling) it.setRequestHandler("sampling/createMessage", () => ({ ...said }))
  if (canList) it.setRequestHandler("roots/list", () => ({ roots: [...roots] }))
  yield* Effect.promise(() => it.connect(transport as Parameters<Client2["connect"]>[0]))
  return it
})

/** The first text of a result. */
export const textOf = (result: object): string =>
  (result as { readonly content: [{ readonly text: string }] }).content[0].text

/** What each tool that asks needs, and what it says in the end. */
export const asked: { readonly [tool: string]: readonly [args: { [name: string]: string }, text: string] } = {
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

/** The code and the data of what it fails with. */
export const failureOf = (
  attempt: () => Promise<unknown>
): Effect.Effect<{ readonly code?: unknown; readonly data?: unknown; readonly message?: string }> =>
  Effect.promise(() =>
    attempt().then(
      () => ({}),
      (error: { readonly code?: unknown; readonly data?: unknown; readonly message?: string }) => error
    )
  )

interface Received {
  readonly id?: unknown
  readonly method?: string
  readonly params?: { readonly progress?: number; readonly data?: unknown }
}

/** What the server sends from now on, in its order, whatever the client makes of it. */
export const record = (client: Client1 | Client2): ReadonlyArray<Received> => {
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

/** What one call is told before its answer. */
export const toldBy = Effect.fnUntraced(function* (client: Client1 | Client2, name: string, meta?: object) {
  const received = record(client)
  const onprogress = () => undefined
  const params = { name, ...(meta === undefined ? {} : { _meta: { ...meta } }) }
  yield* Effect.promise(async (): Promise<object> =>
    client instanceof Client1
      ? await client.callTool(params, undefined, { onprogress })
      : await client.callTool(params, { onprogress })
  )
  return received.map(({ method, params }) =>
    method === undefined ? "the answer" : (params?.progress ?? params?.data)
  )
})
