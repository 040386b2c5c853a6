/** Modern requests in memory, and calls that wait for what their client finds out. */
import { Effect } from "effect"
import { turn } from "../../lines/Turn.ts"
import * as Harness from "../MuxHarness.ts"

/** What a request says of who asks. */
export const claim = (capabilities: object = {}, more: object = {}) => ({
  _meta: {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": { name: "modern", version: "1" },
    "io.modelcontextprotocol/clientCapabilities": capabilities,
    ...more
  }
})

/** What each answer says of the legacy server that gives it. */
export const signed = { _meta: { "io.modelcontextprotocol/serverInfo": { name: "s", version: "1" } } }

/** A call of a tool. */
export const call = (id: unknown, name: string, capabilities: object = {}, params: object = {}) =>
  Harness.request(id, "tools/call", { ...claim(capabilities), name, ...params })

/** A legacy server with a process, and one modern client. */
export const made = (options?: Parameters<typeof Harness.makeMux>[0], process?: object) => {
  const mux = Harness.makeMux(options)
  const server = mux.attach({ capabilities: { tools: {}, resources: {} }, isEmpty: true, ...process })
  return { mux, server, client: mux.client() }
}

/** Of a client that can be asked. */
export const capabilities = { elicitation: {} }

/** The server asks within a call, and the client hears of it by its result. */
export const held = Effect.fnUntraced(function* (world: ReturnType<typeof made>, id: unknown = 1) {
  const { client, server } = world
  yield* server.told
  client.send(call(id, "ask", capabilities))
  const [request] = yield* server.told
  server.say({ jsonrpc: "2.0", id: "q", method: "elicitation/create", params: { message: "Who?", mode: "form" } })
  yield* turn
  const [asked] = yield* client.told
  const result = asked!.result as {
    readonly inputRequests: { readonly [key: string]: object }
    readonly requestState: string
  }
  const [key = ""] = Object.keys(result.inputRequests)
  return { request: request!, asked: asked!, result, key }
})
