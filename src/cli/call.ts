/** `mcp-pool call SERVER TOOL`: one call over the server's own socket. */
import { Console, Duration, Effect, Option, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import type { Progress } from "../Connections.ts"
import { ServerNotFound } from "../PoolError.ts"
import * as RuntimeDir from "../RuntimeDir.ts"
import { CallTimeout, type ConnectionFailed, ToolError } from "./CommandError.ts"
import * as McpClient from "./McpClient.ts"
import { connectControl, durationFlag, jsonFlag, runtimeDir, serverArgument } from "./root.ts"
import { screen } from "./Screen.ts"
import { printable } from "../printable.ts"
import { size } from "./Text.ts"

export const call = Command.make(
  "call",
  {
    server: serverArgument,
    tool: Argument.String("TOOL").pipe(Argument.withDescription("The tool's name, as the server lists it")),
    args: Flag.String("args").pipe(
      Flag.withMetavar("JSON"),
      Flag.withDescription("The arguments: a JSON object"),
      Flag.filter(
        (text) => Option.isSome(decodeObject(text)),
        () => "a JSON object"
      ),
      Flag.withDefault("{}")
    ),
    timeout: durationFlag("timeout").pipe(
      Flag.withDescription("How long to wait for the answer (default: 30s)"),
      Flag.withDefault(Duration.seconds(30))
    ),
    json: jsonFlag
  },
  Effect.fnUntraced(function* ({ server, tool, args, timeout, json }) {
    const client = yield* connect(server)
    const text = yield* Effect.andThen(
      client.initialize,
      client.callTool({ name: tool, args, onProgress: (progress) => Console.error(progressLine(progress)) })
    ).pipe(
      Effect.timeoutOrElse({
        duration: timeout,
        orElse: () =>
          Effect.andThen(
            client.cancel("timed out"),
            Effect.fail(new CallTimeout({ server, tool, timeout: Duration.format(timeout) }))
          )
      })
    )
    const result = Option.getOrElse(decodeResult(text), (): Result => ({}))
    const shown = resultText(result)
    if (json) yield* Console.log(text)
    else if (result.isError !== true) yield* Console.log((yield* screen).canRedraw ? printable(shown) : shown)
    if (result.isError === true) return yield* new ToolError({ server, tool, text: shown })
  }, Effect.scoped)
).pipe(
  Command.withDescription("Call one tool and print its result; progress goes to stderr"),
  Command.withExamples([
    { command: `mcp-pool call everything echo --args '{"message":"hi"}'`, description: "Call a tool with arguments" }
  ])
)

/** By the path that needs no question; the daemon knows of others, and why there is none. */
const connect = Effect.fnUntraced(function* (server: string) {
  const socket = RuntimeDir.serverSocket(yield* runtimeDir, server)
  return yield* McpClient.make({ server, socket }).pipe(
    Effect.catchTag(
      "ConnectionFailed",
      Effect.fnUntraced(function* (failure: ConnectionFailed) {
        const { servers } = yield* Effect.flatMap(connectControl, ({ status }) => status)
        const found = servers.find(({ name }) => name === server)
        if (found === undefined) return yield* new ServerNotFound({ server, names: servers.map(({ name }) => name) })
        if (found.socket === null || found.socket === socket) return yield* failure
        return yield* McpClient.make({ server, socket: found.socket })
      })
    )
  )
})

const decodeObject = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown)))

/** What is shown of https://modelcontextprotocol.io/specification/2025-11-25/server/tools#tool-result */
const Content = Schema.Struct({
  type: Schema.String,
  text: Schema.optionalKey(Schema.String),
  data: Schema.optionalKey(Schema.String),
  mimeType: Schema.optionalKey(Schema.String),
  uri: Schema.optionalKey(Schema.String),
  resource: Schema.optionalKey(
    Schema.Struct({
      uri: Schema.optionalKey(Schema.String),
      mimeType: Schema.optionalKey(Schema.String),
      text: Schema.optionalKey(Schema.String),
      blob: Schema.optionalKey(Schema.String)
    })
  )
})
type Content = typeof Content.Type

const Result = Schema.Struct({
  content: Schema.optionalKey(Schema.Array(Content)),
  structuredContent: Schema.optionalKey(Schema.Unknown),
  isError: Schema.optionalKey(Schema.Boolean)
})
type Result = typeof Result.Type
const decodeResult = Schema.decodeUnknownOption(Schema.fromJsonString(Result))

/** A result for people: its text, a line for each other content, and the structured content where there is no text. */
export const resultText = ({ content = [], structuredContent }: Result): string => {
  const lines = content.map(contentText)
  if (structuredContent !== undefined && !content.some(({ type }) => type === "text")) {
    lines.push(JSON.stringify(structuredContent, undefined, 2))
  }
  return lines.join("\n")
}

const contentText = ({ type, text, data, mimeType, uri, resource }: Content): string => {
  if (type === "text") return text ?? ""
  const kind = mimeType ?? resource?.mimeType
  const base64 = data ?? resource?.blob
  const bytes =
    base64 !== undefined
      ? Buffer.byteLength(base64, "base64")
      : resource?.text === undefined
        ? undefined
        : Buffer.byteLength(resource.text)
  const words = [type, uri ?? resource?.uri, kind].filter((word) => word !== undefined).join(" ")
  return `[${words}${bytes === undefined ? "" : `, ${size(bytes)}`}]`
}

/** One step of a call. */
export const progressLine = ({ progress, total, message }: Progress): string => {
  const done = total === undefined ? `progress ${progress}` : `progress ${progress}/${total}`
  return message === undefined ? done : `${done}: ${printable(message)}`
}
