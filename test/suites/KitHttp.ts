/**
 * A client's messages over streamable HTTP of 2025-11-25: each a POST, answered with JSON, an event stream or nothing, and
 * one GET for what the server says unasked. Gone with its scope.
 */
import { Effect, type Scope } from "effect"
import * as http from "node:http"
import type { Channel, Hearing } from "./KitClient.ts"
import * as KitLines from "./KitLines.ts"
import type { Broken } from "./KitWaiting.ts"

export const open =
  (url: string) =>
  (hearing: Hearing): Effect.Effect<Channel, Broken, Scope.Scope> =>
    Effect.map(
      Effect.acquireRelease(
        Effect.sync(() => new http.Agent({ keepAlive: true })),
        (agent) => Effect.sync(() => agent.destroy())
      ),
      (agent) => channel(url, agent, hearing)
    )

const channel = (url: string, agent: http.Agent, { onClosed, onLost, onText }: Hearing): Channel => {
  let session: string | undefined
  const headers = () => ({
    Accept: "application/json, text/event-stream",
    ...(session === undefined ? {} : { "Mcp-Session-Id": session, "MCP-Protocol-Version": "2025-11-25" })
  })
  const ask = (method: string, onResponse: (response: http.IncomingMessage) => void, onError: (why: string) => void) =>
    http
      .request(url, { method, agent, headers: { ...headers(), "Content-Type": "application/json" } })
      .on("response", onResponse)
      .on("error", (error) => onError(error.message))

  /** A request's answer comes with its POST or not at all; `id` is the request's. */
  const post = (body: string | Uint8Array, id?: unknown): Effect.Effect<void> =>
    Effect.callback((resume) => {
      const end = (why: string) => {
        if (id !== undefined) onLost(id, why)
        resume(Effect.void)
      }
      const request = ask(
        "POST",
        (response) => {
          const given = response.headers["mcp-session-id"]
          if (typeof given === "string") session = given
          // Handed over, and its answers come as they come.
          resume(Effect.void)
          read(response, onText, () => end(`its POST ended with ${response.statusCode} and without its answer`))
        },
        end
      )
      // Whoever sends a request goes on when it is sent.
      if (id !== undefined) request.on("finish", () => resume(Effect.void))
      request.end(body)
    })

  const listen = Effect.callback<void>((resume) => {
    ask(
      "GET",
      (response) => {
        resume(Effect.void)
        read(response, onText, () => {})
      },
      () => resume(Effect.void)
    ).end()
  })

  return {
    send: (message) => {
      const { id, method } = message as { readonly id?: unknown; readonly method?: string }
      const isRequest = method !== undefined && id !== undefined
      const sent = post(JSON.stringify({ jsonrpc: "2.0", ...message }), isRequest ? id : undefined)
      return method === "notifications/initialized" ? Effect.andThen(sent, listen) : sent
    },
    sendRaw: (bytes) => post(bytes),
    leave: Effect.callback((resume) => {
      const left = () => {
        agent.destroy()
        onClosed()
        resume(Effect.void)
      }
      ask("DELETE", (response) => response.resume().on("end", left), left).end()
    }),
    socket: null
  }
}

/** The texts of a body that should be messages, as they come. */
const read = (response: http.IncomingMessage, onText: (text: string) => void, onEnd: () => void): void => {
  const type = response.headers["content-type"] ?? ""
  response.on("error", () => {})
  response.on("close", onEnd)
  let text = ""
  const take = () => {
    if (text.trim() !== "") onText(text)
    text = ""
  }
  if (type.startsWith("text/event-stream")) {
    KitLines.read(response, (line) => {
      if (line.startsWith("data:")) text += `${line.slice(5)}\n`
      else if (line === "") take()
    })
    return
  }
  response.setEncoding("utf8")
  response.on("data", (chunk: string) => (text += chunk))
  // A refusal below MCP is plain text.
  response.on("end", () => type.startsWith("application/json") && take())
}
