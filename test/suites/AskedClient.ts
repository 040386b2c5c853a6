/**
 * A client that is asked: it calls the tools of `fixtures/asks.ts`, answers what it is asked under the call's label, and
 * keeps account of what must not come to it. Lives as long as its scope.
 */
import { Data, Effect, type Scope } from "effect"
import * as net from "node:net"

export type Tool = "sample" | "form" | "url" | "plain"

/** What a call ended with: the answer to its question, or the error in its place, or none where it asked nothing. */
export interface Told {
  readonly label: string
  readonly pid: number
  readonly result?: { readonly by: string; readonly label: string }
  readonly error?: { readonly code: number; readonly message: string }
}

/** The pool answered a call with an error. */
export class CallFailed extends Data.TaggedError("CallFailed")<{ readonly message: string }> {}

export interface AskedClient {
  readonly name: string
  /** How many questions have come. */
  readonly asked: () => number
  /** What came and must not. */
  readonly violations: ReadonlyArray<string>
  /** Interrupting it cancels the call. */
  readonly call: (
    tool: Tool,
    args?: { readonly wait?: number; readonly isDeaf?: boolean }
  ) => Effect.Effect<Told, CallFailed>
}

interface Message {
  readonly id?: unknown
  readonly method?: string
  readonly params?: { readonly _meta?: { readonly label?: string }; readonly requestId?: unknown }
  readonly result?: { readonly content?: ReadonlyArray<{ readonly text: string }> }
  readonly error?: { readonly message: string }
}

/** All that a client may declare. */
export const everything = { sampling: { tools: {} }, elicitation: { form: {}, url: {} }, roots: { listChanged: true } }

export const connect = Effect.fnUntraced(function* (options: {
  readonly path: string
  /** Begins the labels of its calls. */
  readonly name: string
  readonly capabilities: object
  /** What it does before it answers a question; nothing unless given. */
  readonly onQuestion?: (client: AskedClient, label: string) => Effect.Effect<void>
}): Effect.fn.Return<AskedClient, never, Scope.Scope> {
  const { capabilities, name, onQuestion, path } = options
  const run = Effect.runForkWith(yield* Effect.context<never>())
  const waiting = new Map<unknown, (message: Message) => void>()
  const violations: Array<string> = []
  let nextId = 0
  let asked = 0
  const socket = yield* Effect.acquireRelease(
    Effect.sync(() => net.connect(path)),
    (socket) => Effect.sync(() => socket.destroy())
  )
  const send = (message: object) => void socket.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`)

  const question = ({ id, params }: Message) => {
    const label = params?._meta?.label ?? ""
    asked++
    if (!label.startsWith(`${name} `)) violations.push(`${name} was asked "${label}"`)
    if (Object.keys(capabilities).length === 0) violations.push(`${name}, which declared nothing, was asked "${label}"`)
    const reply = Effect.sync(() => send({ id, result: { by: name, label } }))
    run(onQuestion === undefined ? reply : Effect.andThen(onQuestion(client, label), reply))
  }
  const receive = (line: string) => {
    const message = JSON.parse(line) as Message
    const { id, method } = message
    if (method !== undefined) {
      if (id !== undefined) question(message)
      return
    }
    const found = waiting.get(id)
    waiting.delete(id)
    if (found === undefined) violations.push(`${name} got an answer for nobody: ${line.slice(0, 200)}`)
    else found(message)
  }
  let rest = ""
  socket.setEncoding("utf8")
  socket.on("error", ({ message }) => violations.push(`${name} lost its connection: ${message}`))
  socket.on("data", (text: string) => {
    const lines = (rest + text).split("\n")
    rest = lines.pop()!
    for (const line of lines) receive(line)
  })

  const request = (method: string, params: object): Effect.Effect<Message> =>
    Effect.callback((resume) => {
      const id = nextId++
      waiting.set(id, (message) => resume(Effect.succeed(message)))
      send({ id, method, params })
      return Effect.sync(() => {
        // An answer that is on its way already is nobody's fault.
        waiting.set(id, () => {})
        send({ method: "notifications/cancelled", params: { requestId: id } })
      })
    })

  const call: AskedClient["call"] = (tool, args = {}) =>
    Effect.suspend(() => {
      const label = `${name} ${tool} ${nextId}`
      return Effect.flatMap(
        request("tools/call", { name: tool, arguments: { label, ...args } }),
        ({ error, result }): Effect.Effect<Told, CallFailed> => {
          if (error !== undefined) return Effect.fail(new CallFailed({ message: `${label}: ${error.message}` }))
          const told = JSON.parse(result?.content?.[0]?.text ?? "{}") as Told
          if (told.label !== label) violations.push(`"${label}" got the result of "${told.label}"`)
          if (told.result !== undefined && (told.result.by !== name || told.result.label !== label)) {
            violations.push(`"${label}" got the answer of ${told.result.by} to "${told.result.label}"`)
          }
          return Effect.succeed(told)
        }
      )
    })

  const client: AskedClient = { name, asked: () => asked, violations, call }
  const clientInfo = { name, version: "1.0.0" }
  yield* request("initialize", { protocolVersion: "2025-11-25", capabilities, clientInfo })
  send({ method: "notifications/initialized" })
  return client
})
