/** What the Schemas of a typed tool do to its arguments on the way out and to its result on the way back. */
import type { CallToolResult } from "@modelcontextprotocol/sdk/types.js"
import { Effect, JsonPointer, Schema, SchemaIssue } from "effect"
import { InvalidArguments, InvalidResult, type Mistakes, ToolFailed } from "./ToolError.ts"

/** A Schema whose encoded side is a JSON object. */
export type ArgumentsSchema = Schema.Codec<unknown, { readonly [key: string]: unknown }, unknown, unknown>

/** Arguments as they are sent. What the Schema does not know is refused rather than dropped. */
export const encoder = <A extends ArgumentsSchema>(name: string, schema: A) => {
  const encode = Schema.encodeUnknownEffect(schema, { errors: "all", onExcessProperty: "error" })
  return (args: unknown): Effect.Effect<A["Encoded"], InvalidArguments, A["EncodingServices"]> =>
    Effect.mapError(
      encode(args),
      ({ issue }) => new InvalidArguments({ server: "", tool: name, mistakes: mistakesOf(issue) })
    )
}

/** The value of a result: its `structuredContent`, else its texts, a line each, else undefined. */
export const decoder = <R extends Schema.Top>(name: string, schema: R) => {
  const decode = Schema.decodeUnknownEffect(schema, { errors: "all" })
  return (result: CallToolResult): Effect.Effect<R["Type"], InvalidResult, R["DecodingServices"]> =>
    Effect.mapError(
      decode(result.structuredContent === undefined ? textOf(result) : result.structuredContent),
      ({ issue }) => new InvalidResult({ name, mistakes: mistakesOf(issue) })
    )
}

/** The result, unless it says that the tool failed. */
export const successOf = (name: string, result: CallToolResult): Effect.Effect<CallToolResult, ToolFailed> => {
  const { isError, structuredContent } = result
  if (isError !== true) return Effect.succeed(result)
  const reason = textOf(result) ?? ""
  return Effect.fail(
    new ToolFailed({ name, reason, ...(structuredContent === undefined ? {} : { structuredContent }) })
  )
}

const textOf = ({ content }: CallToolResult): string | undefined => {
  // Results come as servers give them: some leave it out beside `structuredContent`.
  const texts = ((content as CallToolResult["content"] | undefined) ?? []).filter((one) => one.type === "text")
  return texts.length === 0 ? undefined : texts.map(({ text }) => text).join("\n")
}

// Schemas keep rejected values out of their issues unless they are told otherwise.
const mistakesOf = (issue: SchemaIssue.Issue): Mistakes =>
  (format(issue).issues ?? []).map(({ message, path = [] }) => ({
    path: path.map((key) => `/${JsonPointer.escapeToken(String(key))}`).join(""),
    reason: message.charAt(0).toLowerCase() + message.slice(1)
  }))

const format = SchemaIssue.makeFormatterStandardSchemaV1()
