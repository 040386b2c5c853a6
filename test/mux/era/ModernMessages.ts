/** Modern requests in memory, and calls that wait for what their client finds out. */
import { Effect } from "effect"
import { Line } from "../../../src/lines/LineReader.ts"
import { Envelope } from "../../../src/message/Envelope.ts"
import { ModernRequests } from "../../../src/mux/era/ModernRequests.ts"
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

/** Requests each with a stream of its own: as they come over HTTP, or, where `socket` is null, as those of one client. */
export const apart = ({ sharing }: Harness.Mux, socket: string | null) => {
  const requests = new ModernRequests({ server: "git", upstream: sharing, maxUnread: Infinity, socket })
  const envelope = new Envelope()
  const answered: Array<Harness.Message> = []
  const send = (message: object) => {
    const line = Line.of(Buffer.from(JSON.stringify(message)))
    envelope.scan(line.bytes, line.start, line.end)
    const told: Array<Harness.Message> = []
    let text = ""
    const push = (piece: string | Buffer) => {
      text += piece.toString("latin1")
      if (!text.endsWith("\n")) return
      told.push(Harness.parse(text))
      text = ""
    }
    const ended = () => void answered.push(told.at(-1)!)
    const stream = { out: { unread: 0, push }, ended, listens: () => {}, overflow: () => {} }
    return { told, cancel: requests.receive(line, envelope, "tools/call", stream).cancel }
  }
  return { answered, send }
}

/** Of a client that can be asked. */
export const capabilities = { elicitation: {} }

/** The server asks within a call, and the client hears of it by its result. */
export const held = Effect.fnUntraced(function* (world: ReturnType<typeof made>, id: unknown = 1) {
  const { client, server } = world
  yield* server.told
  client.send(call(id, "ask", capabilities))
  const request = (yield* server.told).find(({ method }) => method === "tools/call")
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
