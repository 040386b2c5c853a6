/**
 * The tools of a proxy as a `Toolkit` of `effect/ai`, handlers included, so that a language model calls them. Needs nothing
 * but `McpProxy`.
 */
import type { CallToolResult } from "@modelcontextprotocol/sdk/types.js"
import { Context, Effect, Predicate, Schema } from "effect"
import { Prompt, Tool, Toolkit } from "effect/ai"
import { McpProxy, type ProxyTool, type ToolError } from "../McpProxy.ts"
import * as ModelOutput from "./ModelOutput.ts"

/** Which tools, by the names of `McpProxy.listTools` (`server__tool`); a `*` in a pattern stands for any characters, or none. */
export interface Options {
  /** All, unless given. What no tool is called has no effect. */
  readonly include?: ReadonlyArray<string> | undefined
  /** None, unless given; wins over `include`. */
  readonly exclude?: ReadonlyArray<string> | undefined
}

/** What a tool returned, as its server gave it; never with `isError`. */
export const ToolResult = Schema.declare<CallToolResult>(
  (value): value is CallToolResult => Predicate.isObject(value) && Array.isArray(value["content"]),
  { identifier: "ToolResult" }
)

/** Why a tool has no result, for the model to read. */
export const ToolFailure = Schema.Struct({
  /** `ToolFailed` where the tool says so (`isError`); else the `_tag` of the proxy's error, e.g. `ToolTimeout`. */
  kind: Schema.String,
  /** The tool's own words, or the error's. */
  message: Schema.String,
  /** What can be done about it; null where nothing is known. */
  hint: Schema.NullOr(Schema.String)
})
export type ToolFailure = typeof ToolFailure.Type

/** A server's tool as `effect/ai` has it: its arguments are JSON Schema, and its failures are values. */
export type McpTool = Tool.Tool<
  string,
  {
    readonly parameters: typeof Schema.Unknown
    readonly success: typeof ToolResult
    readonly failure: typeof ToolFailure
    readonly failureMode: "return"
  }
>

/**
 * The tools that there are now, with their handlers: given to `LanguageModel.generateText` as it is, it is built anew for
 * each call, from lists that cost no message while they are fresh. A server that cannot list its tools has none in it.
 *
 * The model reads a result's texts, its images, audio and other files as files, links as text, and `structuredContent` as
 * JSON where no text says the same already. Arguments are looked at first. Whatever goes wrong with a call is a
 * `ToolFailure` that the model reads, never an error of `generateText`; interrupting that cancels the calls at the servers.
 */
export const toolkit = (
  options: Options = {}
): Effect.Effect<Toolkit.WithHandler<Record<string, McpTool>>, never, McpProxy> =>
  Effect.gen(function* () {
    const proxy = yield* McpProxy
    const isIncluded = matcher(options.include ?? ["*"])
    const isExcluded = matcher(options.exclude ?? [])
    const chosen = (yield* proxy.listTools).filter(({ name }) => isIncluded(name) && !isExcluded(name))
    const tools: Toolkit.Toolkit<Record<string, McpTool>> = Toolkit.make(...chosen.map(toTool))
    const handlers = yield* tools.toHandlers(
      Object.fromEntries(chosen.map(({ name }) => [name, (args: unknown) => handle(proxy, name, args)]))
    )
    return yield* Effect.provide(tools, handlers)
  })

const toTool = ({ name, tool }: ProxyTool): McpTool => {
  const { destructiveHint, idempotentHint, openWorldHint, readOnlyHint } = tool.annotations ?? {}
  const title = tool.title ?? tool.annotations?.title
  return Tool.dynamic(name, {
    description: tool.description,
    parameters: tool.inputSchema,
    success: ToolResult,
    failure: ToolFailure,
    failureMode: "return",
    toModelOutput: ModelOutput.partsOf
  }).annotateMerge(
    // Providers' strict modes take a part of JSON Schema that servers do not keep to.
    Context.make(Tool.Strict, false).pipe(
      (it) => (title === undefined ? it : Context.add(it, Tool.Title, title)),
      (it) => (readOnlyHint === undefined ? it : Context.add(it, Tool.Readonly, readOnlyHint)),
      (it) => (destructiveHint === undefined ? it : Context.add(it, Tool.Destructive, destructiveHint)),
      (it) => (idempotentHint === undefined ? it : Context.add(it, Tool.Idempotent, idempotentHint)),
      (it) => (openWorldHint === undefined ? it : Context.add(it, Tool.OpenWorld, openWorldHint))
    )
  )
}

const handle = (
  proxy: McpProxy["Service"],
  name: string,
  args: unknown
): Effect.Effect<CallToolResult, ToolFailure> => {
  // Models leave out what a tool does not need.
  const given = args ?? {}
  if (!Predicate.isObject(given)) {
    const message = `the arguments of ${name} must be an object`
    return Effect.fail({ kind: "InvalidArguments", message, hint: hints.InvalidArguments })
  }
  return proxy.executeTool(name, given as { readonly [key: string]: unknown }, { validate: true }).pipe(
    Effect.mapError(toFailure),
    Effect.flatMap((result) => {
      const returned = Array.isArray(result.content) ? result : { ...result, content: [] }
      if (result.isError !== true) return Effect.succeed(returned)
      const message = Prompt.toolModelOutputToText(ModelOutput.partsOf(returned))
      return Effect.fail({ kind: "ToolFailed", message, hint: null })
    })
  )
}

const toFailure = (error: ToolError): ToolFailure => ({
  kind: error._tag,
  message: error.message,
  hint: error._tag === "ServerUnavailable" ? error.hint : hintOf(error)
})

const hintOf = (error: Exclude<ToolError, { readonly _tag: "ServerUnavailable" }>): string | null =>
  error._tag === "ToolTimeout" && error.phase === "waiting" ? hints.Overloaded : hints[error._tag]

/** For a model, which cannot look into the pool. */
const hints: { readonly [Tag in Exclude<ToolError["_tag"], "ServerUnavailable">]: string | null } = {
  ToolNotFound: "the tools have changed: use one that is there",
  ToolAmbiguous: "use one of the candidates",
  InvalidArguments: "correct the arguments and call it again",
  ToolTimeout: "it may have had effects: look before it is called again",
  ServerNotFound: null,
  OutcomeUnknown: "it may have had effects: look before it is called again",
  ResultTooLarge: "ask for less",
  Overloaded: "it was not sent: it can be called again later",
  RequestRejected: null
}

const matcher = (patterns: ReadonlyArray<string>): ((name: string) => boolean) => {
  const all = patterns.map((pattern) => new RegExp(`^${pattern.split("*").map(escaped).join(".*")}$`, "s"))
  return (name) => all.some((one) => one.test(name))
}

const escaped = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")
